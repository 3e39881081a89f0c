"""Rollback records: verified statements, and older ones that are rejected."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired

import pytest

from hf_model_signing._util.file_lock import changing
from hf_model_signing.errors import VerificationError
from hf_model_signing.oms.manifest import Manifest, Serialization
from hf_model_signing.oms.statement import SIGNED_AT, Statement
from hf_model_signing.policy import rollback
from hf_model_signing.policy.rollback import RollbackRecord
from tests.helpers import complaints, environment

ADVANCE = """
import sys
from hf_model_signing.policy.rollback import RollbackRecord
from tests.policy.test_rollback import of
for number in range(int(sys.argv[1]), int(sys.argv[2])):
    RollbackRecord("hub acme/model@main", "key P-256 ab").advance(of(number), f"commit {number}")
"""


def of(content: int, month: str = "") -> Statement:
    manifest = Manifest.of("m", {"f": content.to_bytes(32, "big")}, Serialization())
    return Statement(manifest, annotations={SIGNED_AT: f"{month}-01T00:00:00Z"} if month else {})


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RollbackRecord:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return RollbackRecord("hub acme/model@main", "key P-256 ab")


def _verified(known: RollbackRecord, *statements: Statement) -> None:
    for number, statement in enumerate(statements):
        known.check(statement, f"commit {number}", "")
        known.advance(statement, f"commit {number}")


def _refused(known: RollbackRecord, statement: Statement) -> str:
    with pytest.raises(VerificationError, match="the hub went back") as caught:
        known.check(statement, "commit x", "Name the revision.")
    return str(caught.value)


def test_content_that_was_there_before_the_newest(known: RollbackRecord) -> None:
    _verified(known, of(1), of(2), of(3))
    assert _refused(known, of(1)) == (
        "the hub went back: it is now at commit x, whose content was verified here already, and after that the newer "
        "one of commit 2. Name the revision."
    )
    _refused(known, of(2))
    known.check(of(3), "", "")
    known.check(of(4), "", "")


def test_going_back_that_was_allowed_makes_nothing_newest(known: RollbackRecord) -> None:
    _verified(known, of(1), of(2))
    known.advance(of(1), "commit 0")
    _refused(known, of(1))
    known.check(of(2), "", "")


def test_newer_time_may_bring_back_old_content(known: RollbackRecord) -> None:
    _verified(known, of(1, "2026-01"), of(2, "2026-02"), of(1, "2026-03"))
    _refused(known, of(2, "2026-02"))
    _refused(known, of(2, "2026-03"))
    known.check(of(1, "2026-03"), "", "")


def test_time_after_a_signature_without_one(known: RollbackRecord) -> None:
    _verified(known, of(1), of(2), of(1, "2026-01"))
    assert "signed at no stated time" in _refused(known, of(3))


@pytest.mark.parametrize("text", ["~", "9999", "2999-01-01", "2999-13-01T00:00:00Z", "2999-01-01T00:00:00+00:00"])
def test_text_that_is_no_time_counts_for_nothing(known: RollbackRecord, text: str) -> None:
    odd = Statement(of(1).manifest, annotations={SIGNED_AT: text})
    _verified(known, odd, of(2, "2026-01"))
    assert "signed at no stated time" in _refused(known, odd)


def test_other_branches_and_signers_are_apart(known: RollbackRecord) -> None:
    _verified(known, of(1), of(2))
    RollbackRecord(known.branch_key, "key P-256 cd").check(of(1), "", "")
    RollbackRecord("hub acme/model@v1", known.signer).check(of(1), "", "")


def test_as_many_as_are_kept(known: RollbackRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollback, "_MOST", 3)
    _verified(known, of(1), of(2), of(3), of(4))
    known.check(of(1), "", "")
    _refused(known, of(2))


def test_file_of_an_earlier_release(known: RollbackRecord) -> None:
    path = Path(known._file)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"branch_key": known.branch_key, "signed_at": "2026-02", "commit": "commit 0"}))
    assert "commit 0, signed 2026-02, was verified" in _refused(known, of(1, "2026-01"))
    _verified(known, of(2, "2026-02"), of(3, "2026-02"))
    _refused(known, of(2, "2026-02"))


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"signed_at": 1}', '{"commit": []}', '{"digests": "a"}', '{"digests": [1]}']
)
def test_damaged_file(known: RollbackRecord, text: str) -> None:
    path = Path(known._file)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(VerificationError, match="which says what was verified before"):
        known.check(of(1), "", "")
    with pytest.raises(VerificationError, match="which says what was verified before"):
        known.advance(of(1), "")


def test_nothing_can_be_noted(known: RollbackRecord, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "hf-sign").write_text("in the way")
    with pytest.raises(VerificationError):  # a file that cannot be read is not an empty record
        known.advance(of(1), "")
    (tmp_path / "hf-sign").unlink()
    (tmp_path / "hf-sign" / "newest").mkdir(parents=True)
    os.symlink("nowhere", f"{known._file}.busy")
    known.advance(of(1), "")
    assert "cannot write the rollback record" in caplog.text


def test_second_process_waits_and_keeps_the_newer_record(known: RollbackRecord) -> None:
    code = """
from hf_model_signing.policy.rollback import RollbackRecord
from tests.policy.test_rollback import of
print("now", flush=True)
RollbackRecord("hub acme/model@main", "key P-256 ab").advance(of(1, "2026-01"), "commit 1")
"""
    Path(known._file).parent.mkdir(parents=True)
    with changing(known._file):
        second = Popen([sys.executable, "-c", code], env=environment(), stdout=PIPE, stderr=PIPE, text=True)
        assert second.stdout is not None
        assert second.stdout.readline() == "now\n"
        with pytest.raises(TimeoutExpired):
            second.wait(0.5)
        Path(known._file).write_text(json.dumps({"signed_at": "2026-02", "commit": "commit 2"}))
    assert second.communicate()[1] == ""
    assert json.loads(Path(known._file).read_text()) == {"signed_at": "2026-02", "commit": "commit 2"}


def test_processes_lose_nothing_of_each_other(known: RollbackRecord) -> None:
    commands = [[sys.executable, "-c", ADVANCE, str(first), str(first + 25)] for first in (0, 25, 50, 75)]
    running = [Popen(command, env=environment(), stderr=PIPE, text=True) for command in commands]
    assert complaints(*[process.communicate()[1] for process in running]) == []
    found = json.loads(Path(known._file).read_text())["digests"]
    assert set(found) == {of(number).manifest.root_digest for number in range(100)}
    assert os.listdir(Path(known._file).parent) == [Path(known._file).name]
