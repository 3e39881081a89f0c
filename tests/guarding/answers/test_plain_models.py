"""Models in plain directories: a rule names them by their paths, and whatever a program opens of them is verified."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.guarding.guard import Guard
from hf_model_signing.guarding.hooks import real_places
from hf_model_signing.signing import make_manifest
from tests.guarded import REPO, Loader, decisions, rule, tamper
from tests.guarding import test_spellings
from tests.guarding.test_spellings import CONTENT, NAME, Way
from tests.helpers import KeyPair, write_tree
from tests.servers.fixtures import Person

FILES = {NAME: CONTENT, "model.safetensors": bytes(range(256)) * 64, "sub/a file.txt": b"text\n", "empty.txt": b""}

WAYS: dict[str, Way] = {
    **test_spellings.WAYS,
    "x/../ above": lambda model, _: Path(f"{model.parent}/../{model.parent.name}/{model.name}/{NAME}").read_bytes(),
}


@dataclass(frozen=True)
class Machine:
    """A machine with models in plain directories, which it gets signed by `keys`."""

    home: Path
    keys: KeyPair

    @property
    def models(self) -> Path:
        return self.home / "srv" / "volumes" / "models"

    @property
    def bert(self) -> Path:
        return self.models / "bert"

    @property
    def policy(self) -> Path:
        return self.home / "trust.toml"

    def trust(self, *paths: str | Path, more: str = "", head: str = "", keys: KeyPair | None = None) -> None:
        """Write a policy with one rule, for these paths or the models of this machine."""
        listed = ", ".join(json.dumps(str(path)) for path in paths or [self.models / "*"])
        self.write_policy(rule_text(keys or self.keys, listed, more), head=head)

    def write_policy(self, *rules: str, head: str = "") -> None:
        self.policy.write_text("\n".join(["version = 1", head, *rules]), encoding="utf-8")

    def model(self, name: str = "bert", files: dict[str, bytes] | None = None, *, by: KeyPair | None = None) -> Path:
        """Make a signed model, and return its directory."""
        folder = write_tree(self.models / name, FILES if files is None else files)
        return sign(folder, by or self.keys)

    def guard(self, mode: str | None = None) -> Guard:
        return hms.guard(self.policy, mode=mode)


def rule_text(keys: KeyPair, paths: str, more: str = "") -> str:
    return f'[[trust]]\npaths = [{paths}]\n{more}\nsigners = [{{ method = "key", public_key = "{keys.public}" }}]\n'


def sign(folder: Path, keys: KeyPair, to: Path | None = None, *, allow_symlinks: bool = False) -> Path:
    hms.sign(folder, signer=keys.signer, allow_symlinks=allow_symlinks).write(to or folder / "model.sig")
    return folder


@pytest.fixture
def machine(tmp_path: Path, acme: KeyPair, monkeypatch: pytest.MonkeyPatch) -> Machine:
    for name in ("HF_SIGN_POLICY", "HF_SIGN_MODE", "HF_SIGN_GUARD", "HF_SIGN_AUDIT_LOG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    real_places._way.cache_clear()
    machine = Machine(tmp_path.resolve(), acme)
    machine.model()
    machine.trust()
    return machine


class TestWays:
    """A file of the model is recognized on every way that a path can take to it."""

    @pytest.mark.parametrize("way", WAYS)
    def test_signed(self, machine: Machine, beside: Path, way: str) -> None:
        with machine.guard():
            assert WAYS[way](machine.bert, beside) == CONTENT

    @pytest.mark.parametrize("way", WAYS)
    def test_changed(self, machine: Machine, beside: Path, way: str) -> None:
        tamper(machine.bert / NAME)
        with machine.guard(), pytest.raises((hms.VerificationError, shutil.Error), match="is not what was signed"):
            WAYS[way](machine.bert, beside)

    @pytest.mark.parametrize("way", WAYS)
    def test_unsigned(self, machine: Machine, beside: Path, way: str) -> None:
        (machine.bert / "model.sig").unlink()
        with machine.guard(), pytest.raises((hms.VerificationError, shutil.Error), match="it is not signed"):
            WAYS[way](machine.bert, beside)

    @pytest.mark.parametrize("way", WAYS)
    def test_nothing_names_it(self, machine: Machine, beside: Path, way: str) -> None:
        tamper(machine.bert / NAME)
        machine.trust(machine.home / "elsewhere" / "*")
        with machine.guard():
            assert WAYS[way](machine.bert, beside)


@pytest.mark.parametrize("spelled", ["extension.so", "extension"])
def test_extension_of_sqlite(machine: Machine, spelled: str) -> None:
    """Not every Python can load one, so the event is raised here with which it begins."""
    (machine.bert / "extension.so").write_bytes(b"unsigned")
    with machine.guard(), pytest.raises(hms.MismatchError, match=r"added: extension\.so"):
        sys.audit("sqlite3.load_extension", None, str(machine.bert / spelled))


PATTERNS: dict[str, Callable[[Machine], str]] = {
    "each directory": lambda machine: f"{machine.models}/*",
    "the directory": lambda machine: f"{machine.models}/bert",
    "trailing slash": lambda machine: f"{machine.models}/bert/",
    "trailing slash after a wildcard": lambda machine: f"{machine.models}/*/",
    "two slashes": lambda machine: f"{machine.models}//bert",
    "./": lambda machine: f"{machine.models}/./bert/.",
    "x/../": lambda machine: f"{machine.models}/../models/b*",
    "wildcards of a name": lambda machine: f"{machine.models}/[ab]e?*",
    "wildcard above": lambda machine: f"{machine.models.parents[1]}/*/models/bert",
    "wildcards of two levels": lambda machine: f"{machine.models.parent}/*/*",
    "relative to the policy": lambda machine: "srv/volumes/models/*",
    "relative with ..": lambda machine: f"../{machine.home.name}/srv/volumes/models/*",
    "through a link": lambda machine: f"{_link(machine.models, machine.home / 'link')}/*",
    "a link to the model": lambda machine: f"{_link(machine.bert, machine.home / 'link')}",
    "below a link with ..": lambda machine: f"{_link(machine.bert, machine.home / 'link')}/../*",
    "home": lambda machine: "~/srv/volumes/models/*",
}


def _link(target: Path, link: Path) -> Path:
    link.symlink_to(target)
    return link


# Ways to open the file of a model by the real path of its directory, given one that is a link.
RESOLVING: dict[str, Callable[[Path], object]] = {
    "as spelled": lambda model: (model / NAME).read_bytes(),
    "Path.resolve": lambda model: (model / NAME).resolve().read_bytes(),
    "realpath": lambda model: Path(os.path.realpath(model), NAME).read_bytes(),
    "readlink": lambda model: (model.parent / model.readlink() / NAME).read_bytes(),
    "chdir": lambda model: test_spellings._in(model, Path(NAME).read_bytes),
    "dir_fd": lambda model: test_spellings._below_descriptor(model, model),
}


class TestPatterns:
    """A pattern names the model, however it is spelled, and the model is found by its own path."""

    @pytest.fixture(params=PATTERNS)
    def named(self, request: pytest.FixtureRequest, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
        monkeypatch.setenv("HOME", str(machine.home))
        machine.trust(PATTERNS[request.param](machine))
        return machine

    def test_signed(self, named: Machine) -> None:
        with named.guard():
            assert (named.bert / NAME).read_bytes() == CONTENT
            assert (named.bert / "sub" / "a file.txt").read_bytes() == b"text\n"

    def test_changed(self, named: Machine) -> None:
        tamper(named.bert / NAME)
        with named.guard(), pytest.raises(hms.MismatchError):
            (named.bert / NAME).read_bytes()

    @pytest.mark.parametrize(
        "pattern", ["{}/b", "{}/bertha", "{}/*/*/*/*", "{}/?", "{}x/*", "{}/bert/sub/deeper", "/nowhere/*"]
    )
    def test_that_names_others(self, machine: Machine, pattern: str) -> None:
        tamper(machine.bert / NAME)
        machine.trust(pattern.format(machine.models))
        with machine.guard():
            assert (machine.bert / NAME).read_bytes()

    def test_wildcard_crosses_no_slash(self, machine: Machine) -> None:
        """`models/*` names `models/org` as one model, and not what lies in it."""
        machine.model("org/gpt")
        with machine.guard(), pytest.raises(hms.MissingSignatureError, match="models/org"):
            (machine.models / "org" / "gpt" / NAME).read_bytes()
        machine.trust(f"{machine.models}/org/*", machine.models / "bert")
        with machine.guard():
            assert (machine.models / "org" / "gpt" / NAME).read_bytes() == CONTENT

    def test_first_rule_that_names_it_decides(self, machine: Machine, stranger: KeyPair) -> None:
        wide = rule_text(stranger, json.dumps(f"{machine.models}/*"))
        narrow = rule_text(machine.keys, json.dumps(str(machine.bert)))
        machine.write_policy(narrow, wide)
        with machine.guard():
            assert (machine.bert / NAME).read_bytes() == CONTENT
        machine.write_policy(wide, narrow)
        with machine.guard(), pytest.raises(hms.VerificationError, match="nobody whom"):
            (machine.bert / NAME).read_bytes()

    @pytest.mark.parametrize("pattern", ["*", "ber?", "../*/bert", "../*/*"])
    @pytest.mark.parametrize("levels", [1, 2])
    def test_links_that_wildcards_match(self, machine: Machine, pattern: str, levels: int) -> None:
        """A model is recognized by its real path as well, in each way that code arrives at that."""
        place = machine.bert.rename(machine.home / "store-v3")
        _link(_link(place, machine.home / "between") if levels == 2 else Path("../../../store-v3"), machine.bert)
        machine.trust(f"{machine.models}/{pattern}")
        with machine.guard():
            assert [read(machine.bert) for read in RESOLVING.values()] == [CONTENT] * len(RESOLVING)
        tamper(place / NAME)
        for read in RESOLVING.values():
            with machine.guard(), pytest.raises(hms.MismatchError):
                read(machine.bert)

    def test_links_to_files_and_above_models(self, machine: Machine) -> None:
        """A single file may be a link, too; one that leads above the models makes not everything a model."""
        place = write_tree(machine.home / "store", {"x.gguf": b"GGUF"}) / "x.gguf"
        _link(place, machine.models / "x.gguf")
        _link(Path("/"), machine.models / "root")
        _link(Path(".."), machine.models / "above")
        with machine.guard():
            assert machine.policy.read_bytes()
            assert (machine.bert / NAME).read_bytes() == CONTENT
            with pytest.raises(hms.MissingSignatureError, match=r"x\.gguf"):
                place.read_bytes()

    def test_link_that_is_new(self, machine: Machine) -> None:
        place = write_tree(machine.home / "store", FILES)
        os.utime(machine.models, (1, 1))
        with machine.guard():
            assert (machine.bert / NAME).read_bytes() == CONTENT
            assert (place / NAME).read_bytes() == CONTENT  # no model of a rule yet
            _link(place, machine.models / "new")
            with pytest.raises(hms.MissingSignatureError):
                (place / NAME).read_bytes()

    @pytest.mark.parametrize("default", ["allow", "warn", "refuse"])
    def test_default_is_for_repositories(self, machine: Machine, beside: Path, default: str) -> None:
        machine.trust(head=f'default = "{default}"')
        (beside / "file").write_text("x")
        with machine.guard():
            assert (beside / "file").read_text() == "x"
            assert (machine.bert / NAME).read_bytes() == CONTENT
        tamper(machine.bert / NAME)
        with machine.guard(), pytest.raises(hms.MismatchError):
            (machine.bert / NAME).read_bytes()

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            ('paths = ["/"]', "names directories of the whole system"),
            ('paths = ["/*"]', "names directories of the whole system"),
            ('paths = ["/models/**"]', "one name, so write one for each level"),
            ('paths = ["/models/*/../x"]', "one name, so write one for each level"),
            ('paths = ["hf://acme/*"]', "which is no path"),
            ('paths = ["~nobody-of-that-name/*"]', "has no home directory"),
            ('paths = "/models/*"', "must be a list of texts"),
            ("paths = []", "must be a list of texts"),
            ('paths = ["/m"]\nsignature = ""', "must be a path in the directory"),
            ('paths = ["/m"]\nsignature = "../model.sig"', "must be a path in the directory"),
            ('repos = ["acme/*"]\nsignature = "model.sig"', "is for the directories of `paths`"),
            ("digest = 'x'", "trust.1..repos must be a list"),
        ],
    )
    def test_malformed(self, machine: Machine, line: str, why: str) -> None:
        machine.write_policy(f'[[trust]]\n{line}\nsigners = [{{ method = "key", public_key = "x" }}]')
        with pytest.raises(hms.UsageError, match=why):
            machine.guard()


class TestDescriptors:
    """Honest programs that use descriptors of directories."""

    @pytest.mark.parametrize("route", ["dir_fd", "rmtree", "rename", "link"])
    def test_current_directory_that_is_gone(self, machine: Machine, beside: Path, route: str) -> None:
        gone = beside / "gone" / "inside"
        write_tree(beside, {"gone/inside/x": "x", "file": "y", "other/a/b/c": "z"})
        folder = os.open(beside, os.O_RDONLY)

        def use() -> object:
            shutil.rmtree(beside / ("gone" if route != "rmtree" else ""))
            if route == "rmtree":
                return b"y"
            if route == "dir_fd":
                return test_spellings._read(os.open("file", os.O_RDONLY, dir_fd=folder))
            (os.rename if route == "rename" else os.link)("file", "new", src_dir_fd=folder, dst_dir_fd=folder)
            return (beside / "new").read_bytes()

        with machine.guard():
            assert test_spellings._in(gone, use) == b"y"
        os.close(folder)
        assert beside.exists() == (route != "rmtree")

    def test_many(self, beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only directories are looked at, each once."""
        (beside / "file").write_bytes(b"")
        opened = [os.open(path, os.O_RDONLY) for path in [beside] * 5 + [beside / "file"] * 5]
        paths = real_places.paths_below_open_directories("x")
        for descriptor in opened:
            os.close(descriptor)
        assert paths.count(f"{beside}/x") == 1
        assert f"{beside}/file/x" not in paths


