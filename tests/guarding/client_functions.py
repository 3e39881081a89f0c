"""The public functions of `huggingface_hub`: why each of them hands out no content that was not verified.

Those that the guard replaces are in `hf_model_signing/guarding/hooked_functions.py`. All others are here, methods as
`Class.method`. `test_client_names.py` fails with the name of a function of a supported release that is nowhere.
"""

from __future__ import annotations

# They read content, through a function that is replaced or through `open`. Each has a read of its own in
# `test_client_functions.py`, whose name starts with that of the function.
THROUGH_OTHERS = """
HfApi.get_safetensors_metadata HfApi.hf_hub_download HfApi.run_as_future HfApi.snapshot_download
HfApi.verify_repo_checksums
HfFileSystem.cat HfFileSystem.cat_file HfFileSystem.cat_ranges HfFileSystem.cp_file HfFileSystem.download
HfFileSystem.get HfFileSystem.get_mapper HfFileSystem.head HfFileSystem.open HfFileSystem.read_block
HfFileSystem.read_bytes HfFileSystem.read_text HfFileSystem.tail
ModelHubMixin.from_pretrained RepoCard.load
from_pretrained_fastai get_local_safetensors_metadata load_torch_model metadata_load
parse_local_safetensors_file_metadata read_dduf_file
"""

# In buckets: `TestBuckets` has them.
OF_BUCKETS = "HfApi.sync_bucket"

