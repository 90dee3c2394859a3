"""From the ledger's counts to rows with a judgement: `score(ledger)` for the report, the page, the learning cycle.

One configuration at a time; longs and shorts never pooled. Guards are judged on the whole history of the configuration
only: windows overlap, and the same trades must not be evidence twice. What a guard refuses loses money for it to be
helpful: its value is minus the mean R of the shadows that it alone had refused (quant 7).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from math import fsum
from typing import NamedTuple

from msgspec.structs import replace

from bot.learning.clusters import block_of
from bot.learning.ledger import MODE, Asked, Cell, Ledger, Sum, Sums
from bot.learning.multiple import Q, adjusted
from bot.learning.results import ALL, Funnel, GuardRow, Judgement, Score, StrategyRow, Value, Window
from bot.learning.sequences import Mean, mean_of

MIN_EFFECTIVE_N = 30  # below this a row is for display only


class Key(NamedTuple):
    """Of a row. Strategy and symbol are None where they are pooled."""

    subject: tuple[str, int]
    strategy: str | None
    symbol: str | None
    direction: str


class _Span(NamedTuple):
    """The blocks of a window: from the first, up to and without the last; `over` is the first that is not over."""

    first: int
    last: int
    over: int

    def has(self, block: int) -> bool:
        return self.first <= block < self.last


class _Cut(NamedTuple):
    by_strategy: bool
    by_symbol: bool

    def key(self, cell: Cell) -> Key:
        strategy = cell.strategy if self.by_strategy else None
        return Key(cell.subject, strategy, cell.symbol if self.by_symbol else None, cell.direction)


def score(
    ledger: Ledger,
    *,
    rules: str | None = None,
    window: Window = ALL,
    by_strategy: bool = False,
    by_symbol: bool = False,
    now_ns: int | None = None,
) -> Score:
    """`rules` is a config_hash; None: the one in force. `now_ns` decides which blocks are over; None: the last event's time."""
    rules = ledger.rules if rules is None else rules
    now_ns = ledger.now_ns if now_ns is None else now_ns
    cut, span = _Cut(by_strategy, by_symbol), _span(window, now_ns)
    guards = _guard_rows(ledger, rules, cut, span)
    strategies = _strategy_rows(ledger, rules, cut, span)
    funnel = _funnel(ledger, rules, by_symbol, span)
    return Score(
        config_hash=rules,
        window=window,
        now_ns=now_ns,
        note=_note(guards, strategies, funnel),
        guards=tuple(_judged(guards, whole=window.begins_ns is None and window.ends_ns is None)),
        strategies=tuple(strategies),
        funnel=tuple(funnel),
        max_pain=ledger.max_pain.score(rules, now_ns),
        clock_set_back=ledger.clock_set_back,
    )


def _span(window: Window, now_ns: int) -> _Span:
    """Rounded outwards: a window begins with the block it begins in."""
    over = block_of(now_ns)
    first = 0 if window.begins_ns is None else block_of(window.begins_ns)
    last = over + 1 if window.ends_ns is None else -block_of(-window.ends_ns)
    return _Span(first, last, over)


def _note(guards: Sequence[GuardRow], strategies: Sequence[StrategyRow], funnel: Sequence[Funnel]) -> str:
    if not any(row.signals for row in funnel) and not any(row.trades for row in guards):
        return "no signals and no trades in this window"
    if not any(row.trades for row in guards) and not any(row.live or row.shadow for row in strategies):
        return "no finished trades in this window"
    return ""


# --- guards ---


