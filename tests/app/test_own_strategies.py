"""A user's own strategies: found by file name, set like any other, part of the rules' identity, refused with the reason."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bot.app.desks import build_guards, strategies_of
from bot.app.settings import LEAVES, Settings, describe, load_settings, schema, settings_model, unsupported
from bot.domain.errors import ConfigError
from bot.trading.strategies.trend import Trend

GOOD = """
from pydantic import Field
from bot.domain.params import Params as Base

class FadeParams(Base):
    depth: float = Field(2.0, gt=0)
    names: tuple[str, ...] = ("a",)

class Fade:
    name = "fade"
    version = 3
    traded_on = ("ofi",)
    Params = FadeParams

    def __init__(self, settings):
        self.settings = settings

    def on_sample(self, instrument, view):
        return None
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`own` in an empty current folder."""
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "own"
    made.mkdir()
    return made


def write(text: str = GOOD, name: str = "fade.py") -> Path:
    path = Path("own", name)
    path.write_text(text)
    return path


def load(toml: str = "", env: Mapping[str, str] | None = None, **options: Any) -> Settings:
    Path("bot.toml").write_text(f'strategies_dir = "own"\n{toml}')
    return load_settings(env=env or {}, **options)


def refused(toml: str = "", env: Mapping[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(toml, env)
    return str(caught.value)


def setting(settings: Settings, name: str) -> Any:
    return getattr(getattr(settings.strategy, "fade"), name)  # noqa: B009 - known only when the program runs


def identity(toml: str = 'strategies = ["fade", "ofi"]') -> str:
    return build_guards(load(toml))[0]


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["bot.toml", "environment", "command line", ".env"])
def test_the_folder_is_named_anywhere(place: str) -> None:
    write()
    env, overrides = {}, {}
    if place == "bot.toml":
        Path("bot.toml").write_text('strategies_dir = "own"')
    elif place == ".env":
        Path(".env").write_text("BOT_STRATEGIES_DIR=own")
    elif place == "environment":
        env = {"BOT_STRATEGIES_DIR": "own"}
    else:
        overrides = {"strategies_dir": Path("own")}
    settings = load_settings(env={**env, "BOT_STRATEGIES": "fade,trend"}, overrides=overrides)
    assert settings.strategies == ("fade", "trend")
    assert setting(settings, "depth") == 2.0


def test_parameters_are_set_shown_and_described_like_any_other() -> None:
    write()
    env = {"BOT_STRATEGY__FADE__NAMES": "x, y", "BOT_STRATEGY__TREND__LOOKBACK": "20"}
    settings = load("strategy.fade.depth = 4.5", env)
    assert (setting(settings, "depth"), setting(settings, "names")) == (4.5, ("x", "y"))
    rows = {row.name: row for row in describe(settings)}
    assert (rows["strategy.fade.depth"].value, rows["strategy.fade.depth"].source) == ("4.5", "bot.toml")
    assert rows["strategy.fade.names"].source == "environment BOT_STRATEGY__FADE__NAMES"
    assert not rows["strategy.fade.depth"].default and rows["strategy.ofi.min_interval_s"].default
    assert rows["strategies_dir"].value == "own"
    definitions = schema(settings_model(env={}))["$defs"]
    assert set(definitions["StrategySettings"]["properties"]) == {"fade", "ofi", "trend"}
    assert "depth" in definitions["FadeParams"]["properties"]


@pytest.mark.parametrize(
    ("toml", "env", "problem"),
    [
        ("strategy.fade.depht = 1", {}, "did you mean strategy.fade.depth?"),
        ("", {"BOT_STRATEGY__FADE__DEPHT": "1"}, "did you mean BOT_STRATEGY__FADE__DEPTH?"),
        ("strategy.fad.depth = 1", {}, "did you mean strategy.fade"),
        ("strategy.fade.depth = 0", {}, "greater than 0"),
        ('strategies = ["fades"]', {}, "no such strategy: fades; there is ofi, trend, fade"),
    ],
)
def test_mistakes_in_them_are_told_like_any_other(toml: str, env: dict[str, str], problem: str) -> None:
    write()
    text = refused(toml, env)
    assert text.startswith("one mistake") and problem in text


def test_without_the_setting_nothing_is_looked_for_and_nothing_changes() -> None:
    write("raise SystemExit('was run')")
    (Path.cwd() / "fade.py").write_text("raise SystemExit('was run')")
    settings = load_settings(env={})
    assert type(settings) is Settings and settings.strategies_dir is None
    assert settings_model(env={"BOT_STRATEGIES_DIR": ""}) is Settings
    with pytest.raises(ConfigError, match="no such strategy: fade; there is ofi, trend"):
        load_settings(env={"BOT_STRATEGIES": "fade"})
    assert not any("fade" in leaf.name for leaf in LEAVES)


def test_a_folder_does_not_outlive_its_settings() -> None:
    write()
    load()
    assert "fade" not in Settings.strategy_classes
    assert not hasattr(load_settings(env={}, files=[Path(os.devnull)]).strategy, "fade")


def test_a_command_that_asks_no_strategy_runs_no_file_and_minds_no_setting_of_one() -> None:
    write("raise SystemExit('was run')")
    toml = 'strategies = ["fade"]\nstrategy.fade.depth = 1\naccount = "mine"'
    settings = load(toml, {"BOT_STRATEGY__FADE__X__Y": "1"}, strategies=False)
    assert (settings.account, settings.strategies) == ("mine", ("ofi",))
    with pytest.raises(ConfigError, match="accounts"):
        load(f"{toml}\n[accounts]\nx = 1", strategies=False)


def test_nothing_is_written_into_the_folder_and_helpers_are_passed_over(folder: Path) -> None:
    write()
    write("raise SystemExit('was run')", "_helper.py")
    write("raise SystemExit('was run')", "__init__.py")
    write("no python at all", "notes.txt")
    (folder / "subfolder.py").mkdir()
    assert list(load().strategy_files) == ["fade"]
    assert sorted(os.listdir(folder)) == ["__init__.py", "_helper.py", "fade.py", "notes.txt", "subfolder.py"]


def test_annotations_of_a_file_mean_what_they_say_in_it() -> None:
    """Neither with nor without `from __future__ import annotations` are they the loader's."""
    probe = "\nassert isinstance(FadeParams.__annotations__['depth'], {})\n"
    write(GOOD + probe.format("type"))
    load()
    write("from __future__ import annotations" + GOOD + probe.format("str"))
    assert setting(load("strategy.fade.depth = 3"), "depth") == 3.0


