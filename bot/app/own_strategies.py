"""A user's own strategies: every `NAME.py` in the folder that the setting `strategies_dir` names is strategy NAME.

These files are the user's own code, run with the user's rights, like any program of theirs. So nothing is loaded unless
the setting is given, only commands that ask strategies load it (`settings.py`), and nothing else ever puts a file there.
A file is read once: what is hashed is what runs, and nothing is written beside it. Names that begin with `_` are passed over.
"""

from __future__ import annotations

import keyword
import sys
from collections.abc import Collection, Iterator
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from pydantic import ValidationError

from bot.app.plugins import StrategyClass
from bot.domain.errors import ConfigError, told
from bot.domain.params import Params
from bot.market.readings import SOURCES

_EXPECTED = ("version", "traded_on", "Params", "on_sample")


class OwnStrategy(NamedTuple):
    found: StrategyClass
    file_hash: str  # SHA-256 of the file


class _Unusable(Exception):
    """Why a file cannot be used."""


def load_strategies(folder: Path, taken: Collection[str]) -> dict[str, OwnStrategy]:
    """Run every file and return its strategy by name, in alphabetical order. `taken` are the names of built-in ones.

    Raises ConfigError with every file that cannot be used, and why.
    """
    loaded, problems, names = dict[str, OwnStrategy](), [], set(taken)
    for path in _files(folder):
        try:
            loaded[path.stem] = _load(path, names)
        except _Unusable as error:
            problems.append(f"{path}: {error}")
        names.add(path.stem.lower())
    if problems:
        raise ConfigError("\n".join(["strategies_dir cannot be used as it is; nothing was started", *problems]))
    return loaded


def _files(folder: Path) -> list[Path]:
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise ConfigError(f"strategies_dir: {folder} cannot be read: {error.strerror}") from None
    return [path for path in found if path.suffix == ".py" and not path.stem.startswith("_") and path.is_file()]


def _load(path: Path, taken: Collection[str]) -> OwnStrategy:
    _check_name(path.stem, taken)
    try:
        source = path.read_bytes()
    except OSError as error:
        raise _Unusable(f"cannot be read: {error.strerror}") from None
    return OwnStrategy(_checked(_class_in(_run(path, source), path.stem)), sha256(source).hexdigest())


def _check_name(name: str, taken: Collection[str]) -> None:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise _Unusable(f"{name!r} is no name for a strategy: use letters, digits and _, and no word of Python's")
    if name.lower() in taken:
        raise _Unusable(f"there is another strategy {name.lower()}, and settings know no capitals: rename the file")
    if hasattr(Params, name):
        raise _Unusable(f"settings need the name {name} themselves: give the file another one")


def _run(path: Path, source: bytes) -> ModuleType:
    module = ModuleType(f"own_strategy_{path.stem}")
    module.__file__, module.__package__ = str(path), ""
    sys.modules[module.__name__] = module  # where pydantic and dataclasses look names up
    try:
        code = compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise _Unusable(f"line {error.lineno or '?'}: {error.msg}") from None
    except ValueError as error:  # a null byte, in early 3.11
        raise _Unusable(str(error)) from None
    try:
        exec(code, vars(module))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's file raises, the user is told where
        raise _Unusable(f"cannot be imported: {told(error, module.__name__)}") from None
    return module


def _class_in(module: ModuleType, name: str) -> Any:
    values = dict.fromkeys(value for value in vars(module).values() if isinstance(value, type))
    found = [value for value in values if getattr(value, "name", None) == name]
    if not found:
        raise _Unusable(f'holds no class with name = "{name}"')
    if len(found) > 1:
        raise _Unusable(f'holds several classes with name = "{name}": {", ".join(each.__name__ for each in found)}')
    return found[0]


def _checked(found: Any) -> StrategyClass:
    problems = [f"{name} is missing" for name in _EXPECTED if not hasattr(found, name)] or list(_wrong(found))
    if problems:
        raise _Unusable(f"class {found.__name__}: {'; '.join(problems)}")
    strategy: StrategyClass = found
    return strategy


def _wrong(found: Any) -> Iterator[str]:
    if not isinstance(found.version, int):
        yield f"version is {type(found.version).__name__}, not int"
    if not callable(found.on_sample):
        yield "on_sample is no method"
    if not isinstance(found.traded_on, tuple):
        yield "traded_on is no tuple of names of readings"
    else:
        yield from (f"traded_on: no reading is called {name!r}" for name in found.traded_on if name not in SOURCES)
    if not (isinstance(found.Params, type) and issubclass(found.Params, Params)):
        yield "Params is no class derived from bot.domain.params.Params"
    else:
        yield from _undefaulted(found.Params)


def _undefaulted(model: type[Params]) -> Iterator[str]:
    try:
        model()
    except ValidationError as error:
        for item in error.errors(include_url=False, include_context=False, include_input=False):
            yield f"Params.{'.'.join(map(str, item['loc']))}: {item['msg']} (every parameter needs a default that is right)"
