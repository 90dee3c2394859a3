"""Trade flow: taker volumes, whale CVD and order-flow imbalance from our own streams."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from bot.domain.params import Params


class TakerParams(Params):
    min_usd: Decimal = Field(Decimal(50000), ge=0, description="five-minute volume under which the ratio means nothing")


class WhaleParams(Params):
    floor_usd: Decimal = Field(Decimal(100000), gt=0, description="smallest taker order that counts as a whale's")


class OfiParams(Params):
    window_s: int = Field(10, ge=1, le=300, description="window of the order-flow imbalance reading")
