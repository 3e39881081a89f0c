"""The selection of repositories of an organisation, by kind and by patterns of names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from hf_model_signing._util.repository_kinds import KINDS
from hub_adapters.interface import Reference


@dataclass(frozen=True)
class Selection:
    """Kinds of repositories, and patterns of names to include and exclude; without patterns to include, all are.

    A pattern matches the name alone (`bert-*`), organisation and name (`acme/bert-*`), or the whole reference
    (`datasets/acme/*`, `hf://acme/*`). It is not case-sensitive, as names on the Hub are not.
    """

    kinds: tuple[str, ...] = KINDS
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def includes(self, reference: Reference) -> bool:
        """Return True if the repository is selected."""
        if reference.kind not in self.kinds or _any_matches(reference, self.exclude):
            return False
        return not self.include or _any_matches(reference, self.include)


def _any_matches(reference: Reference, patterns: Iterable[str]) -> bool:
    path = reference.uri.partition("://")[2]
    forms = [text.casefold() for text in (reference.uri, path, reference.name, reference.name.rpartition("/")[2])]
    return any(fnmatchcase(form, pattern.casefold()) for pattern in patterns for form in forms)
