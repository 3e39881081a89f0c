"""TensorFlow Hub: a model is a SavedModel in a tarball, to which the service redirects."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hub_adapters.errors import BadReferenceError
from hub_adapters.http.urls import endpoint, named
from hub_adapters.interface import Reference
from hub_adapters.web import WebAdapter

_SERVICE = "https://tfhub.dev"
_HANDLE = re.compile(r"[\w-][\w.-]*(?:/[\w-][\w.-]*)+/\d{1,9}", re.ASCII)


class TfHubAdapter(WebAdapter):
    """Models on tfhub.dev, or on the mirror that `HF_SIGN_TFHUB_ENDPOINT` names."""

    hub = "tfhub"
    title = "TensorFlow Hub"

    @classmethod
    def parse(cls, text: str) -> Reference | None:
        """Parse `tfhub://PUBLISHER/MODEL/VARIATION/VERSION`, or the URL of a model's page."""
        for base in ("tfhub:/", _endpoint(), _SERVICE):
            if text.startswith(f"{base}/"):
                handle = text.removeprefix(f"{base}/").partition("?")[0].rstrip("/")
                if not _HANDLE.fullmatch(handle):
                    raise BadReferenceError(
                        f"{named(text)} is not a model of {cls.title}: expected "
                        "tfhub://PUBLISHER/MODEL/VARIATION/VERSION, where the version is a number"
                    )
                return Reference(cls.hub, "model", handle)
        return None

    def urls(self, reference: Reference) -> Sequence[str]:
        """Return the URL of the tarball."""
        return [f"{_endpoint()}/{reference.name}?tf-hub-format=compressed"]

    def model_name(self, reference: Reference) -> str:
        """Return the name without publisher and version."""
        return reference.name.split("/")[-2]


def _endpoint() -> str:
    return endpoint("HF_SIGN_TFHUB_ENDPOINT", _SERVICE)
