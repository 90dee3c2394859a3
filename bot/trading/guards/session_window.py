"""Guard `session_window`: entries only in set hours of the UTC day, none around listed times, and none around a funding that
would cost us. Off by default.

It needs no reading, so it never abstains for lack of one: funding that the market data do not tell of blocks nothing, and the
verdict says that it is not known.
"""

from __future__ import annotations

from calendar import timegm
from datetime import UTC, datetime
from decimal import Decimal
from typing import ClassVar

from pydantic import Field, field_validator

from bot.domain import params
from bot.domain.instrument import exact
from bot.domain.ports import MarketView, View
from bot.domain.values import NS, Outcome, Signal, Verdict
from bot.trading.guards.base import Finding, GuardBase, GuardContext, GuardParams, plain

DAY_MINUTES = 1440


def _minute(clock: str) -> int:
    hour, minute = clock.split(":")
    at = int(hour) * 60 + int(minute)
    if len(clock) != 5 or not (0 <= int(minute) < 60 and 0 <= at <= DAY_MINUTES):
        raise ValueError
    return at


def parse_window(window: str) -> tuple[int, int]:
    """`09:00-16:00` as minutes of the day; the end does not belong to it and may lie on the next day."""
    try:
        start, end = (_minute(clock) for clock in window.split("-"))
    except ValueError:
        raise ValueError(f"{window!r} is not a window: write it like 09:00-16:00 (UTC)") from None
    if start == end:
        raise ValueError(f"{window!r} is empty: for the whole day leave hours out")
    return start, end


def parse_time(time: str) -> int:
    """An ISO time as nanoseconds UTC; one without a zone is UTC."""
    try:
        at = datetime.fromisoformat(time)
    except ValueError:
        raise ValueError(f"{time!r} is not a time: write it like 2026-03-18T18:00:00Z") from None
    return timegm((at if at.tzinfo else at.replace(tzinfo=UTC)).utctimetuple()) * NS


class SessionWindowParams(GuardParams):
    enabled: bool = False
    hours: tuple[str, ...] = Field((), description="UTC windows such as 22:00-02:00; empty is the whole day")
    blackouts: tuple[str, ...] = Field((), description="ISO times around which no entry is made")
    blackout_minutes: int = Field(
        5, ge=0, description="this long before and after each of them and of a costly funding, inclusive"
    )
    funding_cost_pct: Decimal = Field(
        Decimal("0.05"), ge=0, le=100, description="a funding that takes more than this of the notional is costly"
    )

    @field_validator("hours")
    @classmethod
    def _windows(cls, hours: tuple[str, ...]) -> tuple[str, ...]:
        for window in hours:
            parse_window(window)
        return hours

    @field_validator("blackouts")
    @classmethod
    def _times(cls, blackouts: tuple[str, ...]) -> tuple[str, ...]:
        for time in blackouts:
            parse_time(time)
        return blackouts


class SessionWindow(GuardBase[SessionWindowParams]):
    name: ClassVar[str] = "session_window"
    event: ClassVar[str] = "SESSION_WINDOW_BLOCK"
    Params: ClassVar[type[params.Params]] = SessionWindowParams

    def __init__(self, settings: SessionWindowParams, context: GuardContext) -> None:
        super().__init__(settings, context)
        self._windows = [parse_window(window) for window in settings.hours]
        self._blackouts = [(parse_time(time), time) for time in settings.blackouts]
        self._blackout_ns = settings.blackout_minutes * 60 * NS

    def check(self, signal: Signal, view: View) -> Verdict:
        reason = self._closed(view.now_ns) or self._blackout(view.now_ns)
        if reason:
            return self.verdict(Finding(Outcome.BLOCK, reason))
        return self.verdict(self._funding(signal, view))

    def _closed(self, now_ns: int) -> str:
        minute = now_ns // (60 * NS) % DAY_MINUTES
        if not self._windows or any(_inside(minute, *window) for window in self._windows):
            return ""
        return f"{minute // 60:02}:{minute % 60:02} UTC is outside {', '.join(self.params.hours)}"

    def _blackout(self, now_ns: int) -> str:
        for at_ns, time in self._blackouts:
            if abs(now_ns - at_ns) <= self._blackout_ns:
                return f"within {self.params.blackout_minutes} min of {time}"
        return ""

    def _funding(self, signal: Signal, view: View) -> Finding:
        """The coming funding and the one just paid: a minute after it, an entry may still have to pay."""
        times = _fundings(view.market(signal.instrument))
        for rate, at_ns in times:
            cost_pct = signal.direction.sign * exact(rate) * 100
            if cost_pct > self.params.funding_cost_pct and abs(view.now_ns - at_ns) <= self._blackout_ns:
                reason = f"within {self.params.blackout_minutes} min of a funding that costs {cost_pct:f} %"
                return Finding(Outcome.BLOCK, reason, plain(cost_pct), plain(self.params.funding_cost_pct))
        return Finding(Outcome.PASS, "" if times else "funding is not known")


def _fundings(market: MarketView) -> list[tuple[float, int]]:
    known = [market.past_funding, (market.funding_rate, market.next_funding_ns)]
    return [(each[0], each[1]) for each in known if each is not None and each[0] is not None and each[1] is not None]


def _inside(minute: int, start: int, end: int) -> bool:
    return start <= minute < end if start < end else minute >= start or minute < end
