"""Makes the public market that the settings ask for: which venues, at which addresses."""

from __future__ import annotations

from collections.abc import Sequence

from bot.app.connections import SIM
from bot.app.providers import moved
from bot.app.settings import Settings
from bot.exchanges.base import exchanges
from bot.runtime.clock import RealClock
from bot.venues.public import PublicMarket
from bot.venues.venue_feed import VenueFeed


async def open_public(settings: Settings, clock: RealClock) -> PublicMarket:
    """Raises VenueError when the venue that is traded on cannot be reached or does not answer with instruments."""
    venue = settings.venue
    feeds = [_feed(venue.exchange, venue.rest_url, venue.ws_url, clock, past_calls=venue.past_trade_calls)]
    for name in wall_venues(settings):
        urls = getattr(settings, name)
        feeds.append(_feed(name, urls.rest_url, urls.ws_url, clock, depth_only=True))
    market = PublicMarket({feed.venue: feed for feed in feeds}, clock)
    await market.open()
    return market


def wall_venues(settings: Settings) -> Sequence[str]:
    """Beside the one that is traded on. Where that is not at its own address (a test bench, a mirror), the others are not asked
    unless they are named or have an address too."""
    if settings.venue.name == SIM:
        return ()
    wanted = settings.walls.venues
    if wanted is None:
        own = not moved(settings)
        wanted = tuple(name for name in exchanges() if own or getattr(settings, name).rest_url is not None)
    return [name for name in wanted if name != settings.venue.name]


def _feed(
    name: str,
    rest_url: str | None,
    ws_url: str | None,
    clock: RealClock,
    *,
    depth_only: bool = False,
    past_calls: int = 0,
) -> VenueFeed:
    exchange = exchanges()[name]
    urls = rest_url or exchange.rest_url, ws_url or exchange.ws_url
    return VenueFeed(exchange, *urls, clock, depth_only=depth_only, past_calls=past_calls)
