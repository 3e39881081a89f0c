from __future__ import annotations

import platform
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_model_signing.errors import HfSignError, UsageError
from hf_model_signing.methods.pkcs11 import module
from hf_model_signing.methods.pkcs11.signer import Pkcs11Key
from tests.helpers import run_python
from tests.softhsm import SoftHsm

SIGN = """
import sys
from hf_model_signing.errors import HfSignError
from hf_model_signing.methods.pkcs11.signer import Pkcs11Key
try:
    print(len(Pkcs11Key(sys.argv[1]).sign(b"m")) > 8)
except HfSignError as error:
    print(error.exit_code, error)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory that is searched for modules."""
    monkeypatch.setattr(module, "search_folders", lambda: [str(tmp_path / "absent"), str(tmp_path)])
    return tmp_path


def _uri(softhsm: SoftHsm, query: str) -> str:
    return f"pkcs11:token=single?pin-value=4711-secret{query}"


@pytest.mark.parametrize("name", ["softhsm2", "libsofthsm2", "softhsm2.so", "libsofthsm2.so"])
def test_module_by_name(softhsm: SoftHsm, folder: Path, name: str) -> None:
    (folder / "libsofthsm2.so").symlink_to(softhsm.module)
    assert Pkcs11Key(_uri(softhsm, f"&module-name={name}")).sign(b"message")


def test_module_by_name_without_prefix(softhsm: SoftHsm, folder: Path) -> None:
    (folder / "opensc-pkcs11.so").symlink_to(softhsm.module)
    assert Pkcs11Key(_uri(softhsm, "&module-name=opensc-pkcs11")).sign(b"message")


def test_module_by_folder_and_name(softhsm: SoftHsm, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "libsofthsm2.so").symlink_to(softhsm.module)
    assert Pkcs11Key(_uri(softhsm, f"&module-path={tmp_path / 'here'}&module-name=softhsm2")).sign(b"message")


def test_usual_directories_have_softhsm(softhsm: SoftHsm) -> None:
    if not any(str(softhsm.module).startswith(folder) for folder in module.search_folders()):
        pytest.skip(f"SoftHSM is at an unusual place: '{softhsm.module}'")
    assert Pkcs11Key(_uri(softhsm, "&module-name=softhsm2")).sign(b"message")


def test_usual_directories() -> None:
    folders = module.search_folders()
    multiarch = sysconfig.get_config_var("MULTIARCH") or f"{platform.machine()}-linux-gnu"
    assert {"/usr/lib64/pkcs11", "/usr/lib/pkcs11", "/usr/lib/softhsm", f"/usr/lib/{multiarch}/softhsm"} <= set(folders)
    assert {f"/usr/lib/{multiarch}/pkcs11", f"/usr/lib/{multiarch}/", "/usr/local/lib/"} <= set(folders)
    assert all(name.startswith("/") for name in folders)


def test_module_name_missing(softhsm: SoftHsm, folder: Path) -> None:
    with pytest.raises(UsageError, match="there is no PKCS #11 module 'softhsm2' in the usual folders"):
        Pkcs11Key(_uri(softhsm, "&module-name=softhsm2"))


def test_module_name_missing_in_folder(softhsm: SoftHsm, folder: Path, tmp_path: Path) -> None:
    (folder / "libsofthsm2.so").symlink_to(softhsm.module)
    (tmp_path / "here").mkdir()
    with pytest.raises(UsageError, match="there is no PKCS #11 module 'softhsm2' in '.*here'"):
        Pkcs11Key(_uri(softhsm, f"&module-path={tmp_path / 'here'}&module-name=softhsm2"))


