"""Adapters for hubs: find, download and publish models. This package knows nothing of signatures."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, cast

from hub_adapters.errors import BadReferenceError, HubError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from hub_adapters.interface import HubAdapter, Reference

# The group of entry points for adapters of other packages; the name of one is the scheme of its references.
ENTRY_POINTS = "hf_sign.hub_adapters"

# Scheme of a reference -> (module, class). A module is imported when a reference may belong to it.
ADAPTERS = {
    "hf": ("hub_adapters.huggingface", "HuggingFaceAdapter"),
    "tfhub": ("hub_adapters.tfhub", "TfHubAdapter"),
    "torchhub": ("hub_adapters.pytorch_hub", "PyTorchHubAdapter"),
    "https": ("hub_adapters.onnx", "OnnxAdapter"),  # last: it accepts the URLs that no other adapter knows
}
_WEB = ("https", "http")

__all__ = ["ADAPTERS", "ENTRY_POINTS", "find_adapter", "find_repository"]


def find_adapter(text: str) -> tuple[HubAdapter, Reference] | None:
    """Return the adapter for `text` and the parsed reference, or None for a local path.

    Raises `BadReferenceError` for a malformed reference, and for a scheme that no adapter knows.
    """
    scheme, found, _ = text.partition("://")
    if not found:
        return None
    text = f"{scheme.lower()}{text[len(scheme) :]}"
    broken: BadReferenceError | None = None
    for hub, adapter in _candidates(scheme.lower()):
        try:
            reference = _parse(hub, adapter, text)
        except BadReferenceError as error:  # another adapter may accept the same URL
            broken = broken or error
            continue
        if reference:
            return adapter(), reference
    known = ", ".join(f"{name}://" for name in dict.fromkeys([*ADAPTERS, *_registered()]))
    from hub_adapters.http.urls import named

    raise broken or BadReferenceError(f"{named(text)} names no hub that is known here; known are {known}")


def find_repository(
    text: str, kind: str | None = None, revision: str | None = None, *, token: str | bool | None = None
) -> tuple[HubAdapter, Reference]:
    """Return the adapter and the reference of a repository: a bare `ORG/NAME[@REV]`, or a hub reference.

    `kind` and `revision` complete the reference and may not contradict it; a bare name is on the Hugging Face Hub, and
    `token` is sent to that hub in place of the user's own. Raises `BadReferenceError` for an invalid reference or a
    contradiction.
    """
    from dataclasses import replace  # late: it would slow down every start

    from hub_adapters._util.repository_kinds import KINDS, ORG_NAME
    from hub_adapters.huggingface.adapter import HuggingFaceAdapter

    if not isinstance(text, str):
        raise BadReferenceError(f"{text!r} is not the name of a repository; expected {ORG_NAME}, as a string")
    if kind is not None and kind not in KINDS:
        raise BadReferenceError(f"there is no type of repository {kind!r}; there are {', '.join(KINDS)}")
    found = find_adapter(text)
    adapter, reference = found or (HuggingFaceAdapter(token=token), HuggingFaceAdapter.named(text, kind))
    if token is not None and isinstance(adapter, HuggingFaceAdapter):
        adapter = HuggingFaceAdapter(token=token)
    if kind and reference.kind != kind:
        raise BadReferenceError(f"'{text}' is a {reference.kind}, and --type says {kind}")
    if revision and reference.revision not in (None, revision):
        raise BadReferenceError(f"'{text}' names the revision '{reference.revision}', and --revision '{revision}'")
    return adapter, replace(reference, revision=revision or reference.revision)


def _parse(hub: str, adapter: type[HubAdapter], text: str) -> Reference | None:
    """Parse a reference with one adapter; a third-party one cannot claim another hub's references or crash us."""
    if hub in ADAPTERS:
        return adapter.parse(text)
    try:
        reference = adapter.parse(text)
    except BadReferenceError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # the adapter of another package may raise anything
        from hub_adapters.http.urls import named

        raise BadReferenceError(f"the adapter for {hub}:// cannot read {named(text)}: {error}") from error
    return reference if reference and reference.hub == hub else None


def _candidates(scheme: str) -> Iterator[tuple[str, type[HubAdapter]]]:
    """Yield the adapters that may know a reference: those of its scheme, or all of them for a URL."""
    for name in ADAPTERS:
        if name != "https" and (name == scheme or scheme in _WEB):
            yield name, _ours(name)
    if scheme not in ADAPTERS or scheme in _WEB:
        yield from _others(scheme)
    if scheme in _WEB:
        yield "https", _ours("https")


def _ours(name: str) -> type[HubAdapter]:
    module, attribute = ADAPTERS[name]
    return cast("type[HubAdapter]", getattr(import_module(module), attribute))


def _others(scheme: str) -> Iterator[tuple[str, type[HubAdapter]]]:
    """Yield the adapters of other packages; one that cannot be loaded is an error only for its own scheme."""
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS):
        if point.name in (*ADAPTERS, *_WEB) or (scheme not in _WEB and point.name != scheme):
            continue
        try:
            yield point.name, _load(point)
        except HubError as error:
            if point.name == scheme:
                raise
            import logging  # late: it would slow down every start

            logging.getLogger(__name__).info("%s", error)


def _registered() -> list[str]:
    from importlib.metadata import entry_points

    return sorted(point.name for point in entry_points(group=ENTRY_POINTS))


def _load(point: EntryPoint) -> type[HubAdapter]:
    from hub_adapters.interface import HubAdapter

    package = point.dist.name if point.dist else point.value
    try:
        adapter = point.load()
    except MemoryError:
        raise
    except Exception as error:  # importing another package may raise anything
        raise HubError(
            f"the package '{package}' has an adapter for {point.name}:// that cannot be loaded: {error}"
        ) from error
    if not (isinstance(adapter, type) and issubclass(adapter, HubAdapter)):
        raise HubError(f"what the package '{package}' has for {point.name}:// is no HubAdapter")
    missing = sorted(adapter.__abstractmethods__)
    if missing:
        raise HubError(f"the adapter of the package '{package}' for {point.name}:// lacks {', '.join(missing)}")
    return adapter
