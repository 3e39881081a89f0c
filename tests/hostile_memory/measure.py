"""Run each case in a process of its own, within 512 MiB of address space, and print what it took."""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import sys
from pathlib import Path

from tests.hostile_memory.cases import CASES, Case

LIMIT = 512 * 1024 * 1024  # bytes above what the process has before
_LOADED = ("tests.workers.test_bounded_comm", "distributed", "google.protobuf.message", "tuf.api.metadata", "requests",
           "huggingface_hub.hf_api", "hub_adapters.huggingface.adapter", "hf_model_signing.methods.registry",
           "hf_model_signing.policy.pins", "hf_model_signing.methods.sigstore.http")  # fmt: skip


def _status(name: str) -> int:
    """Return a number of bytes from the status of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _run(case: Case, path: Path, url: str) -> dict[str, object]:
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + LIMIT, resource.RLIM_INFINITY))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts from here
    before = _status("VmRSS")
    try:
        outcome = type(case.read(path, url)).__name__
    except Exception as error:  # noqa: BLE001 - what happened is what is measured
        outcome = f"{type(error).__name__}: {str(error)[:400]}"
    return {"peak": _status("VmHWM") - before, "outcome": outcome}


def main(url: str, directory: str) -> None:
    """Print a line of JSON for each case."""
    gc.disable()  # there is no garbage, and looking for it takes most of the time
    for module in _LOADED:
        try:
            importlib.import_module(module)
        except ImportError:
            continue
    for name, case in CASES.items():
        path = Path(directory, "input")
        path.write_bytes(case.make())
        sys.stdout.flush()
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            continue
        sys.stdout.write(json.dumps({"name": name, **_run(case, path, url)}) + "\n")
        sys.stdout.flush()
        os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
