"""The order in which frames are taken, engine time, timers, and looking in from outside. A scripted handler, no sockets."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest

from bot.domain.events import Emit, Event
from bot.domain.frames import Frame
from bot.domain.messages import Message, Sampled, SetTimer, TimerFired
from bot.domain.orders import CancelOrder, Order, OrderCommand, OrderType
from bot.domain.trades import TradeRun
from bot.domain.values import NS, Side
from bot.runtime.bus import Bus
from bot.runtime.clock import RealClock, TapeClock
from bot.runtime.engine import SILENCE_NS, Engine
from bot.runtime.eventlog import EventLog
from bot.runtime.inbox import Inbox
from bot.runtime.timers import Timers

T0 = 1_723_161_255 * NS


class Outbox:
    """Says what is handed over, and in `drained` waits until it may go on."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.open, self.asked = asyncio.Event(), asyncio.Event()
        self.open.set()

    def hand_over(self, commands: Sequence[Any], seq: int, decided_ns: int) -> None:
        self.log.append(f"{len(commands)} order(s) up to event {seq} decided at {(decided_ns - T0) / NS:g}")

    def send_now(self) -> None:
        self.log.append("sent")

    async def drained(self) -> None:
        self.asked.set()
        await self.open.wait()
        self.log.append("drained")


class Harness:
    """Writes down everything the engine does. `on_frame` may answer a frame with messages."""

    name = "noted"

    def __init__(self, clock: RealClock | TapeClock | None = None) -> None:
        self.log: list[str] = []
        self.events: list[Event] = []
        self.now_ns = 0
        self.quiet = True  # about runs of trades
        self.on_frame: Callable[[Frame], Sequence[Message]] = lambda frame: ()
        self.inbox, self.timers = Inbox(), Timers()
        events = EventLog(account="main", mode="paper", last_seq=0, unified=lambda i: i)
        sinks: dict[type, Callable[[Any], object]] = {
            Emit: events.emit,
            SetTimer: lambda m: self.timers.set(m.desk, m.key, m.due_ns),
        }
        self.commands: list[OrderCommand] = []
        self.outbox = Outbox(self.log)
        bus = Bus([self], {Sampled: ("noted",)}, sinks, self)  # type: ignore[list-item,arg-type]
        self.bus = bus
        self.engine = Engine(
            inbox=self.inbox,
            timers=self.timers,
            bus=bus,
            log=events,
            view=self,
            handler=self,
            owners={"venue": lambda key: self.log.append(f"venue {key}")},
            numbered=(events,),
            commands=self.commands,
            outbox=self.outbox,
            observers=(self.events.extend,),
            clock=clock or TapeClock(),
        )

    def apply(self, frame: Frame, now_ns: int) -> Sequence[Message]:
        self.log.append(f"{frame.source} {frame.raw.decode()} at {(now_ns - T0) / NS:g}")
        return self.on_frame(frame)

    def undisturbed(self, run: TradeRun) -> bool:
        return self.quiet

    def apply_run(self, run: TradeRun, count: int, now_ns: int) -> Sequence[Message]:
        stamps = ", ".join(str(stamp) for stamp in run.stamps[run.at : run.at + count])
        self.log.append(f"trades {stamps} at {(now_ns - T0) / NS:g}")
        return self.on_frame(Frame(now_ns, "data", "market", b""))

    def sample(self, now_ns: int) -> Sequence[Message]:
        self.log.append(f"sample at {(now_ns - T0) / NS:g}")
        return ()

    def on(self, message: Message, view: Any) -> Sequence[Message]:
        if isinstance(message, TimerFired):
            self.log.append(f"timer {message.key} at {(self.now_ns - T0) / NS:g}")
        return ()

    def data(self, name: str, at_s: float) -> None:
        self.inbox.offer_data(Frame(T0 + round(at_s * NS), "data", "market", name.encode()))

    def trades(self, *at_s: float) -> None:
        """One run, numbered by the venue's stamps."""
        times, numbers = array("q", [T0 + round(each * NS) for each in at_s]), array("q", range(len(at_s)))
        nothing = array("d", [1.0] * len(at_s))
        run = TradeRun("BTCUSDT", "market", False, times, times, numbers, nothing, nothing, array("q", times))
        self.inbox.offer_data(run)

    def account(self, name: str, at_s: float) -> None:
        self.inbox.put_account(Frame(T0 + round(at_s * NS), "account", "report", name.encode()))


def test_account_frames_are_taken_before_data_frames() -> None:
    harness = Harness()
    harness.data("d1", 1)
    harness.data("d2", 2)
    harness.account("a1", 3)
    harness.engine.run_now()
    assert harness.log == ["report a1 at 3", "market d1 at 3", "market d2 at 3"]  # and time does not go back


