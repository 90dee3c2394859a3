"""What a position remembers of the market at its first fill."""

from __future__ import annotations

from decimal import Decimal

from bot.domain.ports import View
from bot.domain.reading import ReadingState
from bot.domain.values import Direction, RegimeLabel
from bot.trading.exits.hold import HoldParams, TrueTrendParams, magnet, max_pain_gap_pct, min_hold_s, true_trend
from bot.trading.position import Frozen


def freeze(
    direction: Direction, instrument: str, price: Decimal, view: View, hold: HoldParams, rule: TrueTrendParams
) -> Frozen:
    """Regime, open interest, TRUE TREND, max pain with its gap, and the force-hold that follows from them."""
    now_ns = view.now_ns
    regime = view.reading("regime", instrument)
    oi = view.reading("oi_delta_5m", instrument)
    pain = view.reading("max_pain", instrument)
    is_trend, reason = true_trend(direction, regime, oi, now_ns, rule)
    fresh = {r.name: r.value for r in (regime, oi, pain) if r.state(now_ns) is ReadingState.FRESH}
    seen_regime, seen_oi, seen_pain = fresh.get("regime"), fresh.get("oi_delta_5m"), fresh.get("max_pain")
    return Frozen(
        regime=seen_regime.label if seen_regime else RegimeLabel.UNKNOWN,
        hurst=seen_regime.hurst if seen_regime else None,
        hurst_z=seen_regime.z if seen_regime else None,
        oi_delta_5m_pct=seen_oi.pct if seen_oi else None,
        true_trend=is_trend,
        true_trend_reason=reason,
        max_pain=seen_pain.price if seen_pain else None,
        max_pain_expiry=seen_pain.expiry if seen_pain else None,
        max_pain_source=pain.source if seen_pain else None,
        max_pain_gap_pct=max_pain_gap_pct(price, seen_pain.price) if seen_pain else None,
        magnet=magnet(direction, price, seen_pain.price) if seen_pain else None,
        min_hold_s=min_hold_s(is_trend, direction, price, seen_pain.price if seen_pain else None, hold),
    )
