"""Another real capture, of four coins at once: imported, played, and played in part."""

from __future__ import annotations

import json
import lzma
import re
from pathlib import Path

import pytest

from bot.app.replaying import replay
from bot.app.settings import load_settings
from bot.domain.errors import ConfigError
from bot.exchanges.binance import SNAPSHOT_STREAM
from bot.runtime.capture import import_capture, listed_instruments


def text_of(path: Path) -> list[str]:
    return lzma.decompress(path.read_bytes()).decode().splitlines()


@pytest.fixture(scope="module")
def tape(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The capture's lines are `<unix s>: <json>`; its REST snapshots name their symbol in the request only."""
    folder = shared / "fixtures/market/cryptofeed"
    work = tmp_path_factory.mktemp("alts")
    lines: list[tuple[int, str]] = []
    for line in text_of(folder / "BINANCE_FUTURES.ws.1.0.xz"):
        stamp, separator, message = line.partition(": ")
        if separator and re.fullmatch(r"[\d.]+", stamp):
            lines.append((round(float(stamp) * 1e9), message.strip()))
    for line in text_of(folder / "BINANCE_FUTURES.http.0.0.xz"):
        found = re.match(r"\S+depth\?symbol=(\w+)&\S+ -> ([\d.]+): (\{.*)", line)
        if found is None:  # trailing lines of the recorder
            continue
        stream = found[1].lower() + SNAPSHOT_STREAM
        lines.append((round(float(found[2]) * 1e9), json.dumps({"stream": stream, "data": json.loads(found[3])})))
    (work / "capture").write_text("".join(f"{ns} {raw}\n" for ns, raw in sorted(lines)))
    listing = text_of(folder / "BINANCE_FUTURES.0.xz")[0]
    (work / "exchangeInfo.json").write_text(listing.partition(": ")[2])
    instruments, _ = listed_instruments("binanceusdm", work / "exchangeInfo.json")
    import_capture(work / "capture", work / "tape", venue="binanceusdm", instruments=instruments.values())
    return work / "tape"


def played(tape: Path, symbols: str) -> dict[str, object]:
    settings = load_settings(overrides={"venue.tape": tape, "symbols": symbols}, env={})
    return replay(settings).summary


def test_all_four_books_become_usable_and_stay_so(tape: Path) -> None:
    summary = played(tape, "SUSHI/USDT:USDT,AKRO/USDT:USDT,KEEP/USDT:USDT,CTK/USDT:USDT")
    assert summary["bad_frames"] == 0
    assert summary["events"]["BOOK_RESYNC"] == 4  # type: ignore[index]
    assert summary["state"] == "STOPPED"


def test_symbols_that_are_not_followed_are_passed_over(tape: Path) -> None:
    summary = played(tape, "SUSHI/USDT:USDT")
    assert summary["bad_frames"] == 0
    assert summary["events"]["BOOK_RESYNC"] == 1  # type: ignore[index]


def test_a_symbol_that_is_not_on_the_tape_is_named_with_what_is(tape: Path) -> None:
    with pytest.raises(ConfigError, match="not on the tape: BTC/USDT:USDT; it holds AKRO/USDT:USDT, CTK"):
        played(tape, "BTC/USDT:USDT")
