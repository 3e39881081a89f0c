"""A Dask cluster on this machine: a scheduler and its workers, each in its own process.

Most of the start of such a process would be imports. A server process imports Dask once and forks for each; the child
has the arguments, the environment and the log of its own. The server imports nothing of ours.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.helpers import ROOT

_SERVER = """
import importlib, json, os, sys
programs = {name: importlib.import_module(f"distributed.cli.dask_{name}") for name in ("scheduler", "worker")}

def run(job):
    for handle, path in enumerate((os.devnull, job["log"], job["log"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), handle)
    os.environ.clear()
    os.environ.update(job["environment"])
    sys.argv = ["dask", *job["arguments"]]
    programs[job["program"]].main()

for line in iter(sys.stdin.readline, ""):
    job = json.loads(line)
    if "wait" in job:
        print(os.waitstatus_to_exitcode(os.waitpid(job["wait"], 0)[1]), flush=True)
        continue
    child = os.fork()
    if not child:
        run(job)
        sys.exit()
    print(child, flush=True)
"""


@functools.cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.kill)
    return server


def _ask(**job: object) -> int:
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    print(json.dumps(job), file=server.stdin, flush=True)
    return int(server.stdout.readline())


@dataclass(frozen=True)
class Process:
    """A process of the cluster."""

    pid: int

    def kill(self) -> None:
        """Kill it; it is still there, and its id is taken, until `wait`."""
        os.kill(self.pid, signal.SIGKILL)

    @functools.cached_property
    def exit_code(self) -> int:
        """The exit code at its end, which is waited for."""
        return _ask(wait=self.pid)


@dataclass
class Cluster:
    """A scheduler and its workers."""

    folder: Path
    port: int
    processes: dict[str, Process] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"dask://127.0.0.1:{self.port}"

    def start_scheduler(self) -> None:
        """Start the scheduler."""
        self._start("scheduler", "scheduler", "--port", str(self.port), "--no-show")

    def worker(self, name: str, *arguments: str) -> None:
        """Start a worker."""
        scheduler = f"tcp://127.0.0.1:{self.port}"
        self._start("worker", name, scheduler, "--no-nanny", "--nthreads", "2", "--name", name, *arguments)

    def wait(self, count: int) -> None:
        """Wait until the scheduler has as many workers."""
        distributed: Any = importlib.import_module("distributed")  # without types, and optional
        with distributed.Client(f"tcp://127.0.0.1:{self.port}", timeout=30, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=30)

    def stop(self) -> None:
        """End all processes."""
        for process in self.processes.values():
            if "exit_code" not in vars(process):
                process.kill()
            assert process.exit_code == -signal.SIGKILL

    def _start(self, program: str, name: str, *arguments: str) -> None:
        own = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "COVERAGE_"))}
        home = {"HF_HOME": str(self.folder / name), "XDG_CACHE_HOME": str(self.folder / name)}
        pid = _ask(
            program=program,
            arguments=["--host", "127.0.0.1", "--no-dashboard", *arguments],
            environment={**own, **home},
            log=str(self.folder / f"{name}.log"),
        )
        self.processes[name] = Process(pid)
