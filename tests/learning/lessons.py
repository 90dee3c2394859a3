"""The desk `learning` without an engine: a test writes what happens, and sees what the desk says and waits for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from bot.domain.events import Emit, Event
from bot.domain.messages import PriceTouched, Sampled, UnwatchPrice, WatchPrice
from bot.domain.values import NS
from bot.learning.desk import ACTED_ON, Learning
from bot.learning.params import LearningParams
from bot.trading.learned import Learned
from tests.build import BTC, FakeView
from tests.learning.histories import BLOCK, SYMBOL, History


class Lesson(History):
    """A history that the desk lives through. `equity` is what losses are measured against."""

    def __init__(self, view: FakeView | None = None, **learning: Any) -> None:
        super().__init__()
        self.view = view or FakeView()
        self.equity = Decimal(10_000)
        self._quiet = False
        self.params = LearningParams.model_validate(learning)
        self.watches: dict[str, WatchPrice] = {}
        self._begin()
        self.start(self.rules)

    def _begin(self) -> None:
        self.learned = Learned()
        self.view.now_ns = self.now_ns
        self.view.multipliers, self.view.probation = self.learned.multipliers, self.learned.probation
        self.desk = Learning(self.learned, {SYMBOL: BTC}, self.params, self.rules, lambda: self.equity)

    def restart(self, *, rules: str | None = None) -> Lesson:
        """A new engine takes over from the events."""
        events, self.rules = list(self.events), rules or self.rules
        self.watches.clear()
        self._begin()
        for event in events:
            self.desk.recall(event)
        self._hear(self.desk.waits())
        self.start(self.rules)
        return self

    def say(self, kind: str, data: dict[str, Any], symbol: str | None = SYMBOL) -> None:
        super().say(kind, data, symbol)
        self._take(self.events[-1])

    def _take(self, event: Event) -> None:
        self.view.now_ns = self.now_ns
        answers = self.desk.on(event, self.view) if event.kind in ACTED_ON and not self._quiet else ()
        self.desk.observe([event])
        self._hear(answers)

    def _hear(self, answers: Any) -> None:
        for answer in answers:
            match answer:
                case Emit():
                    self.say(answer.kind, answer.data, None if answer.instrument is None else SYMBOL)
                case WatchPrice():
                    self.watches[answer.key] = answer
                case UnwatchPrice():
                    self.watches.pop(answer.key, None)

    def ask(self, message: Any) -> None:
        self.view.now_ns = self.now_ns
        self._hear(self.desk.on(message, self.view))

    def mark(self, price: str) -> None:
        """Mark comes by."""
        at = Decimal(price)
        self.view.market(BTC).mark = float(at)
        for key, watch in list(self.watches.items()):
            if at >= watch.price if watch.above else at <= watch.price:
                del self.watches[key]
                self.ask(PriceTouched(desk=watch.desk, key=key, price=at))

    def second(self) -> None:
        self.ask(Sampled(now_ns=self.now_ns))

    def later(self, ns: int, every: int = 30 * NS) -> Lesson:
        """Time passes, with a second now and then."""
        end_ns = self.now_ns + ns
        while self.now_ns < end_ns:
            self.now_ns = min(end_ns, self.now_ns + every)
            self.second()
        return self

    def blocks(self, count: int = 1) -> Lesson:
        """To the beginning of the next block, so many times."""
        for _ in range(count):
            self.now_ns = (self.now_ns // BLOCK + 1) * BLOCK
            self.second()
        return self

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event.data for event in self.events if event.kind == kind]

    def magnet(self, hit: bool, *, chance: float | None = 0.3, **frozen: Any) -> str:
        """As it is journaled, with no window that the desk would watch besides."""
        self._quiet = True
        position_id = super().magnet(hit, chance=chance, **frozen)
        self._quiet = False
        return position_id

    def trade(self, r: float, strategy: str = "ofi", **more: Any) -> None:
        """A position of ours and its end, all at once."""
        self.close(self.open(self.decide(strategy=strategy), shadow=False, **more), r)
