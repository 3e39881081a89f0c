from __future__ import annotations

import errno
import json
import os
import pty
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption

import hf_model_signing as hms
from tests.certificates import make_authority
from tests.conftest import Cli
from tests.helpers import (
    FILES,
    KeyPair,
    Outcome,
    environment,
    make_pair,
    names_below,
    private_pem,
    run_program,
    run_python,
    write_tree,
)

PASSWORD = "correct horse battery"


@pytest.fixture
def locked(tmp_path: Path, pair: KeyPair) -> Path:
    """The private key, encrypted."""
    path = tmp_path / "locked.pem"
    path.write_bytes(private_pem(pair.key, BestAvailableEncryption(PASSWORD.encode())))
    return path


def _resources(signature: Path) -> set[str]:
    bundle = hms.Bundle.read(signature)
    return {resource["name"] for resource in json.loads(bundle.payload)["predicate"]["resources"]}


def test_sign_to_default_path(cli: Cli, model: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    done = cli("sign", "key", "--private-key", pair.private, "model")
    assert (done.code, done.err) == (0, "")
    assert hms.verify(model, "model.sig", verifier=pair.verifier)


def test_sign_says_what_it_did(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    done = cli("sign", "key", "--private-key", pair.private, "--signature", tmp_path / "s", model)
    digest = hms.digest(model)
    assert done.out == f"Signed {model} ({digest}) with key P-256 {pair.hint}: {tmp_path / 's'}\n"


def test_sign_as_json(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    done = cli("sign", "key", "--json", "--private-key", pair.private, "--signature", tmp_path / "s", model)
    assert done.document == {
        "signature": str(tmp_path / "s"),
        "digest": hms.digest(model),
        "signer": f"key P-256 {pair.hint}",
    }


@pytest.mark.parametrize("options", [["--private-key"], ["--private_key"]])
def test_sign_option_spellings(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path, options: list[str]) -> None:
    assert cli("sign", "key", *options, pair.private, "--signature", tmp_path / "s", model).code == 0


def test_sign_option_after_reference(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    assert cli("sign", "key", model, "--signature", tmp_path / "s", "--private-key", pair.private).code == 0


@pytest.mark.parametrize("name", ["model.sig", "other.sig", "weights/deep.sig", "..sig"])
def test_sign_into_the_model(cli: Cli, model: Path, pair: KeyPair, name: str) -> None:
    for _ in range(2):  # the second time, a signature exists already
        assert cli("sign", "key", "--private-key", pair.private, "--signature", model / name, model).code == 0
    assert _resources(model / name) == set(FILES)
    assert hms.verify(model, model / name, verifier=pair.verifier)


def test_sign_into_the_model_through_link(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(model)
    for _ in range(2):
        command = ["sign", "key", "--private-key", pair.private, "--signature", tmp_path / "way" / "x.sig", model]
        assert cli(*command).code == 0
    assert _resources(model / "x.sig") == set(FILES)


def test_payload_is_the_same_wherever_the_signature_goes(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    places = [tmp_path / "model.sig", tmp_path / "deep" / "x.sig", model / "model.sig"]
    places[1].parent.mkdir()
    for place in places:
        cli("sign", "key", "--private-key", pair.private, "--signature", place, model)
    assert len({hms.Bundle.read(place).payload for place in places}) == 1


def test_sign_single_file(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    cli("sign", "key", "--private-key", pair.private, "--signature", tmp_path / "s", model / "config.json")
    assert _resources(tmp_path / "s") == {"config.json"}


@pytest.mark.parametrize("target", ["model/config.json", "model/weights/a.bin"])
def test_sign_does_not_overwrite_the_model(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path, target: str) -> None:
    """A usage error, `--signature weights.bin`, must not destroy the weights."""
    before = (tmp_path / target).read_bytes()
    done = cli("sign", "key", "--private-key", pair.private, "--signature", tmp_path / target, model)
    assert done.code != 0
    assert (tmp_path / target).read_bytes() == before


def test_sign_does_not_overwrite_the_single_file(cli: Cli, model: Path, pair: KeyPair) -> None:
    path = model / "config.json"
    assert cli("sign", "key", "--private-key", pair.private, "--signature", path, path).code != 0
    assert path.read_bytes() == FILES["config.json"]


def test_sign_does_not_overwrite_the_key(cli: Cli, model: Path, tmp_path: Path) -> None:
    own = make_pair(tmp_path / "keys")
    before = own.private.read_bytes()
    assert cli("sign", "key", "--private-key", own.private, "--signature", own.private, model).code != 0
    assert own.private.read_bytes() == before


def test_sign_replaces_an_older_signature(cli: Cli, model: Path, pair: KeyPair, other_pair: KeyPair) -> None:
    hms.sign(model, signer=other_pair.signer).write(model / "model.sig")
    sign = ("sign", "key", "--private-key", pair.private, "--signature", model / "model.sig", "--force", model)
    assert cli(*sign).code == 0
    assert hms.verify(model, verifier=pair.verifier)


def test_sign_beside_an_older_signature(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    sign = ("sign", "key", "--private-key", pair.private, "--signature")
    assert [cli(*sign, model / "model.sig", model).err for _ in range(2)] == ["", ""]
    done = cli(*sign, tmp_path / "s", model)
    assert (done.code, "model.sig' is another signature, and `verify` takes it" in done.err) == (0, True)


def test_sign_ignores(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    write_tree(model, {"log/x": b"", ".gitignore": b"", "sub/.git/x": b""})
    options = ["--ignore-paths", "log", "--no-ignore-git-paths", "--signature", tmp_path / "s"]
    assert cli("sign", "key", "--private-key", pair.private, *options, model).code == 0
    assert _resources(tmp_path / "s") == {*FILES, ".gitignore", "sub/.git/x"}


def test_sign_pointer(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    write_tree(model, {"w.bin": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"})
    command = ["sign", "key", "--private-key", pair.private, "--signature", tmp_path / "s", model]
    assert (cli(*command).code, (tmp_path / "s").exists()) == (1, False)
    assert cli(*command, "--allow-lfs-pointers").code == 0


# Refusals


def _nothing_written(done: Outcome, code: int, word: str, signature: Path) -> None:
    assert (done.code, done.out) == (code, "")
    assert word in done.err
    assert not signature.exists()


def test_sign_without_method(cli: Cli, model: Path) -> None:
    done = cli("sign", "--identity-token", "x", model)
    assert (done.code, "the identity token is no token" in done.err) == (2, True)


def test_sign_without_key(cli: Cli, model: Path) -> None:
    done = cli("sign", "key", model)
    assert done.code == 2
    assert "--private-key" in done.err


@pytest.mark.parametrize(("reference", "code"), [("nowhere", 2), ("empty", 1), ("file\n", 1)])
def test_sign_nothing(cli: Cli, pair: KeyPair, tmp_path: Path, reference: str, code: int) -> None:
    (tmp_path / "empty").mkdir()
    write_tree(tmp_path, {"file\n": b""})
    done = cli("sign", "key", "--private-key", pair.private, "--signature", tmp_path / "s", tmp_path / reference)
    _nothing_written(done, code, "hf-sign: ", tmp_path / "s")


def test_sign_with_public_key(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    done = cli("sign", "key", "--private-key", pair.public, "--signature", tmp_path / "s", model)
    _nothing_written(done, 2, "holds a public key where a private key belongs", tmp_path / "s")


def test_sign_link(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    (model / "link").symlink_to("config.json")
    done = cli("sign", "key", "--private-key", pair.private, "--signature", tmp_path / "s", model)
    _nothing_written(done, 1, "hf-sign: refused: ", tmp_path / "s")


def test_sign_into_missing_folder(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    signature = tmp_path / "nowhere" / "model.sig"
    done = cli("sign", "key", "--private-key", pair.private, "--signature", signature, model)
    assert (done.code, done.out) == (2, "")
    assert f"there is no folder '{tmp_path}/nowhere'" in done.err


def test_sign_to_a_folder(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    done = cli("sign", "key", "--private-key", pair.private, "--signature", tmp_path / "folder", model)
    assert done.code in (2, 3)
    assert f"'{tmp_path}/folder'" in done.err
    assert names_below(tmp_path / "folder") == set()


def test_sign_model_not_utf8(cli: Cli, tmp_path: Path, pair: KeyPair) -> None:
    model = write_tree(tmp_path / os.fsdecode(b"m\xff"), FILES)
    done = cli("sign", "key", "--private-key", pair.private, "--signature", tmp_path / "s", model)
    assert done.code == 1
    assert "UTF-8" in done.err


# Passwords


def test_password_from_environment(model: Path, locked: Path, tmp_path: Path) -> None:
    command = ["sign", "key", "--private-key", locked, "--signature", tmp_path / "s", model]
    assert run_program(*command, HF_SIGN_KEY_PASSWORD=PASSWORD).code == 0


@pytest.mark.parametrize("method", ["key", "certificate"])
def test_password_as_option(cli: Cli, model: Path, pair: KeyPair, locked: Path, tmp_path: Path, method: str) -> None:
    command = ["sign", method, "--private-key", locked, "--signature", tmp_path / "s"]
    if method == "certificate":
        _, cert = make_authority("Root").issue("leaf", key=pair.key).write(tmp_path, "leaf")
        command += ["--signing-cert", cert]
    assert cli(*command, "--password", PASSWORD, model).code == 0
    assert cli(*command, "--password", "wrong", model).code == 2


def test_password_missing_without_terminal(cli: Cli, model: Path, locked: Path, tmp_path: Path) -> None:
    done = run_program("sign", "key", "--private-key", locked, "--signature", tmp_path / "s", model)
    _nothing_written(done, 2, "is encrypted: set HF_SIGN_KEY_PASSWORD", tmp_path / "s")


@pytest.mark.parametrize("password", [PASSWORD, "wrong horse battery", "w\udcffrong horse"])
@pytest.mark.parametrize("options", [["--debug"], ["--log-level", "debug"], ["--debug", "--json"]])
def test_password_is_never_shown(model: Path, locked: Path, tmp_path: Path, password: str, options: list[str]) -> None:
    command = [*options, "sign", "key", "--private-key", locked, "--signature", tmp_path / "s", model]
    done = run_program(*command, HF_SIGN_KEY_PASSWORD=password)
    assert done.code == (0 if password == PASSWORD else 2)
    assert "horse" not in done.out + done.err


def test_private_key_is_never_shown(model: Path, pair: KeyPair, tmp_path: Path) -> None:
    command = ["--debug", "--log-level", "debug", "sign", "key", "--private-key", pair.private]
    done = run_program(*command, "--signature", tmp_path / "no" / "s", model)
    secret = pair.private.read_text().splitlines()[1]
    assert secret not in done.out + done.err


@pytest.mark.parametrize(("typed", "code"), [(PASSWORD, 0), ("wrong", 2), ("\x03", 130)])
def test_password_prompt(model: Path, locked: Path, tmp_path: Path, typed: str, code: int) -> None:
    command = [sys.executable, "-m", "hf_model_signing", "--no-progress", "sign", "key", "--private-key", str(locked)]
    command += ["--signature", str(tmp_path / "s"), str(model)]
    shown, ended = _on_terminal(command, f"{typed}\n")
    assert ended == code
    assert "Password of the private key" in shown
    assert typed not in shown.replace(str(tmp_path), "")


def _on_terminal(command: list[str], typed: str) -> tuple[str, int]:
    process, terminal = pty.fork()
    if process == 0:
        os.execvpe(command[0], command, environment())
    shown = b""
    while b"Password" not in shown:
        shown += os.read(terminal, 1000)
    os.write(terminal, typed.encode())
    try:
        while more := os.read(terminal, 1000):
            shown += more
    except OSError as error:
        if error.errno != errno.EIO:  # the error of a terminal whose other end is closed
            raise
    return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


# Faults

_LIMITED = (
    "import resource, signal, sys; from hf_model_signing.cli.main import run\n"
    "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
    "sys.exit(run(sys.argv[1:]))"
)


def _tight(code: str, model: Path, pair: KeyPair, signature: Path) -> subprocess.CompletedProcess[str]:
    return run_python(code, "sign", "key", "--private-key", pair.private, "--signature", signature, "--force", model)


def test_full_disk(model: Path, pair: KeyPair, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    done = _tight(_LIMITED, model, pair, tmp_path / "out" / "s")
    assert (done.returncode, done.stdout) == (3, "")
    assert "too large" in done.stderr
    assert names_below(tmp_path / "out") == set()


@pytest.mark.parametrize(("room", "hashed"), [(0, False), (200, True)])
def test_full_disk_is_noticed_before_anything_is_signed(
    model: Path, pair: KeyPair, tmp_path: Path, room: int, hashed: bool
) -> None:
    """With Sigstore, the entry would be in the public log for ever."""
    code = (
        "import hf_model_signing.hub.sign as hashing; from hf_model_signing.methods.interface import Signer\n"
        "Signer.sign = lambda *_: print('signed', flush=True)\n"
        "statement_of = hashing.statement_of\n"
        "hashing.statement_of = lambda *a, **k: (print('hashed', flush=True), statement_of(*a, **k))[1]\n"
    )
    (tmp_path / "out").mkdir()
    done = _tight(code + _LIMITED.replace("100, 100", f"{room}, {room}"), model, pair, tmp_path / "out" / "s")
    assert (done.returncode, done.stdout) == (3, "hashed\n" if hashed else "")
    assert "too large" in done.stderr
    assert names_below(tmp_path / "out") == set()


def test_full_disk_keeps_older_signature(model: Path, pair: KeyPair, other_pair: KeyPair) -> None:
    hms.sign(model, signer=other_pair.signer).write(model / "model.sig")
    assert _tight(_LIMITED, model, pair, model / "model.sig").returncode == 3
    assert hms.verify(model, verifier=other_pair.verifier)
    assert names_below(model) == {*FILES, "weights", "model.sig"}


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_killed_write_is_finished_by_the_same_command(
    cli: Cli, model: Path, pair: KeyPair, other_pair: KeyPair, step: str
) -> None:
    hms.sign(model, signer=other_pair.signer).write(model / "model.sig")
    code = (
        f"import os, signal, sys; os.{step} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from hf_model_signing.cli.main import run; run(sys.argv[1:])"
    )
    assert _tight(code, model, pair, model / "model.sig").returncode == -9
    assert hms.Bundle.read(model / "model.sig").material["publicKey"]["hint"] == other_pair.hint
    sign = ("sign", "key", "--private-key", pair.private, "--signature", model / "model.sig", "--force", model)
    assert cli(*sign).code == 0
    assert _resources(model / "model.sig") == set(FILES)


def test_folder_that_cannot_be_written(pair: KeyPair) -> None:
    code = (
        "import os, sys; from hf_model_signing.cli.main import run; import hf_model_signing.cli.sign\n"
        "from hf_model_signing import KeySigner, sign; import hub_adapters.huggingface.adapter\n"
        "import glob, tempfile\n"
        "sign(sys.argv[-1], signer=KeySigner(sys.argv[4]))\n"  # imports everything while it may
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "sys.exit(run(sys.argv[1:]))"
    )
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        model = write_tree(Path(place) / "m", FILES)
        own = make_pair(Path(place) / "keys")
        os.chmod(model, 0o555)
        done = run_python(code, "sign", "key", "--private-key", own.private, "--signature", model / "model.sig", model)
        assert done.returncode == 3, done.stderr
        assert done.stderr == f"hf-sign: error: Permission denied: '{model}/model.sig'\n"
        os.chmod(model, 0o755)
        assert names_below(model) == {*FILES, "weights"}


def test_signature_in_place_of_a_device(cli: Cli, model: Path, pair: KeyPair, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path("/dev/null")):
        done = cli("sign", "key", "--private-key", pair.private, "--signature", place, model)
        assert (done.code, f"'{place}' is not a regular file" in done.err) == (2, True)
    assert (tmp_path / "pipe").is_fifo()
    assert Path("/dev/null").is_char_device()


def test_signature_in_place_of_the_model(cli: Cli, pair: KeyPair, tmp_path: Path) -> None:
    (tmp_path / "empty.bin").touch()
    place = tmp_path / "empty.bin"
    done = cli("sign", "key", "--private-key", pair.private, "--signature", place, place)
    assert (done.code, f"'{place}' is the model" in done.err) == (2, True)
    assert place.read_bytes() == b""


def test_signature_without_a_name(cli: Cli, model: Path, pair: KeyPair) -> None:
    done = cli("sign", "key", "--private-key", pair.private, "--signature", "", model)
    assert (done.code, "the name of the signature file is empty" in done.err) == (2, True)
