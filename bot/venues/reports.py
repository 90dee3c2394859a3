"""The bytes of an account frame: an `AccountReport` as JSON, written by venues and read back by the engine.

Decimals travel as text, the union is told apart by its `type` tag. Nothing here judges a report.
"""

from __future__ import annotations

import msgspec

from bot.domain.orders import AccountReport

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AccountReport)


def encode_report(report: AccountReport) -> bytes:
    return _encoder.encode(report)


def decode_report(raw: bytes) -> AccountReport:
    """Raises `msgspec.DecodeError` (`ValidationError` included) on bytes that are no report."""
    report: AccountReport = _decoder.decode(raw)
    return report
