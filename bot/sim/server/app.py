"""The exchange's web application: REST and sockets, public and private, and CoinGlass and Deribit beside them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp import web

from bot.domain.values import MS
from bot.sim.exchange.account import AccountSpec, ApiKey
from bot.sim.exchange.core import ExchangeCore
from bot.sim.exchange.liquidation import Liquidator
from bot.sim.refusals import Refused
from bot.sim.server.coinglass import CoinGlassAnswers
from bot.sim.server.deribit import DeribitAnswers
from bot.sim.server.fault_answers import spoiling
from bot.sim.server.faults import Faults, Parts
from bot.sim.server.limits import Limits, refusal
from bot.sim.server.market import SimMarket
from bot.sim.server.past import Pasts
from bot.sim.server.private import Private
from bot.sim.server.public import Public
from bot.sim.server.published import Published
from bot.sim.server.sockets import Handler, Sockets
from bot.sim.server.streams import Hub
from bot.sim.server.user_stream import UserStreams


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a test or a fault wants to get at."""

    market: SimMarket
    core: ExchangeCore
    limits: Limits
    public: Public
    sockets: Sockets
    faults: Faults | None = None


EXCHANGE = web.AppKey("exchange", Exchange)


def make_app(
    market: SimMarket,
    limits: Limits | None = None,
    accounts: Iterable[AccountSpec] = (),
    faults: Faults | None = None,
) -> web.Application:
    """All routes over this market, which somebody else advances. Its listeners are in place before the first event."""
    limits = limits or Limits()
    pasts = Pasts(market.model.coins, market.scenario.start_ns // MS, market.scenario.seed)
    core = ExchangeCore(market.coins.values(), market.views, market.now_ms)
    published = Published(market, core)
    hub = Hub(published, pasts)
    published.listeners += [pasts.on_event, hub.on_event]
    Liquidator(core)
    for each in accounts:
        core.open_account(each.name, [ApiKey(each.api_key, each.api_secret)], each.usd)
    streams = UserStreams(core)
    market.listeners += [published.on_event, core.on_event, streams.on_event]
    exchange = Exchange(market, core, limits, Public(market, published, pasts, limits, core), Sockets(hub), faults)
    exchange.sockets.users = streams
    private = Private(core, limits, streams)
    app = web.Application(middlewares=[_unknown, *([] if faults is None else [spoiling(faults)])])
    if faults is not None:
        faults.attach(Parts(market, core, exchange.public, private, exchange.sockets, streams))
    app[EXCHANGE] = exchange
    app.add_routes(exchange.public.routes())
    app.add_routes(private.routes())
    app.add_routes(exchange.sockets.routes())
    if all(each.outside is not None for each in market.model.coins):
        app.add_routes(CoinGlassAnswers(market, pasts).routes())
        app.add_routes(DeribitAnswers(market).routes())
    return app


@web.middleware
async def _unknown(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A path that is not there gets the venue's answer, not this server's."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return refusal(Refused(-5000, f"Path {request.path}, Method {request.method} is invalid", 404))
    except web.HTTPMethodNotAllowed:
        return refusal(Refused(-5000, f"Path {request.path}, Method {request.method} is invalid", 405))
