"""The directory to which libraries copy the code of repositories before they run it: under the guard, a private one.

`transformers`, `diffusers`, `evaluate` and older releases of `datasets` copy it to `HF_HOME/modules`, and import it.
Each user who can write there decides what runs beside the code that was verified: the `__init__.py` of a package above
it, a compiled module, bytecode. So guarded processes copy code to a directory that nobody else has written to. It is
made for a process when it is first needed, belongs to the processes that this one starts as well, and is removed when
it ends.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from hf_model_signing.errors import RefusedError
from hf_model_signing.guarding.environment import CODE_VARIABLE
from hf_model_signing.guarding.import_hook import after_import

_CODE = "HF_MODULES_CACHE"
# Each setting that names such a directory, and its place in the private one. `evaluate` keeps the files that it has
# downloaded, code included, and finds them again by their URL.
_SETTINGS = {
    _CODE: "",
    "HF_EVALUATE_CACHE": "evaluate",
    "DOWNLOADED_EVALUATE_PATH": os.path.join("evaluate", "downloads"),
    "EXTRACTED_EVALUATE_PATH": os.path.join("evaluate", "extracted"),
}
_MODULES = (  # those that define a setting, and those that copy it and use it
    "transformers.utils.hub",
    "transformers.dynamic_module_utils",
    "diffusers.utils.constants",
    "diffusers.utils.dynamic_modules_utils",
    "datasets.config",
    "evaluate.config",
)
_PACKAGES = ("transformers_modules", "diffusers_modules", "datasets_modules", "evaluate_modules")
_PATHS = (str, os.PathLike)
_PREFIX = "hf-sign-code-"

_enforced: list[bool] = []  # not empty while a guard is on that refuses
_own: list[str] = []  # the private directory of this process, once there is one
_replaced: dict[tuple[str, str], object] = {}  # the setting that a module had, while the private directory is in use
_removed: list[str] = []  # entries of `sys.path`


def install() -> None:
    """Let libraries use the private directory when they are imported under the guard."""
    for name in _MODULES:
        after_import(name, keep_apart)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def update(*, is_enforced: bool) -> None:
    """Let the libraries use the directory that fits the guards that are on now: one of them refuses, or none does."""
    _enforced[:] = [True] if is_enforced else []
    if is_enforced:
        keep_apart()
    else:
        put_back()


def keep_apart(_: ModuleType | None = None) -> None:
    """Let the libraries that are loaded use the private directory, if this process is guarded."""
    if not _enforced or not any(name in sys.modules for name in (*_MODULES, *_PACKAGES)):
        return
    private = private_directory()
    for module, setting in _loaded_settings():
        before = getattr(module, setting)
        place = os.path.join(private, _SETTINGS[setting]) if _SETTINGS[setting] else private
        if str(before) != place:
            _replaced[module.__name__, setting] = before
            setattr(module, setting, type(before)(place))
    ordinary = {os.path.realpath(directory) for directory in _ordinary_directories()}
    _removed.extend(entry for entry in sys.path if os.path.realpath(entry) in ordinary)
    sys.path[:] = [entry for entry in sys.path if entry not in _removed]
    for package in _loaded_packages():
        package.__path__ = [_place(private, package)]


def put_back() -> None:
    """Let the libraries use the directory of their own again.

    Packages that were loaded stay: programs go on using the models that they have loaded under the guard.
    """
    if _own:
        os.environ.pop(CODE_VARIABLE, None)
    ordinary = _ordinary_directories()
    for (name, setting), before in _replaced.items():
        if name in sys.modules:
            setattr(sys.modules[name], setting, before)
    if ordinary:
        for package in _loaded_packages():
            package.__path__ = [_place(directory, package) for directory in (*ordinary, *_own)]
    sys.path.extend(entry for entry in dict.fromkeys(_removed) if entry not in sys.path)
    _replaced.clear()
    _removed.clear()


def private_directory() -> str:
    """Return the private directory: the one of the process that started this one, or a new one.

    A worker of `multiprocessing` gets `sys.path` from the process that uses it, which may not have started it.
    """
    if not _own:
        inherited = (os.environ.get(CODE_VARIABLE, ""), *(entry for entry in sys.path if isinstance(entry, str)))
        _own.append(next((directory for directory in inherited if _is_usable(directory)), "") or _make())
    os.environ[CODE_VARIABLE] = _own[0]
    return _own[0]


def is_private(path: str) -> bool:
    """Return True for a file in the private directory."""
    return any(os.path.realpath(path).startswith(os.path.join(os.path.realpath(own), "")) for own in _own)


def check_private(path: str) -> None:
    """Raise `RefusedError` if another user can write to the private directory."""
    from hf_model_signing.hashing.shared_files import other_writer

    writer = other_writer(path)
    if writer is not None:
        raise RefusedError(
            f"the code of a repository was copied to '{path}', and was not loaded: {writer}. Set TMPDIR to a directory "
            "that only you can write to"
        )


def forget_earlier_modules(path: str) -> None:
    """Forget the modules beside a file of code that were loaded from another directory, before the guard was on.

    The file is about to run, and would get these modules in place of the files beside it.
    """
    (private,) = _own
    relative = os.path.splitext(os.path.relpath(os.path.realpath(path), os.path.realpath(private)))[0]
    own_name = relative.replace(os.sep, ".")
    beside = f"{own_name.rpartition('.')[0]}."
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name.startswith(beside) and name != own_name and file and not is_private(file):
            del sys.modules[name]


class _Finder:
    """Finds the packages of code in the private directory only, whatever else is on `sys.path`."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _PACKAGES or path is not None or not _enforced:
            return None
        private = private_directory()
        spec = PathFinder.find_spec(name, [private], target)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r} in the directory of the guard, '{private}'", name=name)
        if spec.loader is None:  # Python would look for more parts of such a package on `sys.path`
            spec.submodule_search_locations = [os.path.join(private, name)]
        return spec


