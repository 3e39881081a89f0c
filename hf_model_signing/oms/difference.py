"""The difference between the files of a model and the signed manifest, and the error that carries it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hf_model_signing._util.text import some
from hf_model_signing.errors import VerificationError


@dataclass(frozen=True)
class Difference:
    """Files of a model that do not match the signed manifest; each list is sorted."""

    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.added or self.changed or self.renamed)

    def describe(self) -> str:
        """Return the totals on one line, then one line for each kind with at most ten names."""
        kinds = {
            "changed": list(self.changed),
            "missing": list(self.missing),
            "added": list(self.added),
            "renamed": [f"{old} -> {new}" for old, new in self.renamed],
        }
        totals = ", ".join(f"{len(names)} {kind}" for kind, names in kinds.items() if names)
        lines = [f"  {kind}: {some(names)}" for kind, names in kinds.items() if names]
        return "\n".join([totals, *lines])


class MismatchError(VerificationError):
    """The signature is valid, and the model differs from what was signed; `difference` lists the files."""

    def __init__(self, message: str, difference: Difference) -> None:
        super().__init__(message)
        self.difference = difference


def compare(signed: Mapping[str, bytes], found: Mapping[str, bytes]) -> Difference:
    """Compare digests by path. A file that is missing under one name and found under another is reported as renamed."""
    missing = {name for name in signed if name not in found}
    added = {name for name in found if name not in signed}
    renamed = _renames(signed, found, missing, added)
    old_names = {old for old, _ in renamed}
    new_names = {new for _, new in renamed}
    return Difference(
        missing=tuple(sorted(missing - old_names)),
        added=tuple(sorted(added - new_names)),
        changed=tuple(sorted(name for name in signed if name in found and signed[name] != found[name])),
        renamed=tuple(renamed),
    )


def _renames(
    signed: Mapping[str, bytes], found: Mapping[str, bytes], missing: set[str], added: set[str]
) -> list[tuple[str, str]]:
    new_names: dict[bytes, list[str]] = {}
    for name in sorted(added, reverse=True):
        new_names.setdefault(found[name], []).append(name)
    pairs = ((old, new_names.get(signed[old])) for old in sorted(missing))
    return [(old, news.pop()) for old, news in pairs if news]
