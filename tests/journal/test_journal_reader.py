from __future__ import annotations

from pathlib import Path

import pytest

from bot.domain.errors import JournalError
from bot.journal.reader import read_events, verify_chain
from bot.journal.schema import FILE


def test_a_folder_without_a_journal_says_so_and_stays_empty(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"no journal at .*check --data-dir"):
        list(read_events(tmp_path))
    with pytest.raises(JournalError, match="no journal at"):
        verify_chain(tmp_path / FILE)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_an_empty_journal(tmp_path: Path) -> None:
    """What a program leaves that was killed between making the file and its first transaction."""
    (tmp_path / FILE).write_bytes(b"")
    assert list(read_events(tmp_path)) == []
    assert verify_chain(tmp_path / FILE) == (0, None)
