"""The trading state, its causes, how long each lasts, and what of it the journal tells."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.domain.events import Emit
from bot.domain.messages import (
    Adopt,
    BlockRequest,
    CloseRequest,
    FeedChanged,
    FlattenRequest,
    KillRequest,
    Message,
    PauseRequest,
    ResumeRequest,
    Sampled,
    StopRequest,
)
from bot.domain.orders import Transfer
from bot.domain.values import NS, Direction
from bot.trading.money import DAY_NS
from bot.trading.portfolio import Portfolio
from bot.trading.risk import RiskParams
from bot.trading.state import State
from tests.build import BTC, NOW, FakeView, instrument
from tests.trading.desks import Desks

ETH = instrument("ETHUSDT", tick="0.01")
MIDNIGHT = (NOW // DAY_NS + 1) * DAY_NS
USABLE, LOST = (
    FeedChanged(instrument=BTC, usable=True, reason=""),
    FeedChanged(instrument=BTC, usable=False, reason="gap"),
)


class Told:
    """A desk `state` over an account of 10,000 USD, and what it said."""

    def __init__(self, *, ready: bool = True, **risk: Any) -> None:
        self.portfolio = Portfolio(Decimal(10_000), lambda i: None)
        self.state = State(self.portfolio, RiskParams(**risk))
        self.view = FakeView(instruments=[instrument(), ETH])
        if ready:
            self.say(Sampled(now_ns=NOW), USABLE)

    def say(self, *messages: Message, at_s: float = 0.0) -> list[Message]:
        self.view.now_ns = max(self.view.now_ns, NOW + round(at_s * NS))
        return [answer for message in messages for answer in self.state.on(message, self.view)]

    def sample(self, at_s: float, equity: str | None = None) -> list[Message]:
        """A second later with this equity: here all profit is realised at once."""
        if equity is not None:
            self.portfolio.money.realise(Decimal(equity) - self.portfolio.wallet_usd)
        return self.say(Sampled(now_ns=NOW + round(at_s * NS)), at_s=at_s)

    def midnight(self, equity: str | None = None, *, after_ns: int = 0) -> list[Message]:
        return self.sample((MIDNIGHT - NOW + after_ns) / NS, equity)

    @property
    def now(self) -> tuple[str, str]:
        return self.state.state.value, self.state.reason


def kinds(answers: list[Message]) -> list[str]:
    return [answer.kind for answer in answers if isinstance(answer, Emit)]


def data(answers: list[Message], kind: str) -> dict[str, Any]:
    return next(answer.data for answer in answers if isinstance(answer, Emit) and answer.kind == kind)


# --- starting, books, the operator ----------------------------------------------------------------------------------


def test_no_entries_before_the_first_usable_book_which_acts_at_once() -> None:
    told = Told(ready=False)
    assert told.say(LOST) == []
    assert told.now == ("STARTING", "waiting for the first order book")
    event = data(told.say(USABLE), "STATE")
    assert event == {"state": "ACTIVE", "was": "STARTING", "reason": "book usable", "causes": {}}


def test_a_pause_before_the_first_book_ends_without_making_it_usable() -> None:
    told = Told(ready=False)
    told.say(PauseRequest())
    assert told.now == ("STARTING", "waiting for the first order book; paused by operator")
    told.say(ResumeRequest())
    assert told.now == ("STARTING", "waiting for the first order book")


def test_a_lost_book_must_be_whole_again_for_a_minute() -> None:
    told = Told()
    assert data(told.say(LOST, at_s=10), "STATE")["causes"] == {f"book {BTC}": f"no usable order book of {BTC}: gap"}
    back = data(told.say(USABLE, at_s=20), "STATE")
    assert back["state"] == "REDUCING"
    assert back["reason"] == f"no usable order book of {BTC}: gap; usable again, must stay so for 60 s"
    assert told.sample(79.999999999) == []
    assert told.now[0] == "REDUCING"
    assert data(told.sample(80), "STATE")["was"] == "REDUCING"
    assert told.now == ("ACTIVE", "book usable")


def test_a_book_that_is_lost_again_meanwhile_starts_the_minute_over_and_keeps_its_beginning() -> None:
    told = Told()
    told.say(LOST, at_s=10)
    told.say(USABLE, at_s=20)
    told.say(LOST, at_s=70)
    told.say(USABLE, at_s=75)
    told.sample(134)
    assert told.now[0] == "REDUCING"
    assert told.state.causes[f"book {BTC}"].since_ns == NOW + 10 * NS
    told.sample(135)
    assert told.now[0] == "ACTIVE"


def test_the_first_book_of_another_instrument_need_not_wait() -> None:
    told = Told()
    told.say(FeedChanged(instrument=ETH.id, usable=False, reason="out of sequence"), at_s=1)
    assert told.now[0] == "REDUCING"
    told.say(FeedChanged(instrument=ETH.id, usable=True, reason=""), at_s=2)
    assert told.now[0] == "ACTIVE"


def test_a_resume_acts_at_once_and_ends_the_minute_of_a_book_that_is_back_but_not_a_lost_book() -> None:
    told = Told()
    told.say(LOST, USABLE, PauseRequest(), at_s=10)
    answers = told.say(ResumeRequest(reason="jo"), at_s=11)
    assert kinds(answers) == ["RESUMED", "STATE"]
    assert data(answers, "RESUMED") == {"cleared": {"pause": "paused by operator"}, "by": "jo", "peak_usd": "10000"}
    assert told.now[0] == "ACTIVE"
    told.say(LOST, ResumeRequest(), at_s=12)
    assert told.now[0] == "REDUCING"


def test_each_change_is_one_event_and_no_change_is_none() -> None:
    told = Told()
    assert kinds(told.say(PauseRequest())) == ["STATE"]
    assert told.say(PauseRequest()) == []
    stopping = data(told.say(StopRequest(reason="tape ended")), "STATE")
    assert stopping["causes"] == {"pause": "paused by operator", "stop": "stopping: tape ended"}
    assert told.say(ResumeRequest()) != []
    assert told.now == ("REDUCING", "stopping: tape ended")
    assert told.say(ResumeRequest()) == []


def test_causes_come_and_go_one_by_one() -> None:
    told = Told()
    told.say(PauseRequest(), LOST, at_s=5)
    told.say(USABLE, at_s=6)
    told.sample(66)
    assert told.now == ("REDUCING", "paused by operator")
    told.say(ResumeRequest(), at_s=67)
    assert told.now == ("ACTIVE", "book usable")


# --- kill, flatten --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("request_", "flatten"), [(KillRequest(), False), (FlattenRequest(), True)])
def test_a_kill_halts_until_a_resume_whatever_the_market_does(request_: Message, flatten: bool) -> None:
    told = Told()
    answers = told.say(request_)
    assert kinds(answers) == ["KILL_SWITCH", "STATE"]
    assert data(answers, "KILL_SWITCH") == {"reason": "operator", "flatten": flatten}
    assert told.now == ("HALTED", "killed by operator")
    told.say(LOST, USABLE, at_s=3)
    told.midnight()
    assert told.now[0] == "HALTED"
    told.say(ResumeRequest())
    assert told.now[0] == "ACTIVE"


def test_killed_before_the_first_book_is_halted_not_starting() -> None:
    told = Told(ready=False)
    told.say(KillRequest(reason="liquidation of BTCUSDT"))
    assert told.now == ("HALTED", "killed by liquidation of BTCUSDT")
    told.say(ResumeRequest())
    assert told.now[0] == "STARTING"


def test_every_kill_is_journaled_also_the_second() -> None:
    told = Told()
    told.say(KillRequest())
    assert kinds(told.say(FlattenRequest())) == ["KILL_SWITCH"]


# --- daily loss -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("equity", "state"), [("9700.01", "ACTIVE"), ("9700", "REDUCING"), ("9000.01", "REDUCING")])
def test_a_daily_loss_of_three_percent_ends_the_days_entries(equity: str, state: str) -> None:
    told = Told()
    told.sample(1, equity)
    assert told.now[0] == state


def test_it_lasts_until_midnight_utc_though_the_loss_is_won_back_and_though_somebody_resumes() -> None:
    told = Told()
    event = data(told.sample(1, "9690"), "STATE")
    assert event["causes"] == {"daily_loss": "daily loss 3.1000 %, limit 3 %, no entries until 00:00 UTC"}
    assert told.sample(2, "9600") == []  # the reason is that of its beginning
    assert told.sample(3, "9999") == []
    assert told.say(ResumeRequest()) == []
    told.midnight(after_ns=-1)
    assert told.now[0] == "REDUCING"
    answers = told.midnight()
    assert kinds(answers) == ["DAY_STARTED", "STATE"]
    assert told.now[0] == "ACTIVE"


def test_a_day_begins_once_with_its_equity_also_when_time_stands_still_or_the_first_sample_is_late() -> None:
    told = Told(ready=False)
    first = data(told.sample(0), "DAY_STARTED")
    assert first == {"day": "2025-10-09", "equity_usd": "10000", "wallet_usd": "10000", "peak_usd": "10000"}
    assert told.sample(1, "9800") == []
    assert data(told.midnight(after_ns=7 * NS), "DAY_STARTED")["equity_usd"] == "9800"
    assert told.midnight() == []
    assert not told.portfolio.money.start_day(NOW, Decimal(1))  # nor does a day come back
    assert told.portfolio.day_start_usd == 9800
    told.sample(86_400 * 3)
    assert told.portfolio.money.day == NOW // DAY_NS + 3


def test_a_transfer_is_no_loss_and_no_gain() -> None:
    told = Told()
    told.portfolio.book_transfer(Transfer(transfer_id="a", usd=Decimal(-5000)))
    assert kinds(told.sample(1)) == []
    assert (told.portfolio.day_start_usd, told.portfolio.peak_usd) == (Decimal(5000), Decimal(5000))
    told.sample(2, "4850.01")
    assert told.now[0] == "ACTIVE"
    told.sample(3, "4850")
    assert told.now[0] == "REDUCING"


def test_the_limit_is_a_share_of_the_equity_that_was_set_if_that_is_smaller() -> None:
    told = Told(equity_usd=Decimal(1000))
    told.sample(1, "9970.01")
    assert told.now[0] == "ACTIVE"
    told.sample(2, "9970")
    assert told.now[0] == "REDUCING"


@pytest.mark.parametrize(("setting", "closes"), [("hold", 0), ("flatten", 1)])
def test_what_becomes_of_positions_after_a_daily_loss(setting: Literal["hold", "flatten"], closes: int) -> None:
    desks = Desks()
    desks.open(quantity="0.06")
    desks.view.market(BTC).mark = 60_000.0  # 300 of 10,000 USD
    state = State(desks.portfolio, RiskParams(on_daily_loss=setting))
    state.on(USABLE, desks.view)
    desks.portfolio.money.start_day(NOW, Decimal(10_000))
    answers = [*state.on(Sampled(now_ns=NOW), desks.view), *state.on(Sampled(now_ns=NOW), desks.view)]
    requests = [each for each in answers if isinstance(each, CloseRequest)]
    assert requests == [CloseRequest(instrument=BTC, reason="daily_loss")] * closes
    desks.say(*requests)
    if closes:
        close = desks.orders("close")[0]
        desks.fill(close, "60000", "0.06")
        assert desks.event("POSITION_CLOSED")["reason"] == "daily_loss"


def test_nothing_is_concluded_while_a_position_has_no_mark() -> None:
    desks = Desks()
    desks.open(quantity="0.06")
    marks: dict[str, Decimal | None] = {BTC: None}
    desks.portfolio._mark = lambda i: marks[i]
    state = State(desks.portfolio, RiskParams())
    assert state.on(Sampled(now_ns=NOW), desks.view) == []
    marks[BTC] = Decimal(60_000)
    assert kinds(list(state.on(Sampled(now_ns=NOW), desks.view)))[0] == "DAY_STARTED"


# --- drawdown -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("equity", "state"), [("10800.01", "ACTIVE"), ("10800", "HALTED")])
def test_ten_percent_from_the_peak_halt(equity: str, state: str) -> None:
    told = Told()
    assert kinds(told.sample(1, "12000")) == ["PEAK"]
    told.sample(2, "11999")
    told.sample(3, equity)
    assert told.now[0] == state


def test_it_latches_over_gains_and_midnights_and_a_resume_starts_a_new_peak() -> None:
    told = Told(daily_loss_pct=Decimal(50))
    told.sample(1, "8999")
    assert told.now == ("HALTED", "drawdown 10.0100 %, limit 10 %, halted until a resume")
    told.sample(2, "9999")
    told.midnight()
    assert told.now[0] == "HALTED"
    resumed = data(told.say(ResumeRequest()), "RESUMED")
    assert (list(resumed["cleared"]), resumed["peak_usd"]) == (["drawdown"], "9999")
    told.midnight("8999.11")
    assert told.now[0] == "ACTIVE"
    told.midnight("8999.1", after_ns=NS)
    assert told.now[0] == "HALTED"


def test_a_resume_after_a_pause_leaves_the_peak_alone() -> None:
    told = Told()
    told.sample(1, "9800")
    told.say(PauseRequest(), ResumeRequest())
    assert told.portfolio.peak_usd == 10_000


@pytest.mark.parametrize(("equity", "peak"), [("10000.99", 10_000), ("10001", 10_001)])
def test_the_peak_rises_by_a_basis_point_or_not_at_all_so_that_the_journal_holds_the_very_same(
    equity: str, peak: int
) -> None:
    told = Told()
    answers = told.sample(1, equity)
    assert told.portfolio.peak_usd == peak
    assert [e.data for e in answers if isinstance(e, Emit)] == ([{"equity_usd": str(peak)}] if peak > 10_000 else [])


# --- blocks ---------------------------------------------------------------------------------------------------------


def test_a_symbol_is_blocked_until_it_is_unblocked_and_a_resume_does_not_end_it() -> None:
    told = Told()
    (event,) = told.say(BlockRequest(instrument=BTC), at_s=4)
    assert isinstance(event, Emit)
    assert (event.kind, event.instrument, event.data) == ("SYMBOL_BLOCKED", BTC, {"reason": "operator"})
    assert told.say(BlockRequest(instrument=BTC)) == []
    told.say(ResumeRequest())
    assert (told.state.blocked(BTC), told.state.blocked(ETH.id)) == ("operator", None)
    assert told.state.blocks[BTC].since_ns == NOW + 4 * NS
    assert kinds(told.say(BlockRequest(instrument=BTC, blocked=False))) == ["SYMBOL_UNBLOCKED"]
    assert told.say(BlockRequest(instrument=BTC, blocked=False)) == []
    assert told.state.blocked(BTC) is None


def test_a_symbol_that_is_not_traded_cannot_be_blocked_and_that_is_told() -> None:
    told = Told()
    assert kinds(told.say(BlockRequest(instrument="binanceusdm:NOUSDT"))) == ["DISCREPANCY"]
    assert told.state.blocks == {}


# --- looking at money only when something changed -------------------------------------------------------------------


class AlwaysLooks(State):
    """The same desk, that remembers no look."""

    @property
    def _looked(self) -> None:
        return None

    @_looked.setter
    def _looked(self, seen: object) -> None: ...


class Account:
    """A desk `state` of one kind beside desks that trade, all told the same."""

    def __init__(self, kind: type[State], risk: RiskParams, now_ns: int, held: bool) -> None:
        self.desks = Desks()
        if held:
            self.desks.open(quantity="0.06")
        self.desks.view.now_ns = now_ns
        self.state = kind(self.desks.portfolio, risk)
        marks = self.desks.portfolio._mark
        self.unmarked, self.transfers = False, 0
        self.desks.portfolio._mark = lambda i: None if self.unmarked else marks(i)
        self.hear(USABLE)

    def hear(self, *messages: Message) -> list[Message]:
        return [answer for each in messages for answer in self.state.on(each, self.desks.view)]

    def step(self, what: str, value: Any) -> list[Message]:
        """What the desk says; much may happen between two looks."""
        desks, portfolio = self.desks, self.desks.portfolio
        match what:
            case "wait":
                desks.view.now_ns += value
            case "earn":
                portfolio.money.realise(value)
            case "transfer":
                self.transfers += 1
                portfolio.book_transfer(Transfer(transfer_id=str(self.transfers), usd=value))
            case "mark":
                desks.mark(value)
            case "unmarked":
                self.unmarked = value
            case "adopt" if portfolio.position(BTC) is None:
                desks.say(Adopt(instrument=BTC, direction=Direction.LONG, quantity=Decimal("0.06"), entry_price=value))
            case "hear":
                return self.hear(value)
            case "look":
                return self.hear(Sampled(now_ns=desks.view.now_ns))
        return []

    @property
    def shown(self) -> Any:
        state, money = self.state, self.desks.portfolio.money
        since = {key: cause.since_ns for key, cause in state.causes.items()}
        return state.state, state.reason, since, money.day, money.day_start_usd, money.peak_usd


USD = st.sampled_from(
    [Decimal(each) for each in ("-1000", "-301", "-300", "-299.99", "-0.01", "0", "0.01", "1", "400")]
)
FLATTEN = RiskParams(on_daily_loss="flatten")
LOOK = ("look", None)
STEPS = st.one_of(
    st.just(LOOK),
    st.just(LOOK),
    st.tuples(st.just("wait"), st.sampled_from([0, 1, NS, 60 * NS, DAY_NS // 2, DAY_NS])),
    st.tuples(st.sampled_from(["earn", "transfer"]), USD),
    st.tuples(st.just("mark"), st.sampled_from([50_000.0, 60_000.0, 64_999.0, 65_000.0, 70_000.0])),
    st.tuples(st.just("unmarked"), st.booleans()),
    st.tuples(st.just("adopt"), st.just(Decimal(65_000))),
    st.tuples(
        st.just("hear"),
        st.sampled_from([LOST, USABLE, PauseRequest(), ResumeRequest(), KillRequest(), StopRequest(reason="end")]),
    ),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(STEPS, max_size=40),
    st.sampled_from([RiskParams(), FLATTEN, RiskParams(equity_usd=Decimal(2000), reducing_clear_s=0)]),
    st.sampled_from([NOW, MIDNIGHT - 1]),
    st.booleans(),
)
@example([LOOK, ("transfer", Decimal(400)), ("earn", Decimal(-400)), LOOK], RiskParams(), NOW, False)
@example([LOOK, ("transfer", Decimal(-400)), ("earn", Decimal(400)), LOOK], RiskParams(), NOW, False)
@example([LOOK, ("earn", Decimal(-300)), LOOK, ("adopt", Decimal(65_000)), LOOK], FLATTEN, NOW, False)
def test_a_desk_that_looks_only_at_what_changed_says_what_one_says_that_always_looks(
    steps: list[tuple[str, Any]], risk: RiskParams, now_ns: int, held: bool
) -> None:
    skips, looks = Account(State, risk, now_ns, held), Account(AlwaysLooks, risk, now_ns, held)
    for step in steps:
        assert skips.step(*step) == looks.step(*step)
        assert skips.shown == looks.shown
