"""Runs the long-lived parts of the program. The only place that creates tasks.

The first part that fails stops all others and its error is raised; when the main part ends, the others are ended too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any


async def supervise(main: Coroutine[Any, Any, None], parts: Mapping[str, Coroutine[Any, Any, None]]) -> None:
    """`parts` maps a task's name to what it runs. Raises the error that came first, with its own traceback."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part, name=name) for name, part in parts.items()]
            await group.create_task(main, name="engine")
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as failures:
        raise first_of(failures) from None


def first_of(failure: BaseException) -> BaseException:
    """The error that came first, out of the groups it is in."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
