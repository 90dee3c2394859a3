"""A fixed snapshot with everything the page can show: each state of a reading, both sides, a held position, a ledger.

The figures are made up, round, and chosen so that what is drawn can be told from them. `Served` is the page with a socket
that the test feeds, and the same headers as the real one.
"""

from __future__ import annotations

from contextlib import suppress
from math import sin
from pathlib import Path
from typing import Any

import orjson
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

import bot.api

STATIC = Path(bot.api.__file__).parent / "static"
NS = 1_000_000_000
NOW_S = 1_767_225_600 + 12 * 3600  # 2026-01-01 12:00 UTC
NOW_NS = NOW_S * NS
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
SCRIPT = "<img src=x onerror=\"document.title='owned'\">"
CSP = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY='; frame-ancestors 'none'"
)


def bars(symbol: str = BTC, count: int = 240) -> list[list[float]]:
    """Candles of a minute; the last is under way."""
    at = 100_000.0 if symbol == BTC else 4_000.0
    price = [at * (1 + 0.004 * sin(n / 17) + 0.0012 * sin(n / 3.1) + n * 0.00001) for n in range(count + 1)]
    rows = []
    for n in range(count):
        opened, closed = price[n], price[n + 1]
        spread = at * 0.0004 * (1.2 + sin(n * 1.7))
        high, low = max(opened, closed) + spread, min(opened, closed) - spread
        rows.append([NOW_S - 60 * (count - 1 - n), *(round(each, 1) for each in (opened, high, low, closed)), 12.5])
    return rows


MARK = bars()[-1][4]


def reading(name: str, value: Any, source: str, age_s: float | None, max_age_s: float, **rest: Any) -> dict[str, Any]:
    state = rest.pop("state", "MISSING" if value is None else "FRESH")
    return {
        "name": name,
        "symbol": rest.pop("symbol", BTC),
        "state": state,
        "source": source,
        "age_s": age_s,
        "max_age_s": max_age_s,
        "unit": "",
        "value": value,
        "reason": rest.pop("reason", ""),
        "sources": [{"source": source, "state": state, "age_s": age_s, "next_s": None, "reason": ""}],
        **rest,
    }


def wall(price: float, usd: float, age_s: int, *venues: str) -> dict[str, Any]:
    return {"price": price, "usd": usd, "first_seen_ns": NOW_NS - age_s * NS, "venues": list(venues)}


def expiry(day: str, price: str, notional_usd: str, source: str, age_s: float) -> dict[str, Any]:
    return {
        "expiry": day,
        "price": price,
        "notional_usd": notional_usd,
        "source": source,
        "age_s": age_s,
        "state": "FRESH",
    }


def readings() -> list[dict[str, Any]]:
    asks = [
        wall(101_800.0, 61.5e6, 5_400, "binanceusdm", "okx"),
        wall(101_200.0, 32e6, 700, "binanceusdm"),
        wall(102_500.0, 18e6, 90, "bybit"),
    ]
    bids = [
        wall(99_400.0, 40e6, 8_000, "binanceusdm", "bybit"),
        wall(98_900.0, 25e6, 61, "okx"),
        wall(98_000.0, 9e6, 300, "okx"),
    ]
    clusters = [
        {"price": str(price), "usd": str(usd), "side": side}
        for price, usd, side in (
            (100_650, 48_000_000, "short"),
            (101_500, 95_000_000, "short"),
            (103_000, 30_000_000, "short"),
            (99_000, 70_000_000, "long"),
            (97_500, 120_000_000, "long"),
        )
    ]
    return [
        reading("taker_5m", {"buy_usd": "14270000", "sell_usd": "11650000"}, "own", 0.4, 120),
        reading(
            "max_pain",
            {"price": "98000", "expiry": "2026-01-02", "notional_usd": "1850000000", "atm_iv_pct": 44.0},
            "deribit",
            42.0,
            900,
            expiries=[
                expiry("2026-01-01", "100050", "310000000", "coinglass", 200.0),
                expiry("2026-01-02", "98000", "1850000000", "deribit", 42.0),
                expiry("2026-01-30", "104000", "900000000", "deribit", 42.0),
            ],
        ),
        reading(
            "walls",
            {
                "asks": asks,
                "bids": bids,
                "ask_coverage_pct": 2.61,
                "bid_coverage_pct": 2.4,
                "institutional_usd": "25000000",
            },
            "own",
            0.2,
            90,
            state="PARTIAL",
            reason="book seen to +2.61 % and -2.40 %",
        ),
        reading(
            "liquidation_clusters",
            {"clusters": clusters, "open_interest_usd": "7900000000", "model": True},
            "model",
            180.0,
            600,
            check={
                "count": 40,
                "checked_count": 38,
                "checked_usd": 2.1e6,
                "hit_share": 0.61,
                "chance_share": 0.34,
                "complete": True,
            },
        ),
        reading("oi_delta_5m", {"pct": 0.412}, "venue", 31.0, 120),
        reading(
            "long_short",
            {"ratio": "2.31", "percentile_95": "2.75"},
            "venue",
            1_300.0,
            900,
            state="STALE",
            reason="venue: HTTP 503, tried 4 times",
        ),
        reading("whale_cvd", {"direction": "long", "intensity": 46.0}, "own", 1.0, 30),
        reading("ofi", {"base": 7.1, "depths": 1.84}, "own", 0.1, 2),
        reading(
            "regime", {"label": "TREND", "hurst": 0.655, "z": 2.1, "sum_100": 0.013, "sum_12": 0.002}, "own", 60.0, 600
        ),
        reading(
            "max_pain",
            None,
            "",
            None,
            900,
            symbol=ETH,
            reason="coinglass: not in plan; deribit: nothing received yet",
        ),
    ]


