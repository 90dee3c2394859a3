"""Multipliers in force, step by step: what may be changed, how far, and what takes it back (product 8). Pure.

One step a subject in 24 h, of at most 5 %, within [0.5, 1.5]. Steps are a stack: `undo` takes the newest back, a revert all of
them, and neither waits; after a revert the next step does. Every change is an ADJUSTMENT, and folding those gives the stacks again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from bot.domain.values import NS
from bot.learning.evidence import Evidence
from bot.learning.recommendations import stepped
from bot.learning.sequences import Mean

STEP_NS = 24 * 3600 * NS
APPLIED, UNDONE, REVERTED = "multiplier", "undo", "revert"


class Step(Struct, frozen=True, kw_only=True):
    before: float
    after: float
    at_ns: int
    rules: str  # config_hash of what it was learned under

    @property
    def up(self) -> bool:
        return self.after > self.before


class Multipliers:
    """`values` is what trading looks at, and is kept up to date."""

    def __init__(self, values: dict[str, float]) -> None:
        self.values = values
        self.steps: dict[str, list[Step]] = {}
        self._reverted_ns: dict[str, int] = {}

    def value(self, subject: str) -> float:
        return self.values.get(subject, 1.0)

    def refusal(self, evidence: Evidence | None, now_ns: int, *, anyway: bool) -> str:
        """Why a step may not be made now; empty when it may. `anyway`: asked for although not significant."""
        if evidence is None or evidence.z is None:
            return "there is no evidence about it"
        if not (evidence.significant or anyway):
            return f"not significant: {evidence.why_not}"
        changed_ns = self._changed_ns(evidence.subject)
        if changed_ns is not None and now_ns - changed_ns < STEP_NS:
            return "changed less than 24 h ago"
        before = self.value(evidence.subject)
        return f"it stays at {before:g}" if stepped(before, evidence.z) == before else ""

    def _changed_ns(self, subject: str) -> int | None:
        """When it was stepped or reverted last; what was undone was no change."""
        steps = self.steps.get(subject)
        return steps[-1].at_ns if steps else self._reverted_ns.get(subject)

    def next(self, evidence: Evidence, now_ns: int, rules: str) -> Step:
        """The step that this evidence allows. It is not made yet."""
        assert evidence.z is not None
        before = self.value(evidence.subject)
        return Step(before=before, after=stepped(before, evidence.z), at_ns=now_ns, rules=rules)

    def make(self, subject: str, step: Step) -> None:
        self.steps.setdefault(subject, []).append(step)
        self.values[subject] = step.after

    def undo(self, subject: str) -> Step:
        """The newest step, taken back."""
        step = self.steps[subject].pop()
        self._settle(subject, step.before)
        return step

    def revert(self, subject: str, now_ns: int) -> float:
        """All steps taken back; returns what the multiplier was."""
        before = self.value(subject)
        self.steps[subject].clear()
        self._reverted_ns[subject] = now_ns
        self._settle(subject, 1.0)
        return before

    def newest(self) -> str | None:
        """The subject that was changed last."""
        return max(self.steps, key=lambda subject: self.steps[subject][-1].at_ns, default=None)

    def _settle(self, subject: str, value: float) -> None:
        if self.steps[subject]:
            self.values[subject] = value
        else:
            del self.steps[subject]
            self.values.pop(subject, None)

    def recall(self, data: Mapping[str, Any], at_ns: int) -> None:
        """Fold the data of one ADJUSTMENT."""
        subject = data["subject"]
        if not data["applied"]:
            return
        if data["type"] == APPLIED:
            figures = {name: data[name] for name in ("before", "after", "rules")}
            self.make(subject, Step(at_ns=at_ns, **figures))
        elif data["type"] == UNDONE:
            self.undo(subject)
        elif data["type"] == REVERTED:
            self.revert(subject, at_ns)


def turned(steps: list[Step], since: Mean, rules: str) -> str:
    """Why the evidence no longer carries these steps; empty while it does. `since` is of what came after the newest."""
    newest = steps[-1]
    if newest.rules != rules:
        return "learned under another configuration"
    if newest.up and since.hi is not None and since.hi < 0:
        return f"since it was raised the mean is at most {since.hi:.2f}"
    if not newest.up and since.lo is not None and since.lo > 0:
        return f"since it was lowered the mean is at least {since.lo:.2f}"
    return ""
