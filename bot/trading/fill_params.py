"""Settings of simulated fills, shared by paper, shadow positions and the embedded exchange."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from pydantic import Field, field_validator

from bot.domain.instrument import Instrument
from bot.domain.params import Params
from bot.trading.margin import SAMPLE_DATE, Bracket, make_brackets
from bot.trading.queue import QueueModel


class FillParams(Params):
    queue: QueueModel = Field(
        QueueModel.RISK_AVERSE,
        description="what left a level without a trade stood: risk_averse behind us, power or log",
    )
    queue_power: Decimal = Field(Decimal(3), gt=0, le=10, description="n of the power model")
    liquidation_fee_pct: Decimal = Field(
        Decimal("1.25"), ge=0, le=10, description="taken on top of the taker fee (Binance BTCUSDT; other coins up to 3)"
    )
    brackets: dict[str, tuple[tuple[Decimal, Decimal], ...]] = Field(
        {}, description=f"by coin [cap in USD, maintenance %]; else Binance's BTCUSDT table of {SAMPLE_DATE} for all"
    )

    @field_validator("brackets")
    @classmethod
    def _rising(
        cls, tables: dict[str, tuple[tuple[Decimal, Decimal], ...]]
    ) -> dict[str, tuple[tuple[Decimal, Decimal], ...]]:
        for coin, rows in tables.items():
            steps = list(zip(((Decimal(0), Decimal(0)), *rows), rows, strict=False))
            if not rows or any(not (old[0] < new[0] and old[1] < new[1] < 100) for old, new in steps):
                raise ValueError(f"{coin}: caps and percents must be above zero and rise, percents to less than 100")
        return tables


def brackets_of(instruments: Mapping[str, Instrument], params: FillParams) -> dict[str, tuple[Bracket, ...]]:
    """By instrument id, of the coins that the settings have a table for."""
    return {
        name: make_brackets((cap, pct / 100) for cap, pct in params.brackets[each.base])
        for name, each in instruments.items()
        if each.base in params.brackets
    }
