"""A synthetic market as bytes and as a tape: our own decoder and market state take all of it, the same every time."""

from __future__ import annotations

from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from bot.app.run import describe
from bot.app.settings import load_settings
from bot.domain.errors import ConfigError, TapeError
from bot.domain.frames import Source
from bot.domain.market import BookDiff, TradePrint
from bot.domain.reading import ReadingState
from bot.domain.values import MS, NS, Side
from bot.exchanges.binance import VENUE, decode
from bot.market.readings import decode_reading
from bot.market.state import Market
from bot.runtime.tape import Tape
from bot.sim import binance_wire, synthetic
from bot.sim.market_model import SyntheticMarket
from bot.sim.presets import BTC, PRESETS, preset
from bot.sim.scenario import Motion, Scenario, Segment, Wall
from bot.sim.synthetic import frames_of, write_tape
from tests.e2e.running import bot, called
from tests.sim.scenarios import START_NS, moving, scenario

KEY = "binanceusdm:BTCUSDT"


class Listener:
    """The market state as the engine keeps it, sampled once a second."""

    def __init__(self, made: Scenario) -> None:
        self.model = SyntheticMarket(made)
        self.market = Market([coin.instrument for coin in made.coins])
        self.now_ns = 0
        self.readings = 0

    def play(self) -> Any:
        """Yields each decoded message; the model's own state is then that of the same moment."""
        next_ns = START_NS + NS
        for frame in frames_of(self.model):
            assert frame.recv_ns > self.now_ns, "no two frames at one time"
            while next_ns <= frame.recv_ns:
                self.market.sample(next_ns)
                next_ns += NS
            self.now_ns = frame.recv_ns
            if frame.source == Source.READING:
                self.market.store.put(decode_reading(frame.raw, frame.recv_ns))
                self.readings += 1
                continue
            message = decode(frame.raw)
            assert message is not None
            self.market.apply(message, frame.recv_ns)
            yield message


def book_of(listener: Listener) -> tuple[Any, Any]:
    book = listener.market.market(KEY).book
    return book.levels(Side.BUY, 10_000), book.levels(Side.SELL, 10_000)


def own_book(listener: Listener) -> tuple[Any, Any]:
    tick, step = float(1 / BTC.tick), float(1 / BTC.step)
    coin = listener.model.coins[0]
    return tuple([(ticks / tick, lots / step) for ticks, lots in side.levels()] for side in (coin.bids, coin.asks))  # type: ignore[return-value]


@pytest.mark.parametrize(
    "made",
    [scenario(seconds=3600), scenario(seconds=300, depth_ms=100, quotes=True, mark_s=1)],
    ids=["an hour", "as often as the venue"],
)
def test_decoder_and_market_take_every_frame_and_see_the_same_book(made: Scenario) -> None:
    listener, diffs = Listener(made), 0
    for message in listener.play():
        if isinstance(message, TradePrint):
            book = listener.market.market(KEY).book
            assert book.bid is not None and book.ask is not None
            assert message.price >= book.ask if message.taker_buys else message.price <= book.bid
        if isinstance(message, BookDiff):
            diffs += 1
            if diffs % 97 == 0:
                assert book_of(listener) == own_book(listener)
    assert diffs > 1000
    assert [note.usable for note in listener.market.notes] == [True]
    assert listener.readings > 5


def test_every_reading_is_there_for_the_guards_after_an_hour() -> None:
    listener = Listener(scenario(seconds=3700))
    for _ in listener.play():
        pass
    for name in (
        "taker_5m",
        "max_pain",
        "liquidation_clusters",
        "oi_delta_5m",
        "long_short",
        "whale_cvd",
        "ofi",
        "walls",
    ):
        reading = listener.market.reading(name, KEY, listener.now_ns)
        assert reading.state(listener.now_ns) is ReadingState.FRESH, (name, reading.reason)