def _add(machine: Machine) -> None:
    (machine.bert / "evil.py").write_text("evil")


def _link_to_outside(machine: Machine) -> None:
    (machine.bert / NAME).unlink()
    (machine.home / NAME).write_bytes(CONTENT)
    (machine.bert / NAME).symlink_to(machine.home / NAME)


def _linked_directory(machine: Machine) -> None:
    (machine.bert / "sub").rename(machine.home / "sub")
    (machine.bert / "sub").symlink_to(machine.home / "sub")


def _another_signer(machine: Machine) -> None:
    sign(machine.bert, ANOTHER[0])


def _directory_as_signature(machine: Machine) -> None:
    (machine.bert / "model.sig").unlink()
    (machine.bert / "model.sig").mkdir()


ANOTHER: list[KeyPair] = []
CHANGES: dict[str, Callable[[Machine], object]] = {
    "changed neighbour": lambda machine: tamper(machine.bert / "model.safetensors"),
    "changed neighbour in a directory": lambda machine: tamper(machine.bert / "sub" / "a file.txt"),
    "missing neighbour": lambda machine: (machine.bert / "empty.txt").unlink(),
    "file that is not signed": _add,
    "directory that is not signed": lambda machine: write_tree(machine.bert / "more", {"x": b"x"}),
    "link to outside": _link_to_outside,
    "dangling link": lambda machine: (machine.bert / "dangling").symlink_to("nothing"),
    "linked directory": _linked_directory,
    "FIFO": lambda machine: os.mkfifo(machine.bert / "fifo"),
    "another signer": _another_signer,
    "no signature": lambda machine: (machine.bert / "model.sig").unlink(),
    "empty signature": lambda machine: (machine.bert / "model.sig").write_bytes(b""),
    "malformed signature": lambda machine: (machine.bert / "model.sig").write_bytes(b"{}"),
    "signature that is a directory": _directory_as_signature,
    "signature of another model": lambda machine: shutil.copy(
        machine.model("gpt", {"x": b"x"}) / "model.sig", machine.bert
    ),
}
HARMLESS: dict[str, Callable[[Machine], object]] = {
    "nothing": lambda machine: None,
    "git's own files": lambda machine: write_tree(machine.bert, {".gitattributes": "*", ".git/config": "x"}),
    "records of the client": lambda machine: write_tree(machine.bert, {".cache/huggingface/x.metadata": "x"}),
    "empty directory": lambda machine: (machine.bert / "new").mkdir(),
    "other times": lambda machine: os.utime(machine.bert / NAME),
    "changed neighbour of another model": lambda machine: tamper(machine.model("gpt") / NAME),
    "moved": lambda machine: machine.bert.rename(machine.home / "x").rename(machine.bert),
}