# --- identity --------------------------------------------------------------------------------------------------------


def test_version_content_and_parameters_are_part_of_the_rules() -> None:
    write()
    first = identity()
    assert identity() == first
    changed = {identity('strategies = ["fade", "ofi"]\nstrategy.fade.depth = 3')}
    write(GOOD + "\n# a comment\n")
    changed.add(identity())
    write(GOOD.replace("version = 3", "version = 4"))
    changed.add(identity())
    assert len(changed | {first}) == 4


def test_a_strategy_that_is_not_asked_is_no_part_of_them() -> None:
    write()
    asked_is = 'strategies = ["ofi"]'
    first = identity(asked_is)
    assert identity(f"{asked_is}\nstrategy.fade.depth = 3\nstrategy.trend.lookback = 9") == first
    write(GOOD + "\n# a comment\n")
    write(GOOD.replace('"fade"', '"other"'), "other.py")
    assert identity(asked_is) == first
    assert identity(f"{asked_is}\nstrategy.ofi.min_interval_s = 3") != first


def test_the_version_of_a_built_in_strategy_counts_as_long_as_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, not_asked = identity('strategies = ["trend"]'), identity("strategies = []")
    monkeypatch.setattr(Trend, "version", 2)
    assert identity('strategies = ["trend"]') != asked
    assert identity("strategies = []") == not_asked


