"""Any asynchronous server of these tests, in a thread of its own, for tests that start real processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def threaded(server: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """`server` is called and lives in that thread; its plain attributes may be set from outside."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    entered = server()
    try:
        yield asyncio.run_coroutine_threadsafe(entered.__aenter__(), loop).result(30)
        asyncio.run_coroutine_threadsafe(entered.__aexit__(None, None, None), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
