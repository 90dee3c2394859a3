"""From taking a market frame to the DECISION event of a signal right behind it, in the engine that `run` and `replay` use.

The capture is played as fast as it goes. Now and then, as the engine takes a depth or a trade frame, an operator's signal is
put into the account lane, so that it is the next frame; the time runs from there to the event's reaching the observers.
Timers that are due fire before a frame is taken and do not count. Every guard is switched on, and the readings that have
a provider are given, so that guards judge instead of abstaining (whale flow needs an hour, so it abstains).
Each position is closed again before the next signal, so that signals are allowed, sized and turned into an order.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Any

import msgspec
from msgspec import Struct

from bot.app.run import begin
from bot.app.settings import Settings, load_settings
from bot.app.wiring import Parts, assemble, pick_instruments
from bot.demo import DEMO_SETTINGS
from bot.domain.events import Event
from bot.domain.frames import Frame, Lane, Source
from bot.domain.instrument import Instrument
from bot.domain.messages import CloseRequest, OutsideSignal
from bot.domain.ports import JournalSink
from bot.domain.reading import LiquidationCluster, LiquidationClusters, LongShort, Reading, Taker, Wall, Walls
from bot.domain.values import NS, Direction
from bot.journal.digest import Digest
from bot.journal.projection import Projection
from bot.journal.writer import Journal, MemoryJournal
from bot.market.readings import encode_reading
from bot.runtime.clock import TapeClock
from bot.runtime.supervisor import supervise
from tests.bench.capture import DEPTH, MIX, TRADE, Capture, kind_of
from tests.bench.measure import Row, at_most, percentile, settle_memory

GOALS_US = {DEPTH: (100.0, 300.0), TRADE: (30.0, 100.0)}  # p50, p99
WARM_UP_NS = 65 * NS  # own walls are known after a minute
APART_NS = NS // 3  # twice the paper venue's delay
REFRESH_NS = 60 * NS


def measure(capture: Capture, rounds: int) -> tuple[list[Row], list[str]]:
    """The rows, and how many signals they rest on."""
    ways: dict[str, Callable[[Capture], _Probe]] = {"settle_now": _settle_now, "awaited bus": _awaited}
    taken: dict[str, list[_Probe]] = {name: [] for name in ways}
    settle_memory()
    for _ in range(rounds):
        for name, play in ways.items():
            taken[name].append(play(capture))
    rows = [_row(kind, name, probes) for kind in GOALS_US for name, probes in taken.items()]
    probe = taken["settle_now"][0]
    signals = sum(map(len, probe.took_us.values()))
    return rows, [f"{signals} signals a round, {probe.allowed} of them allowed, {probe.guards} guards asked"]


def _row(kind: str, way: str, probes: Sequence[_Probe]) -> Row:
    shares = (0.5, 0.99)
    values = tuple(median(percentile(probe.took_us[kind], share) for probe in probes) for share in shares)
    return at_most(f"{kind} frame to DECISION, p50 / p99, {way}", values, "µs", GOALS_US[kind])


class _Probe:
    """Puts the signals in and stops the time. `guards` is the number of verdicts each decision had."""

    def __init__(self) -> None:
        self.took_us: dict[str, list[float]] = {kind: [] for kind in GOALS_US}
        self.allowed = self.guards = 0
        self._next_ns = 0
        self._flat = True
        self._wanted, self._other = DEPTH, TRADE
        self._taken_ns = 0
        self._sent = 0

    def attach(self, parts: Parts) -> None:
        instrument = next(iter(parts.view.instruments())).id
        close = msgspec.json.encode(CloseRequest(instrument=instrument))
        pop = parts.inbox.pop
        self._next_ns = parts.started_ns + WARM_UP_NS

        def taken() -> Frame:
            frame = pop()
            if frame.recv_ns < self._next_ns or frame.lane != Lane.DATA:
                return frame
            if not self._flat:
                self._flat, self._next_ns = True, frame.recv_ns + APART_NS
                parts.operator(close)
            elif frame.source != Source.READING and kind_of(frame.raw) == self._wanted:
                self._flat, self._next_ns = False, frame.recv_ns + APART_NS
                parts.operator(self._signal(instrument))
                self._taken_ns = perf_counter_ns()
            return frame

        parts.inbox.pop = taken  # type: ignore[method-assign]

    def on_events(self, events: Sequence[Event]) -> None:
        now_ns = perf_counter_ns()
        for event in events:
            if event.kind == "DECISION":
                self.took_us[self._wanted].append((now_ns - self._taken_ns) / 1000)
                self._wanted, self._other = self._other, self._wanted
                self.allowed += event.data["allowed"]
                self.guards = len(event.data["verdicts"])

    def _signal(self, instrument: str) -> bytes:
        self._sent += 1
        return msgspec.json.encode(
            OutsideSignal(external_id=f"bench-{self._sent}", instrument=instrument, direction=Direction.LONG)
        )


def _settle_now(capture: Capture) -> _Probe:
    probe = _Probe()
    parts = _parts(capture, MemoryJournal(keep=False), 1, 0, probe)
    for frame in _frames(capture):
        if not parts.inbox.offer_data(frame):
            parts.engine.run_now()
            parts.inbox.offer_data(frame)
    parts.engine.run_now()
    return probe


def _awaited(capture: Capture) -> _Probe:
    import uvloop

    with tempfile.TemporaryDirectory() as folder:
        journal = Journal.open(Path(folder), account="main", mode="paper")
        try:
            probe = _Probe()
            parts = _parts(capture, journal, journal.session, journal.last_seq, probe)
            uvloop.run(_play(parts, capture))
        finally:
            journal.close()
    return probe


async def _play(parts: Parts, capture: Capture) -> None:
    """As `run` does it, without API and display."""

    async def feed() -> None:
        for frame in _frames(capture):
            if not parts.inbox.offer_data(frame):
                await parts.inbox.put_data(frame)
        await parts.engine.idle()
        parts.stop("measured")

    tasks = {f"desk {name}": desk.run() for name, desk in parts.bus.tasks.items()}
    tasks |= {f"orders {lane}": parts.executor.run_lane(lane) for lane in ("protective", "entry")}
    await supervise(parts.engine.run(), tasks | {"feed": feed()})


def _parts(capture: Capture, journal: JournalSink, session: int, last_seq: int, probe: _Probe) -> Parts:
    settings = _settings()
    projection = Projection()

    def project(events: Sequence[Event]) -> None:
        for event in events:
            projection.apply(event)

    parts = assemble(
        settings,
        pick_instruments(settings, capture.tape.instruments),
        journal=journal,
        session=session,
        last_seq=last_seq,
        clock=TapeClock(),
        observers=(probe.on_events, project, Digest().update),
    )
    begin(parts, capture.tape)
    probe.attach(parts)
    return parts


def _settings() -> Settings:
    """The demonstration's, without strategies of our own, without rests between two trades, with every guard on."""
    overrides: dict[str, Any] = {
        "strategies": "",
        "risk.cooldown_s": 0,
        "risk.stop_cooldown_s": 0,
        "risk.entries_per_symbol_day": 100_000,
        "risk.entries_per_day": 100_000,
        "guards.session_window.enabled": True,
        "guards.session_window.hours": "00:00-24:00",
    }
    return load_settings(files=[DEMO_SETTINGS], overrides=overrides, env={})


