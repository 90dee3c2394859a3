"""Prices that desks wait for. The intake asks after every trade and every change of the mark, so a touch between two samples
counts; a frame of an instrument in which nobody waits costs one look-up. Where a price comes from is the market state's business.
"""

from __future__ import annotations

from bot.domain.instrument import exact
from bot.domain.messages import PriceTouched, WatchPrice
from bot.domain.orders import Trigger


class Watches:
    def __init__(self) -> None:
        self._watches: dict[
            str, dict[tuple[str, str], tuple[WatchPrice, float]]
        ] = {}  # by instrument, then (desk, key)
        self._instruments: dict[tuple[str, str], str] = {}

    def set(self, watch: WatchPrice) -> None:
        """A later watch with the same (desk, key) replaces the earlier one."""
        name = (watch.desk, watch.key)
        self.cancel(watch.desk, watch.key)
        self._instruments[name] = watch.instrument
        self._watches.setdefault(watch.instrument, {})[name] = (watch, float(watch.price))

    def cancel(self, desk: str, key: str) -> None:
        name = (desk, key)
        instrument = self._instruments.pop(name, None)
        if instrument is None:
            return
        del self._watches[instrument][name]
        if not self._watches[instrument]:
            del self._watches[instrument]

    def watching(self, instrument: str) -> bool:
        return instrument in self._watches

    def touched(self, instrument: str, of: Trigger, price: float) -> list[PriceTouched]:
        """Watches that `price` has reached, in the order in which they were set; they are done with."""
        waiting = self._watches.get(instrument, {}).values()
        reached = [
            watch for watch, level in waiting if watch.of is of and (price >= level if watch.above else price <= level)
        ]
        for watch in reached:
            self.cancel(watch.desk, watch.key)
        at = exact(round(price, 8))
        return [PriceTouched(desk=watch.desk, key=watch.key, price=at) for watch in reached]
