"""The typer application and the options that several commands share."""

from __future__ import annotations

import typer

from bot.cli import acting, cockpit, config, doctor, learning, ledger, playing, reading, recording, simulating

app = typer.Typer(
    help="Big Alpha: a trading engine for crypto perpetual futures that tells why it did or did not trade.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (playing, reading, ledger, acting, learning, cockpit, recording, simulating, config, doctor):
    group.register(app)