def position() -> dict[str, Any]:
    tiers = [{"tier": tier, "price": None, "quantity": None, "filled": "0", "state": "off"} for tier in (1, 2, 3)] + [
        {"tier": 4, "price": "101098.2", "quantity": "0.025", "filled": "0", "state": "working"}
    ]
    return {
        "position_id": "P1",
        "signal_id": "S1",
        "symbol": BTC,
        "direction": "long",
        "state": "OPEN",
        "entry_price": "99880.0",
        "quantity": "0.025",
        "entry_quantity": "0.025",
        "stop_price": "98881.2",
        "tiers": tiers,
        "regime": "TREND",
        "hurst": 0.655,
        "hurst_z": 2.1,
        "true_trend": True,
        "true_trend_reason": None,
        "oi_delta_5m_pct": 0.41,
        "max_pain_at_entry": "98000",
        "max_pain_expiry": "2026-01-02",
        "max_pain_source": "deribit",
        "max_pain_gap_pct": "1.92",
        "magnet": "MAGNET-AGAINST",
        "min_hold_s": 2700,
        "hold_until_ns": NOW_NS + 1504 * NS,
        "opened_ns": NOW_NS - 1196 * NS,
        "hold_left_s": 1504.0,
        "age_s": 1196.0,
        "mark": MARK,
        "profit_usd": "14.2200",
        "profit_r": 0.57,
        "fees_usd": "1.25",
        "realised_pnl_usd": "0",
    }


def position_short() -> dict[str, Any]:
    prices = (
        ("3980.0", "filled", "0.15"),
        ("3960.0", "working", "0"),
        ("3940.0", "working", "0"),
        ("3920.0", "working", "0"),
    )
    tiers = [
        {"tier": n, "price": price, "quantity": "0.15", "filled": filled, "state": state}
        for n, (price, state, filled) in enumerate(prices, 1)
    ]
    return position() | {
        "position_id": "P2",
        "signal_id": "S2",
        "symbol": ETH,
        "direction": "short",
        "entry_price": "4000.0",
        "quantity": "0.45",
        "entry_quantity": "0.60",
        "stop_price": "3996.9",
        "tiers": tiers,
        "regime": "RANDOM",
        "hurst": 0.51,
        "true_trend": False,
        "true_trend_reason": "regime is RANDOM",
        "max_pain_at_entry": None,
        "max_pain_source": None,
        "magnet": None,
        "min_hold_s": 0,
        "hold_until_ns": None,
        "hold_left_s": 0.0,
        "mark": 3971.2,
        "profit_usd": "-3.1000",
        "profit_r": -0.12,
    }


def verdict(guard: str, outcome: str, **rest: Any) -> dict[str, Any]:
    empty = {
        "version": 1,
        "value": None,
        "threshold": None,
        "reading_source": None,
        "reading_age_s": None,
        "reason": "",
    }
    return {"guard": guard, "outcome": outcome, **empty, **rest}


