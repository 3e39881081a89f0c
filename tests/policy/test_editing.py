"""Editing a trust policy changes only the requested part; every other byte stays."""

from __future__ import annotations

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from hf_model_signing.policy import editing
from hf_model_signing.policy.editing import Draft, add, covers, placed, remove
from hf_model_signing.policy.toml_text import Tables
from hub_adapters._util import atomic_files
from tests.helpers import complaints, run_python
from tests.killing import killed_at, moments

DIGEST = f"sha256:{'0' * 64}"

# Every notation that a user may have chosen, and comments wherever they are allowed.
WRITTEN = """\
# The models that we use.
version=1   # the only one
default   = 'refuse'

# --- ours ---

# Acme makes them.
[[trust]] # one
repos = [ "acme/*",   'hf://datasets/acme/*' ]   # both kinds
signers = [
    # the release key
    {method="key",public_key = "acme.pub"}, # 2024
    { method = 'key', public_key = 'old.pub' }, # until 2026
    # no more than these
]
allow_rollback    = false # never


# Somebody else's.
[["trust"]]
repos = ["other/x"] # just this
digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

# all who may sign:

[[trust.signers]] # theirs
method = "key"
public_key = "other.pub"

# our copy of it
[[ trust . signers ]]
method = "certificate"
root_certs = ["root.pem"]

# --- all the others ---

# Anybody.
[[ trust ]]
repos = ["*/*"]
signers = [{ method = "key", public_key = "any.pub" }]
# the end"""

