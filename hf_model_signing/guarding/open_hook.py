"""Files that a program opens by their path in the cache of `huggingface_hub`, without asking it.

Python tells of every file that it opens. What libraries in other languages open is not seen; they are given the path by
Python code that has read a configuration in the same folder, or asked the client for it. Code of a repository that
libraries copy before they run it is held against what was verified.
"""

from __future__ import annotations

import os
import re
import sys

_CACHE = re.compile(r"[/\\](?:models|datasets|spaces)--[^/\\]+[/\\]snapshots[/\\][0-9a-f]{40}[/\\]")
_CODE = re.compile(r"[/\\](?:transformers|diffusers)_modules[/\\].+[/\\][0-9a-f]{40}[/\\]")
_TABLES = re.compile(r"[/\\][^/\\]+___[^/\\]+[/\\].+[/\\]dataset_info\.json\Z")
_installed: list[bool] = []


def install() -> None:
    """Look at every file that is opened from now on; there is no way back, and nothing is done while no guard is on."""
    if not _installed:
        _installed.append(True)
        sys.addaudithook(_look)


def _look(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open":
        return
    path, mode = arguments[0], arguments[1]
    # Without a mode it is `os.open`, as our own hashing uses it.
    if mode is None or "r" not in str(mode) or not isinstance(path, (str, os.PathLike)):
        return
    name = os.fspath(path)
    if not isinstance(name, str):
        return
    if not os.path.isabs(name):
        name = os.path.abspath(name)
    if "snapshots" in name and _CACHE.search(name):
        _ask("open_in_cache", name)
    elif "s_modules" in name and _CODE.search(name):
        _ask("open_code", name)
    elif "___" in name and _TABLES.search(name):
        _ask("open_tables", name)


def _ask(what: str, path: str) -> None:
    from hf_model_signing.guarding.client_hook import is_own, own_calls

    if is_own():
        return
    from hf_model_signing.guarding.guard import current

    guard = current()
    if guard is None or guard.mode == "off":
        return
    with own_calls():
        from hf_model_signing.guarding import opened_files

    getattr(opened_files, what)(guard, path)
