"""Settings of the providers of readings, apart from what opens sockets: every command reads them."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from bot.domain.params import Params
from bot.market.liquidation_model import LiquidationModelParams


class VenueStatisticsParams(Params):
    open_interest_s: float = Field(60.0, gt=0, description="between two readings of open interest")
    crowd_s: float = Field(300.0, gt=0, description="between two of the long/short ratio, and of the liquidation model")
    history_s: float = Field(86_400.0, gt=0, description="between two readings of the ratio's last 30 days")
    settle_s: float = Field(20.0, ge=0, description="after a full five minutes, until the venue has its sample")
    timeout_s: float = Field(10.0, gt=0, description="for one answer")
    backoff_s: float = Field(2.0, gt=0, description="doubled with each failure in a row, up to the reading's own pace")
    model: LiquidationModelParams = LiquidationModelParams()


COINGLASS_URL = "https://open-api-v4.coinglass.com"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class CoinGlassParams(Params):
    base_url: str | None = Field(None, description="another host for CoinGlass")
    plan: Literal["auto", "none", "hobbyist", "startup", "standard", "professional", "enterprise"] = Field(
        "auto", description="auto: as the provider says; none: never asked"
    )
    timeout_s: float = Field(10.0, gt=0, le=60, description="for one answer")
    at_once: int = Field(4, ge=1, le=16, description="answers waited for at a time")
    wall_venues: tuple[str, ...] = Field(("Binance", "OKX", "Bybit"), description="whose large orders make walls")
    option_coins: tuple[str, ...] = Field(("BTC", "ETH"), description="coins with options on Deribit")

    @field_validator("base_url")
    @classmethod
    def _safe(cls, base_url: str | None) -> str | None:
        """The key is sent there, so in clear only within this machine."""
        if base_url is None:
            return None
        url = urlsplit(base_url)
        if url.scheme != "https" and not (url.scheme == "http" and url.hostname in _LOOPBACK):
            raise ValueError("must be https, or http on this machine")
        return base_url.rstrip("/")


DERIBIT_URL = "https://www.deribit.com"


class DeribitParams(Params):
    base_url: str | None = Field(None, description="another host for its public option data")
    coins: tuple[str, ...] = Field(("BTC", "ETH"), description="whose options it is asked for, where they are followed")
    refresh_s: float = Field(300.0, gt=0, description="between two answers")
    timeout_s: float = Field(10.0, gt=0, le=60, description="for one answer")
    backoff_s: float = Field(5.0, gt=0, description="after a failure; doubled with each in a row, up to refresh_s")
