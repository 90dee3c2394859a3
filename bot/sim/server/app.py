"""The exchange's web application: public routes here, private ones are added with `app.add_routes`."""

from __future__ import annotations

from aiohttp import web

from bot.sim.server.market import SimMarket

MARKET = web.AppKey("market", SimMarket)


def make_app(market: SimMarket) -> web.Application:
    """All public routes over this market, which somebody else advances."""
    app = web.Application()
    app[MARKET] = market
    return app
