"""Trades replayed from columns decide the same as the frames they were made of, whatever lies between and around them.

The engine takes the same frames twice, as they are and gathered to runs: every event, count, answer of a guard and number that
the market state keeps must be equal. Sequences are made up, with bursts, equal stamps, quiet hours, clocks that go back, readings,
books that come and go, orders and positions that must be told of each trade.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import count, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.app.replaying import replay
from bot.app.settings import load_settings
from bot.app.wiring import Parts, asking, assemble
from bot.demo import BUNDLED_TAPE, DEMO_SETTINGS
from bot.domain.events import canonical
from bot.domain.frames import FeedState, Frame, Lane, Source
from bot.domain.instrument import Instrument
from bot.domain.trades import TradeRun
from bot.domain.values import MS, NS, Direction
from bot.exchanges import binance
from bot.journal.writer import MemoryJournal
from bot.runtime.clock import TapeClock
from bot.runtime.columns import FILE, gathered, write_columns
from bot.runtime.tape import Tape
from bot.sim.market_model import SyntheticMarket
from bot.sim.presets import preset
from bot.sim.synthetic import frames_of
from tests.e2e.running import BTC, called, scripted, write_tape

VENUE = "binanceusdm"
T0 = 1_760_054_400 * NS
GUARD = "taker_aggression"
QUICK: dict[str, Any] = {  # an entry whenever one is wanted, and its end not far away
    "symbols": "BTC/USDT:USDT",
    "strategies": (),
    "stop.pct": "0.08",
    "ladder.targets_pct": ("0.03", "0.06", "0.09", "0.12"),
    "risk.cooldown_s": 0,
    "risk.stop_cooldown_s": 0,
    "risk.entries_per_symbol_day": 100,
    "risk.entries_per_day": 100,
    "taker.min_usd": "10000",
}


class Taken(NamedTuple):
    events: list[bytes]
    answers: dict[str, dict[str, int]]
    state: dict[str, Any]


def instruments() -> dict[str, Instrument]:
    btc = Tape.open(BUNDLED_TAPE).instruments[0]
    return {btc.id: btc}


def engine(ask: Sequence[str], **overrides: Any) -> tuple[Parts, MemoryJournal, Any]:
    journal = MemoryJournal()
    parts = assemble(
        load_settings(overrides=QUICK | overrides, env={}),
        instruments(),
        journal=journal,
        session=1,
        last_seq=0,
        clock=TapeClock(),
        observers=(),
        unfollowed=frozenset({"ETHUSDT"}),
    )
    asked = parts.intake.asked = asking(parts, ask) if ask else None
    return parts, journal, asked


def take(pieces: Iterable[Frame | TradeRun], ask: Sequence[str] = (GUARD,), **overrides: Any) -> Taken:
    parts, journal, asked = engine(ask, **overrides)
    for number, piece in enumerate(pieces):
        if not number:
            parts.engine.start_at(piece.recv_ns)
        assert parts.inbox.offer_data(piece)
        parts.engine.run_now()
    answers = (
        {} if asked is None else {name: {k: v for k, v in said.items() if v} for name, said in asked.answers.items()}
    )
    return Taken([canonical(event.to_dict()) for event in journal.events], answers, state_of(parts))


def state_of(parts: Parts) -> dict[str, Any]:
    """All that trades change."""
    market, now_ns = parts.market.market(BTC), parts.engine.now_ns
    return {
        "frames": parts.engine.frames,
        "bad": parts.intake.bad_frames,
        "now": now_ns,
        "last": (market.last, market.trade_age_ns(now_ns), market.aggregated),
        "taker": (market.taker.totals(now_ns), market.taker.last_ns, market.taker.value(now_ns)),
        "whales": (market.whale.totals(now_ns), market.whale.threshold_usd, market.whale.value(now_ns)),
        "bars": {width: market.bars(width, 100) for width in (60, 300, 900)},
        "left out": (market.history.late, market.history.ahead),
        "walls": market.walls.reading(),
        "equity": parts.portfolio.equity_usd(),
        "venue": (parts.venue.account.wallet_usd, len(parts.venue.working())),
    }


def runs(frames: Iterable[Frame], shortest: int = 1) -> list[Frame | TradeRun]:
    pieces: list[Frame | TradeRun] = []
    for piece in gathered(frames, binance.VENUE, binance.decode, {"BTCUSDT", "ETHUSDT"}, shortest):
        pieces.extend([piece] if isinstance(piece, TradeRun) else piece)
    return pieces


def alike(frames: Sequence[Frame], **overrides: Any) -> Taken:
    as_frames, in_columns = take(frames, **overrides), take(runs(frames), **overrides)
    assert in_columns.state == as_frames.state
    assert in_columns.answers == as_frames.answers
    assert in_columns.events == as_frames.events
    return as_frames


# --- made-up sequences ---------------------------------------------------------------------------------------------


class Script:
    """Frames one after the other, around a price of 60,000."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.now_ns, self.ticks, self._ids = T0, 600_000, count(1)

    def trade(self, wait_ns: int, ticks: int, lots: int, buys: bool, lag_ms: int, symbol: str = "BTCUSDT") -> None:
        self.now_ns += wait_ns
        self.ticks = max(590_000, min(610_000, self.ticks + ticks))
        number, ms = next(self._ids), max(0, self.now_ns // MS - lag_ms)
        raw = (
            f'{{"stream":"x@trade","data":{{"e":"trade","E":{ms},"T":{ms},"s":"{symbol}","t":{number},'
            f'"p":"{self.ticks / 10}","q":"{lots / 1000}","X":"MARKET","m":{"false" if buys else "true"}}}}}'
        )
        self._put(raw.encode())

    def aggregated(self) -> None:
        ms = self.now_ns // MS
        self._put(
            f'{{"stream":"x@aggTrade","data":{{"e":"aggTrade","E":{ms},"a":5,"s":"BTCUSDT","p":"60000.0","q":"1.5","f":5,"l":6,'
            f'"T":{ms},"m":true}}}}'.encode()
        )

    def book(self) -> None:
        """A snapshot around the price, deep enough to be traded on."""
        bids, asks = (
            ",".join(f'["{(self.ticks + sign * step) / 10}","{1 + step}.000"]' for step in range(1, 40))
            for sign in (-1, 1)
        )
        self._put(
            f'{{"stream":"btcusdt@depth_snapshot","data":{{"lastUpdateId":{next(self._ids)},"E":1,"T":1,'
            f'"bids":[{bids}],"asks":[{asks}]}}}}'.encode()
        )

    def signal(self, direction: str) -> None:
        request = {"type": "signal", "external_id": f"s{next(self._ids)}", "instrument": BTC, "direction": direction}
        self.frames.append(Frame(self.now_ns, Lane.ACCOUNT, Source.OPERATOR, json.dumps(request).encode()))

    def reading(self, buy: int) -> None:
        value = {"buy_usd": str(buy), "sell_usd": "1000000"}
        raw = {"name": "taker_5m", "key": BTC, "source": "coinglass", "value": value}
        self.frames.append(Frame(self.now_ns, Lane.DATA, Source.READING, json.dumps(raw).encode()))

    def feed(self, up: bool) -> None:
        raw = msgspec.json.encode(FeedState(stream="market", up=up, reason="test"))
        self.frames.append(Frame(self.now_ns, Lane.DATA, Source.FEED, raw))

    def rubbish(self) -> None:
        self._put(b'{"e":"trade","p":1}')

    def _put(self, raw: bytes) -> None:
        self.frames.append(Frame(self.now_ns, Lane.DATA, VENUE, raw))


WAITS = st.sampled_from([0, 0, 1, MS, 20 * MS, 300 * MS, NS, 7 * NS, 65 * NS, 400 * NS, 7200 * NS, -3 * NS])
DIRECTIONS = st.sampled_from([str(Direction.LONG), str(Direction.SHORT)])
TRADES = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, MS, 20 * MS, 300 * MS]),
        st.integers(-40, 40),
        st.sampled_from([1, 300, 2500]),
        st.booleans(),
        st.sampled_from([0, 0, 3, 900, -70_000]),
    ),
    max_size=25,
)
STEPS = st.one_of(
    st.tuples(st.just("trades"), TRADES),
    st.tuples(st.just("wait"), WAITS),
    st.tuples(st.just("book"), st.none()),
    st.tuples(st.just("signal"), DIRECTIONS),
    st.tuples(st.just("reading"), st.integers(900_000, 1_300_000)),
    st.tuples(st.just("feed"), st.booleans()),
    st.tuples(st.just("other"), st.sampled_from(["rubbish", "aggregated", "unfollowed"])),
)


