"""The report as one HTML file that needs nothing else: style, script, the chart library and the numbers are inside it.

It asks no host for anything, and its policy lets it do nothing but draw: only the very scripts put in here may run, by their
hashes, so text from outside (a strategy's name) stays text whatever it says. The numbers are those `report --json` prints.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

import orjson

STATIC = Path(__file__).parent / "static"
LOGO_STYLE = "sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY="  # that the chart library 5.2.1 sets for its own logo
_PLACE = re.compile(r"\[\[(\w+)\]\]")
_UNSAFE = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


def page(report: dict[str, Any]) -> str:
    style, script = _read("report/report.css"), _read("report/report.js")
    charts = _read("vendor/lightweight-charts.js")
    parts = {
        "policy": escape(_policy(style, charts, script)),
        "title": escape(f"Big Alpha report, {report['account'] or 'no account yet'}"),
        "style": style,
        "data": _data(report),
        "charts": charts,
        "script": script,
    }
    return _PLACE.sub(lambda place: parts[place[1]], _read("report/report.html"))


def _read(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def _policy(style: str, *scripts: str) -> str:
    """Nothing but what is in the file; `data:` is the chart library's logo."""
    runs = " ".join(f"'{_hash(script)}'" for script in scripts)
    return f"default-src 'none'; script-src {runs}; style-src '{_hash(style)}' '{LOGO_STYLE}'; img-src data:; base-uri 'none'; form-action 'none'"


def _hash(content: str) -> str:
    return f"sha256-{b64encode(sha256(content.encode()).digest()).decode()}"


def _data(report: dict[str, Any]) -> str:
    """Trades and curve in columns, which halves a long report. JSON that cannot end the element it stands in."""
    small = report | {name: _columns(report[name]) for name in ("trades", "curve")}
    return orjson.dumps(small).decode().translate(_UNSAFE)


def _columns(rows: list[dict[str, Any]]) -> dict[str, Any]:
    names = list(rows[0]) if rows else []
    return {"columns": names, "rows": [[row[name] for name in names] for row in rows]}
