"""Bodies of the acting routes, strict: a wrong field is named, an unknown one is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from bot.domain.values import Direction

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:\-]+$")]


class SignalRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    """`id` makes a repeated webhook harmless; `symbol` is ccxt's unified one."""

    id: Name
    symbol: str
    direction: Direction
    strategy: Name = "outside"
    strength: Annotated[float, Meta(ge=0, le=1)] = 1.0
    price: Decimal | None = None


class CloseBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """`part` is a percentage of what is open now; without it all of it is closed."""

    symbol: str
    part: Decimal | None = None


class StopBody(Struct, forbid_unknown_fields=True, kw_only=True):
    symbol: str
    price: Decimal


class BlockBody(Struct, forbid_unknown_fields=True, kw_only=True):
    symbol: str
    blocked: bool = True


class ApplyBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """`anyway`: also where the evidence is not significant."""

    subject: Name
    anyway: bool = False


class UndoBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Without a subject the newest change of all is taken back."""

    subject: Name | None = None


T = TypeVar("T", SignalRequest, CloseBody, StopBody, BlockBody, ApplyBody, UndoBody)


async def body_of(request: web.Request, kind: type[T]) -> T:
    """Raises msgspec.MsgspecError, which the server answers with 400."""
    return msgspec.json.decode(await request.read(), type=kind)
