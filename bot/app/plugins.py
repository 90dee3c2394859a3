"""Finds guards and strategies by file name: no central map, so adding one touches no other file.

The module `bot/trading/guards/long_trap.py` must hold a class whose `name` is `long_trap`; a strategy likewise. The name
is also the group of its settings. Strategies of a user's own, in a folder of theirs, are found by `own_strategies.py`.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any, Protocol

from bot.domain import params
from bot.domain.errors import InvariantError
from bot.domain.ports import Guard, Strategy
from bot.trading.guards.base import GuardContext

_NOT_PLUGINS = {"base", "desk"}


class GuardClass(Protocol):
    """A class of guards, as wiring needs it; `settings` is an instance of its `Params`."""

    name: str
    version: int
    needs: tuple[str, ...]
    Params: type[params.Params]

    def __call__(self, settings: Any, context: GuardContext) -> Guard: ...


class StrategyClass(Protocol):
    name: str
    version: int
    traded_on: tuple[str, ...]
    Params: type[params.Params]

    def __call__(self, settings: Any) -> Strategy: ...


def find_guards() -> dict[str, GuardClass]:
    """Guards by name, in alphabetical order."""
    return _find("bot.trading.guards")


def find_strategies() -> dict[str, StrategyClass]:
    """Strategies by name, in alphabetical order."""
    return _find("bot.trading.strategies")


def _find(package: str) -> dict[str, Any]:
    folder = importlib.import_module(package).__path__
    names = sorted(module.name for module in pkgutil.iter_modules(folder))
    return {name: _class_named(package, name) for name in names if name not in _NOT_PLUGINS}


def _class_named(package: str, name: str) -> Any:
    module = importlib.import_module(f"{package}.{name}")
    for value in vars(module).values():
        if isinstance(value, type) and getattr(value, "name", None) == name:
            return value
    raise InvariantError(f"{package}.{name} holds no class with name = {name!r}")
