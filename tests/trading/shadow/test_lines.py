"""Whom a price concerns: never fewer than a look at every line would find."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.domain.values import Side
from bot.trading.shadow.lines import Line, Lines, Of

PRICES = st.integers(95, 105).map(float)
LINES = st.lists(st.builds(Line, st.sampled_from(Of), st.booleans(), PRICES), max_size=4)
PUT = st.tuples(st.sampled_from("abcdef"), st.one_of(st.none(), LINES), st.booleans())


def concerns(line: Line, of: Of, price: float) -> bool:
    return line.of is of and (price >= line.price if line.above else price <= line.price)


@given(st.lists(PUT, max_size=25), PRICES, PRICES)
def test_a_price_concerns_whoever_has_a_line_there(
    puts: list[tuple[str, list[Line] | None, bool]], price: float, other: float
) -> None:
    lines, known = Lines(), dict[str, list[Line]]()
    waiting = set[str]()
    for name, given_, waits in puts:
        waiting.discard(name)
        if given_ is None:
            lines.drop(name)
            known.pop(name, None)
        else:
            lines.put(name, given_, waits=waits)
            known[name] = given_
            waiting |= {name} if waits else set()
    for of in Of:
        expected = {name for name, its in known.items() if any(concerns(line, of, price) for line in its)}
        assert set(lines.reached(of, price)) == expected
    limits = {name: [line for line in its if line.of is Of.LIMIT] for name, its in known.items()}
    assert set(lines.quoted(price, other)) == {
        name
        for name, its in limits.items()
        if any(price >= line.price if line.above else other <= line.price for line in its)
    }
    for side in Side:
        sells = side is Side.SELL
        assert set(lines.resting(side, [price, other])) == {
            name
            for name, its in limits.items()
            if any(each.above is sells and each.price in (price, other) for each in its)
        }
    assert set(lines.with_orders()) == {name for name, its in limits.items() if its}
    assert set(lines.waiting) == waiting and len(lines) == len(known)


def test_a_side_without_a_quote_reaches_nobody() -> None:
    lines = Lines()
    lines.put("sells", [Line(Of.LIMIT, True, 100.0)], waits=False)
    lines.put("buys", [Line(Of.LIMIT, False, 100.0)], waits=False)
    assert lines.quoted(None, None) == []
    assert lines.quoted(100.0, None) == ["sells"] and lines.quoted(None, 100.0) == ["buys"]
