"""How large: risk per trade, the multiplier, and the caps it is cut to.

Pure, and the same for real and shadow positions. It says how much and why not more; whether to trade at all is the
gate's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, NamedTuple

from msgspec import Struct
from pydantic import Field, model_validator

from bot.domain.events import text
from bot.domain.instrument import Instrument, Round, exact
from bot.domain.params import Params
from bot.domain.ports import View
from bot.domain.reading import ReadingState
from bot.domain.values import Direction, RegimeLabel, Signal
from bot.trading.correlation import Correlations
from bot.trading.exits.hold import TrueTrendParams
from bot.trading.exits.protection import StopParams, stop_distance
from bot.trading.learned import learned_factor
from bot.trading.margin import Bracket
from bot.trading.order_limits import Exposure, Wanted, check_liquidation, check_price, exposures
from bot.trading.risk import RiskParams, Standing, drawdown, left_today, standing

CONVICTION = ("whale_cvd", "ofi")
HALF = Decimal("0.5")


class SizingParams(Params):
    ultra: float = Field(
        1.5, gt=0, description="multiplier when whale flow and OFI both agree and the strategy used at most one"
    )
    whale_intensity: float = Field(30.0, ge=0, le=100, description="whale intensity that counts as conviction")
    trend: float = Field(1.0, gt=0, description="multiplier in regime TREND")
    no_trend: float = Field(0.5, gt=0, description="multiplier in every other regime")
    blind: float = Field(0.5, gt=0, le=1, description="multiplier when every data guard abstained")
    min_multiplier: float = Field(0.1, gt=0)
    max_multiplier: float = Field(2.5, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> SizingParams:
        if self.min_multiplier > self.max_multiplier:
            raise ValueError(
                f"sizing.min_multiplier {self.min_multiplier} is over max_multiplier {self.max_multiplier}"
            )
        return self


@dataclass(frozen=True, slots=True)
class SizeRules:
    """What a size depends on besides the market. `fee` is the taker's, paid in and out; `slip` is what the entry may
    pay beyond the opposite best price; `stop` is the stop's distance (the gate puts in that of the decision where it
    follows volatility). All three are fractions of price."""

    sizing: SizingParams
    risk: RiskParams
    fee: Decimal
    slip: Decimal
    stop: Decimal
    correlations: Correlations = field(default_factory=Correlations, compare=False)
    true_trend: TrueTrendParams = field(
        default_factory=TrueTrendParams
    )  # what makes a trade one that the magnet's multiplier is for
    brackets: Mapping[str, Sequence[Bracket]] = field(default_factory=dict)  # by instrument; else the dated sample


class Sized(Struct, frozen=True):
    """A quantity on the venue's grid, and what kept it from being larger; zero if that is too small to trade.

    `value` and `threshold` are those of the limit that leaves nothing, decimal text or None."""

    quantity: Decimal
    reason: str
    value: str | None = None
    threshold: str | None = None


def rules_now(signal: Signal, view: View, rules: SizeRules, stop: StopParams | None) -> SizeRules | None:
    """With the distance that a stop of this entry will have; None where that is not known."""
    if stop is None or stop.mode == "pct":
        return rules
    distance = stop_distance(view, signal.instrument, stop)
    return None if distance is None else replace(rules, stop=distance)


def no_stop(params: StopParams | None) -> str:
    """Why not. Only stops that follow volatility can be unknown."""
    return (
        ""
        if params is None
        else f"no ATR yet: needs {params.atr_bars} closed bars of {params.atr_width_s} s and a book"
    )


def multiplier(
    signal: Signal, view: View, params: SizingParams, blind: bool, rule: TrueTrendParams | None = None
) -> float:
    """Conviction x regime x learned x blindness, clipped."""
    product = (params.ultra if _ultra(signal, view, params) else 1.0) * _regime(signal, view, params)
    product *= learned_factor(signal, view, rule or TrueTrendParams())
    product *= params.blind if blind else 1.0
    return min(max(product, params.min_multiplier), params.max_multiplier)


def _ultra(signal: Signal, view: View, params: SizingParams) -> bool:
    """Flow a strategy already traded on is no second opinion."""
    if set(CONVICTION) <= set(signal.traded_on):
        return False
    whale = _fresh("whale_cvd", signal, view)
    if whale is None or whale.direction is not signal.direction or whale.intensity < params.whale_intensity:
        return False
    ofi = _fresh("ofi", signal, view)
    return ofi is not None and signal.direction.sign * ofi.depths > 0


def _regime(signal: Signal, view: View, params: SizingParams) -> float:
    regime = _fresh("regime", signal, view)
    return params.trend if regime is not None and regime.label is RegimeLabel.TREND else params.no_trend


def _fresh(name: str, signal: Signal, view: View) -> Any:
    reading = view.reading(name, signal.instrument)
    return reading.value if reading.state(view.now_ns) is ReadingState.FRESH else None


def fixed_fraction(
    risk_usd: Decimal, entry: Decimal, stop: Decimal, *, fee_in: Decimal, fee_out: Decimal, slip: Decimal
) -> Decimal:
    """Base quantity that loses `risk_usd` at the stop, fees and slippage (fractions) included (quant 8)."""
    return risk_usd / (abs(entry - stop) + entry * fee_in + stop * fee_out + slip * entry)


def entry_price(signal: Signal, view: View) -> Decimal | None:
    """The opposite best price: what an entry is reckoned to pay."""
    market = view.market(signal.instrument)
    best = market.ask if signal.direction is Direction.LONG else market.bid
    return None if best is None else exact(best)


def risk_usd(equity: Decimal, factor: float, params: RiskParams) -> Decimal:
    """Money to lose at the stop: base risk times the multiplier, never over the maximum."""
    return equity * min(params.base_risk_pct * exact(factor), params.max_risk_pct) / 100


def limit_price(best: Decimal, direction: Direction, slip: Decimal, instrument: Instrument) -> Decimal:
    """What an entry may pay at most (a short: must get at least): the opposite best price and `slip` (a fraction) beyond it."""
    return instrument.price(best * (1 + direction.sign * slip), Round.passive(direction.entry_side))


def size(signal: Signal, view: View, rules: SizeRules, factor: float) -> Sized:
    """The entry's quantity; `factor` is the multiplier. Equity must be positive (the limits saw to that)."""
    entry = entry_price(signal, view)
    if entry is None:
        return Sized(Decimal(0), "no opposite best price to size against")
    instrument, at = view.instrument(signal.instrument), standing(view.portfolio, rules.risk)
    caps = _caps(signal, view, rules, factor, entry, instrument, at)
    most = min(caps, key=lambda cap: cap.quantity)
    quantity = instrument.quantity(max(most.quantity, Decimal(0)))
    if not (quantity > 0 and instrument.tradable(quantity, entry)):
        return Sized(
            Decimal(0),
            f"{most.name} leaves {quantity:f} {instrument.base} at {entry:f}, under the venue's minimum "
            f"of {instrument.min_quantity:f} {instrument.base} and {instrument.min_notional:f} {instrument.quote}",
            text(most.value),
            text(most.threshold),
        )
    limit = limit_price(entry, signal.direction, rules.slip, instrument)
    wanted = Wanted(signal.instrument, signal.direction, quantity, limit, rules.stop)
    broken = check_price(wanted, view, rules) or check_liquidation(wanted, view, rules, at)
    if broken is not None:
        return Sized(Decimal(0), broken.reason, broken.value, broken.threshold)
    return Sized(quantity, most.name)


