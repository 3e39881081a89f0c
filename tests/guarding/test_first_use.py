"""A process that forks while another thread loads something for the first time: its children load as well."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guarded import tamper
from tests.guarding.answers.test_plain_models import Machine, machine
from tests.guarding.test_spellings import NAME
from tests.servers.fixtures import Person

if not hasattr(os, "fork"):
    pytest.skip("these tests fork, and this platform has no fork", allow_module_level=True)

__all__ = ["machine"]

# The thread is in the middle of an import of the guard when the program forks. A child that hangs is killed.
PROGRAM = """
import os, signal, sys, threading, time
_, way, path = sys.argv
started = threading.Event()

def wait(event, arguments):
    if event == "import" and arguments[0] == "hf_model_signing.guarding.checks.decider" and not started.is_set():
        started.set()
        time.sleep(0.2)

def load():
    try:
        return len(open(path, "rb").read())
    except Exception as error:
        return type(error).__name__

sys.addaudithook(wait)
thread = threading.Thread(target=load)
thread.start()
started.wait(10)
process, terminal = os.forkpty() if way == "forkpty" else (os.fork(), None)
if process == 0:
    signal.alarm(5)
    os._exit(0 if str(load()) == EXPECTED else 1)
print(os.waitpid(process, 0)[1])
"""


@pytest.mark.parametrize(("way", "changed"), [("fork", False), ("fork", True), ("forkpty", False)])
def test_fork(machine: Machine, person: Callable[..., Person], way: str, *, changed: bool) -> None:
    if changed:
        tamper(machine.bert / NAME)
    expected = "MismatchError" if changed else str((machine.bert / NAME).stat().st_size)
    program = Path(machine.home / "program.py")
    program.write_text(PROGRAM.replace("EXPECTED", repr(expected)), encoding="utf-8")
    command = [sys.executable, str(program), way, str(machine.bert / NAME)]
    process = person().start("run", "--policy", machine.policy, "--", *command)
    out, error = process.communicate(timeout=60)
    assert out == "0\n", error
