"""What a LEARNING_CYCLE tells: every guard and strategy on the whole history, and what the last 4 h brought. Plain JSON, no ids."""

from __future__ import annotations

from typing import Any

from msgspec import to_builtins

from bot.learning.results import GuardRow, Score, StrategyRow

Data = dict[str, Any]


def cycle_data(whole: Score, lately: Score) -> Data:
    return {
        "config_hash": whole.config_hash,
        "note": whole.note,
        "window": {**_counts(lately), "note": lately.note},
        **_counts(whole),
        "guards": [_guard(row) for row in whole.guards],
        "strategies": [_strategy(row) for row in whole.strategies],
        "max_pain": to_builtins(whole.max_pain),
    }


def _counts(score: Score) -> Data:
    return {name: sum(getattr(row, name) for row in score.funnel) for name in ("signals", "allowed", "blocked")}


def _guard(row: GuardRow) -> Data:
    names = ("guard", "version", "direction", "signals", "blocks", "abstentions", "blocked_alone", "trades")
    data: Data = {name: getattr(row, name) for name in (*names, "net_r", "reason")}
    data |= {"judgement": str(row.judgement), "net_usd": format(row.net_usd, "f")}
    return {**data, **to_builtins(row.value)}


def _strategy(row: StrategyRow) -> Data:
    names = ("strategy", "direction", "mode", "live", "live_mean_r", "shadow", "shadow_mean_r", "pairs")
    return {name: getattr(row, name) for name in names} | {"live_usd": format(row.live_usd, "f")}
