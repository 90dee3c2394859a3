"""Columns made of a tape: nothing of it is lost, and a file that is not whole, or not of this tape, is never replayed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from bot.domain.errors import TapeError
from bot.domain.frames import Frame, Lane
from bot.domain.trades import TradeRun
from bot.domain.values import MS, NS
from bot.exchanges import binance
from bot.runtime import columns
from bot.runtime.columns import FILE, ColumnTape, gathered, with_columns, write_columns
from bot.runtime.tape import Manifest, Tape
from bot.runtime.tape_writer import TapeWriter
from tests.runtime.test_tape import BTC

T0 = 1_723_161_600 * NS


def trade(at_ms: float, *, price: str = "60000.10", quantity: str = "0.002", sells: bool = False, **more: Any) -> Frame:
    fields = {"kind": "trade", "symbol": "BTCUSDT", "x": "MARKET", "id": "t"} | more
    raw = (
        f'{{"e":"{fields["kind"]}","E":1,"T":{T0 // MS + int(at_ms)},"s":"{fields["symbol"]}","{fields["id"]}":5,"p":"{price}",'
        f'"q":"{quantity}","X":"{fields["x"]}","m":{"true" if sells else "false"}}}'
    )
    return Frame(T0 + round(at_ms * MS), fields.get("lane", Lane.DATA), binance.VENUE, raw.encode())


def other(at_ms: float) -> Frame:
    return Frame(T0 + round(at_ms * MS), Lane.DATA, "reading", b"{}")


def shape(frames: Iterable[Frame], shortest: int = 2) -> list[str]:
    pieces = gathered(frames, binance.VENUE, binance.decode, {"BTCUSDT", "ETHUSDT"}, shortest)
    return [f"{p.symbol} {len(p.times)}" if isinstance(p, TradeRun) else f"frames {len(p)}" for p in pieces]


@pytest.mark.parametrize(
    ("frames", "shapes"),
    [
        ([trade(1), trade(2), trade(3)], ["BTCUSDT 3"]),
        ([trade(1)], ["frames 1"]),
        ([other(1), trade(2), other(3)], ["frames 3"]),
        ([other(1), trade(2), trade(3), other(4)], ["frames 1", "BTCUSDT 2", "frames 1"]),
        ([trade(1), trade(2), trade(3, symbol="ETHUSDT"), trade(4, symbol="ETHUSDT")], ["BTCUSDT 2", "ETHUSDT 2"]),
        ([trade(1), trade(2), trade(3, symbol="XRPUSDT"), trade(4)], ["BTCUSDT 2", "frames 2"]),
        ([trade(1), trade(2, x="NA"), trade(3)], ["frames 3"]),
        ([trade(1), trade(2, price="oops"), trade(3)], ["frames 3"]),
        ([trade(1), trade(2), trade(3, lane=Lane.ACCOUNT)], ["BTCUSDT 2", "frames 1"]),
        ([], []),
    ],
)
def test_trades_in_a_row_become_runs_and_all_else_stays_as_it_is(frames: list[Frame], shapes: list[str]) -> None:
    assert shape(frames) == shapes


def test_a_run_holds_what_the_messages_said() -> None:
    run = next(
        gathered(
            [trade(1), trade(9, sells=True, price="59999.90"), trade(4)], binance.VENUE, binance.decode, {"BTCUSDT"}, 1
        )
    )
    assert isinstance(run, TradeRun)
    assert list(run.times) == [T0 + MS, T0 + 9 * MS, T0 + 9 * MS], "engine time never goes back"
    assert list(run.stamps) == [T0 + MS, T0 + 9 * MS, T0 + 4 * MS]
    assert list(run.quantities) == [0.002, -0.002, 0.002]
    assert list(run.worths) == [120_000_200, -119_999_800, 120_000_200]
    sold = run.print_at(1)
    assert (sold.price, sold.quantity, sold.taker_buys, sold.exch_ns) == (59_999.9, 0.002, False, T0 + 9 * MS)


def test_a_trade_worth_nothing_keeps_its_side() -> None:
    run = next(
        gathered([trade(1, price="1e-9", quantity="1e-9", sells=True)], binance.VENUE, binance.decode, {"BTCUSDT"}, 1)
    )
    assert isinstance(run, TradeRun) and run.worths[0] == 0 and run.print_at(0).taker_buys is False


def test_long_runs_and_long_rows_of_frames_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "LONGEST", 3)
    monkeypatch.setattr(columns, "_FRAMES", 2)
    frames = [*(trade(k) for k in range(7)), *(other(7 + k) for k in range(5))]
    assert shape(frames) == ["BTCUSDT 3", "BTCUSDT 3", "frames 2", "frames 2", "frames 2"]


# --- the file ------------------------------------------------------------------------------------------------------


def tape_of(folder: Path, frames: Iterable[Frame], whole: bool = True) -> Tape:
    writer = TapeWriter(folder, Manifest(venue=binance.VENUE, instruments=[BTC]))
    for frame in frames:
        writer.write(frame)
    if whole:
        writer.close()
    else:
        writer.flush()
    return Tape.open(folder)


def many() -> list[Frame]:
    return [other(0), *(trade(1 + k, sells=k % 3 == 0) for k in range(50)), trade(20), other(60), trade(61)]


def test_what_is_read_back_is_what_the_tape_holds(tmp_path: Path) -> None:
    tape = tape_of(tmp_path / "tape", many())
    written = write_columns(tape, binance.decode)
    assert (written.frames, written.trades) == (54, 51)
    assert written.bytes == (tape.path / FILE).stat().st_size
    back = with_columns(Tape.open(tape.path))
    assert isinstance(back, ColumnTape)
    pieces = list(back.pieces())
    expected = list(gathered(many(), binance.VENUE, binance.decode, {"BTCUSDT"}))
    assert [piece for piece in pieces if isinstance(piece, TradeRun)] == [
        p for p in expected if isinstance(p, TradeRun)
    ]
    assert [piece for piece in pieces if isinstance(piece, Frame)] == [many()[0], *many()[-2:]]
    tape = Tape.open(tape.path)
    assert list(tape.frames()) and back.problems == tape.problems != [], "time went back, and both say so"
    assert sorted(file.name for file in tape.path.iterdir()) == [FILE, "manifest.json", "part-00000.zst"]


def test_no_columns_no_word_about_them(tmp_path: Path) -> None:
    tape = tape_of(tmp_path / "tape", many())
    assert with_columns(tape) is tape and tape.notes == []


def test_columns_of_a_tape_that_has_changed_are_not_used_and_it_is_told(tmp_path: Path) -> None:
    tape = tape_of(tmp_path / "tape", many())
    write_columns(tape, binance.decode)
    part = tape.path / "part-00000.zst"
    part.write_bytes(part.read_bytes() * 2)
    changed = Tape.open(tape.path)
    assert with_columns(changed) is changed
    assert changed.problems == [
        f"{FILE} was not made of this recording as it is and was not used; run `record columns` again"
    ]


@pytest.mark.parametrize("change", ["version", "byteorder", "rubbish"])
def test_columns_that_another_program_laid_out_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    tape = tape_of(tmp_path / "tape", many())
    write_columns(tape, binance.decode)
    if change == "version":
        monkeypatch.setattr(columns, "VERSION", columns.VERSION + 1)
    elif change == "byteorder":
        monkeypatch.setattr("sys.byteorder", "big")
    else:
        (tape.path / FILE).write_bytes(b"rubbish")
    assert with_columns(tape) is tape and tape.notes


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_damaged_file_is_an_error_not_a_shorter_replay(tmp_path: Path, cut: int) -> None:
    tape = tape_of(tmp_path / "tape", many())
    write_columns(tape, binance.decode)
    file = tape.path / FILE
    file.write_bytes(file.read_bytes()[:-cut])
    back = with_columns(tape)
    assert isinstance(back, ColumnTape)
    with pytest.raises(TapeError, match="make it anew with `record columns` or delete it"):
        list(back.pieces())


def test_a_file_without_its_end_is_an_error(tmp_path: Path) -> None:
    tape = tape_of(tmp_path / "tape", many())
    write_columns(tape, binance.decode)
    blocks = (tape.path / FILE).read_bytes().split(b"\x28\xb5\x2f\xfd")
    (tape.path / FILE).write_bytes(b"\x28\xb5\x2f\xfd".join(blocks[:-1]))
    back = with_columns(tape)
    assert isinstance(back, ColumnTape)
    with pytest.raises(TapeError, match="ends early"):
        list(back.pieces())


def test_a_recording_that_was_cut_off_has_columns_of_what_is_there(tmp_path: Path) -> None:
    tape = tape_of(tmp_path / "tape", many(), whole=False)
    assert write_columns(tape, binance.decode).frames == 54
    back = with_columns(tape)
    assert isinstance(back, ColumnTape) and len(list(back.pieces())) == 1 + 1 + 2
    assert any("was not closed" in problem for problem in back.problems)


def test_what_fails_on_the_way_leaves_no_file(tmp_path: Path) -> None:
    tape = tape_of(tmp_path / "tape", many())

    def stop(frames: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_columns(tape, binance.decode, stop)
    assert sorted(file.name for file in tape.path.iterdir()) == ["manifest.json", "part-00000.zst"]
