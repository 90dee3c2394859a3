"""Deribit's public option summary, made into `max_pain` reading frames. No key is needed.

`parse_summary` is pure and strict; `Deribit.run` asks every five minutes, backs off after failures, and gives each frame's
bytes to `put` and each failure's text to `report`. Rows of linear options (`BTC_USDC-...`) are left out.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from bot.domain.errors import FeedError
from bot.domain.reading import EXPIRIES_KEPT, ExpiryPain, MaxPain, Reading
from bot.domain.values import NS
from bot.intel.max_pain import Expiry, Option, by_expiry, choose_expiry, max_pain
from bot.intel.params import DERIBIT_URL, DeribitParams
from bot.market.readings import DERIBIT, encode_reading, rule_of

PATH = "/api/v2/public/get_book_summary_by_currency"
MAX_BYTES = 8 * 1024 * 1024

_NAME = re.compile(r"([A-Z0-9]{1,16})-(\d{1,2})([A-Z]{3})(\d{2})-(\d{1,12}(?:d\d{1,8})?)-([CP])", re.ASCII)
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_EXPIRY_HOUR = 8  # UTC
_LARGEST = Decimal("1e12")
_TELL_NS = 60 * NS


class _Row(Struct, gc=False):
    instrument_name: str
    open_interest: Decimal
    base_currency: str
    quote_currency: str
    underlying_price: Decimal
    mark_iv: float | None = None


class _Answer(Struct):
    result: list[dict[str, Any]]


_answer = msgspec.json.Decoder(_Answer, float_hook=Decimal)


def parse_summary(raw: bytes, coin: str) -> list[Option]:
    """The coin-settled options of `coin`. Raises FeedError that names row and field; one bad row refuses the answer, because
    max pain without it would be of another chain."""
    if len(raw) > MAX_BYTES:
        raise FeedError(f"deribit: answer of {len(raw)} bytes, more than {MAX_BYTES}")
    try:
        rows = _answer.decode(raw).result
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise FeedError(f"deribit: {_short(error)}") from None
    options: dict[str, Option] = {}
    for index, row in enumerate(rows):
        name = row.get("instrument_name")
        try:
            _refuse_text(row)
            option = _option(msgspec.convert(row, _Row), coin)
            if option is not None and name in options:
                raise ValueError("listed twice")
        except (ValueError, ArithmeticError, RecursionError) as error:
            raise FeedError(f"deribit: result[{index}] {_short(name)}: {_short(error)}") from None
        if option is not None:
            options[str(name)] = option
    return list(options.values())


def _short(what: object) -> str:
    """Cut and escaped: what comes over a socket can neither fill a log nor forge a line of it."""
    return str(what)[:160].encode("unicode_escape").decode()


def _refuse_text(row: dict[str, Any]) -> None:
    """The library would take "10" for a Decimal."""
    for field in ("open_interest", "underlying_price"):
        if isinstance(row.get(field), str):
            raise ValueError(f"{field} is text")


def _option(row: _Row, coin: str) -> Option | None:
    if "_" in row.instrument_name.partition("-")[0] or row.quote_currency != row.base_currency:
        return None
    match = _NAME.fullmatch(row.instrument_name)
    if not match or match[1] != coin or row.base_currency != coin:
        raise ValueError(f"instrument_name is no option of {coin}")
    strike = Decimal(match[5].replace("d", "."))
    _within("strike", strike, positive=True)
    _within("open_interest", row.open_interest)
    _within("underlying_price", row.underlying_price, positive=True)
    if row.mark_iv is not None and not 0 <= row.mark_iv <= 10_000:
        raise ValueError(f"mark_iv is {row.mark_iv}")
    return Option(
        expiry_ns=_expiry_ns(match[2], match[3], match[4]),
        strike=strike,
        call=match[6] == "C",
        open_interest=row.open_interest,
        underlying=row.underlying_price,
        mark_iv_pct=row.mark_iv or None,
    )


def _within(field: str, value: Decimal, *, positive: bool = False) -> None:
    if not value.is_finite() or not 0 <= value <= _LARGEST or (positive and not value):
        raise ValueError(f"{field} is {value}")


def _expiry_ns(day: str, month: str, year: str) -> int:
    if month not in _MONTHS:
        raise ValueError(f"month is {month}")
    at = datetime(2000 + int(year), _MONTHS.index(month) + 1, int(day), _EXPIRY_HOUR, tzinfo=UTC)
    return int(at.timestamp()) * NS


def max_pain_reading(options: list[Option], coin: str, now_ns: int) -> Reading[MaxPain]:
    """Missing, with the reason, where no expiry qualifies. `reason` also says what coin-settled max pain would be, where it
    is another strike."""
    listed = by_expiry(options)
    expiry = choose_expiry(listed, now_ns)
    pain = max_pain(expiry.calls, expiry.puts, expiry.spot) if expiry else None
    value = None
    reason = "no expiry with enough open interest"
    if expiry and pain:
        value = MaxPain(
            price=pain.price,
            expiry=_date(expiry.expiry_ns),
            notional_usd=expiry.notional_usd,
            atm_iv_pct=expiry.atm_iv_pct,
            expiries=tuple(_each(listed, now_ns)),
        )
        reason = f"in coins it would be {pain.coin_price}" if pain.conventions_differ else ""
    return _reading(coin, value, now_ns, reason)


def _each(listed: list[Expiry], now_ns: int) -> Iterator[ExpiryPain]:
    """The nearest that are still to come."""
    for expiry in [each for each in listed if each.expiry_ns > now_ns and each.open_interest][:EXPIRIES_KEPT]:
        pain = max_pain(expiry.calls, expiry.puts, expiry.spot)
        if pain is not None:
            yield ExpiryPain(expiry=_date(expiry.expiry_ns), price=pain.price, notional_usd=expiry.notional_usd)


def _date(expiry_ns: int) -> str:
    return datetime.fromtimestamp(expiry_ns // NS, UTC).date().isoformat()


def _reading(coin: str, value: MaxPain | None, now_ns: int, reason: str) -> Reading[MaxPain]:
    return Reading(
        name="max_pain",
        key=coin,
        source=DERIBIT,
        value=value,
        observed_ns=now_ns,
        received_ns=now_ns,
        max_age_ns=rule_of("max_pain").max_age_s * NS,
        reason=reason,
    )


@dataclass(slots=True)
class _Kept:
    """What is known of the calls for one coin."""

    good_ns: int | None = None
    next_ns: int = 0
    told_ns: int | None = None
    failures: int = 0  # in a row
    problem: str = ""


def _told(coin: str, kept: _Kept, now_ns: int) -> dict[str, Any]:
    return {
        "readings": [["max_pain", coin]],
        "last_s": None if kept.good_ns is None else (now_ns - kept.good_ns) / NS,
        "next_s": max(0, kept.next_ns - now_ns) / NS,
        "failures": kept.failures,
        "problem": kept.problem,
    }


class Deribit:
    """`coins` as Deribit names currencies (BTC, ETH). `now_ns` and `sleep` are injected."""

    def __init__(
        self,
        coins: list[str],
        params: DeribitParams,
        put: Callable[[bytes], None],
        report: Callable[[str], None],
        now_ns: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._coins, self._params = coins, params
        self._put, self._report, self._now_ns, self._sleep = put, report, now_ns, sleep
        self._kept = {coin: _Kept() for coin in coins}

    async def run(self) -> None:
        """Until cancelled. Each coin has its own pace, so one that fails does not hold up another."""
        timeout = aiohttp.ClientTimeout(total=None)  # the client's own swallows a cancellation that comes with it
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session, asyncio.TaskGroup() as tasks:
            for coin in self._coins:
                tasks.create_task(self._keep(session, coin))

    async def _keep(self, session: aiohttp.ClientSession, coin: str) -> None:
        kept = self._kept[coin]
        while True:
            try:
                raw = await self._fetch(session, coin)
                reading = max_pain_reading(parse_summary(raw, coin), coin, self._now_ns())
            except (FeedError, aiohttp.ClientError, TimeoutError) as error:
                kept.failures += 1
                late = f"no answer within {self._params.timeout_s:g} s"
                kept.problem = f"deribit {coin}: {late if isinstance(error, TimeoutError) else _short(error)}"
                self._tell(coin, kept)
            else:
                kept.failures, kept.problem, kept.good_ns = 0, "", self._now_ns()
                self._put(encode_reading(reading))
            wait_s = self._wait_s(kept.failures)
            kept.next_ns = self._now_ns() + int(wait_s * NS)
            await self._sleep(wait_s)

    def resume(self, reading: Reading[Any]) -> None:
        if reading.source == DERIBIT and reading.key in self._kept:
            self._kept[reading.key].good_ns = reading.observed_ns

    def answer(self) -> dict[str, Any]:
        now_ns = self._now_ns()
        return {"provider": DERIBIT, "asked": [_told(coin, kept, now_ns) for coin, kept in self._kept.items()]}

    def _tell(self, coin: str, kept: _Kept) -> None:
        """A number that is still fresh is not hidden by a failure after it."""
        now_ns, max_age_ns = self._now_ns(), rule_of("max_pain").max_age_s * NS
        if kept.good_ns is None or now_ns - kept.good_ns > max_age_ns:
            self._put(encode_reading(_reading(coin, None, now_ns, kept.problem)))
        if kept.told_ns is None or now_ns - kept.told_ns >= _TELL_NS:
            kept.told_ns = now_ns
            self._report(kept.problem)

    def _wait_s(self, failures: int) -> float:
        if not failures:
            return self._params.refresh_s
        return min(self._params.refresh_s, self._params.backoff_s * 2.0 ** min(failures - 1, 30))

    async def _fetch(self, session: aiohttp.ClientSession, coin: str) -> bytes:
        query = {"currency": coin, "kind": "option"}
        url = (self._params.base_url or DERIBIT_URL).rstrip("/") + PATH
        async with (
            asyncio.timeout(self._params.timeout_s),
            session.get(url, params=query, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise FeedError(f"HTTP {answer.status}")
            if answer.content_type != "application/json":
                raise FeedError(f"content type {answer.content_type}, not JSON")
            raw = bytearray()
            async for chunk in answer.content.iter_chunked(65536):
                raw += chunk
                if len(raw) > MAX_BYTES:
                    raise FeedError(f"more than {MAX_BYTES} bytes")
            return bytes(raw)
