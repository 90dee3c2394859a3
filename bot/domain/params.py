"""Base of every group of settings. A module owns its `Params`; `app/settings.py` puts them together."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Params(BaseModel):
    """Frozen, refuses unknown names, infinities and NaN, never prints the offending value (it may be a secret)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)
