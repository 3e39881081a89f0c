"""The answer to a download with `dry_run=True`: the paths in it are those of verified files, or of none."""

from __future__ import annotations

import os
from typing import Any

from hf_model_signing.guarding.decider import Decider, Facts
from hf_model_signing.guarding.own_calls import Original, own_calls
from hf_model_signing.guarding.repository import GuardedRepository
from hf_model_signing.guarding.request import Arguments, Request
from hf_model_signing.oms.names import EXEMPT_FILES


def answer_dry_run(decider: Decider, original: Original, arguments: Arguments) -> Any:  # noqa: ANN401 - as the client
    """Return what the client would do; raise `VerificationError` if it names a file that is there and not as signed."""
    with own_calls():
        found = original(**arguments)
    files = found if isinstance(found, list) else [found]
    present = [file for file in files if os.path.lexists(file.local_path) and file.filename not in EXEMPT_FILES]
    if not present:
        return found
    request = Request(arguments)
    repository = GuardedRepository.begin(decider, request)

    def verified(facts: Facts) -> Any:  # noqa: ANN401 - as the client
        names, commit = [file.filename for file in present], present[0].commit_hash
        repository.accept_signature(commit)
        if request.local_dir is None:
            with repository.downloading(request.cache.snapshot(commit), []):
                repository.check_snapshot(names)
        else:
            for name in names:
                repository.check_local_file(request.local_dir, name)
        repository.settle(names, facts)
        return found

    return decider.decide(original.__name__, request.requested, verified, lambda: found)
