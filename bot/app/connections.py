"""Settings of what the program connects to: venues, providers, and its own API. Merged into `settings.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from bot.api.hosts import is_loopback
from bot.domain.params import Params
from bot.exchanges.base import exchanges
from bot.intel.params import CoinGlassParams, DeribitParams

SIM, TAPE = "sim", "tape"
VENUES = (SIM, TAPE, *exchanges())
"""Where the market can come from.

Hyperliquid is not among them. Its book has 20 levels a side, each a lump of what lies between two prices of so many significant
figures: lumps of 1 bp (BTC, four figures) end 0.2 % from price, which widens nothing; lumps that reach 2 % or farther are 10 bps or
wider, as wide as a wall is allowed to be, and would show walls that are many small orders."""


def _url(value: str, *schemes: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in schemes or not parts.hostname or parts.port == 0:  # `port` raises for what is none
        raise ValueError(f"must be like {schemes[-1]}://host or {schemes[0]}://host:port")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must hold no user name or password")
    return value


Url = Annotated[str, AfterValidator(lambda value: _url(value, "http", "https"))]
WsUrl = Annotated[str, AfterValidator(lambda value: _url(value, "ws", "wss"))]
UserPath = Annotated[Path, AfterValidator(Path.expanduser)]


class VenueSettings(Params):
    name: str = Field(
        SIM,
        description=f"where the market comes from: sim (the embedded exchange's synthetic market), tape (default where one is named), or the public data of {', '.join(exchanges())}",
    )
    tape: UserPath | None = Field(None, description="folder of a recorded session; empty: the bundled recording")
    speed: float = Field(
        1.0, gt=0, le=10_000, description="how fast a tape is played, or the embedded exchange's clock runs"
    )
    past_trade_calls: int = Field(
        24,
        ge=0,
        le=50,
        description="how many calls a symbol may take to look up the hour before its stream began (Binance: 1,000 trades each); 0: none",
    )
    rest_url: Url | None = Field(None, description="another host for the venue's REST calls (scheme, host, port)")
    ws_url: WsUrl | None = Field(None, description="another host for the venue's websockets (scheme, host, port)")
    api_key: SecretStr | None = None
    secret: SecretStr | None = None
    password: SecretStr | None = None

    @model_validator(mode="before")
    @classmethod
    def _tape_is_meant(cls, given: Any) -> Any:
        """Who names a recording wants it played."""
        if isinstance(given, dict) and given.get("tape") is not None and "name" not in given:
            return {**given, "name": TAPE}
        return given

    @property
    def exchange(self) -> str:
        """Whose protocol is spoken: the embedded exchange speaks Binance USD-M's."""
        return "binanceusdm" if self.name == SIM else self.name


class SimSettings(Params):
    """Of the embedded exchange (venue `sim`)."""

    preset: str = Field("demo", description="which synthetic market: see `python -m bot sim --help`")
    seed: int = Field(7, ge=0, description="same seed and start, same market")


class OtherVenueSettings(Params):
    """Of a venue whose books only show walls (`walls.venues`)."""

    rest_url: Url | None = Field(None, description="another host for its REST calls (scheme, host, port)")
    ws_url: WsUrl | None = Field(None, description="another host for its websockets (scheme, host, port)")


class CoinglassSettings(CoinGlassParams):
    api_key: SecretStr | None = None
    base_url: Url | None = Field(None, description="another host for CoinGlass")


class DeribitSettings(DeribitParams):
    base_url: Url | None = Field(None, description="another host for its public option data")


class CockpitSettings(Params):
    enabled: bool = Field(True, description="the page on the API's address; the API itself is always on")
    actions: bool = Field(
        False, description="the page may act: pause, resume, close, flatten, kill, learned multipliers"
    )


STRONG = 16  # characters of a token that others may try


class ApiSettings(Params):
    host: str = Field(
        "127.0.0.1", min_length=1, description="address the API listens on; not loopback: the token is needed for all"
    )
    hosts: tuple[str, ...] = Field(
        (),
        description="further names it may be asked by, NAME or NAME:PORT (Host header), as of a proxy; comma-separated",
    )
    port: int = Field(8787, ge=0, le=65_535, description="0: any free port")
    token: SecretStr | None = Field(None, description="else generated into the data folder")

    @model_validator(mode="after")
    def _no_weak_token_for_others(self) -> ApiSettings:
        """What only this machine hears is the owner's to choose."""
        if self.token is not None and not is_loopback(self.host) and len(self.token.get_secret_value()) < STRONG:
            raise ValueError(
                f"api.token is too short for {self.host}, which others can reach: {STRONG} characters or more"
            )
        return self
