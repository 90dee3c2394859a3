"""The HTTP API: always on, loopback only by default. Reading is open to this machine, acting needs the bearer token; on any
other address everything needs it.

Handlers copy a snapshot between two frames and never hold the live state. Requests whose Host is not ours are refused, so that a
web page in a browser cannot reach the API under another name (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

import msgspec
import orjson
from aiohttp import web

from bot import __version__
from bot.api.access import TOKEN_NEEDED, TWO_STEPS, Access
from bot.api.answers import Answers
from bot.api.cockpit import HEADERS, Cockpit
from bot.api.description import description
from bot.api.hosts import allowed_hosts, bracketed, is_loopback
from bot.api.ledger import LiveLedger
from bot.api.metrics import CONTENT_TYPE, metrics
from bot.api.readiness import NO_PAUSE_S, not_alive
from bot.api.requests import ApplyBody, BlockBody, CloseBody, SignalRequest, StopBody, UndoBody, body_of
from bot.api.snapshot import Live
from bot.domain.errors import ConfigError, JournalError
from bot.domain.messages import (
    ActNote,
    ApplyRequest,
    BlockRequest,
    CloseRequest,
    FlattenRequest,
    KillRequest,
    LearnRequest,
    MoveStopRequest,
    OperatorRequest,
    OutsideSignal,
    PauseRequest,
    ResumeRequest,
    UndoRequest,
)
from bot.journal.writer import Journal
from bot.learning.table import question

BODY_LIMIT = 64 * 1024
BODY_WITHIN_S = 10.0
ACTS = frozenset(
    {"pause", "resume", "close", "stop", "block", "kill", "flatten", "learn/run", "learn/apply", "learn/undo"}
)
"""Journaled with who asked; a signal tells of itself."""
DECIDED_WITHIN_S = 2.0
EVENTS_PAGE = 5_000
BUSY_FRAMES = 200  # in the account lane, and events not yet on disk: over these no further signal is taken in
BUSY_EVENTS = 2_000
LARGEST_SEQ = 2**63 - 1  # that the journal's file can hold
# What lies outside is no price, and written out in full it could fill a disk with zeros.
LOWEST_PRICE, HIGHEST_PRICE = Decimal("1e-12"), Decimal("1e12")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiServer:
    """`operator` puts the JSON bytes of an OperatorRequest into the account lane."""

    def __init__(
        self,
        live: Live,
        answers: Answers,
        journal: Journal,
        operator: Callable[[bytes], None],
        instruments: Mapping[str, str],
        access: Access,
        cockpit: Cockpit | None = None,
        hosts: Sequence[str] = (),
    ) -> None:
        """`instruments` maps unified symbols to instrument ids; `hosts` are further names under which it may be asked."""
        self._live, self._answers, self._journal, self._operator = live, answers, journal, operator
        self._instruments, self._access = dict(instruments), access
        self._ledger = LiveLedger(journal, lambda: live.engine.now_ns)
        self._cockpit = cockpit
        self._runner: web.AppRunner | None = None
        self._named, self._hosts = tuple(hosts), frozenset[str]()
        self._loopback = False

    async def start(self, host: str, port: int) -> str:
        """Listen; port 0 takes a free one. Returns the address. Raises ConfigError when it cannot listen there."""
        app = web.Application(
            middlewares=[self._only_our_host, self._only_who_may, self._errors, self._journaled],
            client_max_size=BODY_LIMIT,
        )
        app.add_routes(self._routes())
        app.on_response_prepare.append(_guard)
        if self._cockpit is not None:
            app.add_routes(self._cockpit.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=DECIDED_WITHIN_S + 1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        try:
            await site.start()
        except OSError as error:
            await self.close()
            raise ConfigError(
                f"the API cannot listen on {host}:{port} ({error.strerror}); set api.port (BOT_API__PORT), 0 takes any free one"
            ) from None
        self._loopback = is_loopback(host)
        bound = self._runner.addresses[0][1]
        self._hosts = allowed_hosts(host, bound, self._named)
        return f"http://{bracketed(host)}:{bound}"

    async def close(self) -> None:
        if self._cockpit is not None:
            await self._cockpit.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self._ledger.close()

    def _routes(self) -> list[web.RouteDef]:
        live = self._live
        return [
            web.get("/api/status", self._look(lambda _: live.status())),
            web.get("/api/positions", self._look(lambda _: live.positions())),
            web.get("/api/orders", self._look(lambda r: live.projection.orders(all="all" in r.query))),
            web.get("/api/signals", self._look(lambda r: live.projection.signals(_whole(r, "limit", 50)))),
            web.get("/api/why", self._look(self._why)),
            web.get("/api/readings", self._look(self._readings)),
            web.get("/api/health", self._look(lambda _: live.health(self._journal.stats()))),
            web.get("/api/guards", self._guards),
            web.get("/api/depth", self._look(lambda _: live.depth())),
            web.get("/api/learning", self._look(lambda _: live.learning())),
            web.get("/api/events", self._events),
            web.get("/api/openapi.json", self._describe),
            web.get("/metrics", self._metrics),
            web.get("/livez", self._livez),
            web.get("/readyz", self._readyz),
            web.get("/healthz", self._readyz),
            web.post("/api/link", self._link),
            web.post("/api/prepare", self._prepare),
            web.post("/api/signals", self._signal),
            web.post("/api/pause", self._act(PauseRequest)),
            web.post("/api/resume", self._act(ResumeRequest)),
            web.post("/api/close", self._close),
            web.post("/api/stop", self._stop),
            web.post("/api/block", self._block),
            web.post("/api/kill", self._act(KillRequest)),
            web.post("/api/flatten", self._act(FlattenRequest)),
            web.post("/api/learn/run", self._learn),
            web.post("/api/learn/apply", self._learn_apply),
            web.post("/api/learn/undo", self._learn_undo),
        ]

    # --- reading ---

    def _look(self, look: Callable[[web.Request], Any]) -> Handler:
        async def handler(request: web.Request) -> web.Response:
            return _json(await self._live.engine.inspect(lambda: look(request)))

        return handler

    def _readings(self, request: web.Request) -> Any:
        symbol = request.query.get("symbol")
        wanted = [self._instrument(symbol)] if symbol else list(self._instruments.values())
        providers = self._live.providers()
        return [row for instrument in wanted for row in self._live.readings(instrument, providers)]

    def _why(self, request: web.Request) -> Any:
        wanted = request.query.get("q")
        if not wanted:
            raise ValueError("say which: /api/why?q=SIGNAL or /api/why?q=SYMBOL")
        return self._live.projection.why(wanted)

    async def _guards(self, request: web.Request) -> web.Response:
        """The ledger's table; 202 and how far it is while a long history is being read."""
        by, query = filter(None, request.query.get("by", "").split(",")), request.query
        table = await self._ledger.guards(question(by, query.get("window", "all"), query.get("rules")))
        return _json(table, status=202 if "computing" in table else 200)

    async def _events(self, request: web.Request) -> web.Response:
        """Events after `since`, at most a page; ask again from the last seq. They come from the journal itself."""
        since, limit = _whole(request, "since", 0), _whole(request, "limit", EVENTS_PAGE)
        kinds = tuple(filter(None, request.query.get("kinds", "").split(",")))
        events = await self._journal.read(since_seq=since, limit=min(limit, EVENTS_PAGE), kinds=kinds or None)
        return _json([event.to_dict() for event in events])

    async def _describe(self, request: web.Request) -> web.Response:
        return _json(description(__version__))

    async def _metrics(self, request: web.Request) -> web.Response:
        live, cockpit = self._live, self._cockpit
        pages, faults = (0, 0) if cockpit is None else (cockpit.watching, len(cockpit.faults))
        page = {"pages": pages, "faults": faults, "failures": self._access.failures}
        stats = self._journal.stats()

        def look() -> str:
            problems = len(live.not_ready(stats))
            return metrics(live.status(), live.health(stats), live.ages(), page, live.tally, problems)

        text = await live.engine.inspect(look)
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _livez(self, request: web.Request) -> web.Response:
        problems = not_alive(self._journal.stats())
        return _json({"alive": not problems, "problems": problems}, status=503 if problems else 200)

    async def _readyz(self, request: web.Request) -> web.Response:
        stats = self._journal.stats()
        try:
            async with asyncio.timeout(NO_PAUSE_S):
                problems = await self._live.engine.inspect(lambda: self._live.not_ready(stats))
        except TimeoutError:
            problems = [f"the engine has been in one frame for over {NO_PAUSE_S:g} s"]
        return _json({"ready": not problems, "problems": problems}, status=503 if problems else 200)

    # --- the page ---

    async def _link(self, request: web.Request) -> web.Response:
        """The query of a new address for the page; for programs with the token."""
        if not self._access.has_token(request):
            raise web.HTTPForbidden(text=TOKEN_NEEDED)
        if self._cockpit is None:
            raise web.HTTPConflict(text="there is no page: cockpit.enabled is off")
        return _json({"query": self._access.link()}, status=201)

    async def _prepare(self, request: web.Request) -> web.Response:
        """First of two steps of the page: what stands now, and what confirms the action."""
        wanted = msgspec.json.decode(await request.read(), type=dict[str, Any])
        action = wanted.pop("action", None)
        if not isinstance(action, str) or action not in TWO_STEPS:
            raise ValueError(f"action must be one of {', '.join(sorted(TWO_STEPS))}, got {action!r}")
        return _json(self._access.prepare(action, wanted, await self._standing(wanted)))

    async def _standing(self, body: Any) -> dict[str, Any]:
        """What an action is about to change; without what moves by itself."""
        wanted = body.get("symbol") if isinstance(body, dict) else None
        live = self._live

        def look() -> dict[str, Any]:
            shown = ("symbol", "direction", "quantity", "entry_price", "stop_price")
            held = [{key: each.get(key) for key in shown} for each in live.projection.positions()]
            return {
                "state": str(live.view.state),
                "positions": [each for each in held if wanted in (None, each["symbol"])],
            }

        return await live.engine.inspect(look)

    # --- acting ---

    async def _signal(self, request: web.Request) -> web.Response:
        """Hand in a signal and answer with what was decided. A repeated id is ignored and says so."""
        wanted = await body_of(request, SignalRequest)
        instrument = self._instrument(wanted.symbol)
        if wanted.price is not None and not _can_be_price(wanted.price):
            raise ValueError(f"price must be a positive number of a size that prices have, got {wanted.price}")
        signal = OutsideSignal(
            external_id=wanted.id,
            instrument=instrument,
            direction=wanted.direction,
            strategy=wanted.strategy,
            strength=wanted.strength,
            price=wanted.price,
        )
        known = self._answers.known(wanted.id)
        if known is not None:
            return _json({"duplicate": True, **known})
        repeated = self._answers.awaited(wanted.id)
        if not repeated:
            self._refuse_when_busy()
            self._ask(signal)
        decided = await self._answers.wait(wanted.id, DECIDED_WITHIN_S)
        if decided is None:
            return _json({"accepted": True, "decided": False}, status=202)
        if repeated:
            return _json({"duplicate": True, **decided})
        return _json({"accepted": True, **decided}, status=201)

    def _refuse_when_busy(self) -> None:
        """Signals wait for no one and fill the journal; pause, resume and close are never refused for it."""
        if self._live.inbox.depths()[0] > BUSY_FRAMES or self._journal.stats().depth > BUSY_EVENTS:
            raise web.HTTPServiceUnavailable(text="too many signals at once: send this one again in a second")

    async def _close(self, request: web.Request) -> web.Response:
        wanted = await body_of(request, CloseBody)
        if wanted.part is not None and not (wanted.part.is_finite() and 0 < wanted.part <= 100):
            raise ValueError(f"part must be a percentage over 0 and up to 100, got {wanted.part}")
        instrument = self._instrument(wanted.symbol)
        position_id = await self._open_position(wanted.symbol, instrument)
        await self._act_on(CloseRequest(instrument=instrument, part_pct=wanted.part))
        return _json({"accepted": True, "position_id": position_id}, status=202)

    async def _stop(self, request: web.Request) -> web.Response:
        """Move a stop, only ever tighter; answers once the desk has said whether it does."""
        wanted = await body_of(request, StopBody)
        instrument = self._instrument(wanted.symbol)
        if not _can_be_price(wanted.price):
            raise ValueError(f"price must be a positive number of a size that prices have, got {wanted.price}")
        position_id = await self._open_position(wanted.symbol, instrument)
        with self._answers.next_event(position_id, ("STOP_MOVED", "STOP_REFUSED")) as said:
            self._ask(MoveStopRequest(instrument=instrument, price=wanted.price))
            event = await said(DECIDED_WITHIN_S)
        if event is None:
            return _json({"accepted": True, "decided": False, "position_id": position_id}, status=202)
        if event.kind == "STOP_REFUSED":
            raise web.HTTPConflict(text=event.data["reason"])
        return _json({"accepted": True, **event.data})

    async def _block(self, request: web.Request) -> web.Response:
        wanted = await body_of(request, BlockBody)
        await self._act_on(BlockRequest(instrument=self._instrument(wanted.symbol), blocked=wanted.blocked))
        return _json({"accepted": True, "blocked": wanted.blocked}, status=202)

    async def _learn(self, request: web.Request) -> web.Response:
        """A learning cycle now; answers with what it said."""
        asked = LearnRequest(request_id=secrets.token_hex(8))
        told = await self._learned(asked, ("LEARNING_CYCLE",))
        return _json(
            {"accepted": True, "decided": told is not None, **(told or {})}, status=202 if told is None else 200
        )

    async def _learn_apply(self, request: web.Request) -> web.Response:
        wanted = await body_of(request, ApplyBody)
        asked = ApplyRequest(request_id=secrets.token_hex(8), subject=wanted.subject, anyway=wanted.anyway)
        return self._adjusted(await self._learned(asked, ("ADJUSTMENT",)))

    async def _learn_undo(self, request: web.Request) -> web.Response:
        wanted = await body_of(request, UndoBody)
        asked = UndoRequest(request_id=secrets.token_hex(8), subject=wanted.subject)
        return self._adjusted(await self._learned(asked, ("ADJUSTMENT",)))

    async def _learned(
        self, asked: LearnRequest | ApplyRequest | UndoRequest, kinds: tuple[str, ...]
    ) -> dict[str, Any] | None:
        """What the desk said to it; None where it has not yet."""
        with self._answers.next_event(asked.request_id, kinds, "request_id") as said:
            self._ask(asked)
            event = await said(DECIDED_WITHIN_S)
        return None if event is None else event.data

    def _adjusted(self, told: dict[str, Any] | None) -> web.Response:
        if told is None:
            return _json({"accepted": True, "decided": False}, status=202)
        if not told["applied"]:
            raise web.HTTPConflict(text=f"{told['subject']} is not changed: {told['reason']}")
        return _json({"accepted": True, "decided": True, **told})

    def _act(self, request_type: type[PauseRequest | ResumeRequest | KillRequest | FlattenRequest]) -> Handler:
        async def handler(request: web.Request) -> web.Response:
            await self._act_on(request_type())
            return _json({"accepted": True}, status=202)

        return handler

    def _ask(self, request: OperatorRequest) -> None:
        self._operator(msgspec.json.encode(request))

    async def _act_on(self, request: OperatorRequest) -> None:
        """Also waits until the engine has taken it, so that the next look shows it; on a tape it may wait for the disk."""
        self._ask(request)
        with suppress(TimeoutError):
            async with asyncio.timeout(DECIDED_WITHIN_S):
                await self._live.engine.taken()

    async def _open_position(self, symbol: str, instrument: str) -> str:
        position = await self._live.engine.inspect(lambda: self._live.portfolio.position(instrument))
        if position is None:
            raise web.HTTPConflict(text=f"no open position in {symbol}")
        return position.position_id

    def _instrument(self, symbol: str | None) -> str:
        instrument = self._instruments.get(symbol or "")
        if instrument is None:
            raise web.HTTPNotFound(text=f"no symbol {symbol!r} here; there is {', '.join(self._instruments)}")
        return instrument

    # --- around every request (aiohttp wants exactly these two parameter names) ---

    @web.middleware
    async def _only_our_host(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.host.lower() not in self._hosts:
            ours = " or ".join(sorted(self._hosts))
            return _error(403, f"Host {request.host[:100]!r} is not this API; use {ours}, or name it in api.hosts")
        return await handler(request)

    @web.middleware
    async def _only_who_may(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        refused = self._access.refusal(request, looks_freely=self._loopback)
        return await handler(request) if refused is None else _error(*refused)

    @web.middleware
    async def _journaled(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every act is told with who asked and from where; the page's wait for their confirmation."""
        action = request.path.removeprefix("/api/")
        if request.method != "POST" or action not in ACTS:
            return await handler(request)
        session = None if self._access.has_token(request) else self._access.session(request)
        body = _decoded(await request.read())
        if session is not None and action in TWO_STEPS:
            problem = self._access.confirmed(request, body, await self._standing(body))
            if problem:
                raise web.HTTPConflict(text=problem)
        by = "token" if session is None else f"cockpit {session}"
        told = body if isinstance(body, dict) else None
        self._ask(ActNote(action=action, by=by, place=request.remote, body=told))
        return await handler(request)

    @web.middleware
    async def _errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            await _whole_body(request)
            return await handler(request)
        except web.HTTPException as error:
            return _error(error.status, error.text or error.reason)
        except (ValueError, msgspec.MsgspecError) as error:
            return _error(400, str(error))
        except JournalError as error:
            return _error(503, str(error))


async def _guard(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


async def _whole_body(request: web.Request) -> None:
    """Kept for whoever reads it. One who sends it drop by drop holds a socket for so long and no longer."""
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"the body did not come within {BODY_WITHIN_S:g} s") from None


def _decoded(body: bytes) -> Any:
    """None for what is no JSON: whether that matters is the handler's business."""
    try:
        return msgspec.json.decode(body or b"{}")
    except msgspec.MsgspecError:
        return None


def _can_be_price(price: Decimal) -> bool:
    return price.is_finite() and LOWEST_PRICE <= price <= HIGHEST_PRICE


def _whole(request: web.Request, name: str, default: int) -> int:
    given = request.query.get(name, str(default))
    if not (given.isascii() and given.isdecimal() and len(given) < 20 and int(given) <= LARGEST_SEQ):
        raise ValueError(f"{name} must be a whole number, zero or more, got {given[:40]!r}")
    return int(given)


def _json(data: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(data, default=str), status=status, content_type="application/json")


def _error(status: int, text: str) -> web.Response:
    return _json({"error": text}, status)
