"""Options that several commands share, each declared once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from hf_model_signing._util.repository_kinds import KINDS, ORG_NAME
from hf_model_signing.cli.output import note
from hf_model_signing.errors import UsageError
from hub_adapters.limits import Limits

if TYPE_CHECKING:
    from hf_model_signing.hub.references import Source
    from hf_model_signing.signing import HowToHash
    from hub_adapters.interface import DownloadProgress

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}  # powers of 1000, or with an `i` of 1024
_HASH = click.Choice(["sha256", "blake2b", "blake3"])
_SIZE = click.IntRange(min=1)


class ByteCount(click.ParamType[int]):
    """A number of bytes: plain, or with a unit as in 500MB, 20GiB or 1.5G."""

    name = "BYTES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401
        """Return the number; fails for a malformed one, and for zero."""
        if isinstance(value, int):
            return value
        if value.strip().isdecimal() and int(value) > 0:
            return int(value)
        match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?) ?([kmgt]?)(i?)b?", value.strip(), re.IGNORECASE)
        if match and not match[2] and "." in match[1]:
            match = None  # parts of a byte
        count = int(float(match[1]) * (1024 if match[3] else 1000) ** _UNITS[match[2].lower()]) if match else 0
        if count < 1:
            self.fail(f"'{value}' is no number of bytes; write it as 500MB or 20GiB", param, ctx)
        return count


def reference_argument(name: str = "reference", metavar: str = "REFERENCE") -> click.Argument:
    """Return the argument for the model of a command."""
    return click.Argument([name], metavar=metavar)


REFERENCE_HELP = (
    "REFERENCE is a path (a folder, a single file, a snapshot folder of the Hugging Face cache), "
    f"hf://{ORG_NAME}[@REV], tfhub://PUBLISHER/MODEL/VARIATION/VERSION, torchhub://OWNER/REPO[:REF], "
    "the web address of a repository, or that of an .onnx file or an archive (.zip, .tar, .tar.gz and so on)."
)
REPO_HELP = f"REPO is ORG/NAME[@REV] of the kind that --type says, or hf://{ORG_NAME}[@REV]."


def ignore_options() -> list[click.Parameter]:
    """Return the options for ignored paths."""
    return [
        click.Option(
            ["--ignore-paths"], multiple=True, metavar="PATH", help="Leave out this file or folder. Repeatable."
        ),
        click.Option(
            ["--ignore-git-paths/--no-ignore-git-paths"],
            default=True,
            show_default=True,
            help="Leave out .git, .gitignore, .gitattributes and .github at the top of the model.",
        ),
    ]


def manifest_options() -> list[click.Parameter]:
    """Return the options for the manifest of a signature."""
    return [
        *ignore_options(),
        click.Option(
            ["--hash", "hash_type"], type=_HASH, default="sha256", show_default=True, help="The hash of files."
        ),
        click.Option(
            ["--shard-size"],
            type=ByteCount(),
            metavar="BYTES",
            help="Sign byte ranges of this size, not whole files (the `shards` serialization).",
        ),
        click.Option(["--allow-symlinks"], is_flag=True, help="Sign what symbolic links lead to."),
        click.Option(
            ["--allow-lfs-pointers"],
            is_flag=True,
            help="Sign Git LFS pointers as they are, not the files they stand for.",
        ),
    ]


def fetch_options() -> list[click.Parameter]:
    """Return the options for models on web servers: further files, and limits."""
    size = ByteCount()
    limits = Limits()
    return [
        click.Option(
            ["--with", "beside"],
            multiple=True,
            metavar="PATH",
            help="A data file beside the .onnx that REFERENCE names, relative to it. Repeatable.",
        ),
        click.Option(
            ["--max-download"],
            type=size,
            default=limits.max_download,
            show_default="100 GiB",
            help="Download no more than this of TensorFlow Hub, PyTorch Hub or a web address.",
        ),
        click.Option(
            ["--max-unpacked"],
            type=size,
            default=limits.max_unpacked,
            show_default="200 GiB",
            help="Take no more than this out of an archive.",
        ),
        click.Option(
            ["--max-members"],
            type=_SIZE,
            metavar="N",
            default=limits.max_members,
            show_default=True,
            help="Take no more files and folders than this out of an archive.",
        ),
        click.Option(
            ["--max-ratio"],
            type=_SIZE,
            metavar="N",
            default=limits.max_ratio,
            show_default=True,
            help="Take no more than this many times its size out of an archive.",
        ),
    ]


def source_of(values: dict[str, Any], progress: DownloadProgress | None) -> Source:
    """Return the model that the REFERENCE of a command names, with the `fetch_options`."""
    from hf_model_signing.hub.references import Source

    limits = Limits(values["max_download"], values["max_members"], values["max_unpacked"], values["max_ratio"])
    return Source(values["reference"], values["beside"], limits, progress, note)


def expected_options() -> list[click.Parameter]:
    """Return the options that reject a signature with another hash or shard size."""
    return [
        click.Option(["--hash", "hash_type"], type=_HASH, help="Refuse a signature that was made with another hash."),
        click.Option(
            ["--shard-size"],
            type=ByteCount(),
            metavar="BYTES",
            help="Refuse a signature of shards of another size, or of none.",
        ),
        click.Option(
            ["--allow-symlinks"], is_flag=True, help="Accepted for `model_signing`'s sake: the signature decides."
        ),
    ]


def how_to_hash(values: dict[str, Any], ignore_paths: Iterable[str]) -> HowToHash:
    """Return what the `manifest_options` say, with the ignored paths relative to the model."""
    from hf_model_signing.signing import HowToHash

    return HowToHash(**manifest_arguments(values, ignore_paths))


def manifest_arguments(values: dict[str, Any], ignore_paths: Iterable[str]) -> dict[str, Any]:
    """Return what the `manifest_options` say as arguments of the Python API."""
    names = ("ignore_git_paths", "allow_symlinks", "hash_type", "shard_size", "allow_lfs_pointers")
    return {"ignore_paths": tuple(ignore_paths), **{name: values[name] for name in names}}


def coverage_options() -> list[click.Parameter]:
    """Return the options for the part of a model that is verified."""
    return [
        click.Option(
            ["--ignore-unsigned-files/--no-ignore-unsigned-files"],
            default=False,
            show_default=True,
            help="Accept files that the signature does not list.",
        ),
        only_option(),
    ]


def only_option() -> click.Option:
    """Return the option for patterns of files."""
    return click.Option(["--only"], multiple=True, metavar="PATTERN", help="Only files that fit. Repeatable.")


def replace_others_option() -> click.Option:
    """Return the option that permits to replace the signatures of other signers."""
    return click.Option(
        ["--replace-others"], is_flag=True, help="Replace a signature that somebody else made; without it, refuse."
    )


def type_option() -> click.Option:
    """Return the option for the kind of a repository."""
    return click.Option(["--type", "kind"], type=click.Choice(KINDS), help="What the repository is.  [default: model]")


def ignored_in(source: Source, values: dict[str, Any]) -> tuple[str, ...]:
    """Return the ignored paths that a command was given, relative to the model."""
    paths: tuple[str, ...] = values["ignore_paths"]
    return paths if source.on_hub else ignored_below(values["reference"], paths)


def ignored_below(model: str, paths: Iterable[str]) -> tuple[str, ...]:
    """Return ignored paths, as the user typed them, relative to the model.

    They are relative to the current directory if that is in the model, else to the root of the model. A path outside
    has no effect, as in `model_signing`, and a note says so.
    """
    return tuple(below for path in paths if (below := _below(model, path)) is not None)


def _below(model: str, path: str) -> str | None:
    from hf_model_signing._util.paths import path_inside

    inside = path_inside(model, path)
    if inside is None and (os.path.isabs(path) or os.path.normpath(path).startswith(os.pardir)):
        note(f"--ignore-paths {path} lies outside of the model '{model}': it leaves out nothing")
        return None
    if os.path.isdir(model) and not os.path.lexists(os.path.join(model, inside or path)):
        note(f"--ignore-paths {path}: there is nothing at that path in '{model}'")
    if inside == ".":
        raise UsageError(f"--ignore-paths {path} leaves out the whole model")
    return inside or path


def check_signature_file(path: str) -> None:
    """Raise `UsageError` if the named signature is missing: a usage error, and not a verification that failed."""
    if "://" in path and not path.lower().startswith(("https://", "http://")):
        from hub_adapters.http.urls import named

        raise UsageError(f"{named(path)} names no signature: give a file, or an address that begins with https://")
    if "://" not in path and not os.path.exists(path):
        raise UsageError(f"there is no signature file '{path}'")
