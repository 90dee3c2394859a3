"""The market state: what each message changes, ages, notes, and the readings that come out; also on a real capture."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bot.domain.errors import FeedError
from bot.domain.instrument import Instrument
from bot.domain.market import BookDiff, BookSnapshot, MarketMessage, MarkPrice, Quote, TradePrint
from bot.domain.ports import MarketView
from bot.domain.reading import MaxPain, ReadingState, Regime, Taker
from bot.domain.values import NS, RegimeLabel, Side
from bot.exchanges.binance import decode
from bot.market.other_book import BookNote
from bot.market.readings import own_reading
from bot.market.state import InstrumentMarket, Market, MarketParams
from bot.market.walls import WallParams

CAPTURE = Path(__file__).resolve().parents[2] / "../shared/fixtures/market/hftbacktest/usdm_btcusdt_20240808.gz"
T0 = 1_700_000_000 * NS
AHEAD = T0 + 2 * NS  # the venue's clock runs ahead of ours
BTC, ETH = "binanceusdm:BTCUSDT", "binanceusdm:ETHUSDT"


def instrument(base: str) -> Instrument:
    return Instrument(
        id=f"binanceusdm:{base}USDT",
        venue="binanceusdm",
        symbol=f"{base}USDT",
        unified=f"{base}/USDT:USDT",
        base=base,
        quote="USDT",
        tick=Decimal("0.1"),
        step=Decimal("0.001"),
        min_quantity=Decimal("0.001"),
        max_quantity=Decimal(1000),
        max_market_quantity=Decimal(120),
        min_notional=Decimal(100),
    )


def value_of(market: Market, name: str, now_ns: int) -> Any:
    """What is known of BTC, which must not be missing."""
    reading = market.reading(name, BTC, now_ns)
    assert reading.value is not None, reading.reason
    return reading.value


def one() -> tuple[Market, InstrumentMarket]:
    market = Market([instrument("BTC")])
    return market, market.market(BTC)


def snapshot(last_id: int = 10, symbol: str | None = "BTCUSDT") -> BookSnapshot:
    return BookSnapshot(symbol, last_id, AHEAD, [(99.0, 5.0), (98.0, 1.0)], [(101.0, 3.0), (102.0, 1.0)])


def diff(last_id: int, prev_id: int, bids: list[tuple[float, float]] | None = None) -> BookDiff:
    return BookDiff("BTCUSDT", last_id, last_id, prev_id, AHEAD, bids or [], [])


def trade(price: float, quantity: float = 1.0, buys: bool = True, symbol: str = "BTCUSDT") -> TradePrint:
    return TradePrint(symbol, 1, price, quantity, buys, AHEAD)


def quote(bid_quantity: float, bid: float = 99.0) -> Quote:
    return Quote("BTCUSDT", 11, bid, bid_quantity, 101.0, 3.0, AHEAD)


# --- what each message changes --------------------------------------------------------------------------------------


def test_nothing_is_known_at_first() -> None:
    _, btc = one()
    view: MarketView = btc
    assert (view.usable, view.bid, view.ask, view.mid, view.last, view.mark) == (False, None, None, None, None, None)
    assert view.mark_source == "none"
    assert (view.book_age_ns(T0), view.trade_age_ns(T0), view.mark_age_ns(T0)) == (None, None, None)
    assert view.levels(Side.BUY, 5) == []


def test_ages_count_from_when_a_message_reached_us_though_the_venue_is_ahead() -> None:
    market, btc = one()
    market.apply(snapshot(), T0)
    market.apply(trade(100.5), T0 + NS)
    assert (btc.book_age_ns(T0 + 3 * NS), btc.trade_age_ns(T0 + 3 * NS)) == (3 * NS, 2 * NS)
    assert btc.trade_age_ns(T0) == 0
    assert (btc.usable, btc.bid, btc.ask, btc.mid, btc.last) == (True, 99.0, 101.0, 100.0, 100.5)
    assert btc.levels(Side.SELL, 1) == [(101.0, 3.0)]


def test_mark_is_the_venues_else_mid() -> None:
    market, btc = one()
    market.apply(snapshot(), T0)
    assert (btc.mark, btc.mark_source, btc.mark_age_ns(T0 + NS)) == (100.0, "mid", NS)
    market.apply(MarkPrice("BTCUSDT", 100.7, 100.6, 0.0001, None, AHEAD), T0 + NS)
    assert (btc.mark, btc.mark_source, btc.mark_age_ns(T0 + 3 * NS)) == (100.7, "venue", 2 * NS)
    market.apply(diff(12, 11), T0 + 3 * NS)  # breaks the book
    assert (btc.mark, btc.mark_source) == (100.7, "venue")


def test_a_mark_that_is_told_again_with_its_funding_is_as_old_as_before() -> None:
    market, btc = one()
    market.apply(MarkPrice("BTCUSDT", 100.0, None, None, None, T0), T0)
    market.apply(MarkPrice("BTCUSDT", 100.0, None, 0.0001, T0 + 90 * NS, T0), T0 + 9 * NS)
    assert (btc.funding_rate, btc.next_funding_ns) == (0.0001, T0 + 90 * NS)
    assert (btc.mark_age_ns(T0 + 9 * NS), btc.stamped_ahead_ns) == (9 * NS, 0)
    market.apply(MarkPrice("BTCUSDT", 100.0, None, 0.0001, T0 + 90 * NS, T0 + 9 * NS), T0 + 10 * NS)
    assert (btc.mark_age_ns(T0 + 10 * NS), btc.stamped_ahead_ns) == (0, -NS)


@pytest.mark.parametrize("ahead_ns", [3600 * NS, 0, -3600 * NS])
def test_how_far_the_venues_stamps_are_from_our_clock_is_known_from_its_newest_mark(ahead_ns: int) -> None:
    market, btc = one()
    market.apply(snapshot(), T0)
    assert btc.stamped_ahead_ns is None
    market.apply(MarkPrice("BTCUSDT", 100.0, None, None, None, T0), T0)
    market.apply(MarkPrice("BTCUSDT", 100.0, None, None, None, T0 + 2 * NS + ahead_ns), T0 + 2 * NS)
    assert btc.stamped_ahead_ns == ahead_ns


def test_quotes_do_not_touch_the_book() -> None:
    market, btc = one()
    market.apply(snapshot(), T0)
    market.apply(quote(7.0, bid=100.5), T0 + NS)
    assert (btc.bid, btc.book_age_ns(T0 + NS)) == (99.0, NS)
    assert btc.quote is not None and btc.quote.bid == 100.5


def test_a_broken_book_ages_from_its_last_good_moment() -> None:
    market, btc = one()
    market.apply(snapshot(), T0)
    market.apply(diff(11, 10), T0 + NS)
    market.apply(diff(13, 12), T0 + 2 * NS)
    assert (btc.usable, btc.mid, btc.mark_source) == (False, None, "none")
    assert btc.book_age_ns(T0 + 5 * NS) == 4 * NS


# --- symbols and notes ----------------------------------------------------------------------------------------------


def test_messages_go_to_their_symbol() -> None:
    market = Market([instrument("BTC"), instrument("ETH")])
    market.apply(trade(100.0), T0)
    market.apply(trade(7.0, symbol="ETHUSDT"), T0)
    assert (market.market(BTC).last, market.by_symbol("ETHUSDT").last) == (100.0, 7.0)


def test_a_bare_snapshot_belongs_to_the_only_instrument() -> None:
    market, btc = one()
    market.apply(snapshot(symbol=None), T0)
    assert btc.usable
    with pytest.raises(FeedError, match="2 instruments"):
        Market([instrument("BTC"), instrument("ETH")]).apply(snapshot(symbol=None), T0)


def test_what_is_not_followed_is_refused_by_name() -> None:
    market, _ = one()
    with pytest.raises(FeedError, match="XRPUSDT"):
        market.apply(trade(1.0, symbol="XRPUSDT"), T0)
    with pytest.raises(FeedError, match="XRPUSDT"):
        market.market("binanceusdm:XRPUSDT")
    with pytest.raises(FeedError, match="takers"):
        market.reading("takers", BTC, T0)


def test_notes_tell_when_a_book_becomes_usable_or_not() -> None:
    market, _ = one()
    market.apply(diff(11, 10), T0)  # buffered: nothing to say
    assert market.notes == []
    market.apply(snapshot(), T0)
    market.apply(diff(12, 11), T0)
    assert market.notes == [BookNote(BTC, True, "complete and in sequence")]
    market.notes = []
    market.apply(diff(14, 13), T0)
    market.apply(diff(15, 14), T0)
    assert market.notes == [BookNote(BTC, False, "gap: expected pu 12, got 13")]
    market.notes.clear()
    market.apply(snapshot(11), T0)  # older than what is waiting: still unusable, another one is needed
    assert [(note.usable, bool(note.reason)) for note in market.notes] == [(False, True)]
    market.notes.clear()
    market.apply(snapshot(15), T0)
    assert market.notes == [BookNote(BTC, True, "complete and in sequence")]


# --- own readings ---------------------------------------------------------------------------------------------------


def test_ofi_follows_the_book_until_quotes_come() -> None:
    market, _ = one()
    market.apply(snapshot(), T0)
    market.apply(diff(11, 10, [(99.0, 9.0)]), T0 + 5 * NS)
    by_book = market.reading("ofi", BTC, T0 + 10 * NS)
    assert by_book.value is not None and by_book.value.base == 4.0
    assert by_book.observed_ns == T0 + 5 * NS
    assert by_book.state(T0 + 10 * NS) is ReadingState.STALE
    market.apply(quote(9.0), T0 + 10 * NS)
    assert market.reading("ofi", BTC, T0 + 10 * NS).value is None  # a new window, from quotes alone
    market.apply(diff(12, 11, [(99.5, 1.0)]), T0 + 11 * NS)
    market.apply(quote(8.0), T0 + 19 * NS)
    by_quotes = market.reading("ofi", BTC, T0 + 20 * NS)
    assert by_quotes.value is not None and by_quotes.value.base == -1.0
    assert by_quotes.state(T0 + 20 * NS) is ReadingState.FRESH


def test_a_resync_resets_ofi_and_walls_but_not_trades() -> None:
    market, btc = one()
    market.apply(snapshot(), T0)
    market.apply(trade(100.0, 600.0, buys=False), T0)
    market.apply(trade(100.0, 600.0, buys=False), T0 + 100 * NS)
    for second in range(300):
        market.apply(quote(5.0), T0 + second * NS)
        market.sample(T0 + second * NS)
    now = T0 + 300 * NS
    assert all(market.reading(name, BTC, now).value is not None for name in ("ofi", "walls", "taker_5m"))
    market.apply(diff(20, 19), now)
    market.apply(snapshot(20), now)  # within the same second: no sample saw it
    market.sample(now)
    assert btc.usable
    assert market.reading("ofi", BTC, now).value is None
    assert market.reading("walls", BTC, now).value is None
    assert market.reading("taker_5m", BTC, now).value == Taker(buy_usd=Decimal(0), sell_usd=Decimal(60_000))


def test_a_feed_that_goes_down_takes_everything_with_it() -> None:
    market, btc = one()
    market.apply(snapshot(), T0)
    market.apply(trade(100.0, 600.0, buys=False), T0)
    market.apply(trade(100.0, 600.0, buys=False), T0 + 299 * NS)
    market.apply(quote(5.0), T0)
    market.notes.clear()
    market.feed_down("silent for 5 s")
    assert market.notes == [BookNote(BTC, False, "silent for 5 s")]
    assert not btc.usable
    for name in ("ofi", "walls", "taker_5m", "whale_cvd"):
        reading = market.reading(name, BTC, T0 + 4000 * NS)
        assert reading.value is None
        assert reading.reason.endswith("own: no usable book" if name == "walls" else "own: nothing received yet")
    assert (btc.last, btc.trade_age_ns(T0 + 300 * NS)) == (100.0, NS)
    assert (btc.mark_source, btc.mark_age_ns(T0)) == ("none", None)
    market.apply(diff(11, 10), T0 + 300 * NS)  # would have followed, but the book is replaced, not continued
    assert not btc.usable
    market.feed_down("again")
    assert len(market.notes) == 1
    market.apply(snapshot(11), T0 + 301 * NS)
    assert btc.usable
    assert market.reading("ofi", BTC, T0 + 311 * NS).value is not None  # from the book, until quotes come again


def test_a_walls_reading_is_partial_and_kept_by_coin() -> None:
    market = Market([instrument("BTC")], MarketParams(walls=WallParams(min_age_s=1)))
    market.apply(snapshot(), T0)
    market.sample(T0)
    market.sample(T0 + NS)
    reading = market.reading("walls", BTC, T0 + 2 * NS)
    assert (reading.key, reading.source, reading.observed_ns) == ("BTC", "own", T0 + NS)
    assert reading.state(T0 + 2 * NS) is ReadingState.PARTIAL
    assert reading.reason == "book seen to +2.00 % and -2.00 %"
    assert reading.state(T0 + 92 * NS) is ReadingState.STALE


def test_a_new_snapshot_of_a_usable_book_does_not_lose_the_walls() -> None:
    market, _ = one()
    for second in range(62):
        now = T0 + second * NS
        market.apply(snapshot(10 + second), now)
        market.sample(now)
    assert market.reading("walls", BTC, T0 + 61 * NS).value is not None
    assert [note.usable for note in market.notes] == [True], "it is told once"


def test_a_new_snapshot_at_another_price_does_not_hide_walls() -> None:
    market, _ = one()
    for last_id, mid in ((10, 100.0), (11, 103.0)):
        bids = [(mid - 0.1 * i, 10_000.0) for i in range(1, 20)]
        asks = [(mid + 0.1 * i, 10_000.0) for i in range(1, 20)]
        asks[9] = (mid + 1.0, 900_000.0)
        market.apply(BookSnapshot("BTCUSDT", last_id, AHEAD, bids, asks), T0)
        market.sample(T0)
    for second in range(1, 61):
        market.sample(T0 + second * NS)
    assert [wall.price for wall in value_of(market, "walls", T0 + 60 * NS).asks] == [104.0]


def test_readings_from_outside_and_our_own_are_one_order() -> None:
    market, _ = one()
    now = T0 + 300 * NS
    market.apply(trade(100.0, 600.0, buys=False), T0)
    market.apply(trade(100.0, 600.0, buys=False), now - NS)
    assert market.reading("taker_5m", BTC, now).source == "own"
    provider = Taker(buy_usd=Decimal(1), sell_usd=Decimal(2))
    market.store.put(replace(own_reading("taker_5m", BTC, provider, now - 100 * NS, now), source="coinglass"))
    assert market.reading("taker_5m", BTC, now).source == "coinglass"
    assert [other.source for other in market.other_readings(market.reading("taker_5m", BTC, now), BTC, now)] == ["own"]
    assert market.reading("taker_5m", BTC, now + 21 * NS).source == "own"


def test_readings_of_a_coin_serve_every_instrument_of_it() -> None:
    market, _ = one()
    pain = MaxPain(price=Decimal(60_000), expiry="2024-08-09", notional_usd=Decimal(1))
    regime = Regime(label=RegimeLabel.TREND, hurst=0.7, z=2.0, sum_100=0.1, sum_12=0.1)
    market.store.put(own_reading("regime", BTC, regime, T0, T0))
    market.store.put(replace(own_reading("max_pain", "BTC", pain, T0, T0), source="deribit"))
    assert market.reading("max_pain", BTC, T0).value == pain
    assert market.reading("regime", BTC, T0).value == regime


# --- a real capture -------------------------------------------------------------------------------------------------


CAPTURED_STATES = {
    "taker_5m": ReadingState.FRESH,
    "ofi": ReadingState.FRESH,
    "walls": ReadingState.PARTIAL,  # a thousand levels reach half a percent
    "whale_cvd": ReadingState.MISSING,  # an hour is needed
}


def captured() -> Iterator[tuple[int, MarketMessage]]:
    if not CAPTURE.exists():
        pytest.skip(f"no capture at {CAPTURE}")
    with gzip.open(CAPTURE) as lines:
        for line in lines:
            ns, raw = line.split(b" ", 1)
            message = decode(raw)
            if message is not None:
                yield int(ns), message


def test_a_capture_of_binance() -> None:
    market, btc = one()
    sampled_ns = now = 0
    for now, message in captured():
        sampled_ns = sampled_ns or now
        while now >= sampled_ns:
            market.sample(sampled_ns)
            sampled_ns += NS
        assert now <= message.exch_ns or message.exch_ns == 0  # this venue's clock is ahead throughout
        market.apply(message, now)
    assert market.notes == [BookNote(BTC, True, "complete and in sequence")]
    assert (btc.bid, btc.ask, btc.last, btc.mark_source) == (61659.7, 61659.8, 61659.8, "mid")
    age_ns = btc.book_age_ns(now)
    assert age_ns is not None and 0 <= age_ns < NS
    for name, state in CAPTURED_STATES.items():
        assert market.reading(name, BTC, now).state(now) is state
    taker = value_of(market, "taker_5m", now)
    assert float(taker.buy_usd / taker.sell_usd) == pytest.approx(1.0909, abs=1e-4)
    assert value_of(market, "ofi", now).base == pytest.approx(0.905)
    walls = value_of(market, "walls", now)
    assert [round(wall.price) for wall in walls.asks[:3]] == [62304, 62500, 61731]
    assert all(wall.usd > 25_000_000 for wall in walls.asks)  # 500 BTC at each round price
    assert walls.bids[0].usd < 25_000_000


def test_trades_told_twice_count_once() -> None:
    """`trade` and `aggTrade` tell of the same trades: the kind seen first counts."""
    market, btc = one()
    for second in range(301):
        for aggregated in (False, True):
            print_ = TradePrint("BTCUSDT", second, 65000.0, 0.1, True, T0, aggregated)
            market.apply(print_, T0 + second * NS)
    market.apply(TradePrint("BTCUSDT", 999, 65000.0, 100.0, False, T0), T0 + 301 * NS)
    taker = value_of(market, "taker_5m", T0 + 301 * NS)
    assert taker.buy_usd == Decimal(6500) * 299
    assert btc.last == 65000.0


def test_the_funding_before_the_next_one_is_remembered_with_its_last_known_rate() -> None:
    market, btc = one()

    def mark(rate: float | None, due_ns: int | None) -> None:
        market.apply(MarkPrice("BTCUSDT", 100.0, None, rate, due_ns, T0), T0)

    mark(0.0001, T0)
    mark(0.0002, T0)
    assert btc.past_funding is None
    mark(0.0003, T0 + 8 * NS)
    assert btc.past_funding == (0.0002, T0)
    assert (btc.funding_rate, btc.next_funding_ns) == (0.0003, T0 + 8 * NS)
    mark(None, None)
    mark(0.0004, T0 + 16 * NS)
    assert btc.past_funding == (0.0003, T0 + 8 * NS)
