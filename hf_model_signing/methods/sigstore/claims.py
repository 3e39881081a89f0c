"""The claims of a certificate about the workflow that signed, and conditions on them.

The claims are extensions (https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md). Those up to number 6 are
deprecated, hold bare text, and are GitHub's own. Later ones hold a UTF8String in DER, and are for every provider.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

from cryptography import x509

from hf_model_signing._util.text import show
from hf_model_signing.crypto import der
from hf_model_signing.errors import UsageError, VerificationError
from hf_model_signing.methods.sigstore.limits import MAX_CLAIM

FULCIO = "1.3.6.1.4.1.57264.1"

# The last number of the OID, true for bare text without DER, our name. A later claim of the same name overrides an
# earlier one where claims are shown.
_CLAIMS = (
    (5, True, "repository"),
    (6, True, "ref"),
    (3, True, "commit"),
    (4, True, "workflow_name"),
    (2, True, "trigger"),
    (12, False, "repository"),
    (14, False, "ref"),
    (13, False, "commit"),
    (21, False, "run"),
    (9, False, "workflow"),
    (10, False, "workflow_commit"),
    (18, False, "configuration"),
    (19, False, "configuration_commit"),
    (20, False, "trigger"),
    (11, False, "runner_environment"),
    (15, False, "repository_id"),
    (16, False, "owner"),
    (17, False, "owner_id"),
    (22, False, "visibility"),
)
_UTF8_STRING = 0x0C
_REPOSITORY = re.compile(r"https://[^\s/?#@\\]+/([^\s?#@\\]+)")
_FILE = re.compile(r"\.ya?ml(@|$)")  # a value of `workflow` that names the file, and not the name within it


@dataclass(frozen=True)
class ClaimConditions:
    """The claims that a certificate must have; None accepts any value, or none.

    `repository` is `ORG/NAME` or a URL, `ref` a full reference (`refs/heads/main`), `trigger` the event
    (`push`), `runner_environment` the kind of machine (`github-hosted`). `workflow` is the file of the workflow: its
    URL, or its path in the repository of the certificate (`.github/workflows/release.yml`, or `release.yml`), each with
    or without `@REF`. A text that is not a file of YAML is the name that the workflow gives itself.
    """

    repository: str | None = None
    ref: str | None = None
    workflow: str | None = None
    trigger: str | None = None
    runner_environment: str | None = None

    def __post_init__(self) -> None:
        for name, value in self._given():
            if not value:
                raise UsageError(f"the {_words(name)} to expect is empty")

    def check(self, certificate: x509.Certificate) -> None:
        """Raise `VerificationError` unless the certificate has every expected claim."""
        if not self._given():
            return
        claims = _claims(certificate)
        for name, value in self._given():
            found = _found(name, value, claims)
            if found is None:
                raise VerificationError(
                    f"the signing certificate does not say which {_words(name)} it is for, and '{show(value)}' was "
                    "expected"
                )
            if not _TESTS.get(name, _equal)(value, found, claims):
                raise VerificationError(
                    f"the signing certificate is for the {_words(name)} '{show(found)}', and '{show(value)}' was "
                    "expected"
                )

    def __str__(self) -> str:
        return ", ".join(f"{_words(name)} '{show(value)}'" for name, value in self._given())

    def _given(self) -> list[tuple[str, str]]:
        values = [(each.name, getattr(self, each.name)) for each in fields(self)]
        return [(name, value) for name, value in values if value is not None]


def workflow_claims(certificate: x509.Certificate) -> dict[str, str]:
    """Return the claims of a certificate about the workflow that signed, by our names, shortened to be shown."""
    return {word: text[:MAX_CLAIM] for _, word, text in _read(certificate)}


def extensions(certificate: x509.Certificate) -> Mapping[str, bytes]:
    """Return the values of the extensions that the X.509 library does not know, by OID."""
    return {
        extension.oid.dotted_string: extension.value.value
        for extension in certificate.extensions
        if isinstance(extension.value, x509.UnrecognizedExtension)
    }


def text_of(data: bytes, *, bare: bool) -> str:
    """Return the text of an extension: bare UTF-8, or a UTF8String in DER."""
    try:
        return (data if bare else der.parse(data).value(_UTF8_STRING)).decode("utf-8")
    except ValueError as error:
        raise VerificationError(f"the signing certificate is malformed: {error}") from error


def _read(certificate: x509.Certificate) -> list[tuple[bool, str, str]]:
    values = extensions(certificate)
    return [
        (bare, word, text_of(values[f"{FULCIO}.{number}"], bare=bare))
        for number, bare, word in _CLAIMS
        if f"{FULCIO}.{number}" in values
    ]


def _claims(certificate: x509.Certificate) -> dict[str, str]:
    """Return the claims in full; raise `VerificationError` if the deprecated ones contradict the others."""
    found = _read(certificate)
    older = {word: text for bare, word, text in found if bare}
    claims = {word: text for bare, word, text in found if not bare}
    for word, text in older.items():
        if word not in claims:
            claims[word] = f"https://github.com/{text}" if word == "repository" else text
        elif text != (_path(claims[word]) if word == "repository" else claims[word]):
            raise VerificationError(
                f"the signing certificate names two different {_words(word)}s: '{show(text)}' and "
                f"'{show(claims[word])}'"
            )
    return claims


def _found(name: str, value: str, claims: Mapping[str, str]) -> str | None:
    """Return the claim that a condition is about; an empty one says nothing."""
    by_name = name == "workflow" and not _FILE.search(value)
    return claims.get("workflow_name" if by_name else name) or None


def _equal(value: str, found: str, _: Mapping[str, str]) -> bool:
    return value == found


def _is_repository(value: str, found: str, _: Mapping[str, str]) -> bool:
    return found == value.rstrip("/") if "://" in value else _path(found) == value


def _is_workflow(value: str, found: str, claims: Mapping[str, str]) -> bool:
    if not _FILE.search(value):
        return value == found
    candidates = [value]
    if "://" not in value:
        root = claims.get("repository", "")
        paths = [value] if "/" in value.partition("@")[0] else [value, f".github/workflows/{value}"]
        candidates = [f"{root}{slash}{path}" for path in paths for slash in ("/", "//")] if root else []
    return any(_is_file(candidate, found) for candidate in candidates)


def _is_file(expected: str, found: str) -> bool:
    """Return True if both name one file; a reference that `expected` leaves out may be any without an `@`."""
    file, at, ref = found.rpartition("@")
    return expected == found or (bool(at and ref) and expected == file and "@" not in file)


_TESTS: Mapping[str, Callable[[str, str, Mapping[str, str]], bool]] = {
    "repository": _is_repository,
    "workflow": _is_workflow,
}


def _path(repository: str) -> str | None:
    match = _REPOSITORY.fullmatch(repository)
    return match and match.group(1)


def _words(name: str) -> str:
    return name.replace("_", " ")
