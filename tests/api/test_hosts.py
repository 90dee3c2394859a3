"""By which names the API answers."""

from __future__ import annotations

import pytest

from bot.api.hosts import allowed_hosts, is_loopback


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        *[(host, True) for host in ("127.0.0.1", "127.8.8.8", "localhost", "::1")],
        *[
            (host, False)
            for host in ("0.0.0.0", "::", "192.168.1.5", "128.0.0.1", "localhost.evil.example", "LOCALHOST")
        ],
    ],
)
def test_what_this_machine_alone_hears(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone


def test_the_bound_address_and_the_names_of_this_machine_with_their_port() -> None:
    own = {"127.0.0.1:8787", "localhost:8787", "[::1]:8787"}
    assert allowed_hosts("127.0.0.1", 8787) == allowed_hosts("::1", 8787) == own
    assert allowed_hosts("0.0.0.0", 8787) == own | {"0.0.0.0:8787"}
    assert allowed_hosts("10.0.0.2", 80) > {"10.0.0.2", "10.0.0.2:80", "localhost"}


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("Bot.Example", {"bot.example", "bot.example:8787"}),
        ("bot.example:9000", {"bot.example:9000"}),
        ("[fd00::1]", {"[fd00::1]", "[fd00::1]:8787"}),
        ("[fd00::1]:9000", {"[fd00::1]:9000"}),
    ],
)
def test_a_name_of_the_operators_has_its_own_port_or_ours_or_none(name: str, fits: set[str]) -> None:
    assert allowed_hosts("0.0.0.0", 8787, [name]) - allowed_hosts("0.0.0.0", 8787) == fits
