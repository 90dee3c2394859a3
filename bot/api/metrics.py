"""`GET /metrics`: a snapshot as Prometheus reads it. Pure: dicts in, text out. What is not known is left out, never zero."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

STATES = ("STARTING", "ACTIVE", "REDUCING", "HALTED")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[dict[str, Any], Any]


def metrics(
    status: Mapping[str, Any], health: Mapping[str, Any], ages: Mapping[str, Any], page: Mapping[str, int]
) -> str:
    """`ages` of the feeds in seconds; `page`: open pages and wrong codes."""
    journal, lag = health["journal"], health["loop_lag_ms"] or {}
    late = [
        ({"quantile": name}, _thousandth(lag.get(key))) for name, key in (("0.5", "p50"), ("0.99", "p99"), ("1", "max"))
    ]
    kinds = status["events"]
    lines = [
        *_metric(
            "build_info", "gauge", [({"version": status.get("version"), "config_hash": status.get("config_hash")}, 1)]
        ),
        *_metric("trading_state", "gauge", [({"state": each}, int(status["state"] == each)) for each in STATES]),
        *_metric("equity", "gauge", [({"unit": "usd"}, status["equity_usd"])]),
        *_metric("open_risk", "gauge", [({"unit": "usd"}, status["open_risk_usd"])]),
        *_metric("open_positions", "gauge", [({}, status["open_positions"])]),
        *_metric("working_orders", "gauge", [({}, status["working_orders"])]),
        *_metric("feed_age_seconds", "gauge", [({"stream": name}, age) for name, age in ages.items()]),
        *_metric("frames_total", "counter", [({}, status["frames"])]),
        *_metric("bad_frames_total", "counter", [({}, status["bad_frames"])]),
        *_metric("lane_depth", "gauge", [({"lane": each}, status["lanes"][each]) for each in ("account", "data")]),
        *_metric("events_total", "counter", [({"kind": kind}, count) for kind, count in sorted(kinds.items())]),
        *_metric("book_resyncs_total", "counter", [({}, kinds.get("BOOK_RESYNC", 0))]),
        *_metric("limit_rejects_total", "counter", [({}, kinds.get("RISK_LIMIT_BLOCK", 0))]),
        *_metric("journal_queue_depth", "gauge", [({}, journal["depth"])]),
        *_metric("journal_commit_seconds", "gauge", [({}, _thousandth(journal["last_commit_ms"]))]),
        *_metric("journal_failed", "gauge", [({}, int(journal["failure"] is not None))]),
        *_metric("event_loop_lag_seconds", "gauge", late),
        *_metric("cockpit_pages", "gauge", [({}, page["pages"])]),
        *_metric("login_failures_total", "counter", [({}, page["failures"])]),
    ]
    return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, samples: Iterable[Sample]) -> list[str]:
    known = [f"engine_{name}{_labels(labels)} {value}" for labels, value in samples if value is not None]
    return [f"# TYPE engine_{name} {kind}", *known] if known else []


def _labels(labels: Mapping[str, Any]) -> str:
    told = ",".join(f'{name}="{_escaped(str(value))}"' for name, value in labels.items())
    return f"{{{told}}}" if told else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _thousandth(value: float | None) -> float | None:
    return None if value is None else value / 1e3
