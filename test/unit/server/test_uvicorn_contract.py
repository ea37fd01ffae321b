"""What is used of uvicorn and websockets is there, in the versions that are pinned (src.server.uvicorn_contract)."""

import ast
import inspect
import pkgutil
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import uvicorn
from websockets.server import ServerProtocol

from src.server import uvicorn_contract
from src.server.flow_control import PipelineFlowControl
from src.server.http_protocol import HttpProtocol
from src.server.server import Server
from src.server.websocket_handshake import JsonErrorProtocol
from src.server.websocket_protocol import WebSocketProtocol

ROOT = Path(__file__).parents[3]


def attributes(cls: type) -> set[str]:
    """What a class defines, and what its methods assign to `self`."""
    names = set()
    for each in cls.__mro__[:-1]:
        names |= set(vars(each))
        for node in ast.walk(ast.parse(inspect.getsource(each))):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Store)
                and ast.unparse(node.value) == "self"
            ):
                names.add(node.attr)
    return names


@pytest.mark.parametrize("name", uvicorn_contract.NAMES)
def test_every_name_is_there(name):
    missing = set(uvicorn_contract.NAMES[name]) - attributes(pkgutil.resolve_name(name))
    assert not missing


@pytest.mark.parametrize(
    "ours",
    [Server, PipelineFlowControl, HttpProtocol, WebSocketProtocol, JsonErrorProtocol],
    ids=lambda cls: cls.__name__,
)
def test_every_method_that_is_overridden_is_listed(ours):
    (base,) = ours.__bases__
    overridden = {name for name in vars(ours) if name in vars(base) and inspect.isfunction(vars(base)[name])}
    listed = next(names for name, names in uvicorn_contract.NAMES.items() if pkgutil.resolve_name(name) is base)
    assert overridden - {"__init__"} <= set(listed)


def test_the_versions_are_those_that_are_pinned_and_installed():
    assert (uvicorn.__version__, version("websockets")) == (uvicorn_contract.UVICORN, uvicorn_contract.WEBSOCKETS)
    pinned = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {f"uvicorn=={uvicorn_contract.UVICORN}", f"websockets=={uvicorn_contract.WEBSOCKETS}"} <= set(pinned)


def test_a_connection_of_websockets_has_the_reader_that_is_listed():
    assert type(ServerProtocol().reader).__name__ == "StreamReader"
