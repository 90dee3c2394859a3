"""Which readings CoinGlass cannot give now, and why. No I/O and no clock; used by `poller`.

A fetch that failed never hides a number that is still fresh: a reading is told as missing only once its last good one is
older than its max age, and again only when the reason changes, at most once a minute.
"""

from __future__ import annotations

from bot.domain.values import NS
from bot.intel.coinglass.board import Told
from bot.market.readings import rule_of

Served = tuple[str, str]  # reading and key
_AGAIN_NS = 60 * NS


class Excuses:
    def __init__(self) -> None:
        self._good_until_ns: dict[Served, int] = {}
        self._reasons: dict[Served, str] = {}
        self._told: dict[Served, tuple[int, str]] = {}

    def good(self, told: Told) -> None:
        served = told.name, told.key
        self._good_until_ns[served] = told.observed_ns + rule_of(told.name).max_age_s * NS
        self._reasons.pop(served, None)
        self._told.pop(served, None)

    def give(self, served: Served, reason: str) -> None:
        """Why the next one is not there yet."""
        self._reasons[served] = reason

    def due(self, now_ns: int) -> list[Told]:
        """What has to be told as missing now."""
        found = []
        for (name, key), reason in self._reasons.items():
            if now_ns > self._good_until_ns.get((name, key), -1) and self._new(name, key, reason, now_ns):
                self._told[name, key] = now_ns, reason
                found.append(Told(name=name, key=key, value=None, reason=reason, observed_ns=now_ns))
        return found

    def _new(self, name: str, key: str, reason: str, now_ns: int) -> bool:
        at_ns, before = self._told.get((name, key), (now_ns - _AGAIN_NS, None))
        return reason != before and now_ns - at_ns >= _AGAIN_NS
