"""Options for downloads and archives."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.real_models import tarball
from tests.servers.static import StaticHosts
from tests.user import User, small_folder


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("1000", 1000),
        ("1k", 1000),
        ("1 KB", 1000),
        ("1KiB", 1024),
        ("1.5k", 1500),
        ("0.001MB", 1000),
        ("0.001mib", 1048),
    ],
)
def test_sizes_with_units(hosts: StaticHosts, cli: Cli, text: str, limit: int) -> None:
    for size, code in ((limit, 0), (limit + 1, 1)):
        reference = hosts.put("/a.onnx", bytes(size))
        assert cli("digest", "--max-download", text, reference).code == code


@pytest.mark.parametrize("text", ["", "0", "-1", "1X", "k", "1e3", "1kk", "nan", "0.0001"])
def test_malformed_sizes(cli: Cli, text: str) -> None:
    done = cli("digest", "--max-download", text, "https://host/a.onnx")
    assert done.code == 2
    assert f"'{text}' is no number of bytes; write it as 500MB or 20GiB" in done.err


@pytest.mark.parametrize(
    ("option", "good", "bad", "sentence"),
    [
        ("--max-members", "3", "2", "it has more than 2 members (--max-members permits more)"),
        ("--max-unpacked", "20KiB", "1000", "more than 1,000 bytes come out of it (--max-unpacked permits more)"),
        ("--max-ratio", "1000", "1", "more than 1 times its size comes out of it (--max-ratio permits more)"),
    ],
)
def test_limits_of_an_archive(
    hosts: StaticHosts,
    cli: Cli,
    tmp_path: Path,
    option: str,
    good: str,
    bad: str,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("hub_adapters.archives.unpack._SMALL", 1000)  # bytes; less than tar makes of anything
    reference = hosts.put("/a.tar.gz", tarball(small_folder(tmp_path)))
    refused = cli("digest", option, bad, reference)
    assert refused.code == 1
    assert sentence in refused.err
    assert cli("digest", option, good, reference).code == 0


def test_files_beside_a_path(cli: Cli, model: Path) -> None:
    done = cli("digest", "--with", "a.bin", model)
    assert done.code == 2
    assert "--with names files beside a web address; sign the folder that holds them all" in done.err


SECRET = "s3" + "cret"  # not shown as the lines of a traceback


def test_secrets_are_not_shown(hosts: StaticHosts, user: User, tmp_path: Path) -> None:
    address = hosts.put("/a.onnx", b"x").replace("://", f"://user:{SECRET}@") + f"?token={SECRET}"
    hosts.fail(404)
    for expected in (3, 0):
        done = user.cli("--log-level", "debug", "--debug", "digest", address)
        assert done.code == expected
        assert SECRET not in done.out + done.err
    ends = (("sign", "--private-key", user.pair.private), ("verify", "--public-key", user.pair.public))
    for command, option, key in ends:
        for global_options in ((), ("--json",), ("--log-level", "debug", "--debug")):
            done = user.cli(*global_options, command, "key", option, key, "--signature", "s.sig", address)
            assert done.code == 0, done.err
            assert SECRET not in done.out + done.err
    assert SECRET not in user.cli("--json", "inspect", "s.sig").out
    assert not [
        path for path in (tmp_path / "cache").rglob("*") if path.is_file() and SECRET in path.read_text("latin-1")
    ]


@pytest.mark.parametrize(
    "reference",
    [
        "ftp://user:{}@host/a.onnx",
        "HTTPS://user:{}@host/a?token={}",
        "https://user:{}@host/a.html?token={}",
        "https://tfhub.dev/a/b?token={}",
        "tfhub://user:{}@a/b/c",
        "torchhub://user:{}@a/b",
        "https://huggingface.co/a/b/c/d?token={}",
        "https://user:{}@höst/a.onnx",
        "https://user:{}@[::1/a.onnx",
    ],
)
def test_secrets_of_broken_references_are_not_shown(cli: Cli, reference: str) -> None:
    text = reference.replace("{}", SECRET)
    for arguments in (("digest", text), ("verify", "key", "--public-key", "x", "--signature", text, "x")):
        done = cli("--debug", *arguments)
        assert done.code == 2, done.err
        assert SECRET not in done.out + done.err


def test_signature_is_not_written_to_an_address(user: User, model: Path) -> None:
    address = f"https://user:{SECRET}@host/s.sig"
    done = user.cli("sign", "key", "--private-key", user.pair.private, "--signature", address, model)
    assert done.code == 2
    assert "the signature is written to a file on this disk: name one with --signature" in done.err
    assert SECRET not in done.err


def test_schemes_in_capitals(hosts: StaticHosts, user: User) -> None:
    address = hosts.put("/a.onnx", b"x").replace("http://", "HTTP://")
    user.sign(address)
    hosts.put("/a.sig", Path("s.sig").read_bytes())
    user.verify(address, "--signature", address.replace(".onnx", ".sig"))