def test_walls_are_seen_by_the_engine_as_they_were_made() -> None:
    stands = Wall(symbol="BTCUSDT", at_s=100, seconds=300, side=Side.SELL, distance_pct=1.0, usd=40e6)
    brief = Wall(symbol="BTCUSDT", at_s=100, seconds=40, side=Side.BUY, distance_pct=1.0, usd=40e6)
    listener = Listener(scenario(walls=(stands, brief), segments=moving(Motion.RANDOM, volatility=0.2)))
    seen: dict[int, Any] = {}
    second = 0
    for _ in listener.play():
        if listener.now_ns // NS > second:
            second = listener.now_ns // NS
            seen[second - START_NS // NS] = listener.market.reading("walls", KEY, listener.now_ns).value
    large = {at: [w for w in walls.asks if w.usd > 25e6] for at, walls in seen.items() if walls}
    assert not any(w.usd > 25e6 for walls in seen.values() if walls for w in walls.bids), "40 s are too short to stand"
    standing = [at for at, walls in large.items() if walls]
    assert standing[0] == pytest.approx(161, abs=2), "60 s after it was first seen"
    assert standing[-1] == pytest.approx(430, abs=2), "gone 30 s after it was pulled"
    assert standing == list(range(standing[0], standing[-1] + 1)), "without flicker"
    firsts = {w.first_seen_ns for walls in large.values() for w in walls}
    assert len(firsts) == 1
    assert (firsts.pop() - START_NS) / NS == pytest.approx(101, abs=1.5)
    prices = [w.price for walls in large.values() for w in walls]
    assert max(prices) - min(prices) < 65 and prices[0] == pytest.approx(65_000 * 1.01, rel=0.003)


def test_the_bytes_are_those_of_the_venue() -> None:
    made = scenario(quotes=True, seconds=30)
    seen: dict[str, Any] = {}
    for frame in frames_of(SyntheticMarket(made)):
        if frame.source == VENUE:
            message = orjson.loads(frame.raw)
            seen.setdefault(message["stream"], message["data"])
            assert frame.recv_ns > message["data"]["E"] * MS
            if "markPrice" not in message["stream"]:  # its T is the funding time
                assert message["data"]["E"] == message["data"]["T"] + 1
    assert {stream.partition("@")[2] for stream in seen} == {
        "depth@100ms", "aggTrade", "bookTicker", "markPrice", "depth_snapshot",
    }  # fmt: skip
    assert list(seen["btcusdt@depth@100ms"]) == ["e", "E", "T", "s", "U", "u", "pu", "b", "a"]
    assert list(seen["btcusdt@aggTrade"]) == ["e", "E", "a", "s", "p", "q", "f", "l", "T", "m"]
    price, size = seen["btcusdt@depth@100ms"]["b"][0]
    assert (price[-2], size[-4]) == (".", ".")


def test_texts_stay_right_when_too_many_were_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made = scenario(seconds=60)
    usual = [frame.raw for frame in frames_of(SyntheticMarket(made))]
    monkeypatch.setattr(binance_wire, "_KEPT", 5)
    assert [frame.raw for frame in frames_of(SyntheticMarket(made))] == usual


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_plays(name: str) -> None:
    made = preset(name, seed=3, hours=0.02)
    frames = list(islice(frames_of(SyntheticMarket(made)), 400))
    market = Market([coin.instrument for coin in made.coins])
    for frame in frames:
        if frame.source == VENUE:
            message = decode(frame.raw)
            assert message is not None
            market.apply(message, frame.recv_ns)
        else:
            decode_reading(frame.raw, frame.recv_ns)
    assert all(market.market(coin.instrument.id).usable for coin in made.coins)


def test_symbols_and_hours_replace_those_of_a_preset() -> None:
    made = preset("day", seed=1, hours=1.5, symbols=3)
    assert (made.seconds, [coin.base for coin in made.coins]) == (5400, ["BTC", "ETH", "SOL"])
    assert len(preset("many", seed=1).coins) == 20
    assert [coin.base for coin in preset("many", seed=1, symbols=2).coins] == ["BTC", "ETH"]


@pytest.mark.parametrize(
    ("name", "fields", "told"),
    [
        ("dya", {}, "no preset is called 'dya'; there is calm, day, demo, many"),
        ("day", {"symbols": 0}, "there are 1 to 20, not 0"),
        ("day", {"symbols": 21}, "there are 1 to 20, not 21"),
    ],
)
def test_what_there_is_not_is_refused(name: str, fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        preset(name, seed=1, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"coins": ()},
        {"coins": (BTC, BTC)},
        {"coins": (replace(BTC, trades_per_s=0.0),)},
        {"coins": (replace(BTC, tick=Decimal(0)),)},
        {"segments": ()},
        {"segments": (Segment(seconds=0, motion=Motion.RANDOM),)},
        {"seconds": 0},
        {"depth_ms": 300},
        {"depth_ms": 2000},
        {"correlation": 1.1},
        {"start_ns": START_NS + NS},
        {"walls": (Wall(symbol="ETHUSDT", at_s=1, seconds=1, side=Side.BUY, distance_pct=1, usd=1.0),)},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_scenario_that_cannot_be_played_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="scenario 'test'"):
        scenario(**fields)


# --- tapes ---------------------------------------------------------------------------------------------------------


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_the_same_seed_writes_the_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    tapes = []
    for hash_seed in ("1", "2"):
        out = tmp_path / f"tape{hash_seed}"
        command = ("record", "synthetic", out, "--preset", "many", "--symbols", 3, "--seed", 7, "--hours", 0.05)
        done = bot(*command, cwd=tmp_path, PYTHONHASHSEED=hash_seed)
        assert done.code == 0, done.err
        tapes.append(content(out))
    assert tapes[0] == tapes[1]
    write_tape(preset("many", seed=8, hours=0.05, symbols=3), tmp_path / "other")
    assert content(tmp_path / "other")["part-00000.zst"] != tapes[0]["part-00000.zst"]


def test_a_tape_says_that_it_is_synthetic_and_holds_its_history(tmp_path: Path) -> None:
    done = called("record", "synthetic", "tape", "--preset", "day", "--seed", 7, "--hours", 0.05, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "synthetic, seed 7, preset day, generator version 2" in done.out
    tape = Tape.open(tmp_path / "tape")
    assert "on a synthetic tape (no market was recorded): tape" in describe(tape, load_settings(env={}))
    frames = list(tape.frames())
    assert tape.problems == []
    manifest = tape.manifest
    assert manifest.origin is not None and manifest.origin.name == "synthetic"
    assert manifest.origin.note.startswith("synthetic, seed 7, preset day, generator version 2")
    assert manifest.versions["synthetic"] == "2"
    assert (manifest.frames, manifest.start_ns, manifest.end_ns) == (len(frames), frames[0].recv_ns, frames[-1].recv_ns)
    rows = manifest.warmup[KEY]["300"]
    assert len(rows) == 120 and all(len(row) == 8 for row in rows)
    assert rows[-1][0] + 300 * NS == preset("day", seed=7).start_ns


def test_a_written_tape_replays_without_one_bad_frame(tmp_path: Path) -> None:
    write_tape(preset("day", seed=7, hours=0.1), tmp_path / "tape")
    done = called("replay", "tape", "--json", cwd=tmp_path)
    summary = done.json()
    assert done.code == 0
    assert (summary["bad_frames"], summary["tape_problems"]) == (0, [])


def test_a_used_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tape").mkdir()
    (tmp_path / "tape" / "mine").write_text("x")
    done = called("record", "synthetic", "tape", "--hours", 0.05, cwd=tmp_path)
    assert done.code == 2
    assert "not an empty folder" in done.err
    assert content(tmp_path / "tape") == {"mine": b"x"}


def test_nothing_is_left_of_a_tape_that_could_not_be_finished(tmp_path: Path) -> None:
    def fail(now_ns: int) -> None:
        raise TapeError("no more")

    with pytest.raises(TapeError, match="no more"):
        write_tape(scenario(), tmp_path / "tape", progress=fail)
    assert list(tmp_path.iterdir()) == []


def test_progress_is_told_of_the_time_of_the_market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "_PROGRESS_EVERY", 200)
    told: list[int] = []
    write_tape(scenario(), tmp_path / "tape", progress=told.append)
    assert len(told) > 5
    assert told == sorted(told)
    assert START_NS - NS < told[0] < told[-1] < START_NS + 601 * NS


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = called("record", "synthetic", "file/tape", "--hours", 0.05, cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err == "bot: file/tape cannot be written: Not a directory\n"
