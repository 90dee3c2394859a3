"""Runs of the bundled recording that several modules look at: started once and together, waited for when first needed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.running import Json, Result, discard, finished, journal_of, launch


class DemoRun(NamedTuple):
    """A finished run of the demonstration, and all that it journaled."""

    data_dir: Path
    result: Result
    summary: Json
    events: list[Json]

    def of(self, kind: str) -> list[Json]:
        return [event for event in self.events if event["kind"] == kind]


class Started(NamedTuple):
    folder: Path
    processes: dict[str, subprocess.Popen[str]]


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    folder = tmp_path_factory.mktemp("demo")
    run = ("run", "--demo", "--json", "--data-dir")
    processes = {
        "paced": launch(*run, "paced", "--venue", "tape", "--speed", 50, cwd=folder, PYTHONHASHSEED="3"),
        "hurried": launch(*run, "hurried", "--speed", 10_000, cwd=folder, PYTHONHASHSEED="4"),
        "replay 1": launch("replay", "--demo", "--json", cwd=folder, PYTHONHASHSEED="1"),
        "replay 2": launch("replay", "--demo", "--json", cwd=folder, PYTHONHASHSEED="2"),
    }
    yield Started(folder, processes)
    for process in processes.values():
        discard(process)


def _demo_run(started: Started, name: str) -> DemoRun:
    result = finished(started.processes[name])
    assert (result.code, result.err) == (0, ""), result
    data_dir = started.folder / name
    return DemoRun(data_dir, result, result.json(), journal_of(data_dir))


@pytest.fixture(scope="session")
def paced(started: Started) -> DemoRun:
    """At 50 times real speed."""
    return _demo_run(started, "paced")


@pytest.fixture(scope="session")
def hurried(started: Started) -> DemoRun:
    """As fast as it goes."""
    return _demo_run(started, "hurried")


@pytest.fixture(scope="session")
def replays(started: Started) -> list[Json]:
    """What two replays with different hash seeds printed."""
    results = [finished(started.processes[name]) for name in ("replay 1", "replay 2")]
    assert all((result.code, result.err) == (0, "") for result in results), results
    return [result.json() for result in results]
