"""Lines for people: the words operators grep for, one line for what matters, and never a wait."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bot.app.logs import BOUND, LogObserver, describe
from bot.domain.events import Event
from tests.build import NOW
from tests.e2e.running import play, scripted


def event(kind: str, **data: Any) -> Event:
    return Event(
        seq=1,
        ts=NOW,
        frame=1,
        kind=kind,
        v=1,
        account="main",
        mode="paper",
        symbol="BTC/USDT:USDT",
        source="test",
        corr=None,
        cause=None,
        data=data,
    )


def guard_event(kind: str, **data: Any) -> Event:
    seen = {"value": "1.08", "threshold": "1.10", "reading_source": "own", "reading_age_s": 0.2, "reason": ""}
    return event(kind, signal_id="S1", direction="long", **{**seen, **data})


OPENED = {
    "direction": "long",
    "quantity": "0.04",
    "entry_price": "65000",
    "stop_price": "64350.0",
    "tiers": [{"tier": 4, "price": "66300.0", "quantity": "0.04"}],
    "true_trend": True,
    "max_pain_gap_pct": 2.104,
    "magnet": "MAGNET-WITH",
    "min_hold_s": 4500,
}


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("TAKER_AGGRESSION_BLOCK", "TAKER"),
        ("WALL_RESISTANCE_BLOCK", "WALL"),
        ("LIQ_WALL_CONFLICT", "LIQ"),
        ("LONG_TRAP_DETECTED", "TRAP"),
        ("WHALE_CONFLICT", "WHALE"),
        ("PROBATION_BLOCK", "PROBATION"),
    ],
)
def test_a_guards_refusal_carries_its_word_its_numbers_its_source_and_its_age(kind: str, word: str) -> None:
    line = describe(guard_event(kind))
    assert line == f"{word} blocks BTC/USDT:USDT long: 1.08 against 1.10 (own, 0.2 s old)"


def test_a_refusal_with_a_reason_says_it() -> None:
    line = describe(guard_event("RISK_LIMIT_BLOCK", value=None, reason="already in the symbol", reading_source=None))
    assert line == "RISK blocks BTC/USDT:USDT long: already in the symbol"


def test_a_true_trend_opening_tells_the_max_pain_gap_and_the_hold() -> None:
    line = describe(event("POSITION_OPENED", **OPENED))
    assert line is not None
    assert "MAX-PAIN gap 2.10 % MAGNET-WITH" in line
    assert "held for 75 min" in line
    plain = describe(event("POSITION_OPENED", **{**OPENED, "true_trend": False, "min_hold_s": 0}))
    assert plain is not None
    assert "MAX-PAIN" not in plain
    assert "held" not in plain


@pytest.mark.parametrize(
    ("usd", "said"), [("0", "fees 2.00"), (None, "fees 2.00"), ("-1.254", "fees 2.00, funding -1.25")]
)
def test_the_end_of_a_position_tells_the_funding_it_had(usd: str | None, said: str) -> None:
    close = {"reason": "stop", "exit_price": "1", "held_s": 1.0, "pnl_usd": "-5", "pnl_r": -1.0, "fees_usd": "2"}
    assert str(describe(event("POSITION_CLOSED", **close, funding_usd=usd))).endswith(said)


def test_a_moved_target_names_the_wall() -> None:
    moved = {"tier": 4, "old_price": "66300.0", "new_price": "66133.8"}
    line = describe(event("TP_ADJUSTED", **moved, wall_price="66200.0", wall_usd="30000000"))
    assert line == "tier 4 of BTC/USDT:USDT moves 66300.0 -> 66133.8: WALL of 30.0M at 66200.0"
    back = describe(event("TP_ADJUSTED", **moved, wall_price=None, wall_usd=None))
    assert back is not None
    assert back.endswith("wall gone")


def test_a_strategy_that_fails_is_told_with_its_error() -> None:
    failed = {"strategy": "fade", "error": "KeyError: 'x' (line 3)", "errors": 61}
    line = "strategy fade FAILED on BTC/USDT:USDT (61 errors so far): KeyError: 'x' (line 3)"
    assert describe(event("STRATEGY_ERROR", **failed)) == line
    line = "strategy fade is OFF until the next start: it only fails, last with KeyError: 'x' (line 3)"
    assert describe(event("STRATEGY_OFF", **failed)) == line


def test_orders_on_their_way_and_unknown_kinds_make_no_noise() -> None:
    assert describe(event("ORDER_SENT")) is None
    assert describe(event("SOMETHING_NEW", what="ever")) is None


def test_lines_are_written_in_order_with_the_engines_time() -> None:
    read, write = os.pipe()
    with os.fdopen(read) as reader, os.fdopen(write, "w") as out:
        logs = LogObserver(enabled=True, out=out)
        logs.on_events([event("STATE", was="STARTING", state="ACTIVE", reason="book usable")])
        logs.say("done")
        logs.close()
        out.close()
        assert reader.read() == "08:53:20.000 state STARTING -> ACTIVE: book usable\ndone\n"


def test_an_output_that_blocks_does_not_block_the_engine() -> None:
    unblock = threading.Event()

    class Stuck:
        def write(self, text: str) -> int:
            unblock.wait(10)
            return len(text)

        def flush(self) -> None: ...

    logs = LogObserver(enabled=True, out=Stuck())  # type: ignore[arg-type]
    for number in range(BOUND + 50):
        logs.say(f"line {number}")
    assert logs.dropped >= 49  # one may be in the stuck writer's hands
    assert logs.lines[-1] == f"line {BOUND + 49}"
    unblock.set()


def test_output_that_is_gone_ends_the_writer_quietly() -> None:
    read, write = os.pipe()
    os.close(read)
    out = os.fdopen(write, "w", buffering=1)
    logs = LogObserver(enabled=True, out=out)
    logs.say("to nobody")
    logs.close()
    with pytest.raises(BrokenPipeError):
        out.close()


def test_what_did_not_fit_is_counted_and_told_where_it_is_missing() -> None:
    read, write = os.pipe()
    with os.fdopen(read) as reader, os.fdopen(write, "w") as out:
        logs = LogObserver(enabled=True, out=out)
        for number in range(3 * BOUND):  # far more than the pipe and the queue can hold: nobody reads yet
            logs.say(f"line {number}")
        written: list[str] = []
        reading = threading.Thread(target=lambda: written.extend(reader))
        reading.start()
        logs.close(deadline_s=60)
        out.close()
        reading.join()
    assert logs.dropped > 0
    told = [line for line in written if "dropped" in line]
    assert told == [f"{logs.dropped} log lines were dropped: the output is too slow\n"]
    assert len(written) == 3 * BOUND - logs.dropped + 1


@pytest.mark.parametrize("lines", [BOUND // 2, 3 * BOUND], ids=["room in the queue", "a full queue"])
def test_an_output_that_blocks_holds_up_the_end_for_so_long_at_most(lines: int) -> None:
    """Nobody reads: whoever waited for the output to be done would wait for ever."""
    read, write = os.pipe()
    out = os.fdopen(write, "w")
    logs = LogObserver(enabled=True, out=out)
    for number in range(lines):
        logs.say(f"line {number}, long enough that a pipe does not hold half of what a queue does")
    closing = threading.Thread(target=logs.close, args=(0.02,))
    closing.start()
    closing.join(60)
    ended, writer = not closing.is_alive(), logs._thread
    assert writer is not None and writer.is_alive()
    os.close(read)  # so that the writer ends
    writer.join(60)
    assert ended and not writer.is_alive()
    with suppress(BrokenPipeError):
        out.close()


def test_every_event_of_a_real_session_can_be_told(tmp_path: Path) -> None:
    """Among them the words that operators look for."""
    played = play(tmp_path, scripted(), risk={"cooldown_s": 0})
    lines = [describe(Event(**one)) for one in played.events]
    told = "\n".join(line for line in lines if line)
    words = (
        "TRAP blocks",
        "MAX-PAIN gap",
        "MAGNET-WITH",
        "OPENED",
        "CLOSED",
        "held for 75 min",
        "fill",
        "refused by long_trap",
    )
    assert [word for word in words if word not in told] == []
    assert "engine started, session 1" in told and "engine stopped: tape ended" in told
    silent = {
        one["kind"]
        for one, line in zip(played.events, lines, strict=True)
        if line is None and not one["kind"].startswith("SHADOW_")
    }
    assert silent == {"ORDER_INTENT", "ORDER_SENT", "ORDER_ACK", "ORDER_FILLED", "ORDER_CANCELED", "POSITION_ENTERED"}
