"""The command line of the reference tool, one process for each run.

Most of the time of a run would be imports. A server process imports the program once and forks for each run; the child
has the arguments, the directory and the environment of the run, and ends as the program ends.
"""

from __future__ import annotations

import atexit
import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.helpers import Outcome, environment

_SERVER = """
import json, os, runpy, sys
import model_signing._cli

def run(job):
    for handle, path in enumerate((os.devnull, job["out"], job["err"])):
        os.dup2(os.open(path, os.O_RDWR), handle)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["environment"])
    sys.argv = ["model_signing", *job["arguments"]]
    runpy.run_module("model_signing", run_name="__main__", alter_sys=True)

for line in iter(sys.stdin.readline, ""):
    child = os.fork()
    if not child:
        run(json.loads(line))
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@functools.cache
def _server() -> subprocess.Popen[str]:
    # -P: the server must not import a module of the directory that it starts in.
    options = ["-P"] if sys.version_info >= (3, 11) else ["-s"]
    server = subprocess.Popen(
        [sys.executable, *options, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(server.kill)
    return server


def run_reference(*arguments: object, cwd: Path | None = None) -> Outcome:
    """Run `python -m model_signing` with these arguments."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        out.touch()
        err.touch()
        job = {
            "arguments": [str(argument) for argument in arguments],
            "cwd": str(cwd or Path.cwd()),
            "environment": environment(),
            "out": str(out),
            "err": str(err),
        }
        print(json.dumps(job), file=server.stdin, flush=True)
        code = int(server.stdout.readline())
        return Outcome(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))