VERDICTS = [
    verdict("risk_limits", "PASS", reason="ACTIVE; ages: book 0.03 s, trades 0.2 s"),
    verdict("probation", "PASS"),
    verdict("liquidation_wall", "ABSTAIN", reason="the cluster is a model's"),
    verdict("long_trap", "ABSTAIN", reason="long_short STALE: 1300 s old"),
    verdict("whale_conflict", "PASS", value="46", threshold="30", reading_source="own", reading_age_s=1.0),
    verdict("taker_aggression", "BLOCK", value="1.02", threshold="1.1", reading_source="own", reading_age_s=0.4),
    verdict("wall_resistance", "PASS", value="1.4", threshold="0.5", reading_source="own", reading_age_s=0.2),
]


def signal(n: int, **rest: Any) -> dict[str, Any]:
    return {
        "signal_id": f"S{n}",
        "seq": 1000 - n,
        "ts": NOW_NS - n * 60 * NS,
        "symbol": BTC,
        "direction": "long",
        "strategy": "ofi",
        "strength": 0.72,
        "price": "99880.0",
        "outcome": "allowed",
        "blocker": None,
        "multiplier": 1.0,
        "blind": False,
        "reversal": False,
        "position_id": None,
        "result": None,
    } | rest


def signals() -> list[dict[str, Any]]:
    taken = {"state": "OPEN", "reason": None, "pnl_usd": None, "pnl_r": None}
    ended = {"state": "CLOSED", "reason": "tier_4", "pnl_usd": "31.20", "pnl_r": 1.81}
    blocked = {"outcome": "blocked", "blocker": "taker_aggression"}
    return [
        signal(1, result=taken, position_id="P1"),
        signal(2, symbol=ETH, direction="short", strategy="trend", price="4000.0", result=taken, position_id="P2"),
        signal(3, **blocked),
        signal(4, **blocked, strategy=SCRIPT),
        signal(5, outcome="blocked", blocker="wall_resistance"),
        signal(6, result=ended),
    ]


def guard_row(
    guard: str, mean: float | None, low: float | None, high: float | None, judgement: str, n: int
) -> dict[str, Any]:
    return {
        "guard": guard,
        "version": 1,
        "direction": "long",
        "strategy": None,
        "symbol": None,
        "signals": 412,
        "blocks": 3 * n,
        "abstentions": 12,
        "blocked_alone": 2 * n,
        "trades": n,
        "repeats": 9,
        "still_open": 1,
        "losses_avoided": n * 2 // 3,
        "avoided_r": n * 0.6,
        "avoided_usd": "412.10",
        "profits_missed": n // 3,
        "missed_r": n * 0.4,
        "missed_usd": "201.00",
        "net_r": n * 0.2 if mean is None or mean > 0 else -n * 0.2,
        "net_usd": "211.10",
        "value": {"effective_n": n, "mean_r": mean, "lo_r": low, "hi_r": high, "p": 0.01, "q": 0.03},
        "judgement": judgement,
        "reason": f"{n} independent blocks of 4 h",
        "left_out": {},
    }


def guards() -> dict[str, Any]:
    return {
        "config_hash": "0b126b56a8442396",
        "window": {"name": "all", "begins_ns": None, "ends_ns": None},
        "now_ns": NOW_NS,
        "note": "",
        "guards": [
            guard_row("taker_aggression", 0.41, 0.12, 0.7, "helpful", 64),
            guard_row("wall_resistance", -0.5, -0.92, -0.08, "harmful", 48),
            guard_row("long_trap", None, None, None, "not enough evidence", 0),
        ],
        "strategies": [],
        "funnel": [],
    }


