"""The tape of a running engine: what its manifest says, and whether a replay decided the same. Behind `run --record` and `replay`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from msgspec.structs import astuple

from bot import __version__
from bot.app.connections import SIM
from bot.app.settings import rules
from bot.app.wiring import Parts
from bot.domain.instrument import Instrument
from bot.domain.market import Bar
from bot.runtime.rerun import Rerun
from bot.runtime.tape import Manifest, Recorded, Tape
from bot.sim.scenario import VERSION


class Market(Protocol):
    """What the recorded engine plays."""

    @property
    def instruments(self) -> Sequence[Instrument]: ...
    @property
    def others(self) -> Sequence[Instrument]: ...
    def warmup(self) -> Iterator[tuple[str, int, list[Bar]]]: ...


def manifest_of(parts: Parts, played: Market, *, fresh: bool) -> Manifest:
    """To be made after the engine has begun and before it takes a frame. `fresh` as in `Recorded`."""
    followed = list(parts.view.instruments())
    warmup: dict[str, dict[str, Any]] = {}
    for instrument_id, width_s, bars in played.warmup():
        warmup.setdefault(instrument_id, {})[str(width_s)] = [astuple(bar) for bar in bars]
    made_up = {"synthetic": str(VERSION)} if parts.settings.venue.name == SIM else {}
    known = {each.id: each for each in followed}
    known |= {each.id: each for each in played.instruments if each.id in warmup}  # BTC's volume, say
    adjustments, probation = parts.learning.in_force()
    return Manifest(
        venue=followed[0].venue,
        instruments=[*known.values(), *played.others],
        settings=dict(rules(parts.settings)),
        config_hash=parts.config_hash,
        versions={"bot": __version__, **made_up},
        start_ns=parts.started_ns,
        warmup=warmup,
        adjustments=adjustments,
        probation=probation,
        engine=Recorded(account=parts.settings.account, session=parts.session, began_ns=parts.started_ns, fresh=fresh),
    )


def why_not_again(tape: Tape, config_hash: str) -> str:
    """Why an engine's tape is not played as it was recorded; empty where it is. Then fills are computed anew."""
    recorded = tape.manifest.engine
    if recorded is None:
        return "no engine recorded it"
    if not recorded.fresh:
        return "the recorded engine went on with an account, or with an operator's orders, of an earlier session"
    if not tape.from_its_start:
        return "its oldest part was deleted"
    if config_hash != tape.manifest.config_hash:
        return f"the settings are not those it was recorded with ({tape.manifest.config_hash}, now {config_hash})"
    return ""


def judged(tape: Tape, digest: str, why_not: str, rerun: Rerun | None) -> dict[str, Any]:
    """`same` is None where it cannot be told; `problems` say why, or what differs."""
    recorded = tape.manifest.engine
    if rerun is None or recorded is None:
        return {"same": None, "problems": [f"fills were computed anew: {why_not}"]}
    if recorded.digest is None:
        return {
            "same": None,
            "problems": ["the recording was not closed, so nothing says what was decided", *rerun.problems],
        }
    return {"same": digest == recorded.digest, "problems": rerun.problems}
