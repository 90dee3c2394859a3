"""Safety settings that would do nothing, or the opposite of what they say, are refused or told."""

from __future__ import annotations

import pytest

from bot.app.settings import load_settings, unsupported
from bot.domain.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BOT_GUARDS__PROBATION__SYMBOLS", "BTCUSDT"),
        ("BOT_WALLS__INSTITUTIONAL_USD__BTC", "-5"),
        ("BOT_WALLS__TIERS", "9"),
        ("BOT_SIZING__MIN_MULTIPLIER", "9"),
    ],
)
def test_a_setting_that_could_not_work_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match="mistake"):
        load_settings(env={name: value})


@pytest.mark.parametrize(
    "env", [{"BOT_WALLS__INSTITUTIONAL_USD__btc": "3"}, {"BOT_WALLS__INSTITUTIONAL_USD": '{"btc": "3"}'}]
)
def test_a_coin_is_the_same_in_small_letters(env: dict[str, str]) -> None:
    assert load_settings(env=env).walls.institutional_usd == {"BTC": 3}


def test_hours_of_a_guard_that_is_off_are_told() -> None:
    hours = {"BOT_GUARDS__SESSION_WINDOW__HOURS": "09:00-16:00"}
    _, notices = unsupported(load_settings(env=hours))
    assert any("session_window" in notice and "off" in notice for notice in notices)
    _, notices = unsupported(load_settings(env={**hours, "BOT_GUARDS__SESSION_WINDOW__ENABLED": "true"}))
    assert not any("session_window" in notice for notice in notices)