def learning() -> dict[str, Any]:
    live = {"live": 9, "live_mean_r": 0.31, "shadow": 9, "shadow_mean_r": 0.35, "pairs": 9, "live_usd": "84.20"}
    return {
        "auto_apply": False,
        "explore_share": 0.0,
        "next_cycle_ns": NOW_NS + 3600 * NS,
        "multipliers": {"magnet_aligned": 1.05},
        "adjustments": [
            {
                "subject": "magnet_aligned",
                "at_ns": NOW_NS - 86_400 * NS,
                "before": 1.0,
                "after": 1.05,
                "rules": "0b126b56a8442396",
            }
        ],
        "probation": [{"symbol": ETH, "reason": "lost 2.31 % of equity in 7 days", "since_ns": NOW_NS - 7200 * NS}],
        "windows": 1,
        "max_pain": {"n": 34, "hits": 25, "significant": True},
        "last_cycle": {
            "kind": "LEARNING_CYCLE",
            "ts": NOW_NS - 3 * 3600 * NS,
            "type": "scheduled",
            "evidence": {
                "config_hash": "0b126b56a8442396",
                "note": "",
                "signals": 412,
                "allowed": 120,
                "blocked": 292,
                "strategies": [{"strategy": "ofi", "direction": "long", "mode": "paper", **live}],
                "max_pain": {"n": 34, "hits": 25},
            },
        },
        "recommendations": [
            {
                "type": "INCREASE_CONVICTION",
                "subject": "magnet_aligned",
                "significant": True,
                "applied": False,
                "evidence": {"n": 34, "hits": 25, "rate": 0.735, "lo": 0.569, "hi": 0.854, "mean_chance": 0.48},
            },
            {
                "type": "REVIEW_GUARD",
                "subject": "wall_resistance",
                "significant": True,
                "applied": False,
                "evidence": {"direction": "long", "trades": 48, "net_r": -9.6, "lo_r": -0.92, "hi_r": -0.08},
            },
        ],
    }


def status() -> dict[str, Any]:
    counts = {
        "signals": 31,
        "allowed": 9,
        "blocked": 21,
        "expired": 1,
        "blockers": {"taker_aggression": 12, "wall_resistance": 9},
        "opened": 8,
        "closed": 6,
        "realised_pnl_usd": "84.20",
        "fees_usd": "11.90",
        "events": {"BOOK_RESYNC": 5},
    }
    market = {
        "usable": True,
        "mark_source": "venue",
        "book_age_s": 0.05,
        "trade_age_s": 0.3,
        "stamped_ahead_s": None,
        "resyncs": 0,
    }
    return {
        "running": True,
        "version": "0.1.0",
        "mode": "paper",
        "venue": "binanceusdm",
        "config_hash": "0b126b56a8442396",
        "symbols": [BTC, ETH],
        "strategies": ["ofi", "trend"],
        "state": "ACTIVE",
        "state_reason": "book usable",
        "causes": {},
        "blocked_symbols": {},
        "strategy_errors": {},
        "last_seq": 999,
        "this_session": counts,
        **counts,
        "engine_time_ns": NOW_NS,
        "wallet_usd": "10084.20",
        "equity_usd": "10095.32",
        "day_start_usd": "10020.00",
        "peak_usd": "10120.00",
        "open_risk_usd": "26.10",
        "notional_usd": "4285.00",
        "markets": [
            {"symbol": BTC, "bid": MARK - 0.1, "ask": MARK + 0.1, "last": MARK, "mark": MARK, **market, "resyncs": 2},
            {
                "symbol": ETH,
                "bid": 3971.1,
                "ask": 3971.3,
                "last": 3971.2,
                "mark": 3971.2,
                **market,
                "stamped_ahead_s": -0.25,
            },
        ],
    }


def health() -> dict[str, Any]:
    full = status()
    return {
        "state": "ACTIVE",
        "state_reason": "book usable",
        "frames": 1_204_331,
        "bad_frames": 0,
        "engine_time_ns": NOW_NS,
        "version": "0.1.0",
        "lanes": {
            "account": 0,
            "data": 3,
            "data_high_water": 160,
            "account_high_water": 5,
            "account_overflowed": False,
        },
        "markets": full["markets"],
        "journal": {
            "depth": 0,
            "high_water": 7,
            "last_commit_ms": 0.27,
            "failure": None,
            "behind_s": 0.0,
            "running": True,
        },
        "budgets": {"orders": {"used": 7, "allowed": 60}, "coinglass": {"used": 17, "allowed": 24}},
        "unprotected": {},
        "loop_lag_ms": {"p50": 0.2, "p99": 1.4, "max": 2.0},
        "providers": [
            {
                "provider": "coinglass",
                "plan": "HOBBYIST",
                "calls": {"spent": 17, "allowed": 24, "provider_says": [17, 30]},
                "paused_s": 0,
                "pause_reason": "",
                "asked": [
                    {"call": "subscription", "source": "", "readings": [], "next_s": 90_000.0, "problem": ""},
                    {"source": "coinglass", "readings": [["max_pain", "BTC"]], "next_s": 118.0, "problem": ""},
                    {"source": "coinglass", "readings": [["walls", "BTC"]], "next_s": None, "problem": "not in plan"},
                ],
            },
            {"provider": "venue", "venue": "binanceusdm", "calls": 169, "held_s": 0, "asked": []},
        ],
    }


