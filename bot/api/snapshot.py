"""Copied snapshots of the live state: plain JSON-able dicts, taken between two frames, safe to keep and to send.

The terminal view and the HTTP routes show the same ones. Positions carry what only the running engine knows (mark, profit, time
left in the hold) on top of what the journal's projection says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
from msgspec.structs import replace

from bot.api.readiness import not_ready
from bot.api.tally import Tally
from bot.domain.events import rounded, text
from bot.domain.instrument import exact
from bot.domain.ports import MarketView
from bot.domain.reading import ExpiryPain, MaxPain, ReadingState
from bot.domain.values import NS, Side
from bot.journal.projection import Projection
from bot.journal.writer import JournalStats
from bot.market.book import BUCKET_BPS, Steps
from bot.market.readings import COINGLASS, SOURCES
from bot.runtime.engine import Engine
from bot.runtime.inbox import Inbox
from bot.runtime.intake import Intake
from bot.runtime.view import LiveView
from bot.trading.portfolio import Portfolio
from bot.trading.position import Position
from bot.trading.risk import RiskParams
from bot.trading.state import Cause, State


@dataclass(frozen=True, slots=True)
class Live:
    """The parts a snapshot is copied from; never handed on to a client."""

    engine: Engine
    inbox: Inbox
    intake: Intake
    view: LiveView
    portfolio: Portfolio
    projection: Projection
    state: State
    facts: dict[str, Any]  # what does not change in a run: mode, venue, session, config_hash, version
    providers: Callable[[], list[dict[str, Any]]] = list  # what each provider of readings answers
    loop_lag: Callable[[], dict[str, float] | None] = lambda: None  # in ms, of the last minute
    learning: Callable[[], dict[str, Any]] = dict  # where the learning desk stands
    tally: Tally = field(default_factory=Tally)
    risk: RiskParams = field(default_factory=RiskParams)

    def status(self) -> dict[str, Any]:
        waiting = self.inbox.depths()
        return {
            "running": True,
            **self.facts,
            **self.projection.status(),
            "state": self.view.state,
            "state_reason": self.view.state_reason,
            "engine_time_ns": self.engine.now_ns,
            "frames": self.engine.frames,
            "bad_frames": self.intake.bad_frames,
            "lanes": {
                "account": waiting[0],
                "data": waiting[1],
                "data_high_water": self.inbox.data_high_water,
                "account_high_water": self.inbox.account_high_water,
                "account_overflowed": self.inbox.overflowed,
            },
            **self._why_no_entries(),
            **self._money(),
            "markets": [self.market(instrument.id) for instrument in self.view.instruments()],
        }

    def _why_no_entries(self) -> dict[str, Any]:
        """Causes of the trading state, and symbols blocked by the operator, each with since when."""
        unified = {each: self.view.instrument(each).unified for each in self.state.blocks}
        return {
            "causes": {key: _cause(cause) for key, cause in self.state.causes.items()},
            "blocked_symbols": {unified[each]: _cause(cause) for each, cause in self.state.blocks.items()},
        }

    def _money(self) -> dict[str, Any]:
        portfolio, money = self.portfolio, self.portfolio.money
        return {
            "wallet_usd": text(portfolio.wallet_usd),
            "equity_usd": text(portfolio.equity_usd()),
            "day_start_usd": text(money.day_start_usd),
            "peak_usd": text(money.peak_usd),
            "open_risk_usd": text(rounded(portfolio.open_risk_usd())),
            "notional_usd": text(rounded(portfolio.notional_usd())),
            "funding_usd": text(money.funding_usd),
            "transfers_usd": text(money.transfers_usd),
        }

    def market(self, instrument: str, depth: int = 0) -> dict[str, Any]:
        market, now_ns = self.view.market(instrument), self.engine.now_ns
        return {
            "symbol": self.view.instrument(instrument).unified,
            "usable": market.usable,
            "bid": market.bid,
            "ask": market.ask,
            "last": market.last,
            "mark": None if market.mark is None else round(market.mark, 8),
            "mark_source": market.mark_source,
            "book_age_s": _seconds(market.book_age_ns(now_ns)),
            "trade_age_s": _seconds(market.trade_age_ns(now_ns)),
            "stamped_ahead_s": _seconds(market.stamped_ahead_ns),
            "resyncs": self.tally.lost_books(self.view.instrument(instrument).unified),
            **({"depth": _depth(market, depth)} if depth else {}),
        }

    def depth(self) -> dict[str, Any]:
        """Resting USD of each symbol's book by distance from its anchor; None while a book is not usable."""
        return {each.unified: _steps(self.view.depth(each.id)) for each in self.view.instruments()}

    def readings(self, instrument: str, providers: Sequence[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
        """Each reading's value, source, age and state, in the order of the table of sources. With what the providers answer, each of its
        sources too, and when that one is asked next."""
        return [{**self._reading(name, instrument), **self._details(name, instrument, providers)} for name in SOURCES]

    def _reading(self, name: str, instrument: str) -> dict[str, Any]:
        now_ns = self.engine.now_ns
        reading = self.view.reading(name, instrument)
        age_s = reading.age_s(now_ns)
        return {
            "name": name,
            "symbol": self.view.instrument(instrument).unified,
            "state": reading.state(now_ns),
            "source": reading.source,
            "age_s": None if age_s is None else round(age_s, 3),
            "max_age_s": reading.max_age_ns / NS,
            "unit": SOURCES[name].unit,
            "value": _value(reading.value),
            "reason": reading.reason,
        }

    def _details(self, name: str, instrument: str, providers: Sequence[dict[str, Any]] | None = None) -> dict[str, Any]:
        """What is told of a reading beside itself."""
        told: dict[str, Any] = {} if providers is None else {"sources": self._sources(name, instrument, providers)}
        if name == "liquidation_clusters":
            told["check"] = self._check(instrument)
        if name == "max_pain":
            told["expiries"] = self._expiries(instrument)
        return told

    def reading_details(self, providers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Of every reading of every symbol: twice as much work as the readings, and no hurry."""
        return [self._details(name, each.id, providers) for each in self.view.instruments() for name in SOURCES]

    def all_readings(self, details: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Of every symbol, with their details."""
        rows = [self._reading(name, each.id) for each in self.view.instruments() for name in SOURCES]
        return [{**row, **rest} for row, rest in zip(rows, details, strict=True)]

    def _check(self, instrument: str) -> dict[str, Any]:
        """Our own model against the liquidations that the venue told of."""
        told: dict[str, Any] = msgspec.to_builtins(self.view.forced_orders(instrument))
        return told

    def _expiries(self, instrument: str) -> list[dict[str, Any]]:
        """Max pain of every expiry that any source knows, nearest first; each of the first source in order that is fresh, else that
        says anything of it."""
        now_ns, found = self.engine.now_ns, dict[str, dict[str, Any]]()
        said = [each for _, each in self.view.sources("max_pain", instrument) if each is not None]
        for reading in sorted(said, key=lambda each: each.state(now_ns) is not ReadingState.FRESH):
            pain, age_s = reading.value, reading.age_s(now_ns)
            if not isinstance(pain, MaxPain) or age_s is None:
                continue
            of = {"source": reading.source, "state": reading.state(now_ns), "age_s": round(age_s, 3)}
            chosen = ExpiryPain(expiry=pain.expiry, price=pain.price, notional_usd=pain.notional_usd)
            for each in (*pain.expiries, chosen):
                found.setdefault(each.expiry, {**msgspec.to_builtins(each, enc_hook=_plain), **of})
        return [found[expiry] for expiry in sorted(found)]

    def _sources(self, name: str, instrument: str, providers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        now_ns, rows = self.engine.now_ns, []
        coin = self.view.instrument(instrument).base
        for source, reading in self.view.sources(name, instrument):
            asked = _asked(providers, source, name, (instrument, coin))
            age_s = None if reading is None else reading.age_s(now_ns)
            rows.append(
                {
                    "source": source,
                    "state": "MISSING" if reading is None else reading.state(now_ns),
                    "age_s": None if age_s is None else round(age_s, 3),
                    "next_s": None if asked is None or asked["next_s"] is None else round(asked["next_s"], 1),
                    "reason": (asked or {}).get("problem") or ("" if reading is None else reading.reason),
                }
            )
        return rows

    def not_ready(self, journal: JournalStats) -> list[str]:
        """Why no entry may be made now."""
        return not_ready(self.status(), journal, self.loop_lag(), self.risk)

    def unprotected(self) -> dict[str, float]:
        """Seconds since when the position of a symbol has had no stop at the venue."""
        gaps = self.tally.unprotected(self.engine.now_ns)
        bare = [each for each in self.portfolio.positions() if each.stop_price is None]
        symbols = {self.view.instrument(each.instrument).unified: each.opened_ns for each in bare}
        return {symbol: gaps.get(symbol, (self.engine.now_ns - since) / NS) for symbol, since in symbols.items()}

    def _budgets(self, providers: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
        """Calls and orders of the last minute, and how many may be."""
        orders = self.portfolio.orders_last_minute(self.engine.now_ns)
        told = {"orders": {"used": orders, "allowed": self.risk.orders_per_minute}}
        for provider in providers:
            if provider["provider"] == COINGLASS:
                calls = provider["calls"]
                told[COINGLASS] = {"used": calls["spent"], "allowed": calls["allowed"]}
        return told

    def health(
        self,
        journal: JournalStats,
        status: dict[str, Any] | None = None,
        providers: Sequence[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """`journal`: the writer's own account of itself. `status` and what providers answer, where the caller has them already."""
        status = self.status() if status is None else status
        providers = self.providers() if providers is None else providers
        kept = ("state", "state_reason", "frames", "bad_frames", "lanes", "markets", "engine_time_ns", "version")
        shown = {key: status[key] for key in kept if key in status}
        told = {"journal": msgspec.to_builtins(journal), "loop_lag_ms": self.loop_lag(), "providers": providers}
        return {**shown, **told, "budgets": self._budgets(providers), "unprotected": self.unprotected()}

    def ages(self) -> dict[str, Any]:
        """Of each feed, in seconds."""
        now_ns, ages = self.engine.now_ns, {}
        for each in self.view.instruments():
            market = self.view.market(each.id)
            ages[f"{each.unified} book"] = _seconds(market.book_age_ns(now_ns))
            ages[f"{each.unified} trades"] = _seconds(market.trade_age_ns(now_ns))
        return ages

    def positions(self) -> list[dict[str, Any]]:
        rows = []
        for row in self.projection.positions():
            position = self.portfolio.by_id(row["position_id"])
            rows.append(row if position is None else {**row, **self._live(position)})
        return rows

    def _live(self, position: Position) -> dict[str, Any]:
        mark = self.view.market(position.instrument).mark
        profit = None if mark is None else position.profit_usd(exact(round(mark, 8))) - position.fees_usd
        left_s = max(0, position.hold_until_ns - self.engine.now_ns) / NS
        return {
            "mark": None if mark is None else round(mark, 8),
            "profit_usd": text(None if profit is None else profit.quantize(Decimal("0.0001"))),
            "profit_r": None if profit is None else round(position.r_multiple(profit), 3),
            "age_s": round((self.engine.now_ns - position.opened_ns) / NS, 1),
            "hold_left_s": round(left_s, 1),
        }


def _asked(providers: Sequence[dict[str, Any]], source: str, name: str, keys: Sequence[str]) -> dict[str, Any] | None:
    """The call by which a provider keeps this reading fresh."""
    for provider in providers:
        for asked in provider.get("asked", ()):
            if asked.get("source", provider["provider"]) == source and any(
                [name, key] in asked["readings"] for key in keys
            ):
                return dict(asked)
    return None


def _cause(cause: Cause) -> dict[str, Any]:
    return {"reason": cause.reason, "since_ns": cause.since_ns}


def _depth(market: MarketView, count: int) -> dict[str, list[list[float]]]:
    return {
        name: [[price, quantity] for price, quantity in market.levels(side, count)] if market.usable else []
        for name, side in (("bids", Side.BUY), ("asks", Side.SELL))
    }


def _steps(of: Steps | None) -> dict[str, Any] | None:
    if of is None:
        return None
    return {
        "anchor": of.anchor,
        "step_bps": BUCKET_BPS,
        "asks": [round(usd) for usd in of.ask_usd],
        "bids": [round(usd) for usd in of.bid_usd],
        "ask_coverage_pct": round(of.ask_coverage_pct, 3),
        "bid_coverage_pct": round(of.bid_coverage_pct, 3),
    }


def _seconds(age_ns: int | None) -> float | None:
    return None if age_ns is None else round(age_ns / NS, 3)


def _value(value: Any) -> Any:
    """Max pain without its other expiries, which are told by source."""
    if isinstance(value, MaxPain):
        value = replace(value, expiries=())
    shown = msgspec.to_builtins(value, enc_hook=_plain)
    if isinstance(value, MaxPain):
        del shown["expiries"]
    return shown


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise NotImplementedError(f"cannot show a {type(value).__name__}")
