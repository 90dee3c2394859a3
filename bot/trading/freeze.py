"""What a position remembers of the market at its first fill, and the walls that the journal is told of besides."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from bot.domain.events import text
from bot.domain.instrument import exact
from bot.domain.ports import View
from bot.domain.reading import Reading, ReadingState, Wall, Walls
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


def nothing_known(reason: str) -> Frozen:
    """Of a position whose entry was not of our making: no inputs, so no TRUE TREND and no hold."""
    return Frozen(
        regime=RegimeLabel.UNKNOWN,
        hurst=None,
        hurst_z=None,
        oi_delta_5m_pct=None,
        true_trend=False,
        true_trend_reason=reason,
        max_pain=None,
        max_pain_expiry=None,
        max_pain_source=None,
        max_pain_gap_pct=None,
        magnet=None,
        min_hold_s=0,
    )


def walls_told(instrument: str, view: View) -> dict[str, Any]:
    """The walls reading as it was at the first fill, with its state: a stale or partial one says so."""
    reading: Reading[Walls] = view.reading("walls", instrument)
    told: dict[str, Any] = {"state": reading.state(view.now_ns), "source": reading.source}
    if reading.value is None:
        return told | {"reason": reading.reason}
    return told | {"asks": _plain(reading.value.asks), "bids": _plain(reading.value.bids)}


def _plain(walls: Sequence[Wall]) -> list[dict[str, str | None]]:
    return [{"price": text(exact(wall.price)), "usd": text(exact(round(wall.usd, 2)))} for wall in walls]
