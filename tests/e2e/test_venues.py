"""Bybit and OKX as venues: paper on their public data, and their books beside another's; the real process on real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running import SYMBOL, Engine, Json, until
from tests.e2e.test_public_data import QUICK, active, kinds, status
from tests.servers.binance_public import BinancePublic
from tests.servers.public_venue import Bybit, Okx, PublicVenue

OTHER = "ETH/USDT:USDT"
BOTH = {"bybit", "okx"}
WALL_BASE = 3000.0  # some 180M USD, far more than anything else in that book


@pytest.fixture(scope="module", params=[Bybit, Okx])
def venue(request: pytest.FixtureRequest) -> Iterator[PublicVenue]:
    with request.param() as server:
        yield server


@pytest.fixture(scope="module")
def engine(venue: PublicVenue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("venue")
    settings = {**QUICK, **venue.settings("venue"), "BOT_SYMBOLS": f"{SYMBOL},{OTHER}"}
    with Engine(folder / "data", "--venue", venue.name, **settings) as running:
        active(running)
        yield running


def market(engine: Engine, symbol: str) -> Json:
    found: Json = next(each for each in status(engine)["markets"] if each["symbol"] == symbol)
    return found


def usable(engine: Engine, symbol: str) -> bool:
    return bool(market(engine, symbol)["usable"])


def reading(engine: Engine, name: str) -> Json:
    rows: list[Json] = engine.get(f"/api/readings?symbol={SYMBOL}")
    return next(row for row in rows if row["name"] == name)


def test_a_position_opens_is_protected_and_closes_on_the_venues_own_data(engine: Engine, venue: PublicVenue) -> None:
    until(lambda: usable(engine, SYMBOL) and usable(engine, OTHER), "both books")
    until(lambda: market(engine, SYMBOL)["mark_source"] == "venue", "a mark price of the venue's own")
    until(lambda: market(engine, SYMBOL)["trade_age_s"] is not None, "a trade")
    regime = reading(engine, "regime")
    assert regime["value"]["label"] != "UNKNOWN", regime
    until(lambda: engine.signal("one", "short").body.get("allowed"), "an allowed signal")
    [position] = until(lambda: engine.get("/api/positions"), "an open position")
    assert position["symbol"] == SYMBOL
    until(lambda: {o["leg"] for o in engine.get("/api/orders")} >= {"stop", "tier_1"}, "its stop and its targets")
    assert engine.post("/api/close", {"symbol": SYMBOL}).status == 202
    until(lambda: not engine.get("/api/positions"), "its close")
    assert kinds(engine, "BAD_FRAME") == 0


def damages(venue: PublicVenue, symbol: str) -> Iterator[None]:
    """One after the other, each as it is asked for."""
    venue.lose_a_change(symbol)
    yield
    if isinstance(venue, Okx):
        venue.lies[symbol] += 1
        yield


def test_a_damaged_book_is_asked_for_again_and_the_others_stay(engine: Engine, venue: PublicVenue) -> None:
    """A lost change, a wrong checksum."""
    until(lambda: usable(engine, SYMBOL) and usable(engine, OTHER), "both books")
    btc, eth = venue.symbol("BTC"), venue.symbol("ETH")
    resyncs, asked = kinds(engine, "BOOK_RESYNC"), dict(venue.again)
    downs = kinds(engine, "FEED_DOWN")
    for number, _ in enumerate(damages(venue, btc), 1):
        wanted = resyncs + 2 * number
        until(lambda wanted=wanted: kinds(engine, "BOOK_RESYNC") >= wanted, "the loss and its end")  # type: ignore[misc]
        until(lambda: usable(engine, SYMBOL), "its book")
        assert venue.again[btc] == asked[btc] + number
    assert venue.again[eth] == asked[eth]
    assert kinds(engine, "FEED_DOWN") == downs


def test_one_symbol_whose_depth_stalls_is_refused_while_others_flow_and_comes_back(
    engine: Engine, venue: PublicVenue
) -> None:
    until(lambda: usable(engine, SYMBOL) and usable(engine, OTHER), "both books")
    venue.stalled.add(venue.symbol("ETH"))
    until(lambda: not usable(engine, OTHER), "the refusal of the book that stands still")
    assert usable(engine, SYMBOL) and market(engine, SYMBOL)["book_age_s"] < 5
    venue.stalled.clear()
    until(lambda: usable(engine, OTHER), "its book")


def test_after_a_cut_and_after_silence_the_books_come_back(engine: Engine, venue: PublicVenue) -> None:
    active(engine)
    downs, asked = kinds(engine, "FEED_DOWN"), venue.again.total()
    venue.cut()
    until(lambda: kinds(engine, "FEED_DOWN") > downs, "word of the cut")
    until(lambda: venue.again.total() >= asked + 2, "the same books on another connection")
    until(lambda: usable(engine, SYMBOL) and usable(engine, OTHER), "both books")
    venue.silent = True
    until(lambda: not usable(engine, SYMBOL), "the end of the silent stream's books")
    venue.silent = False
    until(lambda: usable(engine, SYMBOL) and usable(engine, OTHER), "both books")
    told = [event["data"]["reason"] for event in engine.get("/api/events?kinds=FEED_DOWN")]
    assert any("silent for 5 s" in reason for reason in told)


def test_a_symbol_that_is_gone_after_a_cut_takes_no_other_with_it(engine: Engine, venue: PublicVenue) -> None:
    until(lambda: usable(engine, SYMBOL) and usable(engine, OTHER), "both books")
    downs = kinds(engine, "FEED_DOWN")
    venue.gone.add(venue.symbol("ETH"))
    venue.cut()
    until(lambda: kinds(engine, "FEED_DOWN") > downs, "word of the cut")
    until(lambda: usable(engine, SYMBOL), "the book of the symbol that is there")
    until(lambda: market(engine, SYMBOL)["trade_age_s"] < 5, "its trades")
    assert not usable(engine, OTHER)
    assert engine.wait_for("BAD_FRAME"), "the venue's refusal is told"
    venue.gone.clear()
    venue.cut()
    until(lambda: usable(engine, SYMBOL) and usable(engine, OTHER), "both books")


def test_walls_are_those_of_all_venues_and_one_that_is_down_at_the_start_joins_later(tmp_path: Path) -> None:
    with (
        BinancePublic() as home,
        Bybit(wall_base=WALL_BASE) as bybit,
        Okx(refusing=True, wall_base=WALL_BASE) as okx,
    ):
        settings = {**QUICK, **home.settings, **bybit.settings("bybit"), **okx.settings("okx")}
        settings |= {"BOT_WALLS__VENUES": "bybit,okx", "BOT_WALLS__MIN_AGE_S": "2"}
        with Engine(tmp_path / "data", "--venue", "binanceusdm", **settings) as engine:
            active(engine)
            alone = until(lambda: standing(engine, {"bybit"}), "Bybit's wall")
            walls = reading(engine, "walls")["value"]
            assert 0 < walls["ask_coverage_pct"] < 5 and 0 < walls["bid_coverage_pct"] < 5
            okx.refusing = False
            until(lambda: (wall := standing(engine, BOTH)) and wall["usd"] > 1.9 * alone["usd"], "the wall of both")
            resyncs = kinds(engine, "BOOK_RESYNC")
            okx.lose_a_change(okx.symbol("BTC"))
            until(lambda: kinds(engine, "BOOK_RESYNC") >= resyncs + 2, "the loss and its end")
            until(lambda: standing(engine, BOTH), "the wall of both")
            assert status(engine)["state"] == "ACTIVE", "what other venues lose stops no trading"
            assert not [path for path in bybit.asked + okx.asked if "kline" in path or "candles" in path]


def standing(engine: Engine, venues: set[str]) -> Json | None:
    """The largest ask wall, once it stands and is that of exactly these venues."""
    walls: Json | None = reading(engine, "walls")["value"]
    top: Json | None = walls["asks"][0] if walls and walls["asks"] else None
    return top if top and set(top["venues"]) == venues and top["usd"] > WALL_BASE * top["price"] else None
