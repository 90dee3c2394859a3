"""Journals in a few words: `History().refused(r=-1, by=["a"])` writes what the engine writes of a signal and its shadow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from bot.domain.events import Event
from bot.domain.values import NS
from bot.learning.ledger import Ledger

HOUR = 3600 * NS
BLOCK = 4 * HOUR
START = 20_000 * 24 * HOUR
SYMBOL = "BTC/USDT:USDT"
GUARDS = ("a", "b", "c")
Data = dict[str, Any]


class History:
    """Time stands still unless `wait` moves it; `rules` and `version` are those of what is decided from now on."""

    def __init__(self, guards: Sequence[str] = GUARDS) -> None:
        self.events: list[Event] = []
        self.guards = tuple(guards)
        self.now_ns, self.rules, self.version, self.mode = START, "rules-1", 1, "paper"
        self._ids = 0

    def wait(self, ns: int) -> Self:
        self.now_ns += ns
        return self

    def say(self, kind: str, data: Data, symbol: str | None = SYMBOL) -> None:
        self.events.append(
            Event(
                seq=len(self.events) + 1,
                ts=self.now_ns,
                frame=len(self.events),
                kind=kind,
                v=1,
                account="main",
                mode=self.mode,
                symbol=symbol,
                source="test",
                corr=data.get("signal_id"),
                cause=None,
                data=data,
            )
        )

    def start(self, rules: str) -> History:
        self.rules = rules
        self.say("ENGINE_STARTED", {"config_hash": rules}, None)
        return self

    def decide(
        self,
        by: Sequence[str] = (),
        abstains: Sequence[str] = (),
        direction: str = "long",
        strategy: str = "ofi",
        symbol: str = SYMBOL,
    ) -> str:
        """The id of a signal that the guards in `by` refuse."""
        self._ids += 1
        signal_id = f"S{self._ids}"
        outcome = {**dict.fromkeys(abstains, "ABSTAIN"), **dict.fromkeys(by, "BLOCK")}
        told = {"value": 1.25, "threshold": 1.1, "reading_source": "venue", "reading_age_s": 0.5, "reason": ""}
        verdicts = [
            {"guard": guard, "version": self.version, "outcome": outcome.get(guard, "PASS"), **told}
            for guard in self.guards
        ]
        idea = {"signal_id": signal_id, "direction": direction}
        self.say("SIGNAL", {**idea, "strategy": strategy}, symbol)
        decision = {"allowed": not by, "blocker": by[0] if by else None, "config_hash": self.rules}
        self.say("DECISION", {**idea, **decision, "verdicts": verdicts}, symbol)
        return signal_id

    def open(
        self, signal_id: str, *, shadow: bool = True, tradable: bool = True, symbol: str = SYMBOL, **more: Any
    ) -> str:
        kind = "shadow" if shadow else "position"
        position_id = f"{kind}-{signal_id}"
        frozen = {"true_trend": False, "magnet": None, "max_pain_gap_pct": None, "max_pain_expiry": None}
        data = {"position_id": position_id, "signal_id": signal_id, **frozen, **more}
        self.say(f"{kind.upper()}_OPENED", {**data, "tradable": tradable} if shadow else data, symbol)
        return position_id

    def close(self, position_id: str, r: float | None, *, repeats: int = 0, symbol: str = SYMBOL, **more: Any) -> None:
        shadow = position_id.startswith("shadow")
        usd = None if r is None else format(r * 10, ".4f")
        data = {"position_id": position_id, "pnl_r": r, "pnl_usd": usd, **more}
        extra = {"repeats": repeats, "tradable": more.get("tradable", True)} if shadow else {}
        self.say("SHADOW_CLOSED" if shadow else "POSITION_CLOSED", {**data, **extra}, symbol)

    def refused(self, r: float, by: Sequence[str] = ("a",), **options: Any) -> History:
        """A refused signal, its shadow and its end, all at once."""
        self.close(self.open(self.decide(by, **options)), r)
        return self

    def magnet(self, hit: bool, *, chance: float | None = 0.3, **frozen: Any) -> str:
        """A TRUE TREND position towards max pain, and what its window of 45 minutes showed, told at once."""
        facts = {
            "true_trend": True,
            "magnet": "MAGNET-WITH",
            "max_pain_gap_pct": 2.0,
            "max_pain_expiry": "2100-01-01",
            **frozen,
        }
        position_id = self.open(self.decide(), shadow=False, **facts)
        self.say("MAX_PAIN_RESULT", {"position_id": position_id, "hit": hit, "chance": chance, "window_s": 2700})
        return position_id

    def ledger(self) -> Ledger:
        ledger = Ledger()
        ledger.fold(self.events)
        return ledger
