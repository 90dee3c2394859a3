"""Captures come in whole, in order and byte for byte, or not at all."""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
import zstandard
from msgspec.structs import replace

from bot.domain.errors import TapeError
from bot.domain.frames import Frame, Lane
from bot.domain.market import Bar
from bot.runtime.capture import ImportReport, import_capture, known_instruments, listed_instruments
from bot.runtime.tape import Tape

EXCHANGE_INFO = (
    Path(__file__).resolve().parents[2].parent
    / "shared/fixtures/market/nautilus/tests/integration_tests/adapters/binance/resources/http_responses"
    / "http_futures_market_exchange_info.json"
)
NS0 = 1_723_161_255_030_314_667
BTC = known_instruments("binanceusdm")["BTCUSDT"]
QUOTE = b'{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":1,"s":"BTCUSDT","b":"1","a":"2"}}'
TRADE = b'{"e":"trade","s":"BTCUSDT","t":5,"p":"61800.30","q":"0.006"}'
SNAPSHOT = b'{"lastUpdateId":1,"bids":[["1","2"]],"asks":[]}'


def capture(*messages: bytes, end: bytes = b"\n") -> bytes:
    return b"".join(b"%d %b%b" % (NS0 + k, message, end) for k, message in enumerate(messages))


def run(tmp_path: Path, raw: bytes, venue: str = "binanceusdm") -> ImportReport:
    (tmp_path / "capture").write_bytes(raw)
    return import_capture(tmp_path / "capture", tmp_path / "tape", venue=venue, instruments=[BTC])


def frames(*messages: bytes) -> list[Frame]:
    return [Frame(NS0 + k, Lane.DATA, "binanceusdm", message) for k, message in enumerate(messages)]


def two_members(raw: bytes) -> bytes:
    half = len(raw) // 2
    return zstandard.compress(raw[:half]) + zstandard.compress(raw[half:])


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, zstandard.compress, two_members])
def test_packings(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    raw = capture(QUOTE, SNAPSHOT, TRADE)
    report = run(tmp_path, pack(raw))
    assert report == ImportReport(frames=3, skipped=0, first_skipped=None, start_ns=NS0, end_ns=NS0 + 2)
    tape = Tape.open(tmp_path / "tape")
    assert list(tape.frames()) == frames(QUOTE, SNAPSHOT, TRADE)
    assert tape.problems == []
    assert tape.instruments == [BTC]
    assert tape.manifest.origin is not None
    assert tape.manifest.origin.sha256 == hashlib.sha256(raw).hexdigest()
    assert tape.manifest.origin.name == "capture"


def test_origin_is_kept(tmp_path: Path) -> None:
    (tmp_path / "capture").write_bytes(capture(QUOTE))
    given = {"name": "mine", "url": "https://example.org", "licence": "MIT", "note": "a Tuesday"}
    import_capture(
        tmp_path / "capture", tmp_path / "tape", venue="binanceusdm", instruments=[BTC], origin=given | {"sha256": "?"}
    )
    origin = Tape.open(tmp_path / "tape").manifest.origin
    assert origin is not None
    assert {name: getattr(origin, name) for name in given} == given
    assert origin.sha256 == hashlib.sha256(capture(QUOTE)).hexdigest()


@pytest.mark.parametrize("end", [b"\r\n", b""])
def test_line_ends_are_not_part_of_a_message(tmp_path: Path, end: bytes) -> None:
    run(tmp_path, capture(QUOTE, end=end))
    assert list(Tape.open(tmp_path / "tape").frames()) == frames(QUOTE)


@pytest.mark.parametrize(
    "bad",
    [
        b"hello",
        b"",
        b"wss://fstream.binance.com <-> 1723161255.03",
        b"1723161255.03: " + QUOTE,
        b"1723161255030 " + QUOTE,  # milliseconds
        b"%d" % NS0,
        b"%d " % NS0,
        b"%d %b" % (NS0, QUOTE[:-1]),
        b"%d pong" % NS0,
        b'%d {"s":"\xff"}' % NS0,
    ],
)
def test_other_lines_are_skipped_and_counted(tmp_path: Path, bad: bytes) -> None:
    lines = capture(QUOTE, TRADE).splitlines()
    report = run(tmp_path, b"\n".join([lines[0], bad, lines[1], bad]))
    second = 2 if bad else 1  # an empty last line is none
    assert (report.frames, report.skipped, report.first_skipped) == (2, second, f"line 2: {bad[:80]!r}")
    assert list(Tape.open(tmp_path / "tape").frames()) == frames(QUOTE, TRADE)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zstandard.compress])
