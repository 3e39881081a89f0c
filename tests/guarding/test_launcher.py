"""`hf-sign run`: unchanged programs, and the processes that they start."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.guarded import REPO, Loader, decisions
from tests.helpers import Outcome
from tests.servers.fixtures import Person

LOAD = f"""
import os, sys
from huggingface_hub import snapshot_download
print("LOADED", os.path.basename(snapshot_download("{REPO}")), sys.argv[1:])
"""
Run = Callable[..., Outcome]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(LOAD)
    return path


@pytest.fixture
def run(loader: Loader, tmp_path: Path) -> Run:
    """Run a command under the guard."""

    def go(
        *command: str | Path, options: tuple[str, ...] | None = None, more: Mapping[str, str] | None = None
    ) -> Outcome:
        words = ("--policy", str(loader.policy)) if options is None else options
        done = subprocess.run(
            [sys.executable, "-m", "hf_model_signing", "run", *words, "--", *map(str, command)],
            env={**os.environ, "HF_ENDPOINT": loader.hub.url, "HF_HOME": str(loader.home), **(more or {})},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return go


def refused(outcome: Outcome, why: str) -> None:
    assert "LOADED" not in outcome.out
    assert outcome.code != 0
    assert why in outcome.err


UNSIGNED = "it has no model.sig"


class TestProgram:
    def test_signed(self, run: Run, program: Path, signed: str) -> None:
        outcome = run(sys.executable, program, "--an", "option")
        assert outcome.code == 0, outcome.err
        assert outcome.out.startswith("LOADED ")
        assert outcome.out.endswith("['--an', 'option']\n")
        assert "sitecustomize" not in outcome.err

    def test_not_signed(self, run: Run, program: Path, repo: str) -> None:
        refused(run(sys.executable, program), UNSIGNED)
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
        refused(run("python", program, more={"PATH": path}), UNSIGNED)

    @pytest.mark.parametrize("flags", [("-I",), ("-E",), ("-s", "-B"), ("-X", "dev"), ("-W", "ignore", "-P")])
    def test_options_of_the_interpreter(self, run: Run, program: Path, repo: str, flags: tuple[str, ...]) -> None:
        refused(run(sys.executable, *flags, program), UNSIGNED)

    @pytest.mark.parametrize("flags", [("-S",), ("-IS",), ("-BS",), ("-X", "dev", "-S")])
    def test_interpreter_that_would_not_be_guarded(self, run: Run, program: Path, flags: tuple[str, ...]) -> None:
        refused(run(sys.executable, *flags, program), "the guard would not hold in it")

    def test_module_and_command(self, run: Run, repo: str, tmp_path: Path) -> None:
        (tmp_path / "loading.py").write_text(LOAD)
        refused(run(sys.executable, "-m", "loading"), UNSIGNED)
        refused(run(sys.executable, "-c", LOAD), UNSIGNED)

    def test_script(self, run: Run, repo: str, tmp_path: Path) -> None:
        script = tmp_path / "script"
        script.write_text(f"#!{sys.executable} -B\n{LOAD}")
        script.chmod(0o755)
        refused(run(script), UNSIGNED)
        script.write_text(f"#!{sys.executable} -S\n{LOAD}")
        refused(run(script), "the guard would not hold in it")

    def test_shell(self, run: Run, program: Path, repo: str) -> None:
        refused(run("sh", "-c", f"'{sys.executable}' '{program}'"), UNSIGNED)

    def test_client_of_the_hub(self, run: Run, repo: str, tmp_path: Path) -> None:
        hf = Path(sys.executable).with_name("hf")
        refused(run(hf, "download", REPO), UNSIGNED)

    def test_exit_code_and_signals_are_the_program_s(self, run: Run) -> None:
        assert run(sys.executable, "-c", "raise SystemExit(42)").code == 42
        assert run("sh", "-c", "kill -TERM $$").code == -15

    def test_library_that_is_loaded_later(self, run: Run, repo: str) -> None:
        code = "import sys; assert 'huggingface_hub' not in sys.modules\n" + LOAD
        refused(run(sys.executable, "-c", code), UNSIGNED)

    @pytest.mark.parametrize(("mode", "code"), [("off", 0), ("warn", 0), ("enforce", 1)])
    def test_modes(self, run: Run, program: Path, repo: str, loader: Loader, mode: str, code: int) -> None:
        outcome = run(sys.executable, program, options=("--policy", str(loader.policy), "--mode", mode))
        assert outcome.code == code, outcome.err
        outcome = run(sys.executable, program, more={"HF_SIGN_MODE": mode})
        assert (outcome.code, outcome.err.count("GuardWarning: ")) == (code, int(mode == "warn"))

    def test_policy_from_the_environment(self, run: Run, program: Path, repo: str, loader: Loader) -> None:
        refused(run(sys.executable, program, options=(), more={"HF_SIGN_POLICY": str(loader.policy)}), UNSIGNED)

    def test_policy_in_the_current_directory(
        self, run: Run, program: Path, repo: str, loader: Loader, tmp_path: Path
    ) -> None:
        assert loader.policy == tmp_path / "trust.toml"
        refused(run(sys.executable, program, options=()), UNSIGNED)
        outcome = run(sys.executable, program, options=(), more={"HF_SIGN_POLICY": "none.toml"})
        assert (outcome.code, "none.toml" in outcome.err) == (2, True)

    @pytest.mark.parametrize("signer", [
        '{ method = "key", public_key = "none.pub" }', '{ method = "key", public_key = "policy.toml" }',
        '{ method = "certificate", root_certs = ["none.pem"] }',
    ])  # fmt: skip
    def test_key_that_cannot_be_read_is_noticed_before_the_program_starts(
        self, run: Run, tmp_path: Path, signer: str
    ) -> None:
        policy = tmp_path / "policy.toml"
        policy.write_text(f'version = 1\n[[trust]]\nrepos = ["acme/*"]\nsigners = [{signer}]\n')
        outcome = run("echo", "STARTED", options=("--policy", str(policy)))
        assert (outcome.code, outcome.out) == (2, ""), outcome.err

    def test_audit_log(self, run: Run, program: Path, signed: str, tmp_path: Path) -> None:
        assert run(sys.executable, program, more={"HF_SIGN_AUDIT_LOG": str(tmp_path / "log")}).code == 0
        (line,) = decisions(tmp_path / "log")
        assert (line["decision"], line["repo"]) == ("verified", "hf://acme/model")

    def test_hf_sign_itself(
        self, run: Run, repo: str, person: Callable[..., Person], acme: object, tmp_path: Path
    ) -> None:
        """It verifies by itself, and has to read unsigned repositories to sign them."""
        command = (sys.executable, "-m", "hf_model_signing", "push", REPO, "--private-key", str(acme.private))  # type: ignore[attr-defined]
        outcome = run(*command, more={"HF_TOKEN": "hf_write"})
        assert outcome.code == 0, outcome.err


class TestWrong:
    @pytest.mark.parametrize(
        ("options", "command", "why"),
        [
            (("--policy", "nothing.toml"), ("true",), "cannot read the trust policy file"),
            (None, ("no-such-program",), "there is no program 'no-such-program'"),
            (None, (), "Missing argument"),
        ],
    )
    def test_usage(self, run: Run, options: tuple[str, ...] | None, command: tuple[str, ...], why: str) -> None:
        outcome = run(*command, options=options)
        assert outcome.code == 2
        assert why in outcome.err

    def test_without_a_policy(self, run: Run, loader: Loader) -> None:
        loader.policy.rename(loader.policy.with_name("elsewhere.toml"))
        outcome = run("true", options=())
        assert (outcome.code, "no trust policy is named" in outcome.err) == (2, True)

    def test_policy_with_an_error(self, run: Run, loader: Loader, program: Path) -> None:
        loader.policy.write_text("version = 2\n")
        outcome = run(sys.executable, program)
        assert outcome.code == 2
        assert "version must be 1" in outcome.err

    def test_policy_that_breaks_meanwhile(self, run: Run, loader: Loader, signed: str) -> None:
        code = f"open({str(loader.policy)!r}, 'a').write('nonsense')\n" + LOAD
        refused(run(sys.executable, "-c", code), "is not TOML")


CHILD = "import subprocess, sys, os; done = {}; sys.exit(getattr(done, 'returncode', done))"


class TestChildren:
    """The routes by which a child is started are in `test_children.py`; here a child loads a model."""

    @pytest.mark.parametrize(
        "start",
        [
            "subprocess.run([sys.executable, sys.argv[1]], "
            "env={name: os.environ[name] for name in ('HF_ENDPOINT', 'HF_HOME')})",
            "os.waitstatus_to_exitcode(os.system(f'{sys.executable} {sys.argv[1]}'))",
        ],
    )
    def test_child_is_guarded(self, run: Run, program: Path, repo: str, start: str) -> None:
        refused(run(sys.executable, "-c", CHILD.format(start), program), UNSIGNED)

    def test_worker(self, run: Run, repo: str, tmp_path: Path) -> None:
        script = tmp_path / "workers.py"
        script.write_text(
            "import multiprocessing, sys\n"
            "def work():\n" + "".join(f"    {line}\n" for line in LOAD.splitlines()) + "if __name__ == '__main__':\n"
            "    worker = multiprocessing.get_context('spawn').Process(target=work)\n"
            "    worker.start(); worker.join(); sys.exit(worker.exitcode)\n"
        )
        refused(run(sys.executable, script), UNSIGNED)

    def test_worker_of_a_guarded_process(self, loader: Loader, repo: str, program: Path) -> None:
        """`guard()` holds for the processes that are started while it is on."""
        with loader.guard():
            done = subprocess.run(
                [sys.executable, program],
                env={**os.environ, "HF_ENDPOINT": loader.hub.url, "HF_HOME": str(loader.home)},
                capture_output=True,
                text=True,
                check=False,
            )
        refused(Outcome(done.returncode, done.stdout, done.stderr), UNSIGNED)


class TestSite:
    def test_own_sitecustomize_keeps_working(self, run: Run, tmp_path: Path, program: Path, repo: str) -> None:
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "sitecustomize.py").write_text("import sys; sys.stderr.write('CUSTOM\\n'); MARK = 1\n")
        more = {"PYTHONPATH": str(tmp_path / "site")}
        outcome = run(sys.executable, program, more=more)
        refused(outcome, UNSIGNED)
        assert outcome.err.count("CUSTOM") >= 1
        code = "import sitecustomize; print(sitecustomize.MARK)"
        assert run(sys.executable, "-c", code, more=more).out == "1\n"

    def test_error_in_sitecustomize_stays_one(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "sitecustomize.py").write_text("import no_such_module\n")
        outcome = run(sys.executable, "-c", "print('ran')", more={"PYTHONPATH": str(tmp_path / "site")})
        assert "no_such_module" in outcome.err

    def test_python_without_hf_sign_does_not_run(self, run: Run, tmp_path: Path, loader: Loader) -> None:
        venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
        bare = tmp_path / "bare" / "bin" / "python"
        refused(run(bare, "-c", "print('LOADED')"), "would not hold in it: hf-sign is not installed in it; install")
        refused(run("sh", "-c", f"{bare} -c 'print(\"LOADED\")'"), "hf-sign is not installed in it")
        refused(run(bare, "-I", "-c", "print('LOADED')"), "the guard would not hold in it")
        off = run(bare, "-c", "print('LOADED')", options=("--policy", str(loader.policy), "--mode", "off"))
        assert off.out == "LOADED\n"
        start = f"subprocess.run([{str(bare)!r}, '-I', '-c', 'print(\"LOADED\")'])"
        refused(run(sys.executable, "-c", CHILD.format(start)), "was not started")

    def test_nothing_happens_without_a_guard(self) -> None:
        code = "import sys; print([name for name in sys.modules if name.startswith('hf_model_signing')])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"
