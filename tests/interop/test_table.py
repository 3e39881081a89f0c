"""Each case of the table: one tool signs, the other verifies, and rejects the model after an edit."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import write_tree
from tests.interop.cases import CASES, Case, Departure
from tests.interop.credentials import Credential
from tests.interop.tools import OURS, THEIRS, Tool

Credentials = Callable[[str], Credential]
PAIRS = {"they verify ours": (OURS, THEIRS), "we verify theirs": (THEIRS, OURS)}

pytestmark = [
    pytest.mark.needs("reference"),
    pytest.mark.filterwarnings("ignore::hf_model_signing.errors.ModelWarning"),
]


def _make(case: Case, folder: Path) -> tuple[Path, Path]:
    """Return the model of a case, and the path for its signature."""
    model = folder / "model"
    write_tree(model, case.files)
    write_tree(folder, {"outside.bin": b"outside"})
    for name, target in case.links.items():
        (model / name).symlink_to(target)
    signature = model / case.signature
    signature.parent.mkdir(exist_ok=True)
    return (model / next(iter(case.files)) if case.single else model), Path(folder, "model", case.signature).resolve()


def _expect(tool: Tool, departure: Departure | None) -> AbstractContextManager[object]:
    return pytest.raises(tool.errors, match=departure.match) if departure else nullcontext()


def _largest(case: Case, model: Path) -> Path:
    shown = {name: data for name, data in case.files.items() if not _left_out(case, name)}
    return model if case.single else model / max(sorted(shown), key=lambda name: len(shown[name]))


def _left_out(case: Case, name: str) -> bool:
    top = name.split("/")[0]
    return top in case.ignored or (case.git and top.startswith(".git")) or top in (".cache", "model.sig")


def _change(case: Case, model: Path) -> Path:
    file = _largest(case, model)
    content = bytearray(file.read_bytes() or b"\0")
    content[-1] ^= 1
    file.write_bytes(content)
    return model


def _add(case: Case, model: Path) -> Path:
    (model.parent if case.single else model).joinpath("added.bin").write_bytes(b"added")
    return model


def _remove(case: Case, model: Path) -> Path:
    _largest(case, model).unlink()
    return model


def _rename(case: Case, model: Path) -> Path:
    file = _largest(case, model)
    new = file.rename(file.with_name("renamed.bin"))
    return new if case.single else model


EDITS: dict[str, Callable[[Case, Path], Path]] = {
    "changed": _change,
    "added": _add,
    "removed": _remove,
    "renamed": _rename,
}


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("name", CASES)
def test_one_signs_and_the_other_verifies(name: str, pair: str, credential: Credentials, tmp_path: Path) -> None:
    case, (signer, verifier) = CASES[name], PAIRS[pair]
    model, signature = _make(case, tmp_path)
    refused = case.departures.get(f"{signer.who} sign")
    with _expect(signer, refused):
        signer.sign(case, model, signature, credential(case.credential))
    if refused:
        return
    if not case.single:
        write_tree(model, dict.fromkeys(case.tolerated, b"left out"))
    with _expect(verifier, case.departures.get(f"{verifier.who} verify")):
        verifier.verify(case, model, signature, credential(case.credential))


SIGNED = [
    (name, pair)
    for name, case in CASES.items()
    for pair, (signer, _) in PAIRS.items()
    if case.files and f"{signer.who} sign" not in case.departures
]


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize(("name", "pair"), SIGNED)
def test_the_other_refuses_an_edit(name: str, pair: str, edit: str, credential: Credentials, tmp_path: Path) -> None:
    case, (signer, verifier) = CASES[name], PAIRS[pair]
    model, signature = _make(case, tmp_path)
    signer.sign(case, model, signature, credential(case.credential))
    model = EDITS[edit](case, model)
    step = f"{verifier.who} verify"
    anyway, departure = case.departures.get(step), case.departures.get(f"{step}, {edit}")
    if departure and departure.match is None:
        verifier.verify(case, model, signature, credential(case.credential))
        return
    match = (departure or anyway or Departure(verifier.refusals[edit], "")).match
    errors = verifier.errors if departure else verifier.refusal
    with pytest.raises(errors, match=r"." if anyway else match):
        verifier.verify(case, model, signature, credential(case.credential))


@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if not {"we sign", "they sign"} & case.departures.keys()]
)
def test_both_list_the_same(name: str, credential: Credentials, tmp_path: Path) -> None:
    case = CASES[name]
    model, signature = _make(case, tmp_path)
    lists = []
    for tool in (OURS, THEIRS):
        signature.unlink(missing_ok=True)
        tool.sign(case, model, signature, credential(case.credential))
        lists.append(_resources(signature, case))
    assert (set(lists[0]) == set(lists[1])) == ("resources" not in case.departures)
    assert lists[0] == sorted(lists[0])  # section 6.4; theirs is sorted by the components of each path


def _resources(signature: Path, case: Case) -> list[tuple[str, str, str]]:
    bundle: dict[str, Any] = json.loads(signature.read_bytes())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    listed = [(entry["name"], entry["digest"], entry["algorithm"]) for entry in statement["predicate"]["resources"]]
    assert len(set(listed)) == len(listed)
    # With shards they append this to the name of the algorithm; the specification does not.
    return [(name, digest, algorithm.removesuffix(f"-sharded-{case.shard_size}")) for name, digest, algorithm in listed]


def test_departures_name_steps_and_reasons() -> None:
    steps = {"we sign", "they sign", "we verify", "they verify", "resources"}
    steps |= {f"{who} verify, {edit}" for who in ("we", "they") for edit in EDITS}
    for case in CASES.values():
        assert case.departures.keys() <= steps
        assert all(departure.why for departure in case.departures.values())


@pytest.mark.parametrize("key", ["P-256", "certificate P-256"])
def test_they_verify_our_single_file_from_its_folder(key: str, credential: Credentials, tmp_path: Path) -> None:
    case = CASES["single file"]
    model, signature = _make(case, tmp_path)
    OURS.sign(case, model, signature, credential(key))
    THEIRS.verify_some(model.parent, signature, credential(key))
    model.write_bytes(b"changed")
    with pytest.raises(ValueError, match="Signature mismatch"):
        THEIRS.verify_some(model.parent, signature, credential(key))
