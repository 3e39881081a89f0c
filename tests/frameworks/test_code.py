"""Code beside the code: files planted in the directory to which libraries copy the code of repositories do not run.

Each variant of planted code runs without the guard. Under it, the program gets what was signed, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.conftest import Repositories
from tests.guarded import tamper

pytestmark = pytest.mark.timeout(600)  # the first one of each process starts the libraries

EVIL = "import builtins\nbuiltins.evil = True\nVALUE = 666\n"
HELPER = "VALUE = 1\n"
MODELING = """
import builtins
from importlib import import_module
from .helper_own import VALUE

try:
    MORE = import_module(".optional_own", __package__).VALUE
except ImportError:
    MORE = 0


class OwnModel:
    def answer(self):
        return [VALUE, MORE, hasattr(builtins, "evil")]
"""
PIPELINE = """
import builtins
from diffusers import DiffusionPipeline
from .helper_own import VALUE


class OwnPipeline(DiffusionPipeline):
    def answer(self):
        return [VALUE, 0, hasattr(builtins, "evil")]
"""
HONEST = [1, 0, False]

TRANSFORMERS = """
from transformers.dynamic_module_utils import get_class_from_dynamic_module
value = get_class_from_dynamic_module("modeling_own.OwnModel", {name})().answer()
"""
DIFFUSERS = """
from diffusers.utils.dynamic_modules_utils import get_class_from_dynamic_module
value = get_class_from_dynamic_module({name}, "pipeline.py", trust_remote_code=True)().answer()
"""


class World:
    """A signed repository with code, and the places where libraries put it; `package` are those of `transformers`."""

    def __init__(self, repositories: Repositories, folder: Path) -> None:
        self.repositories, self.folder = repositories, folder
        self.repo = repositories.create("code")
        files = {
            "modeling_own.py": MODELING.encode(),
            "helper_own.py": HELPER.encode(),
            "pipeline.py": PIPELINE.encode(),
        }
        self.commit = repositories.commit("code", self.repo, repositories.signed("code", self.repo, files))
        self.home = folder / "home"
        self.modules = self.home / "modules"
        self.top = self.modules / "transformers_modules"
        self.package = self.top / self.repo.replace("-", "_hyphen_") / self.commit
        self.local = self.modules / "diffusers_modules" / "local" / self.repo.replace("/", "--") / self.commit

    @property
    def snapshot(self) -> Path:
        return self.home / "hub" / f"models--{self.repo.replace('/', '--')}" / "snapshots" / self.commit

    def run(self, program: str, *, guarded: bool = True, before: str = "") -> Any:  # noqa: ANN401 - JSON
        """Run a program, and return its `value`, or the outcome if that is another one."""
        (self.folder / "xdg").mkdir(exist_ok=True)
        more = {"policy": self.repositories.policy} if guarded else {}
        task = {"home": self.home, "xdg": self.folder / "xdg", "run": program, "before": before}
        answer = self.repositories.loads.ask(**task, **more)
        return answer.get("value", answer)

    def plant(self, *paths: Path, content: str = EVIL) -> None:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)


@pytest.fixture
def world(repositories: Repositories, tmp_path: Path) -> World:
    return World(repositories, tmp_path)


def _bytecode(world: World, name: str, *, source: str | None) -> None:
    """Plant bytecode that Python does not compare with its source, made by the Python that is to load it."""
    evil, path = world.folder / "evil.py", world.package / f"{name}.py"
    world.plant(evil)
    if source is not None:
        world.plant(path, content=source)
    target = f"{str(path)!r}.replace('.py', '.pyc')" if source is None else f"cache_from_source({str(path)!r})"
    program = f"""
