"""Paper on a venue's public data: the real process on real sockets, and what it does when these fail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.running import SYMBOL, Engine, Json, bot, events_in, until
from tests.servers.binance_public import BinancePublic

QUICK = {
    "BOT_STRATEGIES": "",
    "BOT_RISK__REDUCING_CLEAR_S": "0",
    "BOT_RISK__COOLDOWN_S": "0",
    "BOT_RISK__ENTRIES_PER_SYMBOL_DAY": "1000",
    "BOT_RISK__ENTRIES_PER_DAY": "1000",
}


@pytest.fixture(scope="module")
def venue() -> Iterator[BinancePublic]:
    with BinancePublic() as server:
        yield server


@pytest.fixture(scope="module")
def engine(venue: BinancePublic, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("public")
    with Engine(folder / "data", "--venue", "binanceusdm", **QUICK, **venue.settings) as running:
        active(running)
        until(lambda: status(running)["markets"][0]["trade_age_s"] is not None, "a trade")
        yield running


def status(engine: Engine) -> Json:
    told: Json = engine.get("/api/status")
    return told


def active(engine: Engine) -> None:
    until(lambda: status(engine)["state"] == "ACTIVE", "a usable book")


def opened(engine: Engine, name: str) -> list[Json]:
    """Positions, once a signal was allowed and its entry filled: data may be too old for one on a machine that is busy."""
    numbers = count()

    def tried() -> list[Json]:
        assert engine.signal(f"{name}-{next(numbers)}", "short").status == 201
        positions: list[Json] = engine.get("/api/positions")
        return positions

    return until(tried, "an open position")


def kinds(engine: Engine, kind: str) -> int:
    return int(status(engine)["this_session"]["events"].get(kind, 0))


def test_the_book_is_the_venues_and_a_position_opens_is_protected_and_closes(engine: Engine) -> None:
    market = status(engine)["markets"][0]
    assert market["usable"] and market["bid"] < market["ask"]
    assert market["book_age_s"] < 5
    until(lambda: status(engine)["markets"][0]["mark_source"] == "venue", "a mark price of the venue's own")
    [position] = opened(engine, "one")
    until(lambda: {o["leg"] for o in engine.get("/api/orders")} >= {"stop", "tier_1"}, "its stop and its targets")
    assert engine.post("/api/close", {"symbol": SYMBOL}).status == 202
    until(lambda: not engine.get("/api/positions"), "its close")
    assert position["quantity"]


def test_a_cut_is_told_at_once_entries_are_refused_and_the_book_comes_back_by_itself(
    engine: Engine, venue: BinancePublic
) -> None:
    active(engine)
    downs, snapshots = kinds(engine, "FEED_DOWN"), venue.snapshots
    venue.refusing = True
    venue.cut()
    until(lambda: kinds(engine, "FEED_DOWN") > downs, "word of the cut")
    until(lambda: status(engine)["state"] == "REDUCING", "the refusal of entries")
    refused = engine.signal(f"cut-{downs}", "short").body
    assert (refused["allowed"], refused["blocker"]) == (False, "risk_limits")
    venue.refusing = False
    active(engine)
    assert venue.snapshots > snapshots, "the book was replaced, not continued"


def test_a_lost_message_makes_the_book_unusable_and_a_snapshot_replaces_it(
    engine: Engine, venue: BinancePublic
) -> None:
    active(engine)
    resyncs, snapshots = kinds(engine, "BOOK_RESYNC"), venue.snapshots
    venue.lose_a_depth_message()
    until(lambda: kinds(engine, "BOOK_RESYNC") >= resyncs + 2, "the gap and its end")
    active(engine)
    assert venue.snapshots > snapshots


def test_snapshots_that_are_too_old_are_refused_until_one_is_not(engine: Engine, venue: BinancePublic) -> None:
    active(engine)
    snapshots, asked = venue.snapshots, len(engine.get("/api/events?kinds=BOOK_RESYNC"))
    venue.stale_snapshots = 3
    venue.lose_a_depth_message()
    until(lambda: venue.stale_snapshots == 0, "three that are too old")
    active(engine)
    assert venue.snapshots >= snapshots + 4
    told = engine.get("/api/events?kinds=BOOK_RESYNC")[asked:]
    assert [each["data"]["usable"] for each in told][-1] is True
    assert any("older than the first change after it" in each["data"]["reason"] for each in told), told


def test_silence_is_a_failure_even_where_pings_are_answered(engine: Engine, venue: BinancePublic) -> None:
    active(engine)
    connections = venue.connections
    venue.silent = True
    until(lambda: status(engine)["state"] == "REDUCING", "the refusal of entries")
    venue.silent = False
    until(lambda: venue.connections > connections, "another connection")
    active(engine)
    told = [e["data"]["reason"] for e in engine.get("/api/events?kinds=FEED_DOWN")]
    assert any("silent for 5 s" in reason for reason in told)


@pytest.mark.parametrize(("ahead_s", "what"), [(3600, "ahead of our clock"), (-3600, "behind our clock")])
def test_a_clock_that_is_an_hour_wrong_is_told_and_refuses_entries_until_it_is_right(
    engine: Engine, venue: BinancePublic, ahead_s: int, what: str
) -> None:
    active(engine)
    numbers = count()

    def reason() -> str:
        body = engine.signal(f"clock{ahead_s}-{next(numbers)}", "long").body
        return "" if body["allowed"] else str(engine.get(f"/api/why?q={SYMBOL}")["verdicts"][0]["reason"])

    venue.clock_ahead_s = ahead_s
    until(lambda: what in reason(), "word of the clock")
    assert abs(status(engine)["markets"][0]["stamped_ahead_s"] - ahead_s) < 60
    venue.clock_ahead_s = 0
    until(lambda: "clock" not in reason(), "the end of the refusals")
    assert status(engine)["bad_frames"] == 0


def test_a_second_session_goes_on_with_the_account_of_the_first(venue: BinancePublic, tmp_path: Path) -> None:
    options = ("--venue", "binanceusdm")
    with Engine(tmp_path / "data", *options, **QUICK, **venue.settings) as first:
        active(first)
        until(lambda: status(first)["markets"][0]["trade_age_s"] is not None, "a trade")
        [position] = opened(first, "a")
        working = {"stop", *(f"tier_{number}" for number in range(1, 5))}
        until(
            lambda: {e["data"]["leg"] for e in first.get("/api/events?kinds=ORDER_ACK")} >= working,
            "word of its orders",
        )
        first.wait_for(
            "POSITION_OPENED"
        )  # and all that is on the disk: what the venue accepted without a trace is not there
        first.process.kill()
        first.process.wait()
    with Engine(tmp_path / "data", *options, **QUICK, **venue.settings) as second:
        active(second)
        [held] = second.get("/api/positions")
        assert held["position_id"] == position["position_id"]
        assert len(second.get("/api/orders")) == 5
        assert second.post("/api/close", {"symbol": SYMBOL}).status == 202
        until(lambda: not second.get("/api/positions"), "its close")
        assert second.interrupt().code == 130
    assert [e["data"]["start"] for e in events_in(tmp_path / "data") if e["kind"] == "ENGINE_STARTED"] == [
        "fresh",
        "carry",
    ]


def test_a_venue_that_is_not_there_is_told_in_a_line_before_anything_starts(tmp_path: Path) -> None:
    ended = bot(
        *("run", "--venue", "binanceusdm", "--data-dir", "data"),
        cwd=tmp_path,
        BOT_VENUE__REST_URL="http://127.0.0.1:9",
        BOT_VENUE__WS_URL="ws://127.0.0.1:9",
    )
    assert ended.code == 3
    assert re.search(r"http://127\.0\.0\.1:9/fapi/v1/exchangeInfo cannot be reached", ended.err)
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("command", [("run",), ("record", "live", "tape")])
def test_a_symbol_that_the_venue_does_not_list_is_told_with_what_is_near(
    venue: BinancePublic, tmp_path: Path, command: tuple[str, ...]
) -> None:
    options = ("--venue", "binanceusdm", "--symbols", "BTC/USDC:USDC")
    ended = bot(*command, *options, cwd=tmp_path, **venue.settings)
    assert ended.code == 2
    assert "binanceusdm does not list BTC/USDC:USDC for trading now; near it are BTC/USDT:USDT" in ended.err
    assert "tape" not in ended.err


# --- trades of before the stream ------------------------------------------------------------------------------------


def whales(engine: Engine) -> tuple[str, Json, str]:
    [row] = [row for row in engine.get(f"/api/readings?symbol={SYMBOL}") if row["name"] == "whale_cvd"]
    return row["state"], row["value"], row["reason"]


def test_the_hour_before_is_looked_up_and_so_is_what_a_cut_took(tmp_path: Path) -> None:
    with (
        BinancePublic(aggregated=True) as venue,
        Engine(tmp_path / "data", "--venue", "binanceusdm", **QUICK, **venue.settings) as engine,
    ):
        until(lambda: whales(engine)[0] == "FRESH", "whale flow of the hour before")
        assert whales(engine)[1]["direction"] == "short"
        looked_up = venue.lookups
        assert 4 <= looked_up < 24
        venue.cut()
        engine.wait_for("FEED_DOWN")
        until(lambda: venue.lookups > looked_up, "a look into the hole")
        until(lambda: whales(engine)[0] == "FRESH", "whale flow over the hole")


def test_as_few_calls_as_wanted_are_made_and_what_they_reached_is_told(tmp_path: Path) -> None:
    with (
        BinancePublic(aggregated=True) as venue,
        Engine(
            tmp_path / "data", "--venue", "binanceusdm", **QUICK, **venue.settings, BOT_VENUE__PAST_TRADE_CALLS="2"
        ) as engine,
    ):
        told = until(lambda: re.search(r"(\d{3,}) s of 3600 s unbroken", whales(engine)[2]), "part of the hour")
        assert 1000 < int(told[1]) < 2100 and venue.lookups == 2
