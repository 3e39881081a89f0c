"""Children of a guarded process: Pythons of several environments, and a script that reports whether it is guarded."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

# It needs nothing of its environment, runs in every release of Python, and leaves a report for `Children.report`.
SCRIPT = """
import sys
registry = sys.modules.get("hf_model_signing.guarding.registry")
variables = registry.REGISTRY.child_variables() if registry else None
report = open(sys.argv[1], "a")
report.write((variables["HF_SIGN_POLICY"] if variables else "UNGUARDED") + "\\n")
report.close()
"""
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Children:
    """Pythons that a test can start. `own` is the one that runs the tests, `bare` has no hf-sign, `other` has it."""

    folder: Path
    own: str
    bare: str
    other: str

    @property
    def script(self) -> str:
        return str(self.folder / "script.py")

    @property
    def report_file(self) -> str:
        return str(self.folder / "report")

    def command(self, python: str, *options: str) -> list[str]:
        """Return a command that reports with one of the Pythons."""
        return [python, *options, self.script, self.report_file]

    def report(self) -> list[str]:
        """Return what the children have reported since the last time: the policies of their guards."""
        try:
            return Path(self.report_file).read_text(encoding="utf-8").split()
        except FileNotFoundError:
            return []
        finally:
            Path(self.report_file).unlink(missing_ok=True)

    def executable(self, name: str, text: str) -> str:
        """Write a script that can be executed; return its path."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return str(path)


def make_children(folder: Path) -> Children:
    """Make the Pythons in an empty directory."""
    for name in ("bare", "other"):
        venv.create(folder / name, with_pip=False, symlinks=True)
    packages = folder / "other" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    shutil.copy(ROOT / "_hf_sign_guard.pth", packages)
    # A name before that of the guard's file, because Python reads these files in the order of their names.
    (packages / "_a_installed.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    children = Children(folder, sys.executable, *[str(folder / name / "bin" / "python") for name in ("bare", "other")])
    Path(children.script).write_text(SCRIPT, encoding="utf-8")
    return children


def in_fork(action: object) -> None:
    """Call `action` in a forked process, which it may replace with another program, and wait for its end."""
    process = os.fork()
    if process == 0:
        try:
            os.close(2)
            action()  # type: ignore[operator]
        finally:
            os._exit(1)
    os.waitpid(process, 0)
