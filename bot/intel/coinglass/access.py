"""What this key may ask: the plan as set and as told, endpoints that were refused, the key itself. No I/O and no clock.

A plan in the settings is obeyed: what it does not sell is not asked. The provider's word corrects it downwards, by its
subscription or by refusing an endpoint; a refused endpoint is left alone for a day, then one call tries it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from bot.domain.values import NS
from bot.intel.coinglass.plans import ENDPOINTS, Endpoint, Plan, coverage, sells
from bot.intel.coinglass.schema import Subscription

AGAIN_NS = 86_400 * NS


@dataclass(slots=True)
class Access:
    setting: Plan | Literal["auto", "none"]
    told: Plan | None = None
    level: str = ""  # as the provider writes it
    expired: bool = False
    key_refused_ns: int | None = None  # since when
    key_works: bool = False  # something was answered
    _refused: dict[str, tuple[int, str]] = field(default_factory=dict)  # endpoint -> until, why

    @property
    def plan(self) -> Plan | None:
        """The smaller of what is set and what is told; None while neither is known."""
        known = [plan for plan in (self.setting, self.told) if isinstance(plan, Plan)]
        return min(known, key=list(Plan).index, default=None)

    def subscribed(self, subscription: Subscription) -> bool:
        """Whether the plan changed. A plan that grew opens what was refused before."""
        changed = subscription.plan is not self.told
        grew = changed and not (self.told and subscription.plan and self.told.includes(subscription.plan))
        if grew:
            self._refused.clear()
        self.told, self.level, self.expired = subscription.plan, subscription.level, subscription.expired
        return changed

    def refuse(self, endpoint: Endpoint, why: str, now_ns: int) -> int:
        """Until when it is left alone."""
        self._refused[endpoint.name] = until_ns, _ = now_ns + AGAIN_NS, why
        return until_ns

    def answered(self, endpoint: Endpoint) -> None:
        self._refused.pop(endpoint.name, None)
        self.key_refused_ns, self.key_works = None, True

    def refused_until_ns(self, endpoint: Endpoint) -> int:
        return self._refused.get(endpoint.name, (0, ""))[0]

    def unsold(self, endpoint: Endpoint) -> str:
        """Why asking is not worth a call by what is known of the plan; nothing when it is."""
        return "" if sells(self.plan, endpoint) else f"not in plan {self.plan}, sold from {endpoint.least} up"

    def problem(self, endpoint: Endpoint) -> str:
        """Why this endpoint gives nothing now; nothing when it does."""
        return self.unsold(endpoint) or self._refused.get(endpoint.name, (0, ""))[1]

    def key_until_ns(self) -> int:
        return 0 if self.key_refused_ns is None else self.key_refused_ns + AGAIN_NS

    def answer(self) -> dict[str, Any]:
        readings = coverage(self.plan)
        for endpoint in ENDPOINTS:
            if endpoint.reading and endpoint.name in self._refused:
                readings[endpoint.reading] = self._refused[endpoint.name][1]
        return {
            "plan": {
                "setting": str(self.setting),
                "told": self.level or None,
                "obeyed": self.plan and str(self.plan),
                "expired": self.expired,
            },
            "key": "refused" if self.key_refused_ns is not None else "ok" if self.key_works else "untried",
            "readings": readings,
        }
