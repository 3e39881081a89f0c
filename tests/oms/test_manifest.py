from __future__ import annotations

import hashlib

import pytest

from hf_model_signing._util.text import show
from hf_model_signing.oms.manifest import Manifest, Serialization
from hf_model_signing.oms.names import (
    PathError,
    check_ignore_path,
    check_name,
    default_ignores,
    is_below,
    is_plain,
    matches_any,
)


def _manifest(*names: str) -> Manifest:
    return Manifest.of("model", {name: hashlib.sha256(name.encode()).digest() for name in names}, Serialization())


def test_root_digest_of_specification() -> None:
    digests = {
        "weights.bin": bytes.fromhex("4555555dc68d872c2270ba89ecc5f6f094812f65372b37e50071fe5168031c49"),
        "config.json": bytes.fromhex("5e472403951781d18d5f790aa5b3316a5f535fc37a1052f6659c9c6af82e3643"),
    }
    joined = digests["config.json"] + digests["weights.bin"]
    assert Manifest.of("m", digests, Serialization()).root_digest == hashlib.sha256(joined).hexdigest()


def test_order_is_by_code_point() -> None:
    names = ["a/b", "a-b", "a", "B", "é", "\uffff", "\U0001f600", "a.b", "ab"]
    assert [entry.name for entry in _manifest(*names).entries] == [
        "B",
        "a",
        "a-b",
        "a.b",
        "a/b",
        "ab",
        "é",
        "\uffff",
        "\U0001f600",
    ]


@pytest.mark.parametrize(
    ("name", "pattern", "result"),
    [
        ("a/b/c.bin", "*.bin", True),
        ("a/b/c.bin", "a/", True),
        ("ab/c.bin", "a/", False),
        ("a.BIN", "*.bin", False),
        ("a.bin", "?.bin", True),
        ("a.bin", "a", False),
        ("a.bin", "", False),
    ],
)
def test_matches_any(name: str, pattern: str, result: bool) -> None:
    assert matches_any(name, [pattern]) is result


def test_matches_any_of_no_patterns() -> None:
    assert not matches_any("a", [])


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "a/b",
        " ",
        "a b",
        "-rf",
        "--json",
        "a:b",
        "a:0:9",
        "...",
        "..a",
        "a..",
        ".hidden",
        "é",
        "e\u0301",
        "~",
        "$x",
        "d/" * 99 + "f",
    ],
)
def test_check_name_accepts(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "empty name"),
        ("/", "not a plain path"),
        ("/etc/passwd", "not a plain path"),
        ("..", "not a plain path"),
        ("../a", "not a plain path"),
        ("a/../b", "not a plain path"),
        ("a/..", "not a plain path"),
        (".", "not a plain path"),
        ("./a", "not a plain path"),
        ("a/./b", "not a plain path"),
        ("a//b", "not a plain path"),
        ("a/", "not a plain path"),
        ("a\\b", "backslash"),
        ("..\\a", "backslash"),
        ("a\nb", "control character"),
        ("a\n", "control character"),
        ("a\x00", "control character"),
        ("\x1b[31m", "control character"),
        ("\x7f", "control character"),
        ("\x9b", "control character"),
        ("\udcff", "not valid UTF-8"),
        ("a\ud83d", "not valid UTF-8"),
        ("d/" * 100 + "f", "has more than 100 names"),
        ("d" * 4097, "is longer than 4,096 bytes"),
    ],
)
def test_check_name_refuses(name: str, message: str) -> None:
    assert not is_plain(name)
    with pytest.raises(PathError, match=message):
        check_name(name)


@pytest.mark.parametrize(("path", "plain"), [("cache", "cache"), ("cache/", "cache"), ("a/b//", "a/b")])
def test_check_ignore_path_accepts(path: str, plain: str) -> None:
    assert check_ignore_path(path) == plain


@pytest.mark.parametrize("path", ["*", "a?", "[ab]", "x/*.bin"])
def test_check_ignore_path_wildcard(path: str) -> None:
    with pytest.raises(PathError, match="contains a wildcard"):
        check_ignore_path(path)


@pytest.mark.parametrize("path", ["", "/", "//", "/abs", ".", "..", "../a", "a/../..", "./a", "a\\b"])
def test_check_ignore_path_refuses(path: str) -> None:
    with pytest.raises(PathError, match="name|path"):
        check_ignore_path(path)


def test_default_ignores_with_git() -> None:
    assert set(default_ignores()) == {
        ".git",
        ".gitattributes",
        ".github",
        ".gitignore",
        ".cache/huggingface",
        "model.sig",
    }


def test_default_ignores_without_git() -> None:
    assert default_ignores(git=False) == (".cache/huggingface", "model.sig")


@pytest.mark.parametrize(
    ("name", "result"),
    [("cache", True), ("cache/a", True), ("cache2", False), ("sub/cache", False), ("cach", False)],
)
def test_is_below(name: str, result: bool) -> None:
    assert is_below(name, ["cache"]) is result


@pytest.mark.parametrize("name", ["\x1b[31mred", "a\nb", "\u202egnp.exe", "\udcff", "a\u00adb"])
def test_show_hides_unprintable(name: str) -> None:
    assert show(name) == ascii(name)


def test_show_keeps_plain_names() -> None:
    assert show("modèle 模型.bin") == "modèle 模型.bin"
