"""The table of interoperation cases: models, options and signers; and the known differences between the tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tests.helpers import FILES


@dataclass(frozen=True)
class Departure:
    """The expected failure: an error that matches, or, after an edit, unexpected success when it is None."""

    match: str | None
    why: str


@dataclass(frozen=True)
class Case:
    """A model and the options to sign it. `signature` is relative to the model, or to the directory of a single file.

    `departures` has an entry for each step that fails: "we sign", "they sign", "we verify", "they verify" (a bundle of
    the other tool), each of the two verifications with an edit, as in "we verify, renamed", and "resources" for
    lists that differ.
    """

    files: Mapping[str, bytes] = field(default_factory=lambda: FILES)
    links: Mapping[str, str] = field(default_factory=dict)
    credential: str = "P-256"
    hash_type: str = "sha256"
    shard_size: int | None = None
    allow_symlinks: bool = False
    single: bool = False
    signature: str = "model.sig"
    ignored: tuple[str, ...] = ()
    git: bool = True
    tolerated: tuple[str, ...] = ()
    departures: Mapping[str, Departure] = field(default_factory=dict)


def _with(case: Case, **departures: Departure) -> Case:
    named = {step.replace("__", ", ").replace("_", " "): departure for step, departure in departures.items()}
    return replace(case, departures={**case.departures, **named})


def _both(match: str, why: str, *steps: str) -> dict[str, Departure]:
    return {step: Departure(match, why) for step in steps}


_SHARD_NAME = "they accept only the algorithm `sha256-sharded-SIZE`, which they write; the specification says `sha256`"
_BY_HASH = Departure("Hash mismatch for", _SHARD_NAME)
_EMPTY_UNLISTED = "they neither list nor compare empty files in shards; we refuse a file that no signature speaks of"
_BESIDE = "what lies beside a single file is no part of the model"
_DOT = "they name a single file `.`, whatever it is called; the specification says its basename"
_PATH_GONE = "the path itself is gone: no verdict on a model"
_NOW = "they judge a certificate as of its own beginning; the specification wants it valid when it is verified"
_WILDCARD = "the specification allows no wildcard in an ignored path; they record any"
_UNUSABLE = "a name that reads differently elsewhere is not signed by us, and refused when it is signed"
_USE = "they take any digital signature, or code signing without one; we refuse what is forbidden to sign code"

_ODD = {
    "dots": {"a.b.c": b"1", ".hidden": b"2", "..x": b"3", "...": b"4", "x.": b"5"},
    "spaces": {"a b": b"1", " lead": b"2", "trail ": b"3", "a  b/c d": b"4"},
    "Unicode": {"e\u0301": b"1", "\u00e9": b"2", "\U0001f600/\U00020000": b"3", "ß": b"4", "\u202ex": b"5"},
    "order": dict.fromkeys(["a/b", "a-b", "a.b", "a b", "Z", "é", "\U0001f600", "\uffee", "a0"], b"x"),
    "empty files": {"a": b"", "b/c": b"", "d": b"data"},
    "only empty files": {"a": b"", "b": b""},
    "deep": {"a/" * 40 + "f": b"1", "a/x": b"2", "z": b"3"},
    "long names": {"n" * 255: b"1", "ä" * 127: b"2"},
    "one file in a folder": {"weights.bin": b"w" * 100},
    "dashes": {"-rf": b"1", "--help": b"2", "-": b"3", "~": b"4", "$HOME": b"5", "%s": b"6"},
    "shell": {"a'b": b"1", 'a"b': b"2", "a*?[b]": b"3", "<&|>": b"4"},
}
_COLONS = {"w:0:10": b"1", "a:b/c:d": b"2", ":": b"3", "x:y": b"4" * 100}
_GIT = {**FILES, ".gitattributes": b"x", ".git/config": b"y", ".github/w.yml": b"z", "sub/.gitignore": b"z"}
_SINGLE = Case({"weights.bin": b"w" * 300}, single=True, signature="weights.bin.sig")
_SINGLE_DEPARTURES = {
    "they verify": Departure("Signature mismatch", _DOT),
    "resources": Departure(None, _DOT),
    **_both(r"there is no model at", _PATH_GONE, "we verify, removed"),
    "we verify, renamed": Departure(None, _DOT),
    "we verify, added": Departure(None, _BESIDE),
}
_LINKED = {**FILES, "sub/real.bin": b"real"}
_MODEL_SIG = {**FILES, "model.sig": b"an older one", ".cache/huggingface/x": b"y"}
_LEFT_OUT = "we leave out the signature's usual name and what `hf download` writes; they list it, so we compare it"


def _sharded(case: Case, size: int) -> Case:
    return _with(replace(case, shard_size=size), they_verify=_BY_HASH)


CASES: dict[str, Case] = {
    # signers
    **{curve: Case(credential=curve) for curve in ("P-256", "P-384", "P-521")},
    "another key": _with(
        Case(credential="another key"),
        we_verify=Departure("the model was signed with another key", "not trusted"),
        they_verify=Departure("Key mismatch", "not trusted"),
    ),
    **{f"certificate {curve}": Case(credential=f"certificate {curve}") for curve in ("P-256", "P-384", "P-521")},
    **{
        name: Case(credential=name)
        for name in (
            "self-signed certificate",
            "intermediate in the bundle",
            "whole chain in the bundle",
            "intermediate from the verifier",
            "authority for code signing",
        )
    },
    "no chain in the bundle": _with(
        Case(credential="no chain in the bundle"),
        they_sign=Departure("Unable to load PEM file", "they cannot sign without any --certificate_chain"),
    ),
    "chain in another order": _with(
        Case(credential="chain in another order"),
        we_sign=Departure("the chain is not in order", "the specification: the leaf, followed by its chain"),
    ),
    "intermediate as the root": _with(
        Case(credential="intermediate as the root"),
        they_verify=Departure(
            "unable to get issuer certificate", "they want every path to end in a self-signed certificate"
        ),
    ),
    "intermediate nowhere": _with(
        Case(credential="intermediate nowhere"),
        we_verify=Departure("does not lead to any of the root certificates", "no path"),
        they_verify=Departure("unable to get local issuer certificate", "no path"),
    ),
    "another root": _with(
        Case(credential="another root"),
        we_verify=Departure("does not lead to any of the root certificates", "not trusted"),
        they_verify=Departure("self-signed certificate in certificate chain", "not trusted"),
    ),
    "expired certificate": _with(
        Case(credential="expired certificate"),
        we_sign=Departure("expired at", _NOW),
        we_verify=Departure("expired at", _NOW),
    ),
    "expired root": _with(Case(credential="expired root"), we_verify=Departure("expired at", _NOW)),
    "authority": _with(
        Case(credential="authority"),
        we_sign=Departure("it signs certificates, not models", _USE),
        we_verify=Departure("it signs certificates, not models", _USE),
    ),
    "certificate for time stamping": _with(
        Case(credential="certificate for time stamping"),
        we_sign=Departure("does not allow code signing", _USE),
        we_verify=Departure("does not allow code signing", _USE),
    ),
    "certificate not for signatures": _with(
        Case(credential="certificate not for signatures"),
        we_sign=Departure("does not allow digital signatures", _USE),
        we_verify=Departure("does not allow digital signatures", _USE),
    ),
    # files
    **{name: Case(files) for name, files in _ODD.items()},
    "colons": Case(_COLONS),
    "control characters": _with(
        Case({"a\nb": b"1", "c": b"2"}),
        we_sign=Departure("contains a control character", _UNUSABLE),
        we_verify=Departure("contains a control character", _UNUSABLE),
    ),
    "backslash": _with(
        Case({"a\\b": b"1", "c": b"2"}),
        we_sign=Departure("contains a backslash", _UNUSABLE),
        we_verify=Departure("contains a backslash", _UNUSABLE),
    ),
    "not UTF-8": _with(
        Case({"a\udcff": b"1", "c": b"2"}),
        we_sign=Departure("is not valid UTF-8", "section 6.1.2"),
        they_sign=Departure("surrogates not allowed", "section 6.1.2"),
    ),
    "empty model": _with(
        Case({}),
        we_sign=Departure("holds nothing to sign", "the specification: an empty model MUST be rejected"),
        we_verify=Departure("the signed file list is empty", "they sign it"),
    ),
    "single file": replace(_SINGLE, departures=_SINGLE_DEPARTURES),
    "single file, certificate, blake3": replace(
        _SINGLE, departures=_SINGLE_DEPARTURES, credential="certificate P-384", hash_type="blake3"
    ),
    # ignored paths
    "git paths": Case(_GIT, tolerated=(".gitignore", ".git/HEAD", ".github/new")),
    "git paths signed": Case(_GIT, git=False),
    "ignored paths": Case(
        {**FILES, "cache/a": b"1", "notes.md": b"2", "sub/cache/b": b"3"},
        ignored=("cache", "notes.md", "not/there"),
        tolerated=("cache/new", "not/there"),
    ),
    "signature outside": Case(signature="../model.sig"),
    "signature with another name": Case(signature="signatures/of this.sig"),
    "signature with a wildcard": _with(
        Case(signature="model[1].sig"),
        we_sign=Departure("contains a wildcard", _WILDCARD),
        we_verify=Departure("contains a wildcard", _WILDCARD),
    ),
    "left out by us alone": _with(Case(_MODEL_SIG, signature="../model.sig"), resources=Departure(None, _LEFT_OUT)),
    # symbolic links
    "links to files": Case(
        _LINKED, {"link.bin": "sub/real.bin", "sub/up": "../config.json", "out": "../outside.bin"}, allow_symlinks=True
    ),
    "link back to the model": Case(_LINKED, {"sub/loop": ".."}, allow_symlinks=True),
    "link to a folder": _with(
        Case(_LINKED, {"linked": "sub"}, allow_symlinks=True),
        we_verify=Departure(
            "1 added\n  added: linked/real.bin", "they list nothing below a linked folder; the specification does"
        ),
        they_verify=Departure("Missing files in model 'model': linked/real.bin", "they list nothing below it"),
        resources=Departure(None, "they list nothing below a linked folder"),
    ),
    "link to nothing": _with(
        Case(_LINKED, {"broken": "nowhere"}, allow_symlinks=True),
        we_sign=Departure("leads nowhere", "there is nothing to hash"),
        they_sign=Departure("Cannot use .*broken", "there is nothing to hash"),
    ),
    "link to a device": _with(
        Case(_LINKED, {"null": "/dev/null"}, allow_symlinks=True),
        we_sign=Departure("is a device; a model holds regular files only", "section 6.1"),
        they_sign=Departure("Cannot use .*null", "section 6.1"),
    ),
    "link among what is left out": _with(
        Case(_GIT, {".git/HEAD": "config"}),
        they_sign=Departure("because it is a symlink", "they look at links before they leave anything out"),
        they_verify=Departure("because it is a symlink", "they look at links before they leave anything out"),
    ),
    "links not allowed": _with(
        Case(_LINKED, {"link.bin": "sub/real.bin"}),
        we_sign=Departure("is a symbolic link and not", "section 6.1.1"),
        they_sign=Departure("because it is a symlink", "section 6.1.1"),
    ),
    # hashes
    "blake2b": Case(hash_type="blake2b"),
    "blake3": Case({**FILES, "empty": b""}, hash_type="blake3"),
    "blake2b, P-521": Case(_ODD["Unicode"], hash_type="blake2b", credential="P-521"),
    **{
        f"shards of {size:,}, {what}": _sharded(Case(), size)
        for size, what in {
            1: "one byte",
            1000: "does not divide",
            1024: "divides",
            4095: "one byte left",
            4096: "a file each",
            4097: "larger than files",
            1_000_000_000: "the default",
        }.items()
    },
    "shards, blake2b": _with(_sharded(Case(hash_type="blake2b", credential="P-384"), 1000), they_verify=_BY_HASH),
    "shards, blake3": _with(
        Case(hash_type="blake3", shard_size=1000),
        they_verify=Departure("Missing files", "they never make shards with BLAKE3"),
        resources=Departure(None, "they never make shards with BLAKE3"),
    ),
    "shards, certificate": _sharded(Case(_ODD["Unicode"], credential="intermediate in the bundle"), 2),
    "shards, order": _sharded(Case({**_ODD["order"], "big": b"b" * 12_000}), 1000),
    "shards, links": _sharded(Case(_LINKED, {"link.bin": "sub/real.bin"}, allow_symlinks=True), 3),
    "shards, colons": _with(
        Case(_COLONS, shard_size=10),
        they_verify=Departure("expected 3 components separated by", "they split at every colon"),
    ),
    "shards, empty files": _with(
        Case(_ODD["empty files"], shard_size=3),
        they_verify=_BY_HASH,
        we_verify=Departure("2 added\n  added: a, b/c", _EMPTY_UNLISTED),
    ),
    "shards, only empty files": _with(
        Case(_ODD["only empty files"], shard_size=3),
        we_sign=Departure("is empty, and shards list no empty file", "the list would be empty"),
        we_verify=Departure("the signed file list is empty", "they sign an empty list"),
    ),
    "shards, single file": replace(
        _SINGLE,
        shard_size=128,
        departures={**_SINGLE_DEPARTURES, "they verify": Departure("Missing files", f"{_DOT}; {_SHARD_NAME}")},
    ),
}