def event(seq: int, kind: str, data: dict[str, Any], symbol: str | None = BTC) -> dict[str, Any]:
    return {
        "seq": seq,
        "ts": NOW_NS - (1000 - seq) * NS,
        "frame": seq,
        "kind": kind,
        "v": 1,
        "account": "main",
        "mode": "paper",
        "symbol": symbol,
        "source": "intelligence_gate",
        "corr": None,
        "cause": None,
        "data": data,
    }


def events() -> list[dict[str, Any]]:
    looked = {"direction": "long", "value": "1.02", "threshold": "1.1", "reading_source": "own", "reading_age_s": 0.4}
    return [
        event(900, "STATE", {"state": "ACTIVE", "reason": "book usable"}, None),
        event(910, "TAKER_AGGRESSION_BLOCK", {"signal_id": "S4", **looked}),
        event(911, "SHADOW_OPENED", {"signal_id": "S4", "position_id": "X4", "entry_price": "99900.0"}),
        event(912, "TAKER_AGGRESSION_BLOCK", {"signal_id": "S3", **looked}),
        event(913, "SHADOW_OPENED", {"signal_id": "S3", "position_id": "X3", "entry_price": "99950.0"}),
        event(914, "FILL", {"side": "buy", "price": "99880.0", "quantity": "0.025", "reason": SCRIPT}),
        event(920, "SHADOW_CLOSED", {"position_id": "X4", "reason": "stop", "pnl_r": -1.08, "pnl_usd": "-26.90"}),
    ]


