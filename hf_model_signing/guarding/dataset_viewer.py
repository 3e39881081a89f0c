"""The dataset viewer of a hub: it is not asked about a dataset that must be signed, because nobody signs its answers.

`datasets` takes the features of a dataset from there, the names of its labels included, if the card has none. Without
an answer it goes on with what the files of the dataset say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hf_model_signing.guarding.environment import Mode
from hf_model_signing.guarding.own_calls import Original, own_calls

if TYPE_CHECKING:
    from hf_model_signing.guarding.checks.decider import Decider

VIEWER_MODULE = "datasets.utils._dataset_viewer"
VIEWER_FUNCTIONS = ("get_exported_dataset_infos", "get_exported_parquet_files")


def ask_viewer(deciders: Iterable[Decider], original: Original, arguments: dict[str, Any]) -> Any:  # noqa: ANN401 - as the function
    """Return what the viewer says; raise the error of `datasets` for no answer if the dataset must be signed."""
    uri = f"hf://datasets/{arguments['dataset']}"
    if any(decider.mode is Mode.ENFORCE and decider.requires_signature(uri) for decider in deciders):
        raise sys.modules[VIEWER_MODULE].DatasetViewerError(
            f"the dataset viewer was not asked about '{uri}', because its answer cannot be verified"
        )
    with own_calls():
        return original(**arguments)
