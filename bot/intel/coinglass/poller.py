"""CoinGlass as a provider of readings: asks what matters most, and says what it cannot give and why.

Which call is next is the scheduler's choice, when it may leave the budget's, what an answer means `board`'s, and what the key
may ask `access`'. A refusal is remembered, so that no call is spent on asking for the same again: for a day where plan, key
or request is refused, else for a time that doubles. After anything that concerns every call (limit, outage, key) calls go
out one at a time until one is answered. Started by wiring; nothing that trades waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import SecretStr

from bot.domain.instrument import Instrument
from bot.domain.reading import Reading
from bot.domain.values import NS
from bot.intel.budget import Budget
from bot.intel.coinglass import schema
from bot.intel.coinglass.access import AGAIN_NS, Access
from bot.intel.coinglass.board import Board, Told
from bot.intel.coinglass.calls import ABOUT_KEY, ABOUT_PAIRS, Call, calls_for
from bot.intel.coinglass.client import Client
from bot.intel.coinglass.envelope import Refusal, Why
from bot.intel.coinglass.excuses import Excuses
from bot.intel.coinglass.plans import Plan
from bot.intel.params import CoinGlassParams
from bot.intel.scheduler import Scheduler, Want
from bot.market.flow import TakerParams
from bot.market.readings import COINGLASS, encode_reading
from bot.market.walls import INSTITUTIONAL_USD, WallParams

_DOWN_S, _LONGEST_DOWN_S = 15.0, 300.0
_LONGEST_S = 3600.0  # of a back-off
_NAP_S = 5.0  # a guard that abstains or a reading that grows old is noticed within this time
_SAY_NS = 60 * NS
_TRIAL_NS = 2 * NS  # how long other calls of an endpoint wait for its first answer, again and again
_ABOUT_KEY_NS = 60 * NS  # how often a refusal may make us ask for the plan again


def _btc_threshold(_: str) -> Decimal:
    return INSTITUTIONAL_USD


@dataclass(slots=True)
class _State:
    """Of one call."""

    asked_ns: int | None = None
    got_ns: int | None = None
    observed_ns: int = 0
    not_before_ns: int = 0
    failures: int = 0  # in a row
    problem: str = ""


class CoinGlass:
    """`put` gets the bytes of `reading` frames, `report` one line for each failure. `institutional_usd` gives a coin's
    threshold of the day."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        params: CoinGlassParams,
        key: SecretStr,
        budget: Budget,
        put: Callable[[bytes], None],
        report: Callable[[str], None],
        now_ns: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        *,
        institutional_usd: Callable[[str], Decimal] = _btc_threshold,
        taker: TakerParams | None = None,
        walls: WallParams | None = None,
        speed: float = 1.0,
    ) -> None:
        self._instruments, self._params, self._budget = instruments, params, budget
        self._put, self._report, self._now_ns, self._sleep = put, report, now_ns, sleep
        self._client = Client(params, key, budget, self._pausing, now_ns, speed)
        self._access = Access(params.plan if params.plan in ("auto", "none") else Plan(params.plan))
        self._board = Board(institutional_usd, taker or TakerParams(), walls or WallParams())
        self._excuses = Excuses()
        self._pairs: schema.Pairs = {}
        self._calls: dict[str, Call] = {}
        self._wanted: set[str] = set()  # those that the plan sells
        self._states: dict[str, _State] = {}
        self._urgent = [ABOUT_KEY, ABOUT_PAIRS]
        self._proven: set[str] = set()  # endpoints that were answered
        self._on_trial: set[str] = set()  # endpoints whose first call is under way
        self._said_ns: dict[str, int] = {}
        self._turn = asyncio.Lock()
        self._careful = True  # nothing was answered since the last thing that concerned every call
        self._arrange()

    async def run(self) -> None:
        """Until cancelled. Without a key, or with the plan `none`, nothing is ever asked."""
        problem = self._off()
        if problem:
            await self._idle(problem)
        async with self._client, asyncio.TaskGroup() as tasks:
            for _ in range(self._params.at_once):
                tasks.create_task(self._work())

    def abstained(self, name: str, key: str) -> None:
        """A guard could not judge for want of this reading: it goes first."""
        self._scheduler.abstained(name, key, self._now_ns())

    def resume(self, reading: Reading[Any]) -> None:
        """One of its own from before a restart, still young: a failure must not hide it."""
        if reading.source == COINGLASS:
            told = Told(
                name=reading.name, key=reading.key, value=reading.value, reason="", observed_ns=reading.observed_ns
            )
            self._excuses.good(told)

    # --- which calls --------------------------------------------------------------------------------------------------

    def _arrange(self) -> None:
        """The schedule, anew when plan or pairs have changed. What was answered or refused before still holds."""
        calls = calls_for(self._instruments, self._pairs, self._params)
        wanted = [call for call in calls if not self._access.unsold(call.endpoint)]
        for call in calls:
            if self._access.unsold(call.endpoint):
                self._excuse(call, self._access.unsold(call.endpoint))
        self._calls, self._wanted = {call.id: call for call in calls}, {call.id for call in wanted}
        self._board.expect(wanted)
        self._scheduler = Scheduler([_want(call) for call in wanted], self._client.per_minute)
        for call in wanted:
            self._resume(call)

    def _excuse(self, call: Call, reason: str) -> None:
        for served in call.serves:
            self._excuses.give(served, reason)

    def _resume(self, call: Call) -> None:
        state = self._state(call)
        if state.got_ns is not None:
            self._scheduler.got(call.id, state.observed_ns, state.got_ns)
        until_ns = max(state.not_before_ns, self._access.refused_until_ns(call.endpoint))
        if until_ns > self._now_ns():
            self._scheduler.failed(call.id, until_ns)

    def _state(self, call: Call) -> _State:
        return self._states.setdefault(call.id, _State())

    def _peek(self, now_ns: int) -> Call | None:
        """The next call. Of an endpoint that was never answered only one is under way: it may not be in the plan."""
        if self._urgent:
            return self._urgent[0]
        while (want := self._scheduler.next(now_ns)) is not None:
            call = self._calls[want.call]
            if call.endpoint.name not in self._on_trial:
                return call
            self._scheduler.failed(call.id, now_ns + _TRIAL_NS)
        return None

    # --- the loop -----------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            async with self._turn:
                call = await self._next()
                if self._careful:
                    await self._ask(call)
                    continue
            await self._ask(call)

    async def _next(self) -> Call:
        while True:
            now_ns = self._now_ns()
            self._tell_missing(now_ns)
            if now_ns >= self._paused_until_ns() and self._peek(now_ns) is not None:
                await self._client.turn()
                call = self._peek(self._now_ns())
                if call is not None and self._now_ns() >= self._paused_until_ns():
                    return self._begin(call)
            else:
                await self._sleep(self._nap_s(now_ns))

    def _begin(self, call: Call) -> Call:
        if self._urgent and self._urgent[0] is call:
            self._urgent.pop(0)
        if call.endpoint.name not in self._proven:
            self._on_trial.add(call.endpoint.name)
        now_ns = self._now_ns()
        self._state(call).asked_ns = now_ns
        if call.id in self._wanted:
            self._scheduler.asked(call.id, now_ns)
        return call

    def _paused_until_ns(self) -> int:
        return max(self._client.not_before_ns, self._access.key_until_ns())

    def _nap_s(self, now_ns: int) -> float:
        due_ns = self._scheduler.due_ns()
        wake_ns = max(self._paused_until_ns(), now_ns if due_ns is None else due_ns)
        return min(_NAP_S, max(0.05, (wake_ns - now_ns) / NS)) if wake_ns > now_ns else _NAP_S

    async def _ask(self, call: Call) -> None:
        try:
            data = await self._client.get(call.endpoint, call.query)
            self._read(call, data)
        except Refusal as refusal:
            self._refused(call, refusal)
        finally:
            self._on_trial.discard(call.endpoint.name)
            self._tell_missing(self._now_ns())

    # --- answers ------------------------------------------------------------------------------------------------------

    def _read(self, call: Call, data: Any) -> None:
        now_ns, observed_ns = self._now_ns(), self._now_ns()
        self._careful = False
        self._proven.add(call.endpoint.name)
        self._access.answered(call.endpoint)
        if call is ABOUT_KEY:
            self._subscribed(schema.parse_subscription(data))
        elif call is ABOUT_PAIRS:
            self._listed(schema.parse_pairs(data))
        else:
            observed_ns, told = self._board.take(call, data, now_ns)
            for each in told:
                if each.value is None:
                    self._excuses.give((each.name, each.key), each.reason)
                else:
                    self._excuses.good(each)
                    self._put(encode_reading(each.reading(now_ns)))
        state = self._state(call)
        state.got_ns, state.observed_ns, state.not_before_ns = now_ns, observed_ns, 0
        state.failures, state.problem = 0, ""
        if call.id in self._wanted:  # plan or pairs may have changed while it was under way
            self._scheduler.got(call.id, observed_ns, now_ns)

    def _subscribed(self, subscription: schema.Subscription) -> None:
        before, level = self._access.level, subscription.level
        if self._access.subscribed(subscription):
            self._arrange()
        if before not in ("", level):
            self._say("plan", f"{ABOUT_KEY.id}: the plan was {before} and is now {level}")
        if self._params.plan not in ("auto", self._access.plan):
            self._say("setting", f"{ABOUT_KEY.id}: the plan is {level}, the settings say {self._params.plan}")
        if subscription.plan is None:
            self._say("level", f"{ABOUT_KEY.id}: data.level: {level} is not known; refusals will tell what it sells")
        if subscription.expired:
            self._say("expired", f"{ABOUT_KEY.id}: it has expired")

    def _listed(self, pairs: schema.Pairs) -> None:
        if pairs != self._pairs:
            self._pairs = pairs
            self._arrange()

    def _refused(self, call: Call, refusal: Refusal) -> None:
        now_ns = self._now_ns()
        state = self._state(call)
        state.failures += 1
        state.problem = str(refusal)
        self._excuse(call, state.problem)
        if refusal.why in (Why.KEY, Why.LIMIT, Why.DOWN):
            self._careful = True
        if refusal.why is Why.KEY:
            self._key_refused(refusal, now_ns)
        elif refusal.why in (Why.PLAN, Why.INTERVAL):
            self._not_in_plan(call, refusal, now_ns)
        else:
            self._say(f"{call.endpoint.name} {refusal.why}", f"{call.id}: {refusal}")
            self._hold(call, now_ns + int(_back_off_s(call, state.failures, refusal.why) * NS))

    def _key_refused(self, refusal: Refusal, now_ns: int) -> None:
        self._access.key_refused_ns = now_ns
        self._urgent = [ABOUT_KEY]  # what is asked first when it is tried again
        self._say("key", f"{refusal}: nothing is asked for a day, or until the program is started again")
        for call in self._calls.values():
            self._excuse(call, self._access.unsold(call.endpoint) or str(Why.KEY))

    def _not_in_plan(self, call: Call, refusal: Refusal, now_ns: int) -> None:
        until_ns = self._access.refuse(call.endpoint, str(refusal), now_ns)
        self._proven.discard(call.endpoint.name)
        self._say(f"{call.endpoint.name} {refusal.why}", f"{call.id}: {refusal}: not asked again for a day")
        for other in self._calls.values():
            if other.endpoint is call.endpoint:
                self._hold(other, until_ns)
                self._excuse(other, str(refusal))
        about = self._state(ABOUT_KEY)
        lately = about.asked_ns is not None and now_ns - about.asked_ns <= _ABOUT_KEY_NS
        if call is not ABOUT_KEY and not lately and about.not_before_ns <= now_ns:
            self._urgent.append(ABOUT_KEY)  # the plan may have changed

    def _hold(self, call: Call, until_ns: int) -> None:
        self._state(call).not_before_ns = until_ns
        if call.id in self._wanted:
            self._scheduler.failed(call.id, until_ns)

    # --- what is told -------------------------------------------------------------------------------------------------

    def _tell_missing(self, now_ns: int) -> None:
        for each in self._excuses.due(now_ns):
            self._put(encode_reading(each.reading(now_ns)))

    def _pausing(self, text: str) -> None:
        self._say("pause", text)

    def _say(self, what: str, text: str) -> None:
        """At most once a minute for the same thing."""
        now_ns = self._now_ns()
        if now_ns - self._said_ns.get(what, now_ns - _SAY_NS) >= _SAY_NS:
            self._said_ns[what] = now_ns
            self._report(f"{COINGLASS} {text}")

    def _off(self) -> str:
        return "plan is none" if self._params.plan == "none" else self._client.key_problem()

    async def _idle(self, problem: str) -> None:
        for call in self._calls.values():
            self._excuse(call, problem)
        self._tell_missing(self._now_ns())
        await asyncio.Event().wait()

    def answer(self) -> dict[str, Any]:
        """What was asked, what is covered, calls spent; the key itself is nowhere in it."""
        now_ns, off = self._now_ns(), self._off()
        spent, allowed = self._budget.spent()
        told = self._access.answer()
        if off:
            told |= {"key": off, "readings": dict.fromkeys(told["readings"], off)}
        return told | {
            "provider": COINGLASS,
            "calls": {"spent": spent, "allowed": allowed, "provider_says": self._client.provider_used},
            "paused_s": max(0, self._paused_until_ns() - now_ns) / NS,
            "pause_reason": self._client.waits_for if self._client.not_before_ns > now_ns else "",
            "asked": [self._shown(call, now_ns) for call in self._calls.values()],
        }

    def _shown(self, call: Call, now_ns: int) -> dict[str, Any]:
        state = self._state(call)
        due_ns = 0 if state.got_ns is None else state.got_ns + int(call.endpoint.refresh_s * NS)
        return {
            "call": call.id,
            "readings": [list(served) for served in call.serves],
            "last_s": None if state.got_ns is None else (now_ns - state.got_ns) / NS,
            "next_s": None
            if self._access.unsold(call.endpoint)
            else max(0, due_ns - now_ns, state.not_before_ns - now_ns) / NS,
            "failures": state.failures,
            "problem": self._access.problem(call.endpoint) or state.problem,
        }


def _want(call: Call) -> Want:
    endpoint = call.endpoint
    return Want(call=call.id, serves=call.serves, refresh_s=endpoint.refresh_s, max_age_s=endpoint.max_age_s)


def _back_off_s(call: Call, failures: int, why: Why) -> float:
    """A refused request is refused again; an outage may be short; anything else is not asked faster than when it is well."""
    if why is Why.REQUEST:
        return AGAIN_NS / NS
    first_s, longest_s = (
        (_DOWN_S, _LONGEST_DOWN_S) if why in (Why.DOWN, Why.LIMIT) else (call.endpoint.refresh_s, _LONGEST_S)
    )
    return min(max(longest_s, first_s), first_s * 2.0 ** min(failures - 1, 30))
