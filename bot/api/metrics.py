"""`GET /metrics`: a snapshot as Prometheus reads it. Pure: what stands in, text out. What is not known is left out, never zero.

Labels are symbols, legs and words of a fixed set, never ids or a venue's texts, so that their number is bounded. Seconds are
those of the engine's clock. Counts of the events are those of the whole journal; orders, stops and lost books of this session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bot.api.tally import Spread, Tally

STATES = ("STARTING", "ACTIVE", "REDUCING", "HALTED")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[dict[str, Any], Any]


def metrics(
    status: Mapping[str, Any],
    health: Mapping[str, Any],
    ages: Mapping[str, Any],
    page: Mapping[str, int],
    tally: Tally,
    problems: int,
) -> str:
    """`ages` of the feeds in seconds; `page`: open pages, faults and wrong codes; `problems`: why it is not ready."""
    families = (
        _engine(status, problems),
        _feeds(status, ages, tally),
        _orders(status, health, tally),
        _machine(status, health, page),
    )
    return "\n".join(line for family in families for line in family) + "\n"


def _engine(status: Mapping[str, Any], problems: int) -> Iterator[str]:
    build = {"version": status.get("version"), "config_hash": status.get("config_hash")}
    yield from _metric("build_info", "gauge", "what runs", [(build, 1)])
    states = [({"state": each}, int(status["state"] == each)) for each in STATES]
    yield from _metric("trading_state", "gauge", "1 for the state it is in", states)
    yield from _metric("ready", "gauge", "whether entries may be made, as /readyz says", [({}, int(not problems))])
    yield from _metric(
        "equity", "gauge", "wallet and unrealised profit at mark", [({"unit": "usd"}, status["equity_usd"])]
    )
    risk = [({"unit": "usd"}, status["open_risk_usd"])]
    yield from _metric("open_risk", "gauge", "lost if every stop fills at its trigger", risk)
    yield from _metric("open_positions", "gauge", "positions that are open", [({}, status["open_positions"])])
    kinds = sorted(status["events"].items())
    yield from _metric("events_total", "counter", "of the journal", [({"kind": each}, count) for each, count in kinds])
    refused = status["events"].get("RISK_LIMIT_BLOCK", 0)
    yield from _metric("limit_rejects_total", "counter", "entries that a risk limit refused", [({}, refused)])


def _feeds(status: Mapping[str, Any], ages: Mapping[str, Any], tally: Tally) -> Iterator[str]:
    aged = [(dict(zip(("symbol", "feed"), name.rsplit(" ", 1), strict=False)), age) for name, age in ages.items()]
    yield from _metric("feed_age_seconds", "gauge", "since a feed last spoke", aged)
    ahead = [({"symbol": row["symbol"]}, row["stamped_ahead_s"]) for row in status["markets"]]
    yield from _metric("clock_offset_seconds", "gauge", "the venue's stamps ahead of our clock", ahead)
    lost = [(each._asdict(), count) for each, count in sorted(tally.resyncs.items())]
    never = [({"symbol": row["symbol"], "feed": "book", "reason": "gap"}, 0) for row in status["markets"]]
    known = [labels for labels, _ in lost]
    yield from _metric(
        "book_resyncs_total",
        "counter",
        "books lost and built anew",
        [*lost, *(one for one in never if one[0] not in known)],
    )
    yield from _metric("frames_total", "counter", "messages taken", [({}, status["frames"])])
    yield from _metric("bad_frames_total", "counter", "messages that could not be read", [({}, status["bad_frames"])])


def _orders(status: Mapping[str, Any], health: Mapping[str, Any], tally: Tally) -> Iterator[str]:
    yield from _metric(
        "working_orders", "gauge", "orders at the venue or on their way", [({}, status["working_orders"])]
    )
    answers = [({"command": command, "answer": what}, n) for (command, what), n in sorted(tally.answers.items())]
    yield from _metric("order_answers_total", "counter", "what the venue said to a command", answers)
    taken = [({"command": command}, spread) for command, spread in sorted(tally.ack_s.items())]
    yield from _histogram("order_ack_seconds", "from sending a command to its acknowledgement", taken)
    bare = health["unprotected"]
    missing = [({"symbol": row["symbol"]}, int(row["symbol"] in bare)) for row in status["markets"]]
    yield from _metric("positions_unprotected", "gauge", "open positions without a stop at the venue", missing)
    since = [({"symbol": symbol}, age_s) for symbol, age_s in sorted(bare.items())]
    yield from _metric("stop_gap_open_seconds", "gauge", "how long such a position has had none", since)
    yield from _histogram("stop_gap_seconds", "positions without a stop, once it rested", [({}, tally.gap_s)])
    budgets = health["budgets"].items()
    used = [({"budget": name}, each["used"]) for name, each in budgets]
    left = [({"budget": name}, max(0, each["allowed"] - each["used"])) for name, each in budgets]
    yield from _metric("rate_budget_used", "gauge", "calls or orders in the last 60 s", used)
    yield from _metric("rate_budget_left", "gauge", "how many more may follow within them", left)


def _machine(status: Mapping[str, Any], health: Mapping[str, Any], page: Mapping[str, int]) -> Iterator[str]:
    waiting = [({"lane": each}, status["lanes"][each]) for each in ("account", "data")]
    yield from _metric("lane_depth", "gauge", "frames that wait for the engine", waiting)
    journal, lag = health["journal"], health["loop_lag_ms"] or {}
    yield from _metric("journal_queue_depth", "gauge", "events not on the disk yet", [({}, journal["depth"])])
    yield from _metric("journal_lag_seconds", "gauge", "age of the oldest of them", [({}, journal["behind_s"])])
    commit: list[Sample] = [({}, _thousandth(journal["last_commit_ms"]))]
    yield from _metric("journal_commit_seconds", "gauge", "what the last commit took", commit)
    failed = journal["failure"] is not None or not journal["running"]
    yield from _metric("journal_failed", "gauge", "1 once it takes no more events", [({}, int(failed))])
    late = [
        ({"quantile": at}, _thousandth(lag.get(key))) for at, key in (("0.5", "p50"), ("0.99", "p99"), ("1", "max"))
    ]
    yield from _metric("event_loop_lag_seconds", "gauge", "lateness of the loop in the last minute", late)
    yield from _metric("cockpit_pages", "gauge", "open pages", [({}, page["pages"])])
    faulty: list[Sample] = [({}, page["faults"])]
    yield from _metric("cockpit_faults", "gauge", "sections of the page that cannot be shown", faulty)
    yield from _metric("login_failures_total", "counter", "links that did not serve", [({}, page["failures"])])


def _metric(name: str, kind: str, help_: str, samples: Iterable[Sample]) -> list[str]:
    known = [f"engine_{name}{_labels(labels)} {value}" for labels, value in samples if value is not None]
    return [*_head(name, kind, help_), *known] if known else []


def _histogram(name: str, help_: str, samples: Iterable[tuple[dict[str, Any], Spread]]) -> list[str]:
    lines = []
    for labels, spread in samples:
        counts = spread.cumulative()
        bounds = [*map(str, spread.bounds), "+Inf"]
        lines += [
            f"engine_{name}_bucket{_labels({**labels, 'le': at})} {n}" for at, n in zip(bounds, counts, strict=True)
        ]
        lines += [
            f"engine_{name}_sum{_labels(labels)} {spread.sum}",
            f"engine_{name}_count{_labels(labels)} {counts[-1]}",
        ]
    return [*_head(name, "histogram", help_), *lines] if lines else []


def _head(name: str, kind: str, help_: str) -> list[str]:
    return [f"# HELP engine_{name} {help_}", f"# TYPE engine_{name} {kind}"]


def _labels(labels: Mapping[str, Any]) -> str:
    told = ",".join(f'{name}="{_escaped(str(value))}"' for name, value in labels.items())
    return f"{{{told}}}" if told else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _thousandth(value: float | None) -> float | None:
    return None if value is None else value / 1e3
