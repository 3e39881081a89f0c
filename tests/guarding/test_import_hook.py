"""A guard that is switched on while a module is being imported: by another thread, or by this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.guarded import Loader
from tests.helpers import write_tree
from tests.servers.hub import Hub

# The import of a module stops, as on a slow disk, until the guard waits for it.
PROGRAM = """
import importlib, sys, threading
policy, endpoint, cache, site, way, module, stop = sys.argv[1:]
sys.path.insert(0, site)
import hf_model_signing as hms
from hf_model_signing.guarding import import_hook

stopped, waits = threading.Event(), threading.Event()
wait = import_hook.wait_for_import


class Slow:
    def find_spec(self, name, path=None, target=None):
        if name != stop:
            return None
        finders = [finder for finder in sys.meta_path if finder is not self]
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in finders)))
        run = spec.loader.exec_module

        def exec_module(module):
            stopped.set()
            hms.guard(policy) if way == "this thread" else waits.wait(10)
            run(module)

        spec.loader.exec_module = exec_module
        return spec


def wait_for_import(name):
    if name == module:
        waits.set()
    wait(name)


import_hook.wait_for_import = wait_for_import
sys.meta_path.insert(0, Slow())
if way == "this thread":
    importlib.import_module(module)
else:
    thread = threading.Thread(target=importlib.import_module, args=(module,))
    thread.start()
    assert stopped.wait(10)
    hms.guard(policy)
    assert not thread.is_alive()
assert stopped.is_set()
found = sys.modules[module]
"""

CLIENT = """
from huggingface_hub import hf_hub_download
for repo in ("acme/model", "acme/evil"):
    try:
        hf_hub_download(repo, "config.json", cache_dir=cache, endpoint=endpoint, token="hf_write")
        print("loaded", repo)
    except hms.VerificationError:
        print("refused", repo)
"""
LOADED = "loaded acme/model\nrefused acme/evil\n"

# Libraries that are installed for the test; each imports `slow`.
SITE = {
    "slow.py": b"",
    "h5py.py": b"import slow\nclass File:\n    def __init__(self, name): pass\n",
    "aiohttp/__init__.py": b"",
    "aiohttp/connector.py": b"import slow\nclass BaseConnector:\n    async def connect(self, req): pass\n",
    "evaluate/__init__.py": b"",
    "evaluate/config.py": b"import slow\nHF_MODULES_CACHE = '/ordinary'\n",
}
# Way, module, and the module at which its import stops.
CASES = {
    "client, in another thread": ("thread", "huggingface_hub.file_download", "huggingface_hub._local_folder"),
    "client, at its start": ("thread", "huggingface_hub.file_download", "huggingface_hub.file_download"),
    "client, in this thread": ("this thread", "huggingface_hub.file_download", "huggingface_hub._local_folder"),
    "reader": ("thread", "h5py", "slow"),
    "reader, in this thread": ("this thread", "h5py", "slow"),
    "HTTP library": ("thread", "aiohttp.connector", "slow"),
    "HTTP library, in this thread": ("this thread", "aiohttp.connector", "slow"),
    "setting": ("thread", "evaluate.config", "slow"),
    "setting, in this thread": ("this thread", "evaluate.config", "slow"),
}
SHOWN = {
    "huggingface_hub.file_download": (CLIENT, LOADED),
    "h5py": ("print(found.File.__init__.__code__.co_filename.endswith('native_readers.py'))", "True\n"),
    "aiohttp.connector": (
        "print('stand_in' in str(found.BaseConnector.connect.__code__.co_names)"
        " or 'send' in found.BaseConnector.connect.__code__.co_names)",
        "True\n",
    ),
    "evaluate.config": ("print('hf-sign-code-' in found.HF_MODULES_CACHE)", "True\n"),
}


@pytest.mark.parametrize("case", CASES)
def test_guard_while_a_module_is_imported(loader: Loader, hub: Hub, signed: str, tmp_path: Path, case: str) -> None:
    hub.create_repo("acme/evil")
    hub.commit("acme/evil", {"config.json": b"{}"})
    way, module, stop = CASES[case]
    shown, expected = SHOWN[module]
    site = write_tree(tmp_path / "site", SITE)
    arguments = (str(loader.policy), hub.url, str(loader.home / "hub"), str(site), way, module, stop)
    code = PROGRAM + shown
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.stdout == expected, done.stderr
