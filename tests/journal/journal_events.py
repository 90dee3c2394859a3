"""Hand-made events for the journal's tests, and a script that numbers them."""

from __future__ import annotations

from typing import Any

from bot.domain.events import Event
from bot.domain.values import NS

T0 = 1_760_000_000 * NS
BTC = "BTC/USDT:USDT"
ETH = "ETH/USDT:USDT"


def event(seq: int, kind: str = "FEED_UP", data: dict[str, Any] | None = None, **fields: Any) -> Event:
    defaults: dict[str, Any] = {
        "seq": seq,
        "ts": T0 + seq * NS,
        "frame": seq * 10,
        "kind": kind,
        "v": 1,
        "account": "main",
        "mode": "paper",
        "symbol": BTC,
        "source": "test",
        "corr": None,
        "cause": None,
        "data": {"price": f"65{seq:03d}", "note": "äöü"} if data is None else data,
    }
    return Event(**(defaults | fields))


def run_of(first: int, last: int, kind: str = "FEED_UP") -> list[Event]:
    """Events `first` to `last`; every fifth an ORDER_ACK, so that both ways to commit are used."""
    return [event(seq, "ORDER_ACK" if seq % 5 == 0 else kind) for seq in range(first, last + 1)]


class Script:
    """Events in order; `at_s` is engine time in seconds after the script's begin, a second an event unless said."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, kind: str, *, at_s: float | None = None, symbol: str | None = BTC, **data: Any) -> Script:
        seq = len(self.events) + 1
        ts = T0 + round((seq if at_s is None else at_s) * NS)
        self.events.append(event(seq, kind, data, ts=ts, symbol=symbol, corr=data.get("signal_id")))
        return self

    def signal(self, signal_id: str, direction: str = "long", *, symbol: str = BTC, **data: Any) -> Script:
        fields: dict[str, Any] = {"strategy": "trend", "direction": direction, "strength": 0.7, "price": "65000"} | data
        return self.add("SIGNAL", symbol=symbol, signal_id=signal_id, **fields)

    def decision(self, signal_id: str, blocker: str | None = None, *, symbol: str = BTC, **data: Any) -> Script:
        fields: dict[str, Any] = {
            "direction": "long",
            "allowed": blocker is None,
            "blocker": blocker,
            "multiplier": 0.5,
            "blind": False,
            "reversal": False,
            "quantity": "0.4" if blocker is None else "0",
            "price": "65000",
            "config_hash": "c0ffee",
            "verdicts": VERDICTS,
        }
        return self.add("DECISION", symbol=symbol, signal_id=signal_id, **(fields | data))

    def order(self, kind: str, order_id: str, leg: str, **data: Any) -> Script:
        fields: dict[str, Any] = {
            "client_order_id": order_id,
            "signal_id": "S1",
            "position_id": "P1",
            "leg": leg,
            "side": "buy" if leg == "entry" else "sell",
            "type": "stop_market" if leg == "stop" else "limit",
            "price": None if leg == "stop" else "65000",
            "stop_price": "64350" if leg == "stop" else None,
            "quantity": "0.4",
            "reduce_only": leg != "entry",
            "reason": "",
        }
        return self.add(kind, **(fields | data))

    def placed(self, order_id: str, leg: str, **data: Any) -> Script:
        for kind in ("ORDER_INTENT", "ORDER_SENT", "ORDER_ACK"):
            self.order(kind, order_id, leg, **data)
        return self

    def fill(self, order_id: str, side: str, price: str, quantity: str, **data: Any) -> Script:
        fields: dict[str, Any] = {
            "client_order_id": order_id,
            "position_id": "P1",
            "trade_id": f"t{len(self.events)}",
            "side": side,
            "price": price,
            "quantity": quantity,
            "fee": "0.01",
            "fee_asset": "USDT",
            "maker": False,
        }
        return self.add("FILL", **(fields | data))

    def opened(self, **data: Any) -> Script:
        fields: dict[str, Any] = {
            "position_id": "P1",
            "signal_id": "S1",
            "direction": "long",
            "entry_price": "65000",
            "quantity": "0.4",
            "stop_price": "64350",
            "tiers": [{"tier": n, "price": str(65000 + 325 * n), "quantity": "0.1"} for n in (1, 2, 3, 4)],
            "regime": "TREND",
            "hurst": 0.66,
            "hurst_z": 2.1,
            "oi_delta_5m_pct": 0.4,
            "true_trend": True,
            "max_pain_at_entry": "67000",
            "max_pain_expiry": "2025-10-10",
            "max_pain_source": "deribit",
            "max_pain_gap_pct": 2.985,
            "magnet": "MAGNET-WITH",
            "min_hold_s": 4500,
        }
        return self.add("POSITION_OPENED", **(fields | data))

    def closed(self, **data: Any) -> Script:
        fields: dict[str, Any] = {
            "position_id": "P1",
            "reason": "stop",
            "in_force_hold": True,
            "exit_price": "64350",
            "pnl_usd": "-162.5",
            "pnl_r": -0.6,
            "fees_usd": "0.05",
            "funding_usd": "0",
            "held_s": 600,
        }
        return self.add("POSITION_CLOSED", **(fields | data))


VERDICTS = [
    {
        "guard": "risk_limits",
        "version": 1,
        "outcome": "PASS",
        "value": None,
        "threshold": None,
        "reading_source": None,
        "reading_age_s": None,
        "reason": "",
    },
    {
        "guard": "taker_aggression",
        "version": 1,
        "outcome": "BLOCK",
        "value": "1.05",
        "threshold": "1.10",
        "reading_source": "trades",
        "reading_age_s": 0.4,
        "reason": "buyers are not aggressive enough",
    },
]


def trade() -> Script:
    """One session: a signal that is blocked, then one that is allowed, filled in two parts and laddered; still open."""
    script = Script().add("ENGINE_STARTED", symbol=None, session=1).add("STATE", symbol=None, state="ACTIVE", reason="")
    script.signal("S0").add("TAKER_AGGRESSION_BLOCK", signal_id="S0").decision("S0", "taker_aggression")
    script.signal("S1").decision("S1").placed("E1", "entry")
    script.fill("E1", "buy", "64990", "0.1", at_s=100).fill("E1", "buy", "65003.3", "0.3", at_s=101)
    script.placed("X1", "stop").opened()
    for n in (1, 2, 3, 4):
        script.placed(f"T{n}", f"tier_{n}", price=str(65000 + 325 * n), quantity="0.1")
    return script