# Each reason with the functions that it is true of.
HARMLESS = {
    "It lists or describes, and returns no content of a repository.": """
        BucketFollower.run BucketFollower.stop HfApi.auth_check HfApi.bucket_info HfApi.get_bucket_file_metadata
        HfApi.get_bucket_paths_info HfApi.get_collection HfApi.get_dataset_leaderboard HfApi.get_dataset_tags
        HfApi.get_full_repo_name HfApi.get_hf_file_metadata HfApi.get_model_tags HfApi.get_organization_overview
        HfApi.get_user_overview HfApi.get_webhook HfApi.list_accepted_access_requests HfApi.list_bucket_tree
        HfApi.list_buckets HfApi.list_collections HfApi.list_daily_papers HfApi.list_datasets HfApi.list_lfs_files
        HfApi.list_liked_repos HfApi.list_models HfApi.list_organization_followers HfApi.list_organization_members
        HfApi.list_papers HfApi.list_pending_access_requests HfApi.list_rejected_access_requests
        HfApi.list_repo_commits HfApi.list_repo_likers HfApi.list_repo_refs HfApi.list_space_templates
        HfApi.list_spaces HfApi.list_user_followers HfApi.list_user_following HfApi.list_user_repos HfApi.list_webhooks
        HfApi.paper_info HfApi.repo_exists HfApi.revision_exists HfApi.search_spaces HfApi.whoami
        HfFileSystem.resolve_path HfFileSystemResolvedPath.unresolve get_hf_file_metadata read_download_metadata
        read_tree_cache
    """,
    "It lists files, through functions that compare the listing with the signature.": """
        HfApi.list_repo_files HfFileSystem.checksum HfFileSystem.created HfFileSystem.disk_usage HfFileSystem.du
        HfFileSystem.exists HfFileSystem.expand_path HfFileSystem.find HfFileSystem.glob HfFileSystem.info
        HfFileSystem.isdir HfFileSystem.isfile HfFileSystem.lexists HfFileSystem.listdir HfFileSystem.ls
        HfFileSystem.modified HfFileSystem.size HfFileSystem.sizes HfFileSystem.stat HfFileSystem.tree
        HfFileSystem.ukey HfFileSystem.walk
    """,
    "It calls one of the functions model_info, dataset_info, space_info and kernel_info, which are replaced.": """
        HfApi.repo_info
    """,
    "Its result is a URL. The program that requests it is stopped there.": """
        HfApi.list_dataset_parquet_files HfFileSystem.sign HfFileSystem.unstrip_protocol HfFileSystem.url
        HfFileSystemFile.url HfFileSystemStreamFile.url HfUri.to_uri HfUri.to_url fix_hf_endpoint_in_url hf_hub_url
        xet_connection_info_refresh_url
    """,
    "Its result is text that people wrote for people, and that no loader reads.": """
        HfApi.get_discussion_details HfApi.get_repo_discussions HfApi.read_paper
    """,
    "It reads an open file, which cannot be made for content that is not verified.": """
        HfFileSystemFile.read HfFileSystemStreamFile.read HfFileSystemStreamFile.seek
        DDUFEntry.as_mmap DDUFEntry.read_text make_instance reopen
    """,
    "It sends the requests of other functions; a request that a program makes itself is another matter.": """
        build_hf_headers close_session flag_as_download_call get_async_session get_session hf_raise_for_status
        http_backoff http_stream_backoff paginate parse_xet_file_data_from_response set_async_client_factory
        set_client_factory
    """,
    "It writes to the hub, and the program gets nothing of what it copies there.": """
        CommitOperationAdd.as_file CommitOperationAdd.b64content CommitScheduler.push_to_hub CommitScheduler.stop
        CommitScheduler.trigger HfApi.accept_access_request HfApi.add_collection_item HfApi.add_space_secret
        HfApi.add_space_variable HfApi.batch_bucket_files HfApi.cancel_access_request HfApi.change_discussion_status
        HfApi.comment_discussion HfApi.copy_files HfApi.create_branch HfApi.create_bucket HfApi.create_collection
        HfApi.create_commit HfApi.create_discussion HfApi.create_pull_request HfApi.create_repo HfApi.create_tag
        HfApi.create_webhook HfApi.delete_branch HfApi.delete_bucket HfApi.delete_collection
        HfApi.delete_collection_item HfApi.delete_file HfApi.delete_files HfApi.delete_folder HfApi.delete_repo
        HfApi.delete_space_secret HfApi.delete_space_storage HfApi.delete_space_variable HfApi.delete_space_volumes
        HfApi.delete_tag HfApi.delete_webhook HfApi.disable_webhook HfApi.duplicate_repo HfApi.duplicate_space
        HfApi.edit_discussion_comment HfApi.enable_webhook HfApi.grant_access HfApi.hide_discussion_comment
        HfApi.merge_pull_request HfApi.move_bucket HfApi.move_repo HfApi.permanently_delete_lfs_files
        HfApi.preupload_lfs_files HfApi.reject_access_request HfApi.rename_discussion HfApi.super_squash_history
        HfApi.sync_job_volume HfApi.unlike HfApi.update_bucket_settings HfApi.update_collection_item
        HfApi.update_collection_metadata HfApi.update_collection_resource_group HfApi.update_repo_settings
        HfApi.update_webhook HfApi.upload_attachment HfApi.upload_file HfApi.upload_folder HfApi.upload_large_folder
        HfFileSystem.copy HfFileSystem.cp HfFileSystem.delete HfFileSystem.makedir HfFileSystem.makedirs
        HfFileSystem.mkdir HfFileSystem.mkdirs HfFileSystem.move HfFileSystem.mv HfFileSystem.pipe
        HfFileSystem.pipe_file HfFileSystem.put HfFileSystem.put_file HfFileSystem.rename HfFileSystem.rm
        HfFileSystem.rm_file HfFileSystem.rmdir HfFileSystem.touch HfFileSystem.upload HfFileSystem.write_bytes
        HfFileSystem.write_text ModelHubMixin.push_to_hub RepoCard.push_to_hub RepoCard.validate lfs_upload
        metadata_update post_lfs_batch_info push_to_hub_fastai
    """,
    "It runs something on another machine.": """
        HfApi.cancel_job HfApi.create_inference_endpoint HfApi.create_inference_endpoint_from_catalog
        HfApi.create_scheduled_job HfApi.create_scheduled_uv_job HfApi.delete_inference_endpoint
        HfApi.delete_scheduled_job HfApi.disable_space_dev_mode HfApi.enable_space_dev_mode HfApi.fetch_job_logs
        HfApi.fetch_job_metrics HfApi.fetch_space_logs HfApi.get_inference_endpoint HfApi.get_space_runtime
        HfApi.get_space_secrets HfApi.get_space_variables HfApi.get_zero_gpu_quota HfApi.inspect_job
        HfApi.inspect_scheduled_job HfApi.list_inference_catalog HfApi.list_inference_endpoints
        HfApi.list_inference_endpoints_hardware HfApi.list_jobs HfApi.list_jobs_hardware HfApi.list_scheduled_jobs
        HfApi.list_spaces_hardware HfApi.pause_inference_endpoint HfApi.pause_space HfApi.request_space_hardware
        HfApi.request_space_storage HfApi.rerun_job HfApi.restart_space HfApi.resume_inference_endpoint
        HfApi.resume_scheduled_job HfApi.run_job HfApi.run_uv_job HfApi.scale_to_zero_inference_endpoint
        HfApi.set_space_sleep_time HfApi.set_space_volumes HfApi.suspend_scheduled_job HfApi.trigger_scheduled_job
        HfApi.update_inference_endpoint HfApi.update_job_expose HfApi.update_job_labels
        HfApi.update_scheduled_job_labels HfApi.update_scheduled_job_schedule HfApi.wait_for_job HfApi.wait_for_space
        InferenceCatalogModel.from_raw InferenceCatalogRecipe.from_raw InferenceEndpoint.delete InferenceEndpoint.fetch
        InferenceEndpoint.from_raw InferenceEndpoint.pause InferenceEndpoint.resume InferenceEndpoint.scale_to_zero
        InferenceEndpoint.update InferenceEndpoint.wait InferenceEndpointHardware.from_raw
        Sandbox.close Sandbox.connect Sandbox.create Sandbox.processes Sandbox.proxy_url_for Sandbox.run
        SandboxPool.close SandboxPool.connect SandboxPool.create SandboxPool.warm SandboxProcess.kill
        Volume.to_dict Volume.to_uri deserialize_event
    """,
    "It deletes from the cache, or shows it.": """
        DeleteCacheStrategy.execute HFCacheInfo.delete_files HFCacheInfo.delete_revisions HFCacheInfo.export_as_table
    """,
    "It keeps the client's cache in order. What lies there is verified when it is loaded or opened.": """
        are_symlinks_supported as_extended_path get_local_download_paths has_shared_blob publish_blob_to_shared_store
        repo_folder_name shared_blobs_enabled tree_cache_folder_for_local_dir try_link_from_shared_store
        write_download_metadata
    """,
    "Its result is a path that the program writes to.": """
        SoftTemporaryDirectory WeakFileLock cached_assets_path
    """,
    "It writes files of the program's own, or reads those that it was given open.": """
        ModelHubMixin.generate_model_card ModelHubMixin.save_pretrained RepoCard.from_template RepoCard.save
        DatasetCard.from_template ModelCard.from_template SliceFileObj.read SliceFileObj.seek SliceFileObj.tell
        UploadInfo.from_bytes UploadInfo.from_fileobj UploadInfo.from_path _save_pretrained_fastai
        export_entries_as_dduf export_folder_as_dduf git_hash metadata_save save_torch_model save_torch_state_dict
        sha_fileobj tqdm_stream_file
    """,
    "It computes with values that the program has.": """
        CardData.get CardData.pop CardData.to_dict CardData.to_yaml EvalResult.is_equal_except_value
        HfFileSystem.from_dict HfFileSystem.from_json HfFileSystem.to_dict HfFileSystem.to_json SyncPlan.summary
        as_validated_field chunk_iterable eval_result_entries_to_yaml eval_results_to_model_index experimental
        filter_repo_objects future_compatible get_torch_storage_id get_torch_storage_size hf_thread_map is_jsonable
        is_simple_optional_type is_valid_xet_hash metadata_eval_result model_index_to_eval_results parse_datetime
        parse_eval_result_entries repo_type_and_id_from_hf_id safe_quote safe_revision
        split_state_dict_into_shards_factory split_torch_state_dict_into_shards strict type_validator
        unwrap_simple_optional_type validate_hf_hub_args validate_typed_dict validated_field
    """,
    "It is about tokens, logging, progress bars, versions and caches of the program itself.": """
        HfFileSystem.clear_instance_cache HfFileSystem.current HfFileSystem.end_transaction
        HfFileSystem.invalidate_cache HfFileSystem.start_transaction
        are_progress_bars_disabled attach_huggingface_oauth auth_list auth_switch disable_propagation
        dump_environment_info enable_progress_bars enable_propagation get_fastai_version get_fastcore_version get_logger
        get_python_version get_token get_verbosity interpreter_login is_jinja_available is_offline_mode is_tqdm_disabled
        is_xet_available login logout notebook_login parse_huggingface_oauth set_verbosity set_verbosity_debug
        set_verbosity_error set_verbosity_info set_verbosity_warning silent_tqdm.update WebhooksServer webhook_endpoint
    """,
}

# Whole packages, whose functions are not listed.
HARMLESS_PACKAGES = {
    "huggingface_hub.cli": "The client's own program: its commands call the functions above, or get no content.",
    "huggingface_hub.inference": "Answers of models that run elsewhere; agents are read through snapshot_download.",
    "huggingface_hub.errors": "Classes of errors.",
}


def listed() -> dict[str, int]:
    """Return how often each function stands in a list of this file."""
    names = " ".join([THROUGH_OTHERS, OF_BUCKETS, *HARMLESS.values()]).split()
    return {name: names.count(name) for name in names}
