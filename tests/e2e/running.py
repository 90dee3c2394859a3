"""The engine as its users meet it: a process, its data folder, its address; and small tapes to play in it.

Processes are real and see no settings but those given. Nothing waits longer than what it waits for: `until` looks every few
milliseconds, and gives up only when even a machine that is busy with everything else would be done. Tapes are cut from the bundled recording; operator requests and readings are put in between its frames.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from decimal import Decimal
from functools import cache
from io import BytesIO, TextIOWrapper
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar
from unittest.mock import patch

import msgspec
from rich.console import Console

from bot.app.run import Outcome, run
from bot.app.settings import Settings
from bot.cli import main, tables
from bot.demo import BUNDLED_TAPE
from bot.domain.frames import Frame, Lane, Source
from bot.domain.messages import CloseRequest, OperatorRequest, OutsideSignal
from bot.domain.reading import LongShort, MaxPain, OiDelta, Reading, Regime
from bot.domain.values import NS, Direction, RegimeLabel
from bot.journal.lock import TOKEN_FILE, running_api
from bot.journal.reader import read_events
from bot.market.readings import encode_reading
from bot.runtime.tape import Tape
from bot.runtime.tape_writer import TapeWriter

ROOT = Path(__file__).resolve().parents[2]
BTC = "binanceusdm:BTCUSDT"
SYMBOL = "BTC/USDT:USDT"
START_NS = 1_723_161_255_030_314_667  # of the bundled recording
PATIENCE_S = 120.0
BOOK_S = 0.29  # its book can be used from then on
T = TypeVar("T")
Json = dict[str, Any]


# --- processes -----------------------------------------------------------------------------------------------------


class Result(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def environment(**settings: str) -> dict[str, str]:
    """This process's without its settings of ours and its terminal's size; any free port for the API, and the bundled recording unless
    another market is asked."""
    other = ("BOT_", "LINES", "COLUMNS")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(other)}
    state = str(
        Path(tempfile.gettempdir()) / f"big-alpha-tests-{os.getpid()}"
    )  # where what all engines of a user share would be
    ours = {"PYTHONPATH": str(ROOT), "BOT_API__PORT": "0", "BOT_VENUE__NAME": "tape", "XDG_STATE_HOME": state}
    return clean | ours | settings


def launch(*command: object, cwd: Path, **settings: str) -> subprocess.Popen[str]:
    """`python -m bot COMMAND` in a folder that has no settings file."""
    return subprocess.Popen(
        [sys.executable, "-m", "bot", *map(str, command)],
        cwd=cwd,
        env=environment(**settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> Result:
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"did not end within {PATIENCE_S} s: {out[-2000:]} {err[-2000:]}") from None
    return Result(process.returncode, out, err)


def discard(process: subprocess.Popen[str]) -> None:
    """Kill it if it still runs and let go of its pipes."""
    process.kill()
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def bot(*command: object, cwd: Path, **settings: str) -> Result:
    return finished(launch(*command, cwd=cwd, **settings))


def called(*command: object, cwd: Path, **settings: str) -> Result:
    """The same as `bot` without the time that Python and imports take: the entry point itself, called in this process."""
    out, err = TextIOWrapper(BytesIO(), "utf-8"), TextIOWrapper(BytesIO(), "utf-8")
    code: Any = 0
    with (
        chdir(cwd),
        redirect_stdout(out),
        redirect_stderr(err),
        patch.dict(os.environ, environment(**settings), clear=True),
        patch.object(sys, "argv", ["bot", *map(str, command)]),
        patch.object(tables, "console", Console(highlight=False, width=tables.PIPE_WIDTH)),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    return Result(code, _written(out), _written(err))


def _written(stream: TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, BytesIO)
    return stream.buffer.getvalue().decode()


def until(look: Callable[[], T | None], what: str) -> T:
    """What `look` returns as soon as it is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (seen := look()):
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s in vain for {what}"
        time.sleep(0.01)
    return seen


class Answer(NamedTuple):
    status: int
    body: Any


class Engine:
    """`python -m bot run` in a process of its own, with its API. Leaving the `with` kills it if it still runs."""

    def __init__(self, data_dir: Path, *options: object, **settings: str) -> None:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        self.data_dir = data_dir
        self.process = launch("run", "--json", "--data-dir", data_dir, *options, cwd=data_dir.parent, **settings)
        try:
            self.url = until(self._published, "the address of the API")
        except AssertionError:
            discard(self.process)
            raise
        self.host, self.port = "127.0.0.1", int(self.url.rpartition(":")[2])
        self.token = (data_dir / TOKEN_FILE).read_text() if "BOT_API__TOKEN" not in settings else ""

    def _published(self) -> str | None:
        assert self.process.poll() is None, self.process.communicate()
        return running_api(self.data_dir)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        discard(self.process)

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str | bytes] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, json.loads(response.read() or b"null"))
        finally:
            connection.close()

    def get(self, path: str, expect: int = 200) -> Any:
        answer = self.request("GET", path)
        assert answer.status == expect, answer
        return answer.body

    def post(self, path: str, body: Any = None) -> Answer:
        """With the right token; `body` is sent as JSON."""
        return self.request("POST", path, json.dumps(body or {}), {"Authorization": f"Bearer {self.token}"})

    def signal(self, external_id: str, direction: str, **fields: Any) -> Answer:
        return self.post("/api/signals", {"id": external_id, "symbol": SYMBOL, "direction": direction, **fields})

    def wait_for(self, kind: str, count: int = 1) -> list[Json]:
        """The events of a kind, once there are so many."""

        def enough() -> list[Json] | None:
            events: list[Json] = self.get(f"/api/events?kinds={kind}")
            return events if len(events) >= count else None

        return until(enough, f"{count} {kind}")

    def interrupt(self) -> Result:
        self.process.send_signal(signal.SIGINT)
        return finished(self.process)