class _Tally:
    """What a row is made of."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.alone = 0
        self.still_open = 0
        self.blocks: dict[int, Sum] = {}
        self.left_out: Counter[str] = Counter()


def _guard_rows(ledger: Ledger, rules: str, cut: _Cut, span: _Span) -> list[GuardRow]:
    tallies: dict[Key, _Tally] = {}
    for asked, blocks in ledger.asked.items():
        if asked.rules == rules:
            _count_answers(tallies, asked, _within(blocks, span), cut)
    for asked in ledger.open_trades():
        refusing = asked.refusing()
        if asked.rules == rules and len(refusing) == 1:
            tallies[_key(asked, refusing[0].guard, refusing[0].version, cut)].still_open += 1
    for key, sums in _pooled(ledger.refused, rules, cut, span).items():
        tallies[key].blocks = sums
    for key, reasons in _left_out(ledger, rules, cut, span).items():
        if key in tallies:
            tallies[key].left_out = reasons
    return [_guard_row(key, tally, span) for key, tally in sorted(tallies.items(), key=lambda item: _order(item[0]))]


def _within(blocks: Counter[int], span: _Span) -> int:
    return sum(count for block, count in blocks.items() if span.has(block))


def _key(asked: Asked, guard: str, version: int, cut: _Cut) -> Key:
    return cut.key(Cell(asked.rules, (guard, version), asked.strategy, asked.symbol, asked.direction))


def _count_answers(tallies: dict[Key, _Tally], asked: Asked, count: int, cut: _Cut) -> None:
    """Also with a count of nothing: a guard without signals in a window has a row that says so."""
    alone = len(asked.refusing()) == 1
    for guard, version, outcome in asked.answers:
        tally = tallies.setdefault(_key(asked, guard, version, cut), _Tally())
        tally.outcomes[outcome] += count
        if alone and outcome == "BLOCK":
            tally.alone += count


def _pooled(sums: Sums, rules: str, cut: _Cut, span: _Span) -> dict[Key, dict[int, Sum]]:
    pooled: dict[Key, dict[int, Sum]] = {}
    for cell, blocks in sums.of.items():
        if cell.rules == rules:
            into = pooled.setdefault(cut.key(cell), {})
            for block, each in blocks.items():
                if span.has(block):
                    into[block] = _added(into[block], each) if block in into else each
    return pooled


def _added(a: Sum, b: Sum) -> Sum:
    return Sum(*(getattr(a, name) + getattr(b, name) for name in Sum.__slots__))


def _left_out(ledger: Ledger, rules: str, cut: _Cut, span: _Span) -> dict[Key, Counter[str]]:
    result: dict[Key, Counter[str]] = {}
    for cell, reasons in ledger.left_out.items():
        if cell.rules == rules:
            counter = result.setdefault(cut.key(cell), Counter())
            for (block, reason), count in reasons.items():
                if span.has(block):
                    counter[str(reason)] += count
    return result


def _guard_row(key: Key, tally: _Tally, span: _Span) -> GuardRow:
    sums, outcomes = tally.blocks.values(), tally.outcomes
    avoided_r, missed_r = -fsum(s.lost_r for s in sums), fsum(s.gained_r for s in sums)
    avoided_usd, missed_usd = -_usd(s.lost_usd for s in sums), _usd(s.gained_usd for s in sums)
    return GuardRow(
        guard=key.subject[0],
        version=key.subject[1],
        direction=key.direction,
        strategy=key.strategy,
        symbol=key.symbol,
        signals=outcomes.total(),
        blocks=outcomes["BLOCK"],
        abstentions=outcomes["ABSTAIN"],
        blocked_alone=tally.alone,
        trades=sum(s.n for s in sums),
        repeats=sum(s.repeats for s in sums),
        still_open=tally.still_open,
        losses_avoided=sum(s.losses for s in sums),
        avoided_r=avoided_r,
        avoided_usd=avoided_usd,
        profits_missed=sum(s.gains for s in sums),
        missed_r=missed_r,
        missed_usd=missed_usd,
        net_r=avoided_r - missed_r,
        net_usd=avoided_usd - missed_usd,
        value=_value(-_mean(tally.blocks, span)),
        judgement=Judgement.NOT_ENOUGH,
        reason="",
        left_out=dict(tally.left_out),
    )


def _mean(blocks: dict[int, Sum], span: _Span) -> Mean:
    """Of the blocks that are over, in their order."""
    return mean_of([each.r / each.n for block, each in sorted(blocks.items()) if block < span.over])


def _value(mean: Mean) -> Value:
    return Value(effective_n=mean.n, mean_r=mean.mean, lo_r=mean.lo, hi_r=mean.hi, p=mean.p)


def _usd(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))


def _order(key: Key) -> tuple[str, int, str, str, str]:
    return *key.subject, key.direction, key.strategy or "", key.symbol or ""


def _judged(rows: Sequence[GuardRow], *, whole: bool) -> list[GuardRow]:
    """A row with too little to say is a guard that was looked at all the same, so it counts among the many."""
    judged = []
    counts = [row.value.p if row.value.effective_n >= MIN_EFFECTIVE_N else 1.0 for row in rows]
    for row, q in zip(rows, adjusted(counts), strict=True):
        value = replace(row.value, q=q)
        judgement, reason = _judge(row, value, whole)
        judged.append(replace(row, value=value, judgement=judgement, reason=reason))
    return judged


def _judge(row: GuardRow, value: Value, whole: bool) -> tuple[Judgement, str]:
    why_not = _too_little(row, value, whole)
    if why_not:
        return Judgement.NOT_ENOUGH, why_not
    assert value.lo_r is not None and value.hi_r is not None  # there are blocks enough
    if value.lo_r <= 0 <= value.hi_r:
        return Judgement.NOT_ENOUGH, "the interval contains 0"
    if not value.q <= Q:
        return Judgement.NOT_ENOUGH, f"not significant among so many guards (q {value.q:.2f} > {Q:.2f})"
    return (Judgement.HELPFUL if value.lo_r > 0 else Judgement.HARMFUL), ""


def _too_little(row: GuardRow, value: Value, whole: bool) -> str:
    if not row.trades:
        return _no_trades(row)
    if not whole:
        return "guards are judged on the whole history, not on a window"
    if value.effective_n < MIN_EFFECTIVE_N:
        return f"{value.effective_n} of the {MIN_EFFECTIVE_N} blocks of 4 h that a judgement needs"
    return ""


def _no_trades(row: GuardRow) -> str:
    if not row.signals:
        return "no signals in this window"
    if not row.blocks:
        return "refused nothing"
    if not row.blocked_alone:
        return "what it refused, another guard refused too"
    return "no finished trade that it alone refused"


# --- strategies ---


def _strategy_rows(ledger: Ledger, rules: str, cut: _Cut, span: _Span) -> list[StrategyRow]:
    cut = cut._replace(by_strategy=True)
    live, twins, pairs = (_pooled(each, rules, cut, span) for each in (ledger.live, ledger.twins, ledger.pairs))
    left_out = {key: each for key, each in _left_out(ledger, rules, cut, span).items() if key.subject[1] == MODE}
    rows = []
    for key in sorted(live.keys() | twins.keys() | left_out.keys(), key=_order):
        real, shadow, both = (each.get(key, {}) for each in (live, twins, pairs))
        rows.append(_strategy_row(key, real, shadow, both, left_out.get(key, Counter()), span))
    return rows


def _strategy_row(
    key: Key,
    live: dict[int, Sum],
    shadow: dict[int, Sum],
    pairs: dict[int, Sum],
    left_out: Counter[str],
    span: _Span,
) -> StrategyRow:
    return StrategyRow(
        strategy=key.strategy or "",
        direction=key.direction,
        mode=key.subject[0],
        symbol=key.symbol,
        live=_count(live),
        live_mean_r=_mean_r(live),
        live_usd=_usd(s.gained_usd + s.lost_usd for s in live.values()),
        shadow=_count(shadow),
        shadow_mean_r=_mean_r(shadow),
        pairs=_count(pairs),
        difference=_value(_mean(pairs, span)),
        left_out=dict(left_out),
    )


def _count(blocks: dict[int, Sum]) -> int:
    return sum(each.n for each in blocks.values())


def _mean_r(blocks: dict[int, Sum]) -> float | None:
    count = _count(blocks)
    return fsum(each.r for each in blocks.values()) / count if count else None


def _funnel(ledger: Ledger, rules: str, by_symbol: bool, span: _Span) -> list[Funnel]:
    counts: Counter[tuple[str, str, str, bool]] = Counter()
    for asked, blocks in ledger.asked.items():
        if asked.rules == rules:
            symbol = asked.symbol if by_symbol else ""
            counts[asked.strategy, symbol, asked.direction, asked.allowed] += _within(blocks, span)
    return [
        Funnel(
            strategy=strategy,
            symbol=symbol or None,
            direction=direction,
            signals=counts[strategy, symbol, direction, True] + counts[strategy, symbol, direction, False],
            allowed=counts[strategy, symbol, direction, True],
            blocked=counts[strategy, symbol, direction, False],
        )
        for strategy, symbol, direction in sorted({key[:3] for key in counts})
    ]
