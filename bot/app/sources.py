"""Where settings were given: TOML files, `.env`, the environment, the command line. Knows no setting by name.

`Layers` collects what each source says as one flat map (`walls.min_age_s` → value and source), in which a later source
wins. What cannot be used becomes a `Mistake`, so that all mistakes can be told at once. The values of secrets, of unknown
names and of unreadable lines are never repeated. What the values must be is the models' business (`settings.py`).
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from dotenv.parser import parse_stream
from pydantic import BaseModel, SecretStr, ValidationError

PREFIX = "BOT_"
MASK = "********"
COMMAND_LINE = "command line"
_LONGEST = 40


class Leaf(NamedTuple):
    """One setting that is not a group. `types` are the members of its annotation, without type arguments."""

    name: str
    types: frozenset[Any]

    @property
    def env(self) -> str:
        return PREFIX + self.name.replace(".", "__").upper()

    @property
    def secret(self) -> bool:
        return SecretStr in self.types


class Value(NamedTuple):
    value: Any
    source: str


class Mistake(NamedTuple):
    setting: str
    problem: str
    got: str
    source: str


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[Leaf]:
    """Every setting of a tree of models, by its dotted name."""
    for key, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, f"{prefix}{key}.")
        else:
            members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
            yield Leaf(prefix + key, frozenset(_plain(member) for member in members))


def _plain(kind: Any) -> Any:
    """A type without annotations and arguments: `dict[str, Decimal]` is `dict`."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    return get_origin(kind) or kind


def shown(leaf: Leaf | None, value: Any) -> str:
    """A value as a mistake may show it: short, on one line, no secret and no credentials of a URL."""
    if leaf is not None and leaf.secret:
        return MASK
    text = re.sub(r"//[^/]*@", f"//{MASK}@", value if isinstance(value, str) else repr(value))
    text = text.encode("unicode_escape").decode()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


