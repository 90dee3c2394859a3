"""Decoding, market state and walls: CPU per message, beside the peers, on identical messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from bot.exchanges.binance import decode
from tests.bench.capture import DEPTH, KINDS, MIX, QUOTE, TRADE, Capture
from tests.bench.ccxt_pro import CcxtPro
from tests.bench.contenders import Contender, Ours, Walled
from tests.bench.cryptofeed_feed import CryptofeedFeed
from tests.bench.measure import Row, Run, against, alone, interleaved, settle_memory, skipped

GOALS: dict[tuple[str, str], tuple[str, float]] = {
    (DEPTH, CcxtPro.name): ("G3", 3),
    (DEPTH, CryptofeedFeed.name): ("G5", 3.5),
    (TRADE, CcxtPro.name): ("G4", 15),
    (QUOTE, CcxtPro.name): ("G4", 15),
    (MIX, CcxtPro.name): ("", 8),
}
WALLS_GOAL = 10.0


class BooksDiffer(Exception):
    """A peer did not do the same as we did: comparing times would mean nothing."""


def measure(capture: Capture, rounds: int) -> tuple[list[Row], list[str]]:
    """The rows, and what was checked before anything was measured."""
    ours = Ours(capture)
    ccxt, without_ccxt = _peer(lambda: CcxtPro(capture), CcxtPro.name)
    cryptofeed, without_cryptofeed = _peer(lambda: CryptofeedFeed(capture), CryptofeedFeed.name)
    peers: list[Contender] = [peer for peer in (ccxt, cryptofeed) if peer is not None]
    missing = {CcxtPro.name: without_ccxt, CryptofeedFeed.name: without_cryptofeed}
    checks = [_same_book(ours, peer) for peer in peers]
    if ccxt is not None:
        checks.append(_same_walls(ours, ccxt))
    settle_memory()
    rows = [_decoding(capture, rounds)]
    for kind in KINDS:
        rows += _ingest(kind, len(capture.by_kind[kind]), ours, peers, missing, rounds)
    rows.append(_walls(len(capture.by_kind[DEPTH]), ours, ccxt, without_ccxt, rounds))
    for peer in peers:
        peer.close()
    return rows, checks


def _peer(make: Callable[[], Any], name: str) -> tuple[Any, str]:
    """The peer, or None and why it is not there. A release that has changed too much to be driven is left out as well."""
    try:
        return make(), ""
    except ImportError:
        return None, f"{name} not installed: skipped"
    except (AttributeError, TypeError) as error:
        return None, f"{name} cannot be driven ({error}): skipped"


def _same_book(ours: Ours, peer: Contender) -> str:
    ours.fresh(DEPTH)()
    peer.fresh(DEPTH)()
    mine, theirs = ours.levels(), peer.levels()
    if mine != theirs:
        raise BooksDiffer(f"best of ours {_best(mine)}, of {peer.name} {_best(theirs)}")
    bid, ask = _best(mine)
    return f"books equal: {peer.name} ends at bid {bid}, ask {ask}, and all {len(mine[0]):,} bids and {len(mine[1]):,} asks are ours"


def _same_walls(ours: Ours, peer: Walled) -> str:
    ours.fresh_walls()()
    anchor = ours.book.anchor_price or 0.0
    mine, theirs = ours.walls(anchor), peer.walls(anchor)
    for one, other in zip(mine[0] + mine[1], theirs[0] + theirs[1], strict=True):
        if abs(one - other) > 1.0:
            raise BooksDiffer(f"walls of ours {mine}, of {peer.name} {theirs} USD")
    return f"walls equal: the largest bid wall is {mine[0][0]:,.0f} USD, the largest ask wall {mine[1][0]:,.0f} USD, for both"


def _best(levels: tuple[list[Any], list[Any]]) -> tuple[float, float]:
    bids, asks = levels
    return bids[0][0], asks[0][0]


def _decoding(capture: Capture, rounds: int) -> Row:
    raws = [frame.raw for frame in capture.by_kind[DEPTH] if frame is not capture.snapshot][1:]

    def ours() -> None:
        for raw in raws:
            decode(raw)

    def plain() -> None:
        for raw in raws:
            data = orjson.loads(raw)["data"]
            for side in ("b", "a"):
                [(float(price), float(quantity)) for price, quantity in data[side]]

    spent = interleaved({"ours": lambda: ours, "plain": lambda: plain}, rounds)
    each = 1e6 / len(raws)
    return against("G1 decode depth to floats", spent["ours"] * each, spent["plain"] * each, "orjson + float", "µs", 4)


def _ingest(
    kind: str, count: int, ours: Ours, peers: Sequence[Contender], missing: dict[str, str], rounds: int
) -> list[Row]:
    spent = interleaved({each.name: _fresh(each, kind) for each in (ours, *peers)}, rounds)
    took = {name: total_s * 1e6 / count for name, total_s in spent.items()}
    mine, rows = took[ours.name], []
    for name, why in missing.items():
        label, goal = GOALS.get((kind, name), ("", None))
        measure = f"{label} {kind} to market state".lstrip()
        if name in took:
            rows.append(against(measure, mine, took[name], name, "µs", goal))
        else:
            rows.append(skipped(measure, alone(mine, "µs"), why, goal))
    return rows


def _fresh(contender: Contender, kind: str) -> Callable[[], Run]:
    return lambda: contender.fresh(kind)


def _walls(count: int, ours: Ours, ccxt: CcxtPro | None, why: str, rounds: int) -> Row:
    measure = "G6 depth to state, best, 3 walls a side"
    contenders: dict[str, Callable[[], Run]] = {ours.name: ours.fresh_walls}
    if ccxt is not None:
        contenders[ccxt.name] = ccxt.fresh_walls
    took = {name: total_s * 1e6 / count for name, total_s in interleaved(contenders, rounds).items()}
    if ccxt is None:
        return skipped(measure, alone(took[ours.name], "µs"), why, WALLS_GOAL)
    return against(measure, took[ours.name], took[ccxt.name], ccxt.name, "µs", WALLS_GOAL)