class TestWholeModel:
    """The first file that is opened verifies all of the model."""

    @pytest.fixture(autouse=True)
    def _another(self, stranger: KeyPair) -> None:
        ANOTHER[:] = [stranger]

    @pytest.mark.parametrize("change", CHANGES)
    def test_changed(self, machine: Machine, change: str) -> None:
        CHANGES[change](machine)
        with machine.guard():
            for _ in range(2):
                with pytest.raises(hms.VerificationError, match="bert' was not loaded"):
                    (machine.bert / NAME).read_bytes()

    @pytest.mark.parametrize("change", HARMLESS)
    def test_harmless(self, machine: Machine, change: str) -> None:
        HARMLESS[change](machine)
        with machine.guard():
            assert (machine.bert / NAME).read_bytes() == CONTENT

    @pytest.mark.parametrize("name", [".git/config", ".cache/huggingface/x.metadata", "evil.py", ".github/evil"])
    def test_file_that_is_not_signed(self, machine: Machine, name: str) -> None:
        """Even where files may lie that nobody signed, they are not handed to a program."""
        with machine.guard():
            assert (machine.bert / NAME).read_bytes() == CONTENT
            write_tree(machine.bert, {name: "evil"})
            with pytest.raises(hms.MismatchError):
                (machine.bert / name).read_bytes()

    @pytest.mark.parametrize("name", FILES)
    def test_changed_after_the_first_look(self, machine: Machine, name: str) -> None:
        with machine.guard():
            before = (machine.bert / name).read_bytes()
            assert before == FILES[name]
            (machine.bert / name).write_bytes(b"evil")
            with pytest.raises(hms.MismatchError):
                (machine.bert / name).read_bytes()
            (machine.bert / name).write_bytes(before)
            assert (machine.bert / name).read_bytes() == before

    def test_model_that_is_exchanged(self, machine: Machine) -> None:
        """A link to the current version leads to another one, which nobody signed, then to a signed one."""
        new = write_tree(machine.home / "new", FILES)
        link = _link(machine.bert, machine.models / "current")
        with machine.guard():
            assert (link / NAME).read_bytes() == CONTENT
            link.unlink()
            link.symlink_to(new)
            with pytest.raises(hms.MissingSignatureError):
                (link / NAME).read_bytes()
            sign(new, machine.keys)
            assert (link / NAME).read_bytes() == CONTENT

    def test_renamed_parent(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(machine.bert)
        with machine.guard():
            assert Path(NAME).read_bytes() == CONTENT
            machine.models.rename(machine.models.parent / "others")
            Path(NAME).write_bytes(b"evil")
            with pytest.raises(hms.VerificationError):
                Path(NAME).read_bytes()

    def test_writing(self, machine: Machine) -> None:
        with machine.guard():
            (machine.models / "new" / "x").parent.mkdir()
            (machine.models / "new" / "x").write_text("x")
            assert os.listdir(machine.models / "new") == ["x"]
            shutil.rmtree(machine.models / "new")

    @pytest.mark.parametrize("inside", [True, False])
    def test_links_that_are_signed(self, machine: Machine, inside: bool) -> None:
        target = (machine.bert if inside else machine.home) / "target.bin"
        write_tree(target.parent, {target.name: b"weights"})
        _link(target, machine.bert / "linked.bin")
        sign(machine.bert, machine.keys, allow_symlinks=True)
        with machine.guard():
            assert (machine.bert / "linked.bin").read_bytes() == b"weights"
        tamper(target)
        with machine.guard():
            for name in ("linked.bin", NAME):
                with pytest.raises(hms.MismatchError):
                    (machine.bert / name).read_bytes()


SIGNATURES = {"in the model": "sigs/acme.sig", "absolute": "{home}/signatures/bert.sig", "default": "model.sig"}


class TestSignature:
    @pytest.fixture(params=SIGNATURES)
    def signature(self, request: pytest.FixtureRequest, machine: Machine) -> Path:
        """The signature of the model, which the rule names."""
        written = SIGNATURES[request.param].format(home=machine.home)
        machine.trust(more=f'signature = "{written}"')
        path = machine.bert / written
        path.parent.mkdir(exist_ok=True)
        (machine.bert / "model.sig").unlink()
        hms.sign(machine.bert, signer=machine.keys.signer).write(path)
        return path

    def test_named_by_the_rule(self, machine: Machine, signature: Path) -> None:
        with machine.guard():
            assert (machine.bert / NAME).read_bytes() == CONTENT
            assert signature.read_bytes()

    def test_changed(self, machine: Machine, signature: Path) -> None:
        (machine.bert / "empty.txt").write_text("x")
        with machine.guard(), pytest.raises(hms.MismatchError):
            (machine.bert / NAME).read_bytes()

    def test_missing(self, machine: Machine, signature: Path) -> None:
        signature.unlink()
        with machine.guard(), pytest.raises(hms.MissingSignatureError, match="hf-sign sign --signature"):
            (machine.bert / NAME).read_bytes()

    def test_removed_later(self, machine: Machine, signature: Path) -> None:
        with machine.guard():
            assert (machine.bert / NAME).read_bytes() == CONTENT
            signature.unlink()
            with pytest.raises(hms.MissingSignatureError):
                (machine.bert / NAME).read_bytes()

    def test_exchanged_later(self, machine: Machine, signature: Path, stranger: KeyPair) -> None:
        with machine.guard():
            assert (machine.bert / NAME).read_bytes() == CONTENT
            signature.unlink()
            hms.sign(machine.bert, signer=stranger.signer).write(signature)
            with pytest.raises(hms.VerificationError, match="nobody whom"):
                (machine.bert / NAME).read_bytes()

    @pytest.mark.parametrize(("repos", "loads"), [('"acme/*"', True), ('"acme/gpt"', False), ("", True)])
    def test_repository_that_it_is_for(self, machine: Machine, repos: str, loads: bool) -> None:
        """A rule that names repositories, too, accepts a model of these only; a model need not be of any."""
        machine.trust(more=f"repos = [{repos}]" if repos else "")
        statement = hms.Statement(make_manifest(machine.bert), "hf://acme/bert", {})
        machine.keys.signer.sign(statement).write(machine.bert / "model.sig")
        with machine.guard():
            if loads:
                assert (machine.bert / NAME).read_bytes() == CONTENT
                return
            with pytest.raises(hms.VerificationError, match="it was made for 'hf://acme/bert'"):
                (machine.bert / NAME).read_bytes()

    def test_digest(self, machine: Machine) -> None:
        machine.trust(more=f'digest = "sha256:{make_manifest(machine.bert).root_digest}"')
        with machine.guard():
            assert (machine.bert / NAME).read_bytes() == CONTENT
        machine.trust(more=f'digest = "sha256:{"0" * 64}"')
        with machine.guard(), pytest.raises(hms.VerificationError, match="digest"):
            (machine.bert / NAME).read_bytes()

    def test_first_use(self, machine: Machine, stranger: KeyPair) -> None:
        machine.write_policy(f'[[trust]]\npaths = ["{machine.models}/*"]\nsigners = [{{ method = "tofu" }}]')
        with machine.guard():
            assert (machine.bert / NAME).read_bytes() == CONTENT
        assert list(json.loads((machine.home / "trust.lock").read_text())["repositories"]) == [str(machine.bert)]
        sign(machine.bert, stranger)
        with machine.guard(), pytest.raises(hms.VerificationError, match="the signer of .*bert' changed"):
            (machine.bert / NAME).read_bytes()


class TestSingleFile:
    @pytest.fixture
    def file(self, machine: Machine) -> Path:
        """A model that is a single file, and its signature beside it."""
        write_tree(machine.models, {"llama.gguf": b"GGUF" * 100})
        return sign(machine.models / "llama.gguf", machine.keys, machine.models / "llama.gguf.sig")

    @pytest.fixture(params=["llama.gguf", "*.gguf", "*"])
    def named(self, request: pytest.FixtureRequest, machine: Machine, file: Path) -> Path:
        machine.trust(machine.models / request.param)
        return file

    def test_signed(self, machine: Machine, named: Path) -> None:
        with machine.guard():
            assert named.read_bytes() == b"GGUF" * 100

    def test_changed(self, machine: Machine, named: Path) -> None:
        tamper(named)
        with machine.guard(), pytest.raises(hms.MismatchError):
            named.read_bytes()

    def test_unsigned(self, machine: Machine, named: Path) -> None:
        Path(f"{named}.sig").unlink()
        with machine.guard(), pytest.raises(hms.MissingSignatureError):
            named.read_bytes()

    def test_signature_of_another_file(self, machine: Machine, named: Path) -> None:
        shutil.copy(machine.bert / "model.sig", f"{named}.sig")
        with machine.guard(), pytest.raises(hms.MismatchError, match="not for a single file"):
            named.read_bytes()


SHARED: dict[str, Callable[[Machine], Path]] = {
    "the file": lambda machine: machine.bert / NAME,
    "another file": lambda machine: machine.bert / "sub" / "a file.txt",
    "a directory of the model": lambda machine: machine.bert / "sub",
    "the model": lambda machine: machine.bert,
    "the directory of models": lambda machine: machine.models,
}


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="nothing is known of other writers")
class TestOtherWriters:
    @pytest.mark.parametrize("shared", SHARED)
    def test_refused(self, machine: Machine, shared: str) -> None:
        with machine.guard():
            assert (machine.bert / NAME).read_bytes() == CONTENT
        path = SHARED[shared](machine)
        path.chmod(path.stat().st_mode | 0o002)
        for setting in ("", 'shared_cache = "copy"', 'shared_cache = "refuse"'):
            machine.trust(head=setting)
            with machine.guard(), pytest.raises(hms.VerificationError, match=r"run `chmod .*shared_cache = .trust"):
                (machine.bert / NAME).read_bytes()

    @pytest.mark.parametrize("shared", SHARED)
    def test_trusted(self, machine: Machine, shared: str) -> None:
        path = SHARED[shared](machine)
        path.chmod(path.stat().st_mode | 0o002)
        machine.trust(head='shared_cache = "trust"')
        with machine.guard():
            assert (machine.bert / NAME).read_bytes() == CONTENT
        tamper(machine.bert / NAME)
        with machine.guard(), pytest.raises(hms.MismatchError):
            (machine.bert / NAME).read_bytes()

    def test_that_is_shared_later(self, machine: Machine) -> None:
        with machine.guard():
            assert (machine.bert / NAME).read_bytes() == CONTENT
            (machine.bert / NAME).chmod(0o666)
            with pytest.raises(hms.VerificationError, match="can write to"):
                (machine.bert / NAME).read_bytes()


