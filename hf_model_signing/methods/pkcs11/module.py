"""PKCS #11 modules: find the shared library that a URI names, and load it once per process."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hf_model_signing.errors import HfSignError, UsageError
from hf_model_signing.methods.pkcs11.uri import Pkcs11Uri

_logger = logging.getLogger(__name__)

PROXY = "p11-kit-proxy"  # the module that provides the tokens of all modules configured on a machine
_SUFFIXES = ("", ".so", ".dylib")
_lock = threading.Lock()
_modules: dict[str, Module] = {}


class Module:
    """A loaded module. It is never unloaded: that would end the sessions of other code in this process.

    `api` is the package PyKCS11 and `library` its handle of the module. `logins` maps a slot to a keyed hash of the PIN
    of the last login; `lock` is held from a login until it is recorded there.
    """

    def __init__(self, path: str, api: Any, library: Any) -> None:  # noqa: ANN401 - PyKCS11 has no types
        self.path, self.api, self.library = path, api, library
        self.lock = threading.Lock()
        self.logins: dict[int, bytes] = {}


def load_module(uri: Pkcs11Uri) -> Module:
    """Load the module that `uri` names; raises `UsageError` if it is missing or differs from the URI."""
    api = _pykcs11()
    path = _find(uri)
    with _lock:
        if path not in _modules:
            _modules[path] = Module(path, api, _load(api, path))
        module = _modules[path]
    # Each time: other code in this process may use the same library and may have finalized it.
    code = module.library.lib.C_Initialize()
    if code not in (api.CKR_OK, api.CKR_CRYPTOKI_ALREADY_INITIALIZED):
        raise HfSignError(f"the PKCS #11 module '{path}' does not start: {api.PyKCS11Error(code)}")
    _check_library(module, uri)
    return module


@contextmanager
def device_errors(doing: str) -> Iterator[None]:
    """Turn an error of the library into `HfSignError`; `doing` completes the sentence "failed …"."""
    from PyKCS11 import PyKCS11Error

    try:
        yield
    except PyKCS11Error as error:
        raise HfSignError(f"the PKCS #11 module failed {doing}: {error}") from error


def search_folders() -> list[str]:
    """Return the directories in which systems install PKCS #11 modules, as absolute paths."""
    multiarch = sysconfig.get_config_var("MULTIARCH") or f"{platform.machine()}-linux-gnu"
    roots = [
        "/usr/lib64",
        f"/usr/lib/{multiarch}",
        "/usr/lib",
        "/usr/local/lib64",
        "/usr/local/lib",
        "/opt/homebrew/lib",
    ]
    return [os.path.join(root, folder) for root in roots for folder in ("pkcs11", "softhsm", "")]


def _pykcs11() -> Any:  # noqa: ANN401 - PyKCS11 has no types
    try:
        import PyKCS11
    except ImportError as error:
        raise UsageError(
            "signing with a PKCS #11 token needs the package PyKCS11: `pip install 'hf-sign[pkcs11]'`"
        ) from error
    return PyKCS11


def _find(uri: Pkcs11Uri) -> str:
    """Return the real path of the library, so that it is not loaded and initialized twice under two names."""
    if uri.module_path is not None and not os.path.isdir(uri.module_path):
        if not os.path.isfile(uri.module_path):
            raise UsageError(f"there is no PKCS #11 module '{uri.module_path}'")
        return os.path.realpath(uri.module_path)
    if uri.module_path is not None and uri.module_name is None:
        raise UsageError(f"'{uri.module_path}' is a folder; add the name of the module to the URI with module-name=")
    folders = search_folders() if uri.module_path is None else [uri.module_path]
    name = PROXY if uri.module_name is None else uri.module_name
    for folder in folders:
        for prefix in ("", "lib"):
            for suffix in _SUFFIXES:
                path = os.path.join(folder, f"{prefix}{name}{suffix}")
                if os.path.isfile(path):
                    return os.path.realpath(path)
    if uri.module_name is None:
        raise UsageError("the PKCS #11 URI names no module, and p11-kit is not installed; "
                         "add module-path=/path/of/the/module.so behind a '?'")  # fmt: skip
    where = f"in '{uri.module_path}'" if uri.module_path else "in the usual folders; module-path= takes a path"
    raise UsageError(f"there is no PKCS #11 module '{name}' {where}")


def _load(api: Any, path: str) -> Any:  # noqa: ANN401 - PyKCS11 has no types
    try:
        # Checked here first: PyKCS11 prints errors about a library to stdout.
        found = hasattr(ctypes.CDLL(path), "C_GetFunctionList")
    except OSError as error:
        raise UsageError(f"'{path}' cannot be loaded as a PKCS #11 module: {error}") from error
    if not found:
        raise UsageError(f"'{path}' is a library, but not a PKCS #11 module")
    _logger.debug("loading the PKCS #11 module %s", path)
    library = api.PyKCS11Lib()
    with device_errors("to start"):
        library.load(path)
    return library


def _check_library(module: Module, uri: Pkcs11Uri) -> None:
    with device_errors("to describe itself"):
        info = module.library.getInfo()
    major, minor = info.libraryVersion
    versions = {f"{major}.{minor}"} | ({str(major)} if minor == 0 else set())
    for name, wanted, actual in (
        ("library-manufacturer", uri.library_manufacturer, {unpadded(info.manufacturerID)}),
        ("library-description", uri.library_description, {unpadded(info.libraryDescription)}),
        ("library-version", uri.library_version, versions),
    ):
        if wanted is not None and wanted not in actual:
            raise UsageError(f"the PKCS #11 module '{module.path}' is not the one in the URI: "
                             f"its {name} is {min(actual, key=len)!r}")  # fmt: skip


def unpadded(text: str) -> str:
    """Remove the padding of a field of fixed width."""
    return text.rstrip(" \0")
