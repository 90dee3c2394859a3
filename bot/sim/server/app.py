"""The exchange's web application: public REST, market sockets, and CoinGlass and Deribit beside them.

Private routes are added with `app.add_routes`; `app[EXCHANGE]` has what they need (market, limits, sockets).
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from bot.domain.values import MS
from bot.sim.server.coinglass import CoinGlassAnswers
from bot.sim.server.deribit import DeribitAnswers
from bot.sim.server.limits import Limits, Refused, refusal
from bot.sim.server.market import SimMarket
from bot.sim.server.past import Pasts
from bot.sim.server.public import Public
from bot.sim.server.sockets import Handler, Sockets
from bot.sim.server.streams import Hub


@dataclass(frozen=True, slots=True)
class Exchange:
    """`sockets.user_stream` is set by whoever has accounts."""

    market: SimMarket
    limits: Limits
    public: Public
    sockets: Sockets


EXCHANGE = web.AppKey("exchange", Exchange)


def make_app(market: SimMarket, limits: Limits | None = None) -> web.Application:
    """All public routes over this market, which somebody else advances. Its listeners are in place before the first event."""
    limits = limits or Limits()
    pasts = Pasts(market.model.coins, market.scenario.start_ns // MS, market.scenario.seed)
    hub = Hub(market, pasts)
    market.listeners += [pasts.on_event, hub.on_event]
    exchange = Exchange(market, limits, Public(market, pasts, limits), Sockets(hub))
    app = web.Application(middlewares=[_unknown])
    app[EXCHANGE] = exchange
    app.add_routes(exchange.public.routes())
    app.add_routes(exchange.sockets.routes())
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