def depth() -> dict[str, Any]:
    """Asks twice as thick as bids; 5 % of steps, seen to 2.4 and 1.2 %."""
    asks = [2_000_000 + 400_000 * (n % 5) for n in range(50)]
    book = {"anchor": MARK, "step_bps": 10, "asks": asks, "bids": [usd // 2 for usd in asks]}
    return {BTC: book | {"ask_coverage_pct": 2.4, "bid_coverage_pct": 1.2}, ETH: None}


def chart() -> dict[str, Any]:
    trades = [
        {"time": NOW_S - 60 * 60, "side": "sell", "leg": "tier_4", "price": "100100.0", "quantity": "0.020"},
        {"time": NOW_S - 60 * 19, "side": "buy", "leg": "entry", "price": "99880.0", "quantity": "0.025"},
    ]
    return {
        BTC: {"width_s": 60, "bars": bars(), "trades": trades},
        ETH: {"width_s": 60, "bars": bars(ETH, 30), "trades": []},
    }


def equity() -> list[list[Any]]:
    rising = [[NOW_NS - (180 - n) * 60 * NS, f"{10_020 + 40 * sin(n / 23) + n * 0.1963:.2f}"] for n in range(180)]
    return [*rising, [NOW_NS, "10095.32"]]


def sections() -> dict[str, Any]:
    return {
        "status": status(),
        "positions": [position(), position_short()],
        "orders": [],
        "signals": signals(),
        "readings": readings(),
        "events": events(),
        "health": health(),
        "guards": guards(),
        "learning": learning(),
        "equity": equity(),
        "depth": depth(),
        "actions": {"allowed": True},
        "chart": chart(),
    }


def empty() -> dict[str, Any]:
    """An engine that has just started."""
    nothing = dict.fromkeys(("signals", "allowed", "blocked", "expired", "opened", "closed"), 0)
    fresh = status()
    fresh["this_session"] = fresh["this_session"] | nothing | {"blockers": {}, "realised_pnl_usd": "0", "fees_usd": "0"}
    fresh |= {"state": "STARTING", "state_reason": None, "symbols": [BTC]}
    return {
        "status": fresh,
        "positions": [],
        "orders": [],
        "signals": [],
        "readings": [],
        "events": [],
        "health": health() | {"providers": []},
        "equity": [],
        "chart": {},
    }


def snap(shown: dict[str, Any] | None = None) -> dict[str, Any]:
    return frame("snap", 1, sections() if shown is None else shown)


def frame(kind: str, seq: int, shown: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "seq": seq, "engine_ns": NOW_NS + seq * NS // 4, "ages": {}, "sections": shown}


class Served:
    """The page behind a socket that says what the test wants said. `told` is what was posted."""

    def __init__(self, first: dict[str, Any]) -> None:
        self.first = first
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.confirmed: list[tuple[str, str]] = []  # nonce, and the word
        self.sockets: list[web.WebSocketResponse] = []
        self.story: dict[str, Any] | None = None
        self.journal = events()
        self.asked: list[str] = []  # of the journal
        app = web.Application()
        app.router.add_get("/", self._index)
        app.router.add_get("/ws", self._socket)
        app.router.add_get("/api/events", self._events)
        app.router.add_get("/api/why", self._why)
        app.router.add_get("/api/guards", self._guards)
        app.router.add_post("/api/{act:.+}", self._act)
        app.router.add_static("/static", STATIC)
        app.on_response_prepare.append(self._headers)
        self._server = TestServer(app)

    async def __aenter__(self) -> Served:
        await self._server.start_server()
        self.url = str(self._server.make_url("/"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hang_up()
        await self._server.close()

    async def say(self, *frames: dict[str, Any]) -> None:
        for each in frames:
            for socket in self.sockets:
                await socket.send_str(orjson.dumps(each).decode())

    async def hang_up(self) -> None:
        sockets, self.sockets = self.sockets, []
        for socket in sockets:
            await socket.close()

    async def _headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Content-Security-Policy"] = CSP
        response.headers["X-Content-Type-Options"] = "nosniff"

    async def _index(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "index.html")

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)  # first: what is said once the page has drawn must reach it
        await socket.send_str(orjson.dumps(self.first).decode())
        async for message in socket:
            if message.type is WSMsgType.ERROR:
                break
        with suppress(ValueError):  # hung up by us
            self.sockets.remove(socket)
        return socket

    async def _events(self, request: web.Request) -> web.Response:
        """As the engine: those after `since`, oldest first, a page of them."""
        asked = request.query
        self.asked.append(request.query_string)
        since, limit, kinds = int(asked["since"]), int(asked["limit"]), asked["kinds"].split(",")
        found = [each for each in self.journal if each["kind"] in kinds and each["seq"] > since]
        return web.json_response(found[:limit])

    async def _why(self, request: web.Request) -> web.Response:
        story = next((each for each in signals() if each["signal_id"] == request.query["q"]), None)
        return web.json_response(None if story is None else story_of(story))

    async def _guards(self, request: web.Request) -> web.Response:
        return web.json_response(guards() if self.first["sections"]["signals"] else guards() | {"guards": []})

    async def _act(self, request: web.Request) -> web.Response:
        self.told.append((request.match_info["act"], await request.json()))
        if "X-Nonce" in request.headers:
            self.confirmed.append((request.headers["X-Nonce"], request.headers["X-Confirm"]))
        if request.match_info["act"] == "prepare":
            return web.json_response({"nonce": "n1", "confirm": "KILL", "state": {"open_positions": 2}})
        return web.json_response({"accepted": True}, status=202)


def story_of(row: dict[str, Any]) -> dict[str, Any]:
    allowed = row["outcome"] == "allowed"
    order = {
        "leg": "entry", "side": "buy", "quantity": "0.025", "type": "limit", "tif": "IOC", "price": "99979.9", "status": "FILLED",
        "fills": [{"quantity": "0.025", "price": "99880.0"}],
    }  # fmt: skip
    return {
        "signal": row,
        "verdicts": [each | ({"outcome": "PASS"} if allowed and each["outcome"] == "BLOCK" else {}) for each in VERDICTS],
        "decision": {
            "allowed": allowed, "quantity": "0.025" if allowed else "0", "multiplier": 1.0, "blind": False, "size_reason": "risk budget",
        },
        "expired": None,
        "refused": None,
        "orders": [order] if allowed else [],
        "position": None,
        "exits": [],
        "close": None,
        "max_pain_result": None,
    }  # fmt: skip
