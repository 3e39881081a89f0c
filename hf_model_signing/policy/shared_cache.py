"""The key `shared_cache` of a trust policy: the treatment of verified files that others can write."""

from __future__ import annotations

from hf_model_signing._util.str_enum import StrEnum


class SharedCache(StrEnum):
    """The treatment of files that others can write; the strictest first."""

    REFUSE = "refuse"
    COPY = "copy"  # the program gets a private copy, which is verified; where that is not possible, refuse
    TRUST = "trust"  # the program gets them, although they can change after they were verified