NEW = {"method": "key", "public_key": "new.pub"}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write the policy `WRITTEN` to the current directory."""
    monkeypatch.chdir(tmp_path)
    Path("trust.toml").write_text(WRITTEN, encoding="utf-8")
    return "trust.toml"


def _text(path: str = "trust.toml") -> str:
    return Path(path).read_bytes().decode()


def _changed(before: str, after: str) -> tuple[list[str], list[str]]:
    """Return the removed lines and the added lines."""
    import difflib

    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    return [line[2:] for line in lines if line[0] == "-"], [line[2:] for line in lines if line[0] == "+"]


def _key(name: str) -> dict[str, Any]:
    return {"method": "key", "public_key": name}


# Unchanged text


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("edit", "gone", "new"),
    [
        (
            lambda path: add(path, ["datasets/acme/*", "acme/*"], NEW),
            [],
            ['    { method = "key", public_key = "new.pub" }'],
        ),
        (
            lambda path: add(path, ["other/x"], NEW),
            [],
            ["", "[[trust.signers]]", 'method = "key"', 'public_key = "new.pub"'],
        ),
        (
            lambda path: add(path, ["*/*"], NEW),
            ['signers = [{ method = "key", public_key = "any.pub" }]'],
            [
                'signers = [{ method = "key", public_key = "any.pub" }, { method = "key", public_key = "new.pub" }]',
            ],
        ),
        (
            lambda path: add(path, ["*/*"], _key("any.pub"), digest=DIGEST),
            [],
            [f'digest = "{DIGEST}"'],
        ),
        (
            lambda path: add(path, ["acme/*", "datasets/acme/*"], _key("acme.pub"), allow_rollback=True),
            ["allow_rollback    = false # never"],
            ["allow_rollback    = true # never"],
        ),
        (
            lambda path: remove(path, ["acme/*"], _key("acme.pub")),
            ['    {method="key",public_key = "acme.pub"}, # 2024'],
            [],
        ),
        (
            lambda path: remove(path, ["acme/*"], _key("old.pub")),
            ["    { method = 'key', public_key = 'old.pub' }, # until 2026"],
            [],
        ),
        (
            lambda path: remove(path, ["other/x"], _key("other.pub")),
            ["[[trust.signers]] # theirs", 'method = "key"', 'public_key = "other.pub"', ""],
            [],
        ),
        (
            lambda path: remove(path, ["other/x"], {"method": "pkcs11-certificate", "root_certs": ["./root.pem"]}),
            ["# our copy of it", "[[ trust . signers ]]", 'method = "certificate"', 'root_certs = ["root.pem"]', ""],
            [],
        ),
        (
            lambda path: remove(path, ["hf://acme/*"]),
            ["repos = [ \"acme/*\",   'hf://datasets/acme/*' ]   # both kinds"],
            ["repos = ['hf://datasets/acme/*' ]   # both kinds"],
        ),
        (
            lambda path: remove(path, ["*/*"]),
            ["# Anybody.", "[[ trust ]]", 'repos = ["*/*"]', 'signers = [{ method = "key", public_key = "any.pub" }]'],
            [],
        ),
    ],
)
def test_edit_keeps_every_other_byte(path: str, edit: Any, gone: list[str], new: list[str], end: str) -> None:  # noqa: ANN401
    Path(path).write_bytes(WRITTEN.replace("\n", end).encode())
    edit(path)
    after = _text(path)
    assert after.replace("\r\n", "\n").count("\n") == (after.count(end))
    lost, found = _changed(WRITTEN, after.replace(end, "\n"))
    assert (sorted(lost), sorted(found)) == (sorted(gone), sorted(new))


def test_removed_rule_loses_only_its_own_comment(path: str) -> None:
    remove(path, ["other/x"])
    head, _, tail = WRITTEN.partition("# Somebody else's.")
    assert _text() == head + "# --- all the others ---" + tail.partition("# --- all the others ---")[2]


def test_new_rule_at_the_end(path: str) -> None:
    added = add(path, ["tfhub://acme/*"], NEW)
    assert (added.rule, added.is_new) == (4, True)
    assert _text() == (
        WRITTEN
        + '\n\n[[trust]]\nrepos = ["tfhub://acme/*"]\nsigners = [\n  { method = "key", public_key = "new.pub" },\n]\n'
    )


def test_new_rule_in_the_middle(path: str) -> None:
    assert add(path, ["nobody/x"], NEW, digest=DIGEST, allow_rollback=True).rule == 3
    head, comment, tail = WRITTEN.partition("# Anybody.")
    rule = f'[[trust]]\nrepos = ["nobody/x"]\ndigest = "{DIGEST}"\nallow_rollback = true\nsigners = [\n'
    assert _text() == f'{head}{rule}  {{ method = "key", public_key = "new.pub" }},\n]\n\n{comment}{tail}'


def test_key_of_a_rule_whose_signers_are_tables(path: str) -> None:
    assert add(path, ["other/x"], _key("other.pub"), allow_rollback=True).keys_set == ("allow_rollback",)
    digest = f'digest = "{DIGEST}"\n'
    assert _text() == WRITTEN.replace(digest, f"{digest}allow_rollback = true\n")


def test_added_and_removed_again_is_what_it_was(path: str) -> None:
    for repos in (["new/x"], ["acme/bert"], ["tfhub://*"]):
        add(path, repos, NEW)
        remove(path, repos)
        assert _text().rstrip("\n") == WRITTEN


def test_byte_order_mark_stays_in_front(path: str) -> None:
    before = "\ufeff" + _text(path)
    Path(path).write_text(before, encoding="utf-8")
    add(path, ["new/*"], NEW)
    assert _text(path).startswith("\ufeff")
    assert _text(path).count("\ufeff") == 1
    remove(path, ["new/*"])
    assert _text(path).rstrip("\n") == before


def test_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    add("trust.toml", ["acme/*", "acme/*"], NEW)
    assert _text() == (
        'version = 1\ndefault = "refuse"\n\n[[trust]]\nrepos = ["acme/*"]\nsigners = [\n'
        '  { method = "key", public_key = "new.pub" },\n]\n'
    )
    remove("trust.toml", ["acme/*"])
    assert _text() == 'version = 1\ndefault = "refuse"\n'


def test_link_stays_a_link(path: str, tmp_path: Path) -> None:
    (tmp_path / "link.toml").symlink_to(path)
    add("link.toml", ["new/x"], NEW)
    assert (tmp_path / "link.toml").is_symlink()
    assert "new/x" in _text()


@pytest.mark.parametrize(
    "rules",
    [
        'trust = [{ repos = ["a/b"], signers = [{ method = "key", public_key = "k" }] }]\n',
        '[[trust]]\nrepos = ["a/b"]\nsigners = [{ method = "key", public_key = """\n[[trust]]\n""" }]\n',
        '[["tr\\u0075st"]]\nrepos = ["a/b"]\nsigners = [{ method = "key", public_key = "k" }]\n',
    ],
)
def test_form_that_is_not_edited_is_refused(tmp_path: Path, rules: str) -> None:
    path = tmp_path / "trust.toml"
    path.write_text(f"version = 1\n{rules}")
    for edit in (lambda: add(str(path), ["c/d"], NEW), lambda: remove(str(path), ["a/b"])):
        with pytest.raises(hms.UsageError, match=r"in a form that is read and not edited: begin each with a line \[\["):
            edit()
    assert path.read_text() == f"version = 1\n{rules}"


def test_edit_that_came_out_otherwise_is_not_written(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = '[[trust]]\nrepos = ["*/*"]\nsigners = [{ method = "key", public_key = "x" }]\n'
    monkeypatch.setattr(editing, "rule_text", lambda _: other)
    with pytest.raises(hms.UsageError, match="stays as it is: it is written in a form"):
        add(path, ["new/x"], NEW)
    assert _text() == WRITTEN


# Refusals


@pytest.mark.parametrize(
    ("repos", "signer", "sentence"),
    [
        (["a/b/c"], NEW, r", for with this change trust\[4\]\.repos has 'a/b/c', which names no repository: write"),
        (["a/b@main"], NEW, r"trust\[3\]\.repos has 'a/b@main' with a revision"),
        (["new/x"], {"method": "key", "public_key": ""}, "public_key must be a text"),
        (["new/x"], {"method": "rot13"}, r"signers\[1\]\.method must be one of"),
        (["new/x"], _key("\udcff.pub"), r"it holds UTF-8, and '\\udcff' is none"),
    ],
)  # fmt: skip
def test_edit_that_makes_an_error_changes_nothing(path: str, repos: list[str], signer: Any, sentence: str) -> None:  # noqa: ANN401
    with pytest.raises(hms.UsageError, match=rf"the trust policy 'trust\.toml' stays as it is.*{sentence}"):
        add(path, repos, signer)
    assert _text() == WRITTEN
    assert {name.name for name in Path().iterdir()} == {"trust.toml"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (WRITTEN + "\nrepo = 1", r"'trust\[3\]\.repo' is not known|trust\[3\]\.repo is not known"),
        ("version = \n1", "is not TOML: .*line 1"),
        ("", "version"),
    ],
)
def test_file_with_an_error_is_not_edited(path: str, text: str, sentence: str) -> None:
    Path(path).write_text(text)
    for edit in (lambda: add(path, ["new/x"], NEW), lambda: remove(path, ["acme/*"])):
        with pytest.raises(hms.UsageError, match=sentence):
            edit()
    assert _text() == text


@pytest.mark.parametrize(
    ("repos", "signer", "sentence"),
    [
        (["acme/*", "new/x"], None, r"no rule has the pattern 'new/x' in the trust policy 'trust.toml'; it has 'acme/"),
        (["acme/*"], NEW, r"no rule for 'acme/\*' in the trust policy 'trust.toml' names that signer"),
        (["other/x"], _key("acme.pub"), "no rule for 'other/x'"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_not_removed(path: str, repos: list[str], signer: Any, sentence: str) -> None:  # noqa: ANN401
    with pytest.raises(hms.RefusedError, match=sentence) as caught:
        remove(path, repos, signer)
    assert caught.value.exit_code == 1
    assert _text() == WRITTEN


def test_policy_or_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        hms.UsageError, match=r"there is no trust policy '.*': name one with --policy or HF_SIGN_POLICY"
    ):
        remove(str(tmp_path / "trust.toml"), ["acme/*"])
    with pytest.raises(hms.UsageError, match="the folder '.*nowhere', in which the trust policy would be, does not"):
        add(str(tmp_path / "nowhere" / "trust.toml"), ["acme/*"], NEW)


# Several edits at once


def test_concurrent_edits_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from hf_model_signing.policy.editing import add\n"
        "for n in range(8): add(sys.argv[1], [f'{sys.argv[2]}/{n}'], {'method': 'key', 'public_key': 'k'})"
    )
    path = tmp_path / "trust.toml"
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda name: run_python(code, path, name), ["a", "b", "c", "d"]))
    assert complaints(*[process.stderr for process in done]) == []
    assert len(Draft.read(str(path)).rules) == 32
    assert [name.name for name in tmp_path.iterdir()] == ["trust.toml"]


# Choice of the rule


def test_killed_at_any_moment(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy is the old or the new one, and a minute later the next edit leaves nothing of the killed one."""
    before, there = _text(), {*tmp_path.iterdir()}

    def edit() -> None:
        add(path, ["other/x"], NEW)

    edit()
    after, has_left = _text(), False
    Path(path).write_text(before)
    for moment in moments(edit, 8):
        Path(path).write_text(before)
        monkeypatch.setattr(atomic_files, "_cleared", set())
        killed_at(edit, moment)
        assert _text() in (before, after), moment
        for left in tmp_path.glob(".hf-sign-*"):
            has_left = True
            os.utime(left, (0, time.time() - 61))
        edit()
        assert _text() == after, moment
        assert {*tmp_path.iterdir()} == there, moment
    assert has_left


