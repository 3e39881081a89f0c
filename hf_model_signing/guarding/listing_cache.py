"""The listings that the client's file system keeps, by directory: under other guards it asks the hub again.

A listing is compared with the signature when the hub gives it. One that was made before a guard was switched on, under
another one, or by a publishing function, was not compared by the guards that decide now.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_model_signing.guarding.publishing import publication

if TYPE_CHECKING:
    from hf_model_signing.guarding.checks.decider import Decider

_MARK = "_hf_sign_listed_under"  # an attribute of the file system: the guards under which its listings were made


class ListingFunction(NamedTuple):
    """A method of the client's file system that reads the listings which it has kept."""

    module: str
    name: str
    is_in_all_releases: bool = True


LISTING_FUNCTIONS = tuple(
    ListingFunction("huggingface_hub.hf_file_system", f"HfFileSystem.{name}") for name in ("_ls_tree", "info")
)
_NAMES = frozenset(function.name for function in LISTING_FUNCTIONS)


def reads_listings(name: str) -> bool:
    """Return True for the name of such a method."""
    return name in _NAMES


def with_own_listings(
    original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, deciders: Sequence[Decider]
) -> Any:  # noqa: ANN401 - as the method
    """Return what a method returns that uses no listing from under other guards than those that decide now."""
    files, under = args[0], (publication(), *deciders)
    if vars(files).get(_MARK, ()) != under:
        files.dircache.clear()
        setattr(files, _MARK, under)
    return original(*args, **kwargs)
