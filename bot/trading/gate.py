"""Desk `gate`: asks every guard about every signal, sizes what passes, and journals why (product 4).

The only place where SIGNAL and DECISION are written, for ideas of our own strategies and from outside alike. It keeps
no position and sends no order: the desk `positions` acts on the `Decision`. A guard that raises is caught here, so that
one bad number cannot stop the engine: a data guard then abstains, a safety guard blocks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar

from bot.domain.errors import ConfigError
from bot.domain.events import GATE, Emit, text
from bot.domain.instrument import Round
from bot.domain.messages import Message, OutsideSignal
from bot.domain.ports import Guard, IdFactory, View
from bot.domain.values import ABSTAIN, BLOCK, Decision, Signal, Verdict
from bot.trading.exits.protection import StopParams
from bot.trading.exploring import Exploration
from bot.trading.guards.probation import Probation
from bot.trading.guards.risk_limits import RiskLimits
from bot.trading.risk import is_reversal
from bot.trading.sizing import Sized, SizeRules, entry_price, multiplier, no_stop, rules_now, size

REMEMBERED = 10_000  # ids of outside signals, so that a repeated one is refused


class Gate:
    """`guards` are the enabled ones in configured order; `config_hash` names the rules in force, versions included.

    `repeated` counts outside signals refused because their id was seen before (since the start of the program).
    """

    name: ClassVar[str] = "gate"

    def __init__(
        self,
        guards: Sequence[Guard],
        ids: IdFactory,
        rules: SizeRules,
        config_hash: str,
        stop: StopParams | None = None,
        exploration: Exploration | None = None,
    ) -> None:
        missing = {Probation.name, RiskLimits.name} - {guard.name for guard in guards}
        if missing:
            raise ConfigError(f"guards {', '.join(sorted(missing))} cannot be removed: add them to the gate's guards")
        self._guards = tuple(guards)
        self._ids, self._rules, self._config_hash, self._stop = ids, rules, config_hash, stop
        self._exploration = exploration
        self._seen: OrderedDict[str, None] = OrderedDict()
        self.repeated = 0

    def on(self, message: Message, view: View) -> Sequence[Message]:
        match message:
            case Signal():
                return self._decide(message, view)
            case OutsideSignal() if self._is_new(message.external_id):
                signal = self._taken(message, view)
                return self._decide(signal, view) if isinstance(signal, Signal) else [signal]
            case _:
                return []

    # --- signals from outside ---

    def recall(self, external_id: str) -> None:
        """This id was used before the start."""
        self._is_new(external_id)

    def _is_new(self, external_id: str) -> bool:
        if external_id in self._seen:
            self._seen.move_to_end(external_id)
            self.repeated += 1
            return False
        self._seen[external_id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True

    def _taken(self, outside: OutsideSignal, view: View) -> Signal | Emit:
        """The signal an outside idea becomes; one that nothing can be decided about has expired."""
        signal_id = self._ids.unique()
        if all(outside.instrument != known.id for known in view.instruments()):
            return _expired(outside, signal_id, f"{outside.instrument} is not traded here: add it to the symbols")
        price = _market_price(outside.instrument, view) if outside.price is None else outside.price
        if price is None:
            return _expired(outside, signal_id, "it names no price and the market has none yet")
        return Signal(
            signal_id=signal_id,
            instrument=outside.instrument,
            direction=outside.direction,
            strategy=outside.strategy,
            strength=outside.strength,
            price=price,
            ts_ns=view.now_ns if outside.ts_ns is None else outside.ts_ns,
            external_id=outside.external_id,
        )

    # --- the decision ---

    def _decide(self, signal: Signal, view: View) -> list[Message]:
        errors: list[Emit] = []
        verdicts = [self._ask(guard, signal, view, errors) for guard in self._guards]
        blind = self._blind(signal, verdicts)
        factor = multiplier(signal, view, self._rules.sizing, blind, self._rules.true_trend)
        reversal = is_reversal(signal, view.portfolio)
        sized, distance = Sized(Decimal(0), ""), Decimal(0)
        explored = not reversal and self._explores(signal, verdicts)
        if explored or (not reversal and _blocker(verdicts) is None):
            rules = rules_now(signal, view, self._rules, self._stop)
            sized = Sized(Decimal(0), no_stop(self._stop)) if rules is None else size(signal, view, rules, factor)
            distance = Decimal(0) if rules is None else rules.stop
            if not sized.quantity:
                explored = False
                self._refuse_size(verdicts, sized)
        blocker = None if explored else _blocker(verdicts)
        decision = Decision(
            signal=signal,
            allowed=blocker is None,
            blocker=blocker,
            verdicts=tuple(verdicts),
            multiplier=factor,
            blind=blind,
            reversal=reversal,
            explored=explored,
            quantity=sized.quantity,
            stop_distance=distance,
        )
        return [_signal_event(signal), *errors, *self._events(decision, sized, view), decision]

    def _explores(self, signal: Signal, verdicts: Sequence[Verdict]) -> bool:
        """Whether a signal that was refused, by no safety guard, is taken to learn from it."""
        refusing = {verdict.guard for verdict in verdicts if verdict.outcome is BLOCK}
        if self._exploration is None or not refusing or not self._exploration.takes(signal.signal_id):
            return False
        return not any(guard.safety for guard in self._guards if guard.name in refusing)

    def _ask(self, guard: Guard, signal: Signal, view: View, errors: list[Emit]) -> Verdict:
        try:
            return guard.check(signal, view)
        except Exception as error:  # noqa: BLE001 - whatever one guard raises, the others still answer
            said = f"{type(error).__name__}: {error}"
            errors.append(_event("INTEL_ERROR", signal, {"guard": guard.name, "error": said}))
            outcome = BLOCK if guard.safety else ABSTAIN
            return Verdict(guard=guard.name, version=guard.version, outcome=outcome, reason=f"raised {said}")

    def _blind(self, signal: Signal, verdicts: Sequence[Verdict]) -> bool:
        """Whether every data guard that applies abstained. A guard without readings is no data guard."""
        asked = False
        for guard, verdict in zip(self._guards, verdicts, strict=True):
            if guard.needs and not guard.safety and guard.applies(signal.direction):
                if verdict.outcome is not ABSTAIN:
                    return False
                asked = True
        return asked

    def _refuse_size(self, verdicts: list[Verdict], sized: Sized) -> None:
        """The limits' second look, at the sized order, replaces their first."""
        for i, guard in enumerate(self._guards):
            if guard.name == RiskLimits.name:
                verdicts[i] = Verdict(
                    guard=guard.name,
                    version=guard.version,
                    outcome=BLOCK,
                    value=sized.value,
                    threshold=sized.threshold,
                    reason=sized.reason,
                )

    # --- what is journaled ---

    def _events(self, decision: Decision, sized: Sized, view: View) -> list[Emit]:
        signal = decision.signal
        events = [
            _event(guard.event, signal, _blocked(verdict))
            for guard, verdict in zip(self._guards, decision.verdicts, strict=True)
            if verdict.outcome is BLOCK
        ]
        if decision.allowed and decision.blind and not decision.reversal:
            events.append(_event("BLIND_ENTRY", signal, {"multiplier": decision.multiplier}))
        events.append(self._decision_event(decision, sized, view))
        return events

    def _decision_event(self, decision: Decision, sized: Sized, view: View) -> Emit:
        signal = decision.signal
        data = {
            "allowed": decision.allowed,
            "blocker": decision.blocker,
            "multiplier": decision.multiplier,
            "config_hash": self._config_hash,
            "verdicts": [_verdict_data(verdict) for verdict in decision.verdicts],
            "quantity": text(decision.quantity),
            "size_reason": sized.reason,
            "blind": decision.blind,
            "reversal": decision.reversal,
            "explored": decision.explored,
            "price": text(entry_price(signal, view)),
            "stop_distance": text(decision.stop_distance or None),
            "signal_ts_ns": signal.ts_ns,
        }
        return _event("DECISION", signal, data, key=f"decision:{signal.signal_id}")