def test_signer_that_is_there_already(path: str, tmp_path: Path) -> None:
    for name in ("acme.pub", "./acme.pub", str(tmp_path / "acme.pub")):
        assert not add(path, ["acme/*", "datasets/acme/*"], _key(name)).changed
    assert not add(path, ["acme/*", "datasets/acme/*"], {**_key("acme.pub"), "method": "pkcs11-key"}).changed
    assert _text() == WRITTEN


@pytest.mark.parametrize(
    ("repos", "number"),
    [
        (["acme/bert"], 1),
        (["acme/*"], 1),
        (["ACME/*"], 1),
        (["new/x", "datasets/acme/words"], 1),
        (["other/x", "new/x"], 2),
        (["other/*"], 3),
        (["*/x"], 3),
        (["datasets/*/*"], 4),
        (["bert"], 4),
    ],
)
def test_where_a_new_rule_stands(path: str, repos: list[str], number: int) -> None:
    added = add(path, repos, NEW)
    assert (added.rule, added.is_new) == (number, True)
    assert not [dead for dead in Draft.read(path).dead() if dead.rule == number]


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        ("*/*", "acme/*", True),
        ("acme/*", "*/*", False),
        ("acme/?", "acme/*", False),
        ("acme/?*", "acme/*", False),
        ("acme/??????????????????", "acme/*", False),
        ("acme/*", "acme/?", True),
        ("acme/b*", "acme/b[ae]rt", True),
        ("acme/[a-z]*", "acme/*", False),
        ("acme/[a]", "acme/[a]", True),
        ("acme/[!a]*", "acme/?*", False),
        ("acme/b", "acme/*b", False),
        ("*", "acme/*", False),
        ("*/*", "datasets/acme/*", False),
        ("tfhub://*", "tfhub://acme/*", True),
        ("tfhub://acme/*", "tfhub://ACME/*", False),
        ("hf://acme/*", "Acme/*", True),
    ],
)
def test_pattern_that_covers_another(wide: str, narrow: str, covered: bool) -> None:
    assert covers(wide, narrow) == covered