def scripted_by(steps: Iterable[tuple[str, Any]]) -> list[Frame]:
    script = Script()
    script.trade(0, 0, 100, True, 0)
    for what, given_with in steps:
        match what:
            case "trades":
                for trade in given_with:
                    script.trade(*trade)
            case "wait":
                script.now_ns += given_with
            case "book":
                script.book()
            case "signal":
                script.book()
                script.signal(given_with)
            case "reading":
                script.reading(given_with)
            case "feed":
                script.feed(given_with)
            case "other" if given_with == "unfollowed":
                for _ in range(3):
                    script.trade(MS, 0, 1, True, 0, "ETHUSDT")
            case "other":
                getattr(script, given_with)()
    return script.frames


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_any_sequence_is_decided_alike(steps: list[tuple[str, Any]]) -> None:
    alike(scripted_by(steps))


def busy(seconds: int, up: bool = True) -> list[tuple[str, Any]]:
    """Fifty trades a second, most of them on one side."""
    trades = [(20 * MS, (index % 7) - 3, 40, (index % 5 > 1) is up, 2) for index in range(50)]
    return [("trades", trades)] * seconds


def test_what_the_guard_says_turns_on_the_way_and_is_counted_alike() -> None:
    """Unknown for five minutes, then passed, then blocked, and unknown again after a gap."""
    steps = [*busy(310), *busy(300, up=False), ("feed", False), *busy(2)]
    taken = alike(scripted_by(steps))
    said = taken.answers[GUARD]
    assert sum(said.values()) == 1 + 612 * 50
    assert said["ABSTAIN"] == 300 * 50 + 100 and min(said["PASS"], said["BLOCK"]) > 1000