def _blocker(verdicts: Sequence[Verdict]) -> str | None:
    for verdict in verdicts:
        if verdict.outcome is BLOCK:
            return verdict.guard
    return None


def _market_price(instrument: str, view: View) -> Decimal | None:
    market = view.market(instrument)
    price = next((p for p in (market.mid, market.last, market.mark) if p is not None), None)
    return None if price is None else view.instrument(instrument).price(price, Round.NEAREST)


def _event(kind: str, signal: Signal, data: dict[str, Any], key: str | None = None) -> Emit:
    """An event of the gate about a signal."""
    return Emit(
        kind=kind,
        instrument=signal.instrument,
        source=GATE,
        corr=signal.signal_id,
        key=key,
        because=signal.signal_id,
        data={"signal_id": signal.signal_id, "direction": str(signal.direction), **data},
    )


def _signal_event(signal: Signal) -> Emit:
    return Emit(
        kind="SIGNAL",
        instrument=signal.instrument,
        source=signal.strategy,
        corr=signal.signal_id,
        key=signal.signal_id,
        data=_idea(signal, signal.signal_id),
    )


def _expired(outside: OutsideSignal, signal_id: str, reason: str) -> Emit:
    """`instrument` stays empty: it may be one nobody knows."""
    data = {**_idea(outside, signal_id), "instrument": outside.instrument, "reason": reason}
    return Emit(kind="SIGNAL_EXPIRED", source=GATE, corr=signal_id, data=data)


def _idea(idea: Signal | OutsideSignal, signal_id: str) -> dict[str, Any]:
    outside = {} if idea.external_id is None else {"external_id": idea.external_id}
    return {
        "signal_id": signal_id,
        "strategy": idea.strategy,
        "direction": str(idea.direction),
        "strength": idea.strength,
        "price": text(idea.price),
        **outside,
    }


def _blocked(verdict: Verdict) -> dict[str, Any]:
    return {
        "value": verdict.value,
        "threshold": verdict.threshold,
        "reading_source": verdict.reading_source,
        "reading_age_s": verdict.reading_age_s,
        "reason": verdict.reason,
    }


def _verdict_data(verdict: Verdict) -> dict[str, Any]:
    return {
        "guard": verdict.guard,
        "version": verdict.version,
        "outcome": str(verdict.outcome),
        "value": verdict.value,
        "threshold": verdict.threshold,
        "reading_source": verdict.reading_source,
        "reading_age_s": verdict.reading_age_s,
        "reason": verdict.reason,
    }
