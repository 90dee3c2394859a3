"""What a live engine recorded decides the same again: every event, in order, with its frame number."""

from __future__ import annotations

import pytest

from bot.app.run import Outcome, replay
from bot.app.settings import Settings, load_settings
from bot.runtime.tape import Tape
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
    print(outcome.summary, first.summary["as_recorded"], live.recorder.answer(), live.told)
    assert outcome.summary["this_session"]["fills"] > 50
    assert first.summary["as_recorded"] == {"same": True, "problems": []}
    assert first.summary["digest"] == second.summary["digest"] == outcome.summary["digest"]
    assert first.summary["frames"] == outcome.summary["frames"]
    assert first.summary["market_s"] > 3500