def test_positions_are_opened_protected_and_closed_alike() -> None:
    """An entry waits for its fill, a position for its stop and targets: both are told of every trade, and then nobody is."""
    rise = [(20 * MS, 3, 40, True, 2)] * 50
    steps = [
        *busy(5),
        ("signal", "long"),
        *busy(2),
        *[("trades", rise)] * 3,
        ("book", None),
        *busy(5),
        ("signal", "short"),
    ]
    taken = alike(scripted_by([*steps, *busy(2), *[("book", None), ("trades", rise)] * 4, *busy(20)]))
    kinds = [json.loads(event)["kind"] for event in taken.events]
    assert kinds.count("POSITION_OPENED") == 1 and kinds.count("POSITION_CLOSED") == 1
    assert kinds.count("FILL") == 4, "the entry, two targets, and the rest on the signal the other way"


def test_the_edges_of_the_guard_in_columns() -> None:
    """Five minutes to the nanosecond, the least volume and 1.10 to the micro-USD: what is at the edge, and what is beyond."""
    script = Script()
    script.trade(0, 0, 1, False, 0)
    script.trade(300 * NS - 1, 0, 1000, False, 0)  # a nanosecond too early
    for lots, buys in [(1099, True), (1, True), (1, True), (10, False), (9, True), (1, True), (1, True)]:
        script.trade(0 if lots != 1099 else 1, 0, lots, buys, 0)
    pieces = runs(script.frames)
    assert [len(piece.times) for piece in pieces if isinstance(piece, TradeRun)] == [9]
    answers = []
    for upto in range(1, len(script.frames) + 1):
        taken = alike(script.frames[:upto], **{"taker.min_usd": "126000"})
        answers.append(dict(taken.answers[GUARD]))
    said = [max(new, key=lambda name: new[name] - old.get(name, 0)) for old, new in pairwise([{}, *answers])]
    assert said == ["ABSTAIN"] * 3 + ["BLOCK", "PASS", "BLOCK", "BLOCK", "BLOCK", "PASS"]


@pytest.mark.parametrize("guard", [GUARD, "whale_conflict", "risk_limits"])
def test_guards_that_cannot_be_asked_in_bulk_are_asked_in_full(guard: str) -> None:
    steps = [*busy(4), ("reading", 1_100_000), *busy(2), ("reading", 1_100_001), *busy(2), ("wait", 130 * NS), *busy(1)]
    frames = scripted_by([("book", None), *steps])
    pieces = (take(frames, ask=[guard, GUARD]), take(runs(frames), ask=[guard, GUARD]))
    assert pieces[0] == pieces[1]
    said = pieces[0].answers[GUARD]
    assert said == {"ABSTAIN": 200 + 1 + 50, "BLOCK": 100, "PASS": 100}, "1.10 blocks, anything over it passes"


