"""Settings of group `learning`."""

from __future__ import annotations

from pydantic import Field

from bot.domain.params import Params
from bot.learning.probation import ProbationRule


class LearningParams(Params):
    auto_apply: bool = Field(False, description="apply significant recommendations without being told to")
    explore_share: float = Field(
        0.0, ge=0, le=0.5, description="share of blocked signals taken all the same, in paper only; 0: none"
    )
    explore_seed: int = Field(0, ge=0, description="another seed draws other signals")
    probation: ProbationRule = ProbationRule()
