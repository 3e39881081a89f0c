"""The answer to a download with `dry_run=True`: the paths in it are those of verified files, or of none."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from hf_model_signing.guarding.checks.decider import Decider, Facts
from hf_model_signing.guarding.checks.repository import GuardedRepository
from hf_model_signing.guarding.checks.request import Arguments, Request
from hf_model_signing.guarding.own_calls import Original, own_calls
from hf_model_signing.oms.names import EXEMPT_FILES


def answer_dry_run(decider: Decider, original: Original, arguments: Arguments) -> Any:  # noqa: ANN401 - as the client
    """Return what the client would do; raise `VerificationError` if it names a file that is there and not as signed."""
    with own_calls():
        found = original(**arguments)
    files = found if isinstance(found, list) else [found]
    present = [file for file in files if os.path.exists(file.local_path) and file.filename not in EXEMPT_FILES]
    if not present:
        return found
    request = Request(arguments)
    repository = GuardedRepository.begin(decider, request)

    def verified(facts: Facts) -> Any:  # noqa: ANN401 - as the client
        answer, names, commit = found, [file.filename for file in present], present[0].commit_hash
        repository.accept_signature(commit)
        if request.local_dir is None:
            snapshot = request.cache.snapshot(commit)
            with repository.naming_rejected(snapshot):
                checked = repository.check_snapshot(names)
            if checked != snapshot:
                copies = [_moved(file, checked) if file in present else file for file in files]
                answer = copies if isinstance(found, list) else copies[0]
        else:
            for name in names:
                repository.check_local_file(request.local_dir, name)
        repository.settle(names, facts)
        return answer

    return decider.decide(original.__name__, request.requested, verified, lambda: found)


def _moved(file: Any, directory: str) -> Any:  # noqa: ANN401 - the client's DryRunFileInfo
    return replace(file, local_path=os.path.join(directory, *file.filename.split("/")))
