"""The cockpit's page in a real browser, from a fixed snapshot: what it draws, how it keeps up, what it does when nothing comes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from tests.api.page_world import (
    BTC,
    ETH,
    MARK,
    NOW_S,
    SCRIPT,
    Served,
    bars,
    depth,
    empty,
    events,
    frame,
    position,
    readings,
    sections,
    snap,
    status,
)
from tests.browser import Browser, Page, browser

pytestmark = pytest.mark.asyncio(loop_scope="module")
TABS = ("overview", "chart", "analytics", "guards", "why", "learning", "health", "log")
CHARTS_DRAWN = "[...document.querySelectorAll('.plot')].every(it => it.drawn)"
WIDE, PHONE = (1440, 900), (390, 844)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def chrome() -> AsyncIterator[Browser]:
    async with browser() as opened:
        yield opened


@asynccontextmanager
async def opened(
    chrome: Browser, tab: str, first: dict[str, Any] | None = None, size: tuple[int, int] = WIDE
) -> AsyncIterator[tuple[Page, Served]]:
    """The page at a tab, drawn. Afterwards nothing may have gone wrong in it."""
    async with Served(first or snap()) as served:
        page = await chrome.page()
        await page.size(*size, mobile=size is PHONE)
        await page.theme("dark")
        await page.open(f"{served.url}#{tab}")
        await page.until(f"document.querySelector('main[data-tab={tab.partition('/')[0]}]')?.dataset.frames > 0")
        await page.until(CHARTS_DRAWN)
        yield page, served
        assert page.foreign(served.url) == []
        assert page.errors == []
        await page.close()


async def go(page: Page, tab: str) -> None:
    await page.ask(f"location.hash = '{tab}'")
    await page.until(f"document.querySelector('main').dataset.tab === '{tab}'")


def cells(label: str) -> str:
    """The texts of a table's rows."""
    return (
        f"[...document.querySelectorAll('table[aria-label=\"{label}\"] tbody tr')]"
        ".map(row => [...row.cells].map(cell => cell.innerText.replace(/\\s+/g, ' ').trim()))"
    )


def text(selector: str) -> str:
    return f"document.querySelector({selector!r})?.innerText.replace(/\\s+/g, ' ').trim()"


# --- what each tab draws ---


async def test_overview_shows_money_state_and_every_level_of_a_position(chrome: Browser) -> None:
    async with opened(chrome, "overview") as (page, _):
        tiles = await page.ask(
            "[...document.querySelectorAll('.tile')].map(tile => tile.innerText.replace(/\\s+/g, ' '))"
        )
        assert tiles[0] == "Equity 10,095.32 USD wallet 10,084.20"
        assert tiles[1] == "Today +75.32 +0.75 % from 10,020.00"
        assert tiles[2] == "Below peak −0.24 % peak 10,120.00"
        assert await page.ask(text("main .state")) == "ACTIVE"
        assert await page.ask(cells(f"levels of {BTC}")) == [
            ["Tier 4", "101,098.2", "+0.35 %", "0.025", "working"],
            ["Entry", "99,880.0", "−0.86 %", "0.025", "filled"],
            ["Stop", "98,881.2", "−1.85 %", "0.025", "resting"],
        ]
        assert await page.ask(text(".position .timer")) == "hold 25:04"
        assert await page.ask("document.querySelector('.position progress').value") == 2700 - 1504
        assert await page.ask("document.querySelector('.plot').drawn.parts.curve.data().length") == 181
        assert len(await page.ask(cells("last signals"))) == 6


async def test_a_position_without_a_stop_is_told_where_it_stands(chrome: Browser) -> None:
    for seconds, told in ((1.9, 0), (65.0, 1)):
        shown = sections()
        shown["health"] = shown["health"] | {"unprotected": {BTC: seconds}}
        async with opened(chrome, "overview", snap(shown)) as (page, _):
            assert await page.ask("document.querySelectorAll('.position .faults').length") == told
            if told:
                assert "NO STOP of this position has rested at the venue for 1:05" in await page.ask(text(".position"))


async def test_fills_from_before_the_first_candle_are_not_heaped_on_it(chrome: Browser) -> None:
    shown = sections()
    trades = shown["chart"][BTC]["trades"]
    early = [trades[0] | {"time": shown["chart"][BTC]["bars"][0][0] - 60 * n} for n in (3, 2, 1)]
    shown["chart"][BTC]["trades"] = [*early, *trades]
    async with opened(chrome, "chart", snap(shown)) as (page, _):
        markers = await page.ask("document.querySelector('.plot').drawn.parts.markers.markers().length")
        assert markers == len(trades)


