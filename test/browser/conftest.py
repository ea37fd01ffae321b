"""One Chromium for all tests of the page, and visits to it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

if TYPE_CHECKING:  # Playwright may be missing; then the modules of tests are skipped
    from browser import Microphone, Visit
    from playwright.async_api import Browser

    Visitor = Callable[..., Awaitable[Visit]]


@pytest.fixture(scope="session")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> "Microphone":
    """The microphone that pages hear."""
    from browser import Microphone

    return Microphone(tmp_path_factory.mktemp("microphone") / "speech.wav")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(microphone: "Microphone") -> "AsyncIterator[Browser]":
    """Chromium, which all tests share."""
    from browser import launched

    async with launched(microphone) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: "Browser") -> "AsyncIterator[Visitor]":
    """Open the page of an address, with `permissions` (the microphone) and other options of `browser.new_context`.

    After the test, no console of a page may have an error, and no page may have asked another origin for anything.
    """
    from browser import Visit

    visits: list[Visit] = []

    async def open_page(address: str, permissions: tuple[str, ...] = ("microphone",), **options: object) -> Visit:
        context = await browser.new_context(**{"permissions": list(permissions), **options})  # type: ignore[arg-type]
        visits.append(Visit(await context.new_page(), "{}://{}".format(*urlsplit(address)[:2])))
        await visits[-1].page.goto(address)
        return visits[-1]

    yield open_page
    for each in visits:
        await each.page.context.close()
        each.check()