def test_module_folder_without_name(softhsm: SoftHsm, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder; add the name of the module to the URI with module-name="):
        Pkcs11Key(_uri(softhsm, f"&module-path={tmp_path}"))


def test_module_path_missing(softhsm: SoftHsm) -> None:
    with pytest.raises(UsageError, match="there is no PKCS #11 module '/no/such/module.so'"):
        Pkcs11Key(_uri(softhsm, "&module-path=/no/such/module.so"))


def test_module_path_of_a_device(softhsm: SoftHsm) -> None:
    with pytest.raises(UsageError, match="there is no PKCS #11 module '/dev/zero'"):
        Pkcs11Key(_uri(softhsm, "&module-path=/dev/zero"))


def test_proxy_stands_for_no_module(softhsm: SoftHsm, folder: Path) -> None:
    (folder / "p11-kit-proxy.so").symlink_to(softhsm.module)
    assert Pkcs11Key(_uri(softhsm, "")).sign(b"message")


def test_no_module_and_no_proxy(softhsm: SoftHsm, folder: Path) -> None:
    with pytest.raises(UsageError, match="names no module, and p11-kit is not installed; add module-path="):
        Pkcs11Key(_uri(softhsm, ""))


def test_module_that_is_not_a_library(softhsm: SoftHsm, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "module.so").write_bytes(b"no library")
    with pytest.raises(UsageError, match=r"module\.so' cannot be loaded as a PKCS #11 module"):
        Pkcs11Key(_uri(softhsm, f"&module-path={tmp_path / 'module.so'}"))
    assert capfd.readouterr() == ("", "")


def test_library_that_is_not_a_module(softhsm: SoftHsm, capfd: pytest.CaptureFixture[str]) -> None:
    import PyKCS11._LowLevel

    library = PyKCS11._LowLevel.__file__
    with pytest.raises(UsageError, match="is a library, but not a PKCS #11 module"):
        Pkcs11Key(_uri(softhsm, f"&module-path={library}"))
    assert capfd.readouterr() == ("", "")


def test_module_that_does_not_start(softhsm: SoftHsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "none.conf"))
    done = run_python(SIGN, softhsm.uri("token=single"))
    assert done.stdout.startswith("3 the PKCS #11 module failed to start: CKR_GENERAL_ERROR"), done.stderr


def test_module_that_does_not_start_again(softhsm: SoftHsm, fail: Callable[[str, int], None]) -> None:
    Pkcs11Key(softhsm.uri("token=single"))
    fail("C_Initialize", 0x05)
    with pytest.raises(HfSignError, match="libsofthsm2.so' does not start: CKR_GENERAL_ERROR"):
        Pkcs11Key(softhsm.uri("token=single"))


def test_module_started_by_others(softhsm: SoftHsm) -> None:
    code = f"import ctypes, sys\nassert ctypes.CDLL({str(softhsm.module)!r}).C_Initialize(None) == 0\n{SIGN}"
    assert run_python(code, softhsm.uri("token=single")).stdout == "True\n"


def test_two_modules(softhsm: SoftHsm, tmp_path: Path) -> None:
    """A copy is another module, with its own state."""
    shutil.copy(softhsm.module, tmp_path / "copy.so")
    code = f"{SIGN}\nprint(len(Pkcs11Key(sys.argv[2]).sign(b'm')) > 8)"
    copy = softhsm.uri("token=single").replace(str(softhsm.module), str(tmp_path / "copy.so"))
    assert run_python(code, softhsm.uri("token=single"), copy).stdout == "True\nTrue\n"


# The library that the URI describes


@pytest.mark.parametrize(
    "path", ["library-manufacturer=SoftHSM", "library-description=Implementation%20of%20PKCS11", "library-version={}"]
)
def test_library_fits(softhsm: SoftHsm, path: str) -> None:
    major, minor = softhsm.library().getInfo().libraryVersion
    assert Pkcs11Key(softhsm.uri("token=single;" + path.format(f"{major}.{minor}")))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("library-manufacturer=other", "is not the one in the URI: its library-manufacturer is 'SoftHSM'"),
        (
            "library-description=other",
            "is not the one in the URI: its library-description is 'Implementation of PKCS11'",
        ),
        ("library-version=99.9", r"is not the one in the URI: its library-version is '\d"),
        ("library-version=2", r"is not the one in the URI: its library-version is '2\.[1-9]"),
    ],
)
def test_library_is_another(softhsm: SoftHsm, path: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Pkcs11Key(softhsm.uri(f"token=single;{path}"))


def test_library_version_without_minor(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7512, section 2.3: a version without the second number means .0."""
    import PyKCS11

    info = softhsm.library().getInfo()
    info.libraryVersion = (3, 0)
    monkeypatch.setattr(PyKCS11.PyKCS11Lib, "getInfo", lambda _: info)
    assert Pkcs11Key(softhsm.uri("token=single;library-version=3"))
    assert Pkcs11Key(softhsm.uri("token=single;library-version=3.0"))


def test_library_does_not_describe_itself(softhsm: SoftHsm, fail: Callable[[str, int], None]) -> None:
    fail("C_GetInfo", 0x30)
    with pytest.raises(HfSignError, match="failed to describe itself: CKR_DEVICE_ERROR"):
        Pkcs11Key(softhsm.uri("token=single"))
