"""The equity curve: sampled while the engine runs, told again from the journal for what was before."""

from __future__ import annotations

from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.api.equity import PAST_KEPT, POINT_NS, POINTS_KEPT, Equity, PastEquity
from bot.domain.events import Event
from bot.domain.messages import CloseRequest
from bot.domain.values import NS
from bot.journal.reader import read_events
from tests.e2e.running import BTC as BTC_ID
from tests.e2e.running import Engine, parked, play_tape, recording, said, scripted, write_tape

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
SEQ = count(1)


def told(past: PastEquity, at_s: float, kind: str, symbol: str | None = BTC, **data: Any) -> None:
    rest: dict[str, Any] = {
        "frame": 1,
        "v": 1,
        "account": "main",
        "mode": "paper",
        "source": "x",
        "corr": None,
        "cause": None,
    }
    past.on_events([Event(seq=next(SEQ), ts=round(at_s * NS), kind=kind, symbol=symbol, data=data, **rest)])


def fill(
    past: PastEquity, at_s: float, side: str, quantity: str, price: str, fee: str = "0", symbol: str = BTC
) -> None:
    told(past, at_s, "FILL", symbol, side=side, quantity=quantity, price=price, fee=fee)


def begun(usd: str | None = "1000") -> PastEquity:
    past = PastEquity()
    told(past, 0, "ENGINE_STARTED", None, session=1, life=1, began_usd=usd)
    return past


# --- sampled ---


def test_the_equity_has_a_point_a_minute_after_those_of_earlier_sessions() -> None:
    now_ns, usd = 0, Decimal(100)
    section = Equity(lambda: now_ns, lambda: usd, [(1 * NS, "99")])
    section.sample()
    assert section() == [(1 * NS, "99")]  # the engine has not begun
    for second in range(100, 230, 10):
        now_ns, usd = second * NS, Decimal(100 + second)
        section.sample()
    assert section() == [(1 * NS, "99"), (100 * NS, "200"), (160 * NS, "260"), (220 * NS, "320")]


def test_what_is_older_than_two_days_is_forgotten() -> None:
    now_ns = 10 * NS
    section = Equity(lambda: now_ns, lambda: Decimal(1), [(5 * NS, "7")])
    now_ns = 5 * NS + POINTS_KEPT * POINT_NS
    assert len(section()) == 2
    now_ns += POINT_NS
    assert [usd for _, usd in section()] == ["1", "1"]


# --- told again ---


def test_open_positions_count_at_the_price_of_their_coins_last_fill() -> None:
    past = begun()
    fill(past, 60, "buy", "2", "100", "0.5")
    fill(past, 120, "sell", "1", "50", "0.1", ETH)
    fill(past, 180, "sell", "1", "110", "0.5")
    fill(past, 240, "sell", "1", "90", "0.5")
    fill(past, 300, "buy", "1", "40", "0.1", ETH)
    assert past.points() == [
        (60 * NS, "999.5"),
        (120 * NS, "999.4"),
        (180 * NS, "1018.9"),  # 2 x 10 made, half of it realised
        (240 * NS, "998.4"),  # +10 - 10
        (300 * NS, "1008.3"),
    ]


def test_funding_transfers_peaks_and_days_are_points_too() -> None:
    past = begun()
    told(past, 60, "FUNDING", usd="-1.5")
    told(past, 120, "TRANSFER", None, usd="100")
    told(past, 180, "PEAK", None, equity_usd="1101")
    told(past, 240, "DAY_STARTED", None, equity_usd="1097", wallet_usd="1")
    assert [usd for _, usd in past.points()] == ["998.5", "1098.5", "1101", "1097"]


def test_the_last_of_a_minute_stands_for_it() -> None:
    past = begun()
    for at_s, price in ((60, "100"), (90, "101"), (119.9, "102"), (120, "103")):
        fill(past, at_s, "buy", "1", price)
    assert past.points() == [(60 * NS, "1003"), (120 * NS, "1006")]


