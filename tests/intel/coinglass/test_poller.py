"""The provider against a CoinGlass that says what the real one says: plans, refusals, limits, outages, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bot.domain.reading import ReadingState
from bot.domain.values import NS
from bot.intel.budget import SqliteBudget
from bot.intel.coinglass.poller import CoinGlass
from bot.intel.params import CoinGlassParams
from bot.market.readings import decode_reading
from tests.build import instrument
from tests.intel.coinglass.stage import BTC, ETH, T0, Stage, stage
from tests.servers import coinglass as cg
from tests.servers.coinglass import CoinGlassServer, coinglass_server

PEPE = instrument("1000PEPEUSDT")
ALWAYS = {"taker_5m", "max_pain", "oi_delta_5m"}
EVERY = ALWAYS | {"walls", "long_short", "liquidation_clusters"}


def level(name: str, **rest: Any) -> Any:
    def prepare(server: CoinGlassServer) -> None:
        server.level = name
        for field, value in rest.items():
            setattr(server, field, value)

    return prepare


def given_names(it: Stage) -> set[str]:
    return {reading.name for reading in it.frames if reading.value is not None}


# --- plans ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("plan", "covered"),
    [
        ("HOBBYIST", ALWAYS),
        ("STARTUP", ALWAYS),
        ("STANDARD", ALWAYS | {"walls", "long_short"}),
        ("PROFESSIONAL", EVERY),
    ],
)
async def test_a_plan_gives_what_it_sells_told_or_learned(plan: str, covered: set[str], known: bool) -> None:
    """Where the subscription is not told, each endpoint is refused once and then left alone."""
    async with stage(level(plan, known_level=known)) as it:
        it.open([BTC, ETH])
        await it.run(600)
        assert given_names(it) == covered
        told = it.provider.answer()["readings"]
        for name in EVERY - covered:
            assert it.excuses(name)[0].startswith(("not in plan", "interval not in plan"))
            assert "not in plan" in told[name]
        refused = {"walls": cg.ORDERS, "long_short": cg.CROWD, "liquidation_clusters": cg.HEATMAP}
        for name in EVERY - covered:
            assert len(it.server.asked(refused[name])) == (0 if known else 1)
        assert it.provider.answer()["plan"]["obeyed"] == (plan.lower() if known else None)


async def test_a_plan_in_the_settings_is_obeyed_and_corrected_downwards() -> None:
    async with stage(level("PROFESSIONAL")) as it:
        it.open(plan="hobbyist")
        await it.run(400)
        assert given_names(it) == ALWAYS and not it.server.asked(cg.ORDERS)
    async with stage(level("HOBBYIST")) as it:
        it.open(plan="professional")
        await it.run(400)
        assert given_names(it) == ALWAYS and not it.server.asked(cg.ORDERS)
        assert any("the settings say professional" in said for said in it.reports)
    async with stage(level("HOBBYIST", known_level=False)) as it:
        it.open(plan="professional")
        await it.run(3600)
        assert given_names(it) == ALWAYS
        assert [len(it.server.asked(path)) for path in (cg.ORDERS, cg.HEATMAP, cg.CROWD)] == [1, 1, 1]


@pytest.mark.parametrize(("key", "plan", "says"), [("", "auto", "no key"), (cg.KEY, "none", "plan is none")])
async def test_without_key_or_plan_nothing_is_asked(key: str, plan: str, says: str) -> None:
    async with stage() as it:
        it.open(key=key, plan=plan)
        it.clock.go(1)
        task = asyncio.create_task(it.provider.run())
        await asyncio.sleep(0.05)
        task.cancel()
        assert not it.server.calls and not it.purse.taken
        assert {reading.reason for reading in it.frames} == {says}
        assert set(it.provider.answer()["readings"].values()) == {says}


async def test_a_key_that_cannot_be_sent_is_not_sent() -> None:
    async with stage() as it:
        assert "key" in str(it.open(key="abc\r\nX-Evil: 1").answer()["key"])


async def test_a_refused_endpoint_is_tried_again_by_one_call_a_day() -> None:
    async with stage(level("HOBBYIST", known_level=False)) as it:
        it.open([BTC, ETH])
        await it.run(7200)
        assert len(it.server.asked(cg.HEATMAP)) == 1
        it.clock.ns += 79_000 * NS
        await it.run(60)
        assert len(it.server.asked(cg.HEATMAP)) == 1
        await it.run(600)
        assert len(it.server.asked(cg.HEATMAP)) == 2


async def test_a_plan_that_is_cut_while_running_is_noticed_and_the_rest_goes_on() -> None:
    async with stage(level("PROFESSIONAL")) as it:
        it.open([BTC, ETH])
        await it.run(600)
        assert it.best("liquidation_clusters").state(it.clock.ns) is ReadingState.FRESH
        it.server.level = "HOBBYIST"
        before = Counter(call.path for call in it.server.calls)
        await it.run(1800)
        since = Counter(call.path for call in it.server.calls) - before
        assert since[cg.HEATMAP] + since[cg.ORDERS] + since[cg.CROWD] <= 3 and since[cg.SUBSCRIPTION] == 1
        assert it.provider.answer()["plan"]["obeyed"] == "hobbyist"
        assert any("was PROFESSIONAL and is now HOBBYIST" in said for said in it.reports)
        assert it.best("liquidation_clusters").value is None
        assert "not in plan" in it.best("liquidation_clusters").reason
        assert it.best("taker_5m").state(it.clock.ns) is ReadingState.FRESH


@pytest.mark.parametrize("refused", [False, True])
async def test_an_answer_to_what_is_no_longer_in_the_plan_harms_nothing(refused: bool) -> None:
    async with stage(level("PROFESSIONAL")) as it:
        it.open(at_once=2)
        it.server.ill[cg.HEATMAP] = "held"
        await it.run(60)
        assert len(it.server.asked(cg.HEATMAP)) == 1 and not it.values("liquidation_clusters")
        it.server.level = "HOBBYIST"
        it.clock.ns += 86_400 * NS
        await it.run(60)
        assert it.provider.answer()["plan"]["obeyed"] == "hobbyist"
        if not refused:
            it.server.level = "PROFESSIONAL"
        it.server.release.set()
        await asyncio.sleep(0.05)
        await it.run(60)
        assert it.best("taker_5m").state(it.clock.ns) is ReadingState.FRESH


async def test_what_was_refused_is_not_asked_again_because_the_plan_changes() -> None:
    async with stage(level("PROFESSIONAL")) as it:
        it.open()
        it.server.ill[cg.TAKER] = "400-unknown-pair"
        await it.run(120)
        it.server.level = "HOBBYIST"
        await it.run(1200)
        assert it.provider.answer()["plan"]["obeyed"] == "hobbyist" and len(it.server.asked(cg.TAKER)) == 1


async def test_a_plan_that_grows_is_noticed_within_a_day() -> None:
    async with stage(level("HOBBYIST")) as it:
        it.open()
        await it.run(600)
        it.server.level = "PROFESSIONAL"
        it.clock.ns += 85_000 * NS
        await it.run(1400)
        assert given_names(it) == EVERY


async def test_an_expired_subscription_is_said() -> None:
    async with stage(level("STANDARD", expired=True)) as it:
        it.open()
        await it.run(60)
        assert any("expired" in said for said in it.reports)
        assert it.provider.answer()["plan"]["expired"] and not given_names(it)


# --- the key ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 4])
async def test_a_refused_key_stops_every_call_and_is_said_once(at_once: int) -> None:
    async with stage() as it:
        it.open([BTC, ETH], at_once=at_once)
        it.server.key = "another"
        await it.run(3600)
        assert len(it.server.calls) == 1
        assert [said for said in it.reports if "key refused" in said] == it.reports and len(it.reports) == 1
        assert it.excuses("taker_5m") == ["key refused"] * 2  # of each instrument
        assert it.provider.answer()["key"] == "refused"
        it.server.key = cg.KEY
        await it.run(86_400)
        assert it.best("taker_5m").state(it.clock.ns) is ReadingState.FRESH


async def test_a_key_that_is_refused_while_running_hides_no_fresh_number() -> None:
    async with stage() as it:
        it.open()
        await it.run(100)
        it.server.key = "another"
        await it.run(15)
        assert it.best("taker_5m").state(it.clock.ns) is ReadingState.FRESH
        asked = len(it.server.calls)
        await it.run(200)
        assert len(it.server.calls) - asked <= 1 and it.best("taker_5m").value is None


async def test_the_key_is_in_one_header_and_nowhere_else() -> None:
    async with stage() as it:
        it.open()
        it.server.raw[cg.TAKER] = json.dumps({"code": "500", "msg": f"bad key {cg.KEY}"}).encode()
        it.server.raw[cg.PAIN] = json.dumps({"code": "7", "msg": "x" * 140 + cg.KEY}).encode()
        it.server.raw[cg.INTEREST] = json.dumps({"code": "0", "data": [{"exchange": cg.KEY}]}).encode()
        await it.run(200)
        assert it.server.keys == {cg.KEY} and len(it.reports) >= 3
        told = [json.dumps(it.provider.answer()), repr(it.provider), repr(vars(it.provider)), *it.reports]
        told += [reading.reason for reading in it.frames]
        assert not any(cg.KEY[:8] in text for text in told)
        assert not any(cg.KEY in str(call.query) or cg.KEY in call.path for call in it.server.calls)


@pytest.mark.parametrize("url", ["http://coinglass.example", "ftp://127.0.0.1", "127.0.0.1"])
async def test_the_key_leaves_the_machine_encrypted_only(url: str) -> None:
    async with stage() as it:
        with pytest.raises(ValueError, match="must be https"):
            it.open(base_url=url)


# --- limits -----------------------------------------------------------------------------------------------------------


def most_in_a_minute(it: Stage) -> int:
    times = [call.at_ns for call in it.server.calls]
    return max(sum(at <= other < at + 60 * NS for other in times) for at in times)


@pytest.mark.parametrize("window", ["fixed", "rolling"])
async def test_thirty_a_minute_are_never_used_up(window: str) -> None:
    many = [instrument(f"C{index}USDT", base=f"C{index}") for index in range(20)]
    async with stage(level("HOBBYIST", window=window)) as it:
        it.open(many)
        await it.run(600)
        assert not it.reports and most_in_a_minute(it) <= 24
        assert len(it.server.calls) >= 0.95 * 24 * 10
        times = [call.at_ns for call in it.server.calls]
        assert all(later - sooner >= 2.5 * NS for sooner, later in pairwise(times))


@pytest.mark.parametrize(("granted", "per_minute"), [(80, 64), (300, 240), (10, 8), (1, 1), (31, 24)])
async def test_the_pace_is_four_fifths_of_what_is_granted(granted: int, per_minute: int) -> None:
    async with stage(level("HOBBYIST", granted=granted)) as it:
        it.open()
        await it.run(10)
        assert it.purse.per_minute == per_minute
        assert it.provider.answer()["calls"]["provider_says"][1] == granted


@pytest.mark.parametrize("header", ["", "x", "-5", "1e9", "999999999999", "３０", "0"])
async def test_a_limit_header_that_makes_no_sense_changes_nothing(header: str) -> None:
    async with stage() as it:
        it.open()
        it.server.granted_text = header
        await it.run(10)
        assert it.purse.per_minute == 24


@pytest.mark.parametrize("status", [429, 200])
async def test_a_rate_limit_in_both_forms_stops_calls_for_longer_and_longer(status: int) -> None:
    async with stage(level("HOBBYIST", granted=1, headers=False, limit_status=status, others=1)) as it:
        it.open([BTC, ETH])
        await it.run(600)
        gaps = [round((later.at_ns - sooner.at_ns) / NS) for sooner, later in pairwise(it.server.calls)]
        assert [15 <= gaps[0] <= 20, 30 <= gaps[1] <= 35, 60 <= gaps[2] <= 65] == [True] * 3
        assert all(gap >= 120 for gap in gaps[3:]) and "rate limit" in it.reports[0]
        it.server.others, it.server.granted = 0, 30
        await it.run(300)
        assert it.best("taker_5m").state(it.clock.ns) is ReadingState.FRESH


async def test_after_an_answer_pauses_begin_short_again() -> None:
    async with stage() as it:
        it.open()
        await it.run(30)
        for _ in range(2):
            it.server.ill["*"] = "429-rate-limit"
            await it.run(90)
            it.server.ill.clear()
            await it.run(120)
            assert it.best("taker_5m").state(it.clock.ns) is ReadingState.FRESH
        assert sum("no calls for 15 s" in said for said in it.reports) == 2


@pytest.mark.parametrize(("retry_after", "wait_s"), [("70", 70), ("x", 15), ("-1", 15), ("999999", 3600)])
async def test_retry_after_is_obeyed_within_reason(retry_after: str, wait_s: int) -> None:
    async with stage(level("HOBBYIST", granted=1, headers=False, others=1, retry_after=retry_after)) as it:
        it.open()
        await it.run(wait_s - 1)
        assert len(it.server.calls) == 1
        await it.run(10)
        assert len(it.server.calls) == 2


async def test_a_quota_used_up_by_another_program_is_said_and_waited_for() -> None:
    async with stage() as it:
        it.open()
        it.server.others = 29
        await it.run(60)
        assert any("30 of 30 calls of this minute are used" in said for said in it.reports)
        assert len(it.server.calls) <= 7  # one in 10 s
        it.server.others = 0
        await it.run(120)
        assert it.best("taker_5m").state(it.clock.ns) is ReadingState.FRESH


# --- bad answers ------------------------------------------------------------------------------------------------------

TAKER_BODY = cg.fixture("taker-buy-sell-volume-exchange-list")


def taker_with(text: str) -> bytes:
    """The documented body, with this instead of what was sold."""
    return json.dumps(TAKER_BODY).replace("108148440.6563", text).encode()


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        (b"<html>", "not JSON"),
        (b"", "not JSON"),
        (taker_with("null"), "data.sell_vol_usd"),
        (taker_with("NaN"), "not JSON"),
        (taker_with("1e400"), "data.sell_vol_usd"),
        (taker_with('"108148440.6563"'), "data.sell_vol_usd"),
        (taker_with("-1"), "data.sell_vol_usd"),
        (taker_with("true"), "data.sell_vol_usd"),
        (b'{"code":"0","data":[]}', "data"),
        (b'{"code":"0","data":null}', "data"),
        (b'{"data":{}}', "code"),
        *[
            (json.dumps({"code": code, "msg": "no"}).encode(), code)
            for code in ("400", "403", "404", "408", "500", "9")
        ],
    ],
)
async def test_a_bad_answer_is_missing_with_a_reason_and_costs_few_calls(raw: bytes, names: str) -> None:
    async with stage() as it:
        it.open([BTC, ETH])
        it.server.raw[cg.TAKER] = raw
        await it.run(3600)
        assert not it.values("taker_5m")
        assert names in it.excuses("taker_5m")[0] and any(names in said for said in it.reports)
        assert all(said.startswith("coinglass taker") and "\n" not in said for said in it.reports)
        assert 1 <= len(it.server.asked(cg.TAKER)) <= 2 * 7  # a healthy one is asked 60 times an hour
        assert names not in ("400", "404") or len(it.server.asked(cg.TAKER)) == 2  # one of each coin
        assert it.best("oi_delta_5m").value is None  # traded volume is not known
        assert it.best("max_pain", "BTC").state(it.clock.ns) is ReadingState.FRESH


@pytest.mark.parametrize("ill", ["html", "html503", "slow", "cut", "big", "redirect", "reset", "500-server-error"])
async def test_an_ill_endpoint_is_backed_off_from_and_recovered_from(ill: str) -> None:
    async with stage() as it:
        it.open(timeout_s=0.1 if ill == "slow" else 5)
        it.server.ill[cg.TAKER] = ill
        await it.run(900)
        assert not it.values("taker_5m") and it.reports
        assert len(it.server.asked(cg.TAKER)) <= 8
        assert ill != "big" or "answer of more than 8388608 bytes" in it.reports[0]  # not read to its end
        assert len(it.server.asked(cg.SUBSCRIPTION)) == 1  # where the redirect leads: it is not followed
        it.server.ill.clear()
        await it.run(1200)
        assert it.best("taker_5m").state(it.clock.ns) is ReadingState.FRESH


@pytest.mark.parametrize("ill", ["html503", "reset"])
async def test_an_outage_burns_no_budget(ill: str) -> None:
    async with stage() as it:
        it.open([BTC, ETH])
        await it.run(600)
        it.server.ill["*"] = ill
        before = len(it.server.calls)
        await it.run(3600)
        assert len(it.server.calls) - before <= 45  # 24 a minute were allowed
        assert it.best("taker_5m").value is None and "not reachable" in it.best("taker_5m").reason
        it.server.ill.clear()
        await it.run(600)
        assert it.best("taker_5m").state(it.clock.ns) is ReadingState.FRESH


async def test_nobody_listens() -> None:
    async with stage() as it:
        it.open(base_url="http://127.0.0.1:1")
        await it.run(300)
        assert "not reachable" in it.reports[0] and len(it.purse.taken) < 20


async def test_a_fetch_that_fails_hides_no_number_that_is_still_fresh() -> None:
    async with stage() as it:
        it.open()
        await it.run(30)
        it.server.ill[cg.TAKER] = "html"
        await it.run(80)
        assert it.reports and it.best("taker_5m").state(it.clock.ns) is ReadingState.FRESH
        await it.run(60)
        assert it.best("taker_5m").value is None and "not JSON" in it.best("taker_5m").reason
        assert len(it.excuses("taker_5m")) == 1


async def test_the_same_failure_is_reported_once_a_minute() -> None:
    many = [instrument(f"C{index}USDT", base=f"C{index}") for index in range(8)]
    async with stage() as it:
        it.open(many)
        it.server.ill[cg.TAKER] = "html"
        await it.run(59)
        assert len(it.server.asked(cg.TAKER)) >= 5 and len(it.reports) == 1


@pytest.mark.parametrize("age_s", [89, 200])
async def test_an_answer_that_is_too_old_is_none(age_s: int) -> None:
    async with stage(level("STANDARD")) as it:
        it.open(wall_venues=("Binance",))
        await it.run(1)
        orders = cg.fixture("orderbook-large-limit-order")["data"]
        for row in orders:
            row["start_time"] = row["current_time"] = (it.clock.ns // NS - age_s + 4) * 1000
        it.server.data[cg.ORDERS] = orders
        await it.run(10)
        if age_s < 90:
            assert it.values("walls") and not it.reports
        else:
            assert not it.values("walls") and any("current_time" in said for said in it.reports)


# --- readings ---------------------------------------------------------------------------------------------------------


async def test_coins_of_a_pair_are_looked_up_and_prices_in_another_unit_are_not_asked() -> None:
    async with stage(level("PROFESSIONAL")) as it:
        it.open([PEPE, BTC])
        await it.run(400)
        coins = {call.query["symbol"] for call in it.server.asked(cg.TAKER)}
        assert coins == {"PEPE", "BTC"}
        assert it.best("taker_5m", PEPE.id).value is not None
        assert {call.query["symbol"] for call in it.server.asked(cg.CROWD)} == {"1000PEPEUSDT", "BTCUSDT"}
        assert {call.query["symbol"] for call in it.server.asked(cg.HEATMAP)} == {"BTC"}
        assert {call.query["symbol"] for call in it.server.asked(cg.PAIN)} == {"BTC"}
        assert {(call.query["exchange"], call.query["symbol"]) for call in it.server.asked(cg.ORDERS)} == {
            ("Binance", "BTCUSDT"),
            ("OKX", "BTC-USDT-SWAP"),
        }


async def test_walls_are_partial_while_a_venue_is_not_heard() -> None:
    async with stage(level("STANDARD")) as it:
        it.server.raw[cg.ORDERS] = b"{}"
        it.open()
        await it.run(60)
        assert not it.values("walls")
        del it.server.raw[cg.ORDERS]
        await it.run(300)
        walls, payloads = it.values("walls"), it.payloads("walls")
        assert walls[0].partial and walls[0].reason == "not heard: OKX" and payloads[0].ask_coverage_pct == 0
        assert not walls[-1].partial and payloads[-1].ask_coverage_pct == 5
        assert payloads[-1].asks[0].venues == ("Binance", "OKX")


async def test_open_interest_is_the_change_in_coins_and_starts_after_five_minutes() -> None:
    async with stage() as it:
        it.open()
        await it.run(200)
        it.server.coins_grow = 1.001
        await it.run(120)
        assert it.payloads("oi_delta_5m")[0].pct == pytest.approx(0.1)
        it.server.coins_grow = 1.5
        await it.run(120)
        assert it.payloads("oi_delta_5m")[-1].pct == pytest.approx(0.1)  # more than was traded is none


async def test_readings_that_wait_for_open_interest_come_with_it() -> None:
    async with stage(level("PROFESSIONAL")) as it:
        it.open()
        await it.run(30)
        assert {"walls", "liquidation_clusters"} <= given_names(it)
        clusters = it.payloads("liquidation_clusters")[0]
        assert clusters.open_interest_usd == Decimal("67130599066.24") and len(clusters.clusters) == 2


async def test_what_a_guard_missed_goes_first() -> None:
    many = [instrument(f"C{index}USDT", base=f"C{index}") for index in range(20)]
    async with stage() as it:
        it.open(many)
        await it.run(6)
        it.provider.abstained("taker_5m", many[17].id)
        await it.run(5)
        assert it.server.calls[3].query.get("symbol") == "C17" or it.server.calls[2].query.get("symbol") == "C17"


async def test_several_answers_are_waited_for_at_once_without_two_trials_of_one_endpoint() -> None:
    many = [instrument(f"C{index}USDT", base=f"C{index}") for index in range(6)]
    async with stage(level("HOBBYIST", known_level=False)) as it:
        it.open(many, at_once=4)
        await it.run(60)
        assert len(it.server.asked(cg.HEATMAP)) <= 1 and len(it.values("taker_5m")) >= 1


async def test_with_the_budget_that_engines_share(tmp_path: Path) -> None:
    """In real time, hurried: the limiter, the budget's file and the server agree on what may leave."""
    speed = 60.0
    began = time.monotonic_ns()

    def now_ns() -> int:
        return T0 + round((time.monotonic_ns() - began) * speed)

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / speed)

    frames: list[bytes] = []
    async with coinglass_server(now_ns) as server:
        budget = SqliteBudget(tmp_path / "budget.sqlite3", cg.KEY, pytest.fail, now_ns=now_ns, sleep=sleep)
        many = [instrument(f"C{index}USDT", base=f"C{index}") for index in range(20)]
        params = CoinGlassParams(base_url=server.url)
        key = SecretStr(cg.KEY)
        provider = CoinGlass(many, params, key, budget, frames.append, pytest.fail, now_ns, sleep, speed=speed)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(provider.run(), 3)
        assert 24 <= len(server.calls) <= 30 * 3  # 72 where nothing else keeps the machine busy
        times = [call.at_ns for call in server.calls]
        assert max(sum(at <= other < at + 60 * NS for other in times) for at in times) <= 30
        taker = [reading for reading in (decode_reading(raw, now_ns()) for raw in frames) if reading.name == "taker_5m"]
        assert taker and provider.answer()["calls"]["allowed"] == 24
