"""Options that several commands share, each declared once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from hf_model_signing.cli.output import note
from hf_model_signing.errors import UsageError

if TYPE_CHECKING:
    from hf_model_signing.signing import HowToHash

_HASH = click.Choice(["sha256", "blake2b", "blake3"])
_SIZE = click.IntRange(min=1)


def reference_argument(name: str = "reference", metavar: str = "REFERENCE") -> click.Argument:
    """The model that a command is about."""
    return click.Argument([name], metavar=metavar)


REFERENCE_HELP = (
    "REFERENCE is a path (a folder, a single file, a snapshot folder of the Hugging Face cache), "
    "hf://[datasets/|spaces/]ORG/NAME[@REV], or the web address of a repository."
)
REPO_HELP = "REPO is ORG/NAME[@REV] of the kind that --type says, or hf://[datasets/|spaces/]ORG/NAME[@REV]."


def ignore_options() -> list[click.Parameter]:
    """What is left out of a manifest."""
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
    """How a model is hashed for signing."""
    return [
        *ignore_options(),
        click.Option(
            ["--hash", "hash_type"], type=_HASH, default="sha256", show_default=True, help="The hash of files."
        ),
        click.Option(
            ["--shard-size"],
            type=_SIZE,
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


def expected_options() -> list[click.Parameter]:
    """How a model must have been hashed; the signature itself says how it was."""
    return [
        click.Option(["--hash", "hash_type"], type=_HASH, help="Refuse a signature that was made with another hash."),
        click.Option(
            ["--shard-size"],
            type=_SIZE,
            metavar="BYTES",
            help="Refuse a signature of shards of another size, or of none.",
        ),
        click.Option(
            ["--allow-symlinks"], is_flag=True, help="Accepted for `model_signing`'s sake: the signature decides."
        ),
    ]


def how_to_hash(values: dict[str, Any], ignore_paths: Iterable[str]) -> HowToHash:
    """What `manifest_options` say."""
    from hf_model_signing.signing import HowToHash

    return HowToHash(
        ignore_paths=tuple(ignore_paths),
        ignore_git_paths=values["ignore_git_paths"],
        allow_symlinks=values["allow_symlinks"],
        hash_type=values["hash_type"],
        shard_size=values["shard_size"],
        allow_lfs_pointers=values["allow_lfs_pointers"],
    )


def coverage_options() -> list[click.Parameter]:
    """How much of a model has to be what was signed."""
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
    """Just a part of a model."""
    return click.Option(["--only"], multiple=True, metavar="PATTERN", help="Only files that fit. Repeatable.")


def type_option() -> click.Option:
    """The kind of repository that a bare name means."""
    kinds = click.Choice(["model", "dataset", "space"])
    return click.Option(["--type", "kind"], type=kinds, help="What the repository is.  [default: model]")


def ignored_below(model: str, paths: Iterable[str]) -> tuple[str, ...]:
    """Ignored paths as typed: from the current folder when that lies in the model, else from the model's root.

    What lies outside has no effect, as in `model_signing`, and a note says so.
    """
    return tuple(below for path in paths if (below := _below(model, path)) is not None)


def _below(model: str, path: str) -> str | None:
    from hf_model_signing.paths import path_inside

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
    """Raise `UsageError` when the signature that was named is not there: a slip, and no verdict on a model."""
    if not os.path.exists(path):
        hint = ": name a file on this disk (`hf download REPO model.sig` gets one)" if "://" in path else ""
        raise UsageError(f"there is no signature file '{path}'{hint}")


def hub_arguments(values: dict[str, Any]) -> tuple[Any, Any]:
    """The adapter and the reference for the `REPO` of a command that works on the Hugging Face Hub."""
    from dataclasses import replace

    from hub_adapters import find_adapter
    from hub_adapters.huggingface import HuggingFaceAdapter

    text, kind, revision = values["repo"], values.get("kind"), values.get("revision")
    found = find_adapter(text)
    if found is None:
        found = HuggingFaceAdapter(), HuggingFaceAdapter.named(text, kind)
    adapter, reference = found
    if kind and reference.kind != kind:
        raise UsageError(f"'{text}' is a {reference.kind}, and --type says {kind}")
    if revision and reference.revision not in (None, revision):
        raise UsageError(f"'{text}' names the revision '{reference.revision}', and --revision '{revision}'")
    return adapter, replace(reference, revision=revision or reference.revision)