# --- what cannot be used -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = 1\ndef f(:\n", "line 2: invalid syntax"),
        ("x = 'open\n", "line 1: unterminated string literal"),
        ("x = '\0'\n", "null bytes"),
        ("import pydantic\nimport nowhere_to_be_found\n", "ModuleNotFoundError: No module named 'nowhere_to_be_found' (line 2)"),
        ("\n\n1 / 0\n", "cannot be imported: ZeroDivisionError: division by zero (line 3)"),
        ("import sys\nsys.exit(3)\n", "cannot be imported: SystemExit: 3 (line 2)"),
        ("from . import other\n", "cannot be imported: ImportError"),
        ("", 'holds no class with name = "fade"'),
        (GOOD.replace('name = "fade"', 'name = "fader"'), 'holds no class with name = "fade"'),
        (GOOD + "\nclass Second(Fade):\n    pass\n", 'several classes with name = "fade": Fade, Second'),
        (GOOD.replace("version = 3", ""), "class Fade: version is missing"),
        (GOOD.replace("version = 3", "version = '3'"), "version is str, not int"),
        (GOOD.replace("Params = FadeParams", ""), "class Fade: Params is missing"),
        (GOOD.replace("Params = FadeParams", "Params = dict"), "Params is no class derived from bot.domain.params.Params"),
        (GOOD.replace("Field(2.0, gt=0)", "Field(gt=0)"), "Params.depth: Field required (every parameter needs a default"),
        (GOOD.replace("on_sample", "on_samples"), "class Fade: on_sample is missing"),
        (GOOD.replace('traded_on = ("ofi",)', ""), "class Fade: traded_on is missing"),
        (GOOD.replace('("ofi",)', '("off",)'), "traded_on: no reading is called 'off'"),
        (GOOD.replace('("ofi",)', '"ofi"'), "traded_on is no tuple of names of readings"),
        (GOOD.replace("version = 3", "").replace("on_sample", "x"), "version is missing; on_sample is missing"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_named_with_the_reason(text: str, problem: str) -> None:
    path = write(text)
    told = refused()
    assert f"{path}: " in told and problem in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("fade-2.py", "'fade-2' is no name for a strategy"),
        ("2fade.py", "'2fade' is no name for a strategy"),
        ("class.py", "'class' is no name for a strategy"),
        ("ofi.py", "there is another strategy ofi"),
        ("Trend.py", "there is another strategy trend"),
        ("model_dump.py", "settings need the name model_dump themselves"),
    ],
)
def test_a_name_that_cannot_be_used_is_told_before_the_file_is_run(name: str, problem: str) -> None:
    path = write("raise SystemExit('was run')", name)
    told = refused()
    assert f"{path}: " in told and problem in told and "was run" not in told


def test_all_files_that_cannot_be_used_are_told_at_once() -> None:
    write()
    write("1 / 0", "one.py")
    write("", "two.py")
    assert [line.partition(":")[0] for line in refused().splitlines()[1:]] == ["own/one.py", "own/two.py"]


def test_names_that_differ_in_capitals_only_would_share_their_settings(folder: Path) -> None:
    write(GOOD.replace('"fade"', '"Fade"'), "Fade.py")
    write()
    one_file = len(os.listdir(folder)) == 1  # where the disk knows no capitals
    assert one_file or "own/fade.py: there is another strategy fade" in refused()


@pytest.mark.parametrize("kind", ["missing", "file", "number"])
def test_a_folder_that_is_none_is_told(kind: str) -> None:
    Path("file").write_text("")
    Path("bot.toml").write_text("strategies_dir = 3" if kind == "number" else f'strategies_dir = "{kind}"')
    reason = {
        "missing": "missing cannot be read: No such file",
        "file": "file cannot be read: Not a directory",
        "number": "not a valid path",
    }
    with pytest.raises(ConfigError, match=reason[kind]) as caught:
        load_settings(env={})
    assert "strategies_dir" in str(caught.value)


def test_a_strategy_that_cannot_be_made_with_its_settings_is_told() -> None:
    write(GOOD.replace("self.settings = settings", "self.settings = settings.nothing"))
    line = 1 + GOOD.splitlines().index("        self.settings = settings")
    with pytest.raises(ConfigError, match=rf"strategy fade cannot be made .*AttributeError.*nothing.*\(line {line}\)"):
        strategies_of(load('strategies = ["fade"]'))


def test_a_folder_whose_strategies_are_not_asked_is_mentioned() -> None:
    assert "strategies_dir is set, but no strategy in it is asked" in unsupported(load())[1][0]
    write()
    assert "(there is fade)" in unsupported(load())[1][0]
    assert unsupported(load('strategies = ["fade"]')) == ([], [])


def test_a_file_read_again_is_what_it_is_now() -> None:
    write()
    first = load().strategy_classes["fade"]
    write(GOOD.replace("version = 3", "version = 4"))
    second = load().strategy_classes["fade"]
    assert (first.version, second.version) == (3, 4)
    assert sys.modules["own_strategy_fade"].Fade is second
