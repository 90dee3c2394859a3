"""Desk `learning`: every 4 h and on demand it looks at the ledger and says, and with `auto_apply` does, what follows (product 8).

It is fed twice: `observe` gets every event after its frame, for the ledger; a few kinds reach it on the bus besides, where it must
act at once (a window of max pain begins, a trade has ended). What it decides reaches trading through `Learned`, which only this desk
writes. After a restart `recall` folds the account's events, so that it stands where it stood.

Cycles begin with the first second of a 4 h block, UTC, of engine time, so a replay has them at the same place. Time that was set
back brings no block a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from bot import __version__
from bot.domain.errors import told as told_of
from bot.domain.events import Emit, Event
from bot.domain.messages import ApplyRequest, LearnRequest, Message, PriceTouched, Sampled, UndoRequest
from bot.domain.ports import View
from bot.learning.clusters import BLOCK_NS, block_of
from bot.learning.cycle import cycle_data
from bot.learning.evidence import Evidence, evidence, since_change
from bot.learning.ledger import Ledger
from bot.learning.multipliers import APPLIED, REVERTED, UNDONE, Multipliers, Step, turned
from bot.learning.params import LearningParams
from bot.learning.recommendations import Recommendation, recommendations
from bot.learning.results import Score, Window
from bot.learning.scores import score
from bot.learning.standings import ON, OVER, Change, Standings
from bot.learning.windows import Windows
from bot.trading.learned import Learned

Data = dict[str, Any]
ACTED_ON = frozenset({"POSITION_ENTERED", "POSITION_OPENED", "SHADOW_OPENED", "POSITION_CLOSED", "SHADOW_CLOSED"})
"""Kinds of events that must reach the desk on the bus."""
WARNING = "LOSSES_IN_A_ROW"
SCHEDULED, ON_DEMAND = "scheduled", "on demand"


class Learning:
    """`symbols` maps unified symbols to instrument ids; `equity_usd` answers with what a loss is measured against."""

    name: ClassVar[str] = "learning"

    def __init__(
        self,
        learned: Learned,
        symbols: Mapping[str, str],
        params: LearningParams,
        rules: str,
        equity_usd: Callable[[], Decimal],
    ) -> None:
        self._symbols, self._params, self.rules, self._equity_usd = dict(symbols), params, rules, equity_usd
        self._learned = learned
        self.ledger = Ledger()
        self.multipliers = Multipliers(learned.multipliers)
        self.standings = Standings(params.probation)
        self.windows = Windows(self.name)
        self._block: int | None = None  # of the last scheduled cycle, or in which the account began
        self._last: list[Data] = []  # what the last cycle said
        self._fault: Exception | None = None
        self._over = False  # after a fault nothing is learned until the next start

    def on(self, message: Message, view: View) -> Sequence[Message]:
        if self._over:
            return []
        try:
            if self._fault is not None:
                raise self._fault
            return self._on(message, view)
        except Exception as error:  # noqa: BLE001 - what was learned stays in force; positions go on
            self._over = True
            data = {"error": told_of(error, __name__)}
            return [Emit(kind="LEARNING_ERROR", source=self.name, data=data)]

    def _on(self, message: Message, view: View) -> Sequence[Message]:
        match message:
            case Sampled():
                return self._second(view)
            case Event():
                return self._happened(message, view)
            case PriceTouched(key=position_id):
                return self.windows.touched(position_id, view.now_ns)
            case LearnRequest(request_id=request_id):
                return self._cycle(ON_DEMAND, view, request_id)
            case ApplyRequest():
                return [self._apply(message, view.now_ns)]
            case UndoRequest():
                return [self._undo(message)]
            case _:
                return []

    # --- what it is told ---

    def observe(self, events: Iterable[Event]) -> None:
        """Every event of the engine, after its frame. A fault of ours ends learning, not trading: see `on`."""
        if self._fault is not None:
            return
        try:
            for event in events:
                self.ledger.apply(event)
                self._count_block(event)
        except Exception as error:  # noqa: BLE001 - whatever it is, positions go on
            self._fault = error

    def _count_block(self, event: Event) -> None:
        """The first cycle is that of the block after the one in which the account began."""
        if (event.kind == "ENGINE_STARTED" and self._block is None) or (
            event.kind == "LEARNING_CYCLE" and event.data["type"] == SCHEDULED
        ):
            self._block = block_of(event.ts)

    def _happened(self, event: Event, view: View) -> Sequence[Message]:
        symbol, data, kind = event.symbol or "", event.data, event.kind
        if kind == "POSITION_ENTERED":
            self.windows.entered(data)
            return []
        if kind in ("POSITION_OPENED", "SHADOW_OPENED"):
            self.standings.opened(data)
            return self.windows.opened(event, self._symbols[symbol], view)
        return self._ended(event, symbol, view.now_ns)

    def _ended(self, event: Event, symbol: str, now_ns: int) -> list[Message]:
        self._count(event, symbol)
        changed = self._look(symbol, now_ns)
        if changed or event.kind != "POSITION_CLOSED" or symbol in self.standings.on_probation():
            return changed
        warning = self.standings.warning(symbol, self._equity_usd(), now_ns)
        return [self._warn(symbol, warning)] if warning else []

    def _count(self, event: Event, symbol: str) -> None:
        count = self.standings.closed if event.kind == "POSITION_CLOSED" else self.standings.shadow_closed
        count(symbol, event.data, event.ts)

    def _second(self, view: View) -> list[Message]:
        answers: list[Message] = self.windows.second(view)
        block = block_of(view.now_ns)
        if self._block is None or block > self._block:
            self._block = block
            return [*answers, *self._cycle(SCHEDULED, view)]
        for symbol in self.standings.on_probation():
            answers += self._look(symbol, view.now_ns)
        return answers

    # --- probation ---

    def _look(self, symbol: str, now_ns: int) -> list[Message]:
        change = self.standings.look(symbol, self._equity_usd(), now_ns)
        if change is None:
            return []
        self._put(change.symbol, change.reason, now_ns, on=change.on)
        return [self._told(change)]

    def _put(self, symbol: str, reason: str, now_ns: int, *, on: bool) -> None:
        self.standings.change(symbol, reason, now_ns, on=on)
        instrument = self._symbols.get(symbol, symbol)
        if on:
            self._learned.probation[instrument] = reason
        else:
            self._learned.probation.pop(instrument, None)

    def _told(self, change: Change) -> Emit:
        data = {"reason": change.reason, "evidence": change.evidence, "significant": True, "applied": True}
        kind = ON if change.on else OVER
        return self._emit("ADJUSTMENT", kind, change.symbol, data, self._symbols.get(change.symbol))

    def _warn(self, symbol: str, warning: str) -> Emit:
        data = {"reason": warning, "evidence": {}, "significant": False, "applied": False}
        return self._emit("RECOMMENDATION", WARNING, symbol, data, self._symbols.get(symbol))

    # --- the cycle ---

    def _cycle(self, why: str, view: View, request_id: str | None = None) -> list[Message]:
        now_ns = view.now_ns
        whole, known = self._score(now_ns), evidence(self.ledger, now_ns)
        found = recommendations(whole, known)
        window = Window(name="last 4 h", begins_ns=max(now_ns - BLOCK_NS, 0), ends_ns=now_ns)
        lately = score(self.ledger, rules=self.rules, window=window, now_ns=now_ns)
        answers: list[Message] = []
        for symbol in list(self._symbols):
            answers += self._look(symbol, now_ns)
        reverted = self._revert(now_ns)
        answers += reverted
        applied = self._apply_by_itself(found, known, now_ns) if self._params.auto_apply else []
        answers += applied
        done = {emit.data["subject"] for emit in applied}
        told = [_recommended(each, each.subject in done) for each in found]
        significant = any(each.significant for each in found)
        cycle = {"evidence": cycle_data(whole, lately), "significant": significant, "applied": bool(done or reverted)}
        events = [self._emit("LEARNING_CYCLE", why, "all", {**cycle, **_asked(request_id)})]
        events += [self._emit("RECOMMENDATION", *each) for each in told]
        self._last = [_kept(event, now_ns) for event in events]
        return [*events, *answers]

    def _score(self, now_ns: int) -> Score:
        return score(self.ledger, rules=self.rules, now_ns=now_ns)

    def _revert(self, now_ns: int) -> list[Emit]:
        answers = []
        for subject, steps in list(self.multipliers.steps.items()):
            since = since_change(self.ledger, subject, steps[-1].at_ns, now_ns)
            reason = turned(steps, since, self.rules)
            if reason:
                before = self.multipliers.revert(subject, now_ns)
                figures = {"n": since.n, "mean": since.mean, "lo": since.lo, "hi": since.hi}
                data = {"reason": reason, "before": before, "after": 1.0, "evidence": figures}
                data |= {"significant": True, "applied": True}
                answers.append(self._emit("ADJUSTMENT", REVERTED, subject, data))
        return answers

    def _apply_by_itself(
        self, found: Sequence[Recommendation], known: Mapping[str, Evidence], now_ns: int
    ) -> list[Emit]:
        subjects = [each.subject for each in found if each.subject in known and each.significant]
        return [
            self._step(known[subject], now_ns, "auto_apply")
            for subject in subjects
            if not self.multipliers.refusal(known[subject], now_ns, anyway=False)
        ]

    # --- multipliers ---

    def _apply(self, request: ApplyRequest, now_ns: int) -> Emit:
        known = evidence(self.ledger, now_ns).get(request.subject)
        refused = self.multipliers.refusal(known, now_ns, anyway=request.anyway)
        if known is None or refused:
            figures = {} if known is None else known.figures
            data = {"reason": refused, "evidence": figures, "significant": known is not None and known.significant}
            data |= {"applied": False, **_asked(request.request_id)}
            return self._emit("ADJUSTMENT", APPLIED, request.subject, data)
        return self._step(known, now_ns, "operator", request.request_id)

    def _step(self, known: Evidence, now_ns: int, by: str, request_id: str | None = None) -> Emit:
        step = self.multipliers.next(known, now_ns, self.rules)
        self.multipliers.make(known.subject, step)
        data = {"before": step.before, "after": step.after, "rules": step.rules, "by": by, "reason": ""}
        data |= {"version": __version__, "as_of_seq": self.ledger.seq}
        data |= {"evidence": known.figures, "significant": known.significant, "applied": True, **_asked(request_id)}
        return self._emit("ADJUSTMENT", APPLIED, known.subject, data)

    def _undo(self, request: UndoRequest) -> Emit:
        subject = request.subject or self.multipliers.newest()
        if subject is None or subject not in self.multipliers.steps:
            data: Data = {"reason": "nothing to undo", "evidence": {}, "significant": False, "applied": False}
            return self._emit("ADJUSTMENT", UNDONE, subject or "all", {**data, **_asked(request.request_id)})
        step = self.multipliers.undo(subject)
        data = {"before": step.after, "after": self.multipliers.value(subject), "reason": "by the operator"}
        data |= {"evidence": {}, "significant": False, "applied": True, **_asked(request.request_id)}
        return self._emit("ADJUSTMENT", UNDONE, subject, data)

    def _emit(self, kind: str, of: str, subject: str, data: Data, instrument: str | None = None) -> Emit:
        return Emit(kind=kind, instrument=instrument, source=self.name, data={"type": of, "subject": subject, **data})

    # --- restart, tapes and snapshots ---

    def recall(self, event: Event) -> None:
        """Fold one event of the journal."""
        self.ledger.apply(event)
        symbol, data, kind = event.symbol or "", event.data, event.kind
        self.windows.recall(event, self._symbols.get(symbol, symbol))
        self._count_block(event)
        if kind == "POSITION_OPENED":
            self.standings.opened(data)
        elif kind in ("POSITION_CLOSED", "SHADOW_CLOSED"):
            self._count(event, symbol)
        elif kind == "ADJUSTMENT" and data["type"] in (ON, OVER):
            self._put(data["subject"], data["reason"], event.ts, on=data["type"] == ON)
        elif kind == "ADJUSTMENT":
            self.multipliers.recall(data, event.ts)
        elif kind == "LEARNING_CYCLE":
            self._last = [_row(event)]
        elif kind == "RECOMMENDATION" and data["type"] != WARNING:
            self._last.append(_row(event))

    def waits(self) -> list[Message]:
        """What must be watched again after a restart."""
        return self.windows.waits()

    def in_force(self) -> tuple[list[Data], list[Data]]:
        """Multipliers and probation as a tape's manifest holds them."""
        adjustments = [
            {"subject": subject, "at_ns": step.at_ns, "before": step.before, "after": step.after, "rules": step.rules}
            for subject, steps in self.multipliers.steps.items()
            for step in steps
        ]
        probation = [
            {"symbol": symbol, "reason": record.reason, "since_ns": record.began_ns}
            for symbol, record in self.standings.on_probation().items()
        ]
        return adjustments, probation

    def take_over(self, adjustments: Iterable[Data], probation: Iterable[Data]) -> None:
        """What a manifest holds, before the first frame."""
        for each in adjustments:
            figures = {name: each[name] for name in ("before", "after", "at_ns", "rules")}
            self.multipliers.make(each["subject"], Step(**figures))
        for each in probation:
            self._put(each["symbol"], each["reason"], each["since_ns"], on=True)

    def answer(self, now_ns: int) -> Data:
        """A copy of where it stands, for the API and the page."""
        adjustments, probation = self.in_force()
        score = self.ledger.max_pain.score(self.rules, now_ns)
        return {
            "auto_apply": self._params.auto_apply,
            "explore_share": self._params.explore_share,
            "next_cycle_ns": (block_of(now_ns) + 1) * BLOCK_NS,
            "multipliers": dict(self._learned.multipliers),
            "adjustments": adjustments,
            "probation": probation,
            "windows": len(self.windows.open),
            "max_pain": {"n": score.n, "hits": score.hits, "significant": score.significant},
            "last_cycle": next((each for each in self._last if each["kind"] == "LEARNING_CYCLE"), None),
            "recommendations": [each for each in self._last if each["kind"] == "RECOMMENDATION"],
        }


def _recommended(each: Recommendation, applied: bool) -> tuple[str, str, Data]:
    data = {"evidence": each.evidence, "significant": each.significant, "applied": applied}
    return str(each.type), each.subject, data


def _asked(request_id: str | None) -> Data:
    return {} if request_id is None else {"request_id": request_id}


def _kept(emit: Emit, now_ns: int) -> Data:
    return {"kind": emit.kind, "ts": now_ns, **emit.data}


def _row(event: Event) -> Data:
    return {"kind": event.kind, "ts": event.ts, **event.data}


def learning_of(events: Iterable[Event]) -> Data:
    """Where the desk stood when a journal ended, for readers of an engine that does not run."""
    desk, now_ns = _empty(""), 0
    for event in events:
        data, now_ns = event.data, event.ts
        if event.kind == "ENGINE_STARTED":
            if data.get("life") in (None, data.get("session")):  # a new account
                desk = _empty("")
            desk.rules = data.get("config_hash", desk.rules)
        desk.recall(event)
    return {"running": False, **desk.answer(now_ns)}


def _empty(rules: str) -> Learning:
    return Learning(Learned(), {}, LearningParams(), rules, lambda: Decimal(0))