def test_timers_due_by_the_frames_time_fire_before_it_in_order() -> None:
    harness = Harness()
    harness.timers.set("noted", "late", T0 + 5 * NS)
    harness.timers.set("noted", "second", T0 + 2 * NS)
    harness.timers.set("venue", "first", T0 + NS)
    harness.timers.set("noted", "on the dot", T0 + 3 * NS)
    harness.data("d", 3)
    harness.engine.run_now()
    assert harness.log == ["venue first", "timer second at 2", "timer on the dot at 3", "market d at 3"]


def test_what_a_timer_brings_is_taken_before_the_next_timer() -> None:
    harness = Harness()
    harness.timers.set("venue", "fill", T0 + NS)
    harness.timers.set("noted", "later", T0 + 2 * NS)
    harness.engine._owners["venue"] = lambda key: harness.account("the fill", 1)
    harness.data("d", 3)
    harness.engine.run_now()
    assert harness.log == ["report the fill at 1", "timer later at 2", "market d at 3"]


def test_samples_come_every_whole_second_and_a_long_silence_is_skipped() -> None:
    harness = Harness()
    harness.engine.start_at(T0 + NS // 2)
    harness.data("d", 3.2)
    harness.data("after a week", 7 * 86_400 + 0.5)
    harness.engine.run_now()
    assert harness.log[:4] == ["sample at 1", "sample at 2", "sample at 3", "market d at 3.2"]
    week = 7 * 86_400
    assert harness.log[4:] == ["sample at 4", f"sample at {week}", f"market after a week at {week + 0.5:.6g}"]
    assert SILENCE_NS == 60 * NS


def test_every_frame_is_numbered_timers_included_and_events_carry_it() -> None:
    harness = Harness()
    harness.on_frame = lambda frame: [Emit(kind="SEEN", source="test", data={"what": frame.raw.decode()})]
    harness.timers.set("noted", "t", T0)
    harness.data("d1", 1)
    harness.data("d2", 2)
    harness.engine.run_now()
    assert [(event.frame, event.seq, event.ts - T0) for event in harness.events] == [(2, 1, NS), (3, 2, 2 * NS)]


def test_after_the_end_only_the_account_lane_is_taken() -> None:
    harness = Harness()
    harness.data("d", 1)
    harness.account("a", 1)
    harness.engine.end()
    harness.engine.run_now()
    assert harness.log == ["report a at 1"]


async def run_with_tasks(harness: Harness, script: Callable[[], Any]) -> None:
    desk = asyncio.ensure_future(harness.bus.tasks["noted"].run())
    engine = asyncio.ensure_future(harness.engine.run())
    try:
        async with asyncio.timeout(60):
            await script()
            harness.engine.end()
            harness.account("end", 0)
            await engine
    finally:
        for task in (desk, engine):
            task.cancel()
        await asyncio.gather(desk, engine, return_exceptions=True)


async def test_looking_in_never_sees_half_a_frame() -> None:
    """A frame is half done while its desks settle; whoever looks then is answered when it is whole."""
    harness = Harness()
    state = {"half": False}
    looks: list[bool] = []

    class Slow:
        def on(self, message: Message, view: Any) -> Sequence[Message]:
            state["half"] = False
            return ()

    def start(frame: Frame) -> Sequence[Message]:
        state["half"] = frame.raw == b"d"
        if state["half"]:
            asking.append(asyncio.ensure_future(harness.engine.inspect(lambda: looks.append(state["half"]))))
        return [Sampled(now_ns=0)]

    asking: list[asyncio.Future[None]] = []
    harness.on_frame = start
    harness.bus.tasks["noted"].core = Slow()  # type: ignore[assignment]

    async def script() -> None:
        for number in range(20):
            harness.data("d", number)
        await harness.engine.idle()
        await asyncio.gather(*asking)

    await run_with_tasks(harness, script)
    assert looks == [False] * 20


async def test_an_error_while_looking_belongs_to_who_looks() -> None:
    harness = Harness()

    async def script() -> None:
        with pytest.raises(ZeroDivisionError):
            await harness.engine.inspect(lambda: 1 // 0)
        harness.data("d", 1)
        await harness.engine.idle()

    await run_with_tasks(harness, script)
    assert "market d at 1" in harness.log


async def test_idle_waits_for_every_frame_that_was_handed_in() -> None:
    harness = Harness()

    async def script() -> None:
        for number in range(300):
            harness.data(f"d{number}", number)
        await harness.engine.idle()
        assert len(harness.log) == 300

    await run_with_tasks(harness, script)


async def test_what_was_put_into_the_account_lane_is_taken_when_whoever_waits_for_it_goes_on() -> None:
    """Also when the engine waits for the disk meanwhile, and when nothing waits any more."""
    harness = Harness()
    harness.on_frame = ordering(harness)
    harness.outbox.open.clear()

    async def script() -> None:
        harness.data("d1", 1)
        await harness.outbox.asked.wait()
        harness.account("pause", 1)
        harness.account("kill", 1)
        taken = asyncio.ensure_future(harness.engine.taken())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not taken.done()
        harness.outbox.open.set()
        await taken
        assert harness.log[-1] == "report kill at 1"
        await harness.engine.taken()

    await run_with_tasks(harness, script)


async def test_on_a_live_clock_a_timer_fires_without_any_frame() -> None:
    clock = RealClock()
    harness = Harness(clock)
    fired = asyncio.Event()
    harness.engine._owners["venue"] = lambda key: fired.set()
    harness.timers.set("venue", "due", clock.now_ns() + NS // 100)
    await run_with_tasks(harness, fired.wait)
    assert fired.is_set()
    assert any(line.startswith("tick") for line in harness.log)


async def test_on_a_tape_nothing_happens_between_frames() -> None:
    harness = Harness()
    harness.timers.set("noted", "t", T0 + NS)

    async def script() -> None:
        harness.data("d", 0.5)
        await harness.engine.idle()
        await asyncio.sleep(0)

    await run_with_tasks(harness, script)
    assert harness.log == ["market d at 0.5", "report end at 0.5"]


def test_time_that_goes_back_in_the_data_does_not_go_back_here() -> None:
    harness = Harness()
    harness.timers.set("noted", "due meanwhile", T0 + 4 * NS)
    for name, at_s in (("d1", 5), ("d2", 2), ("d3", 4.5), ("d4", 6)):
        harness.data(name, at_s)
    harness.engine.run_now()
    assert harness.log == [
        "timer due meanwhile at 4",
        *(f"market d{n} at {at}" for n, at in ((1, 5), (2, 5), (3, 5), (4, 6))),
    ]


def test_timers_of_one_moment_fire_in_the_order_they_were_set() -> None:
    harness = Harness()
    for key in ("c", "a", "b"):
        harness.timers.set("noted", key, T0 + NS)
    harness.data("d", 1)
    harness.engine.run_now()
    assert harness.log == ["timer c at 1", "timer a at 1", "timer b at 1", "market d at 1"]


def test_an_hour_of_silence_does_not_hold_up_other_timers() -> None:
    harness = Harness()
    harness.engine.start_at(T0)
    harness.timers.set("noted", "in the silence", T0 + 1800 * NS)
    harness.data("d", 3600)
    harness.engine.run_now()
    assert harness.log == ["sample at 1", "timer in the silence at 1800", "sample at 3600", "market d at 3600"]


CANCEL = CancelOrder(
    order=Order(
        client_order_id="C1",
        instrument="binanceusdm:BTCUSDT",
        signal_id="S1",
        position_id="P1",
        leg="stop",
        side=Side.SELL,
        type=OrderType.MARKET,
        quantity=Decimal(1),
    )
)


def ordering(harness: Harness) -> Callable[[Frame], Sequence[Message]]:
    """Frame `d1` brings an order and an event."""

    def decide(frame: Frame) -> Sequence[Message]:
        if frame.raw != b"d1":
            return ()
        harness.commands.append(CANCEL)
        return [Emit(kind="ORDER_INTENT", source="test", data={})]

    return decide


def test_a_frames_orders_are_handed_over_with_the_last_event_that_must_be_durable_first() -> None:
    harness = Harness()
    harness.on_frame = ordering(harness)
    harness.data("d1", 1)
    harness.data("d2", 2)
    harness.engine.run_now()
    assert harness.log == ["market d1 at 1", "1 order(s) up to event 1 decided at 1", "sent", "market d2 at 2"]


async def test_on_a_tape_the_next_frame_waits_until_orders_have_left_and_live_it_does_not() -> None:
    for clock, waits in ((TapeClock(), True), (RealClock(), False)):
        harness = Harness(clock)
        harness.on_frame = ordering(harness)
        harness.outbox.open.clear()

        async def script(harness: Harness = harness, waits: bool = waits) -> None:
            harness.data("d1", 1)
            harness.data("d2", 2)
            for _ in range(20):
                await asyncio.sleep(0)
            assert ("market d2 at 2" not in harness.log) is waits
            harness.outbox.open.set()
            await harness.engine.idle()

        await run_with_tasks(harness, script)
        assert harness.log[0] == "market d1 at 1"
        assert ("drained" in harness.log) is waits
        assert "market d2 at 2" in harness.log


async def test_who_stopped_waiting_for_an_answer_does_no_harm() -> None:
    """A client that went away while a frame was half done."""
    harness = Harness()
    asking: list[asyncio.Future[Any]] = []

    def start(frame: Frame) -> Sequence[Message]:
        if frame.raw == b"d":
            asking.extend(
                asyncio.ensure_future(ask) for ask in (harness.engine.inspect(lambda: 1), harness.engine.idle())
            )
        return [Sampled(now_ns=0)]

    class GoesAway:
        def on(self, message: Message, view: Any) -> Sequence[Message]:
            for one in asking:
                one.cancel()
            return ()

    harness.on_frame = start
    harness.bus.tasks["noted"].core = GoesAway()  # type: ignore[assignment]

    async def script() -> None:
        harness.data("d", 1)
        harness.data("next", 2)
        await harness.engine.idle()

    await run_with_tasks(harness, script)
    assert harness.log[:2] == ["market d at 1", "market next at 2"]


async def test_a_note_from_outside_is_an_event_of_the_frame_before() -> None:
    harness = Harness()
    harness.data("d", 1)
    harness.engine.run_now()
    harness.engine.note(Emit(kind="ENGINE_STOPPED", source="engine", data={}))
    [event] = harness.events
    assert (event.kind, event.frame, event.ts) == ("ENGINE_STOPPED", 1, T0 + NS)


async def test_on_a_live_clock_a_timer_that_is_due_already_fires_at_once() -> None:
    harness = Harness(RealClock())
    fired = asyncio.Event()
    harness.engine._owners["venue"] = lambda key: fired.set()
    harness.timers.set("venue", "due", 0)
    await run_with_tasks(harness, fired.wait)
    assert [line.split()[0] for line in harness.log] == ["tick", "report"]


def test_a_run_is_taken_up_to_the_next_timer_and_each_of_its_trades_is_a_frame() -> None:
    harness = Harness()
    harness.engine.start_at(T0)
    harness.timers.set("noted", "stop", T0 + 1_300_000_000)
    harness.trades(0.2, 0.9, 1.0, 1.2, 1.3, 1.3, 1.9)
    harness.data("d", 1.9)
    harness.engine.run_now()
    assert harness.log == [
        "trades 0, 1 at 0.9",
        "sample at 1",  # a timer due at a trade's time fires before it
        "trades 2, 3 at 1.2",
        "timer stop at 1.3",
        "trades 4, 5, 6 at 1.9",
        "market d at 1.9",
    ]
    assert harness.engine.frames == 7 + 2 + 1


def test_what_is_taken_at_once_is_of_one_second_without_a_timer_too() -> None:
    harness = Harness()
    harness.trades(0.5, 0.999999999, 1, 3)
    harness.engine.run_now()
    assert harness.log == ["trades 0, 1 at 1", "trades 2 at 1", "trades 3 at 3"]


def test_a_silence_in_a_run_is_skipped_like_any_other() -> None:
    harness = Harness()
    harness.engine.start_at(T0)
    harness.trades(0.5, 3600.5)
    harness.engine.run_now()
    assert harness.log == ["trades 0 at 0.5", "sample at 1", "sample at 3600", "trades 1 at 3600.5"]


def test_trades_that_may_concern_somebody_or_came_late_are_taken_one_by_one() -> None:
    harness = Harness()
    harness.quiet = False
    harness.trades(0.1, 0.2)
    harness.engine.run_now()
    harness.quiet = True
    harness.data("d", 0.45)
    harness.trades(0.3, 0.4, 0.5, 0.6)
    harness.engine.run_now()
    assert harness.log == [
        "trades 0 at 0.1",
        "trades 1 at 0.2",
        "market d at 0.45",
        "trades 0 at 0.45",
        "trades 1 at 0.45",
        "trades 2, 3 at 0.6",
    ]


def test_what_a_trade_of_a_run_brings_is_taken_before_the_next_one() -> None:
    harness = Harness()
    harness.quiet = False

    def answer(frame: Frame) -> Sequence[Message]:
        if frame.source == "market" and frame.recv_ns > T0:
            harness.account(f"fill at {(frame.recv_ns - T0) // NS}", (frame.recv_ns - T0) / NS)
        return (Emit(kind="NOTED", source="test", data={}),)

    harness.on_frame = answer
    harness.trades(0, 1, 2)
    harness.engine.run_now()
    assert harness.log == [
        "trades 0 at 0",
        "trades 1 at 1",
        "report fill at 1 at 1",
        "trades 2 at 2",
        "report fill at 2 at 2",
    ]
    assert [event.frame for event in harness.events] == [1, 2, 3, 4, 5]
