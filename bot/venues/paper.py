"""The paper venue."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from bot.domain.params import Params


class PaperParams(Params):
    equity_usd: Decimal = Field(Decimal(10000), gt=0, description="wallet at the start of a paper session")
    latency_ms: int = Field(150, ge=0, le=60_000, description="from decision to the venue's matching engine")
