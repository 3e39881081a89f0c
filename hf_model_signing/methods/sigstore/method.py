"""The record of the method `sigstore`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hf_model_signing.methods.method import EmbeddedSigner, Facts, Method, Note, Option, Pinning, Prompts, Values

if TYPE_CHECKING:
    from hf_model_signing.methods.interface import Signer, Verifier
    from hf_model_signing.oms.bundle import Bundle

_TRUST_CONFIG = Option(
    ("--trust-config",),
    "Sigstore instance: its client trust config, JSON.  [default: the public one]",
    "FILE",
    file=True,
)
_STAGING = Option(("--use-staging",), "The staging instance of Sigstore, for trying out.", flag=True)
_SIGN = (
    Option(
        ("--identity-token",),
        "OpenID Connect token, or the file it is in. Others can see it: HF_SIGN_IDENTITY_TOKEN is better.",
        "TOKEN",
    ),
    Option(
        ("--use-ambient-credentials",),
        "Sign as this CI job (GitHub Actions, GitLab CI, Google Cloud, Buildkite, CircleCI), or fail.",
        flag=True,
    ),
    Option(("--oauth-force-oob",), "Sign in with a browser elsewhere, and type the code that it shows.", flag=True),
    Option(
        ("--expect-identity",),
        "Who you mean to sign as, exactly: as anybody else no certificate is asked for, and nothing is signed.",
        "NAME",
    ),
    Option(("--client-id",), "OAuth client, the audience of the token.  [default: sigstore]", "TEXT"),
    Option(
        ("--client-secret",), "Its secret, if it has one. Others can see it: HF_SIGN_CLIENT_SECRET is better.", "TEXT"
    ),
    _STAGING,
    _TRUST_CONFIG,
)
_VERIFY = (
    Option(("--identity",), "Who must have signed, exactly: an e-mail, or the address of a workflow.", "NAME"),
    Option(("--identity-pattern",), "In place of --identity: a glob over all of it; * never matches @.", "GLOB"),
    Option(
        ("--identity-provider",),
        "Who must have vouched for the identity: the OpenID Connect issuer, exactly.",
        "URL",
        needed=True,
        said="--identity with --identity-provider",
    ),
    Option(("--repository",), "Only a workflow of this repository: ORG/NAME, or its URL.", "REPO"),
    Option(("--ref",), "Only a run for this branch or tag, in full: refs/heads/main.", "REF"),
    Option(("--workflow",), "Only this workflow: its file in the repository, the file's URL, or its name.", "FILE"),
    Option(("--trigger",), "Only a run that this event started: push, release, workflow_dispatch, ...", "EVENT"),
    Option(("--runner-environment",), "Only a run on this kind of machine: github-hosted or self-hosted.", "TEXT"),
    Option(("--offline",), "Do not refresh the trust root: use the copy on this machine.", flag=True, one_run=True),
    _STAGING,
    _TRUST_CONFIG,
)


def _signer(values: Values, prompts: Prompts) -> Signer:
    from hf_model_signing.methods.sigstore.signer import SigstoreSigner

    return SigstoreSigner(**values, ask=prompts.line, note=prompts.note)


def _verifier(values: Values, note: Note | None) -> Verifier:
    from hf_model_signing.methods.sigstore.verifier import SigstoreVerifier

    return SigstoreVerifier(**values) if note is None else SigstoreVerifier(**values, note=note)


def _embedded(_: Bundle) -> Verifier:
    from hf_model_signing.methods.sigstore.embedded import ClaimedIdentityVerifier

    return ClaimedIdentityVerifier()


def _finder(values: Values) -> Callable[[Bundle], tuple[Verifier, Facts]]:
    from hf_model_signing.methods.sigstore.embedded import IdentityFinder

    return IdentityFinder(**values)


def _describe_pin(pin: Facts) -> str:
    from hf_model_signing.methods.sigstore.identity import CertificateIdentity

    return str(CertificateIdentity(pin["identity"], pin["issuer"]))


def _details(bundle: Bundle) -> Mapping[str, Any]:
    from hf_model_signing.methods.sigstore.inspection import facts

    return facts(bundle.material)


def _rows(bundle: Bundle) -> list[tuple[str, str]]:
    from hf_model_signing.methods.sigstore.inspection import rows

    return rows(_details(bundle))


SIGSTORE = Method(
    "sigstore",
    "Sigstore, the default: a person who signs in, or a CI job; no key to keep.",
    _signer,
    _SIGN,
    _verifier,
    _VERIFY,
    embedded=EmbeddedSigner(
        "sigstore",
        _embedded,
        Pinning(("identity", "issuer"), _finder, _describe_pin, options=(_STAGING, _TRUST_CONFIG)),
    ),
    loggers=("sigstore", "tuf", "urllib3"),
    details=_details,
    rows=_rows,
)
