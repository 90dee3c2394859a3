"""Readings of a live market: the real process between a venue, Deribit and CoinGlass, each a server on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bot.runtime.clock import RealClock
from tests.e2e.running import SYMBOL, Engine, Json, bot, until
from tests.servers import coinglass as cg
from tests.servers.binance_public import BinancePublic
from tests.servers.deribit import DeribitServer, deribit_server
from tests.servers.threaded import threaded

ROWS: list[dict[str, Any]] = [
    {
        "instrument_name": f"BTC-27DEC30-{strike}-{kind}",
        "open_interest": 100.0,
        "base_currency": "BTC",
        "quote_currency": "BTC",
        "underlying_price": 60_000.0,
        "mark_iv": 50.0,
    }
    for strike in (50_000, 60_000, 70_000)
    for kind in "CP"
]


@pytest.fixture(scope="module")
def venue() -> Iterator[BinancePublic]:
    with BinancePublic() as server:
        yield server


@pytest.fixture(scope="module")
def deribit() -> Iterator[DeribitServer]:
    with threaded(lambda: deribit_server(ROWS)) as server:
        yield server


@pytest.fixture
def coinglass() -> Iterator[cg.CoinGlassServer]:
    with threaded(lambda: cg.coinglass_server(RealClock().now_ns)) as server:
        yield server


def settings(
    folder: Path, venue: BinancePublic, deribit: DeribitServer, coinglass: cg.CoinGlassServer | None
) -> dict[str, str]:
    given = {
        "BOT_STRATEGIES": "",
        "BOT_VENUE__NAME": "binanceusdm",
        "BOT_DERIBIT__BASE_URL": deribit.url,
        "XDG_STATE_HOME": str(folder / "state"),
        **venue.settings,
    }
    if coinglass is not None:
        given |= {"BOT_COINGLASS__API_KEY": cg.KEY, "BOT_COINGLASS__BASE_URL": coinglass.url}
    return given


def readings(engine: Engine) -> dict[str, Json]:
    return {row["name"]: row for row in engine.get("/api/readings")}


def source(row: Json, name: str) -> Json:
    found: Json = next(each for each in row["sources"] if each["source"] == name)
    return found


def doctor(folder: Path, given: dict[str, str]) -> tuple[int, Json]:
    told = bot("doctor", "--data-dir", "data", "--json", cwd=folder, **given)
    return told.code, json.loads(told.out)


def test_the_smallest_plan_gives_what_it_sells_and_nothing_is_silently_off(
    venue: BinancePublic, deribit: DeribitServer, coinglass: cg.CoinGlassServer, tmp_path: Path
) -> None:
    given = settings(tmp_path, venue, deribit, coinglass)
    with Engine(tmp_path / "data", **given) as engine:
        until(lambda: readings(engine)["taker_5m"]["source"] == "coinglass", "CoinGlass' taker volumes")
        until(lambda: readings(engine)["max_pain"]["source"] == "coinglass", "CoinGlass' max pain")
        rows: Any = until(
            lambda: (r := readings(engine))["long_short"]["state"] == "FRESH" and r, "the venue's long/short"
        )
        assert rows["taker_5m"]["unit"] == "USD" and source(rows["taker_5m"], "coinglass")["next_s"] is not None
        assert "not in plan hobbyist" in source(rows["walls"], "coinglass")["reason"]
        assert "not in plan hobbyist" in source(rows["liquidation_clusters"], "coinglass")["reason"]
        assert rows["long_short"]["source"] == "venue"
        assert rows["regime"]["state"] == "FRESH", "history was there at the start"
        interest = source(rows["oi_delta_5m"], "venue")  # its five minutes may not have passed yet
        assert interest["state"] == "FRESH" or "not known yet" in interest["reason"]
        assert engine.signal("edge", "long").status == 201
        verdicts = {each["guard"]: each for each in engine.get(f"/api/why?q={SYMBOL}")["verdicts"]}
        assert verdicts["taker_aggression"]["reading_source"] == "coinglass"
        budget = engine.get("/api/health")["budgets"]["coinglass"]
        assert 0 < budget["used"] <= budget["allowed"] == 24
        code, found = doctor(tmp_path, given)
        assert code == 0 and found["ok"], found["findings"]
        assert found["coinglass"]["plan"]["told"] == "HOBBYIST"
        assert 0 < found["coinglass"]["calls"]["spent"] <= found["coinglass"]["calls"]["allowed"] == 24
        paid = {row["name"]: row["coinglass"] for row in found["readings"]}
        assert paid["taker_5m"] == "covered" and "from own" in paid["walls"]
        longs = {row["name"] for row in found["guards"] if row["filters"] == ["long"]}
        assert longs == {"liquidation_wall", "long_trap", "taker_aggression", "wall_resistance"}
        assert cg.KEY not in json.dumps(found) and cg.KEY not in json.dumps(engine.get("/api/health"))
    times = sorted(call.at_ns for call in coinglass.calls)
    assert all(later - earlier >= 2.45e9 for earlier, later in pairwise(times))


def test_without_a_key_coinglass_is_never_asked_and_deribit_stands_in(
    venue: BinancePublic, deribit: DeribitServer, coinglass: cg.CoinGlassServer, tmp_path: Path
) -> None:
    given = settings(tmp_path, venue, deribit, coinglass)
    del given["BOT_COINGLASS__API_KEY"]
    with Engine(tmp_path / "data", **given) as engine:
        pain: Any = until(lambda: (r := readings(engine)["max_pain"])["value"] is not None and r, "max pain")
        assert (pain["source"], pain["value"]["price"], pain["value"]["expiry"]) == ("deribit", "60000", "2030-12-27")
        assert pain["value"]["atm_iv_pct"] == 50.0
        code, found = doctor(tmp_path, given)
        assert code == 0 and found["coinglass"] is None
        assert {row["coinglass"] for row in found["readings"]} <= {"", "no key"}
    assert coinglass.calls == []


def test_young_readings_survive_a_restart_with_their_age(
    venue: BinancePublic, deribit: DeribitServer, tmp_path: Path
) -> None:
    given = settings(tmp_path, venue, deribit, None)
    with Engine(tmp_path / "data", **given) as first:
        until(lambda: readings(first)["max_pain"]["state"] == "FRESH", "max pain")
        assert first.interrupt().code == 130
    deribit.behaviour = "error"
    try:
        with Engine(tmp_path / "data", **given) as second:
            pain: Any = until(
                lambda: (r := readings(second)["max_pain"])["value"] is not None and r, "the kept reading"
            )
            assert (pain["source"], pain["state"], pain["value"]["price"]) == ("deribit", "FRESH", "60000")
            assert pain["age_s"] > 0.5
            until(lambda: second.get("/api/events?kinds=INTEL_ERROR"), "word of the provider's failure")
            assert readings(second)["max_pain"]["state"] == "FRESH", "a failure hides no number that is young"
    finally:
        deribit.behaviour = "ok"


def test_a_refused_key_is_said_and_the_engine_goes_on(
    venue: BinancePublic, deribit: DeribitServer, coinglass: cg.CoinGlassServer, tmp_path: Path
) -> None:
    coinglass.key = "another"
    given = settings(tmp_path, venue, deribit, coinglass)
    with Engine(tmp_path / "data", **given) as engine:
        told = until(lambda: engine.get("/api/events?kinds=INTEL_ERROR"), "word of the refusal")
        assert any(each["source"] == "coinglass" and "key" in each["data"]["problem"] for each in told)
        until(lambda: engine.get("/api/status")["state"] == "ACTIVE", "an engine that trades on")
        code, found = doctor(tmp_path, given)
        assert code == 3 and not found["ok"]
        engine.interrupt()
    asked = len(coinglass.calls)
    code, found = doctor(tmp_path, given)
    assert code == 3 and "refused" in json.dumps(found["findings"])
    assert 0 < len(coinglass.calls) - asked <= 2, json.dumps(found["findings"])


def test_a_plan_that_shrinks_while_it_runs_is_noticed(
    venue: BinancePublic, deribit: DeribitServer, coinglass: cg.CoinGlassServer, tmp_path: Path
) -> None:
    coinglass.level = "PROFESSIONAL"
    with Engine(tmp_path / "data", **settings(tmp_path, venue, deribit, coinglass)) as engine:
        until(lambda: readings(engine)["liquidation_clusters"]["source"] == "coinglass", "CoinGlass' clusters")
        coinglass.level = "HOBBYIST"
        until(
            lambda: "not in plan" in source(readings(engine)["walls"], "coinglass")["reason"],
            "the walls' end in the plan",
        )
        assert any(each["source"] == "coinglass" for each in engine.get("/api/events?kinds=INTEL_ERROR"))
        assert readings(engine)["taker_5m"]["source"] == "coinglass"
