"""Learning as its users meet it: `learn`, its routes, and probation that a kill -9 does not end."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.running import SYMBOL, Engine, called, parked, scripted, until, write_tape

WARY = {
    "BOT_STRATEGIES": "",
    "BOT_RISK__COOLDOWN_S": "0",
    "BOT_LEARNING__PROBATION__LOSS_PCT": "0.0001",  # the first trade that loses a cent or two
}


def test_learning_over_the_wire_and_across_a_kill(tmp_path: Path) -> None:
    data_dir, tape = tmp_path / "data", write_tape(tmp_path / "tape", [*scripted(), parked()])
    options = ("--venue", "tape", "--tape", tape, "--speed", 1000)
    with Engine(data_dir, *options, **WARY) as engine:
        until(lambda: engine.get("/api/learning")["probation"], "probation")
        engine.wait_for("PROBATION_BLOCK")
        refused = engine.post("/api/learn/apply", {"subject": "magnet_aligned"})
        assert refused.status == 409 and "there is no evidence about it" in refused.body["error"]
        assert engine.post("/api/learn/undo").status == 409
        assert engine.post("/api/learn/apply", {"subject": "x y"}).status == 400
        assert engine.request("POST", "/api/learn/run").status == 401
        said = called("learn", "run", "--json", "--data-dir", data_dir, cwd=tmp_path)
        assert (said.code, said.json()["type"], said.json()["evidence"]["signals"]) == (0, "on demand", 3)
        listed = called("learn", "list", "--data-dir", data_dir, cwd=tmp_path)
        assert f"PROBATION {SYMBOL}: lost" in listed.out and "nothing to recommend" in listed.out
        wrong = called("learn", "apply", "strategy:ofi", "--anyway", "--data-dir", data_dir, cwd=tmp_path)
        assert wrong.code == 2 and "strategy:ofi is not changed: there is no evidence about it" in wrong.err
        before = engine.get("/api/learning")
        engine.process.kill()
        engine.process.wait()
    asked = called("learn", "list", "--json", "--data-dir", data_dir, cwd=tmp_path).json()
    assert asked["running"] is False
    for name in ("probation", "last_cycle", "recommendations", "multipliers"):
        assert asked[name] == before[name]
    with Engine(data_dir, *options, **WARY) as engine:
        after = engine.get("/api/learning")
        for name in ("probation", "last_cycle", "recommendations", "multipliers"):
            assert after[name] == before[name]
        engine.interrupt()
    nobody = called("learn", "run", "--data-dir", data_dir, cwd=tmp_path)
    assert nobody.code == 2 and "no engine runs" in nobody.err
