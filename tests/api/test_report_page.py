"""The report's page, opened as a file in a real browser: what is drawn is what `report --json` says, and it does nothing else."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import ROUND_HALF_UP, Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest

from bot.api.report_page import page
from bot.app.report import Report
from tests.browser import Page, browser
from tests.learning.accounts import Account, busy

MANY = 2_000
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


def told(account: Account) -> dict[str, Any]:
    report = Report()
    report.fold(account.events)
    plain: dict[str, Any] = orjson.loads(orjson.dumps(report.plain()))
    return plain


@asynccontextmanager
async def opened(tmp_path: Path, plain: dict[str, Any], width: int = 1440) -> AsyncIterator[Page]:
    """The drawn page; it must have said nothing and asked for nothing when it is left."""
    file = tmp_path / "report.html"
    file.write_text(page(plain), encoding="utf-8")
    async with browser() as driven:
        shown = await driven.page()
        await shown.size(width, 900)
        await shown.open(file.as_uri())
        await shown.until("document.documentElement.dataset.drawn === 'yes'")
        yield shown
        assert shown.errors == []
        assert [url for url in shown.requests if not url.startswith("data:")] == [file.as_uri()]


async def texts(shown: Page, selector: str) -> list[str]:
    found = await shown.ask(f"[...document.querySelectorAll({json.dumps(selector)})].map((each) => each.textContent)")
    return [text.replace("\xa0", " ") for text in found]


async def column(shown: Page, name: str) -> list[str]:
    return await texts(shown, f"#list td[data-label='{name}']")


def usd(value: str | float) -> str:
    """As the page writes it: halves are rounded away from 0."""
    exact = Decimal(str(value))
    return signed(f"{abs(exact).quantize(Decimal('0.01'), ROUND_HALF_UP):,}", float(exact))


def signed(text: str, value: float) -> str:
    return text if not re.search("[1-9]", text) else ("+" if value > 0 else "−") + text


async def test_a_long_report(tmp_path: Path) -> None:
    plain = told(busy(MANY))
    async with opened(tmp_path, plain) as shown:
        await _figures(shown, plain)
        await _guards(shown, plain)
        await _curve(shown, plain)
        await _max_pain(shown, plain)
        await _list(shown, plain)


async def _figures(shown: Page, plain: dict[str, Any]) -> None:
    tiles = await texts(shown, "#tiles .big")
    every = plain["sides"]["all"]
    assert tiles[0] == usd(plain["pnl_usd"])
    assert tiles[1] == f"{float(plain['equity_usd']):,.2f}"
    assert tiles[2] == signed(f"{abs(plain['deepest']['drawdown_pct']):.2f} %", -1)
    assert tiles[3] == f"{MANY:,}"
    assert tiles[4] == f"{every['profit_factor']['value']:.2f}"
    assert tiles[6] == f"{float(every['fees_usd']):,.2f}"
    (net,) = [row for row in await rows(shown, "#sides tbody tr") if row[0] == "net, USD"]
    assert net[1:] == [usd(plain["sides"][name]["pnl_usd"]) for name in ("all", "long", "short")]
    months = [(row[0], row[1], row[3]) for row in await rows(shown, "#months tbody tr")]
    assert months == [(m["month"], str(m["trades"]), usd(m["pnl_usd"])) for m in reversed(plain["months"])]
    live = [(row[0], row[1], row[3]) for row in await rows(shown, "#strategies tbody tr")]
    assert live == [
        (f"{row['strategy']} {row['direction']}s, paper", f"{row['live']:,}", usd(row["live_usd"]))
        for row in plain["ledger"]["strategies"]
    ]


async def rows(shown: Page, selector: str) -> list[list[str]]:
    found: list[list[str]] = await shown.ask(
        f"[...document.querySelectorAll({json.dumps(selector)})].map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    return found


async def _guards(shown: Page, plain: dict[str, Any]) -> None:
    """A row and a bar for each, and through the bar the interval: on its side of 0, as long as it says."""
    guards = {(row["guard"], row["direction"]): row for row in plain["ledger"]["guards"]}
    drawn = await shown.ask(
        "[...document.querySelectorAll('#guards tbody tr')].map((row) => ({ name: row.cells[0].textContent, blocks: row.cells[2].textContent,"
        " bar: row.querySelector('rect').getAttribute('class'), width: Number(row.querySelector('rect').getAttribute('width')),"
        " whisker: [...row.querySelectorAll('.whisker')].length && ['x1', 'x2'].map((x) => Number(row.querySelector('.whisker').getAttribute(x))) }))"
    )
    assert len(drawn) == len(guards) == 6
    ends = [abs(row["value"][end]) for row in guards.values() for end in ("lo_r", "hi_r")]
    scale = max(ends) * 1.05 / 100
    for row in drawn:
        guard, _, side = row["name"].partition(" ")
        value = guards[guard, side.removesuffix("s")]["value"]
        assert row["blocks"] == str(guards[guard, side.removesuffix("s")]["blocks"])
        assert row["bar"] == ("gain" if value["mean_r"] > 0 else "loss")
        assert row["width"] == pytest.approx(abs(value["mean_r"]) / scale)
        assert row["whisker"] == pytest.approx([value["lo_r"] / scale, value["hi_r"] / scale])


async def _curve(shown: Page, plain: dict[str, Any]) -> None:
    """Every point is on the chart, and the chart is painted."""
    seconds = {point["ts_ns"] // 10**9 for point in plain["curve"]} | {plain["now_ns"] // 10**9}
    assert await shown.ask("Number(document.querySelector('#equity .chart').dataset.points)") == len(seconds)
    painted = (
        "[...document.querySelectorAll('#equity canvas')].some((canvas) => canvas.width > 300 && canvas.getContext('2d')"
        ".getImageData(0, 0, canvas.width, canvas.height).data.some((part, i) => i % 4 === 3 && part))"
    )
    await shown.until(painted)
    assert await shown.ask("document.querySelector('#equity a[href*=\"tradingview.com\"]') !== null")


async def _max_pain(shown: Page, plain: dict[str, Any]) -> None:
    await shown.until("document.querySelector('#pain .point')")
    known = [trade for trade in plain["trades"] if trade["max_pain_gap_pct"] is not None]
    for kind, hit in (("hit", True), ("miss", False), ("plain", None)):
        wanted = sum(trade["max_pain_hit"] is hit for trade in known)
        assert await shown.ask(f"document.querySelectorAll('#pain .point.{kind}').length") == wanted > 0
    found = plain["ledger"]["max_pain"]
    assert f"{found['hits']} of {found['n']} reached it" in (await texts(shown, "#pain"))[0]


async def _list(shown: Page, plain: dict[str, Any]) -> None:
    results = [float(trade["pnl_usd"]) for trade in plain["trades"]]
    assert await column(shown, "result, USD") == [usd(each) for each in reversed(results[-100:])]
    assert await texts(shown, "#where") == ["1 to 100 of 2,000"]
    await shown.ask("document.querySelector('#next').click()")
    assert await column(shown, "result, USD") == [usd(each) for each in reversed(results[-200:-100])]
    await shown.ask(
        "[...document.querySelectorAll('#list th button')].find((each) => each.textContent === 'result, USD').click()"
    )
    assert await column(shown, "result, USD") == [usd(each) for each in sorted(results, reverse=True)[:100]]
    await shown.ask("document.querySelector('#list th[aria-sort=descending] button').click()")
    assert await column(shown, "result, USD") == [usd(each) for each in sorted(results)[:100]]
    await _set(shown, "#trades input", "input", "ETH trend")
    await _set(shown, "#trades select[aria-label=side]", "change", "long")
    wanted = [
        float(trade["pnl_usd"])
        for trade in plain["trades"]
        if (trade["symbol"][:3], trade["direction"], trade["strategy"]) == ("ETH", "long", "trend")
    ]
    assert (await texts(shown, "#where"))[0].endswith(f" of {len(wanted)}")
    assert set(await column(shown, "side")) == {"long"}
    assert usd(sum(wanted)) in (await texts(shown, "#sum"))[0]
    await _set(shown, "#trades input", "input", "nothing like it")
    assert await texts(shown, "#list") == ["No trade fits: widen the search."]


async def _set(shown: Page, selector: str, event: str, value: str) -> None:
    of = f"document.querySelector({json.dumps(selector)})"
    await shown.ask(f"{of}.value = {json.dumps(value)}, {of}.dispatchEvent(new Event('{event}'))")


async def test_a_short_report_and_one_of_nothing(tmp_path: Path) -> None:
    plain = told(busy(3, seed=4))
    async with opened(tmp_path, plain) as shown:
        assert len(await rows(shown, "#list tbody tr")) == 3
        assert await shown.ask("document.querySelectorAll('#guards .whisker').length") == 0  # too few for an interval
        told_of = [
            f"{row['guard']} {row['direction']}s ({row['signals']} signals)" for row in plain["ledger"]["guards"]
        ]
        assert await texts(shown, "#quiet") == [f"Asked, and refused nothing: {', '.join(told_of)}."]
        assert await shown.ask("document.querySelector('#next').disabled && document.querySelector('#before').disabled")
    async with opened(tmp_path, told(Account())) as shown:
        empty = await texts(shown, ".empty")
        assert len(empty) == 7
        assert "python -m bot run" in empty[0] and "python -m bot doctor" in empty[1]
        assert await shown.ask("document.querySelectorAll('tbody tr, canvas').length") == 0
    nothing = Report().plain()
    async with opened(tmp_path, orjson.loads(orjson.dumps(nothing))) as shown:
        assert "nothing ran yet" in (await texts(shown, "#about"))[0]


async def test_what_is_left_out_of_a_guards_value_is_told(tmp_path: Path) -> None:
    account = Account()
    account.close(account.open(account.decide(by=["a"]), tradable=False), -1.0)
    async with opened(tmp_path, told(account)) as shown:
        ((*_, verdict),) = await rows(shown, "#guards tbody tr")
        assert (
            verdict
            == "not enough evidence no finished trade that it alone refused; 1 left out: could not have been opened"
        )


async def test_text_from_outside_is_shown_and_never_run(tmp_path: Path) -> None:
    account = Account((HOSTILE,))
    account.trade(1.0, strategy=HOSTILE, reason=HOSTILE)
    account.refused(1.0, [HOSTILE], strategy=HOSTILE)
    plain = told(account)
    plain["account"] = HOSTILE
    for trade in plain["trades"]:
        trade["symbol"] = trade["position_id"] = HOSTILE
    async with opened(tmp_path, plain) as shown:
        assert await column(shown, "strategy") == await column(shown, "symbol") == [HOSTILE]
        assert (await rows(shown, "#guards tbody tr"))[0][0].startswith(HOSTILE)
        assert HOSTILE in (await texts(shown, "#about"))[0]
        assert await shown.ask("document.title") == f"Big Alpha report, {HOSTILE}"
        assert await shown.ask("document.querySelectorAll('img').length") == 0


async def test_what_is_not_of_the_page_may_not_run_or_be_fetched(tmp_path: Path) -> None:
    plain = told(busy(3))
    async with opened(tmp_path, plain) as shown:
        await shown.ask(
            "new Promise((done) => { const script = document.createElement('script'); script.textContent = 'document.title = \"owned\"';"
            " document.body.append(script); setTimeout(done, 50); })"
        )
        assert await shown.ask("document.title") != "owned"
        assert await shown.ask("fetch('https://example.org/').then(() => 'fetched', () => 'refused')") == "refused"
        assert shown.errors and all("Content Security Policy" in each for each in shown.errors)
        shown.errors.clear()
        shown.requests[:] = [url for url in shown.requests if url.startswith("file:")]


@pytest.mark.parametrize("width", [390, 1440])
async def test_it_fits_the_screen_dark_and_light(tmp_path: Path, width: int) -> None:
    async with opened(tmp_path, told(busy(40)), width) as shown:
        assert await shown.ask("document.documentElement.scrollWidth") <= width
        within = "[...document.querySelectorAll('#list td')].every((cell) => cell.getBoundingClientRect().right <= innerWidth)"
        assert await shown.ask(within)  # also on a phone, where a row is a card
        back = "getComputedStyle(document.body).backgroundColor"
        await shown.theme("light")
        light = await shown.ask(back)
        await shown.theme("dark")
        dark = await shown.ask(back)
        assert light != dark
        await shown.ask("document.querySelector('#theme').click()")
        assert await shown.ask(back) == light


def test_the_page_names_its_own_scripts_and_nothing_else() -> None:
    text = page(told(busy(3)))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 2 and "unsafe" not in policy
    for content in (*scripts, *re.findall(r"<style>(.*?)</style>", text, re.DOTALL)):
        assert f"sha256-{b64encode(sha256(content.encode()).digest()).decode()}" in policy
    outside = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert set(re.findall(r"https?://[^\s\"<]+", outside)) == {"https://www.tradingview.com/"}
    assert "src=" not in outside


def test_the_numbers_inside_are_those_of_the_document() -> None:
    plain = told(busy(20))
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page(plain), re.DOTALL)
    found = json.loads(data)
    for name in ("trades", "curve"):
        found[name] = [dict(zip(found[name]["columns"], row, strict=True)) for row in found[name]["rows"]]
    assert found == plain