def test_an_adopted_position_was_in_the_wallet_before() -> None:
    past = begun()
    told(past, 60, "POSITION_ADOPTED", quantity="2", direction="short", entry_price="100")
    fill(past, 120, "buy", "2", "90")
    assert [usd for _, usd in past.points()] == ["1020"]


def test_a_new_account_has_no_past_and_one_that_goes_on_does() -> None:
    past = begun()
    fill(past, 60, "buy", "1", "100", "1")
    told(past, 70, "ENGINE_STARTED", None, session=2, life=1, began_usd="1000")
    assert len(past.points()) == 1
    told(past, 80, "ENGINE_STARTED", None, session=3, life=3, began_usd="500")
    assert past.points() == []
    fill(past, 200, "buy", "1", "100", "1")
    assert past.points() == [(200 * NS, "499")]


def test_where_nobody_says_what_the_account_began_with_only_what_is_told_is_shown() -> None:
    past = begun(None)
    fill(past, 60, "buy", "1", "100", "1")
    told(past, 120, "PEAK", None, equity_usd="77")
    assert past.points() == [(120 * NS, "77")]


def test_it_is_a_day_at_most() -> None:
    past = begun()
    for minute in range(1, PAST_KEPT + 100):
        told(past, minute * 60, "FUNDING", usd="1")
    points = past.points()
    assert len(points) == PAST_KEPT and points[-1][0] == (PAST_KEPT + 99) * 60 * NS
    told(past, 10**6, "FUNDING", usd="1")  # long after it
    assert len(past.points()) == 1


trades = st.lists(
    st.tuples(st.sampled_from([BTC, ETH]), st.integers(-5, 5).filter(bool), st.integers(1, 200), st.integers(0, 3)),
    min_size=1,
    max_size=12,
)


@given(trades)
def test_it_is_what_every_trade_made_by_its_coins_last_price_less_all_fees(
    made: list[tuple[str, int, int, int]],
) -> None:
    past = begun()
    for at, (symbol, quantity, price, fee) in enumerate(made):
        fill(past, 60 * (at + 1), "buy" if quantity > 0 else "sell", str(abs(quantity)), str(price), str(fee), symbol)
    last = {symbol: price for symbol, _, price, _ in made}
    expected = 1000 + sum(quantity * (last[symbol] - price) - fee for symbol, quantity, price, fee in made)
    assert Decimal(past.points()[-1][1]) == expected


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a session with two trades, closed both."""
    folder = tmp_path_factory.mktemp("past")
    frames = [*scripted(), said(7, CloseRequest(instrument=BTC_ID))]
    play_tape(folder / "data", write_tape(folder / "tape", frames), risk={"cooldown_s": 0})
    return folder / "data"


def test_once_flat_it_is_the_wallet_to_the_last_digit(closed: Path) -> None:
    past, events = PastEquity(), list(read_events(closed))
    past.on_events(events)
    made = [Decimal(event.data["pnl_usd"]) for event in events if event.kind == "POSITION_CLOSED"]
    assert len(made) == 2
    assert Decimal(past.points()[-1][1]) == 10_000 + sum(made)


def test_a_session_that_goes_on_shows_the_curve_of_the_last(closed: Path) -> None:
    past = PastEquity()
    past.on_events(read_events(closed))
    later = write_tape(closed.parent / "later", [*recording(3000)[2000:], parked()])
    with Engine(closed, "--tape", later) as engine:
        engine.wait_for("ENGINE_STARTED", 2)
        shown = engine.get("/api/equity")
        assert [tuple(point) for point in shown[: len(past.points())]] == past.points()
        assert len(shown) >= len(past.points())
    with Engine(closed, "--tape", later, "--fresh") as engine:
        engine.wait_for("ENGINE_STARTED", 3)
        assert all(point[0] >= recording(2001)[2000].recv_ns for point in engine.get("/api/equity"))
