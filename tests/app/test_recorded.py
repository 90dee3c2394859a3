"""What a live engine recorded decides the same again: every event, in order, with its frame number."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bot.app.replaying import replay
from bot.app.run import Outcome
from bot.app.settings import Settings, load_settings
from bot.domain.frames import Source
from bot.runtime.tape import Tape
from bot.runtime.tape_writer import TapeWriter
from bot.sim.presets import preset
from bot.sim.synthetic import write_tape
from tests.app.live_hours import LiveHours

FREELY = {
    "risk.cooldown_s": "0",
    "risk.entries_per_symbol_day": "100000",
    "risk.entries_per_day": "100000",
    "risk.reducing_clear_s": "0",
}


def settings(**more: str) -> Settings:
    return load_settings(overrides={**FREELY, "symbols": "BTC/USDT:USDT,ETH/USDT:USDT", **more}, env={})


def again(live: LiveHours, **more: str) -> Outcome:
    return replay(settings(**{"venue.tape": str(live.folder / "out"), **more}))


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> tuple[LiveHours, Outcome]:
    folder = tmp_path_factory.mktemp("hour")
    write_tape(preset("random", seed=3, hours=1, symbols=2), folder / "market")
    live = LiveHours(settings(), Tape.open(folder / "market"), folder, speed=400, seed=1)
    return live, live.run()


def test_an_hour_decides_the_same_again_and_again(hour: tuple[LiveHours, Outcome]) -> None:
    live, outcome = hour
    first, second = again(live), again(live)
    assert outcome.summary["this_session"]["fills"] > 25
    assert first.summary["as_recorded"] == {"same": True, "problems": []}
    assert first.summary["digest"] == second.summary["digest"] == outcome.summary["digest"]
    assert first.summary["frames"] == outcome.summary["frames"]
    assert first.summary["market_s"] > 3500


def test_orders_that_arrive_before_their_intent_was_durable(tmp_path: Path) -> None:
    """Without latency an order is due when it is decided, and its disk is always too late."""
    at_once = {"paper.latency_ms": "0", "paper.latency_p99_ms": "0"}
    write_tape(preset("random", seed=4, hours=0.25, symbols=2), tmp_path / "market")
    live = LiveHours(settings(**at_once), Tape.open(tmp_path / "market"), tmp_path, speed=300, seed=2)
    outcome, replayed = live.run(), again(live, **at_once)
    assert outcome.summary["this_session"]["fills"] > 3
    assert replayed.summary["as_recorded"] == {"same": True, "problems": []}


def test_an_operators_request_left_out_shows(hour: tuple[LiveHours, Outcome], tmp_path: Path) -> None:
    live, _ = hour
    tape = Tape.open(live.folder / "out")
    frames = list(tape.taken())
    middle = [n for n, frame in enumerate(frames) if frame.source == Source.OPERATOR][20]
    with TapeWriter(tmp_path / "tape", tape.manifest) as writer:
        for frame in frames[:middle] + frames[middle + 1 :]:
            writer.write(frame)
    replayed = replay(settings(**{"venue.tape": str(tmp_path / "tape")}))
    assert replayed.summary["as_recorded"]["same"] is False


def test_a_tape_without_its_beginning_is_not_played_as_recorded(
    hour: tuple[LiveHours, Outcome], tmp_path: Path
) -> None:
    live, _ = hour
    shutil.copytree(live.folder / "out", tmp_path / "tape")
    first, second = tmp_path / "tape" / "part-00000.zst", tmp_path / "tape" / "part-00001.zst"
    first.rename(second)
    replayed = replay(settings(**{"venue.tape": str(tmp_path / "tape")}))
    assert replayed.summary["as_recorded"] == {
        "same": None,
        "problems": ["fills were computed anew: its oldest part was deleted"],
    }
    assert replayed.summary["fills"] > 10
