"""The functions of `huggingface_hub` that are hooked, and what each becomes under the guard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hf_model_signing.guarding.client_calls import (
    Values,
    hf_hub_download,
    repository_info,
    snapshot_download,
    try_to_load_from_cache,
)
from hf_model_signing.guarding.client_hook import Original
from hf_model_signing.guarding.guard import Guard
from hf_model_signing.guarding.hf_file_system import get_remote, make_remote_file, open_remote

# The name of a hooked function -> what it becomes.
CALLS: dict[str, Callable[[Guard, Original, Values], Any]] = {
    "hf_hub_download": hf_hub_download,
    "try_to_load_from_cache": try_to_load_from_cache,
    "snapshot_download": snapshot_download,
    "HfApi.model_info": repository_info,
    "HfApi.dataset_info": repository_info,
    "HfApi.space_info": repository_info,
    "HfApi.resolve_revision": repository_info,
    "HfFileSystem._open": open_remote,
    "HfFileSystem.get_file": get_remote,
    "HfFileSystemFile.__init__": make_remote_file,
    "HfFileSystemStreamFile.__init__": make_remote_file,
}
