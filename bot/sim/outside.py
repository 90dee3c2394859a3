"""What a synthetic market's data providers would tell: open interest, crowding, max pain, liquidation clusters, funding.

Made up like everything here, and put under the names of the sources that `market/readings.py` allows, because guards
judge by them; a tape of this says in its manifest that it is synthetic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import exp
from random import Random

from bot.domain.reading import LiquidationCluster, LiquidationClusters, LongShort, MaxPain, OiDelta
from bot.domain.values import Direction
from bot.market.readings import COINGLASS, DERIBIT, VENUE
from bot.sim.events import Told
from bot.sim.price import Price
from bot.sim.scenario import Coin, Motion, Scenario, Segment

_FUNDING_MS = 8 * 3600 * 1000
_INTEREST = 1e-4  # per funding interval
_CLAMP = 5e-4
_OI_EVERY_S, _SLOW_EVERY_S = 60, 300
_CLUSTERS = 4  # on each side
_STRIKES = 130  # strikes lie this part of the price apart


class Outside:
    def __init__(self, scenario: Scenario, coin: Coin, rng: Random) -> None:
        self._coin, self._key, self._rng = coin, coin.instrument.id, rng
        self._oi = deque([1.0] * 6, maxlen=6)  # of the last minutes, the oldest five minutes old
        self._closed_usd = 0.0  # by force, since the last minute was told
        self._crowd = 1.5
        self._premium = 1e-4
        self._pain_of: Segment | None = None
        self._pain = Decimal(0)

    @property
    def open_interest(self) -> float:
        """Now, in multiples of the coin's usual one."""
        return self._oi[-1]

    def closed(self, usd: float) -> None:
        """Positions were closed by force: they are open no more."""
        self._closed_usd += usd

    def told(self, second: int, at_ms: int, mid: float, price: Price) -> Iterator[Told]:
        """What is published at this second; `mid` in ticks."""
        if second % _OI_EVERY_S == 0:
            yield Told(at_ms, "oi_delta_5m", self._key, VENUE, self._open_interest(price))
        if second % _SLOW_EVERY_S == 0:
            spot = Decimal(round(mid)) * self._coin.tick
            yield Told(at_ms, "long_short", self._key, VENUE, self._crowding())
            yield Told(at_ms, "max_pain", self._coin.base, DERIBIT, self._max_pain(at_ms, spot, price.segment))
            yield Told(at_ms, "liquidation_clusters", self._key, COINGLASS, self._clusters(spot))

    def funding(self, at_ms: int) -> tuple[float, float, int]:
        """Premium of mark over index, the coming rate (premium + clamped interest, quant 6), and when it is paid."""
        self._premium += 2e-6 * self._rng.gauss(0.0, 1.0) - (self._premium - 1e-4) / 5000
        rate = self._premium + max(-_CLAMP, min(_CLAMP, _INTEREST - self._premium))
        return self._premium, rate, (at_ms // _FUNDING_MS + 1) * _FUNDING_MS

    def _open_interest(self, price: Price) -> OiDelta:
        """Grows while a trend goes on, else wanders."""
        grows = 3e-4 if price.segment.motion is Motion.TREND else 0.0
        lost, self._closed_usd = self._closed_usd / self._coin.open_interest_usd, 0.0
        self._oi.append((self._oi[-1] - lost) * exp(grows + self._rng.gauss(0.0, 2e-4)))
        return OiDelta(pct=round((self._oi[-1] / self._oi[0] - 1) * 100, 4))

    def _crowding(self) -> LongShort:
        self._crowd += (1.5 - self._crowd) / 12 + self._rng.gauss(0.0, 0.13)
        self._crowd = max(0.4, self._crowd)
        return LongShort(ratio=Decimal(f"{self._crowd:.4f}"), percentile_95=Decimal("2.1"))

    def _max_pain(self, at_ms: int, spot: Decimal, segment: Segment) -> MaxPain:
        """The strike nearest to where the segment wants it; it stays there until the next segment."""
        if segment is not self._pain_of:
            strike = strike_apart(spot)
            wanted = spot * (1 + Decimal(str(segment.max_pain_pct)) / 100)
            self._pain_of, self._pain = segment, max(strike, round(wanted / strike) * strike)
        return MaxPain(price=self._pain, expiry=_expiry(at_ms), notional_usd=Decimal(2_000_000_000))

    def _clusters(self, spot: Decimal) -> LiquidationClusters:
        oi_usd = Decimal(round(self._coin.open_interest_usd * self._oi[-1]))
        found = [self._cluster(spot, side, oi_usd) for side in Direction for _ in range(_CLUSTERS)]
        return LiquidationClusters(clusters=tuple(found), open_interest_usd=oi_usd)

    def _cluster(self, spot: Decimal, side: Direction, oi_usd: Decimal) -> LiquidationCluster:
        """Longs are liquidated below price, shorts above. Most are small or far away."""
        away = Decimal(f"{0.002 + 0.04 * self._rng.random():.5f}")
        share = Decimal(f"{0.003 * exp(self._rng.gauss(0.0, 0.6)):.6f}")
        price = spot * (1 - side.sign * away) // self._coin.tick * self._coin.tick
        return LiquidationCluster(price=price, usd=Decimal(round(oi_usd * share)), side=side)


def strike_apart(spot: Decimal) -> Decimal:
    """How far apart strikes of options lie at this price: 1, 2 or 5 times a power of ten."""
    wanted = spot / _STRIKES
    power = Decimal(10) ** wanted.adjusted()
    return next(power * times for times in (5, 2, 1) if power * times <= wanted)


def _expiry(at_ms: int) -> str:
    """The date of the next 08:00 UTC at least a day away."""
    return (datetime.fromtimestamp(at_ms / 1000, UTC) + timedelta(hours=40)).date().isoformat()
