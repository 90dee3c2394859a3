"""What CoinGlass has answered lately, and the readings that follow from it. No I/O and no clock; `poller` hands in answers.

Some readings need more than one answer: walls those of every venue and the coin's price, clusters its open interest, the
change of open interest two of them and the traded volume. Walls and clusters that wait for open interest (price is its USD
by its coins) are told when it comes. An answer whose own time is too old is refused like a wrong one: it is none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from bot.domain.reading import Reading
from bot.domain.values import NS
from bot.intel.coinglass import schema, shape
from bot.intel.coinglass.calls import Call
from bot.intel.coinglass.envelope import Refusal, Why
from bot.intel.coinglass.plans import CROWD, HEATMAP, INTEREST, PAIN, TAKER, WALLS, Endpoint
from bot.intel.coinglass.schema import LargeOrder, TakerTotals
from bot.market.flow import TakerParams
from bot.market.readings import COINGLASS, rule_of
from bot.market.walls import WallParams

_SIZE_AGE_NS = 600 * NS
_KEEP = 16  # samples of open interest: more than six minutes of them at one a minute


class Told(Struct, frozen=True, kw_only=True):
    """One reading as of an answer; `value` None with the reason where the rules give none."""

    name: str
    key: str
    value: Any
    reason: str
    observed_ns: int
    partial: bool = False

    def reading(self, now_ns: int) -> Reading[Any]:
        return Reading(
            name=self.name,
            key=self.key,
            source=COINGLASS,
            value=self.value,
            observed_ns=self.observed_ns,
            received_ns=now_ns,
            max_age_ns=rule_of(self.name).max_age_s * NS,
            partial=self.partial,
            reason=self.reason,
        )


class Board:
    """`institutional_usd` gives the day's threshold of a coin."""

    def __init__(self, institutional_usd: Callable[[str], Decimal], taker: TakerParams, walls: WallParams) -> None:
        self._institutional_usd, self._taker, self._wall_params = institutional_usd, taker, walls
        self._totals: dict[str, tuple[TakerTotals, int]] = {}
        self._samples: dict[str, deque[shape.Sample]] = {}
        self._orders: dict[str, dict[str, tuple[list[LargeOrder], int]]] = {}
        self._heatmaps: dict[str, schema.Heatmap] = {}
        self._venues: dict[str, set[str]] = {}
        self._waiting: dict[tuple[Endpoint, str], Call] = {}
        self._take = {
            TAKER: self._taker_volume,
            PAIN: self._max_pain,
            WALLS: self._large_orders,
            HEATMAP: self._heatmap,
            INTEREST: self._open_interest,
            CROWD: self._crowd,
        }
        self._shape = {WALLS: self._walls, HEATMAP: self._clusters}

    def expect(self, calls: Iterable[Call]) -> None:
        """The calls that are made from now on: which venues walls are of."""
        self._venues = {}
        for call in calls:
            if call.endpoint is WALLS:
                self._venues.setdefault(call.base, set()).add(call.exchange)

    def take(self, call: Call, data: Any, now_ns: int) -> tuple[int, list[Told]]:
        """When the answer was true, and the readings. Raises Refusal where the answer cannot be read."""
        answer = self._take[call.endpoint](call, data, now_ns)
        told = _told(call, answer)
        if call.endpoint is INTEREST:
            for endpoint in self._shape:
                waiting = self._waiting.pop((endpoint, call.base), None)
                if waiting is not None:
                    told += _told(waiting, self._shape[endpoint](waiting, now_ns))
        if call.endpoint is WALLS:  # the reading is as old as its oldest venue, this answer is not
            return self._orders[call.base][call.exchange][1], told
        return answer.observed_ns, told

    def _taker_volume(self, call: Call, data: Any, now_ns: int) -> _Answer:
        totals = schema.parse_taker(data, call.coin)
        self._totals[call.base] = totals, now_ns
        return _Answer(*shape.taker(totals, self._taker.min_usd), now_ns)

    def _max_pain(self, call: Call, data: Any, now_ns: int) -> _Answer:
        return _Answer(*shape.max_pain(schema.parse_max_pain(data), now_ns), now_ns)

    def _open_interest(self, call: Call, data: Any, now_ns: int) -> _Answer:
        newest = shape.Sample(now_ns, schema.parse_open_interest(data, call.coin))
        samples = self._samples.setdefault(call.base, deque(maxlen=_KEEP))
        found = shape.oi_delta(samples, newest, self._volume_usd(call.base, now_ns))
        samples.append(newest)
        return _Answer(*found, now_ns)

    def _volume_usd(self, base: str, now_ns: int) -> Decimal | None:
        totals, at_ns = self._totals.get(base, (None, 0))
        if totals is None or now_ns - at_ns > TAKER.max_age_s * NS:
            return None
        return totals.buy_usd + totals.sell_usd

    def _interest(self, base: str, now_ns: int) -> schema.Interest | None:
        """For its size and price, which may be older than its change."""
        samples = self._samples.get(base)
        if not samples or now_ns - samples[-1].at_ns > _SIZE_AGE_NS:
            return None
        return samples[-1].interest

    def _heatmap(self, call: Call, data: Any, now_ns: int) -> _Answer:
        heatmap = schema.parse_heatmap(data, now_ns)
        _young("data.price_candlesticks", heatmap.observed_ns, now_ns, HEATMAP.max_age_s)
        self._heatmaps[call.base] = heatmap
        return self._clusters(call, now_ns)

    def _clusters(self, call: Call, now_ns: int) -> _Answer:
        heatmap, interest = self._heatmaps[call.base], self._interest(call.base, now_ns)
        if interest is None or not interest.usd:
            self._waiting[HEATMAP, call.base] = call
            return _Answer(None, "open interest is not known", heatmap.observed_ns)
        return _Answer(shape.clusters(heatmap, interest.usd), "", heatmap.observed_ns)

    def _crowd(self, call: Call, data: Any, now_ns: int) -> _Answer:
        crowd = schema.parse_crowd(data, now_ns)
        _young("data.time", crowd.observed_ns, now_ns, CROWD.max_age_s)
        return _Answer(shape.long_short(crowd), "", crowd.observed_ns)

    def _large_orders(self, call: Call, data: Any, now_ns: int) -> _Answer:
        orders = schema.parse_large_orders(data, call.exchange, call.query["symbol"], now_ns)
        observed_ns = max((order.seen_ns for order in orders), default=now_ns)
        _young("data.current_time", observed_ns, now_ns, WALLS.max_age_s)
        self._orders.setdefault(call.base, {})[call.exchange] = orders, observed_ns
        return self._walls(call, now_ns)

    def _walls(self, call: Call, now_ns: int) -> _Answer:
        """Of all venues heard lately. A venue that is not heard may hold any wall, so nothing counts as seen then."""
        orders = self._orders[call.base]
        heard = {venue: got for venue, got in orders.items() if now_ns - got[1] <= WALLS.max_age_s * NS}
        observed_ns = min((at_ns for _, at_ns in heard.values()), default=now_ns)
        interest = self._interest(call.base, now_ns)
        mid = interest.price if interest else None
        if mid is None:
            self._waiting[WALLS, call.base] = call
            return _Answer(None, "price is not known", observed_ns)
        by_venue = {venue: got[0] for venue, got in heard.items()}
        limit_usd = self._institutional_usd(call.base)
        walls = shape.walls(by_venue, mid, limit_usd, self._wall_params.min_age_s, now_ns)
        missing = ", ".join(sorted(self._venues.get(call.base, set()) - heard.keys()))
        if not missing:
            return _Answer(walls, "", observed_ns)
        unseen = msgspec.structs.replace(walls, ask_coverage_pct=0.0, bid_coverage_pct=0.0)
        return _Answer(unseen, f"not heard: {missing}", observed_ns, partial=True)


class _Answer(NamedTuple):
    value: Any
    reason: str
    observed_ns: int
    partial: bool = False


def _told(call: Call, answer: _Answer) -> list[Told]:
    return [
        Told(
            name=name,
            key=key,
            value=answer.value,
            reason=answer.reason,
            observed_ns=answer.observed_ns,
            partial=answer.partial,
        )
        for name, key in call.serves
    ]


def _young(path: str, observed_ns: int, now_ns: int, max_age_s: float) -> None:
    age_ns = now_ns - observed_ns
    if age_ns > max_age_s * NS:
        raise Refusal(Why.BAD, f"{path}: {age_ns / NS:.0f} s old, more than {max_age_s:g} s")
