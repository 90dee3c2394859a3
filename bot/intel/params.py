"""Settings of the providers of readings, apart from what opens sockets: every command reads them."""

from __future__ import annotations

from pydantic import Field

from bot.domain.params import Params

DERIBIT_URL = "https://www.deribit.com"


class DeribitParams(Params):
    base_url: str | None = Field(None, description="another host for its public option data")
    coins: tuple[str, ...] = Field(("BTC", "ETH"), description="whose options it is asked for, where they are followed")
    refresh_s: float = Field(300.0, gt=0, description="between two answers")
    timeout_s: float = Field(10.0, gt=0, le=60, description="for one answer")
    backoff_s: float = Field(5.0, gt=0, description="after a failure; doubled with each in a row, up to refresh_s")
