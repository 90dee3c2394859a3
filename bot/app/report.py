"""The report of an account: what `report` prints, writes as one HTML page, and answers with `--json`.

One pass over the journal's events feeds the trades and the ledger; the page draws from the very document that `--json` prints.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bot import __version__
from bot.domain.events import Event
from bot.learning.ledger import KINDS as LEDGER_KINDS
from bot.learning.ledger import Ledger
from bot.learning.table import answer, question
from bot.learning.tearsheet import sheet
from bot.learning.trades import KINDS as TRADE_KINDS
from bot.learning.trades import TradeBook

KINDS = LEDGER_KINDS | TRADE_KINDS


@dataclass(slots=True)
class Report:
    book: TradeBook = field(default_factory=TradeBook)
    ledger: Ledger = field(default_factory=Ledger)

    def fold(self, events: Iterable[Event]) -> None:
        for event in events:
            self.book.apply(event)
            self.ledger.apply(event)

    def plain(self) -> dict[str, Any]:
        """JSON-able. `ledger` is what `guards --json` answers: of all accounts of the journal, in the configuration in force."""
        return {"version": __version__, **sheet(self.book), "ledger": answer(self.ledger, question())}
