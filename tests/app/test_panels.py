"""What the terminal view draws, from the snapshot of a real session: everything a trader looks for, at two widths."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bot.api.snapshot import Live
from bot.app.logs import LogObserver
from bot.app.panels import missing_text, value_text, waiting, whole
from bot.app.run import begin
from bot.app.terminal import Screen, plain_line
from bot.app.wiring import assemble, pick_instruments
from bot.domain.events import Event
from bot.domain.ports import Observer
from bot.journal.projection import Projection
from bot.journal.writer import MemoryJournal
from bot.market.readings import SOURCES
from bot.runtime.clock import TapeClock
from bot.runtime.tape import Tape
from tests.e2e.running import Json, scripted, settings_for, write_tape


class Session:
    """The engine of a scripted tape, and what its screen would draw at any moment."""

    def __init__(self, folder: Path) -> None:
        self._tape = Tape.open(write_tape(folder / "tape", scripted()))
        settings = settings_for(folder / "data", folder / "tape", risk={"cooldown_s": 0})
        projection, logs = Projection(), LogObserver(enabled=False)
        self._parts = assemble(
            settings,
            pick_instruments(settings, self._tape.instruments),
            journal=MemoryJournal(keep=False),
            session=1,
            last_seq=0,
            clock=TapeClock(),
            observers=(folding(projection), logs.on_events),
        )
        parts = self._parts
        live = Live(
            engine=parts.engine,
            inbox=parts.inbox,
            intake=parts.intake,
            view=parts.view,
            portfolio=parts.portfolio,
            projection=projection,
            state=parts.state,
            facts={"session": 1, "mode": "paper", "venue": "tape", "tape": "tape"},
        )
        self._screen = Screen(live, logs, what="what is played", live=False)
        begin(parts, self._tape)

    def play(self, until_ns: int | None = None) -> Json:
        for frame in self._tape.frames():
            if until_ns is not None and frame.recv_ns >= until_ns:
                break
            self._parts.inbox.offer_data(frame)
            self._parts.engine.run_now()
        return self._screen._copy()


def folding(projection: Projection) -> Observer:
    def fold(events: Sequence[Event]) -> None:
        for event in events:
            projection.apply(event)

    return fold


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Json:
    return Session(tmp_path_factory.mktemp("panels")).play()


def drawn(what: Any, width: int) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


WIDTHS = pytest.mark.parametrize("width", [80, 120, 200])


@WIDTHS
def test_nothing_is_wider_than_the_terminal(shown: Json, width: int) -> None:
    assert {len(line) for line in drawn(whole("what is played", shown), width).splitlines()} == {width}


@WIDTHS
def test_the_head_tells_state_money_and_counts(shown: Json, width: int) -> None:
    screen = squeezed(drawn(whole("what is played", shown), width))
    for words in (
        "what is played",
        "ACTIVE (book usable)",
        "equity 999",
        "signals 3, allowed 2, refused 1",
        "opened 2, closed 1",
    ):
        assert words in screen, words


@WIDTHS
def test_the_head_tells_of_a_strategy_that_was_switched_off(shown: Json, width: int) -> None:
    rows = {
        "fade": {"errors": 10, "error": "", "off": True},
        "other": {"errors": 1, "error": "", "off": False},
    }
    failing = {**shown, "status": {**shown["status"], "strategy_errors": rows}}
    screen = squeezed(drawn(whole("", failing), width))
    assert "strategy fade is OFF" in screen and "strategy other" not in screen


@WIDTHS
def test_the_book_shows_five_prices_a_side_whole_with_last_mark_and_age(shown: Json, width: int) -> None:
    screen = drawn(whole("", shown), width)
    depth = shown["market"]["depth"]
    asks, bids = ([f"{price:,.2f}" for price, _ in depth[side]] for side in ("asks", "bids"))
    assert (len(asks), len(bids)) == (5, 5)
    places = [screen.index(price) for price in [*reversed(asks), *bids]]
    assert places == sorted(places), "dearest first, asks over bids"
    assert f"last {shown['market']['last']:,.2f}" in screen and "(mid)" in screen
    assert re.search(r"book \d+\.\d s old, trades \d+\.\d s old", screen)


@WIDTHS
def test_each_reading_shows_its_state_source_and_age(shown: Json, width: int) -> None:
    screen = drawn(whole("", shown), width)
    for row in shown["readings"]:
        age = "never" if row["age_s"] is None else f"{row['age_s']:.1f} s old"
        assert re.search(rf"{row['name']} +{row['state']} .* {row['source']} +{age} ", screen), row
    assert [row["name"] for row in shown["readings"]] == list(SOURCES)
    assert {row["state"] for row in shown["readings"]} >= {"FRESH", "MISSING"}


@WIDTHS
def test_each_signal_shows_its_answer_and_a_mark_for_every_guard(shown: Json, width: int) -> None:
    screen = squeezed(drawn(whole("", shown), width))
    assert "+ pass x block ? abstain" in screen
    assert "long BTC/USDT:USDT outside long_trap +risk +probation ?liquidation xlong ?whale ?taker ?wall" in screen
    assert "short BTC/USDT:USDT outside allowed +risk +probation +liquidation +long ?whale +taker +wall" in screen
    assert screen.count("+probation") == 3


@WIDTHS
def test_the_position_shows_size_entry_stop_tiers_hold_and_profit(shown: Json, width: int) -> None:
    screen = squeezed(drawn(whole("", shown), width))
    [position] = shown["positions"]
    [tier] = [tier for tier in position["tiers"] if tier["quantity"]]
    assert (
        f"long BTC/USDT:USDT {position['quantity']} at {position['entry_price']}, stop {position['stop_price']}, "
        in screen
    )
    assert re.search(r"hold 449\d s more, -\d\.\d\d USD \(-0\.\d\d R\)", screen)
    assert f"T4 {tier['quantity']} @ {tier['price']} working" in screen
    assert "T1 None" not in screen and "None @" not in screen, "tiers that are off are left out"


@WIDTHS
def test_the_log_shows_the_last_lines(shown: Json, width: int) -> None:
    assert "MAGNET-WITH; held for 75 min" in squeezed(drawn(whole("", shown), width))


def test_before_anything_came_there_is_something_to_draw(tmp_path: Path) -> None:
    assert "waiting for the first frame" in drawn(waiting("what is played"), 80)
    empty = Session(tmp_path).play(until_ns=0)
    screen = squeezed(drawn(whole("what is played", empty), 80))
    assert "STARTING (waiting for the first order book)" in screen
    assert "last none mark none" in screen and "book never, trades never" in screen and "none open" in screen
    assert "no book, last None" in plain_line(empty)


def test_the_plain_line_tells_the_same_in_one(shown: Json) -> None:
    line = plain_line(shown)
    pattern = r"23:54:23\.855 ACTIVE BTC/USDT:USDT 6\d+\.\d / 6\d+\.\d, last 6\d+\.\d, signals 3 \(allowed 2\), open 1, equity 999\d\.\d\d USD, frame \d+"
    assert re.fullmatch(pattern, line), line


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("taker_5m", {"buy_usd": "2500000", "sell_usd": "2000000"}, "buys 2.5M, sells 2.0M USD, ratio 1.250"),
        ("taker_5m", {"buy_usd": "2500000", "sell_usd": "0"}, "no sells"),
        ("ofi", {"base": -3.21, "depths": 1.5}, "-3.2 base, +1.5 depths"),
        ("whale_cvd", {"direction": None, "intensity": 0.0}, "level, intensity 0"),
        (
            "walls",
            {"asks": [{}, {}], "bids": [], "ask_coverage_pct": 1.234, "bid_coverage_pct": 5.0},
            "2 ask, 0 bid walls, seen to 1.23 % up, 5.00 % down",
        ),
        (
            "regime",
            {"label": "TREND", "hurst": 0.89033315, "z": 4.1234, "sum_100": 0.01, "sum_12": 0.001},
            "TREND, H 0.890, z +4.12",
        ),
        ("oi_delta_5m", {"pct": 0.11071}, "+0.111 %"),
        (
            "liquidation_clusters",
            {"clusters": [{}, {}], "open_interest_usd": "7123000000", "model": True},
            "2 clusters, open interest 7123M USD, a model",
        ),
    ],
)
def test_values_have_units(name: str, value: Json, text: str) -> None:
    assert value_text(name, value) == text


def test_a_missing_reading_says_what_is_news() -> None:
    assert missing_text("coinglass: nothing received yet; own: 3 s of 300 s unbroken") == "own: 3 s of 300 s unbroken"
    assert (
        missing_text("coinglass: nothing received yet; deribit: nothing received yet")
        == "nothing received from coinglass, deribit"
    )


def squeezed(screen: str) -> str:
    """Without frames, and with what was wrapped put together again."""
    return " ".join(re.sub("[─│╭╮╰╯]", " ", screen).split())