class _Cap(NamedTuple):
    """A rule, the largest quantity it allows, and the numbers it compares."""

    rule: Exposure | str
    quantity: Decimal
    value: Decimal | None = None
    threshold: Decimal | None = None

    @property
    def name(self) -> str:
        return self.rule if isinstance(self.rule, str) else self.rule.name


def _caps(
    signal: Signal,
    view: View,
    rules: SizeRules,
    factor: float,
    entry: Decimal,
    instrument: Instrument,
    at: Standing,
) -> list[_Cap]:
    """Notional is reckoned at the worst price that the entry may pay."""
    risk, sign = rules.risk, signal.direction.sign
    stop = entry * (1 - sign * rules.stop)
    one_usd = fixed_fraction(Decimal(1), entry, stop, fee_in=rules.fee, fee_out=rules.fee, slip=rules.slip)
    name, budget = _budget(at, risk, factor)
    left = left_today(at, risk)
    worst = max(entry, entry * (1 + sign * rules.slip))
    limits = [
        _Cap(each, (each.limit_usd - each.used_usd) / worst, each.used_usd, each.limit_usd)
        for each in exposures(signal.instrument, signal.direction, view, rules, at)
    ]
    return [
        _Cap(name, budget * one_usd),
        _Cap("what the daily loss limit leaves", left * one_usd, left, budget),
        *limits,
        _Cap("venue's largest order", min(instrument.max_quantity, instrument.max_market_quantity)),
    ]


def _budget(at: Standing, risk: RiskParams, factor: float) -> tuple[str, Decimal]:
    """USD to lose at the stop; half of it from half the drawdown limit on (quant 8)."""
    usd = risk_usd(at.limited, factor, risk)
    half = drawdown(at, risk, HALF)
    return ("risk budget", usd) if half is None else (f"risk budget, halved: {half.reason}", usd * HALF)
