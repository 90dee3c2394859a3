"""What a synthetic market is made from: coins, what their prices do when, walls, rates, and the seed.

Values only; `presets.py` names a few, `market_model.py` plays them. The same scenario makes the same market, byte for byte,
as long as `VERSION` is the same.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

from bot.domain.errors import ConfigError
from bot.domain.instrument import Instrument
from bot.domain.values import NS, Side
from bot.exchanges.binance import VENUE

VERSION = 2  # of the generator: goes up when the same scenario makes other bytes
BAR_S = 300


class Motion(StrEnum):
    """How a price moves; see `price.py`. RANDOM is a martingale in price, exactly: what is tested against chance uses it."""

    RANDOM = "random"
    TREND = "trend"
    REVERT = "revert"


class Segment(Struct, frozen=True, kw_only=True):
    """A stretch of time. When all segments of a scenario are over they begin again.

    `drift_bps_h` belongs to TREND, whose price also keeps its direction for tens of minutes at a time. `volatility` is a
    multiple of the coin's. `max_pain_pct` is how far above (below: negative) the price max pain lies when it begins.
    """

    seconds: int
    motion: Motion
    drift_bps_h: float = 0.0
    volatility: float = 1.0
    max_pain_pct: float = 1.0


class Coin(Struct, frozen=True, kw_only=True):
    """One perpetual. Levels stand every `fine_bps` near the best price and every `coarse_bps` out to `reach_pct`."""

    base: str
    price: Decimal
    tick: Decimal
    step: Decimal
    volatility_bps: float = 0.8  # standard deviation of one second
    spread_ticks: int = 1
    fine_bps: float = 0.3
    coarse_bps: float = 3.0
    fine_reach_bps: float = 20.0
    reach_pct: float = 5.5
    usd_per_bps: float = 600_000.0  # resting on each side
    touch_usd: float = 150_000.0  # resting at a best price
    trades_per_s: float = 1.0  # besides the orders that move the price
    trade_usd: float = 20_000.0
    open_interest_usd: float = 8e9
    shift: int = 0  # segments are taken from this one on, so that not all coins do the same

    @property
    def playable(self) -> bool:
        """Whether everything that is divided by, or drawn around, is positive."""
        sizes = (self.usd_per_bps, self.touch_usd, self.trade_usd, self.open_interest_usd, self.trades_per_s)
        rules = (self.price, self.tick, self.step, self.spread_ticks, self.fine_bps, self.coarse_bps, self.reach_pct)
        return all(value > 0 for value in (*rules, *sizes, self.volatility_bps))

    @property
    def symbol(self) -> str:
        return f"{self.base}USDT"

    @property
    def instrument(self) -> Instrument:
        return Instrument(
            id=f"{VENUE}:{self.symbol}",
            venue=VENUE,
            symbol=self.symbol,
            unified=f"{self.base}/USDT:USDT",
            base=self.base,
            quote="USDT",
            tick=self.tick,
            step=self.step,
            min_quantity=self.step,
            max_quantity=self.step * 10_000_000,
            max_market_quantity=self.step * 1_000_000,
            min_notional=Decimal(5),
        )


class Wall(Struct, frozen=True, kw_only=True):
    """A large resting order, `distance_pct` from mid when it appears. Price does not get past it while it stands: what is
    traded out of it comes back. After `seconds`, or as soon as price is within `flees_bps` of it, it is pulled untraded."""

    symbol: str
    at_s: int
    seconds: int
    side: Side  # SELL: above price
    distance_pct: float
    usd: float
    flees_bps: float = 0.0


class Scenario(Struct, frozen=True, kw_only=True):
    """`history` is what prices did before the start; every five minutes of it become a bar."""

    name: str
    seed: int
    coins: tuple[Coin, ...]
    seconds: int
    start_ns: int
    segments: tuple[Segment, ...]
    history: Segment = Segment(seconds=36_000, motion=Motion.RANDOM)
    walls: tuple[Wall, ...] = ()
    correlation: float = 0.6  # of the coins' returns in each step
    depth_ms: int = 1000  # between two book changes
    mark_s: int = 3
    quotes: bool = False  # also tell the best prices, after each trade and book change
    clustering: float = (
        0.0  # share of taker orders that another one has brought about (a Hawkes process's branching ratio)
    )
    liquidations: bool = False  # fast moves close positions by force, and open interest falls

    def __post_init__(self) -> None:
        """Raises ConfigError for a scenario that cannot be played."""
        named = [coin.symbol for coin in self.coins]
        for fine, problem in (
            (named and len(set(named)) == len(named), "needs coins, each once"),
            (all(coin.playable for coin in self.coins), "has a coin with a price, size or rate that is not positive"),
            (self.segments and all(s.seconds > 0 and s.volatility > 0 for s in self.segments), "needs segments"),
            (self.seconds > 0 and self.mark_s > 0, "must last a while"),
            (10 <= self.depth_ms <= 1000 and 1000 % self.depth_ms == 0, "depth_ms must divide a second"),
            (0 <= self.correlation <= 1, "correlation must be from 0 to 1"),
            (0 <= self.clustering < 1, "clustering must be from 0 to below 1"),
            (self.start_ns % (BAR_S * NS) == 0, f"must start at a full {BAR_S} s"),
            (all(wall.symbol in named for wall in self.walls), "has a wall of a coin it does not have"),
        ):
            if not fine:
                raise ConfigError(f"scenario {self.name!r} {problem}")
