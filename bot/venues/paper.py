"""The paper venue: a simulated venue of the account's own, whose reports come back as the bytes of account frames."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from pydantic import Field, model_validator

from bot.trading.fill_params import FillParams
from bot.trading.fills import Matching
from bot.trading.latency import Latency
from bot.trading.simulated_venue import SimulatedVenue
from bot.venues.reports import encode_report


class PaperParams(FillParams):
    equity_usd: Decimal = Field(
        Decimal(10000),
        gt=0,
        le=10**12,  # sums are exact to the last digit up to there, and far beyond
        decimal_places=8,
        description="wallet at the start of a new paper account",
    )
    latency_ms: int = Field(150, ge=0, le=60_000, description="from decision to the venue's matching engine, median")
    latency_p99_ms: int = Field(600, ge=0, le=600_000, description="of 100 commands one takes longer; 0: all the same")

    @model_validator(mode="after")
    def _ordered(self) -> PaperParams:
        if 0 < self.latency_p99_ms < self.latency_ms:
            raise ValueError(
                f"latency_p99_ms = {self.latency_p99_ms} is less than the median latency_ms = {self.latency_ms}"
            )
        return self


class PaperVenue(SimulatedVenue):
    """`report` takes a frame's bytes; `schedule` as in `SimulatedVenue`."""

    name: str = "paper"

    def __init__(
        self,
        matching: Matching,
        params: PaperParams,
        schedule: Callable[[str, int], None],
        report: Callable[[bytes], None],
    ) -> None:
        latency = Latency(params.latency_ms, params.latency_p99_ms)
        super().__init__(matching, latency, schedule, lambda said: report(encode_report(said)))
