"""The colours of the cockpit's page: readable in both themes."""

from __future__ import annotations

import re

import pytest

from tests.api.page_world import STATIC


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_colour_of_text_stands_out(theme: str) -> None:
    """4.5:1, the WCAG 2.2 level AA for text."""
    css = (STATIC / "style.css").read_text()
    block = css.split(":root {", 1)[1].split("}", 1)[0]
    if theme == "light":
        block = css.split(':root[data-theme="light"] {', 1)[1].split("}", 1)[0]
    of = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    for name in ("text", "dim", "up", "down", "accent", "warn", "bad", "good", "magnet"):
        for behind in ("bg", "panel", "raised"):
            assert contrast(of[name], of[behind]) >= 4.5, f"{name} on {behind}"
    assert contrast(of["on-bad"], of["bad"]) >= 4.5


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
