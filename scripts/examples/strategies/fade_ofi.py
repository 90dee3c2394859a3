"""Strategy `fade_ofi`: an example of your own. It trades against a burst of order-flow imbalance that has run dry.

Copy this file into a folder of yours and try it:

    cp scripts/examples/strategies/fade_ofi.py ~/strategies/
    python -m bot replay --strategies-dir ~/strategies --strategies fade_ofi

The contract
- The file `NAME.py` holds one class whose `name` is NAME. Small letters, digits and `_`; no name of a built-in strategy.
- `version` is a whole number: raise it when the rules change. It and the file's content are part of the configuration's
  hash, which every decision carries, so results of different rules are never mixed up.
- `traded_on` names the readings the strategy trades on, so that the same number does not count again as conviction when
  the trade is sized. `Params` are its settings: `strategy.NAME.*` in bot.toml, `BOT_STRATEGY__NAME__*` in the
  environment, shown by `python -m bot config show`. Every one needs a default.
- `on_sample` is asked once a second about each instrument that has a price. It answers None or an `Idea`: a direction
  and a strength from 0 to 1. It sees prices, closed bars, readings and the portfolio through `view` (bot/domain/ports.py).
  Keep numbers, never the view.
- No clock, no randomness, no network, no file: `view.now_ns` is the time. A replay must answer the same again.
- A reading may be stale or missing: look at its state, and give no idea when you do not know.
- An exception or a wrong answer is journaled (STRATEGY_ERROR) and the others go on; ten in a row switch the strategy off.
  But the engine waits while a strategy thinks: answer within a millisecond.

An idea is no order: the guards, the sizing and the limits decide what becomes of it (`python -m bot why`).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from bot.domain import params
from bot.domain.ports import View
from bot.domain.reading import ReadingState
from bot.domain.values import Direction
from bot.trading.strategies.base import Idea


class FadeOfiParams(params.Params):
    burst_depths: float = Field(20.0, gt=0, description="imbalance that is a burst, in mean sizes at the best prices")
    dry_fraction: float = Field(0.5, gt=0, lt=1, description="it has run dry under this share of its peak")


class FadeOfi:
    """One idea for each burst, against it."""

    name: ClassVar[str] = "fade_ofi"
    version: ClassVar[int] = 1
    traded_on: ClassVar[tuple[str, ...]] = ("ofi",)

    Params: ClassVar[type[params.Params]] = FadeOfiParams

    def __init__(self, settings: FadeOfiParams) -> None:
        self._params = settings
        self._peaks: dict[str, float] = {}  # by instrument, while a burst lasts; its sign is the burst's

    def on_sample(self, instrument: str, view: View) -> Idea | None:
        reading = view.reading("ofi", instrument)
        if reading.value is None or reading.state(view.now_ns) is not ReadingState.FRESH:
            self._peaks.pop(instrument, None)  # what happened meanwhile is not known
            return None
        depths, peak = reading.value.depths, self._peaks.get(instrument, 0.0)
        if abs(depths) >= max(self._params.burst_depths, abs(peak)):
            self._peaks[instrument] = depths
        elif peak and depths / peak < self._params.dry_fraction:
            del self._peaks[instrument]
            against = Direction.SHORT if peak > 0 else Direction.LONG
            return Idea(against, min(1.0, abs(peak) / (2 * self._params.burst_depths)))
        return None
