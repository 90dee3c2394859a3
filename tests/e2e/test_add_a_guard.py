"""A guard is one file: the README's example, put into a copy of the package, is configured, asked, journaled and explained."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.e2e.running import PATIENCE_S, ROOT


def test_the_readmes_example_guard_works_from_its_file_alone(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    found = re.search(r'```python\n("""Guard `spread`.*?)```', readme, re.DOTALL)
    assert found is not None, "the README has no example guard"
    shutil.copytree(ROOT / "bot", tmp_path / "bot", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "bot/trading/guards/spread.py").write_text(found[1])

    def bot(*arguments: str, **settings: str) -> str:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "BOT_API__PORT": "0", **settings}
        command = [sys.executable, "-m", "bot", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    rows = {
        row["name"]: row for row in json.loads(bot("config", "show", "--json", BOT_GUARDS__SPREAD__MAX_BPS="0.001"))
    }
    assert rows["guards.spread.max_bps"]["value"] == "0.001"
    data = str(tmp_path / "data")
    bot("run", "--demo", "--speed", "10000", "--data-dir", data, "--json", BOT_GUARDS__SPREAD__MAX_BPS="0.001")
    events = [json.loads(line) for line in bot("events", "--json", "--data-dir", data).splitlines()]
    decisions = [event["data"] for event in events if event["kind"] == "DECISION"]
    blocks = [event["data"] for event in events if event["kind"] == "SPREAD_BLOCK"]
    assert decisions
    assert len(blocks) == len(decisions)  # a tick is 0.016 bps: always more than 0.001
    assert all(decision["verdicts"][-1]["guard"] == "spread" for decision in decisions)
    assert not any(decision["allowed"] for decision in decisions)
    why = json.loads(bot("why", "--json", "--data-dir", data))
    assert why["verdicts"][-1]["threshold"] == "0.001"
