"""Which repositories of an organisation a command is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from hub_adapters.interface import Reference

KINDS = ("model", "dataset", "space")


@dataclass(frozen=True)
class Selection:
    """Kinds of repositories, and patterns of the names that are taken and left out; nothing taken means all.

    A pattern is of the name alone (`bert-*`), of organisation and name (`acme/bert-*`), or of the whole reference
    (`datasets/acme/*`, `hf://acme/*`). Case does not count, as on the Hub.
    """

    kinds: tuple[str, ...] = KINDS
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, reference: Reference) -> bool:
        """Whether a repository is one of those that are meant."""
        if reference.kind not in self.kinds or _any_fits(reference, self.exclude):
            return False
        return not self.include or _any_fits(reference, self.include)


def _any_fits(reference: Reference, patterns: Iterable[str]) -> bool:
    path = reference.uri.partition("://")[2]
    forms = [text.casefold() for text in (reference.uri, path, reference.name, reference.name.rpartition("/")[2])]
    return any(fnmatchcase(form, pattern.casefold()) for pattern in patterns for form in forms)
