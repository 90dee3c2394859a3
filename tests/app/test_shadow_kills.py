"""Shadows over restarts: an engine is killed again and again, and each signal's shadow still comes to one end, by its own fills."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from bot.domain.events import Event
from bot.runtime.tape import Tape
from bot.sim.presets import preset
from bot.sim.synthetic import write_tape
from tests.app.test_kills import LIVELY, SEED
from tests.e2e.running import settings_for
from tests.lives import Account, Kill, live

KILLS = 15


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Account, Account]:
    """One left alone, one killed, now and then with events that were not on the disk yet."""
    folder = tmp_path_factory.mktemp("kills") / "tape"
    write_tape(preset("day", seed=SEED, hours=0.15, symbols=2), folder)
    tape = Tape.open(folder)
    settings = settings_for(Path("unused"), folder, **LIVELY)
    chance, moments = Random(7), [frame.recv_ns for frame in tape.frames()]
    kills = [Kill(at_ns, chance.choice((0, 0, 1, 3))) for at_ns in sorted(chance.sample(moments[:-1], KILLS))]
    return live(settings, tape), live(settings, tape, kills)


def of_kind(account: Account, kind: str) -> list[Event]:
    return [event for event in account.events if event.kind == kind]


def test_every_shadow_comes_to_one_end(accounts: tuple[Account, Account]) -> None:
    _, killed = accounts
    assert killed.sessions == KILLS + 1
    started = Counter(event.corr for event in of_kind(killed, "SHADOW_ENTERED"))
    closed = Counter(event.corr for event in of_kind(killed, "SHADOW_CLOSED"))
    assert set(started.values()) == {1} and set(closed.values()) == {1}
    assert len(started) - len(closed) == len(killed.parts.shadows)
    assert len(closed) > 10
    assert not of_kind(killed, "SHADOW_DISCREPANCY")


def test_some_of_them_outlive_an_engine(accounts: tuple[Account, Account]) -> None:
    _, killed = accounts
    session_of, session = dict[str, int](), 0
    outlived = 0
    for event in killed.events:
        session = event.data["session"] if event.kind == "ENGINE_STARTED" else session
        if event.kind == "SHADOW_ENTERED":
            session_of[event.corr or ""] = session
        outlived += event.kind == "SHADOW_CLOSED" and session_of[event.corr or ""] < session
    assert outlived >= 10


def test_results_are_what_the_fills_of_all_sessions_say(accounts: tuple[Account, Account]) -> None:
    _, killed = accounts
    fills: dict[str | None, list[Event]] = defaultdict(list)
    for event in of_kind(killed, "SHADOW_FILL"):
        fills[event.corr].append(event)
    for closed in of_kind(killed, "SHADOW_CLOSED"):
        money = quantity = Decimal(0)
        for fill in (event.data for event in fills[closed.corr]):
            sign = 1 if fill["side"] == "buy" else -1
            quantity += sign * Decimal(fill["quantity"])
            money -= sign * Decimal(fill["price"]) * Decimal(fill["quantity"]) + Decimal(fill["fee"])
        assert (quantity, money) == (
            Decimal(0),
            Decimal(closed.data["pnl_usd"]) - Decimal(closed.data["funding_usd"] or 0),
        )


def test_most_end_as_if_nothing_had_happened(accounts: tuple[Account, Account]) -> None:
    """Not all: after a restart an order stands at the back of its line, and an entry that was on its way is over."""
    ends = []
    for account in accounts:
        signals = {event.corr: (event.ts, event.symbol, event.source) for event in of_kind(account, "SIGNAL")}
        ends.append(
            {signals[e.corr]: (e.data["reason"], e.data["exit_price"]) for e in of_kind(account, "SHADOW_CLOSED")}
        )
    calm, killed = ends
    alike = [key for key in calm if killed.get(key) == calm[key]]
    assert len(alike) > 0.8 * len(calm)


def test_repeats_are_counted_on(accounts: tuple[Account, Account]) -> None:
    _, killed = accounts
    repeats = Counter(event.data["of"] for event in of_kind(killed, "SHADOW_REPEATED"))
    closed = {event.corr: event.data["repeats"] for event in of_kind(killed, "SHADOW_CLOSED")}
    assert {signal_id: repeats[signal_id] for signal_id in closed} == closed and sum(closed.values()) > 10
