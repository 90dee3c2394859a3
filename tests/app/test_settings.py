"""Settings: where values come from, how mistakes are told, what is never shown, and what identifies a set of rules."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, SecretStr, ValidationError

from bot.app.plugins import find_guards, find_strategies
from bot.app.settings import LEAVES, Described, Settings, config_hash, describe, load_settings, schema, unsupported
from bot.app.sources import Layers, leaves
from bot.domain.errors import ConfigError
from bot.domain.params import Params

ROOT = Path(__file__).resolve().parents[2]
CANARY = "canary-7f3a"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str, mode: int = 0o600) -> Path:
    path = Path(name)
    path.write_text(text)
    path.chmod(mode)
    return path


def load(env: Mapping[str, str] | None = None, toml: str | None = None, **overrides: Any) -> Settings:
    if toml is not None:
        write("bot.toml", toml)
    dotted = {name.replace("__", "."): value for name, value in overrides.items()}
    return load_settings(env=env or {}, overrides=dotted)


def refused(env: Mapping[str, str] | None = None, toml: str | None = None, **overrides: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(env, toml, **overrides)
    return str(caught.value)


def shown(settings: Settings, name: str) -> Described:
    return next(line for line in describe(settings) if line.name == name)


def guard(settings: Settings, name: str) -> Any:
    return getattr(settings.guards, name)


# --- sources --------------------------------------------------------------------------------------------------------


def test_nothing_given_is_paper_on_the_embedded_exchange() -> None:
    settings = load()
    assert (settings.mode, settings.venue.name, settings.venue.tape) == ("paper", "sim", None)
    assert (settings.symbols, settings.strategies) == (("BTC/USDT:USDT",), ("ofi",))
    assert (settings.data_dir, settings.api.host, settings.api.port) == (Path("./data/sim"), "127.0.0.1", 8787)
    assert settings.guards.order == (
        "risk_limits",
        "probation",
        "session_window",
        "liquidation_wall",
        "long_trap",
        "whale_conflict",
        "taker_aggression",
        "wall_resistance",
    )


LAYERS = ("default", "bot.toml", ".env BOT_API__PORT", "environment BOT_API__PORT", "command line")


@pytest.mark.parametrize("strongest", range(len(LAYERS)), ids=LAYERS)
def test_the_stronger_source_wins_and_is_named(strongest: int) -> None:
    if strongest >= 1:
        write("bot.toml", "[api]\nport = 9001")
    if strongest >= 2:
        write(".env", "BOT_API__PORT=9002")
    env = {"BOT_API__PORT": "9003"} if strongest >= 3 else {}
    overrides = {"api.port": 9004} if strongest >= 4 else {}
    settings = load_settings(env=env, overrides=overrides)
    port = (8787, 9001, 9002, 9003, 9004)[strongest]
    assert settings.api.port == port
    assert shown(settings, "api.port") == Described("api.port", str(port), strongest == 0, LAYERS[strongest])


def test_of_several_files_the_later_wins_and_the_default_one_is_left_out() -> None:
    write("bot.toml", 'account = "from-default-file"')
    first = write("a.toml", "[api]\nport = 1\n[risk]\nmax_positions = 2")
    second = write("b.toml", "[api]\nport = 3")
    settings = load_settings(files=[first, second], env={})
    assert (settings.api.port, settings.risk.max_positions, settings.account) == (3, 2, "main")


def test_the_process_environment_is_read_unless_one_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_API__PORT", "9005")
    assert load_settings().api.port == 9005
    assert load_settings(env={}).api.port == 8787


def test_an_option_that_was_not_given_hides_nothing() -> None:
    assert load({"BOT_VENUE__SPEED": "20"}, venue__speed=None).venue.speed == 20


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("SYMBOLS", "BTC/USDT:USDT, ETH/USDT:USDT", ("BTC/USDT:USDT", "ETH/USDT:USDT")),
        ("SYMBOLS", '["ETH/USDT:USDT"]', ("ETH/USDT:USDT",)),
        ("STRATEGIES", "", ()),
        ("STRATEGIES", "ofi,", ("ofi",)),
        ("LADDER__TARGETS_PCT", "0.1,0.2,0.3,0.4", tuple(map(Decimal, ("0.1", "0.2", "0.3", "0.4")))),
        ("WALLS__TIERS", "3,4", (3, 4)),
        ("RISK__EQUITY_USD", "", None),
        ("RISK__EQUITY_USD", "250.50", Decimal("250.50")),
        ("EXITS__REVERSAL", "off", False),
        ("VENUE__TAPE", "~/tapes", Path.home() / "tapes"),
        ("VENUE__API_KEY", "", None),
        ("GUARDS__TAKER_AGGRESSION__RATIO", "1.2", Decimal("1.2")),
        ("GUARDS__PROBATION__SYMBOLS", "DOGE/USDT:USDT", ("DOGE/USDT:USDT",)),
        ("STRATEGY__OFI__MIN_INTERVAL_S", "7", 7),
        ("WALLS__INSTITUTIONAL_USD", '{"BTC":"30000000"}', {"BTC": Decimal(30_000_000)}),
        ("WALLS__INSTITUTIONAL_USD__BTC", "30000000", {"BTC": Decimal(30_000_000)}),
    ],
)
def test_text_of_the_environment_becomes_what_the_setting_is(name: str, text: str, expected: Any) -> None:
    value: Any = load({f"BOT_{name}": text})
    for part in name.lower().split("__")[: 2 if "INSTITUTIONAL" in name else None]:
        value = getattr(value, part)
    assert value == expected


def test_thresholds_by_coin_are_joined_coin_by_coin() -> None:
    toml = "[walls.institutional_usd]\nBTC = 20000000\neth = 5000000.5"
    settings = load({"BOT_WALLS__INSTITUTIONAL_USD__BTC": "30000000"}, toml)
    assert settings.walls.institutional_usd == {"BTC": Decimal(30_000_000), "ETH": Decimal("5000000.5")}
    line = shown(settings, "walls.institutional_usd")
    assert line.value == "BTC=30000000,ETH=5000000.5"
    assert line.source == "environment BOT_WALLS__INSTITUTIONAL_USD__BTC, bot.toml"


def test_decimals_of_a_file_are_what_is_written_there() -> None:
    assert guard(load(toml="[guards.taker_aggression]\nratio = 1.1001"), "taker_aggression").ratio == Decimal("1.1001")


def test_settings_cannot_be_changed() -> None:
    settings = load()
    with pytest.raises(ValidationError):
        settings.mode = "live"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.risk.max_positions = 99  # type: ignore[misc]


# --- mistakes -------------------------------------------------------------------------------------------------------


def test_all_mistakes_are_told_at_once_with_value_and_source() -> None:
    write(".env", "BOT_MODE=dry\n")
    text = refused(
        {"BOT_API__PORT": "99999", "BOT_SYMBOLS": "BTCUSDT"},
        "[guards.taker_aggression]\nratio = -1",
        venue__speed="fast",
    )
    first, head, *rows = text.splitlines()
    assert first.startswith("5 mistakes")
    assert head.split() == ["setting", "problem", "got", "source"]
    cells = {row.split()[0]: row for row in rows}
    assert len(rows) == 5
    for name, got, source in [
        ("mode", "dry", ".env BOT_MODE"),
        ("api.port", "99999", "environment BOT_API__PORT"),
        ("symbols", "BTCUSDT", "environment BOT_SYMBOLS"),
        ("guards.taker_aggression.ratio", "-1", "bot.toml"),
        ("venue.speed", "fast", "command line"),
    ]:
        assert got in cells[name]
        assert cells[name][head.index("source") :] == source


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ("BOT_ENGIN__MODE", "MODE"),
        ("BOT_SYMBOL", "BOT_SYMBOLS"),
        ("BOT_GUARDS__LONG_TRAPS__RATIO", "BOT_GUARDS__LONG_TRAP__RATIO"),
        ("BOT_VENUE_SPEED", "BOT_VENUE__SPEED"),
        ("BOT_XQZ", None),
    ],
)
@pytest.mark.parametrize("place", ["environment", ".env"])
def test_unknown_names_are_refused_with_the_nearest(given: str, nearest: str | None, place: str) -> None:
    if place == ".env":
        write(".env", f"{given}={CANARY}\nOTHER_PROGRAM=1")
        text = refused()
    else:
        text = refused({given: CANARY, "OTHER_PROGRAM": "1"})
    assert given in text and "no such setting" in text and text.endswith(place)
    assert ("did you mean" in text) is (nearest is not None)
    assert nearest is None or f"{nearest}?" in text
    assert CANARY not in text and "OTHER_PROGRAM" not in text


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("mod = 'paper'", "did you mean mode?"),
        ("[guards.long_trap]\nratios = 2", "did you mean guards.long_trap.ratio?"),
        ("[coinglas]\nplan = 'none'", "did you mean coinglass?"),
        ("venue = 'tape'", "is a group of settings"),
        ("[mode]\nname = 'paper'", "Input should be 'paper' or 'live'"),
        ("mode = paper", "not valid TOML"),
        ("strategies = ['ofi', 'ofi']", "named twice: ofi"),
        ("strategies = ['trends']", "no such strategy: trends; there is ofi, trend"),
        ("symbols = []", "at least 1 item"),
        ("data_dir = ''", "is empty"),
        ("account = 'a/b'", "pattern"),
        ("ladder.fractions = [0.5, 0.5, 0.5, 0.5]", "must not be negative and must add up to 1"),
        ("venue.rest_url = 'host:80'", "must be like https://host"),
        ("venue.speed = 0", "greater than 0"),
        ("venue.speed = 10000.5", "less than or equal to 10000"),
        ("venue.speed = nan", "finite number"),
    ],
)
def test_mistakes_of_a_file_name_it(toml: str, problem: str) -> None:
    text = refused(toml=toml)
    assert text.startswith("one mistake")
    assert problem in text
    assert text.endswith("bot.toml")


@pytest.mark.parametrize(
    ("order", "problem"),
    [
        ([], "missing: liquidation_wall, long_trap, probation"),
        (["risk_limits", "risk_limits"], "named twice: risk_limits"),
        (["risk_limit"], "no such guard: risk_limit"),
    ],
)
def test_the_order_names_every_guard_once(order: list[str], problem: str) -> None:
    assert problem in refused(toml=f"[guards]\norder = {order}")


def test_another_order_is_taken() -> None:
    order = list(reversed(load().guards.order))
    assert load({"BOT_GUARDS__ORDER": ",".join(order)}).guards.order == tuple(order)


@pytest.mark.parametrize("name", ["risk_limits", "probation"])
def test_what_keeps_the_account_safe_cannot_be_switched_off(name: str) -> None:
    assert f"guards.{name}.enabled" in refused({f"BOT_GUARDS__{name.upper()}__ENABLED": "false"})


def test_a_file_asked_for_must_be_there_and_readable() -> None:
    binary = Path("binary.toml")
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError) as caught:
        load_settings(files=[Path("absent.toml"), binary], env={})
    text = str(caught.value)
    assert "No such file" in text and "absent.toml" in text
    assert "not UTF-8 text" in text and "binary.toml" in text


def test_lines_of_dotenv_that_cannot_be_read_are_told_without_their_text() -> None:
    write(".env", f"BOT_MODE=paper\nBOT_API__TOKEN {CANARY}\nBOT_API__PORT\n")
    text = refused()
    assert text.startswith("2 mistakes")
    assert "line 2" in text and "line 3" in text
    assert CANARY not in text


def test_json_that_cannot_be_read_is_told() -> None:
    assert "not valid JSON" in refused({"BOT_WALLS__INSTITUTIONAL_USD": "BTC=1"})
    assert "not valid JSON" in refused({"BOT_WALLS__TIERS": "[4"})


# --- secrets --------------------------------------------------------------------------------------------------------

SECRETS = [leaf for leaf in LEAVES if leaf.secret]


def test_the_secrets_are_these() -> None:
    names = {"venue.api_key", "venue.secret", "venue.password", "coinglass.api_key", "api.token"}
    assert {leaf.name for leaf in SECRETS} == names


def test_secrets_are_never_shown() -> None:
    settings = load({leaf.env: f"{CANARY}-{number}" for number, leaf in enumerate(SECRETS)})
    assert settings.venue.api_key == SecretStr(f"{CANARY}-0")
    for text in (repr(settings), str(settings), settings.model_dump_json(), str(describe(settings)), str(schema())):
        assert CANARY not in text
    assert [line.value for line in describe(settings) if line.name == "venue.secret"] == ["********"]
    assert CANARY not in str(unsupported(settings))


@pytest.mark.parametrize("leaf", SECRETS, ids=lambda leaf: leaf.name)
def test_a_secret_in_a_file_or_argument_is_a_mistake_that_does_not_show_it(leaf: Any) -> None:
    group, key = leaf.name.split(".")
    argument: dict[str, Any] = {leaf.name.replace(".", "__"): CANARY}
    for text in (
        refused(toml=f'[{group}]\n{key} = "{CANARY}"'),
        refused(toml=f'[{group}.{key}]\nvalue = "{CANARY}"'),
        refused(None, "", **argument),
    ):
        assert leaf.name in text and f"give it as {leaf.env}" in text
        assert CANARY not in text


@pytest.mark.parametrize(
    "toml",
    [
        f'[coinglass]\napikey = "{CANARY}"',
        f'coinglass = "{CANARY}"',
        f'api_key = "{CANARY}"',
        f'[venue]\nrest_url = "https://user:{CANARY}@host"',
        f'[venue]\napi_key = "{CANARY}',
    ],
)
def test_a_secret_in_the_wrong_place_is_not_shown_either(toml: str) -> None:
    assert CANARY not in refused(toml=toml)


def test_a_secret_that_its_setting_refuses_is_not_shown() -> None:
    class Picky(Params):
        key: SecretStr = Field(SecretStr(""), min_length=99)

    layers = Layers(leaves(Picky))
    layers.environment({"BOT_KEY": CANARY})
    with pytest.raises(ValidationError) as caught:
        Picky.model_validate(layers.nested())
    layers.refused(caught.value)
    assert [(mistake.setting, mistake.got) for mistake in layers.mistakes] == [("key", "********")]
    assert CANARY not in str(layers.mistakes) + str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="file modes are a matter of POSIX systems")
@pytest.mark.parametrize(
    ("text", "mode", "accepted"),
    [
        (f"BOT_API__TOKEN={CANARY}", 0o600, True),
        (f"BOT_API__TOKEN={CANARY}", 0o400, True),
        (f"BOT_API__TOKEN={CANARY}", 0o640, False),
        (f"export BOT_API__TOKEN={CANARY}", 0o604, False),
        ("BOT_API__TOKEN=", 0o644, True),
        ("BOT_API__PORT=1", 0o644, True),
    ],
)
def test_dotenv_with_secrets_must_be_private(text: str, mode: int, accepted: bool) -> None:
    write(".env", text, mode)
    if accepted:
        load()
        return
    message = refused()
    assert "chmod 600 .env" in message and f"mode {mode:o}" in message
    assert CANARY not in message


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a file away")
def test_dotenv_with_secrets_must_be_ones_own() -> None:
    path = write(".env", f"BOT_API__TOKEN={CANARY}")
    os.chown(path, 12345, -1)
    assert "belongs to another user" in refused()


def test_dotenv_takes_values_as_they_are() -> None:
    write(".env", "BOT_API__TOKEN='a$HOME${X}b'  # mine\nexport BOT_API__PORT=\"9\"\n")
    settings = load()
    assert settings.api.token == SecretStr("a$HOME${X}b")
    assert settings.api.port == 9


@pytest.mark.parametrize(
    ("host", "token", "weak"),
    [
        ("0.0.0.0", "fifteen-letters", True),
        ("0.0.0.0", "sixteen--letters", False),
        ("192.168.1.5", "", True),
        ("127.0.0.1", "short", False),
        ("::1", "short", False),
    ],
)
def test_a_token_that_others_may_try_must_be_long(host: str, token: str, weak: bool) -> None:
    given = {"api": {"host": host, "token": token}}
    if weak:
        with pytest.raises(ValidationError, match=r"api\.token is too short"):
            Settings.model_validate(given)
    else:
        assert Settings.model_validate(given).api.hosts == ()


# --- identity and limits of this version ----------------------------------------------------------------------------

VERSIONS = {"guard:long_trap": 1, "strategy:ofi": 1}


def identity(**env: str) -> str:
    return config_hash(load({f"BOT_{name}": value for name, value in env.items()}), VERSIONS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SYMBOLS", "ETH/USDT:USDT"),
        ("STRATEGIES", ""),
        ("FEES__TAKER_PCT", "0.06"),
        ("PAPER__LATENCY_MS", "151"),
        ("WALLS__INSTITUTIONAL_USD__BTC", "1"),
        ("GUARDS__LONG_TRAP__RATIO", "2.0001"),
        ("GUARDS__LONG_TRAP__ENABLED", "no"),
        ("STRATEGY__OFI__MIN_INTERVAL_S", "16"),
        ("COINGLASS__PLAN", "none"),
    ],
)
def test_a_setting_that_affects_decisions_changes_the_hash(name: str, value: str) -> None:
    assert identity(**{name: value}) != identity()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCOUNT", "other"),
        ("DATA_DIR", "/elsewhere"),
        ("VENUE__TAPE", "/elsewhere"),
        ("VENUE__SPEED", "50"),
        ("VENUE__REST_URL", "https://host"),
        ("VENUE__API_KEY", CANARY),
        ("COINGLASS__API_KEY", CANARY),
        ("COINGLASS__BASE_URL", "https://host"),
        ("DERIBIT__BASE_URL", "https://host"),
        ("API__HOST", "::1"),
        ("API__HOSTS", "bot.example"),
        ("API__PORT", "1"),
        ("API__TOKEN", CANARY),
        ("GUARDS__LONG_TRAP__RATIO", "2.000"),
        ("GUARDS__LONG_TRAP__RATIO", "2"),
    ],
)
def test_who_where_how_fast_and_how_written_do_not(name: str, value: str) -> None:
    assert identity(**{name: value}) == identity()


def test_the_hash_knows_the_versions_and_is_the_same_tomorrow() -> None:
    settings = load()
    assert config_hash(settings, {**VERSIONS, "guard:long_trap": 2}) != config_hash(settings, VERSIONS)
    code = f"from bot.app.settings import *; print(config_hash(Settings(), {VERSIONS}))"
    env = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"}
    other = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == config_hash(settings, VERSIONS)
    assert len(config_hash(settings, VERSIONS)) == 16


def test_what_this_version_cannot_do_is_said() -> None:
    assert unsupported(load()) == ([], [])
    errors, notices = unsupported(load({"BOT_MODE": "live", "BOT_VENUE__NAME": "kraken"}))
    assert [error.split(":")[0] for error in errors] == ["mode = live", "venue.name = kraken"]
    assert "there is sim, tape, binanceusdm" in errors[1] and notices == []


def test_a_made_up_market_has_a_folder_of_its_own_unless_one_is_named() -> None:
    for given, folder in (
        ({}, "data/sim"),
        ({"BOT_VENUE__NAME": "sim"}, "data/sim"),
        ({"BOT_DATA_DIR": "mine"}, "mine"),
        ({"BOT_VENUE__NAME": "tape"}, "data"),
        ({"BOT_VENUE__NAME": "binanceusdm"}, "data"),
        ({"BOT_VENUE__TAPE": "some/tape"}, "data"),
    ):
        assert load(given).data_dir == Path(folder), given


def test_who_names_a_tape_wants_it_played() -> None:
    assert load({"BOT_VENUE__TAPE": "some/tape"}).venue.name == "tape"
    assert load({"BOT_VENUE__TAPE": "some/tape", "BOT_VENUE__NAME": "bybit"}).venue.name == "bybit"


def test_what_the_embedded_exchange_passes_over_is_said() -> None:
    given = {
        "BOT_VENUE__REST_URL": "http://127.0.0.1:1",
        "BOT_COINGLASS__API_KEY": "x",
        "BOT_WALLS__VENUES": "okx",
    }
    errors, notices = unsupported(load(given))
    assert errors == [] and len(notices) == 3
    assert all("embedded exchange asks nobody" in notice for notice in notices)


@pytest.mark.parametrize(
    "name",
    [
        *("venue.rest_url", "venue.ws_url", "venue.api_key", "venue.secret", "venue.password"),
        *("coinglass.api_key", "coinglass.base_url", "deribit.base_url"),
    ],
)
def test_what_is_set_without_effect_is_said(name: str) -> None:
    value = f"{'wss' if 'ws_' in name else 'https'}://host:443" if name.endswith("url") else CANARY
    errors, notices = unsupported(load({f"BOT_{name.replace('.', '__').upper()}": value}))
    assert errors == [] and len(notices) == 1
    assert notices[0].startswith(f"{name} is set, but ")


# --- the shop window ------------------------------------------------------------------------------------------------


def test_every_plug_in_has_its_group() -> None:
    settings = load()
    for name, found in find_guards().items():
        assert isinstance(getattr(settings.guards, name), found.Params)
    for name, strategy in find_strategies().items():
        assert isinstance(getattr(settings.strategy, name), strategy.Params)


def test_schema_knows_the_plug_ins_and_refuses_other_names() -> None:
    definitions = schema()["$defs"]
    assert schema()["additionalProperties"] is False
    assert "taker_aggression" in definitions["GuardSettings"]["properties"]
    assert "ofi" in definitions["StrategySettings"]["properties"]


def test_the_example_loads_as_it_is_and_holds_the_defaults() -> None:
    example = (ROOT / ".env.example").read_text()
    write(".env", example)
    assert all(line.source == "default" for line in describe(load()))
    in_use = "\n".join(line.removeprefix("#") if line.startswith("#BOT_") else line for line in example.splitlines())
    write(".env", in_use)
    settings = load()
    assert [line for line in describe(settings) if not line.default] == []
    given = {line.name for line in describe(settings) if line.source != "default"}
    assert len(given) == example.count("\n#BOT_") - 1  # an empty table of coins gives none


@pytest.mark.parametrize(
    ("env", "told"),
    [
        (
            {"BOT_STRATEGIES": "trend", "BOT_STRATEGY__TREND__BAR_S": "120"},
            "strategy.trend.bar_s = 120: no such bars are kept; add the width to bars.widths_s",
        ),
        (
            {"BOT_STOP__MODE": "atr", "BOT_STOP__ATR_WIDTH_S": "120"},
            "stop.atr_width_s = 120: no such bars are kept; add the width to bars.widths_s",
        ),
        (
            {"BOT_EXITS__TRAILING": "true", "BOT_STOP__ATR_WIDTH_S": "120"},
            "stop.atr_width_s = 120: no such bars are kept; add the width to bars.widths_s",
        ),
    ],
)
def test_bars_that_a_rule_needs_and_nobody_keeps_are_told_before_the_start(env: dict[str, str], told: str) -> None:
    assert unsupported(load(env))[0] == [told]
    assert unsupported(load({**env, "BOT_BARS__WIDTHS_S": "60,120,300"}))[0] == []


def test_a_table_of_one_coin_can_be_a_list() -> None:
    settings = load({"BOT_PAPER__BRACKETS__BTC": "[[1000, 1], [2000, 2.5]]"})
    assert settings.paper.brackets == {
        "BTC": ((Decimal(1000), Decimal(1)), (Decimal(2000), Decimal("2.5"))),
    }
    assert "not valid JSON" in refused({"BOT_PAPER__BRACKETS__BTC": "[[1000,"})


@pytest.mark.parametrize("usd", ["1e13", "1000000000000.1", "0", "0.000000001", "nan", "inf"])
def test_an_equity_that_sums_would_not_be_exact_with_is_refused(usd: str) -> None:
    """Beyond 28 digits a fee would be lost in rounding."""
    assert "paper.equity_usd" in refused({"BOT_PAPER__EQUITY_USD": usd})
    assert load({"BOT_PAPER__EQUITY_USD": "1000000000000"}).paper.equity_usd == 10**12


@pytest.mark.parametrize(
    ("venues", "told"),
    [
        ("bybit,okx", None),
        ("", None),
        ("bybit,nonsense", "walls.venues = nonsense: no such venue; there is "),
        ("tape", "walls.venues = tape: no such venue"),
        ("okx,okx", "walls.venues = okx, okx: a venue is named twice"),
    ],
)
def test_venues_of_walls_are_known_and_named_once(venues: str, told: str | None) -> None:
    errors, _ = unsupported(load({"BOT_WALLS__VENUES": venues, "BOT_VENUE__NAME": "binanceusdm"}))
    about = [error for error in errors if error.startswith("walls.venues")]
    assert not about if told is None else about and told in about[0]
