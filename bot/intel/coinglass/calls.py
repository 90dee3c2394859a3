"""Which calls there are for a set of instruments: path, parameters, and the readings each one serves. Pure; made by `poller`.

CoinGlass knows coins, and pairs by the venue's own name. Which coin a pair is of comes from its list of pairs, never from
the name: `1000PEPEUSDT` is of PEPE. Prices of such a pair are of a thousand coins, so what has prices in it (walls,
liquidations) is asked only where coin and instrument count alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from bot.domain.instrument import Instrument
from bot.intel.coinglass.plans import (
    CROWD,
    CROWD_INTERVAL,
    HEATMAP,
    INTEREST,
    PAIN,
    PAIRS,
    SUBSCRIPTION,
    TAKER,
    WALLS,
    Endpoint,
)
from bot.intel.coinglass.schema import Pair, Pairs
from bot.intel.params import CoinGlassParams

LABELS = {"binanceusdm": "Binance", "bybit": "Bybit", "okx": "OKX"}  # our venues as CoinGlass writes them


class Call(Struct, frozen=True, kw_only=True):
    """`base` is the engine's name of the coin, `coin` CoinGlass' own; `exchange` where the call is of one."""

    id: str
    endpoint: Endpoint
    query: Mapping[str, str]
    serves: tuple[tuple[str, str], ...] = ()  # reading and key
    base: str = ""
    coin: str = ""
    exchange: str = ""


ABOUT_KEY = Call(id="subscription", endpoint=SUBSCRIPTION, query={})
ABOUT_PAIRS = Call(id="pairs", endpoint=PAIRS, query={})


def calls_for(instruments: Iterable[Instrument], pairs: Pairs, params: CoinGlassParams) -> list[Call]:
    """Every call that could serve these instruments on the largest plan; `pairs` is empty while it is not known."""
    calls = [ABOUT_KEY, ABOUT_PAIRS]
    by_base: dict[str, list[Instrument]] = {}
    for instrument in instruments:
        by_base.setdefault(instrument.base, []).append(instrument)
    for base, members in by_base.items():
        calls += _of_coin(base, members, pairs, params)
    return calls


def _of_coin(base: str, members: list[Instrument], pairs: Pairs, params: CoinGlassParams) -> list[Call]:
    coin = next((pair.coin for each in members if (pair := _pair(each, pairs))), base)
    ids = [instrument.id for instrument in members]
    calls = [
        _call(TAKER, base, coin, ids, {"symbol": coin, "range": "5m"}),
        _call(INTEREST, base, coin, ids, {"symbol": coin}),
        *(_crowd(instrument, base, coin) for instrument in members if _listed(instrument, pairs)),
    ]
    if base in params.option_coins:
        calls.append(_call(PAIN, base, coin, [base], {"symbol": coin, "exchange": "Deribit"}))
    if coin == base:
        calls.append(_call(HEATMAP, base, coin, ids, {"symbol": coin, "range": "24h"}))
        calls += _walls(base, members, pairs, params)
    return calls


def _call(endpoint: Endpoint, base: str, coin: str, keys: list[str], query: dict[str, str]) -> Call:
    serves = tuple((endpoint.reading, key) for key in keys)
    return Call(id=f"{endpoint.name} {base}", endpoint=endpoint, query=query, serves=serves, base=base, coin=coin)


def _pair(instrument: Instrument, pairs: Pairs) -> Pair | None:
    return pairs.get(LABELS.get(instrument.venue, ""), {}).get(instrument.symbol)


def _listed(instrument: Instrument, pairs: Pairs) -> bool:
    return instrument.venue in LABELS and (not pairs or _pair(instrument, pairs) is not None)


def _crowd(instrument: Instrument, base: str, coin: str) -> Call:
    label = LABELS[instrument.venue]
    return Call(
        id=f"{CROWD.name} {label} {instrument.symbol}",
        endpoint=CROWD,
        query={"exchange": label, "symbol": instrument.symbol, "interval": CROWD_INTERVAL, "limit": "2"},
        serves=((CROWD.reading, instrument.id),),
        base=base,
        coin=coin,
        exchange=label,
    )


def _walls(base: str, members: list[Instrument], pairs: Pairs, params: CoinGlassParams) -> list[Call]:
    """One call a venue; the instrument's own pair where it is of that venue."""
    own = {LABELS[each.venue]: each.symbol for each in members if _listed(each, pairs)}
    names = {venue: own.get(venue) or _perpetual(base, pairs.get(venue, {})) for venue in params.wall_venues}
    return [
        Call(
            id=f"{WALLS.name} {venue} {name}",
            endpoint=WALLS,
            query={"exchange": venue, "symbol": name},
            serves=((WALLS.reading, base),),
            base=base,
            coin=base,
            exchange=venue,
        )
        for venue, name in names.items()
        if name
    ]


def _perpetual(base: str, pairs: Mapping[str, Pair]) -> str | None:
    """The pair against USDT without a date in its name, in the unit of the coin itself."""
    names = [pair.name for pair in pairs.values() if pair.coin == base and pair.quote == "USDT"]
    undated = [name for name in names if name.startswith(base) and not any(map(str.isdigit, name[len(base) :]))]
    return min(undated, key=lambda name: (len(name), name), default=None)
