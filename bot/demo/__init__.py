"""What `python -m bot` shows a newcomer without network: a real capture as a tape, and settings that fit its length.

Paths only; see NOTICE for where the capture comes from, and demo.toml for why each of its values differs from the default.
"""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent

BUNDLED_TAPE: Path = _HERE / "usdm_btcusdt_20240808"
DEMO_SETTINGS: Path = _HERE / "demo.toml"
DATED_INSTRUMENTS: Path = _HERE / "instruments.json"
