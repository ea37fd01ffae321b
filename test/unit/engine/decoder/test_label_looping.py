"""The protocol of NeMo's computer, beside the contract with NeMo."""

import inspect

import pytest

from src.engine.decoder import label_looping
from src.engine.nemo_contract import NAMES


@pytest.mark.parametrize("kind", ["TDT", "RNNT"])
def test_the_computer_of_the_contract_is_the_one_of_the_protocol(kind):
    [names] = [names for owner, names in NAMES.items() if owner.endswith(f"GreedyBatched{kind}LabelLoopingComputer")]
    protocol = vars(label_looping.LabelLoopingComputer)
    methods = {name for name, value in protocol.items() if inspect.isfunction(value)}
    declared = {name for name in methods if name == "__call__" or not name.startswith("__")}
    of_fused_search = {"_blank_index", "durations", "fusion_models", "max_symbols"}
    expected = declared | set(protocol["__annotations__"]) - {"graph_memory"}
    assert set(names) == expected | (of_fused_search if kind == "TDT" else set())
