"""Loads models for the tests, in the environment of the libraries: `python -m tests.frameworks.loading`.

Importing them takes seconds, so one process imports them all. It reads tasks as lines of JSON, forks for each, and
answers with a line for each. A task names a library whose model is loaded, or has a program of its own. `HF_HOME` is a
link that leads somewhere else for each load. The modules of the guard that a child imported are imported in this
process too, for later children; the guard is switched on in children only.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import Any

from tests.frameworks.models import LIBRARIES, import_library
from tests.frameworks.plain_files import READERS, make
from tests.frameworks.publishing import PUBLISH, missing_functions

_OURS = ("hf_model_signing", "hub_adapters", "cryptography")


def main() -> None:
    """Import the libraries once, then serve. With the argument `alone`, import a library when a task needs it instead.

    Alone, all tasks run in this process, guarded from its start by the policy in the next argument, if there is one.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # output of libraries is not an answer
    is_alone = "alone" in sys.argv[1:2]
    if is_alone:
        for policy in sys.argv[2:]:
            import hf_model_signing as hms

            hms.guard(policy)
    else:
        for library in LIBRARIES.values():
            import_library(library.package)
        conversions = importlib.import_module("transformers.conversion_mapping")
        conversions.get_checkpoint_conversion_mapping("bert")  # it takes a third of a second, once for each process
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        _move_home(task["home"])
        print(json.dumps(_alone(task) if is_alone else _forked(task)), file=answers, flush=True)


def _move_home(folder: str) -> None:
    home = Path(os.environ["HF_HOME"])
    if home.is_symlink():
        home.unlink()
    Path(folder).mkdir(parents=True, exist_ok=True)
    home.symlink_to(folder)


def _alone(task: dict[str, Any]) -> dict[str, Any]:
    os.environ["XDG_CACHE_HOME"] = task["xdg"]
    import_library(LIBRARIES[task["library"]].package)
    return _outcome(task)


def _forked(task: dict[str, Any]) -> dict[str, Any]:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(read)
            os.environ["XDG_CACHE_HOME"] = task["xdg"]
            if task.get("offline"):
                _go_offline()
            tempfile.tempdir = task["xdg"]
            exec(task.get("before", ""), {})
            if task.get("policy"):
                import hf_model_signing as hms

                hms.guard(task["policy"])
            outcome = _outcome(task)
            with os.fdopen(write, "w") as pipe:
                json.dump([outcome, _modules_of_ours()], pipe)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    result: dict[str, Any] = {"outcome": "error", "why": "the process died"}
    modules: list[str] = []
    if text:
        result, modules = json.loads(text)
    for name in modules:
        importlib.import_module(name)
    return result


def _modules_of_ours() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] in _OURS]


def _go_offline() -> None:
    import datasets
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    datasets.config.HF_HUB_OFFLINE = True


def _outcome(task: dict[str, Any]) -> dict[str, Any]:
    """Return the outcome of a task, or of each reader: made, filled, loaded, refused by the guard, or an error."""
    library = LIBRARIES.get(task.get("library", ""), LIBRARIES["transformers"])
    warnings.simplefilter("ignore")
    try:
        if task.get("run"):
            result: dict[str, Any] = {}
            exec(task["run"], result)
            return {"outcome": "loaded", "value": result["value"]}
        if task.get("make"):
            library.make(Path(task["make"]), task["seed"])
            return {"outcome": "made"}
        if task.get("publish"):
            PUBLISH[task["library"]](task["publish"], task["repo"])
            return {"outcome": "published"}
        if task.get("make_files"):
            make(Path(task["make_files"]), task["seed"])
            return {"outcome": "made"}
        if task.get("read_each"):
            return {name: _outcome({"read": name, "repo": task["repo"]}) for name in READERS}
        if task.get("read"):
            return {"outcome": "loaded", "value": READERS[task["read"]](Path(task["repo"]))}
        if task.get("missing"):
            return {"outcome": "asked", "missing": missing_functions()}
        if task.get("fill"):
            from huggingface_hub import snapshot_download

            kind = "dataset" if task["library"] == "datasets" else "model"
            snapshot_download(task["repo"], repo_type=kind, ignore_patterns=["model.sig"])
            return {"outcome": "filled"}
        return {"outcome": "loaded", "value": library.load(task["repo"])}
    except BaseException as error:  # noqa: BLE001 - every error is reported
        from hf_model_signing.errors import VerificationError

        why = "".join(traceback.format_exception(error))
        chain: BaseException | None = error
        while chain is not None:
            if isinstance(chain, VerificationError):
                return {"outcome": "refused", "why": str(chain)}
            chain = chain.__cause__ or chain.__context__
        return {"outcome": "error", "why": why[-3000:]}


if __name__ == "__main__":
    main()
