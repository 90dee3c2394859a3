"""TRUE TREND, the max-pain gap and the force-hold they lead to: all frozen at the first fill.

Pure rules of product 5. What arrives after the first fill changes nothing here. The exits desk refuses discretionary
exits while a hold lasts and asks `reversal_due` when it ends.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal, TypeVar

from pydantic import Field

from bot.domain.params import Params
from bot.domain.reading import OiDelta, Reading, ReadingState, Regime
from bot.domain.values import NS, Direction, Magnet, RegimeLabel

T = TypeVar("T")


class HoldParams(Params):
    min_s: int = Field(2700, ge=0, description="force-hold of a TRUE TREND position")
    extended_s: int = Field(4500, ge=0, description="the same when max pain is farther than extend_gap_pct")
    extend_gap_pct: Decimal = Field(Decimal("2.0"), ge=0)
    extend_side: Literal["any", "profit"] = "any"
    reversal_max_age_s: int = Field(
        900, ge=0, description="a deferred reversal older than this is dropped at the hold's end"
    )


class TrueTrendParams(Params):
    require_direction: bool = Field(True, description="the last 100 and the last 12 returns must point the trade's way")


class ExitParams(Params):
    reversal: bool = Field(True, description="an allowed opposite signal closes the position (it does not flip it)")
    break_even: bool = Field(
        True, description="stop to entry and fees once last touches Tier 1 (TRUE TREND: mark touches +1 R)"
    )
    trailing: bool = Field(
        False, description="the stop follows the best mark at a distance of trail_atr_multiple ranges"
    )
    trail_atr_multiple: Decimal = Field(Decimal(3), gt=0, le=50, description="average true ranges (as in group stop)")
    trail_min_move_bps: Decimal = Field(Decimal(5), gt=0, le=1000, description="smaller moves are not made")
    trail_interval_s: int = Field(30, ge=0, description="a trailing stop moves at most once in this time")
    time_stop_s: int = Field(0, ge=0, description="close at market this long after the first fill; 0: never")
    liquidation_pct: Decimal = Field(
        Decimal(25),
        ge=0,
        lt=100,
        description="close when this share of the first distance to liquidation is left; 0: off",
    )


def fresh(reading: Reading[T], now_ns: int) -> T | None:
    """What a position may use of a reading: nothing unless it is FRESH."""
    return reading.value if reading.state(now_ns) is ReadingState.FRESH else None


def true_trend(
    direction: Direction, regime: Reading[Regime], oi: Reading[OiDelta], now_ns: int, params: TrueTrendParams
) -> tuple[bool, str]:
    """Whether an entry is in TRUE TREND, and if not the reason to journal."""
    trend, delta = fresh(regime, now_ns), fresh(oi, now_ns)
    if trend is None:
        return False, _unusable(regime, now_ns)
    if delta is None:
        return False, _unusable(oi, now_ns)
    if trend.label is not RegimeLabel.TREND:
        return False, f"regime is {trend.label}"
    if not delta.pct > 0:
        return False, f"open interest changed by {delta.pct:.4g} %, which is no rise"
    reason = astray(direction, trend) if params.require_direction else ""
    return not reason, reason


def _unusable(reading: Reading[Any], now_ns: int) -> str:
    return f"{reading.name} is {reading.state(now_ns)}" + (f": {reading.reason}" if reading.reason else "")


def astray(direction: Direction, regime: Regime) -> str:
    """Why the regime's returns do not point the trade's way; nothing when they do."""
    for count, total in ((100, regime.sum_100), (12, regime.sum_12)):
        if not direction.sign * total > 0:
            return f"the last {count} returns add up to {total:.4g}, which does not point {direction}"
    return ""


def max_pain_gap_pct(price: Decimal, max_pain: Decimal) -> Decimal:
    """Distance of price from max pain, in percent of max pain."""
    return abs(price - max_pain) / max_pain * 100


def magnet(direction: Direction, price: Decimal, max_pain: Decimal) -> Magnet:
    """WITH when max pain lies on the profit side. A price at max pain has nowhere to be pulled to: AGAINST."""
    return Magnet.WITH if direction.sign * (max_pain - price) > 0 else Magnet.AGAINST


def min_hold_s(
    true_trend: bool, direction: Direction, price: Decimal, max_pain: Decimal | None, params: HoldParams
) -> int:
    """Length of the force-hold. `price` is the first fill's; `max_pain` is None unless its reading was FRESH then."""
    if not true_trend:
        return 0
    return params.extended_s if max_pain is not None and _extends(direction, price, max_pain, params) else params.min_s


def _extends(direction: Direction, price: Decimal, max_pain: Decimal, params: HoldParams) -> bool:
    far = abs(price - max_pain) * 100 > params.extend_gap_pct * max_pain  # multiplied, not divided: exact at the edge
    return far and (params.extend_side == "any" or magnet(direction, price, max_pain) is Magnet.WITH)


def reversal_due(direction: Direction, newest: tuple[Direction, int] | None, now_ns: int, params: HoldParams) -> bool:
    """Whether a deferred reversal runs at the hold's end.

    `newest` is direction and time of the newest signal in the position's instrument that the gate allowed, whichever
    way it points: it must still be opposite, and not too old.
    """
    if newest is None or newest[0] is direction:
        return False
    return now_ns - newest[1] <= params.reversal_max_age_s * NS
