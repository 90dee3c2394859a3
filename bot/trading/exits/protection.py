"""The protective stop: where it is, and that it only ever tightens."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field

from bot.domain.params import Params


class StopParams(Params):
    mode: Literal["pct"] = "pct"
    pct: Decimal = Field(Decimal("1.0"), gt=0, lt=50, description="distance from entry, percent; triggers on mark")
