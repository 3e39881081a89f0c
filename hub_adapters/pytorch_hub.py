"""PyTorch Hub: a model is the archive of a branch, tag or commit of a repository on GitHub."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from hub_adapters.archives.unpack import lift_lone_folder, unpack
from hub_adapters.archives.zip_layout import read_comment
from hub_adapters.errors import BadReferenceError, ContentError, DishonestError
from hub_adapters.http.urls import endpoint, named
from hub_adapters.interface import Reference
from hub_adapters.limits import Limits
from hub_adapters.web import Component, WebAdapter

_SERVICE = "https://github.com"
_BRANCHES = ("main", "master")  # in the order in which `torch.hub` looks for them
_REFERENCE = re.compile(r"([\w-][\w.-]*/[\w.-]+)(?::(.+))?", re.ASCII)
_PAGE = re.compile(r"([\w-][\w.-]*/[\w.-]+?)(?:\.git)?(?:/tree/([^?#]+?))?/?(?:[?#].*)?", re.ASCII)
_REF = re.compile(r"[\w./+@=-]{1,255}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# GitHub's own URL of an archive, and the one that `torch.hub` requests, which is the only one on some mirrors.
_URLS = ("{}/{}/archive/{}.zip", "{}/{}/zipball/{}")


class PyTorchHubAdapter(WebAdapter):
    """Repositories on github.com, or on the mirror that `HF_SIGN_GITHUB_ENDPOINT` names."""

    hub = "torchhub"
    title = "PyTorch Hub"

    @classmethod
    def parse(cls, text: str) -> Reference | None:
        """Parse `torchhub://OWNER/REPO[:REF]`."""
        if not text.startswith("torchhub://"):
            page = _PAGE.fullmatch(text.removeprefix(f"{endpoint('HF_SIGN_GITHUB_ENDPOINT', _SERVICE)}/"))
            if page:
                ref = f":{page[2]}" if page[2] else ""
                raise BadReferenceError(f"for the repository at {named(text)} write torchhub://{page[1]}{ref}")
            return None
        match = _REFERENCE.fullmatch(text.removeprefix("torchhub://"))
        if not match or match[1].endswith(("/.", "/..", ".git")) or not _is_ref(match[2]):
            raise BadReferenceError(
                f"{named(text)} is not a model of {cls.title}: expected torchhub://OWNER/REPO[:REF]"
            )
        return Reference(cls.hub, "model", match[1], match[2], mark=":")

    def urls(self, reference: Reference) -> Sequence[str]:
        """Return the URLs of the archive; without a ref, those of the branches that `torch.hub` tries."""
        refs = _BRANCHES if reference.revision is None else (reference.revision,)
        base = endpoint("HF_SIGN_GITHUB_ENDPOINT", _SERVICE)
        return [form.format(base, reference.name, quote(ref)) for ref in refs for form in _URLS]

    def model_name(self, reference: Reference) -> str:
        """Return the name of the repository without its owner."""
        return reference.name.rpartition("/")[2]

    def make_model(self, reference: Reference, archive: str, target: str, limits: Limits) -> None:
        """Unpack the archive without the directory at its top, which GitHub names after the ref."""
        unpack(archive, target, limits)
        if not lift_lone_folder(target):
            raise ContentError("that is not the archive of a repository: it has more than one folder at its top")

    def pins(self, reference: Reference, component: Component) -> dict[str, str]:
        """Return the download facts and the commit, which `git archive` writes into the comment of a zip."""
        comment = read_comment(component.stored.path).decode("latin-1")
        commit = comment if _COMMIT.fullmatch(comment) else ""
        asked = reference.revision or ""
        if commit and _COMMIT.fullmatch(asked) and commit != asked:
            raise DishonestError(f"'{reference}' was asked for, and the archive is that of the commit {commit}")
        return {**super().pins(reference, component), **({"revision": commit} if commit else {})}


def _is_ref(text: str | None) -> bool:
    if text is None:
        return True
    parts = text.split("/")
    return bool(_REF.fullmatch(text)) and not any(part in ("", ".", "..") for part in parts) and text[0] not in "-"
