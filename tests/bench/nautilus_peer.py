"""nautilus_trader's BacktestEngine on trades, with a strategy in Python that judges the taker volumes of five minutes on each.

It has what its makers recommend for speed: no log, no analysis afterwards, and its ticks are made by its own reader of Binance
messages. Exchange, risk engine, cache and message bus are those that it always has. The strategy does the arithmetic of our
guard on bare whole numbers, as lean as we could write it, and makes no object of its answers.
As a program it only plays so many copies of the trades, to be weighed: `python -m tests.bench.nautilus_peer COPIES`.
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from bot.domain.frames import Frame
from bot.domain.instrument import Instrument
from bot.domain.values import ABSTAIN, BLOCK, NS, PASS, Outcome
from bot.market.flow import MICRO, TakerFlow, TakerParams
from tests.bench.capture import read_capture
from tests.bench.measure import Run
from tests.bench.trades import repeated

PRICE_DIGITS = 2  # the venue writes prices with one digit more than the tick has
RATIO_TENTHS = 11  # a ratio of buys to sells up to 1.10 blocks


class Nautilus:
    """Raises ImportError where nautilus_trader is not installed."""

    name = "nautilus"

    def __init__(self, instrument: Instrument) -> None:
        message = _module("adapters.binance.futures.schemas.market").BinanceFuturesTradeMsg
        self._decode = msgspec.json.Decoder(message).decode
        self._instrument = _perpetual(instrument)
        self._strategy_class = _taker_guard(self._instrument.id)
        self._engine: Any = None
        self._strategy: Any = None

    def ticks(self, frames: Iterable[Frame]) -> list[Any]:
        decode, instrument_id = self._decode, self._instrument.id
        return [decode(frame.raw).data.parse_to_trade_tick(instrument_id, frame.recv_ns) for frame in frames]

    def ready_made(self, ticks: list[Any]) -> Run:
        """An engine that has the ticks already."""
        self._fresh()
        self._engine.add_data(ticks)
        run: Run = self._engine.run
        return run

    def from_bytes(self, frames: list[Frame]) -> Run:
        """An engine that has to make its ticks first."""
        self._fresh()

        def run() -> None:
            self._engine.add_data(self.ticks(frames))
            self._engine.run()

        return run

    @property
    def answers(self) -> Counter[Outcome]:
        """What the newest strategy has said."""
        said: Counter[Outcome] = self._strategy.answers()
        return said

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _fresh(self) -> None:
        self.close()
        backtest, config, enums = _module("backtest.engine"), _module("config"), _module("model.enums")
        settings = backtest.BacktestEngineConfig(
            trader_id=_module("model.identifiers").TraderId("BENCH-001"),
            logging=config.LoggingConfig(bypass_logging=True),
            run_analysis=False,
        )
        self._engine = backtest.BacktestEngine(settings)
        self._engine.add_venue(
            self._instrument.id.venue,
            oms_type=enums.OmsType.NETTING,
            account_type=enums.AccountType.MARGIN,
            starting_balances=[_module("model.objects").Money(1_000_000, self._instrument.quote_currency)],
        )
        self._engine.add_instrument(self._instrument)
        self._strategy = self._strategy_class()
        self._engine.add_strategy(self._strategy)


def _module(name: str) -> Any:
    return importlib.import_module(f"nautilus_trader.{name}")


def _perpetual(instrument: Instrument) -> Any:
    names, objects = _module("model.identifiers"), _module("model.objects")
    base, quote = (objects.Currency.from_str(name) for name in (instrument.base, instrument.quote))
    return _module("model.instruments").CryptoPerpetual(
        instrument_id=names.InstrumentId.from_str(f"{instrument.symbol}-PERP.BINANCE"),
        raw_symbol=names.Symbol(instrument.symbol),
        base_currency=base,
        quote_currency=quote,
        settlement_currency=quote,
        is_inverse=False,
        price_precision=PRICE_DIGITS,
        price_increment=objects.Price.from_str("0.01"),
        size_precision=-int(instrument.step.as_tuple().exponent),
        size_increment=objects.Quantity.from_str(str(instrument.step)),
        margin_init=Decimal(0),
        margin_maint=Decimal(0),
        maker_fee=Decimal(0),
        taker_fee=Decimal(0),
        ts_event=0,
        ts_init=0,
    )


def _taker_guard(instrument_id: Any) -> Any:
    """A strategy class: its base is there only where nautilus_trader is."""
    base = _module("trading.strategy").Strategy
    buyer = _module("model.enums").AggressorSide.BUYER
    count, window_ns = TakerFlow.WINDOW_S, TakerFlow.WINDOW_S * NS
    least = int(TakerParams().min_usd) * MICRO

    class TakerGuard(base):  # type: ignore[valid-type, misc]
        """Sums of whole seconds: the running one and the 299 before it, as our own `TakerFlow` has them."""

        def __init__(self) -> None:
            super().__init__()
            self._buys, self._sells = [0] * count, [0] * count
            self._buy = self._sell = 0  # of all seconds
            self._second = self._until_ns = self._since_ns = 0
            self._abstained = self._blocked = self._passed = 0

        def on_start(self) -> None:
            self.subscribe_trade_ticks(instrument_id)

        def on_trade_tick(self, tick: Any) -> None:
            now_ns = tick.ts_init
            if now_ns >= self._until_ns:
                self._advance(now_ns)
            micro = int(tick.price.as_double() * tick.size.as_double() * 1e6 + 0.5)
            if tick.aggressor_side == buyer:
                self._buy += micro
                self._buys[self._second % count] += micro
            else:
                self._sell += micro
                self._sells[self._second % count] += micro
            if now_ns - self._since_ns < window_ns or self._buy + self._sell < least or not self._sell:
                self._abstained += 1
            elif 10 * self._buy <= RATIO_TENTHS * self._sell:
                self._blocked += 1
            else:
                self._passed += 1

        def answers(self) -> Counter[Outcome]:
            return Counter({ABSTAIN: self._abstained, BLOCK: self._blocked, PASS: self._passed})

        def _advance(self, now_ns: int) -> None:
            second = now_ns // NS
            if not self._since_ns:
                self._since_ns = now_ns
            for passed in range(max(self._second + 1, second - count + 1), second + 1):
                self._buy -= self._buys[passed % count]
                self._sell -= self._sells[passed % count]
                self._buys[passed % count] = self._sells[passed % count] = 0
            self._second, self._until_ns = second, (second + 1) * NS

    return TakerGuard


if __name__ == "__main__":
    capture = read_capture()  # held to the end, so that no tick is put where it was
    nautilus = Nautilus(capture.instrument)
    nautilus.ready_made(nautilus.ticks(repeated(capture, int(sys.argv[1]))))()
    nautilus.close()
