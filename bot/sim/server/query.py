"""Parameters of a call, and the venue's own refusals of bad ones."""

from __future__ import annotations

from collections.abc import Mapping

from bot.sim.refusals import Refused


class Query:
    """Parameters as text; asking for one checks it."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    def text(self, name: str) -> str:
        value = self._given.get(name, "")
        if not value:
            raise Refused(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        return value

    def has(self, name: str) -> bool:
        return bool(self._given.get(name))

    def whole(self, name: str, default: int, least: int = 0, most: int = 1 << 53) -> int:
        text = self._given.get(name)
        if text is None or text == "":
            return default
        if not (text.isascii() and text.isdigit()) or len(text) > 18:
            raise Refused(
                -1100,
                f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.",
            )
        if not least <= int(text) <= most:
            raise Refused(-1130, f"Data sent for parameter '{name}' is not valid.")
        return int(text)

    def span(self) -> tuple[int, int]:
        """`startTime` and `endTime`, or the widest."""
        start_ms, end_ms = self.whole("startTime", 0), self.whole("endTime", 1 << 53)
        if start_ms > end_ms:
            raise Refused(-1023, "Start time is greater than end time.")
        return start_ms, end_ms
