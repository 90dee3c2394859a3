"""The copied JavaScript is what its makers published, with their licences, and nothing else lies beside it."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

import bot.api

API = Path(next(iter(bot.api.__path__)))
VENDOR = API / "static" / "vendor"
LISTED = json.loads((VENDOR / "vendor.json").read_text())
HASHES = {name: digest for package in LISTED for name, digest in package["sha256"].items()}


@pytest.mark.parametrize("name", sorted(HASHES))
def test_a_file_is_the_one_that_was_copied(name: str) -> None:
    assert sha256((VENDOR / name).read_bytes()).hexdigest() == HASHES[name]


def test_every_file_is_listed_and_every_package_brings_its_licence() -> None:
    assert {each.name for each in VENDOR.iterdir()} == {*HASHES, "vendor.json"}
    for package in LISTED:
        assert any(name.endswith(".LICENSE") for name in package["sha256"]), package["name"]


def test_the_versions_are_those_of_the_lock() -> None:
    locked = json.loads((API / "web" / "package-lock.json").read_text())["packages"]
    assert {(each["name"], each["version"]) for each in LISTED} == {
        (name.removeprefix("node_modules/"), about["version"])
        for name, about in locked.items()
        if name.removeprefix("node_modules/") in json.loads((API / "web" / "package.json").read_text())["dependencies"]
    }


def test_third_party_names_them() -> None:
    text = (API.parents[1] / "THIRD_PARTY.md").read_text()
    for package in LISTED:
        assert f"{package['name']} {package['version']}" in text
    assert "https://www.tradingview.com/" in text
