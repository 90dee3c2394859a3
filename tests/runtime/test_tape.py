"""What is written to a tape is read back, and what happened to the files never becomes a wrong frame."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import InvariantError, TapeError
from bot.domain.frames import Frame, Lane
from bot.domain.instrument import Instrument
from bot.domain.market import Bar
from bot.domain.values import NS
from bot.runtime.tape import MANIFEST, Manifest, Tape
from bot.runtime.tape_writer import BLOCK_NS, HOUR_NS, TapeWriter

ROOT = Path(__file__).resolve().parents[2]
T0 = 1_723_161_600 * NS  # 2024-08-09 00:00 UTC, a full hour
BTC = Instrument(
    id="binanceusdm:BTCUSDT",
    venue="binanceusdm",
    symbol="BTCUSDT",
    unified="BTC/USDT:USDT",
    base="BTC",
    quote="USDT",
    tick=Decimal("0.10"),
    step=Decimal("0.001"),
    min_quantity=Decimal("0.001"),
    max_quantity=Decimal(1000),
    max_market_quantity=Decimal(120),
    min_notional=Decimal(100),
)
MANIFEST_OF_BTC = Manifest(venue="binanceusdm", instruments=[BTC])


def frame(k: int, recv_ns: int | None = None) -> Frame:
    return Frame(T0 + k if recv_ns is None else recv_ns, Lane.DATA, "binanceusdm", b'{"k":%d}' % k)


def write(path: Path, frames: list[Frame], block: int | None = None, **options: Any) -> Path:
    """A closed tape; with `block`, one block for each so many frames."""
    with TapeWriter(path, MANIFEST_OF_BTC, **options) as writer:
        for index, item in enumerate(frames, start=1):
            writer.write(item)
            if block and index % block == 0:
                writer.flush()
    return path


def read(path: Path) -> tuple[list[Frame], list[str]]:
    tape = Tape.open(path)
    return list(tape.frames()), tape.problems


def part(path: Path, number: int = 0) -> Path:
    return path / f"part-{number:05}.zst"


def pack(*lines: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(b"".join(line + b"\n" for line in lines))


def edit_manifest(path: Path, **changes: Any) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(manifest | changes))


# --- round trip ------------------------------------------------------------------------------------------------------

FRAMES = st.builds(
    Frame,
    recv_ns=st.integers(0, 2**63 - 1),
    lane=st.sampled_from(list(Lane)),
    source=st.text(st.characters(codec="utf-8", exclude_characters=" \n"), min_size=1),
    raw=st.binary(),
)


@given(frames=st.lists(FRAMES, min_size=1), block=st.integers(1, 9))
def test_whatever_is_written_is_read_back(frames: list[Frame], block: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        got, problems = read(write(Path(folder) / "tape", frames, block))
    assert got == [msgspec.structs.replace(item, raw=item.raw.replace(b"\n", b" ")) for item in frames]
    assert all(problem.startswith("time goes backwards") for problem in problems)


def test_manifest_is_read_back_and_completed_at_close(tmp_path: Path) -> None:
    given = msgspec.structs.replace(
        MANIFEST_OF_BTC, settings={"stop": {"pct": "1.0"}}, config_hash="ab", versions={"bot": "0.1.0"}, start_ns=1
    )
    with TapeWriter(tmp_path / "tape", given) as writer:
        writer.write(frame(1))
        writer.write(frame(5))
    completed = msgspec.structs.replace(given, start_ns=T0 + 1, end_ns=T0 + 5, frames=2)
    tape = Tape.open(tmp_path / "tape")
    assert tape.manifest == completed
    assert tape.instruments == [BTC]
    assert json.loads((tmp_path / "tape" / MANIFEST).read_text())["instruments"][0]["tick"] == "0.10"


def test_a_tape_can_be_read_twice(tmp_path: Path) -> None:
    tape = Tape.open(write(tmp_path / "tape", [frame(2), frame(1)]))
    first, problems = list(tape.frames()), tape.problems
    assert (list(tape.frames()), tape.problems) == (first, problems)


@pytest.mark.parametrize("source", ["", "two words", "two\nlines"])
def test_a_source_that_would_break_the_line_is_refused(tmp_path: Path, source: str) -> None:
    with TapeWriter(tmp_path / "tape", MANIFEST_OF_BTC) as writer, pytest.raises(InvariantError, match="source"):
        writer.write(Frame(T0, Lane.DATA, source, b"{}"))


def test_an_unknown_lane_is_refused(tmp_path: Path) -> None:
    with TapeWriter(tmp_path / "tape", MANIFEST_OF_BTC) as writer, pytest.raises(InvariantError, match="lane 'fast'"):
        writer.write(Frame(T0, "fast", "binanceusdm", b"{}"))


# --- parts, blocks, cap ----------------------------------------------------------------------------------------------


def test_each_hour_of_receive_time_has_its_part(tmp_path: Path) -> None:
    times = [T0, T0 + HOUR_NS - 1, T0 + HOUR_NS, T0 + HOUR_NS - 5, T0 + 3 * HOUR_NS]
    frames = [frame(k, ns) for k, ns in enumerate(times)]
    tape = write(tmp_path / "tape", frames)
    assert sorted(file.name for file in tape.glob("part-*")) == [f"part-0000{k}.zst" for k in range(3)]
    assert read(tape)[0] == frames
    part(tape, 1).rename(tmp_path / "second")  # a frame that arrives late stays with the hour it was taken in
    assert [item.recv_ns for item in read(tape)[0]] == [T0, T0 + HOUR_NS - 1, T0 + 3 * HOUR_NS]


@pytest.mark.parametrize(("later_ns", "on_disk"), [(BLOCK_NS - 1, 0), (BLOCK_NS, 1)])
def test_an_old_block_goes_to_disk_however_small(tmp_path: Path, later_ns: int, on_disk: int) -> None:
    writer = TapeWriter(tmp_path / "tape", MANIFEST_OF_BTC)
    writer.write(frame(1, T0))
    writer.write(frame(2, T0 + later_ns))
    assert len(list((tmp_path / "tape").glob("part-*"))) == on_disk
    writer.close()


def test_a_full_block_goes_to_disk(tmp_path: Path) -> None:
    writer = TapeWriter(tmp_path / "tape", MANIFEST_OF_BTC)
    writer.write(Frame(T0, Lane.DATA, "binanceusdm", b"x" * (1 << 20)))
    assert len(read(tmp_path / "tape")[0]) == 1
    writer.close()


def incompressible(k: int) -> Frame:
    return Frame(T0 + k, Lane.DATA, "binanceusdm", os.urandom(1000).replace(b"\n", b" "))


def test_over_the_cap_the_oldest_parts_go_first(tmp_path: Path) -> None:
    cap, frames = 20_000, [incompressible(k) for k in range(100)]
    tape = write(tmp_path / "tape", frames, 1, max_bytes=cap)
    assert cap * 0.7 < sum(file.stat().st_size for file in tape.glob("part-*")) <= cap
    kept, problems = read(tape)
    assert kept == frames[-len(kept) :]
    assert Tape.open(tape).manifest.frames == len(kept)
    assert Tape.open(tape).manifest.start_ns == kept[0].recv_ns
    assert problems == [f"frame numbers jump 1 time(s), first from 0 to {101 - len(kept)}"]


def test_a_block_torn_by_a_full_disk_is_written_again(tmp_path: Path) -> None:
    writer = TapeWriter(tmp_path / "tape", MANIFEST_OF_BTC)
    writer.write(frame(1))
    writer.flush()
    writer.write(frame(2))
    with part(tmp_path / "tape").open("ab") as file:
        file.write(b"\x28\xb5\x2f\xfdhalf a block")
    writer.close()
    assert read(tmp_path / "tape") == ([frame(1), frame(2)], [])


@pytest.mark.parametrize("name", ["notes.txt", MANIFEST])
def test_a_used_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(TapeError, match="not an empty folder"):
        TapeWriter(tmp_path, MANIFEST_OF_BTC)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(name, "mine")]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tape").write_text("mine")
    with pytest.raises(TapeError, match="not an empty folder"):
        TapeWriter(tmp_path / "tape", MANIFEST_OF_BTC)


# --- damage ----------------------------------------------------------------------------------------------------------


def block_ends(tape: Path, blocks: int) -> list[int]:
    """Sizes of the first part after each block: where a cut loses nothing of the blocks before it."""
    raw, ends = part(tape).read_bytes(), [0]
    for _ in range(blocks):
        block = zstandard.ZstdDecompressor().decompressobj()
        block.decompress(raw[ends[-1] :])
        ends.append(len(raw) - len(block.unused_data))
    assert ends[-1] == len(raw)
    return ends[1:]


def test_a_part_cut_anywhere_gives_every_whole_block_and_nothing_else(tmp_path: Path) -> None:
    first, second = [frame(k) for k in range(12)], [frame(k, T0 + HOUR_NS + k) for k in range(3)]
    tape = write(tmp_path / "tape", first + second, 3)
    ends, whole = block_ends(tape, 4), part(tape).read_bytes()
    for cut in range(len(whole)):
        part(tape).write_bytes(whole[:cut])
        complete = sum(end <= cut for end in ends)
        got, problems = read(tape)
        assert got == first[: 3 * complete] + second
        assert ("part-00000.zst ends early" in problems) == (cut not in [0, *ends])
        assert f"{3 * complete + 3} frames could be read, manifest.json promises 15" in problems


def test_a_damaged_byte_never_becomes_a_wrong_frame(tmp_path: Path) -> None:
    first, second = [frame(k) for k in range(6)], [frame(k, T0 + HOUR_NS + k) for k in range(3)]
    tape = write(tmp_path / "tape", first + second, 3)
    whole = part(tape).read_bytes()
    for position in range(len(whole)):
        part(tape).write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        got, problems = read(tape)
        assert got in (first + second, first[:3] + second, first[3:] + second, second)
        assert got == first + second or problems


def test_a_part_that_is_gone_shows_as_a_jump(tmp_path: Path) -> None:
    frames = [frame(k, T0 + k * HOUR_NS) for k in range(4)]
    tape = write(tmp_path / "tape", frames)
    part(tape, 1).unlink()
    assert read(tape) == (
        [frames[0], *frames[2:]],
        [
            "frame numbers jump 1 time(s), first from 1 to 3",
            "3 frames could be read, manifest.json promises 4",
        ],
    )


GOOD = [b'%d %d data binanceusdm {"k":%d}' % (k + 1, T0 + k, k) for k in range(4)]


@pytest.mark.parametrize(
    "bad",
    [
        b"garbage",
        b"",
        b"\xff\xfe\x00 \x01",
        b"3 %d data binanceusdm" % T0,  # no message
        b"three %d data binanceusdm {}" % T0,
        b"3 noon data binanceusdm {}",
        b"3 %d fast binanceusdm {}" % T0,  # no such lane
        b"3 %d data binance\xff {}" % T0,  # source is not text
    ],
)
def test_a_line_that_is_none_is_skipped_and_counted(tmp_path: Path, bad: bytes) -> None:
    tape = write(tmp_path / "tape", [frame(k) for k in range(4)])
    part(tape).write_bytes(pack(*GOOD[:2], bad, bad, *GOOD[2:]))
    assert read(tape) == (
        [frame(k) for k in range(4)],
        [f"2 unreadable line(s) skipped, the first in part-00000.zst: {bad!r}"],
    )


def test_a_block_that_ends_within_a_line_gives_the_whole_lines(tmp_path: Path) -> None:
    tape = write(tmp_path / "tape", [frame(k) for k in range(2)])
    part(tape).write_bytes(zstandard.ZstdCompressor().compress(b"\n".join(GOOD[:2]) + b"\n3 17231"))
    assert read(tape) == (
        [frame(0), frame(1)],
        ["1 unreadable line(s) skipped, the first in part-00000.zst: b'3 17231'"],
    )


def test_time_going_backwards_is_kept_and_counted(tmp_path: Path) -> None:
    frames = [frame(k, T0 + ms * 1_000_000) for k, ms in enumerate([10, 7, 8, 8, 2])]
    got, problems = read(write(tmp_path / "tape", frames))
    assert got == frames
    assert problems == ["time goes backwards 2 time(s), first by 3 ms at frame 2"]


def test_problems_are_told_while_reading(tmp_path: Path) -> None:
    tape = Tape.open(write(tmp_path / "tape", [frame(3), frame(2), frame(1)]))
    seen: list[int] = [len(tape.problems) for _ in tape.frames()]
    assert seen == [0, 1, 1]
    assert tape.problems[0].startswith("time goes backwards 2 time(s)")


# --- what is no tape -------------------------------------------------------------------------------------------------


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="nowhere is not a folder"):
        Tape.open(tmp_path / "nowhere")


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match=r"not a tape: it has no manifest\.json"):
        Tape.open(tmp_path)


def test_no_parts(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="nothing was recorded"):
        Tape.open(write(tmp_path / "tape", []))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format":"big-alpha-tape","version":1}', "\xff", "null"])
def test_a_manifest_that_is_no_manifest(tmp_path: Path, text: str) -> None:
    tape = write(tmp_path / "tape", [frame(1)])
    (tape / MANIFEST).write_bytes(text.encode("latin-1"))
    with pytest.raises(TapeError, match=r"manifest\.json cannot be read"):
        Tape.open(tape)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"format": "big-beta-tape"}, "its format is 'big-beta-tape', not 'big-alpha-tape'"),
        ({"version": 7}, "version 7 was written by a newer program; this one reads up to 1"),
        ({"version": 0}, "no version 0"),
        ({"instruments": [{"id": "x"}]}, r"missing required field .* `\$\.instruments\[0\]`"),
        ({"instruments": [msgspec.to_builtins(BTC) | {"tick": "ten"}]}, r"instruments\[0\]\.tick"),
        ({"instruments": [msgspec.to_builtins(BTC) | {"tick": "0"}]}, "tick of binanceusdm:BTCUSDT must be a positive"),
        ({"instruments": [msgspec.to_builtins(BTC) | {"step": "NaN"}]}, "step of binanceusdm:BTCUSDT must be a positi"),
    ],
)
def test_a_manifest_that_cannot_be_used(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    tape = write(tmp_path / "tape", [frame(1)])
    edit_manifest(tape, **changes)
    with pytest.raises(TapeError, match=sentence):
        Tape.open(tape)


def test_a_newer_version_is_named_before_its_contents_are_judged(tmp_path: Path) -> None:
    tape = write(tmp_path / "tape", [frame(1)])
    edit_manifest(tape, version=2, instruments="elsewhere")
    with pytest.raises(TapeError, match="version 2 was written by a newer program"):
        Tape.open(tape)


def test_unknown_keys_of_a_manifest_are_tolerated(tmp_path: Path) -> None:
    tape = write(tmp_path / "tape", [frame(1)])
    edit_manifest(tape, mood="good")
    assert read(tape) == ([frame(1)], [])


ROW = [T0 - 300 * NS, 100.5, 101, 99.5, 100, 5000.25, 1234, 17]
ID = BTC.id


def test_warm_up_bars_are_read_back(tmp_path: Path) -> None:
    tape = write(tmp_path / "tape", [frame(1)])
    assert list(Tape.open(tape).warmup()) == []
    edit_manifest(tape, warmup={ID: {"300": [ROW], "60": []}})
    bar = Bar(T0 - 300 * NS, 100.5, 101.0, 99.5, 100.0, 5000.25, 1234.0, 17)
    assert list(Tape.open(tape).warmup()) == [(ID, 300, [bar]), (ID, 60, [])]


def changed(index: int, value: Any) -> list[Any]:
    return [*ROW[:index], value, *ROW[index + 1 :]]


@pytest.mark.parametrize(
    ("warmup", "sentence"),
    [
        ({"binanceusdm:ETHUSDT": {"300": [ROW]}}, "'binanceusdm:ETHUSDT', which is not among the instruments"),
        ({ID: {"five": [ROW]}}, "'five' is not a width in seconds"),
        ({ID: {"0": [ROW]}}, "'0' is not a width"),
        ({ID: {"-300": [ROW]}}, "'-300' is not a width"),
        ({ID: {"3600": [ROW]}}, f"{ID}, 3600 s: a bar .* cannot start at"),
        ({ID: {"300": [ROW, ROW]}}, f"{ID}, 300 s: the bar at .* follows"),
        ({ID: {"300": [changed(2, 99)]}}, "outside its low and high"),
        ({ID: {"300": [changed(6, 6000)]}}, "takers bought more"),
        ({ID: {"300": [changed(1, 0)]}}, r"cannot be read: .*`\$\.warmup"),
        ({ID: {"300": [changed(1, "100.5")]}}, r"cannot be read: Expected `float`"),
        ({ID: {"300": [changed(7, 0)]}}, r"cannot be read: Expected `int` >= 1"),
        ({ID: {"300": [changed(0, 1.5)]}}, r"cannot be read: Expected `int`"),
        ({ID: {"300": [ROW[:-1]]}}, "of length 8"),
        ({ID: [ROW]}, r"cannot be read: Expected `object`"),
    ],
)
def test_warm_up_bars_that_cannot_be_used(tmp_path: Path, warmup: Any, sentence: str) -> None:
    tape = write(tmp_path / "tape", [frame(1)])
    edit_manifest(tape, warmup=warmup)
    with pytest.raises(TapeError, match=sentence):
        Tape.open(tape)


@pytest.mark.parametrize("raw", [b"", b"\x28\xb5\x2f\xfd", pack(), pack(b"garbage")])
def test_a_tape_without_any_frame_raises(tmp_path: Path, raw: bytes) -> None:
    tape = write(tmp_path / "tape", [frame(1)])
    part(tape).write_bytes(raw)
    with pytest.raises(TapeError, match="holds no frames"):
        read(tape)


# --- crash -----------------------------------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from bot.domain.frames import Frame
from bot.runtime.tape import Manifest
from bot.runtime.tape_writer import TapeWriter

writer = TapeWriter(Path(sys.argv[1]), Manifest(venue="binanceusdm", instruments=[]))
for k in range(10):
    writer.write(Frame(k, "data", "binanceusdm", b"%d" % k))
    if k % 4 == 3:
        writer.flush()
print("written", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def writing_child(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "tape")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    with child:
        yield child
        child.kill()


def test_a_killed_recording_is_readable_to_its_last_block(tmp_path: Path, writing_child: subprocess.Popen[str]) -> None:
    assert writing_child.stdout is not None
    assert writing_child.stdout.readline() == "written\n"
    writing_child.send_signal(signal.SIGKILL)
    assert writing_child.wait() == -signal.SIGKILL
    got, problems = read(tmp_path / "tape")
    assert [item.raw for item in got] == [b"%d" % k for k in range(8)]
    assert problems == ["the recording was not closed; it holds what was written until then"]
