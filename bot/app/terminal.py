"""The terminal view: once a second, drawn in a thread of its own, from copied snapshots. Without a terminal: plain lines."""

from __future__ import annotations

import asyncio
from typing import Any

from bot.api.snapshot import Live
from bot.app.logs import LogObserver, clock_text

DEPTH = 5
REFRESH_S = 1.0
PLAIN_EVERY_S = 10.0


class Screen:
    """`what` says in one line what is being played. Draws only with `live`; otherwise says a status line now and then."""

    def __init__(self, source: Live, logs: LogObserver, *, what: str, live: bool) -> None:
        self._source, self._logs, self._what = source, logs, what
        self._shown: dict[str, Any] | None = None
        self._drawing = self._start() if live else None

    async def run(self) -> None:
        interval_s = REFRESH_S if self._drawing is not None else PLAIN_EVERY_S
        while True:
            await asyncio.sleep(interval_s)
            shown = await self._source.engine.inspect(self._copy)
            if self._drawing is None:
                self._logs.say(plain_line(shown))
            else:
                self._shown = shown

    def close(self) -> None:
        if self._drawing is not None:
            self._drawing.stop()

    def _copy(self) -> dict[str, Any]:
        source = self._source
        instrument = next(iter(source.view.instruments())).id
        return {
            "status": source.status(),
            "market": source.market(instrument, DEPTH),
            "readings": source.readings(instrument),
            "positions": source.positions(),
            "signals": [self._with_verdicts(signal) for signal in source.projection.signals(6)],
            "lines": list(self._logs.lines)[-8:],
        }

    def _with_verdicts(self, signal: dict[str, Any]) -> dict[str, Any]:
        story = self._source.projection.why(signal["signal_id"])
        return {**signal, "verdicts": story["verdicts"] if story is not None else []}

    def _start(self) -> Any:
        from rich.live import Live as RichLive

        drawing = RichLive(get_renderable=self._render, refresh_per_second=1, screen=True, redirect_stdout=False)
        drawing.start()
        return drawing

    def _render(self) -> Any:
        from bot.app.panels import waiting, whole

        shown = self._shown
        return waiting(self._what) if shown is None else whole(self._what, shown)


def plain_line(shown: dict[str, Any]) -> str:
    status, market = shown["status"], shown["market"]
    counts = status["this_session"]
    book = f"{market['bid']} / {market['ask']}" if market["usable"] else "no book"
    return (
        f"{clock_text(status['engine_time_ns'])} {status['state']} {market['symbol']} {book}, last {market['last']}, "
        f"signals {counts['signals']} (allowed {counts['allowed']}), open {len(shown['positions'])}, "
        f"equity {float(status['equity_usd']):.2f} USD, frame {status['frames']}"
    )
