"""Archives of every kind, made by several programs, are unpacked correctly."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from hub_adapters.archives.unpack import lift_lone_folder, unpack
from hub_adapters.errors import ContentError
from hub_adapters.limits import Limits
from tests.helpers import names_below, write_tree
from tests.hub_adapters.archives.make import (
    BZIP2,
    COMPRESSIONS,
    DEFLATED,
    END,
    STORED,
    ZipEnd,
    ZipMember,
    content,
    extra_field,
    gnu_long,
    names_around,
    pax,
    tar_file,
    tar_folder,
    tar_of,
    unpacked,
    zip_of,
)

FILES = {"config.json": b'{"layers": 2}', ".hidden": b"", "weights/a.bin": b"A" * 5000, "weights/ünï/b": b"\0\xff"}
LONG = "l/" * 60 + "n" * 200


def _has(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"there is no `{program}` here")


def _files(tmp_path: Path, archive: bytes) -> dict[str, bytes | None]:
    """Unpack an archive and return its files, without the directories."""
    return {name: data for name, data in unpacked(tmp_path, archive).items() if data is not None}


# Tar


@pytest.mark.parametrize("kind", COMPRESSIONS)
def test_tar_compressed_as(tmp_path: Path, kind: str) -> None:
    assert _files(tmp_path, COMPRESSIONS[kind](tar_of(FILES))) == FILES


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zst"])
def test_tar_in_several_streams(tmp_path: Path, kind: str) -> None:
    tar = tar_of(FILES)
    pieces = (tar[:100], tar[100:700], b"", tar[700:])
    assert _files(tmp_path, b"".join(map(COMPRESSIONS[kind], pieces))) == FILES


@pytest.mark.parametrize(
    "form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT], ids=["pax", "gnu", "ustar"]
)
def test_tar_long_name(tmp_path: Path, form: int) -> None:
    name = "p" * 99 + "/" + "n" * 99  # fits into the prefix and the name of a header
    assert _files(tmp_path, tar_of({name: b"x"}, form)) == {name: b"x"}


@pytest.mark.parametrize(
    "header",
    [pax(path=LONG), gnu_long(LONG), pax(path=LONG, mtime="1.5", size="4", comment="no")],
    ids=["pax", "gnu", "pax-and-more"],
)
def test_tar_longer_name(tmp_path: Path, header: bytes) -> None:
    assert _files(tmp_path, header + tar_file("short") + END) == {LONG: b"data"}


SPELLINGS = {
    "dot": (tar_folder("./") + tar_file("./d/f") + END, {"d": None, "d/f": b"data"}),
    "dots": (tar_folder(".") + tar_file("././d//./f") + END, {"d": None, "d/f": b"data"}),
    "listed": (tar_folder("d/") + tar_file("d/f") + END, {"d": None, "d/f": b"data"}),
    "no-slash": (tar_folder("d") + tar_file("d/f") + END, {"d": None, "d/f": b"data"}),
    "listed-after": (tar_file("d/f") + tar_folder("d/") + END, {"d": None, "d/f": b"data"}),
    "listed-twice": (tar_folder("d/") * 2 + tar_file("d/f") + END, {"d": None, "d/f": b"data"}),
    "empty-folder": (tar_folder("d/e/") + tar_file("f") + END, {"d": None, "d/e": None, "f": b"data"}),
    "old-file": (tar_file("f", kind=b"\0") + END, {"f": b"data"}),
    "old-folder": (tar_file("d/", b"", kind=b"\0") + tar_file("f") + END, {"d": None, "f": b"data"}),
    "prefix": (tar_file("f", prefix=b"d") + END, {"d": None, "d/f": b"data"}),
    "base-256-size": (tar_file("f", size=b"\x80" + bytes(10) + b"\4") + END, {"f": b"data"}),
    "lone-zero-block": (tar_file("f") + bytes(512), {"f": b"data"}),
    "much-padding": (tar_file("f") + bytes(10240), {"f": b"data"}),
    "dots-in-names": (tar_file("..a/b../...") + END, {"..a": None, "..a/b..": None, "..a/b../...": b"data"}),
    "global-comment": (pax(kind=b"g", comment="0" * 40) + tar_file("f") + END, {"f": b"data"}),
    "255-bytes": (pax(path="ü" * 127 + "n") + tar_file("f") + END, {"ü" * 127 + "n": b"data"}),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_tar_spelled(tmp_path: Path, spelling: str) -> None:
    archive, files = SPELLINGS[spelling]
    assert unpacked(tmp_path, archive) == files


@_has("tar")
@pytest.mark.parametrize("form", ["pax", "gnu", "ustar"])
def test_tar_of_the_program(tmp_path: Path, form: str) -> None:
    write_tree(tmp_path / "model", FILES)
    command = ["tar", f"--format={form}", "-cf", "-", "-C", str(tmp_path / "model"), "."]
    assert _files(tmp_path, subprocess.check_output(command)) == FILES


# Zip


@pytest.mark.parametrize("method", [STORED, DEFLATED, BZIP2], ids=["stored", "deflated", "bzip2"])
@pytest.mark.parametrize("descriptor", ["", "<LLL", "PK<LLL", "<LQQ", "PK<LQQ"])
def test_zip_with(tmp_path: Path, method: int, descriptor: str) -> None:
    members = (ZipMember(name, data, method, descriptor=descriptor) for name, data in FILES.items())
    assert _files(tmp_path, zip_of(*members)) == FILES


ZIPS = {
    "zip64": zip_of(ZipMember("f", zip64=True), end=ZipEnd(zip64={})),
    "zip64-end-where-no-number-is-in-the-old-one": zip_of(
        ZipMember("f"), end=ZipEnd(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, zip64={})
    ),
    "zip64-in-a-stream": zip_of(
        ZipMember("f", zip64=True, descriptor="PK<LQQ", local={"crc": 0, "size": 0, "packed": 0})
    ),
    "comment": zip_of(ZipMember("f"), end=ZipEnd(comment=b"0" * 40)),
    "longest-comment": zip_of(ZipMember("f"), end=ZipEnd(comment=b"c" * 0xFFFF)),
    "times-in-extra-fields": zip_of(
        ZipMember("f", local_extra=extra_field(0x5455, bytes(13)), central_extra=extra_field(0x5455, bytes(5)))
    ),
    "made-on-dos": zip_of(ZipMember("f", made_by=0, mode=0)),
}


@pytest.mark.parametrize("kind", ZIPS)
def test_zip_that_has(tmp_path: Path, kind: str) -> None:
    assert unpacked(tmp_path, ZIPS[kind]) == {"f": b"data"}


@pytest.mark.parametrize("method", [STORED, DEFLATED], ids=["stored", "deflated"])  # Java deflates folders, to 2 bytes
@pytest.mark.parametrize("descriptor", ["", "PK<LLL"], ids=["", "streamed"])
def test_zip_with_folder(tmp_path: Path, method: int, descriptor: str) -> None:
    folder = ZipMember("d/", b"", method, mode=0o40755, descriptor=descriptor)
    assert unpacked(tmp_path, zip_of(folder, ZipMember("f"))) == {"d": None, "f": b"data"}


class _NoSeek(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise OSError("no")

    def seek(self, *_: int) -> int:
        raise OSError("no")


@pytest.mark.parametrize("out", [io.BytesIO, _NoSeek], ids=["file", "stream"])
@pytest.mark.parametrize("method", [STORED, DEFLATED, BZIP2], ids=["stored", "deflated", "bzip2"])
def test_zip_of_python(tmp_path: Path, method: int, out: type[io.BytesIO]) -> None:
    target = out()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
        with archive.open("large", "w", force_zip64=True) as file:
            file.write(b"large")
        archive.writestr("folder/", b"")
    assert _files(tmp_path, target.getvalue()) == {**FILES, "large": b"large"}


@_has("zip")
@pytest.mark.parametrize("option", ["-r", "-r0", "-rD", "-rX", "-r9", "-rZbzip2", "-rfz", "-rfd"])
def test_zip_of_the_program(tmp_path: Path, option: str) -> None:
    write_tree(tmp_path / "model", FILES)
    subprocess.run(["zip", "-q", option, "../z.zip", "."], cwd=tmp_path / "model", check=True)
    assert _files(tmp_path, (tmp_path / "z.zip").read_bytes()) == FILES


@_has("zip")
def test_zip_of_the_program_into_a_pipe(tmp_path: Path) -> None:
    write_tree(tmp_path / "model", FILES)
    archive = subprocess.check_output(["zip", "-q", "-r", "-", "."], cwd=tmp_path / "model")
    assert _files(tmp_path, archive) == FILES


# Git


@_has("git")
@pytest.mark.parametrize("form", ["tar", "tgz", "zip"])
@pytest.mark.parametrize("threshold", ["512m", "1k"], ids=["", "streamed"])
def test_archive_of_git(tmp_path: Path, form: str, threshold: str) -> None:
    files = {**FILES, LONG: b"long"}
    model = write_tree(tmp_path / "model", files)
    git = ("git", "-c", "user.name=n", "-c", "user.email=e", "-c", f"core.bigFileThreshold={threshold}")
    for command in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "m")):
        subprocess.run([*git, *command], cwd=model, check=True)
    archive = subprocess.check_output([*git, "archive", f"--format={form}", "--prefix=model-1/", "HEAD"], cwd=model)
    assert _files(tmp_path, archive) == {f"model-1/{name}": data for name, data in files.items()}


# Modes


@pytest.mark.parametrize(("umask", "plain", "runs"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_mode_of(tmp_path: Path, kind: str, umask: int, plain: int, runs: int) -> None:
    modes = {"none": 0, "plain": 0o644, "all": 0o7777, "runs": 0o755, "group": 0o070}
    tar = b"".join(tar_file(name, mode=mode) for name, mode in modes.items()) + END
    packed = zip_of(*(ZipMember(name, mode=0o100000 | mode) for name, mode in modes.items()))
    before = os.umask(umask)
    try:
        unpacked(tmp_path, tar if kind == "tar" else packed)
    finally:
        os.umask(before)
    found = {path.name: path.stat().st_mode & 0o7777 for path in (tmp_path / "folder").iterdir()}
    assert found == {"none": plain, "plain": plain, "all": runs, "runs": runs, "group": plain}


# The folder


def test_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    write_tree(tmp_path / "folder", {"mine": b"precious"})
    with pytest.raises(FileExistsError, match="folder"):
        unpacked(tmp_path, tar_of(FILES))
    assert content(tmp_path / "folder") == {"mine": b"precious"}


def test_missing_archive_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        unpack(str(tmp_path / "nowhere"), str(tmp_path / "folder"), Limits())
    assert not names_around(tmp_path)


@pytest.mark.parametrize("name", ["top/f", "top/top/f", "folder/f", "top/folder.lifted/f"])
def test_lone_folder_is_lifted(tmp_path: Path, name: str) -> None:
    write_tree(tmp_path / "folder", {name: b"x"})
    assert lift_lone_folder(str(tmp_path / "folder"))
    assert (tmp_path / "folder" / name.partition("/")[2]).read_bytes() == b"x"
    assert names_around(tmp_path) == {"folder"}


@pytest.mark.parametrize("names", [["f"], ["top/f", "g"], ["a/f", "b/f"]], ids=str)
def test_no_lone_folder(tmp_path: Path, names: list[str]) -> None:
    write_tree(tmp_path / "folder", dict.fromkeys(names, b"x"))
    before = names_below(tmp_path)
    assert not lift_lone_folder(str(tmp_path / "folder"))
    assert names_below(tmp_path) == before


# Files that are not archives


NOTHING = {
    "nothing": (b"", "no archive of a kind that is known"),
    "a-page": (b"<html>" * 100, "no archive of a kind that is known"),
    "zeros": (bytes(10240), "no archive of a kind that is known"),
    "rar": (b"Rar!\x1a\x07\x01\x00", "no archive of a kind that is known"),
    "a-packed-page": (gzip.compress(b"<html>" * 100), "cannot be read as a tar"),
    "a-packed-nothing": (gzip.compress(b""), "cannot be read as a tar"),
    "a-packed-zip": (gzip.compress(zip_of(ZipMember("f"))), "cannot be read as a tar"),
    "a-twice-packed-tar": (gzip.compress(gzip.compress(tar_of(FILES))), "cannot be read as a tar"),
    "packed-zeros": (gzip.compress(bytes(10240)), "no file is in it"),
    "an-empty-zip": (zip_of(), "no file is in it"),
    "a-tar-of-folders": (tar_folder("a/") + tar_folder("b/c/") + END, "no file is in it"),
    "a-zip-of-folders": (zip_of(ZipMember("a/", b"", mode=0o40755)), "no file is in it"),
}


@pytest.mark.parametrize("kind", NOTHING)
def test_no_model_in(tmp_path: Path, kind: str) -> None:
    data, message = NOTHING[kind]
    with pytest.raises(ContentError, match=message):
        unpacked(tmp_path, data)
    assert names_around(tmp_path) == {"archive"}
