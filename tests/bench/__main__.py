"""`scripts/bench`: speed and memory, beside peers on identical messages in the same run.

Goals are those of this project, and a missed one is printed as missed. What is absent is skipped in so many words.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterable

from tests.bench import processes
from tests.bench.measure import Row, render

ROUNDS = 5
PEERS = ("ccxt", "cryptofeed", "hftbacktest", "nautilus_trader", "picows", "websockets", "orjson", "msgspec", "uvloop")
NOTES = """\
Medians of {rounds} interleaved rounds over {count:,} messages of {market_s:.0f} s of BTCUSDT ({what}); CPU time, but wall time for
what waits: start, decisions, replay. A ratio is how many times less than the peer. "To market state" is from bytes or
text to the finished state, without a socket; no peer has a subscriber. cryptofeed knows no raw trades: they are renamed.
Decisions: settle_now is the bus of replays; the awaited bus is that of `run`, on uvloop, with a journal on disk.
Many symbols: synthetic markets, {many} s of them for the cost and {hours:g} h for the memory.
Every trade: the trades of the capture alone, so without a book; ready in memory (columns, ticks) or made of the bytes.
Through a socket: server and client are processes of their own on loopback, all clients on uvloop; watch_order_book has a caller.
Not measured here: what needs an order on the wire or a compiled replay (G2, G9, G11, G12, G15)."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Speed and memory beside peers in the same run.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"interleaved rounds [default: {ROUNDS}]")
    rounds = max(1, parser.parse_args().rounds)
    print(_machine(), flush=True)
    rows, checks = processes.measure(rounds)  # before anything else makes this process large
    from tests.bench import cockpit, every_trade, ledger, live_ledger, many_symbols, shadows

    in_memory = many_symbols.memory() + every_trade.memory() + ledger.measure() + shadows.measure() + cockpit.measure()
    from tests.bench import decision, dispatch, exchange, filling, ingest, replaying, sockets
    from tests.bench.capture import MIX, read_capture

    capture = read_capture()
    frames = capture.by_kind[MIX]
    _show("start", checks)
    more, checks = ingest.measure(capture, rounds)
    rows += more
    _show("market data", checks)
    rows.append(dispatch.measure(rounds))
    more, checks = decision.measure(capture, rounds)
    rows += more
    _show("decisions", checks)
    rows += replaying.measure(capture, rounds)
    more, checks = every_trade.measure(capture, rounds)
    rows += more
    _show("every trade", checks)
    rows += many_symbols.measure(rounds) + in_memory
    rows += sockets.measure(rounds) + live_ledger.measure() + exchange.measure()
    _show("fills", filling.measure(capture))
    print()
    print(render(rows))
    print(_summary(rows))
    print()
    market_s = (frames[-1].recv_ns - frames[0].recv_ns) / 1e9
    print(
        NOTES.format(
            rounds=rounds,
            count=len(frames),
            market_s=market_s,
            what=capture.tape.path.name,
            many=many_symbols.SECONDS,
            hours=many_symbols.HOURS,
        )
    )


def _machine() -> str:
    versions = [f"{name} {_version(name)}" for name in PEERS]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python}, {os.cpu_count()} cores, {sys.platform}; {', '.join(versions)}"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _show(part: str, checks: Iterable[str]) -> None:
    """As they come: the whole run takes a while."""
    for check in checks:
        print(f"  {part}: {check}", flush=True)


def _summary(rows: list[Row]) -> str:
    held = [row.met for row in rows if row.met is not None]
    return f"{sum(held)} of {len(held)} goals met"


if __name__ == "__main__":
    main()
