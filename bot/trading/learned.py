"""What learning has decided and trading must heed: multipliers in force, and symbols on probation.

Only a holder and its look-up. The desk `learning` writes it, the view shows it to guards and to sizing; why a multiplier is what
it is, is journaled there. A multiplier that nobody learned is 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from bot.domain.ports import View
from bot.domain.values import Magnet, Signal
from bot.trading.exits.hold import TrueTrendParams, fresh, magnet, max_pain_gap_pct, true_trend

MAGNET_ALIGNED = "magnet_aligned"
MIN_GAP_PCT, MAX_GAP_PCT = Decimal("0.5"), Decimal(10)


def strategy_subject(strategy: str) -> str:
    """As the multiplier of a strategy is called: with a prefix, so that no strategy's name can mean another subject."""
    return f"strategy:{strategy}"


@dataclass(slots=True)
class Learned:
    multipliers: dict[str, float] = field(default_factory=dict)  # by subject
    probation: dict[str, str] = field(default_factory=dict)  # reasons by instrument

    def multiplier(self, subject: str) -> float:
        return self.multipliers.get(subject, 1.0)


def learned_factor(signal: Signal, view: View, rule: TrueTrendParams) -> float:
    """What a size is multiplied by: the strategy's, and for a magnet-aligned trade that one's too."""
    aligned = view.learned(MAGNET_ALIGNED)
    if aligned != 1.0 and not magnet_aligned(signal, view, rule):
        aligned = 1.0
    return view.learned(strategy_subject(signal.strategy)) * aligned


def magnet_aligned(signal: Signal, view: View, rule: TrueTrendParams) -> bool:
    """Whether a trade now would be one of those that the evidence is about: TRUE TREND, max pain on the profit side and
    over 0.5 % up to 10 % away."""
    now_ns, instrument, direction = view.now_ns, signal.instrument, signal.direction
    pain = fresh(view.reading("max_pain", instrument), now_ns)
    if pain is None or magnet(direction, signal.price, pain.price) is not Magnet.WITH:
        return False
    if not MIN_GAP_PCT < max_pain_gap_pct(signal.price, pain.price) <= MAX_GAP_PCT:
        return False
    regime, oi = view.reading("regime", instrument), view.reading("oi_delta_5m", instrument)
    return true_trend(direction, regime, oi, now_ns, rule)[0]
