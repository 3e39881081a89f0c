"""The kinds of repositories on the Hugging Face Hub: the one table of them.

They are those of `huggingface_hub` (`constants.REPO_TYPES_WITH_KERNEL`). The client is not imported for them: a guarded
Python needs them when it starts. `tests/hub_adapters/_util/test_repository_kinds.py` compares the two.
"""

from __future__ import annotations

KINDS = ("model", "dataset", "space", "kernel")

# The first part of a path of the API, and of a directory in the client's cache.
KIND_OF_PLURAL = {f"{kind}s": kind for kind in KINDS}

# Before the name of a repository, in references and in URLs of pages. Models have none.
PREFIXES = {kind: "" if kind == "model" else f"{kind}s/" for kind in KINDS}

PREFIXED = tuple(filter(None, PREFIXES.values()))

# Storage on the Hub that is no repository: it has no commits and no signatures.
BUCKETS = "buckets/"

# In a regular expression.
ANY_PLURAL = "|".join(KIND_OF_PLURAL)
ANY_PREFIXED = "|".join(prefix.removesuffix("/") for prefix in PREFIXED)

# In the name of a directory in the client's cache, in a regular expression. A kind that only a later release of the
# client knows is matched as well, so that the guard sees it; no rule of a policy can name it.
CACHED_PLURAL = "[a-z]+s"

# In help and messages: [datasets/|spaces/|…]ORG/NAME.
ORG_NAME = f"[{'|'.join(PREFIXED)}]ORG/NAME"