def _frames(capture: Capture) -> Iterator[Frame]:
    return with_readings(capture.by_kind[MIX], capture.instrument)


def with_readings(frames: Iterable[Frame], instrument: Instrument) -> Iterator[Frame]:
    """Market frames, with the providers' readings renewed once a minute."""
    due_ns = 0
    for frame in frames:
        if frame.recv_ns >= due_ns:
            due_ns = frame.recv_ns + REFRESH_NS
            yield from _readings(instrument, frame.recv_ns)
        yield frame


def _readings(instrument: Instrument, now_ns: int) -> Iterator[Frame]:
    """Nothing in them speaks against a long."""
    cluster = LiquidationCluster(price=Decimal(70_000), usd=Decimal(50_000_000), side=Direction.SHORT)
    walls = tuple(Wall(price=price, usd=4e7, first_seen_ns=0, venues=("a", "b")) for price in (63_000.0, 64_000.0))
    payloads: list[tuple[str, str, str, Struct]] = [
        ("taker_5m", "coinglass", instrument.id, Taker(buy_usd=Decimal(3_000_000), sell_usd=Decimal(2_000_000))),
        ("long_short", "venue", instrument.id, LongShort(ratio=Decimal("1.2"), percentile_95=Decimal("1.9"))),
        (
            "liquidation_clusters",
            "coinglass",
            instrument.id,
            LiquidationClusters(clusters=(cluster,) * 20, open_interest_usd=Decimal(5_000_000_000)),
        ),
        (
            "walls",
            "coinglass",
            instrument.base,
            Walls(
                asks=walls, bids=(), ask_coverage_pct=6.0, bid_coverage_pct=6.0, institutional_usd=Decimal(25_000_000)
            ),
        ),
    ]
    for name, source, key, value in payloads:
        reading = Reading(
            name=name, key=key, source=source, value=value, observed_ns=now_ns, received_ns=now_ns, max_age_ns=0
        )
        yield Frame(now_ns, Lane.DATA, Source.READING, encode_reading(reading))
