"""Journals of an account that trades: `Account().trade(r=-1)` writes a signal, its fills, the position and its shadow twin."""

from __future__ import annotations

from random import Random
from typing import Any, Self

from tests.learning.histories import GUARDS, HOUR, Data, History

COINS = {"BTC/USDT:USDT": 60_000.0, "ETH/USDT:USDT": 2_500.0, "SOL/USDT:USDT": 150.0}
RISK_USD = 25.0
BEGAN_USD = 10_000


class Account(History):
    """`life` as the engine tells it: a session that begins an account names itself."""

    def __init__(self, guards: tuple[str, ...] = GUARDS) -> None:
        super().__init__(guards)
        self.session = self.life = 0
        self.begin()

    def begin(self, began_usd: int | None = BEGAN_USD, *, goes_on: bool = False) -> Self:
        self.session += 1
        self.life = self.life if goes_on else self.session
        data = {"config_hash": self.rules, "session": self.session, "life": self.life}
        self.say("ENGINE_STARTED", data | ({} if began_usd is None else {"began_usd": str(began_usd)}), None)
        return self

    def trade(
        self,
        r: float,
        *,
        held_s: int = 1800,
        reason: str = "stop",
        funding: str | None = "0",
        fee: str = "1.5",
        pnl_usd: str | None = "",
        twin_r: float | None = None,
        hit: bool | None = None,
        direction: str = "long",
        strategy: str = "ofi",
        symbol: str = "BTC/USDT:USDT",
        **frozen: Any,
    ) -> str:
        """The id of a position that opened now and is closed `held_s` later; R is worth 25 USD unless told."""
        signal_id = self.decide(direction=direction, strategy=strategy, symbol=symbol)
        position_id = f"position-{signal_id}"
        price = COINS[symbol]
        sides = ("buy", "sell") if direction == "long" else ("sell", "buy")
        self._fill(signal_id, position_id, symbol, "entry", sides[0], price, fee)
        facts = {"direction": direction, "entry_price": f"{price}", "quantity": "0.03", **frozen}
        self.open(signal_id, shadow=False, symbol=symbol, **facts)
        shadow = self.open(signal_id, symbol=symbol, blocker=None, **facts)
        self.now_ns += held_s * HOUR // 3600
        usd = f"{r * RISK_USD:.4f}" if pnl_usd == "" else pnl_usd
        self._fill(signal_id, position_id, symbol, reason, sides[1], price * 1.001, fee)
        told: Data = {"reason": reason, "exit_price": f"{price * 1.001:.2f}", "held_s": float(held_s), "adopted": False}
        paid: Data = {"fees_usd": str(2 * float(fee)), "funding_usd": funding}
        self.close(position_id, r, symbol=symbol, **told, **paid, pnl_usd=usd)
        self.close(shadow, r if twin_r is None else twin_r, symbol=symbol, **told, **paid)
        if hit is not None:
            found = {"position_id": position_id, "hit": hit, "chance": 0.3, "window_s": 2700}
            self.say("MAX_PAIN_RESULT", found, symbol)
        return position_id

    def _fill(self, signal_id: str, position_id: str, symbol: str, leg: str, side: str, price: float, fee: str) -> None:
        count = len(self.events)
        data = {
            "client_order_id": f"O{count}",
            "position_id": position_id,
            "signal_id": signal_id,
            "trade_id": f"T{count}",
            "leg": leg,
            "side": side,
            "price": f"{price:.2f}",
            "quantity": "0.03",
            "fee": fee,
            "fee_asset": "USDT",
            "maker": leg == "take_profit",
        }
        self.say("FILL", data, symbol)

    def funded(self, position_id: str | None, usd: str, *, after_close: bool = False, so_far: str = "0") -> None:
        data = {
            "position_id": position_id,
            "due_ns": self.now_ns,
            "rate": "-0.0001",
            "mark": "60000",
            "quantity": "-0.03",
        }
        self.say("FUNDING", {**data, "usd": usd, "after_close": after_close, "funding_usd": so_far})

    def moved(self, usd: str) -> None:
        self.say("TRANSFER", {"transfer_id": f"M{len(self.events)}", "usd": usd}, None)


def busy(trades: int, *, seed: int = 1, guards: tuple[str, ...] = GUARDS) -> Account:
    """Weeks of a lively account: longs and shorts, refusals by every guard, max pains and all."""
    random, account = Random(seed), Account(guards)
    for _ in range(trades):
        account.wait(random.randint(1, 60) * HOUR // 60)
        account.trade(**_idea(random), held_s=random.randint(20, 5400), twin_r=None)
        for guard in guards:
            if random.random() < 0.15:
                account.refused(_result(random), [guard], direction=random.choice(("long", "short")))
    return account


def _idea(random: Random) -> dict[str, Any]:
    r = _result(random)
    idea = {
        "r": r,
        "reason": "take_profit" if r > 0 else "stop",
        "direction": random.choice(("long", "short")),
        "strategy": random.choice(("ofi", "trend")),
        "symbol": random.choice(list(COINS)),
    }
    if random.random() < 0.2:
        side = random.choice(("MAGNET-WITH", "MAGNET-AGAINST"))
        trend = random.random() < 0.5
        idea |= {"max_pain_gap_pct": round(random.uniform(0.1, 6), 2), "magnet": side, "true_trend": trend}
        idea |= {"max_pain_expiry": "2100-01-01"}
        idea |= {"hit": random.random() < 0.4} if trend and side == "MAGNET-WITH" else {}
    return idea


def _result(random: Random) -> float:
    return -1.0 + random.gauss(0, 0.05) if random.random() < 0.55 else random.expovariate(0.8)