def test_a_capture_that_was_cut_off_comes_in_to_its_last_whole_line(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    digests = [hashlib.sha256(b"%d" % k).hexdigest().encode() for k in range(6000)]
    messages = [b'{"s":"BTCUSDT","x":"%b"}' % digest for digest in digests]
    packed = pack(capture(*messages))
    report = run(tmp_path, packed[: len(packed) * 2 // 3])
    got = list(Tape.open(tmp_path / "tape").frames())
    assert 0 < report.frames < 6000
    assert got == frames(*messages[: report.frames])
    assert report.ends_early or report.skipped == 1


def test_receive_time_going_backwards_is_kept(tmp_path: Path) -> None:
    lines = capture(QUOTE, TRADE).splitlines(keepends=True)
    report = run(tmp_path, lines[1] + lines[0])
    assert (report.start_ns, report.end_ns) == (NS0 + 1, NS0 + 1)
    assert [frame.recv_ns for frame in Tape.open(tmp_path / "tape").frames()] == [NS0 + 1, NS0]


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "holds no line of the form '<receive time, ns> <JSON>'"),
        (gzip.compress(b"", mtime=0), "holds no line of the form"),
        (b"hello\nworld\n", r"2 lines are something else, the first line 1: b'hello'"),
        (capture(SNAPSHOT), "no message that names its symbol"),
        (capture(b'[{"s":"BTCUSDT"}]'), "no message that names its symbol"),
        (capture(b'{"stream":"!markPrice@arr","data":[]}'), "no message that names its symbol"),
        (capture(QUOTE, TRADE.replace(b"BTC", b"DOGE")), "line 2 is about DOGEUSDT, whose trading rules are not known"),
        (capture(b'{"stream":"dogeusdt@depth","data":{}}'), "DOGEUSDT"),
        (b"\x1f\x8bnot gzip at all", "cannot be read"),
        (gzip.compress(capture(QUOTE) * 99, mtime=0)[:-8] + b"12345678", "cannot be read"),  # wrong checksum
        (b"\xfd7zXZ\x00nor xz, truly", "cannot be read"),
        (b"\x28\xb5\x2f\xfdnor zstandard", "cannot be read"),
    ],
)
def test_what_cannot_be_imported_leaves_nothing_behind(tmp_path: Path, raw: bytes, sentence: str) -> None:
    with pytest.raises(TapeError, match=sentence):
        run(tmp_path, raw)
    assert [file.name for file in tmp_path.iterdir()] == ["capture"]


# --- history --------------------------------------------------------------------------------------------------------

ETH = replace(BTC, id="binanceusdm:ETHUSDT", symbol="ETHUSDT")
WIDTHS_MS = {"1m": 60_000, "5m": 300_000}


def klines(folder: Path, name: str, interval: str = "5m", count: int = 3) -> Path:
    """A file of as many klines, of which the last one does not count."""
    width_ms = WIDTHS_MS[interval]
    starts = [1_723_161_000_000 + index * width_ms for index in range(count)]
    rows = [[ms, "9", "11", "8", "10", "1", ms + width_ms - 1, "100", 7, "0.5", "50", "0"] for ms in starts]
    (folder / name).write_text(json.dumps(rows))
    return folder / name


def import_with(tmp_path: Path, *warmup: str, raw: bytes = b"") -> ImportReport:
    (tmp_path / "capture").write_bytes(raw or capture(QUOTE))
    out = tmp_path / "tape"
    return import_capture(tmp_path / "capture", out, venue="binanceusdm", instruments=[BTC, ETH], warmup=warmup)


def test_klines_become_warm_up_bars(tmp_path: Path) -> None:
    five, one = klines(tmp_path, "five"), klines(tmp_path, "one", "1m", 5)
    assert import_with(tmp_path, str(five), str(one)).warmup_bars == 2 + 4
    found = {width_s: bars for _, width_s, bars in Tape.open(tmp_path / "tape").warmup()}
    assert found[300] == [
        Bar(1_723_161_000_000_000_000 + index * 300 * 10**9, 9.0, 11.0, 8.0, 10.0, 100.0, 50.0, 7) for index in (0, 1)
    ]
    assert len(found[60]) == 4


