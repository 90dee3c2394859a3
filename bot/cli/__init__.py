"""The command line: `python -m bot`. One file per group of commands, each thin; heavy imports happen inside the commands."""

from __future__ import annotations

import sys

from bot.domain.errors import BotError


def main() -> None:
    """Entry point. Known errors end with one line on stderr and their exit code; anything else keeps its traceback."""
    from bot.cli.app import app

    try:
        app(standalone_mode=True)
    except BotError as error:
        print(f"bot: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
