"""The shadow book on synthetic markets, through the whole engine: what it says of refused signals is what would have happened."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.app.replaying import replay
from bot.domain.events import Event
from bot.runtime.tape import Tape
from bot.sim.presets import preset
from bot.sim.synthetic import write_tape
from bot.trading.shadow.desk import Shadows
from bot.trading.shadow.lines import Lines
from tests.e2e.running import Json, settings_for

GUARD = "taker_aggression"
WIDE: dict[str, Any] = {  # limits that do not differ between two runs because nothing reaches them
    "entries_per_symbol_day": 10_000,
    "entries_per_day": 100_000,
    "cooldown_s": 0,
    "stop_cooldown_s": 0,
    "max_positions": 50,
    "gross_pct": 100_000,
    "cluster_pct": 100_000,
    "symbol_pct": 100_000,
    "leverage": 125,
    "daily_loss_pct": 100,
    "drawdown_pct": 100,
    "orders_per_minute": 10_000,
    "liquidation_stops": 1,
}


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shadows") / "tape"
    write_tape(preset("many", seed=2, hours=1, symbols=6), folder)
    return folder


def played(tape: Path, **groups: Any) -> list[Event]:
    symbols = tuple(each.unified for each in Tape.open(tape).instruments)
    events: list[Event] = []
    settings = settings_for(
        tape.parent / "data", tape, symbols=symbols, strategies=("ofi", "trend"), **{"risk": WIDE, **groups}
    )
    replay(settings, observers=[events.extend])
    return events


@pytest.fixture(scope="module")
def events(tape: Path) -> list[Event]:
    return played(tape)


def by_signal(events: list[Event], kind: str) -> dict[str, Event]:
    return {event.corr or "": event for event in events if event.kind == kind}


def result(closed: Event) -> tuple[Any, ...]:
    return tuple(closed.data[key] for key in ("reason", "exit_price", "held_s", "pnl_r"))


def test_what_a_refused_signal_would_have_made_is_what_it_makes_with_the_guard_off(
    tape: Path, events: list[Event]
) -> None:
    """Trade by trade, exits and seconds alike; sizes go with equity, which differs between the runs, so R and not USD."""
    without = played(tape, guards={GUARD: {"enabled": False}})
    signals, shadows = by_signal(events, "SIGNAL"), by_signal(events, "SHADOW_CLOSED")
    then = {_idea(event): signal_id for signal_id, event in by_signal(without, "SIGNAL").items()}
    closed, decided = by_signal(without, "POSITION_CLOSED"), by_signal(without, "DECISION")
    alike = 0
    for signal_id, shadow in shadows.items():
        if shadow.data["blocker"] != GUARD or not shadow.data["tradable"]:
            continue
        real_id = then[_idea(signals[signal_id])]
        if decided[real_id].data["reversal"]:
            continue  # by then the other run holds what this one never opened: the signal closes that
        assert result(closed[real_id]) == result(shadow)
        alike += 1
    assert alike >= 5


def _idea(signal: Event) -> tuple[Any, ...]:
    return signal.ts, signal.symbol, signal.data["strategy"], signal.data["direction"]


def test_twins_of_what_was_traded_end_as_it_did(events: list[Event]) -> None:
    twins, closed = by_signal(events, "SHADOW_CLOSED"), by_signal(events, "POSITION_CLOSED")
    assert len(closed) >= 20
    for signal_id, position in closed.items():
        assert result(twins[signal_id]) == result(position)
        assert twins[signal_id].data["pnl_usd"] == position.data["pnl_usd"]
        assert twins[signal_id].data["blocker"] is None


def test_every_signal_is_accounted_for(events: list[Event]) -> None:
    """Allowed and blocked are all of them; each refused one has a shadow of its own, or is a repeat of one."""
    decisions = [event for event in events if event.kind == "DECISION"]
    kinds = Counter(event.kind for event in events)
    allowed = sum(event.data["allowed"] for event in decisions)
    assert kinds["SIGNAL"] == len(decisions) == allowed + sum(not event.data["allowed"] for event in decisions)
    followed = defaultdict(list)
    for event in events:
        if event.kind in ("SHADOW_ENTERED", "SHADOW_REPEATED", "SHADOW_EXPIRED"):
            followed[event.data["signal_id"]].append(event.kind)
    for decision in decisions:
        exit_only = decision.data["allowed"] and decision.data["reversal"]
        assert len(followed[decision.data["signal_id"]]) == (0 if exit_only else 1)
    assert kinds["SHADOW_OPENED"] - kinds["SHADOW_CLOSED"] <= 2 * 6 * 3  # an instrument, direction, strategy; and twins
    for opened in by_signal(events, "SHADOW_OPENED").values():
        why_not = opened.data["why_not"]
        assert opened.data["tradable"] is (why_not == "")


def test_a_shadow_is_what_its_own_fills_say(events: list[Event]) -> None:
    fills: dict[str, list[Json]] = defaultdict(list)
    for event in events:
        if event.kind == "SHADOW_FILL":
            fills[event.data["position_id"]].append(event.data)
    for closed in by_signal(events, "SHADOW_CLOSED").values():
        of = fills[closed.data["position_id"]]
        signed = [
            (1 if fill["side"] == "buy" else -1, Decimal(fill["price"]), Decimal(fill["quantity"])) for fill in of
        ]
        assert sum(sign * quantity for sign, _, quantity in signed) == 0
        fees = sum(Decimal(fill["fee"]) for fill in of)
        paid = sum(-sign * price * quantity for sign, price, quantity in signed)
        assert Decimal(closed.data["pnl_usd"]) == paid - fees + Decimal(closed.data["funding_usd"] or 0)


@pytest.mark.parametrize("queue", ["risk_averse", "power"])
def test_telling_only_whom_a_price_concerns_changes_nothing(
    tape: Path, monkeypatch: pytest.MonkeyPatch, queue: str
) -> None:
    """Against a book that shows every shadow everything."""

    def story() -> Iterator[tuple[Any, ...]]:
        small = {"symbols": ("BTC/USDT:USDT", "SOL/USDT:USDT"), "paper": {"queue": queue}}
        for event in _of(tape, small):
            if event.kind.startswith("SHADOW_"):
                yield event.ts, event.kind, event.data

    told = sorted(story(), key=str)

    reached = Lines.reached

    def everybody(self: Lines, *asked: Any) -> list[str]:
        watches = any(" " in name for name in self._lines)  # these go off where they are reached
        return reached(self, *asked) if watches else list(self._lines)

    for question in ("reached", "quoted", "resting", "with_orders"):
        monkeypatch.setattr(Lines, question, everybody)
    monkeypatch.setattr(Shadows, "_walled", lambda *_: True)
    assert sorted(story(), key=str) == told and len(told) > 100


def _of(tape: Path, groups: Json) -> list[Event]:
    events: list[Event] = []
    settings = settings_for(tape.parent / "data", tape, strategies=("ofi", "trend"), risk=WIDE, **groups)
    replay(settings, observers=[events.extend])
    return events
