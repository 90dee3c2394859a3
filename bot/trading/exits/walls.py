"""Wall adjustment of take-profit targets: where one belongs in front of an institutional wall, and when it may move.

Pure rules of product 6. They only ever pull a target nearer than its nominal price, skip walls that leave too little
room (never clamp to them), and leave targets alone when walls are not known. Finding walls is the business of
`market/walls.py`, amending orders that of the exits desk. The guard `wall_resistance` measures room in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct
from pydantic import Field

from bot.domain.instrument import Instrument, Round, exact
from bot.domain.params import Params
from bot.domain.reading import Reading, ReadingState, Wall, Walls
from bot.domain.values import NS, Direction
from bot.trading.exits.ladder import Ladder, Tier

_BPS = 10_000


class TargetParams(Params):
    """How a target stands in front of a wall and how often it may move (settings group `targets`)."""

    offset_pct: Decimal = Field(default=Decimal("0.1"), ge=0, lt=50, description="distance kept in front of a wall")
    move_interval_s: int = Field(default=30, ge=0, description="a target moves at most once in this time")
    min_move_bps: Decimal = Field(default=Decimal(2), ge=0, description="smaller moves are not made")
    hold_near_bps: Decimal = Field(
        default=Decimal(10), ge=0, description="no move away while price is this near the target"
    )
    room_bps: Decimal = Field(default=Decimal(5), ge=0, description="least profit of a target over the round-trip cost")
    room_stop_fraction: Decimal = Field(
        default=Decimal("0.5"), ge=0, description="least profit as a share of stop distance"
    )


DEFAULTS = TargetParams()


class Wanted(Struct, frozen=True):
    """Where a target should be now; `wall` is None when that is its nominal price."""

    price: Decimal
    wall: Wall | None


def min_room(round_trip: Decimal, stop_fraction: Decimal, params: TargetParams = DEFAULTS) -> Decimal:
    """Least distance of an adjusted target from entry; all three are fractions of the entry price."""
    return max(round_trip + params.room_bps / _BPS, params.room_stop_fraction * stop_fraction)


def wall_target(
    wall_price: Decimal, direction: Direction, instrument: Instrument, params: TargetParams = DEFAULTS
) -> Decimal:
    """The price `offset_pct` in front of a wall: rounded down below an ask wall, up above a bid wall."""
    rounding = Round.DOWN if direction is Direction.LONG else Round.UP
    return instrument.price(wall_price * (1 - direction.sign * params.offset_pct / 100), rounding)


def has_room(entry: Decimal, target: Decimal, direction: Direction, room: Decimal) -> bool:
    """Whether `target` lies at least `room` (a fraction of entry) on the profit side of `entry`."""
    return direction.sign * (target - entry) >= room * entry


def institutional(walls: Walls, direction: Direction) -> list[Wall]:
    """The institutional walls that stand in a trade's way: **more than** the threshold, nearest to the spread first."""
    sided = walls.asks if direction is Direction.LONG else walls.bids
    large = [wall for wall in sided if exact(wall.usd) > walls.institutional_usd]
    return sorted(large, key=lambda wall: direction.sign * wall.price)


def adjusted(
    entry: Decimal,
    direction: Direction,
    nominal: Decimal,
    walls: Walls,
    instrument: Instrument,
    room: Decimal,
    params: TargetParams = DEFAULTS,
) -> tuple[Decimal, Wall] | None:
    """The target before the nearest institutional wall that leaves `room`; None if it is not nearer than nominal."""
    for wall in institutional(walls, direction):
        target = wall_target(exact(wall.price), direction, instrument, params)
        if has_room(entry, target, direction, room):
            return (target, wall) if direction.sign * (nominal - target) > 0 else None
    return None


def wanted_target(
    reading: Reading[Walls],
    now_ns: int,
    *,
    entry: Decimal,
    direction: Direction,
    nominal: Decimal,
    current: Decimal,
    mid: Decimal,
    instrument: Instrument,
    room: Decimal,
    params: TargetParams = DEFAULTS,
) -> Wanted | None:
    """Where the target belongs by this reading, or None: nothing is known, so it stays where it is.

    Unknown is a STALE or MISSING reading, and a PARTIAL one that does not reach the wall in front of which the target
    stands: that wall is out of sight, not gone, so the target does not move away from it.
    """
    walls = reading.value
    if walls is None or reading.state(now_ns) is ReadingState.STALE:
        return None
    found = adjusted(entry, direction, nominal, walls, instrument, room, params)
    wanted = Wanted(*found) if found else Wanted(nominal, None)
    away = direction.sign * (wanted.price - current) > 0
    if away and reading.partial and not _sees(walls, direction, current, mid, params):
        return None
    return wanted


def _sees(walls: Walls, direction: Direction, target: Decimal, mid: Decimal, params: TargetParams) -> bool:
    """Whether coverage reaches the wall of which `target` is the adjusted price."""
    coverage_pct = walls.ask_coverage_pct if direction is Direction.LONG else walls.bid_coverage_pct
    reach = mid * (1 + direction.sign * exact(coverage_pct) / 100)
    return direction.sign * (reach * (1 - direction.sign * params.offset_pct / 100) - target) >= 0


def decide_move(
    current: Decimal,
    wanted: Decimal,
    nominal: Decimal,
    price: Decimal,
    last_move_ns: int | None,
    now_ns: int,
    direction: Direction,
    params: TargetParams = DEFAULTS,
) -> Decimal | None:
    """The price to move a resting target to, or None to leave it: flicker of walls must not become order traffic.

    `price` is the last trade's. One at or beyond the target counts as near: it is about to be filled.
    """
    if last_move_ns is not None and now_ns - last_move_ns < params.move_interval_s * NS:
        return None
    to = min(wanted, nominal) if direction is Direction.LONG else max(wanted, nominal)
    if to == current or abs(to - current) * _BPS < params.min_move_bps * current:
        return None
    away = direction.sign * (to - current) > 0
    near = direction.sign * (current - price) * _BPS <= params.hold_near_bps * current
    return None if away and near else to


def clamp_lower(tiers: Sequence[Tier], moved: int, target: Decimal, direction: Direction) -> Ladder:
    """Tier `moved`, one of `tiers`, goes to `target`; lower tiers at or beyond that price merge into it.

    `tiers` hold the quantities still open, so that a partly filled tier moves its remainder. A merge is for good: when
    the wall goes and the tier moves back, what merged stays with it.
    """
    gone = [t for t in tiers if t.tier < moved and direction.sign * (t.price - target) >= 0]
    extra = sum((t.quantity for t in gone), Decimal(0))
    after = [Tier(moved, target, t.quantity + extra) if t.tier == moved else t for t in tiers if t not in gone]
    return Ladder(tuple(after), tuple((t.tier, moved) for t in gone))
