"""`GET /api/openapi.json`: what can be asked of the API, in the words of OpenAPI 3.1.

One line for each route; bodies come from the very structs that read them. A test holds it against the routes that are served.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bot.api.requests import ApplyBody, BlockBody, CloseBody, SignalRequest, StopBody, UndoBody

READING: dict[str, tuple[str, tuple[str, ...]]] = {
    "/api/status": ("trading state and why, money, counts, feeds", ()),
    "/api/positions": ("open positions with tiers, stop, hold and profit", ()),
    "/api/orders": ("orders that work; with `all` every one that is remembered", ("all",)),
    "/api/signals": ("the last signals with every verdict, newest first", ("limit",)),
    "/api/why": ("the whole story of a signal, or of a symbol's last one", ("q",)),
    "/api/readings": ("every reading with its value, state, source, age and reason", ("symbol",)),
    "/api/health": ("feeds, queues, journal, lateness of the loop, providers", ()),
    "/api/depth": ("resting USD by distance from mid, in steps of 10 bps", ()),
    "/api/guards": ("what every guard saved and cost; 202 while it is computed", ("by", "window", "rules")),
    "/api/events": ("events of the journal after `since`", ("since", "limit", "kinds")),
    "/api/chart": ("candles and fills by symbol", ()),
    "/api/equity": ("points [ns, USD], one a minute; of earlier sessions at the prices of their fills", ()),
    "/api/learning": ("recommendations, multipliers, probation, the next cycle", ()),
    "/api/openapi.json": ("this description", ()),
    "/livez": ("200 while the engine's loop answers and the journal is written, else 503 and why", ()),
    "/readyz": ("200 while entries may be made, else 503 and why", ()),
    "/healthz": ("the same as /readyz", ()),
    "/metrics": ("figures for Prometheus", ()),
    "/ws": ("a websocket: one `snap`, then `tick`s of what is new, four a second", ()),
}
ACTING: dict[str, tuple[str, Any]] = {
    "/api/signals": ("hand in a signal; answers what was decided", SignalRequest),
    "/api/pause": ("no entries until a resume", None),
    "/api/resume": ("allow entries again; from the page in two steps", None),
    "/api/close": ("close a position or a part of it; from the page in two steps", CloseBody),
    "/api/stop": ("move a stop, only ever tighter", StopBody),
    "/api/block": ("no entries in one symbol, or allow them again", BlockBody),
    "/api/kill": ("halt: entries refused, stops stay; from the page in two steps", None),
    "/api/flatten": ("halt, and close every position at market; from the page in two steps", None),
    "/api/prepare": ("the first of two steps: state, nonce and the words to type", dict),
    "/api/link": ("the query of an address that signs one browser in; needs the token", None),
    "/api/learn/run": ("a learning cycle now", None),
    "/api/learn/apply": ("one step of a learned multiplier", ApplyBody),
    "/api/learn/undo": ("take the newest step of a multiplier back", UndoBody),
}


def description(version: str) -> dict[str, Any]:
    bodies = [body for _, body in ACTING.values() if body is not None]
    schemas, components = msgspec.json.schema_components(bodies, ref_template="#/components/schemas/{name}")
    by_body = dict(zip(bodies, schemas, strict=True))
    paths: dict[str, Any] = {}
    for path, (says, query) in READING.items():
        given = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in query]
        paths.setdefault(path, {})["get"] = {"summary": says, "parameters": given, "responses": _answers("200")}
    for path, (says, body) in ACTING.items():
        asked: dict[str, Any] = {"summary": says, "responses": _answers("200", "400", "401", "403")}
        if body is not None:
            asked["requestBody"] = {"required": True, "content": {"application/json": {"schema": by_body[body]}}}
        paths.setdefault(path, {})["post"] = asked | {"security": [{"token": []}, {"page": []}]}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Big Alpha", "version": version},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SCHEMES},
    }


_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer"},
    "page": {
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRF",
        "description": "with the session's cookie and this Origin",
    },
}


def _answers(*codes: str) -> dict[str, Any]:
    says = {"200": "as asked", "400": "a field is wrong", "401": "no token", "403": "not from here"}
    return {code: {"description": says[code]} for code in codes}