class Layers:
    """Call the sources from the weakest to the strongest, then `nested()`."""

    def __init__(self, known: Iterable[Leaf]) -> None:
        self.values: dict[str, Value] = {}
        self.mistakes: list[Mistake] = []
        self._leaves = {leaf.name: leaf for leaf in known}
        self._by_env = {leaf.env: leaf for leaf in self._leaves.values()}
        self._groups = {name[:end] for name in self._leaves for end, letter in enumerate(name) if letter == "."}

    def toml(self, path: Path) -> None:
        try:
            self._table(tomllib.loads(path.read_text("utf-8")), str(path))
        except tomllib.TOMLDecodeError as error:
            self._mistake("", f"not valid TOML: {error}", "", str(path))
        except (OSError, UnicodeDecodeError) as error:
            self._mistake("", _unreadable(error), "", str(path))

    def dotenv(self, path: Path) -> None:
        """A file that does not exist is no mistake; names of other programs in it are none of ours."""
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            self._mistake("", _unreadable(error), "", str(path))
            return
        given: dict[str, str] = {}
        for binding in parse_stream(StringIO(text)):
            if binding.error or (binding.key is not None and binding.value is None):
                self._mistake(f"line {binding.original.line}", "not a line like NAME=value", "", str(path))
            elif binding.key is not None:
                given[binding.key] = binding.value or ""
        if any(value and name.upper() in self._secrets() for name, value in given.items()):
            self._check_private(path)
        self._names(given, str(path))

    def environment(self, env: Mapping[str, str]) -> None:
        self._names(env, "environment")

    def command_line(self, given: Mapping[str, Any]) -> None:
        """By dotted name; None is an option that was not given."""
        self._table({name: value for name, value in given.items() if value is not None}, COMMAND_LINE)

    def nested(self) -> dict[str, Any]:
        root: dict[str, Any] = {}
        for name, given in self.values.items():
            *groups, last = name.split(".")
            node = root
            for group in groups:
                node = node.setdefault(group, {})
            node[last] = given.value
        return root

    def refused(self, error: ValidationError) -> None:
        """Take over what the models found wrong, with the value and source of each."""
        for item in error.errors(include_url=False, include_context=False, include_input=False):
            name = ".".join(str(part) for part in item["loc"])
            given = self._given(name)
            self._mistake(name, item["msg"].removeprefix("Value error, "), *given)

    def forget(self, *groups: str) -> None:
        """Drop what was given for these settings and groups, right or wrong: whoever asks has no use for it."""

        def kept(name: str) -> bool:
            return name.partition(".")[0] not in groups

        self.values = {name: given for name, given in self.values.items() if kept(name)}
        self.mistakes = [each for each in self.mistakes if kept(_dotted(each.setting))]

    def _given(self, name: str) -> tuple[str, str]:
        """What was given for this setting, for the list or table it is an item of, or for settings of this group."""
        at = name
        while at:
            if at in self.values:
                return shown(self._leaf(at), self.values[at].value), self.values[at].source
            at = at.rpartition(".")[0]
        inside = {given.source for key, given in self.values.items() if key.startswith(f"{name}.")}
        return "", ", ".join(sorted(inside)) or "default"

    def _leaf(self, name: str) -> Leaf | None:
        return self._leaves.get(name) or self._leaves.get(name.rpartition(".")[0])

    def _table(self, table: Mapping[str, Any], source: str, prefix: str = "") -> None:
        for key, value in table.items():
            name = prefix + key
            if name in self._leaves:
                self._public(self._leaves[name], value, source)
            elif name not in self._groups:
                self._unknown(name, source, (*self._leaves, *self._groups))
            elif isinstance(value, Mapping):
                self._table(value, source, f"{name}.")
            else:
                self._mistake(name, "is a group of settings, not one value", "", source)

    def _names(self, given: Mapping[str, str], source: str) -> None:
        for name, value in given.items():
            upper = name.upper()
            if not upper.startswith(PREFIX):
                continue
            head, _, key = upper.rpartition("__")
            if upper in self._by_env:
                self._add(self._by_env[upper], value, f"{source} {name}")
            elif head in self._by_env and dict in self._by_env[head].types:
                self._item(self._by_env[head], key, value, f"{source} {name}")
            else:
                self._unknown(upper, source, self._by_env)

    def _item(self, leaf: Leaf, key: str, value: str, source: str) -> None:
        """One entry of a table; a list is written as JSON there, as in the whole table."""
        try:
            item = _json(value) if value.lstrip().startswith("[") else value
        except ValueError as error:
            self._mistake(f"{leaf.name}.{key}", str(error), value, source)
            return
        self._add(leaf, {key: item}, source)

    def _public(self, leaf: Leaf, value: Any, source: str) -> None:
        if leaf.secret:
            problem = f"a secret: give it as {leaf.env} in the environment or in .env, never here"
            self._mistake(leaf.name, problem, MASK, source)
        else:
            self._add(leaf, value, source)

    def _add(self, leaf: Leaf, value: Any, source: str) -> None:
        try:
            decoded = _decoded(leaf, value)
        except ValueError as error:
            self._mistake(leaf.name, str(error), shown(leaf, value), source)
            return
        if dict in leaf.types and isinstance(decoded, dict):  # keyed by coin, which is written in capitals
            self.values |= {f"{leaf.name}.{key.upper()}": Value(item, source) for key, item in decoded.items()}
        else:
            self.values[leaf.name] = Value(decoded, source)

    def _unknown(self, name: str, source: str, known: Iterable[str]) -> None:
        known = {other.removeprefix(PREFIX): other for other in known}  # what all names share makes none of them near
        near = get_close_matches(name.removeprefix(PREFIX), known, n=1, cutoff=0.5)
        self._mistake(name, "no such setting" + (f": did you mean {known[near[0]]}?" if near else ""), "", source)

    def _secrets(self) -> set[str]:
        return {leaf.env for leaf in self._leaves.values() if leaf.secret}

    def _check_private(self, path: Path) -> None:
        if os.name != "posix":
            return
        status = path.stat()
        if status.st_uid != os.geteuid():
            problem = f"holds secrets and belongs to another user: chown {os.geteuid()} {path}"
            self._mistake(str(path), problem, f"owner {status.st_uid}", str(path))
        elif status.st_mode & 0o077:
            problem = f"holds secrets and others can read it: chmod 600 {path}"
            self._mistake(str(path), problem, f"mode {status.st_mode & 0o777:o}", str(path))

    def _mistake(self, setting: str, problem: str, got: str, source: str) -> None:
        self.mistakes.append(Mistake(setting, problem, got, source))


def _dotted(name: str) -> str:
    """The dotted form of a name, as a file or as the environment writes it."""
    return name.removeprefix(PREFIX).replace("__", ".").lower() if name.startswith(PREFIX) else name


def _decoded(leaf: Leaf, value: Any) -> Any:
    """Text as its setting needs it: lists separated by commas (or JSON), tables as JSON, nothing as None."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if dict in leaf.types or (tuple in leaf.types and text.startswith("[")):
        return _json(text)
    if tuple in leaf.types:
        return [item.strip() for item in text.split(",") if item.strip()]
    if text:
        return value
    if NoneType in leaf.types:
        return None
    raise ValueError("is empty: give a value or leave it out")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON: {error.msg} at column {error.colno}") from None


def _unreadable(error: OSError | UnicodeDecodeError) -> str:
    reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
    return f"the file cannot be read: {reason}"
