"""Measure `batch --remote` on the local hub, and `huggingface_hub` alone with the same writes, without a verdict."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bench import HF_SIGN, MAKE_KEYS, MIB, PYTHON, ROOT, FailedError, measure

SIZES = (100, 500, 5000)
# A hub with realistic repositories in a process of its own, until its input ends.
HUB = """
import sys
from tests.servers.hub import Hub
with Hub() as hub:
    for number in range(int(sys.argv[1])):
        name, kind = f"acme/r{number}", ("model", "model", "dataset", "space")[number % 4]
        hub.create_repo(name, repo_type=kind)
        weights = number.to_bytes(4, "big") * 1000
        files = {"README.md": b"# A model", "config.json": b"{}", "model.safetensors": weights}
        hub.commit(name, files, repo_type=kind)
    print(hub.url, flush=True)
    sys.stdin.read()
"""
# A naive script that adds a small file to every repository: resolve, read small files, commit.
CLIENT = """
from concurrent.futures import ThreadPoolExecutor
from huggingface_hub import CommitOperationAdd, HfApi
api = HfApi()

def one(repo, kind):
    commit = api.repo_info(repo.id, repo_type=kind).sha
    for file in api.list_repo_tree(repo.id, repo_type=kind, recursive=True, revision=commit):
        if file.lfs is None:
            api.hf_hub_download(repo.id, file.path, repo_type=kind, revision=commit)
    added = [CommitOperationAdd("model.sig", b"x" * 2000)]
    api.create_commit(repo.id, added, commit_message="sign", repo_type=kind, parent_commit=commit)

lists = (("model", api.list_models), ("dataset", api.list_datasets), ("space", api.list_spaces))
with ThreadPoolExecutor(8) as pool:
    for kind, repositories in lists:
        list(pool.map(one, *zip(*((repo, kind) for repo in repositories(author="acme")))))
"""


class Run(NamedTuple):
    """Measurements of one process over an organisation: seconds, CPU seconds, and bytes of memory."""

    seconds: float
    cpu: float
    peak: float


def run(size: int, command: list[str]) -> Run:
    """Run a command over `size` repositories on a hub of its own."""
    with tempfile.TemporaryDirectory(prefix="hf-sign-bench-") as name:
        folder = Path(name)
        measure([PYTHON, "-c", MAKE_KEYS], folder)
        hub = subprocess.Popen(
            [PYTHON, "-c", HUB, str(size)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert hub.stdout is not None  # noqa: S101 - for the type checker
            own = {"HF_ENDPOINT": hub.stdout.readline().strip(), "HF_TOKEN": "hf_write", "NO_PROXY": "127.0.0.1"}
            own |= {
                "HF_HOME": f"{folder}/home",
                "XDG_CACHE_HOME": f"{folder}/cache",
                "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            }
            own |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
            before = os.times()
            usage = measure(["env", *(f"{key}={value}" for key, value in own.items()), *command], folder)
            after = os.times()
        finally:
            hub.kill()
            hub.wait()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(usage.seconds, cpu, usage.peak)


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(prog="scripts/bench batch")
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES, metavar="N", help="repositories, 100 500 5000")
    options = parser.parse_args()
    print("batch --remote of N repositories on the local hub / huggingface_hub alone: list, look, read, commit")
    columns = f"{'N':>6}{'per minute':>12}{'alone':>10}{'CPU / 100':>12}{'alone':>10}{'beyond':>9}"
    print(f"{columns}{'peak':>12}{'time / N':>14}")
    for size in options.sizes:
        ours = run(size, [HF_SIGN, "batch", "acme", "--private-key", "key.pem", "--remote"])
        alone = run(size, [PYTHON, "-c", CLIENT])
        each, other = ours.cpu / size * 100, alone.cpu / size * 100
        print(
            f"{size:>6}{size / ours.seconds * 60:>12,.0f}{size / alone.seconds * 60:>10,.0f}{each:>10.2f} s"
            f"{other:>8.2f} s{each - other:>+7.2f} s{ours.peak / MIB:>8.1f} MiB{ours.seconds / size * 1000:>11.1f} ms",
            flush=True,
        )


if __name__ == "__main__":
    try:
        main()
    except FailedError as error:
        sys.exit(f"not measured: {error}")
