"""What a table must not leave out, or say otherwise than it is."""

from __future__ import annotations

from typing import Any

import pytest

from bot.cli import tables

STOP: dict[str, Any] = {
    "ts": 0,
    "leg": "stop",
    "side": "buy",
    "quantity": "0.036",
    "symbol": "BTC/USDT:USDT",
    "type": "stop_market",
    "price": None,
    "stop_price": "61767",
    "filled": "0",
    "status": "WORKING",
    "reason": "protection",
}


@pytest.mark.parametrize(("closes", "said"), [(True, "buy all BTC"), (False, "buy 0.036 BTC")])
def test_an_order_that_closes_whatever_is_open_is_not_told_with_the_quantity_of_the_entry(
    closes: bool, said: str
) -> None:
    with tables.console.capture() as capture:
        tables.print_orders([STOP | {"close_position": closes}])
    assert said in capture.get()


@pytest.mark.parametrize(("usd", "said"), [("-1.254", "-1.25 USD"), (None, "unknown")])
def test_the_end_of_a_position_tells_its_funding(usd: str | None, said: str) -> None:
    """Without it result and fees would not add up."""
    signal = {"direction": "long", "symbol": "S", "strategy": "ofi", "strength": 1.0, "price": "1", "ts": 0}
    close = {"reason": "stop", "exit_price": "1", "held_s": 1.0, "pnl_usd": "-5", "pnl_r": -1.0, "fees_usd": "2"}
    story: dict[str, Any] = {"signal": signal | {"signal_id": "x"}, "verdicts": [], "orders": [], "exits": []}
    decided: dict[str, Any] = dict.fromkeys(("decision", "position", "expired", "refused"))
    with tables.console.capture() as capture:
        tables.print_why(story | decided | {"close": close | {"funding_usd": usd}})
    assert f"fees 2.00 USD, funding {said}" in capture.get()
