"""The guard: a program loads only what a trusted signer signed.

Read the files in this order. It follows a call from `hms.guard()` and `from_pretrained` down to the hash, and each file
imports only files that come after it.

1. Entry points: `bootstrap.py` switches the guard on in a Python that starts under it, `launcher.py` is `hf-sign run`,
   and `downloads.py` has the two functions that verify although no guard is on.
2. `guard.py` switches a guard on and off, and installs the hooks with their handlers. `refusal_report.py` reports a
   refusal that ends the program.
3. The hooks: `client_hook.py` replaces the functions of `huggingface_hub`, `native_readers.py` and `open_hook.py` see
   the files that a program opens by their path, `http_hook.py` the requests of HTTP libraries, `subprocess_hook.py` the
   programs that it starts. `signal_handlers.py` keeps handlers apart from the calls that they interrupt, and
   `client_deadlines.py` limits how long a hub may make the client wait.
   `started_programs.py` follows such a program to the Python that runs it, and
   `interpreters.py` asks that one whether it loads the guard; `early_imports.py` looks at the modules that it would
   load before. They read the command lines of `interpreter_options.py`, `env_command.py` and `shell_commands.py`.
4. `handlers.py` is what the hooks call. It finds the guards that decide, in `registry.py`, and the function that
   answers the call. `earlier_workers.py` gives no work to processes that are older than a guard, and
   `child_environment.py` describes the guards to child processes. `listing_cache.py` makes `HfFileSystem` ask the hub
   again under other guards.
5. The answers: `published_cards.py` while a call publishes, `several_guards.py` if more than one guard decides,
   `client_calls.py` for the functions that download, `dry_runs.py` for those that only say what they would download,
   `hf_file_system.py` for `hf://`, `direct_reads.py` for the other functions that read content,
   `repository_information.py` for those that describe a repository, `listings.py` for those that list its files,
   `cached_listing.py` for the list of the cache, and `opened_files.py` and `plain_models.py` for files that are opened
   by their path.
   `unverifiable.py` refuses what has no signature, such as buckets, and `direct_downloads.py` downloads without the
   client, which `hub_content.py` recognizes by its host and `hub_paths.py` by its path. `datasets_cache.py` chooses
   where `datasets` keeps its tables, and `dataset_viewer.py` what it asks the hub about them. `bytecode.py` keeps
   bytecode out of verified directories.
6. `verified_loads.py` has the two loads, of a file and of a snapshot, and `hub_queries.py` the questions to the hub.
   `staged_files.py` downloads files beside their place and renames the verified ones into it.
7. `repository.py` has the checks of one call. `signature.py` accepts the signature, `rejected_files.py` names the file
   that is to blame for a refusal, `hub_listing.py` compares a listing of the hub, and `private_copies.py` copies files
   that others can write, if `shared_cache.py` says so.
8. `decider.py` makes a decision of the result, and `audit_log.py` logs it.
9. `directory_check.py` compares the files with the signed manifest; the hash itself is in `hashing/`.
   `writers.py` waits for files that another process is writing.
10. `state.py` is everything that a guard remembers. It enforces the order of the steps.
11. `request.py` is the request of a call, `client_cache.py` the repository in the client's cache, and `blob_files.py`
    finds the files that lead to a blob.
12. Small parts: `publishing.py`, `own_imports.py`, `own_calls.py`, `hooked_functions.py`, `code_directory.py`,
    `copied_code.py`, `code_swap.py`, `first_use.py`, `http_request.py`, `import_hook.py`, `native_entries.py`,
    `private_directory.py`, `renames.py`, `real_places.py`, `watched_paths.py`, `environment.py`, `_compat.py`.
"""
