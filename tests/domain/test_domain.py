"""Ids that a replay makes again, the money border, readings' states, and the form in which events are kept."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bot.domain.errors import InvariantError
from bot.domain.events import canonical, rounded, text
from bot.domain.ids import LEGS, IdSource, base32
from bot.domain.instrument import Round, exact
from bot.domain.reading import Reading, ReadingState, Taker
from bot.domain.values import NS, Direction, Side
from tests.build import NOW, instrument, reading


def made(frame: int = 7, session: int = 3) -> list[str]:
    ids = IdSource(account="main", session=session)
    ids.begin(frame, NOW)
    return [ids.unique(), ids.client_order_id("entry"), ids.client_order_id("stop"), ids.unique()]


def test_ids_are_made_again_by_a_replay_and_differ_by_frame_session_and_place() -> None:
    assert made() == made()
    everything = [one for frame in (7, 8) for session in (3, 4) for one in made(frame, session)]
    assert len(set(everything)) == len(everything)


def test_client_order_ids_fit_every_venue() -> None:
    ids = IdSource(account="main", session=(1 << 20) - 1)
    ids.begin((1 << 40) - 1, NOW)
    for leg in LEGS:
        assert re.fullmatch(r"[0-9A-Z]{1,28}", ids.client_order_id(leg, attempt=1023))


def test_unique_ids_sort_by_time() -> None:
    ids = IdSource(account="main", session=1)
    seen = []
    for frame in range(50):
        ids.begin(frame + 1, NOW + frame * 10_000_000)
        seen.append(ids.unique())
    assert seen == sorted(seen)


def test_an_id_part_that_does_not_fit_is_an_invariant_breach_not_a_wrong_id() -> None:
    with pytest.raises(InvariantError, match="does not fit"):
        base32(32**2, 2)


@given(st.integers(1, 27).flatmap(lambda n: st.tuples(st.integers(0, 32**n - 1), st.just(n))))
def test_letters_are_the_number_in_base_32(number: tuple[int, int]) -> None:
    value, length = number
    letters = base32(value, length)
    assert len(letters) == length
    digits = ["0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(letter) for letter in letters]
    assert sum(digit * 32**place for place, digit in enumerate(reversed(digits))) == value


def test_an_id_holds_time_session_frame_and_place() -> None:
    ids = IdSource(account="main", session=3)
    for frame in (7, 8):
        ids.begin(frame, NOW)
        for k in (1, 2):
            assert ids.unique() == base32(NOW // 1_000_000 << 80 | 3 << 60 | frame << 20 | k, 26)
        assert ids.client_order_id("tier_2", 5)[4:] == base32(((3 << 60 | frame << 20 | 3) << 20) | 3 << 10 | 5, 21)


@pytest.mark.parametrize(
    ("price", "rounding", "on_grid"),
    [
        (64935.04, Round.DOWN, "64935.0"),
        (64935.04, Round.UP, "64935.1"),
        (64935.05, Round.NEAREST, "64935.0"),
        (64935.0, Round.UP, "64935.0"),
        (0.1 + 0.2, Round.UP, "0.4"),  # the float is a little over 0.3, and that is what is rounded
    ],
)
def test_a_price_is_rounded_the_way_it_is_told(price: float, rounding: Round, on_grid: str) -> None:
    assert instrument().price(price, rounding) == Decimal(on_grid)


@given(st.decimals("0.0001", "1000000", places=9), st.sampled_from(["0.1", "0.001", "0.5", "0.00001"]))
def test_prices_and_quantities_stand_on_the_grid_and_never_more_than_asked(value: Decimal, step: str) -> None:
    one = instrument(tick=step, step=step)
    down, up, quantity = one.price(value, Round.DOWN), one.price(value, Round.UP), one.quantity(value)
    assert down <= value <= up
    assert up - down in (0, Decimal(step))
    assert quantity <= value
    assert all(number % Decimal(step) == 0 for number in (down, up, quantity))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity")])
def test_no_number_that_is_none_crosses_the_money_border(bad: float | Decimal) -> None:
    with pytest.raises(InvariantError, match="not a finite number"):
        exact(bad)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 2.0, 65000.1])))
def test_a_float_becomes_its_shortest_decimal_whatever_was_asked_before(numbers: list[float]) -> None:
    assert [str(exact(x)) for x in numbers] == [str(Decimal(repr(x))) for x in numbers]
    assert str(exact(Decimal("2.00"))) == "2.00"  # equal to 2.0, and another text


def test_rounding_directions_by_side_never_favour_us() -> None:
    assert Round.passive(Side.BUY) is Round.DOWN
    assert Round.passive(Side.SELL) is Round.UP
    assert Round.away_from_entry(Direction.LONG) is Round.UP
    assert Round.away_from_entry(Direction.SHORT) is Round.DOWN


@pytest.mark.parametrize(
    ("age_s", "partial", "state"),
    [
        (0, False, ReadingState.FRESH),
        (120, False, ReadingState.FRESH),
        (120, True, ReadingState.PARTIAL),
        (120.000001, False, ReadingState.STALE),
        (120.000001, True, ReadingState.STALE),
        (-1.2, False, ReadingState.FRESH),  # a venue's clock ahead of ours
    ],
)
def test_a_reading_is_fresh_up_to_its_age_limit(age_s: float, partial: bool, state: ReadingState) -> None:
    one = reading("taker_5m", 1, age_s=age_s, partial=partial)
    assert one.state(NOW) is state
    age = one.age_s(NOW)
    assert age is not None
    assert age >= 0


def test_a_missing_reading_has_no_age() -> None:
    one: Reading[Taker] = reading("taker_5m")
    assert one.state(NOW + NS) is ReadingState.MISSING
    assert one.age_s(NOW) is None


def test_money_is_kept_as_plain_text() -> None:
    assert text(Decimal("1E+3")) == "1000"
    assert text(Decimal("1E-8")) == "0.00000001"
    assert text(None) is None
    assert canonical({"b": Decimal("1.50"), "a": [1, None]}) == b'{"a":[1,null],"b":"1.50"}'
    assert rounded(Decimal(65000) / 3) == Decimal("21666.66666667")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=None) | st.decimals(places=12))
def test_money_never_has_an_exponent(value: Decimal) -> None:
    assume(abs(value.adjusted()) < 1000)  # more zeros than anybody wants to see
    assert text(value) == format(value, "f")


def test_what_cannot_be_kept_is_an_error() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        canonical({"x": object()})
