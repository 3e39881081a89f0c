"""The functions of `huggingface_hub` that the guard replaces: the one table of them.

The client offers no hook for this, so some of these names are private parts of it;
`tests/guarding/test_hooked_functions.py` fails with the name of a part that a supported release no longer has.
The table is loaded when a guarded Python starts, so it names the handlers instead of importing them: they load the
policy and the client.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HookedFunction:
    """A function or method `name` of `module`, and the function that answers its calls under the guard.

    `handler` is `FILE.FUNCTION` in this directory; `handlers.py` calls it with the guard's decider, the original
    function and the arguments of the call. A function that is not in all supported releases may be missing.
    """

    module: str
    name: str
    handler: str
    is_in_all_releases: bool = True


HOOKED_FUNCTIONS = (
    HookedFunction("huggingface_hub.file_download", "hf_hub_download", "client_calls.hf_hub_download"),
    HookedFunction("huggingface_hub.file_download", "try_to_load_from_cache", "client_calls.try_to_load_from_cache"),
    HookedFunction("huggingface_hub._snapshot_download", "snapshot_download", "client_calls.snapshot_download"),
    HookedFunction("huggingface_hub.hf_api", "HfApi.model_info", "repository_information.repository_info"),
    HookedFunction("huggingface_hub.hf_api", "HfApi.dataset_info", "repository_information.repository_info"),
    HookedFunction("huggingface_hub.hf_api", "HfApi.space_info", "repository_information.repository_info"),
    HookedFunction("huggingface_hub.hf_api", "HfApi.kernel_info", "repository_information.repository_info"),
    HookedFunction("huggingface_hub.hf_api", "HfApi.resolve_revision", "repository_information.repository_info"),
    HookedFunction("huggingface_hub.hf_api", "HfApi.list_repo_tree", "listings.list_tree"),
    HookedFunction(
        "huggingface_hub.hf_api", "HfApi._iter_repo_tree_pages", "listings.list_pages", is_in_all_releases=False
    ),
    HookedFunction("huggingface_hub.hf_api", "HfApi.get_paths_info", "listings.paths_info"),
    HookedFunction("huggingface_hub.hf_api", "HfApi.file_exists", "listings.file_exists"),
    HookedFunction("huggingface_hub._snapshot_download", "get_cached_repo_tree", "listings.cached_tree"),
    HookedFunction("huggingface_hub.hf_file_system", "HfFileSystem._open", "hf_file_system.open_remote"),
    HookedFunction("huggingface_hub.hf_file_system", "HfFileSystem.get_file", "hf_file_system.get_remote"),
    HookedFunction("huggingface_hub.hf_file_system", "HfFileSystemFile.__init__", "hf_file_system.make_remote_file"),
    HookedFunction(
        "huggingface_hub.hf_file_system", "HfFileSystemStreamFile.__init__", "hf_file_system.make_remote_file"
    ),
    HookedFunction("huggingface_hub.hf_api", "HfApi.download_bucket_files", "direct_reads.download_bucket_files"),
    HookedFunction("huggingface_hub.hf_api", "HfApi.parse_safetensors_file_metadata", "direct_reads.parse_safetensors"),
    HookedFunction(
        "huggingface_hub.hf_api",
        "HfApi.get_sharded_safetensors_metadata",
        "direct_reads.summarize_safetensors",
        is_in_all_releases=False,
    ),
    HookedFunction("huggingface_hub.file_download", "http_get", "direct_reads.read_url"),
    HookedFunction("huggingface_hub.file_download", "xet_get", "direct_reads.read_storage"),
    HookedFunction("huggingface_hub.serialization._torch", "load_state_dict_from_file", "direct_reads.load_local_file"),
    HookedFunction(
        "huggingface_hub.hub_mixin", "PyTorchModelHubMixin._load_as_safetensor", "direct_reads.load_local_file"
    ),
    HookedFunction("huggingface_hub.utils._cache_manager", "scan_cache_dir", "cached_listing.scan_cache_dir"),
)

MODULES = tuple(dict.fromkeys(function.module for function in HOOKED_FUNCTIONS))
_BY_NAME = {function.name: function for function in HOOKED_FUNCTIONS}


def find_hooked(name: str) -> HookedFunction:
    """Return the entry for the function `name`."""
    return _BY_NAME[name]
