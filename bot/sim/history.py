"""Five-minute bars of the time before a synthetic market begins, from the same price process, one step a second."""

from __future__ import annotations

from math import exp
from random import Random
from typing import NamedTuple

from bot.domain.market import Bar
from bot.domain.values import NS
from bot.sim.price import Price
from bot.sim.scenario import BAR_S, Coin, Scenario


class Flow(NamedTuple):
    """What takers do to a coin, on average."""

    trades_per_s: float
    usd_per_s: float


def bars_of(price: Price, scenario: Scenario, coin: Coin, rng: Random, flow: Flow) -> list[Bar]:
    """Moves `price` on to the start of the scenario. Prices are of trades on either side of the spread."""
    count = scenario.history.seconds // BAR_S
    first_ns = scenario.start_ns - count * BAR_S * NS
    return [_bar(price, coin, rng, flow, first_ns + index * BAR_S * NS) for index in range(count)]


def _bar(price: Price, coin: Coin, rng: Random, flow: Flow, start_ns: int) -> Bar:
    path = []
    for _ in range(BAR_S):
        price.ticks += price.step(rng.gauss(0.0, 1.0))
        path.append(price.ticks + (coin.spread_ticks if rng.random() < 0.5 else 0))
    moved_bps = (path[-1] - path[0]) / path[0] * 1e4
    usd = round(flow.usd_per_s * BAR_S * exp(rng.gauss(0.0, 0.3)), 2)
    share = 0.5 + max(-0.3, min(0.3, moved_bps / 200 + rng.gauss(0.0, 0.03)))
    open_, high, low, close = (float(ticks * coin.tick) for ticks in (path[0], max(path), min(path), path[-1]))
    trades = round(flow.trades_per_s * BAR_S)
    return Bar(start_ns, open_, high, low, close, usd, round(usd * share, 2), trades)