from importlib.util import cache_from_source
from py_compile import PycInvalidationMode, compile
value = compile({str(evil)!r}, cfile={target}, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
"""
    assert world.run(program, guarded=False).endswith(".pyc")


def _elsewhere(world: World) -> None:
    """The directory is a link to one that another user fills."""
    world.plant(world.folder / "shared" / "transformers_modules" / "__init__.py")
    world.home.mkdir(exist_ok=True)
    world.modules.symlink_to(world.folder / "shared")


# Code that is planted before the program starts.
PLANTED: dict[str, Callable[[World], None]] = {
    "package": lambda world: world.plant(world.top / "__init__.py"),
    "package of the organisation": lambda world: world.plant(world.top / "acme" / "__init__.py"),
    "package of the repository": lambda world: world.plant(world.package.parent / "__init__.py"),
    "package of the commit": lambda world: world.plant(world.package / "__init__.py"),
    "module": lambda world: world.plant(world.package / "modeling_own.py"),
    "module beside it": lambda world: world.plant(world.package / "helper_own.py"),
    "package in place of a module": lambda world: world.plant(world.package / "helper_own" / "__init__.py"),
    "module that the repository does not have": lambda world: world.plant(world.package / "optional_own.py"),
    "compiled module": lambda world: world.plant(world.package / "helper_own.so"),
    "bytecode of the module": lambda world: _bytecode(world, "modeling_own", source=MODELING),
    "bytecode of the module beside it": lambda world: _bytecode(world, "helper_own", source=HELPER),
    "bytecode without source": lambda world: _bytecode(world, "optional_own", source=None),
    "link to a directory of another user": _elsewhere,
}


@pytest.mark.parametrize("planted", PLANTED)
def test_planted(world: World, planted: str) -> None:
    program = TRANSFORMERS.format(name=repr(world.repo))
    PLANTED[planted](world)
    assert world.run(program, guarded=False) != HONEST
    assert world.run(program) == HONEST


DIFFUSERS_PLANTED: dict[str, Callable[[World], None]] = {
    "package": lambda world: world.plant(world.local.parents[2] / "__init__.py"),
    "package above it": lambda world: world.plant(world.local.parents[1] / "__init__.py"),
    "module": lambda world: world.plant(world.local / "pipeline.py"),
    "module beside it": lambda world: world.plant(world.local / "helper_own", world.local / "helper_own.py"),
}


@pytest.mark.parametrize("planted", DIFFUSERS_PLANTED)
def test_planted_for_diffusers(world: World, planted: str) -> None:
    program = DIFFUSERS.format(name=repr(world.repo))
    DIFFUSERS_PLANTED[planted](world)
    assert world.run(program, guarded=False) != HONEST
    assert world.run(program) == HONEST


# Ways to name the code: the start of a program that sets `name`.
NAMES = {
    "by name": "name = '{repo}'",
    "by path": "name = '{snapshot}'",
    "by path with a slash": "name = '{snapshot}/'",
    "by link": "import os; name = '{folder}/model'; os.symlink('{snapshot}', name)",
}


@pytest.mark.parametrize("library", [TRANSFORMERS, DIFFUSERS], ids=["transformers", "diffusers"])
@pytest.mark.parametrize("name", NAMES)
def test_named(world: World, name: str, library: str) -> None:
    """Signed code is loaded, however it is named; code that was changed in the cache is not."""
    download = f"from huggingface_hub import snapshot_download; snapshot_download('{world.repo}')\n"
    start = NAMES[name].format(repo=world.repo, snapshot=world.snapshot, folder=world.folder)
    program = f"{download}{start}\n{library.format(name='name')}"
    assert world.run(program) == HONEST
    tamper(world.snapshot / "helper_own.py")
    (world.folder / "model").unlink(missing_ok=True)
    assert world.run(program)["outcome"] == "refused"


# Other arguments with which `transformers` finds the code.
OTHER_ARGUMENTS = {
    "revision of the code": "'modeling_own.OwnModel', '{repo}', code_revision='{commit}'",
    "branch": "'modeling_own.OwnModel', '{repo}', revision='main'",
    "code of another repository": "'{repo}--modeling_own.OwnModel', 'acme/weights'",
    "downloaded again": "'modeling_own.OwnModel', '{repo}', force_download=True",
}


@pytest.mark.parametrize("arguments", OTHER_ARGUMENTS)
def test_other_arguments(world: World, arguments: str) -> None:
    call = OTHER_ARGUMENTS[arguments].format(repo=world.repo, commit=world.commit)
    load = "from transformers.dynamic_module_utils import get_class_from_dynamic_module as load\n"
    program = f"{load}value = load({call})().answer()"
    world.plant(world.package / "helper_own.py")
    assert world.run(program, guarded=False) == [666, 0, True]
    assert world.run(program) == HONEST


@pytest.mark.parametrize("name", ["by name", "by path"])
def test_loaded_before_the_guard(world: World, name: str) -> None:
    """Neither the modules nor the directories of an unguarded load are used by a guarded one."""
    world.plant(world.package / "helper_own.py")
    by_name = TRANSFORMERS.format(name=repr(world.repo))
    by_path = TRANSFORMERS.format(name=repr(str(world.snapshot)))
    assert world.run(by_name, guarded=False) == [666, 0, True]
    download = f"from huggingface_hub import snapshot_download; snapshot_download('{world.repo}')\n"
    before = f"{by_name}{download}import builtins\ndel builtins.evil\n"
    assert world.run(by_path if name == "by path" else by_name, before=before) == HONEST


def test_module_on_the_path_of_an_earlier_load(world: World) -> None:
    """A module in the directory itself could be imported by any program that has loaded code."""
    world.plant(world.modules / "optional_dependency.py")
    before = TRANSFORMERS.format(name=repr(world.repo))
    program = "from importlib.util import find_spec\nvalue = find_spec('optional_dependency') is None"
    assert world.run(program, before=before, guarded=False) is False
    assert world.run(program, before=before) is True


def test_package_elsewhere_on_the_path(world: World) -> None:
    world.plant(world.folder / "first" / "transformers_modules" / "__init__.py")
    program = f"import sys; sys.path.insert(0, '{world.folder}/first')\n{TRANSFORMERS.format(name=repr(world.repo))}"
    assert world.run(program, guarded=False) != HONEST
    assert world.run(program) == HONEST


def test_after_the_guard(world: World) -> None:
    """A class that was loaded in a block is used after it: it can be pickled, and finds its modules."""
    program = TRANSFORMERS.format(name=repr(world.repo))
    program = f"""
import hf_model_signing, pickle, sys
from transformers.utils import hub
before = hub.HF_MODULES_CACHE
with hf_model_signing.guard("{world.repositories.policy}"):
    from transformers.dynamic_module_utils import get_class_from_dynamic_module
    own = get_class_from_dynamic_module("modeling_own.OwnModel", "{world.repo}")
    assert hub.HF_MODULES_CACHE != before
assert hub.HF_MODULES_CACHE == before and own.__module__ in sys.modules
value = pickle.loads(pickle.dumps(own()))
{program}
"""
    assert world.run(program, guarded=False) == HONEST


@pytest.mark.parametrize("environment", ["as it is", "of an earlier process"])
def test_worker_process(world: World, environment: str) -> None:
    """A worker gets an object of the code by its name, and imports the code by itself."""
    earlier = "" if environment == "as it is" else "given['env'].pop('HF_SIGN_CODE_DIRECTORY')"
    program = f"""
import os, pickle, subprocess, sys
from transformers.dynamic_module_utils import get_class_from_dynamic_module
own = get_class_from_dynamic_module("modeling_own.OwnModel", "{world.repo}")
code = "import sys, pickle; sys.path[:] = pickle.load(sys.stdin.buffer); print(pickle.load(sys.stdin.buffer).answer())"
given = dict(input=pickle.dumps(sys.path) + pickle.dumps(own()), env=dict(os.environ))
{earlier}
done = subprocess.run([sys.executable, "-c", code], capture_output=True, **given)
value = done.stdout.decode() or done.stderr.decode()
"""
    assert world.run(program) == f"{HONEST}\n"