def test_rules_that_never_decide(path: str) -> None:
    text = re.sub(r"# Anybody\.\n.*\n.*\n.*\n", "", WRITTEN)
    anybody = '[[trust]]\nrepos = ["*/*"]\nsigners = [{ method = "key", public_key = "any.pub" }]\n'
    Path(path).write_text(text.replace("# Acme makes", f"{anybody}\n# Acme makes"))
    found = [(dead.rule, dead.pattern, dead.earlier, dead.by, dead.whole) for dead in Draft.read(path).dead()]
    assert found == [(2, "acme/*", 1, "*/*", False), (3, "other/x", 1, "*/*", True)]


# Names of files


def test_names_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "policy" / "keys").mkdir(parents=True)
    (tmp_path / "link").symlink_to("policy")
    monkeypatch.chdir(tmp_path)

    def name(file: str) -> str:
        return str(placed("policy/trust.toml", _key(file))["public_key"])

    assert name("policy/keys/a.pub") == name(f"{tmp_path}/policy/keys/a.pub") == name("link/keys/a.pub") == "keys/a.pub"
    assert name("a.pub") == f"{tmp_path}/a.pub"
    assert name("policy/../a.pub") == f"{tmp_path}/a.pub"
    several = placed("policy/trust.toml", {"method": "certificate", "root_certs": ["policy/r.pem", "s.pem"]})
    assert several["root_certs"] == ["r.pem", f"{tmp_path}/s.pem"]
    with pytest.raises(hms.UsageError, match="itself is given where the name of its file belongs"):
        name("-----BEGIN PUBLIC KEY-----")


# The text


@pytest.mark.parametrize(
    "text", ["", "\n", "# a", "a = 1", WRITTEN, WRITTEN + "\n\n", "[[trust]]", "[[trust]]\n[[trust]]\n"]
)
def test_split_text_is_the_text(text: str) -> None:
    assert str(Tables.split(text, "trust")) == text
    assert str(Tables.split(text, "trust", "signers")) == text