def test_klines_of_several_symbols_are_named(tmp_path: Path) -> None:
    both = capture(QUOTE, QUOTE.replace(b"BTC", b"ETH").replace(b"btc", b"eth"))
    file = klines(tmp_path, "klines=of 5m.json")
    import_with(tmp_path, f"ETHUSDT={file}", raw=both)
    assert [key for key, _, _ in Tape.open(tmp_path / "tape").warmup()] == [ETH.id]
    shutil.rmtree(tmp_path / "tape")
    with pytest.raises(TapeError, match=r"Name one of BTCUSDT, ETHUSDT: SYMBOL="):
        import_with(tmp_path, str(file), raw=both)
    assert not (tmp_path / "tape").exists()
    assert import_with(tmp_path, str(file)).warmup_bars == 2  # a lone symbol needs no name


def test_klines_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "none").write_text('{"code":-1121,"msg":"Invalid symbol."}')
    for given, sentence in (("none", "none cannot be read as klines"), ("nowhere", "nowhere cannot be read as klines")):
        with pytest.raises(TapeError, match=sentence):
            import_with(tmp_path, str(tmp_path / given))
    twice = str(klines(tmp_path, "twice"))
    with pytest.raises(TapeError, match="klines of BTCUSDT, 300 s, were given already"):
        import_with(tmp_path, twice, twice)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["capture", "none", "twice"]


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match=r"nowhere cannot be read: .*No such file"):
        import_capture(tmp_path / "nowhere", tmp_path / "tape", venue="binanceusdm", instruments=[BTC])
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_venue(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="captures of venue 'mtgox' cannot be imported; known: binanceusdm"):
        run(tmp_path, capture(QUOTE), venue="mtgox")
    with pytest.raises(TapeError, match="mtgox"):
        known_instruments("mtgox")


def test_an_instrument_of_another_venue_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "capture").write_bytes(capture(QUOTE))
    other = type(BTC)(**{name: getattr(BTC, name) for name in BTC.__struct_fields__} | {"venue": "bybit"})
    with pytest.raises(TapeError, match="BTCUSDT, whose trading rules"):
        import_capture(tmp_path / "capture", tmp_path / "tape", venue="binanceusdm", instruments=[other])


def test_a_used_folder_is_left_alone(tmp_path: Path) -> None:
    run(tmp_path, capture(QUOTE))
    with pytest.raises(TapeError, match="not an empty folder"):
        run(tmp_path, capture(TRADE))
    assert list(Tape.open(tmp_path / "tape").frames()) == frames(QUOTE)


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "tape").mkdir()
    run(tmp_path, capture(QUOTE))
    assert list(Tape.open(tmp_path / "tape").frames()) == frames(QUOTE)


def test_the_dated_table_has_the_rules_of_august_2024() -> None:
    assert (BTC.id, BTC.unified) == ("binanceusdm:BTCUSDT", "BTC/USDT:USDT")
    assert (BTC.tick, BTC.step, BTC.min_quantity) == (Decimal("0.10"), Decimal("0.001"), Decimal("0.001"))
    assert (BTC.max_quantity, BTC.max_market_quantity, BTC.min_notional) == (Decimal(1000), Decimal(120), Decimal(100))


def test_trading_rules_from_an_exchange_info_file(tmp_path: Path) -> None:
    if not EXCHANGE_INFO.exists():
        pytest.skip(f"the recorded exchangeInfo is not here: {EXCHANGE_INFO}")
    listed, left_out = listed_instruments("binanceusdm", EXCHANGE_INFO)
    assert (listed["BTCUSDT"].tick, listed["BTCUSDT"].min_notional) == (Decimal("0.10"), Decimal(10))
    assert "BTCUSDT" not in left_out
    (tmp_path / "capture").write_bytes(capture(QUOTE))
    import_capture(tmp_path / "capture", tmp_path / "tape", venue="binanceusdm", instruments=[BTC, *listed.values()])
    assert Tape.open(tmp_path / "tape").instruments == [listed["BTCUSDT"]]


def test_an_exchange_info_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="No such file"):
        listed_instruments("binanceusdm", tmp_path / "nowhere")
    (tmp_path / "info.json").write_text("<html>")
    with pytest.raises(TapeError, match=r"info\.json cannot be read as exchangeInfo"):
        listed_instruments("binanceusdm", tmp_path / "info.json")