def journal_of(data_dir: Path) -> list[Json]:
    """All events, as `events --json` prints them."""
    result = called("events", "--json", "--data-dir", data_dir, cwd=data_dir.parent)
    assert result.code == 0, result
    return [json.loads(line) for line in result.out.splitlines()]


# --- tapes ---------------------------------------------------------------------------------------------------------


@cache
def recording(count: int) -> tuple[Frame, ...]:
    """The first frames of the bundled recording; 2000 last 8.8 s."""
    return tuple(islice(Tape.open(BUNDLED_TAPE).frames(), count))


def at(seconds: float) -> int:
    """Engine time that long after the recording's start."""
    return START_NS + round(seconds * NS)


def said(seconds: float, request: OperatorRequest) -> Frame:
    """An operator's request at that time of the recording."""
    return Frame(at(seconds), Lane.ACCOUNT, Source.OPERATOR, msgspec.json.encode(request))


def read(seconds: float, name: str, value: Any, *, source: str, key: str = BTC, age_s: float = 0.0) -> Frame:
    """A reading that arrives at that time of the recording and is `age_s` old then."""
    received_ns = at(seconds)
    reading = Reading(
        name=name,
        key=key,
        source=source,
        value=value,
        observed_ns=received_ns - round(age_s * NS),
        received_ns=received_ns,
        max_age_ns=0,  # the table's, whatever is said here
    )
    return Frame(received_ns, Lane.DATA, Source.READING, encode_reading(reading))


def write_tape(folder: Path, frames: Iterable[Frame], *, in_time: bool = True) -> Path:
    """A tape of these frames in the order of their times, or as they come."""
    manifest = msgspec.structs.replace(Tape.open(BUNDLED_TAPE).manifest, frames=None, origin=None)
    with TapeWriter(folder, manifest) as tape:
        for frame in sorted(frames, key=lambda frame: frame.recv_ns) if in_time else frames:
            tape.write(frame)
    return folder


def parked() -> Frame:
    """A last frame so far off (100 s at 10,000 times real speed) that the feed stays before it: the engine stands still and
    answers, until it is stopped."""
    return Frame(at(1e6), Lane.DATA, Source.READING, b"")


def signal_at(seconds: float, external_id: str, direction: Direction, **fields: Any) -> Frame:
    return said(seconds, OutsideSignal(external_id=external_id, instrument=BTC, direction=direction, **fields))


TREND = Regime(label=RegimeLabel.TREND, hurst=0.7, z=2.5, sum_100=0.02, sum_12=0.004)


def scripted() -> list[Frame]:
    """Nine seconds with one of each, given no rest after a close (`risk.cooldown_s` 0) and no strategy of our own: a long that
    the crowd forbids, a short that the operator closes, a long in TRUE TREND under a magnet 5 % above that stays open."""
    return [
        *recording(2000),
        read(0.5, "long_short", LongShort(ratio=Decimal("2.5")), source="venue"),
        signal_at(1, "crowded", Direction.LONG),
        signal_at(2, "closed", Direction.SHORT),
        said(4, CloseRequest(instrument=BTC)),
        read(5, "long_short", LongShort(ratio=Decimal("1.5")), source="venue"),
        read(5, "regime", TREND, source="own"),
        read(5, "oi_delta_5m", OiDelta(pct=0.4), source="venue"),
        read(5, "max_pain", pain("65000"), source="deribit", key="BTC"),
        signal_at(6, "trend", Direction.LONG),
    ]


def pain(price: str) -> MaxPain:
    return MaxPain(price=Decimal(price), expiry="2024-08-09", notional_usd=Decimal("1e9"))


# --- an engine in this process, for what a process would not show any better ------------------------------------------


class Played(NamedTuple):
    outcome: Outcome
    events: list[Json]

    def of(self, kind: str) -> list[Json]:
        """The data of the events of a kind."""
        return [event["data"] for event in self.events if event["kind"] == kind]

    def decision(self, number: int = 0) -> Json:
        decision: Json = self.of("DECISION")[number]
        return decision | {"verdicts": {verdict["guard"]: verdict for verdict in decision["verdicts"]}}


def settings_for(data_dir: Path, tape: Path, **settings: Any) -> Settings:
    """Defaults, the tape as fast as it goes, and no strategy of our own unless asked for."""
    venue = {"tape": tape, "speed": 10_000}
    return Settings.model_validate(
        {"data_dir": data_dir, "venue": venue, "api": {"port": 0}, "strategies": ()} | settings
    )


def play(tmp_path: Path, frames: Iterable[Frame], **settings: Any) -> Played:
    """Run these frames through the whole engine, journal and API included, and read the journal afterwards."""
    return play_tape(tmp_path / "data", write_tape(tmp_path / "tape", frames), **settings)


def play_tape(data_dir: Path, tape: Path, **settings: Any) -> Played:
    outcome = run(settings_for(data_dir, tape, **settings), notices=[], screen=False, quiet=True)
    return Played(outcome, events_in(data_dir))


def events_in(data_dir: Path) -> list[Json]:
    return [event.to_dict() for event in read_events(data_dir)]
