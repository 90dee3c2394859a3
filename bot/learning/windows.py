"""Windows of max pain: which positions have one, what their chance is, and whether mark came near (product 8).

Part of the desk `learning`. A window is journaled when it begins (MAX_PAIN_WINDOW), so that it survives a restart, and ends with
one MAX_PAIN_RESULT: at the touch, or when it is over without one. Where mark was not seen for a while nobody knows whether it
touched: then `hit` is null, also if it is seen near later, because misses could not be told in the same way.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from math import log, sqrt
from statistics import pstdev
from typing import Any

from msgspec import Struct

from bot.domain.events import Emit, Event, text
from bot.domain.messages import Message, UnwatchPrice, WatchPrice
from bot.domain.orders import Trigger
from bot.domain.ports import View
from bot.domain.reading import ReadingState
from bot.domain.values import NS
from bot.learning.max_pain import NEAR_PCT, YEAR_S, hit_chance, no_hit, window_end_ns

BAR_S, BARS, LEAST_RETURNS = 300, 101, 20
UNSEEN_NS = 60 * NS  # of mark or of the engine itself: longer is not watching
Data = dict[str, Any]


class Window(Struct, frozen=True, kw_only=True):
    position_id: str
    instrument: str
    max_pain: Decimal
    above: bool  # max pain lies above the entry
    began_ns: int
    ends_ns: int
    chance: float | None

    @property
    def edge(self) -> Decimal:
        """The near end of what counts as having come to max pain."""
        return self.max_pain * (1 - NEAR_PCT / 100 if self.above else 1 + NEAR_PCT / 100)


class Windows:
    def __init__(self, desk: str) -> None:
        self._desk = desk
        self.open: dict[str, Window] = {}
        self._entered: dict[str, Data] = {}  # positions whose entry is not finished
        self._seen_ns: int | None = None

    # --- one begins ---

    def entered(self, data: Data) -> None:
        """The first fill of a position: its time and price are those of the window."""
        self._entered[data["position_id"]] = data

    def opened(self, event: Event, instrument: str, view: View) -> list[Message]:
        """Of a position or a shadow."""
        data = {**event.data, **self._entered.pop(event.data["position_id"], {})}
        began_ns, gap = data.get("opened_ns", event.ts), data.get("max_pain_gap_pct")
        exact = None if gap is None else Decimal(str(gap))
        expiry = data.get("max_pain_expiry")
        if no_hit(data.get("true_trend", False), data.get("magnet"), exact, expiry, began_ns) is not None:
            return []
        assert expiry is not None
        price = Decimal(data.get("first_price") or data["entry_price"])
        sigma, source = volatility(instrument, expiry, view)
        ends_ns, max_pain = window_end_ns(began_ns, data["min_hold_s"], expiry), Decimal(data["max_pain_at_entry"])
        chance = hit_chance(float(price), float(max_pain), sigma, (ends_ns - began_ns) / NS)
        window = Window(
            position_id=data["position_id"],
            instrument=instrument,
            max_pain=max_pain,
            above=max_pain > price,
            began_ns=began_ns,
            ends_ns=ends_ns,
            chance=chance,
        )
        self.open[window.position_id] = window
        return [_began(window, sigma, source, self._desk), self._watch(window)]

    def _watch(self, window: Window) -> WatchPrice:
        return WatchPrice(
            desk=self._desk,
            key=window.position_id,
            instrument=window.instrument,
            of=Trigger.MARK,
            above=window.above,
            price=window.edge,
        )

    # --- and ends ---

    def touched(self, position_id: str, now_ns: int) -> list[Message]:
        window = self.open.get(position_id)
        if window is None or now_ns > window.ends_ns:
            return []  # it is told as a miss with the next second
        return [self._result(window, hit=True)]

    def second(self, view: View) -> list[Message]:
        """Once a second: windows that are over, and those in which mark was not seen."""
        now_ns, last_ns = view.now_ns, self._seen_ns
        self._seen_ns = now_ns
        answers: list[Message] = []
        for window in list(self.open.values()):
            since_ns = window.began_ns if last_ns is None else max(last_ns, window.began_ns)
            reason = _unseen(window, min(now_ns, window.ends_ns) - since_ns, view)
            if reason or now_ns >= window.ends_ns:
                hit = None if reason else False
                answers += [
                    UnwatchPrice(desk=self._desk, key=window.position_id),
                    self._result(window, hit=hit, reason=reason),
                ]
        return answers

    def _result(self, window: Window, *, hit: bool | None, reason: str = "") -> Emit:
        del self.open[window.position_id]
        data = {"position_id": window.position_id, "hit": hit, "chance": window.chance}
        data |= {"window_s": (window.ends_ns - window.began_ns) / NS, "reason": reason}
        return Emit(
            kind="MAX_PAIN_RESULT",
            instrument=window.instrument,
            source=self._desk,
            because=window.position_id,
            data=data,
        )

    # --- restart ---

    def recall(self, event: Event, instrument: str) -> None:
        """Fold one event of the journal."""
        data = event.data
        self._seen_ns = event.ts
        if event.kind == "MAX_PAIN_WINDOW":
            self._entered.pop(data["position_id"], None)
            names = ("position_id", "above", "began_ns", "ends_ns", "chance")
            of = {name: data[name] for name in names}
            self.open[data["position_id"]] = Window(instrument=instrument, max_pain=Decimal(data["max_pain"]), **of)
        elif event.kind == "MAX_PAIN_RESULT":
            self.open.pop(data["position_id"], None)
        elif event.kind == "POSITION_ENTERED":
            self.entered(data)
        elif event.kind == "POSITION_OPENED":
            self._entered.pop(data["position_id"], None)

    def waits(self) -> list[Message]:
        """What must be watched again after a restart."""
        return [self._watch(window) for window in self.open.values()]


def volatility(instrument: str, expiry: str, view: View) -> tuple[float | None, str]:
    """Of a year, as a fraction, and where from: implied at the money of that expiry, else realised over 100 bars of five
    minutes. None where neither is known."""
    reading = view.reading("max_pain", instrument)
    pain = reading.value if reading.state(view.now_ns) is ReadingState.FRESH else None
    if pain is not None and pain.expiry == expiry and pain.atm_iv_pct:
        return pain.atm_iv_pct / 100, "implied"
    closes = [bar.close for bar in view.market(instrument).bars(BAR_S, BARS)]
    if len(closes) <= LEAST_RETURNS or min(closes) <= 0:
        return None, "unknown"
    returns = [log(after / before) for before, after in pairwise(closes)]
    return pstdev(returns) * sqrt(YEAR_S / BAR_S) or None, "realised"


def _unseen(window: Window, gap_ns: int, view: View) -> str:
    if gap_ns > UNSEEN_NS:
        return f"nothing was seen for {gap_ns / NS:.0f} s"
    age_ns = view.market(window.instrument).mark_age_ns(view.now_ns)
    return "mark was not seen" if age_ns is None or age_ns > UNSEEN_NS else ""


def _began(window: Window, sigma: float | None, source: str, desk: str) -> Emit:
    data = {
        "position_id": window.position_id,
        "max_pain": text(window.max_pain),
        "above": window.above,
        "began_ns": window.began_ns,
        "ends_ns": window.ends_ns,
        "chance": window.chance,
        "volatility": sigma,
        "volatility_source": source,
    }
    return Emit(
        kind="MAX_PAIN_WINDOW", instrument=window.instrument, source=desk, because=window.position_id, data=data
    )
