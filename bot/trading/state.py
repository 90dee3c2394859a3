"""Desk `state`: may entries be made? STARTING until a book is usable, ACTIVE, REDUCING while a cause lasts, HALTED until a resume.

Exits, stops and cancels never ask. Each change is a STATE event with every cause. It looks at the account's losses once a second,
before any strategy is asked. Blocks of single instruments are kept here too. What must outlast a restart can be read from the
events: STATE, RESUMED, DAY_STARTED, PEAK, SYMBOL_BLOCKED and SYMBOL_UNBLOCKED.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

from bot.domain.events import Emit, Event, text
from bot.domain.messages import (
    ActNote,
    BlockRequest,
    CloseRequest,
    FeedChanged,
    FlattenRequest,
    KillRequest,
    Message,
    PauseRequest,
    ResumeRequest,
    Sampled,
    StopRequest,
)
from bot.domain.ports import View
from bot.domain.values import NS, TradingState
from bot.trading.money import DAY_NS
from bot.trading.portfolio import Portfolio
from bot.trading.risk import RiskParams, daily_loss, drawdown, standing

WAITING = "waiting for the first order book"
RESUMABLE = ("pause", "kill", "drawdown")
_LASTING = {
    "pause": TradingState.REDUCING,
    "daily_loss": TradingState.REDUCING,
    "kill": TradingState.HALTED,
    "drawdown": TradingState.HALTED,
}
"""Causes that outlast a restart."""


@dataclass(slots=True)
class Cause:
    """Why there are no entries. One with `clear_ns` is over, and must stay so for a while."""

    reason: str
    since_ns: int
    state: TradingState = TradingState.REDUCING
    clear_ns: int | None = None


class State:
    name: ClassVar[str] = "state"

    def __init__(self, portfolio: Portfolio, risk: RiskParams) -> None:
        self.state = TradingState.STARTING
        self.reason = WAITING
        self.causes: dict[str, Cause] = {}
        self.blocks: dict[str, Cause] = {}  # by instrument
        self._portfolio, self._risk = portfolio, risk
        self._followed: set[str] = set()  # instruments whose book has been usable
        self._told: dict[str, str] = {}  # causes as last journaled
        self._leaving: set[str] = set()  # ids of positions that were told to close
        self._looked: tuple[Decimal, int, Decimal, Decimal] | None = None  # equity, day, its start and peak last seen

    def on(self, message: Message, view: View) -> Sequence[Message]:
        now_ns = view.now_ns
        answers: list[Message] = []
        match message:
            case Sampled():
                answers = self._look_at_money(now_ns)
            case FeedChanged(instrument=instrument, usable=True):
                self._book_back(instrument, now_ns)
            case FeedChanged(instrument=instrument, reason=reason) if self._followed:
                self._because(f"book {instrument}", f"no usable order book of {instrument}: {reason}", now_ns)
            case PauseRequest(reason=reason):
                self._because("pause", f"paused by {reason}", now_ns)
            case StopRequest(reason=reason):
                self._because("stop", f"stopping: {reason}", now_ns)
            case KillRequest(reason=reason) | FlattenRequest(reason=reason):
                answers = self._kill(reason, isinstance(message, FlattenRequest), now_ns)
            case ResumeRequest(reason=reason):
                answers = self._resume(reason)
            case ActNote():
                return [_act(message)]
            case BlockRequest():
                answers = self._block(message, view)
        return [*answers, *self._settle(now_ns)]

    # --- what restores and shows ---

    def blocked(self, instrument: str) -> str | None:
        """Who blocked it, None if nobody did."""
        block = self.blocks.get(instrument)
        return None if block is None else block.reason

    # --- restart ---

    def recall(self, event: Event, instrument: str) -> None:
        """Fold one event of the journal. Causes that last over a restart come back with the time since when; what was wrong with
        books or with stopping does not."""
        money, data = self._portfolio.money, event.data
        match event.kind:
            case "STATE":
                since = {key: cause.since_ns for key, cause in self.causes.items()}
                self.causes = {
                    key: Cause(reason, since.get(key, event.ts), _LASTING[key])
                    for key, reason in data["causes"].items()
                    if key in _LASTING
                }
            case "DAY_STARTED":
                day = datetime.fromisoformat(data["day"]).replace(tzinfo=UTC)
                money.day, money.day_start_usd = int(day.timestamp()) * NS // DAY_NS, Decimal(data["equity_usd"])
            case "PEAK":
                money.peak_usd = Decimal(data["equity_usd"])
            case "RESUMED":
                money.peak_usd = Decimal(data["peak_usd"])
            case "SYMBOL_BLOCKED" | "SYMBOL_UNBLOCKED":
                self.recall_order(event, instrument)

    def recall_order(self, event: Event, instrument: str) -> None:
        """What the operator ordered holds for a new account too: a kill until a resume, a block until it is lifted."""
        match event.kind:
            case "KILL_SWITCH":
                self._because("kill", f"killed by {event.data['reason']}", event.ts, TradingState.HALTED)
            case "RESUMED":
                self.causes.pop("kill", None)
            case "SYMBOL_BLOCKED" if instrument:
                self.blocks[instrument] = Cause(event.data["reason"], event.ts)
            case "SYMBOL_UNBLOCKED":
                self.blocks.pop(instrument, None)

    # --- books ---

    def _book_back(self, instrument: str, now_ns: int) -> None:
        """A book that was lost must stay usable for a while; the first one of an instrument need not."""
        cause = self.causes.get(f"book {instrument}")
        if cause is not None and instrument in self._followed:
            cause.clear_ns = now_ns
        else:
            self.causes.pop(f"book {instrument}", None)
        self._followed.add(instrument)

    def _drop_what_stayed_clear(self, now_ns: int) -> None:
        clear_ns = self._risk.reducing_clear_s * NS
        for key in [k for k, c in self.causes.items() if c.clear_ns is not None and now_ns - c.clear_ns >= clear_ns]:
            del self.causes[key]

    # --- money ---

    def _look_at_money(self, now_ns: int) -> list[Message]:
        """Once a second. Nothing is concluded from an equity that a missing mark makes a guess."""
        if not self._portfolio.valued():
            return []
        money, equity = self._portfolio.money, self._portfolio.equity_usd()
        if self._looked == (equity, now_ns // DAY_NS, money.day_start_usd, money.peak_usd) and not self.causes:
            return []  # mostly: without a position, what was no loss a second ago is none now
        answers: list[Message] = []
        if money.start_day(now_ns, equity):
            self.causes.pop("daily_loss", None)
            answers.append(self._day_started(now_ns))
        if money.raise_peak(equity):
            answers.append(Emit(kind="PEAK", source=self.name, data={"equity_usd": text(equity)}))
        at = standing(self._portfolio, self._risk)
        lost = daily_loss(at, self._risk)
        if lost is not None and "daily_loss" not in self.causes:
            self._because("daily_loss", f"{lost.reason}, no entries until 00:00 UTC", now_ns)
        fallen = drawdown(at, self._risk)
        if fallen is not None and "drawdown" not in self.causes:
            self._because("drawdown", f"{fallen.reason}, halted until a resume", now_ns, TradingState.HALTED)
        self._looked = (equity, now_ns // DAY_NS, money.day_start_usd, money.peak_usd)
        return [*answers, *self._close_all_after_loss()]

    def _day_started(self, now_ns: int) -> Emit:
        money = self._portfolio.money
        data = {
            "day": datetime.fromtimestamp(now_ns // DAY_NS * DAY_NS // NS, UTC).date().isoformat(),
            "equity_usd": text(money.day_start_usd),
            "wallet_usd": text(money.wallet_usd),
            "peak_usd": text(money.peak_usd),
        }
        return Emit(kind="DAY_STARTED", source=self.name, data=data)

    def _close_all_after_loss(self) -> list[Message]:
        """With `flatten`, each position is told once; the desk `exits` sees it through."""
        if "daily_loss" not in self.causes or self._risk.on_daily_loss != "flatten":
            self._leaving.clear()
            return []
        left = [p for p in self._portfolio.positions() if p.position_id not in self._leaving]
        self._leaving.update(position.position_id for position in left)
        return [CloseRequest(instrument=position.instrument, reason="daily_loss") for position in left]

    # --- the operator ---

    def _kill(self, reason: str, flatten: bool, now_ns: int) -> list[Message]:
        self._because("kill", f"killed by {reason}", now_ns, TradingState.HALTED)
        return [Emit(kind="KILL_SWITCH", source=self.name, data={"reason": reason, "flatten": flatten})]

    def _resume(self, by: str) -> list[Message]:
        """Ends what latches and what was only waiting to stay clear. A daily loss lasts until 00:00 UTC all the same."""
        self._drop(key for key, cause in list(self.causes.items()) if cause.clear_ns is not None)
        cleared = {key: self.causes[key].reason for key in RESUMABLE if key in self.causes}
        if not cleared:
            return []
        self._drop(cleared)
        if "drawdown" in cleared:
            self._portfolio.money.peak_usd = self._portfolio.equity_usd()
        data = {"cleared": cleared, "by": by, "peak_usd": text(self._portfolio.peak_usd)}
        return [Emit(kind="RESUMED", source=self.name, data=data)]

    def _block(self, request: BlockRequest, view: View) -> list[Message]:
        instrument = request.instrument
        if all(instrument != known.id for known in view.instruments()):
            data = {"instrument": instrument, "reason": "to be blocked, but not traded here"}
            return [Emit(kind="DISCREPANCY", source=self.name, data=data)]
        if request.blocked is (instrument in self.blocks):
            return []
        if request.blocked:
            self.blocks[instrument] = Cause(request.reason, view.now_ns)
        else:
            del self.blocks[instrument]
        kind = "SYMBOL_BLOCKED" if request.blocked else "SYMBOL_UNBLOCKED"
        return [Emit(kind=kind, instrument=instrument, source=self.name, data={"reason": request.reason})]

    # --- causes to state ---

    def _because(self, key: str, reason: str, now_ns: int, state: TradingState = TradingState.REDUCING) -> None:
        """A cause that lasts keeps the time since when."""
        known = self.causes.get(key)
        since_ns = now_ns if known is None else known.since_ns
        self.causes[key] = Cause(reason, since_ns, state)

    def _drop(self, keys: Any) -> None:
        for key in keys:
            del self.causes[key]

    def _settle(self, now_ns: int) -> list[Message]:
        self._drop_what_stayed_clear(now_ns)
        causes = {key: self._reason(cause) for key, cause in self.causes.items()}
        state, reason = self._judge(causes)
        if (state, reason, causes) == (self.state, self.reason, self._told):
            return []
        before, self.state, self.reason, self._told = self.state, state, reason, causes
        data = {"state": state, "was": before, "reason": reason, "causes": causes}
        return [Emit(kind="STATE", source=self.name, data=data)]

    def _reason(self, cause: Cause) -> str:
        if cause.clear_ns is None:
            return cause.reason
        return f"{cause.reason}; usable again, must stay so for {self._risk.reducing_clear_s} s"

    def _judge(self, causes: Mapping[str, str]) -> tuple[TradingState, str]:
        reason = "; ".join(causes.values())
        if any(cause.state is TradingState.HALTED for cause in self.causes.values()):
            return TradingState.HALTED, reason
        if not self._followed:
            return TradingState.STARTING, "; ".join(filter(None, (WAITING, reason)))
        return (TradingState.REDUCING, reason) if causes else (TradingState.ACTIVE, "book usable")


def _act(note: ActNote) -> Emit:
    data = {"action": note.action, "by": note.by, "from": note.place, "body": note.body}
    return Emit(kind="OPERATOR_ACT", source="api", data=data)
