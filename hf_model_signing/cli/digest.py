"""`hf-sign digest`: print the root digest of a model, without signing."""

from __future__ import annotations

from typing import Any

from hf_model_signing.cli import output
from hf_model_signing.cli.global_options import Command
from hf_model_signing.cli.options import (
    REFERENCE_HELP,
    fetch_options,
    how_to_hash,
    ignored_in,
    manifest_options,
    reference_argument,
    source_of,
)
from hf_model_signing.cli.progress import progress_bars


def _run(**values: Any) -> None:  # noqa: ANN401 - what click parsed
    with progress_bars() as progress:
        from hf_model_signing.hub.sign import statement_of

        source = source_of(values, progress)
        manifest = statement_of(source, how_to_hash(values, ignored_in(source, values)), progress=progress).manifest
    digest = f"sha256:{manifest.root_digest}"
    output.result({"digest": digest, "files": len(manifest.digests), "name": manifest.name}, digest)


command = Command(
    name="digest",
    params=[*manifest_options(), *fetch_options(), reference_argument()],
    callback=_run,
    help=f"Print the root digest of a model, without signing. {REFERENCE_HELP}",
)