def _loaded_settings() -> Iterator[tuple[ModuleType, str]]:
    """Yield each setting of a loaded module, also of one that has copied it from a library."""
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType):
            yield from ((module, setting) for setting in _SETTINGS if isinstance(vars(module).get(setting), _PATHS))


def _ordinary_directories() -> list[str]:
    """Return the directories of code that libraries use without the guard."""
    return list(dict.fromkeys(str(before) for (_, setting), before in _replaced.items() if setting == _CODE))


def _loaded_packages() -> Iterator[ModuleType]:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _PACKAGES and hasattr(module, "__path__"):
            yield module


def _place(directory: str, package: ModuleType) -> str:
    return os.path.join(directory, *package.__name__.split("."))


def _is_usable(directory: str) -> bool:
    """Return True for a directory that a guard has made and that is still private."""
    if not os.path.basename(directory).startswith(_PREFIX) or os.path.islink(directory):
        return False
    from hf_model_signing.hashing.shared_files import other_writer

    return os.path.isdir(directory) and other_writer(directory) is None


def _make() -> str:
    """Make the directory where nobody else can replace it, if there is such a place."""
    import tempfile  # late, as the others: a guarded Python loads this file when it starts

    from hf_model_signing._util.own_cache import make_private, own_cache
    from hf_model_signing.hashing.shared_files import other_writer

    made: list[str] = []
    for parent in (tempfile.gettempdir(), own_cache()):
        try:
            make_private(parent)
            directory = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
            atexit.register(_remove, directory, os.getpid())
            made.append(directory)
            if other_writer(directory) is None:
                return directory
        except OSError:
            continue
    # In the first case, the code is refused when it is opened; in the second, the library cannot copy it there.
    return made[0] if made else os.path.join(os.devnull, _PREFIX)


def _remove(directory: str, process: int) -> None:
    import shutil

    if os.getpid() == process:  # and not a copy of it
        shutil.rmtree(directory, ignore_errors=True)