async def test_chart_draws_every_candle_fill_and_line_where_it_belongs(chrome: Browser) -> None:
    async with opened(chrome, "chart") as (page, _):
        await page.ask(choose("Lines in view", "all"))
        candles = "document.querySelector('.plot').drawn.parts.candles"
        drawn = await page.until(f"{candles}.data().length === 240 && {candles}.data()")
        assert [[row[key] for key in ("time", "open", "high", "low", "close")] for row in drawn] == [
            row[:5] for row in bars()
        ]
        lines = await page.ask(
            "[...document.querySelector('.plot').drawn.parts.lines].map(([key, line]) => [key, line.options().price])"
        )
        assert dict(lines) == {
            "Tier 4": 101098.2,
            "Entry": 99880.0,
            "Stop": 98881.2,
            "max pain": 98000,
            "wall 0": 101800,
            "wall 1": 101200,
            "wall 2": 102500,
            "bidwall 0": 99400,
            "bidwall 1": 98900,
            "bidwall 2": 98000,
        }
        assert await page.ask("document.querySelector('.plot').drawn.parts.markers.markers().length") == 2


async def test_candles_are_folded_to_wider_ones(chrome: Browser) -> None:
    async with opened(chrome, "chart") as (page, _):
        await page.ask(choose("Candles", "15"))
        drawn = await page.until(
            "(it => it.length < 100 && it)(document.querySelector('.plot').drawn.parts.candles.data())"
        )
        wanted: dict[int, list[list[float]]] = {}
        for row in bars():
            wanted.setdefault(int(row[0]) // 900 * 900, []).append(row)
        assert [[row[key] for key in ("time", "open", "high", "low", "close")] for row in drawn] == [
            [time, rows[0][1], max(row[2] for row in rows), min(row[3] for row in rows), rows[-1][4]]
            for time, rows in wanted.items()
        ]


async def test_the_line_of_max_pain_is_painted_at_its_price(chrome: Browser) -> None:
    shown = sections()
    shown["readings"] = [row for row in shown["readings"] if row["name"] != "walls"]
    async with opened(chrome, "chart", snap(shown)) as (page, _):
        await page.ask(choose("Lines in view", "all"))
        # The rows of pixels that are of its colour, in the column a fifth from the left, where no candle has it.
        painted = await page.until(PAINTED % "magnet")
        where = await page.ask("document.querySelector('.plot').drawn.parts.candles.priceToCoordinate(98000)")
        assert painted and all(abs(row - where) <= 2 for row in painted)
        scale = await page.ask(
            "['100000', '98000'].map(it => document.querySelector('.plot').drawn.parts.candles.priceToCoordinate(+it))"
        )
        assert scale[0] < scale[1]  # a lower price is drawn lower


async def test_the_hold_is_a_band_from_the_entry_on(chrome: Browser) -> None:
    async with opened(chrome, "chart") as (page, _):
        plot = "document.querySelector('.plot').drawn"
        begins, ends = position()["opened_ns"] / 1e9, position()["hold_until_ns"] / 1e9
        entry_bar = NOW_S - 20 * 60  # the last that begins before the entry
        scale = f"{plot}.chart.timeScale().timeToCoordinate"
        left, right, at, end = await page.until(
            f"{plot}.chart.timeScale().width() > 0 && [{scale}({entry_bar}), {scale}({entry_bar + 60}),"
            f" {plot}.parts.hold.x({begins}), {plot}.parts.hold.x({ends})]"
        )
        assert at == pytest.approx(left + (right - left) * (begins - entry_bar) / 60, abs=0.01)
        assert end - at == pytest.approx((right - left) * 45, abs=0.01)  # 45 candles
        assert await page.ask(f"{plot}.parts.hold.span") == [begins, ends]


async def test_analytics_has_both_sections_and_every_reading_with_its_state(chrome: Browser) -> None:
    async with opened(chrome, "analytics") as (page, _):
        assert await page.ask("[...document.querySelectorAll('main h2')].map(it => it.innerText)") == [
            "Macro Institutional Guards",
            "Institutional Precision (Magnet Targets)",
        ]
        states = dict(
            await page.ask(
                "[...document.querySelectorAll('[data-reading]')].map(card =>"
                " [card.dataset.reading, card.querySelector('.badge').className])"
            )
        )
        assert states == {row["name"]: f"badge {row['state']}" for row in readings() if row["symbol"] == BTC}
        assert await page.ask(
            cells("max pain by expiry")
        ) == [  # each with its own source; the one that counts is marked
            [
                "2026-01-01",
                "100,050.0",
                f"{abs(MARK / 100_050 - 1) * 100:.2f} %",
                "AGAINST the long",
                "310M USD",
                "3 min 20 s",
                "coinglass",
            ],
            ["2026-01-02 ★", "98,000.0", "2.80 %", "AGAINST the long", "1.9B USD", "42 s", "deribit"],
            [
                "2026-01-30",
                "104,000.0",
                f"{abs(MARK / 104_000 - 1) * 100:.2f} %",
                "WITH the long",
                "900M USD",
                "42 s",
                "deribit",
            ],
        ]
        assert await page.ask("document.querySelectorAll('[data-reading=max_pain] tr.chosen').length") == 1
        needle = await page.ask("document.querySelector('[data-reading=max_pain] .needle').style.left")
        assert float(needle.rstrip("%")) == pytest.approx(50 + (MARK / 98_000 - 1) * 100 * 5, abs=0.01)
        walls = await page.ask(cells("top walls"))
        assert [row[1] for row in walls] == ["102,500.0", "101,800.0", "101,200.0", "99,400.0", "98,900.0", "98,000.0"]
        assert walls[1][:6] == ["ask ★", "101,800.0", "+1.04 %", "61.5M", "90 min", "binanceusdm, okx"]
        assert await page.ask(text("[data-reading=walls] .inline .big")) == "2"  # institutional asks
        seen = await page.ask(
            "[...document.querySelectorAll('[data-reading=walls] .inline .big')].map(it => it.innerText)"
        )
        assert seen == ["2", "1"]  # of more than 25M: the bid of exactly 25M is none
        assert "+2.61 % up, −2.40 % down" in await page.ask(text("[data-reading=walls]"))
        near = "[...document.querySelectorAll('.bars .near')].map(it => it.innerText)"
        assert len(await page.ask(near)) == 1  # the cluster at 100,650; the others are farther than 0.5 %


async def test_depth_bars_are_as_high_as_their_money_and_say_what_is_not_seen(chrome: Browser) -> None:
    async with opened(chrome, "analytics") as (page, _):
        bars_of = "[...document.querySelectorAll('.depth > i')]"
        worth = await page.ask(f"{bars_of}.map(it => +it.dataset.usd)")
        book = depth()[BTC]
        assert worth == [*reversed(book["bids"][:20]), *book["asks"][:20]]
        high = await page.ask(f"{bars_of}.map(it => it.firstElementChild.getBoundingClientRect().height)")
        assert [each / max(high) for each in high] == pytest.approx([each / max(worth) for each in worth], abs=0.02)
        unseen = await page.ask(f"{bars_of}.map(it => it.classList.contains('unseen'))")
        assert unseen == [*[True] * 7, *[False] * 33]  # bids beyond 1.2 %: of 20 steps the last 7, one is seen in part
        await page.ask(f"location.hash = 'analytics/{ETH}'")
        await page.until("document.querySelector('[data-depth=MISSING] .empty')")
        pain = await page.ask(text("[data-reading=max_pain] .empty"))
        assert "coinglass: not in plan" in pain and "--venue binanceusdm" in pain  # why, and what to do


@pytest.mark.parametrize(
    ("direction", "price", "says"),
    [
        ("long", "101000", "WITH the long"),
        ("long", "98000", "AGAINST the long"),
        ("short", "98000", "WITH the short"),
        ("short", "101000", "AGAINST the short"),
        (None, "101000", "up: WITH a long"),
        (None, "98000", "down: WITH a short"),
        (None, str(MARK), "at max pain"),
    ],
)
async def test_max_pain_is_with_or_against(chrome: Browser, direction: str | None, price: str, says: str) -> None:
    shown = sections()
    shown["positions"] = [] if direction is None else [position() | {"direction": direction}]
    next(row for row in shown["readings"] if row["name"] == "max_pain")["value"]["price"] = price
    async with opened(chrome, "analytics", snap(shown)) as (page, _):
        chosen = [row for row in await page.ask(cells("max pain by expiry")) if row[0].endswith("★")]
        assert [row[3] for row in chosen] == [says]


async def test_guards_show_the_ledger_and_on_a_click_what_became_of_the_blocked(chrome: Browser) -> None:
    async with opened(chrome, "guards") as (page, _):
        rows = await page.ask(cells("ledger of the guards"))
        assert rows[0][:9] == [
            "taker aggression", "▲ long", "412", "192", "12", "128", "42 (+38.4 R)", "21 (25.6 R)", "+12.80",
        ]  # fmt: skip
        assert [row[-1] for row in rows] == ["helpful", "harmful", "not enough evidence"]
        spans = await page.ask("[...document.querySelectorAll('.whisker b')].map(it => parseFloat(it.style.left))")
        assert spans == pytest.approx([50 + 0.41 * 50, 50 - 0.5 * 50])
        await page.ask("document.querySelector('tr[data-guard=taker_aggression]').click()")
        refused = await page.until(
            f"document.querySelector('#refused table') && {cells('Refused by taker aggression')}"
        )
        assert [row[3:5] for row in refused] == [["1.020", "1.100"]] * 2
        assert [row[-1] for row in refused] == [
            "shadow open since 11:58:33 at 99,950.0",
            "shadow stop: −1.08 R, −26.90 USD",
        ]


async def test_what_a_guard_refused_last_is_shown_however_much_there_is(chrome: Browser) -> None:
    """The journal gives the oldest first and so many at once; a page that stopped at the first would show yesterday."""
    refused = next(each for each in events() if each["kind"] == "TAKER_AGGRESSION_BLOCK")
    shown = sections()
    shown["status"] = shown["status"] | {"last_seq": 7_000}
    async with opened(chrome, "overview", snap(shown)) as (page, served):
        served.journal = [
            refused | {"seq": seq, "data": refused["data"] | {"value": str(seq)}} for seq in range(1, 7_001)
        ]
        await page.ask("location.hash = 'guards/taker_aggression'")
        rows = await page.until(
            f"{cells('Refused by taker aggression')}.length && {cells('Refused by taker aggression')}"
        )
        assert [row[3] for row in rows[:2]] == ["7,000.000", "6,999.000"] and len(rows) == 100
        assert [query.split("&")[0] for query in served.asked] == ["since=0", "since=5000"]
        for seq in range(2, 6):  # frames come; the journal is not asked with each of them
            await served.say(frame("tick", seq, {"status": shown["status"] | {"last_seq": 7_000 + 100 * seq}}))
        await page.until("document.querySelector('main').dataset.frames >= 5")
        assert len(served.asked) == 2


async def test_the_ledger_is_asked_for_where_no_frame_carries_it(chrome: Browser) -> None:
    shown = {name: value for name, value in sections().items() if name != "guards"}
    async with opened(chrome, "guards", snap(shown)) as (page, _):
        await page.until("document.querySelectorAll('tr[data-guard]').length === 3")


async def test_why_tells_the_funnel_of_a_signal(chrome: Browser) -> None:
    async with opened(chrome, "why/S3") as (page, _):
        verdicts = await page.until(f"document.querySelector('.story table') && {cells('verdicts')}")
        assert [row[:2] for row in verdicts] == [
            ["risk limits", "✓ pass"],
            ["probation", "✓ pass"],
            ["liquidation wall", "? abstain"],
            ["long trap", "? abstain"],
            ["whale conflict", "✓ pass"],
            ["taker aggression", "✕ block"],
            ["wall resistance", "✓ pass"],
        ]
        assert verdicts[5][2:5] == ["1.020", "1.100", "own, 0.4 s old"]
        steps = "[...document.querySelectorAll('.story li')].map(it => [it.className, it.querySelector('b').innerText])"
        assert await page.ask(steps) == [
            ["done", "Received"], ["bad", "Asked"], ["open", "Sized"], ["open", "Sent"], ["open", "Filled"],
        ]  # fmt: skip
        await page.ask("document.querySelector('details[data-signal=S1] summary').click()")
        await page.until(
            "document.querySelector('details[data-signal=S1] .story li.done:last-child b')?.innerText === 'Filled'"
        )


async def test_learning_shows_evidence_what_was_applied_and_who_is_on_probation(chrome: Browser) -> None:
    async with opened(chrome, "learning") as (page, served):
        shown = await page.ask(text("[data-recommendation=magnet_aligned]"))
        assert "significant" in shown and "rate 0.735" in shown and "n 34" in shown
        buttons = "[...document.querySelectorAll('[data-recommendation={}] button')].map(it => it.innerText)"
        assert await page.ask(buttons.format("magnet_aligned")) == ["Apply", "Undo"]
        assert await page.ask(buttons.format("wall_resistance")) == []  # a guard is for the trader to judge
        assert await page.ask(cells("learned multipliers")) == [["magnet aligned", "1.050"]]
        assert (await page.ask(cells("adjustments")))[0][1:4] == ["magnet aligned", "1.000", "1.050"]
        assert (await page.ask(cells("probation")))[0][::2] == ["ETH/USDT", "lost 2.31 % of equity in 7 days"]
        assert (await page.ask(cells("live against shadow")))[0] == [
            "ofi (paper)",
            "▲ long",
            "9",
            "+0.31",
            "9",
            "+0.35",
            "+84.20",
        ]
        await page.ask("document.querySelector('[data-recommendation=magnet_aligned] button').click()")
        await page.until("document.querySelector('dialog [type=submit]')")
        await page.ask("document.querySelector('dialog [type=submit]').click()")
        await page.until("document.querySelector('dialog .accepted')")
        assert served.told == [("learn/apply", {"subject": "magnet_aligned"})]


async def test_health_shows_feeds_readings_and_the_budget(chrome: Browser) -> None:
    shown = sections()
    shown["health"] = shown["health"] | {"unprotected": {ETH: 3.5}}
    async with opened(chrome, "health", snap(shown)) as (page, _):
        feeds = await page.ask(cells("feeds"))
        assert [row[:4] for row in feeds] == [
            ["BTC/USDT:USDT", "● usable", "0.1 s", "0.3 s"],
            ["ETH/USDT:USDT", "● usable", "0.1 s", "0.3 s"],
        ]
        assert [row[7:] for row in feeds] == [["–", "2"], ["−0.250 s", "0"]]  # clock and resyncs, each its own
        assert "Orders in the last 60 s 7 of 60" in await page.ask(text("main"))
        assert "Positions without a stop ETH/USDT for 3.5 s" in await page.ask(text("main"))
        assert len(await page.ask(cells("readings"))) == len(readings())
        assert (
            await page.ask("document.querySelectorAll('dl.inline').length") == 2
        )  # the venue counts calls and has no budget
        assert (await page.ask(cells("providers")))[0][:2] == ["coinglass", "subscription"]
        assert [row[1:] for row in (await page.ask(cells("providers")))[1:]] == [
            ["max_pain BTC", "118 s", "none"],
            ["walls BTC", "–", "not in plan"],
        ]
        assert "Loop lag p50 0.20, p99 1.40, max 2.00 ms" in await page.ask(text("main"))
        assert "Calls in the last 60 s 17 of 24, it counts 17 of 30" in await page.ask(text("main"))


async def test_the_log_filters_and_stands_still_when_told(chrome: Browser) -> None:
    async with opened(chrome, "log") as (page, served):
        kinds = "[...document.querySelectorAll('.log .kind')].map(it => it.innerText)"
        assert (await page.ask(kinds))[0] == "SHADOW_CLOSED"  # newest first
        await page.ask(
            "(box => { box.value = 'shadow_o'; box.dispatchEvent(new Event('input', {bubbles: true})); })"
            "(document.querySelector('[type=search]'))"
        )
        assert await page.until(f"{kinds}.length === 2 && {kinds}") == ["SHADOW_OPENED", "SHADOW_OPENED"]
        news = {"seq": 930, "ts": NOW_S * 10**9, "kind": "SHADOW_OPENED", "symbol": BTC, "source": "x", "data": {}}
        await page.ask("document.querySelector('.bar-of button').click()")
        await page.until("document.querySelector('.bar-of button').getAttribute('aria-pressed') === 'true'")
        await served.say(frame("tick", 2, {"events": [news]}))
        await page.until("document.querySelector('main').dataset.frames === '2'")
        assert len(await page.ask(kinds)) == 2
        await page.ask("document.querySelector('.bar-of button').click()")
        await page.until(f"{kinds}.length === 3")


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
async def test_nothing_is_wider_than_the_screen(chrome: Browser, size: tuple[int, int]) -> None:
    async with opened(chrome, "overview", size=size) as (page, _):
        for tab in TABS:
            await go(page, tab)
            assert await page.ask("document.documentElement.scrollWidth") <= size[0], tab


async def test_with_nothing_to_show_it_says_what_to_do(chrome: Browser) -> None:
    async with opened(chrome, "overview", snap(empty())) as (page, _):
        for tab in TABS:
            await go(page, tab)
            said = await page.until("[...document.querySelectorAll('main .empty')].map(it => it.innerText).join(' ')")
            assert len(said) > 40, tab


# --- keeping up ---


async def test_candles_are_updated_one_by_one_and_rows_follow(chrome: Browser) -> None:
    async with opened(chrome, "chart") as (page, served):
        candles = "document.querySelector('.plot').drawn.parts.candles"
        await page.ask(
            f"(it => {{ const whole = it.setData; globalThis.whole = 0; it.setData = (...all) => {{ globalThis.whole += 1; whole.apply(it, all); }}; }})({candles})"
        )
        last = bars()[-1]
        for n in range(1, 5):
            # The bar under way changes, then a new one begins.
            row = [last[0] + 60 * (n // 2), last[4], last[4] + 10 * n, last[4] - 5, last[4] + n, 1.0]
            market = status()["markets"][0] | {"mark": MARK + n}
            news = {"chart": {BTC: {"bars": [row]}}, "status": status() | {"markets": [market]}}
            await served.say(frame("tick", 1 + n, news))
            await page.until(f"{candles}.data().at(-1).close === {row[4]}")
            await page.until(f"{text('tr.now .sourced')} === '{MARK + n:,.1f}'")
        assert await page.ask(f"{candles}.data().length") == 242
        assert await page.ask("globalThis.whole") == 0


async def test_a_chart_opened_later_draws_all_that_the_store_holds(chrome: Browser) -> None:
    async with opened(chrome, "overview") as (page, served):
        row = [NOW_S + 60, MARK, MARK + 5, MARK - 5, MARK + 1, 1.0]
        await served.say(frame("tick", 2, {"chart": {BTC: {"bars": [row]}}}))
        await page.until("document.querySelector('main').dataset.frames === '2'")
        await page.ask("location.hash = 'chart'")
        await page.until("document.querySelector('.plot')?.drawn?.parts.candles?.data().length === 241")


async def test_without_frames_it_turns_stale_and_readings_age(chrome: Browser) -> None:
    async with opened(chrome, "analytics") as (page, _):
        assert await page.ask(text(".line")) == "● live"
        assert await page.ask("document.querySelector('[data-reading=ofi] .badge').className") == "badge FRESH"
        shown = await page.until(f"document.querySelector('.line.STALE[role=alert]') && {text('.line')}")
        assert re.fullmatch(r"STALE · 2\.\d s old no frame comes", shown)
        red = await page.ask("getComputedStyle(document.querySelector('.line.STALE')).backgroundColor")
        assert red == "rgb(255, 100, 100)"
        await page.until(
            "document.querySelector('[data-reading=ofi] .badge').className === 'badge STALE'"
        )  # 2 s at most
        assert await page.ask("document.querySelector('[data-reading=max_pain] .badge').className") == "badge FRESH"


async def test_what_the_engine_cannot_show_is_named_for_as_long_as_it_lasts(chrome: Browser) -> None:
    async with opened(chrome, "overview") as (page, served):
        await served.say(frame("tick", 2, {}) | {"faults": {"readings": "KeyError: '<b>'"}})
        said = await page.until("document.querySelector('.faults')?.innerText")
        assert "cannot show readings (KeyError: '<b>')" in said and "Trading goes on" in said
        await served.say(frame("tick", 3, {}))
        await page.until("!document.querySelector('.faults')")


async def test_it_connects_again_by_itself(chrome: Browser) -> None:
    async with opened(chrome, "overview") as (page, served):
        served.first = snap(sections() | {"status": status() | {"equity_usd": "9999.99"}})
        await served.hang_up()
        await page.until(f"{text('.tile strong')} === '9,999.99 USD'")
        assert await page.ask(text(".line")) == "● live"
        page.errors.clear()  # the browser itself may tell of the lost socket


async def test_it_waits_longer_after_each_failure_up_to_five_seconds(chrome: Browser) -> None:
    async with opened(chrome, "overview") as (page, _):
        waits = await page.ask(BACK_OFF)
        assert waits == [250, 500, 1000, 2000, 4000, 5000, 5000, 250]  # the last after a frame had come


# --- text, keyboard, themes ---


async def test_numbers_are_written_as_traders_read_them(chrome: Browser) -> None:
    wanted = {
        "f.fixed(-0.0)": "0.00",
        "f.signed(-0.004)": "0.00",
        "f.signed(0.004)": "0.00",
        "f.signed(0.006)": "+0.01",
        "f.signed(-1234.5)": "−1,234.50",
        "f.fixed(null)": "–",
        "f.fixed('')": "–",
        "f.fixed('abc')": "–",
        "f.fixed(Infinity)": "–",
        "f.compact(999)": "999",
        "f.compact(1000)": "1.0k",
        "f.compact(-25300000)": "−25.3M",
        "f.compact('1850000000')": "1.9B",
        "f.age(null)": "never",
        "f.age(9.94)": "9.9 s",
        "f.duration(119)": "119 s",
        "f.duration(120)": "2 min 0 s",
        "f.duration(7980)": "2 h 13 min",
        "f.countdown(1504)": "25:04",
        "f.countdown(3600)": "1:00:00",
        "f.countdown(-1)": "0:00",
        "f.price('0.00001234')": "0.000012",
        "f.price(100748)": "100,748.0",
        "String(f.distance(1, 0))": "null",
        "String(f.distance(null, 5))": "null",
    }
    async with opened(chrome, "overview") as (page, _):
        written = await page.ask(f"import('/static/format.js').then(f => [{', '.join(wanted)}])")
        assert dict(zip(wanted, written, strict=True)) == wanted


@pytest.mark.parametrize("tab", ["overview", "why", "log"])
async def test_a_script_in_a_name_is_shown_as_text(chrome: Browser, tab: str) -> None:
    async with opened(chrome, tab) as (page, _):
        assert SCRIPT in await page.ask("document.querySelector('main').innerText")
        assert await page.ask("document.querySelectorAll('main img').length") == 0
        assert await page.ask("document.title") == "Big Alpha cockpit"


async def test_a_script_in_a_symbol_is_shown_as_text(chrome: Browser) -> None:
    shown = sections()
    shown["positions"][0]["symbol"] = shown["status"]["symbols"][0] = shown["status"]["markets"][0]["symbol"] = SCRIPT
    async with opened(chrome, "overview", snap(shown)) as (page, _):
        assert SCRIPT in await page.ask(text(".position h4"))
        assert await page.ask("document.title") == "Big Alpha cockpit"


async def test_source_and_age_show_on_focus_and_on_hover(chrome: Browser) -> None:
    async with opened(chrome, "analytics") as (page, _):
        await page.ask("document.querySelector('[data-reading=max_pain] .chosen .sourced').focus()")
        said = await page.until("!document.querySelector('#tip').hidden && document.querySelector('#tip').innerText")
        assert "max pain: FRESH" in said and "source deribit, 42 s old, at most 15 min" in said
        await page.press("Escape")
        await page.until("document.querySelector('#tip').hidden")
        where = await page.ask(
            "(it => { it.scrollIntoView({block: 'center'}); const box = it.getBoundingClientRect();"
            " return [box.x + 5, box.y + 5]; })(document.querySelector('[data-reading=long_short] .badge'))"
        )
        await page.send("Input.dispatchMouseEvent", type="mouseMoved", x=where[0], y=where[1])
        assert "venue: HTTP 503" in await page.until(
            "!document.querySelector('#tip').hidden && document.querySelector('#tip').innerText"
        )


async def test_every_number_from_outside_tells_its_source(chrome: Browser) -> None:
    async with opened(chrome, "analytics") as (page, _):
        bare = "[...document.querySelectorAll('.sourced, .badge')].filter(it => !it.dataset.tip || it.tabIndex !== 0).length"
        assert await page.ask(bare) == 0
        assert await page.ask("document.querySelectorAll('.sourced').length") >= 9


async def test_tabs_are_reached_by_keyboard(chrome: Browser) -> None:
    async with opened(chrome, "overview") as (page, _):
        for number, tab in enumerate(TABS, 1):
            await page.press(str(number))
            await page.until(f"document.querySelector('main').dataset.tab === '{tab}'")
        await page.ask("document.querySelector('.tabs a').focus()")
        await page.press("Enter")
        await page.until("document.querySelector('main').dataset.tab === 'overview'")
        assert await page.ask("document.querySelector('.tabs [aria-current=page]').innerText") == "Overview"


async def test_an_address_that_makes_no_sense_shows_the_overview(chrome: Browser) -> None:
    async with opened(chrome, "overview") as (page, _):
        for hash_ in ("constructor", "why/%", "chart/NO SUCH"):
            await page.ask(f"location.hash = {hash_!r}")
            await page.until("document.querySelector('main').innerText.length > 100")


@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_it_follows_the_system_and_the_button(chrome: Browser, theme: str) -> None:
    async with Served(snap()) as served:
        page = await chrome.page()
        await page.theme(theme)
        await page.open(f"{served.url}#chart")
        candles = "document.querySelector('.plot').drawn.chart.options().layout.background.color"
        before = await page.until(candles)
        assert await page.ask("document.documentElement.dataset.theme") == theme
        await served.say(frame("tick", 2, {}))
        await page.until("document.querySelector('main').dataset.frames === '2'")
        await page.ask("document.querySelector('.theme').click()")
        await page.until(f"{candles} !== '{before}'")
        assert not await page.ask("document.querySelector('main').matches('.stale')")  # at once, not with the next look
        assert await page.until("document.querySelector('.plot').drawn.parts.candles.data().length") == 240
        assert page.errors == []
        await page.close()


# --- acting ---


async def test_what_moves_money_takes_two_steps_and_the_typed_word(chrome: Browser) -> None:
    async with opened(chrome, "overview") as (page, served):
        await page.ask("[...document.querySelectorAll('.actions button')].find(it => it.innerText === 'Kill').click()")
        await page.until("document.querySelector('dialog').open")
        assert served.told == []
        await page.ask("document.querySelector('dialog [type=submit]').click()")
        await page.until("document.querySelector('dialog input')")
        assert await page.ask("document.querySelector('dialog [type=submit]').disabled")
        for typed, refused in (("KIL", True), ("KILL", False)):
            await page.ask(
                f"(box => {{ box.value = '{typed}'; box.dispatchEvent(new Event('input', {{bubbles: true}})); }})"
                "(document.querySelector('dialog input'))"
            )
            await page.until(f"document.querySelector('dialog [type=submit]').disabled === {str(refused).lower()}")
        await page.ask("document.querySelector('dialog [type=submit]').click()")
        await page.until("document.querySelector('dialog .accepted')")
        assert served.told == [("prepare", {"action": "kill"}), ("kill", {})]
        assert served.confirmed == [("n1", "KILL")]


async def test_where_the_server_offers_no_actions_there_are_no_buttons(chrome: Browser) -> None:
    for offered in (None, {"allowed": False}):
        shown = {name: value for name, value in sections().items() if name != "actions"}
        async with opened(chrome, "overview", snap(shown if offered is None else shown | {"actions": offered})) as (
            page,
            _,
        ):
            assert await page.ask("document.querySelectorAll('.act').length") == 0
            assert await page.ask(text(".head .chip")) == "read-only"


async def test_closing_names_the_symbol(chrome: Browser) -> None:
    async with opened(chrome, "overview") as (page, served):
        await page.ask("document.querySelector('.position .act').click()")
        assert BTC in await page.until(f"document.querySelector('dialog').open && {text('dialog h2')}")
        await page.ask("document.querySelector('dialog [type=submit]').click()")
        await page.until("document.querySelector('dialog input')")
        assert served.told == [("prepare", {"action": "close", "symbol": BTC})]


def choose(label: str, value: str) -> str:
    return (
        f"(box => {{ box.value = '{value}'; box.dispatchEvent(new Event('change', {{bubbles: true}})); }})"
        f"([...document.querySelectorAll('label')].find(it => it.innerText.startsWith('{label}')).querySelector('select'))"
    )


PAINTED = """(() => {
    const wanted = getComputedStyle(document.documentElement).getPropertyValue('--%s').trim();
    const [r, g, b] = [1, 3, 5].map(at => parseInt(wanted.slice(at, at + 2), 16));
    const found = [];
    for (const canvas of document.querySelectorAll('.plot canvas')) {
        if (canvas.width < 400 || canvas.height < 200) continue;
        const at = Math.floor(canvas.width / 5);
        const data = canvas.getContext('2d').getImageData(at, 0, 1, canvas.height).data;
        for (let y = 0; y < canvas.height; y += 1) {
            if (data[4 * y] === r && data[4 * y + 1] === g && data[4 * y + 2] === b) found.push(y / devicePixelRatio);
        }
    }
    return found.length && found;
})()"""

BACK_OFF = """import('/static/store.js').then(({ connect }) => {
    const waits = [];
    const [Real, later] = [WebSocket, setTimeout];
    const store = { line: (open, wait) => { if (!open) waits.push(wait); }, take() {} };
    let tried = 0;
    globalThis.setTimeout = (again) => { if (tried < 8) again(); };
    globalThis.WebSocket = class {
        constructor() {
            tried += 1;
            const number = tried;
            queueMicrotask(() => { if (number === 8) this.onmessage({ data: '{}' }); this.onclose(); });
        }
    };
    connect(store, 'ws://nowhere');
    return new Promise(done => later(() => { globalThis.WebSocket = Real; globalThis.setTimeout = later; done(waits); }, 50));
})"""


async def test_a_second_action_right_after_the_first_keeps_its_dialogue(chrome: Browser) -> None:
    async with opened(chrome, "overview") as (page, _):
        await page.ask("document.querySelector('.actions .act').click()")
        await page.until("document.querySelector('dialog').open && document.querySelector('dialog form')")
        drawn = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0))))"
        for later in (
            "document.querySelector('.position .act').click()",
            "await new Promise(done => setTimeout(done, 0)); document.querySelector('.position .act').click()",
        ):
            await page.ask(
                "(async () => { document.querySelector('dialog footer button').click(); "
                f"{later}; await {drawn}; await {drawn}; }})()"
            )
            assert BTC in await page.ask(f"document.querySelector('dialog').open && {text('dialog h2')}")