class TestModesAndGuards:
    def test_warning(self, machine: Machine) -> None:
        tamper(machine.bert / NAME)
        with machine.guard(mode="warn"), pytest.warns(hms.GuardWarning, match="bert' is not verified"):
            assert (machine.bert / NAME).read_bytes()

    def test_off(self, machine: Machine) -> None:
        tamper(machine.bert / NAME)
        with machine.guard(mode="off"):
            assert (machine.bert / NAME).read_bytes()
        guard = machine.guard()
        guard.stop()
        assert (machine.bert / NAME).read_bytes()

    def test_audit_log(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        log = machine.home / "log"
        monkeypatch.setenv("HF_SIGN_AUDIT_LOG", str(log))
        with machine.guard():
            (machine.bert / NAME).read_bytes()
            (machine.bert / NAME).write_bytes(b"evil")
            with pytest.raises(hms.MismatchError):
                (machine.bert / NAME).read_bytes()
        found = [(line["decision"], line["repo"], line["file"]) for line in decisions(log)]
        assert found == [("verified", str(machine.bert), NAME), ("refused", str(machine.bert), NAME)]

    @pytest.mark.parametrize("strict_first", [True, False])
    def test_several(self, machine: Machine, stranger: KeyPair, strict_first: bool) -> None:
        """A model is loaded if each guard whose rules name it accepts it."""
        policies = [machine.policy, machine.home / "other.toml"]
        elsewhere = Machine(machine.home / "elsewhere", machine.keys)
        elsewhere.model()
        policies[1].write_text(f"version = 1\n{rule_text(machine.keys, json.dumps(str(elsewhere.models / '*')))}")
        first, second = policies if strict_first else reversed(policies)
        with hms.guard(first), hms.guard(second):
            for model in (machine.bert, elsewhere.bert):
                assert (model / NAME).read_bytes() == CONTENT
                tamper(model / NAME)
                with pytest.raises(hms.MismatchError):
                    (model / NAME).read_bytes()
        assert (machine.bert / NAME).read_bytes()

    def test_after_the_guard_of_a_block(self, machine: Machine) -> None:
        """The other guard's patterns stay watched."""
        (machine.home / "other.toml").write_text(machine.policy.read_text().replace("/*", "/gpt"))
        tamper(machine.bert / NAME)
        with machine.guard():
            with hms.guard(machine.home / "other.toml"):
                pass
            with pytest.raises(hms.MismatchError):
                (machine.bert / NAME).read_bytes()


class TestDownloads:
    """A guarded program fills a directory that a rule names, and loads from it."""

    @pytest.fixture
    def target(self, loader: Loader, signed: str, acme: KeyPair, tmp_path: Path) -> Path:
        loader.write_policy(rule(acme, more=f'paths = ["{tmp_path}/models/*"]'))
        (tmp_path / "models").mkdir()
        return tmp_path / "models" / "bert"

    def test_snapshot(self, loader: Loader, target: Path) -> None:
        with loader.guard():
            for _ in range(2):
                assert loader.snapshot(local_dir=target) == str(target)
                loader.download("model.sig", local_dir=target)
                assert (target / NAME).read_bytes() == CONTENT

    @pytest.mark.parametrize("before", ["nothing", "the same", "changed", "unsigned"])
    def test_pull(self, loader: Loader, target: Path, before: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_ENDPOINT", loader.hub.url)
        if before != "nothing":
            hms.pull(REPO, policy=loader.policy, local_dir=target)
        if before == "changed":
            (target / NAME).write_bytes(b"changed")
        elif before == "unsigned":
            (target / "model.sig").unlink()
        with loader.guard():
            hms.pull(REPO, policy=loader.policy, local_dir=target)
            assert (target / NAME).read_bytes() == CONTENT


PROGRAM = """
import json, sys
def load(path):
    try:
        return open(path, "rb").read().decode()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
print(json.dumps([load(path) for path in sys.argv[1:]]))
"""


# Opens files after `HOME` has changed: in children with another environment, or with none, and itself.
HOME_PROGRAM = """
import json, os, subprocess, sys
LOAD = '''
import sys
for path in sys.argv[1:]:
    try:
        print(open(path).read(), end="|")
    except Exception as error:
        print(type(error).__name__, end="|")
'''
found = []
for environment in ({**os.environ, "HOME": "/tmp"}, {}):
    command = [sys.executable, "-c", LOAD, *sys.argv[1:]]
    found += subprocess.check_output(command, env=environment, text=True).split("|")[:-1]
os.environ["HOME"] = "/tmp"
for path in sys.argv[1:]:
    try:
        found.append(open(path).read())
    except Exception as error:
        found.append(type(error).__name__)
print(json.dumps(found))
"""


def _linked(tool: str) -> list[str]:
    link = Path(tool).parents[3] / "link"
    if not link.is_symlink():
        link.symlink_to(tool)
    return [str(link)]


# Commands that run a program of a model, given its path.
COMMANDS: dict[str, Callable[[str], list[str]]] = {
    "program": lambda tool: [tool],
    "link": _linked,
    "launcher": lambda tool: ["nice", tool],
    "shell": lambda tool: ["sh", "-c", shlex.quote(tool)],
}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no programs that are files with a mode")
class TestPrograms:
    """A program that is a file of a model is verified before it is started, whatever language it is in."""

    @pytest.fixture(params=["binary", "script"])
    def tool(self, request: pytest.FixtureRequest, machine: Machine) -> Path:
        model = machine.model("tools", {NAME: CONTENT})
        tool = model / "tool"
        if request.param == "binary":
            shutil.copy(shutil.which("pwd") or "", tool)
        else:
            tool.write_text("#!/bin/sh\necho ran\n")
        tool.chmod(0o755)
        sign(model, machine.keys)
        return tool

    @pytest.mark.parametrize("command", ["program", "link", "launcher"])
    def test_hf_sign_run(self, person: Callable[..., Person], machine: Machine, tool: Path, command: str) -> None:
        def run() -> tuple[int, str, str]:
            words = COMMANDS[command](str(tool))
            process = person().start("run", "--policy", machine.policy, "--", *words)
            out, error = process.communicate()
            return process.returncode, out, error

        assert run()[0] == 0
        with tool.open("ab") as file:
            file.write(b"\n#")
        code, out, error = run()
        assert (code, out) == (1, "")
        assert "hf-sign: refused: " in error

    @pytest.mark.parametrize("command", COMMANDS)
    def test_guarded_program(self, machine: Machine, tool: Path, command: str) -> None:
        words = COMMANDS[command](str(tool))
        with machine.guard():
            assert subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout
            with tool.open("ab") as file:
                file.write(b"\n#")
            with pytest.raises(hms.MismatchError):
                subprocess.run(words, check=False)


class TestChildren:
    """A program under `hf-sign run`, or a child of a guarded one, knows the directories from its start."""

    @pytest.fixture
    def run(self, machine: Machine) -> Callable[..., list[str]]:
        (machine.home / "other").write_text("x")
        program = machine.home / "program.py"
        program.write_text(PROGRAM)

        def run(*paths: Path) -> list[str]:
            environment = {**os.environ, "HF_SIGN_GUARD": "1", "HF_SIGN_POLICY": str(machine.policy)}
            done = subprocess.run([sys.executable, program, *paths], env=environment, capture_output=True, check=False)
            assert done.returncode == 0, done.stderr.decode()
            found: list[str] = json.loads(done.stdout)
            return found

        return run

    def test_first_open(self, machine: Machine, run: Callable[..., list[str]]) -> None:
        tamper(machine.model("gpt") / NAME)
        found = run(machine.bert / NAME, machine.models / "gpt" / NAME, machine.home / "other")
        assert found[::2] == [CONTENT.decode(), "x"]
        assert found[1].startswith("MismatchError")

    @pytest.mark.parametrize("policy", ["version = 1\n[[trust]]\npaths = [", None])
    def test_policy_that_cannot_be_read(
        self, machine: Machine, run: Callable[..., list[str]], policy: str | None
    ) -> None:
        """The directories are unknown then, so nothing is opened."""
        machine.policy.unlink() if policy is None else machine.policy.write_text(policy)
        for found in run(machine.bert / NAME, machine.home / "other"):
            assert found.startswith("UsageError: ")

    def test_home_that_changes(self, machine: Machine) -> None:
        """`~` in `paths` means the home directory with which the program was started, in all of its processes."""
        machine.trust("~/srv/volumes/models/*")
        tamper(machine.model("gpt") / NAME)
        program = machine.home / "program.py"
        program.write_text(HOME_PROGRAM)
        paths = [machine.models / "gpt" / NAME, machine.bert / NAME]
        environment = {
            **os.environ,
            "HF_SIGN_GUARD": "1",
            "HF_SIGN_POLICY": str(machine.policy),
            "HOME": str(machine.home),
        }
        done = subprocess.run([sys.executable, program, *paths], env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        found = json.loads(done.stdout)
        assert found == ["MismatchError", CONTENT.decode()] * 3
