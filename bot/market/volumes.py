"""What a large wall is in a coin, by how much of it is traded: its threshold beside that of BTC, fixed for a UTC day.

Daily bars come from history (`Market.warm_up` with a width of a day); a coin of which seven days are not known has BTC's
threshold, which never makes a wall institutional that is none. Asked by `market/state.py` when a day begins or history comes.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from statistics import median

from bot.domain.market import Bar
from bot.domain.values import NS
from bot.market.walls import INSTITUTIONAL_USD

DAY_S = 86_400
DAY_NS = DAY_S * NS
DAYS = 7
BTC = "BTC"
_LEAST_USD = Decimal(250_000)


class Volumes:
    """USD traded on each day by coin, on the one venue."""

    def __init__(self) -> None:
        self._usd: dict[str, dict[int, float]] = {}  # by coin, by start of the day

    def add(self, coin: str, days: Iterable[Bar]) -> None:
        self._usd.setdefault(coin, {}).update((bar.start_ns, bar.usd) for bar in days)

    def median_usd(self, coin: str, now_ns: int) -> float | None:
        """Of the seven whole days before today's; None unless all are known."""
        known, today_ns = self._usd.get(coin, {}), now_ns // DAY_NS * DAY_NS
        days = [known.get(today_ns - back * DAY_NS) for back in range(1, DAYS + 1)]
        there = [usd for usd in days if usd is not None]
        return median(there) if len(there) == DAYS else None

    def institutional_usd(self, coin: str, now_ns: int) -> Decimal:
        volume, of_btc = self.median_usd(coin, now_ns), self.median_usd(BTC, now_ns)
        return INSTITUTIONAL_USD if volume is None or of_btc is None else scaled_usd(volume, of_btc)


def scaled_usd(volume: float, of_btc: float) -> Decimal:
    """25M USD by a coin's share of BTC's volume, from 250k to 25M."""
    if not of_btc > 0:
        return INSTITUTIONAL_USD
    share = Decimal(volume) / Decimal(of_btc)
    return min(INSTITUTIONAL_USD, max(_LEAST_USD, round(INSTITUTIONAL_USD * share, 2)))
