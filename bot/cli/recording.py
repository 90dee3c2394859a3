"""`record live`: a venue's public data becomes a tape. `record import`: other people's captures become tapes. `record synthetic`: a made-up market becomes one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from msgspec import to_builtins

from bot.cli.options import AsJson, ConfigFiles, Symbols, checked, print_json, settings_of

record = typer.Typer(
    help="Recordings: make tapes of live public data, of other people's captures, or of a made-up market.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    app.add_typer(record, name="record")


@record.command()
def live(
    out: Annotated[Path, typer.Argument(help="folder of the new tape; must not exist, or be empty")],
    venue: Annotated[str, typer.Option(help="whose public data")] = "binanceusdm",
    symbols: Symbols = None,
    hours: Annotated[float | None, typer.Option(min=0.0001, help="then it ends (default: Ctrl-C ends it)")] = None,
    max_gb: Annotated[
        float | None, typer.Option(help="beyond that the oldest part is deleted (record.max_gb, default: 5)")
    ] = None,
    config: ConfigFiles = None,
    as_json: AsJson = False,
) -> None:
    """Record a venue's public data as a tape that `run --tape` and `replay` play. Nothing is traded, no key is needed.

    Example: python -m bot record live tapes/today --hours 24
    """
    settings = settings_of(
        files=config, asks_strategies=False, venue__name=venue, symbols=symbols, record__max_gb=max_gb
    )
    checked(settings)
    from bot.app.recording import record_live

    shown = sys.stderr.isatty() and not as_json
    with _into(out):
        done = record_live(settings, out, hours=hours, told=_tell, show=_show if shown else None)
    if shown:
        print(file=sys.stderr)
    if as_json:
        print_json(done)
        return
    missing = f", {done['missing_frames']:,} missing" if done["missing_frames"] else ""
    print(f"{done['frames']:,} frames{missing}, {done['bytes'] / 1e6:.1f} MB -> {out} ({done['reason']})")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _show(line: str) -> None:
    print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)


@record.command("import")
def import_(
    capture: Annotated[Path, typer.Argument(help="lines of `<receive time ns> <raw JSON>`; plain, gz, xz or zst")],
    out: Annotated[Path, typer.Argument(help="folder of the new tape; must not exist")],
    venue: Annotated[str, typer.Option(help="whose messages these are")] = "binanceusdm",
    exchange_info: Annotated[
        Path | None,
        typer.Option(help="the venue's exchangeInfo reply with tick, step and minimums (default: a dated table)"),
    ] = None,
    warmup: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SYMBOL=]FILE",
            help="the venue's klines reply with the bars before the capture; once for each symbol and interval. Its last "
            "kline is left out: whether it was finished cannot be told",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn a raw capture into a tape that `run --tape` and `replay` read.

    Example: python -m bot record import capture.gz tapes/mine --warmup klines_5m.json
    """
    from bot.runtime.capture import import_capture, known_instruments, listed_instruments

    left_out: dict[str, str] = {}
    if exchange_info is None:
        instruments = known_instruments(venue)
    else:
        instruments, left_out = listed_instruments(venue, exchange_info)
    with _into(out):
        report = import_capture(capture, out, venue=venue, instruments=instruments.values(), warmup=warmup or ())
    if as_json:
        print_json({**to_builtins(report), "instruments_left_out": left_out})
        return
    print(f"{report.frames:,} frames, {report.skipped:,} lines skipped -> {out}")
    if warmup:
        print(f"{report.warmup_bars:,} bars to warm up with")
    if report.skipped:
        print(f"first skipped line: {report.first_skipped}")
    if report.ends_early:
        print("the capture ends early; everything up to its last whole line was imported")


@record.command()
def synthetic(
    out: Annotated[Path, typer.Argument(help="folder of the new tape; must not exist")],
    name: Annotated[str, typer.Option("--preset", help="calm, day, many, random, revert or trend")] = "day",
    seed: Annotated[int, typer.Option(min=0, help="the same seed makes the same tape, byte for byte")] = 1,
    hours: Annotated[float | None, typer.Option(min=0.01, max=240, help="instead of the preset's own length")] = None,
    symbols: Annotated[int | None, typer.Option(help="how many coins (default: 1; preset many: 20)")] = None,
    as_json: AsJson = False,
) -> None:
    """Make up a market and write it as a tape that `run --tape` and `replay` play. It says that it is synthetic.

    Example: python -m bot record synthetic tapes/day --preset day --seed 7
    """
    from bot.sim.presets import preset
    from bot.sim.synthetic import write_tape

    scenario = preset(name, seed=seed, hours=hours, symbols=symbols)
    shown = sys.stderr.isatty() and not as_json
    with _into(out):
        written = write_tape(scenario, out, progress=_share_of(scenario.start_ns, scenario.seconds) if shown else None)
    if shown:
        print("\r", end="", file=sys.stderr)
    if as_json:
        print_json({**to_builtins(written), "symbols": [coin.instrument.unified for coin in scenario.coins]})
        return
    print(f"{written.frames:,} frames of {scenario.seconds / 3600:g} h, {len(scenario.coins)} symbol(s) -> {out}")
    print(written.origin)


@record.command()
def columns(
    tape: Annotated[Path, typer.Argument(help="folder of a recording")],
    as_json: AsJson = False,
) -> None:
    """Lay the trades of a recording out in columns beside it, so that `replay` plays a long history of them fast.

    Nothing else about the recording changes; delete the file columns.zst to be rid of them. Worth it where most messages are
    trades: a book is replayed as ever.

    Example: python -m bot record columns tapes/trades
    """
    from bot.app.wiring import decoders_of
    from bot.runtime.columns import FILE, write_columns
    from bot.runtime.tape import Tape

    shown = sys.stderr.isatty() and not as_json
    with _into(tape / FILE):
        opened = Tape.open(tape)
        decode = decoders_of(opened.instruments)[opened.manifest.venue]()
        written = write_columns(opened, decode, **({"progress": _frames} if shown else {}))
    if shown:
        print("\r", end="", file=sys.stderr)
    if as_json:
        print_json(to_builtins(written))
        return
    print(
        f"{written.trades:,} trades of {written.frames:,} frames in columns, {written.bytes:,} bytes -> {tape / FILE}"
    )


def _frames(frames: int) -> None:
    print(f"\r{frames:,} frames", end="", file=sys.stderr, flush=True)


@contextmanager
def _into(out: Path) -> Iterator[None]:
    """What the file system refuses (a folder that cannot be made, a full disk) is told in a line."""
    from bot.domain.errors import TapeError

    try:
        yield
    except OSError as error:
        raise TapeError(f"{out} cannot be written: {error.strerror or error}") from None


def _share_of(start_ns: int, seconds: int) -> Callable[[int], None]:
    def show(now_ns: int) -> None:
        print(f"\r{(now_ns - start_ns) / (seconds * 1e7):.0f} %", end="", file=sys.stderr, flush=True)

    return show
