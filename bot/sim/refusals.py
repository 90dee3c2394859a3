"""What the exchange says no with: the venue's own codes and words, so that a client's error handling is what is tested.

Codes and texts are those of Binance USD-M's error list; `server/limits.py` puts them into answers.
"""

from __future__ import annotations


class Refused(Exception):
    """The venue's own error; what comes back is `{"code": .., "msg": ..}` with that HTTP status."""

    def __init__(self, code: int, msg: str, status: int = 400) -> None:
        super().__init__(msg)
        self.code, self.msg, self.status = code, msg, status


class NotKnown(Refused):
    """The exchange itself does not know, or not yet: a tape need not tell of everything."""

    def __init__(self) -> None:
        super().__init__(-1001, "Internal error; unable to process your request. Please try again.", 500)


def missing(name: str) -> Refused:
    return Refused(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def not_needed(name: str) -> Refused:
    return Refused(-1106, f"Parameter '{name}' sent when not required.")


def invalid(name: str) -> Refused:
    return Refused(-1130, f"Data sent for parameter '{name}' is not valid.")


def bad_symbol() -> Refused:
    return Refused(-1121, "Invalid symbol.")


def not_trading() -> Refused:
    return Refused(-4108, "Symbol is on delivering or delivered or settling or closed or pre-trading.")


def unknown_order() -> Refused:
    return Refused(-2013, "Order does not exist.")


def nothing_to_cancel() -> Refused:
    return Refused(-2011, "Unknown order sent.")


def no_margin() -> Refused:
    return Refused(-2019, "Margin is insufficient.")


def would_trigger() -> Refused:
    return Refused(-2021, "Order would immediately trigger.")


def nothing_to_reduce() -> Refused:
    return Refused(-2022, "ReduceOnly Order is rejected.")


def in_liquidation() -> Refused:
    return Refused(-2023, "User in liquidation mode now.")


def too_many_open() -> Refused:
    return Refused(-2025, "Reach max open order limit.")


def over_leverage() -> Refused:
    return Refused(-2027, "Exceeded the maximum allowable position at current leverage.")


def duplicate_id() -> Refused:
    return Refused(-4116, "ClientOrderId is duplicated.")


def not_at_once() -> Refused:
    return Refused(
        -5021,
        "Due to the order could not be filled immediately, the FOK order has been rejected. The order will not be recorded in the order history",
    )


def would_take() -> Refused:
    return Refused(
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected. The order will not be recorded in the order history",
    )
