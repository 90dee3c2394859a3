"""Entry rule and position book (desk `positions`)."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from bot.domain.params import Params


class EntryParams(Params):
    max_slip_bps: Decimal = Field(Decimal(10), ge=0, le=500, description="limit beyond the opposite best price")
    max_age_s: float = Field(10.0, gt=0, description="a signal older than this has expired")
    max_move_pct: Decimal = Field(
        Decimal("0.3"), gt=0, description="so has one from which price moved farther than this"
    )
