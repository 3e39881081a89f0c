"""The names that libraries give to the code of a repository when they copy it.

By the name of the repository: `transformers_modules/ORG/NAME/COMMIT/FILE`, and
`diffusers_modules/local/ORG--NAME/COMMIT/FILE`.
By the path of a snapshot, whose last part is the commit: `transformers_modules/COMMIT/HASH/FILE`, in older releases
without the hash of the code.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

_BY_REPOSITORY = re.compile(r"(?:local/)?(?P<repository>.+)/(?P<commit>[0-9a-f]{40})/(?P<name>.+)")
_BY_PATH = re.compile(r"_?(?P<commit>[0-9a-f]{40})/(?:[0-9a-f]{16}/)?(?P<name>.+)")


@dataclass(frozen=True)
class CopiedCode:
    """A file of code: its name in the repository, the commit, and the modules made of the repository's name, or ""."""

    repository: str
    commit: str
    name: str

    @classmethod
    def at(cls, match: re.Match[str]) -> CopiedCode | None:
        """Return the file of a watched path of code; None if its path does not tell the commit."""
        inside = match["inside"].replace(os.sep, "/")
        by_path = _BY_PATH.fullmatch(inside)
        if by_path:
            return cls("", by_path["commit"], by_path["name"])
        found = _BY_REPOSITORY.fullmatch(inside)
        return cls(found["repository"], found["commit"], found["name"]) if found else None

    def belongs_to(self, uri: str) -> bool:
        """Return True if the modules can be those of a repository."""
        return not self.repository or self.repository in module_names(uri)


def module_names(uri: str) -> tuple[str, str]:
    """Return the paths of modules that `transformers` and `diffusers` make of the name of a repository."""
    name = uri.removeprefix("hf://")
    parts = name.replace(".", "_dot_").replace("-", "_hyphen_").split("/")
    return "/".join(f"_{part}" if part[:1].isdigit() else part for part in parts), name.replace("/", "--")


def possible_repositories(code: str) -> list[str]:
    """Return the repositories that a path of modules can mean; the first one is the most likely."""
    parts = (part[1:] if re.match(r"_\d", part) else part for part in code.split("/"))
    plain = "/".join(parts).replace("_hyphen_", "-").replace("_dot_", ".")
    return [f"hf://{name}" for name in (plain, code, code.replace("--", "/", 1))]