def test_a_guard_that_blocks_what_it_does_not_know() -> None:
    frames = scripted_by([*busy(310), *busy(100, up=False)])
    for overrides in ({"guards.taker_aggression.on_missing": "block"}, {"taker.min_usd": "100000000000"}):
        said = alike(frames, **overrides).answers[GUARD]
        assert said.get("BLOCK", 0) + said.get("ABSTAIN", 0) >= 300 * 50 and sum(said.values()) == 1 + 410 * 50


# --- recordings ----------------------------------------------------------------------------------------------------


def replayed(
    tape: Path, monkeypatch: pytest.MonkeyPatch, columns: bool, **options: Any
) -> tuple[dict[str, Any], list[bytes]]:
    kept = MemoryJournal()
    monkeypatch.setattr("bot.app.replaying.MemoryJournal", lambda **_: kept)
    outcome = replay(
        load_settings(files=[DEMO_SETTINGS], overrides={"venue.tape": tape}, env={}), columns=columns, **options
    )
    return outcome.summary, [canonical(event.to_dict()) for event in kept.events]


def test_the_bundled_recording_is_decided_alike_with_its_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / BUNDLED_TAPE.name
    folder.mkdir()
    for file in BUNDLED_TAPE.iterdir():
        if file.suffix in (".json", ".zst"):
            (folder / file.name).write_bytes(file.read_bytes())
    written = write_columns(Tape.open(folder), binance.decode)
    assert written.trades > 5000 and written.frames == Tape.open(folder).manifest.frames
    plain = replayed(folder, monkeypatch, columns=False)
    assert replayed(folder, monkeypatch, columns=True) == plain
    assert len(plain[1]) > 200


def test_the_trades_of_the_bundled_recording_alone() -> None:
    trades = [frame for frame in Tape.open(BUNDLED_TAPE).frames() if b'"e":"trade"' in frame.raw[:80]]
    assert len(trades) > 20_000
    taken = alike(trades)
    assert sum(taken.answers[GUARD].values()) == len(trades)


def test_a_synthetic_market_with_signals_made_from_its_trades() -> None:
    """Strategy `trend` looks at the bars; signals from outside come besides."""
    frames: list[Frame] = []
    for number, frame in enumerate(frames_of(SyntheticMarket(preset("trend", seed=3, hours=0.15)))):
        frames.append(frame)
        if number % 150 == 140:
            request = {
                "type": "signal",
                "external_id": f"{number}",
                "instrument": BTC,
                "direction": "long" if number % 300 == 140 else "short",
            }
            frames.append(Frame(frame.recv_ns, Lane.ACCOUNT, Source.OPERATOR, json.dumps(request).encode()))
    taken = alike(frames, strategies=("trend",))
    kinds = [json.loads(event)["kind"] for event in taken.events]
    assert kinds.count("DECISION") > 3 and "POSITION_OPENED" in kinds


# --- the command line ----------------------------------------------------------------------------------------------


def test_columns_are_made_used_and_left_out_by_the_command_line(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "tape", scripted())
    plain = called("replay", tape, "--json", cwd=tmp_path)
    made = called("record", "columns", tape, cwd=tmp_path)
    assert made.code == 0 and "trades of 2,009 frames in columns" in made.out
    asked = called("replay", tape, "--ask", GUARD, "--json", cwd=tmp_path)
    assert asked.json() | {"asked": None} == plain.json() | {"asked": None}
    assert sum(asked.json()["asked"][GUARD].values()) == sum(b'"e":"trade"' in frame.raw[:80] for frame in scripted())
    assert GUARD in called("replay", tape, "--ask", GUARD, cwd=tmp_path).out
    (tape / FILE).write_bytes((tape / FILE).read_bytes()[:-20])
    broken = called("replay", tape, cwd=tmp_path)
    assert broken.code == 2 and "record columns" in broken.err
    assert called("replay", tape, "--no-columns", "--json", cwd=tmp_path).json() == plain.json()


def test_a_guard_that_is_not_enabled_cannot_be_asked(tmp_path: Path) -> None:
    refused = called("replay", "--demo", "--ask", "session_window", cwd=tmp_path)
    assert refused.code == 2 and "session_window" in refused.err and GUARD in refused.err
