"""Identity tokens (OpenID Connect): their sources, and the checks before use.

A token is a secret: its holder can sign with its identity until it expires. No message ever contains one.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hf_model_signing._util.deadline import in_time
from hf_model_signing._util.input_files import read_start
from hf_model_signing._util.text import show
from hf_model_signing.errors import HfSignError, UsageError
from hf_model_signing.methods.sigstore.identity import CertificateIdentity, IdentityPolicy
from hf_model_signing.methods.sigstore.limits import LATEST, MAX_CLAIM

if TYPE_CHECKING:
    from sigstore.oidc import IdentityToken

DEFAULT_CLIENT = "sigstore"
TOKEN_VARIABLE = "HF_SIGN_IDENTITY_TOKEN"  # noqa: S105 - the name of a variable, not a token

_MAX_TOKEN = 64 * 1024  # characters; those of workflows have 2,000
_NEAR_ITS_END = timedelta(seconds=60)
_PATIENCE = 60.0  # seconds for the environment to return a token

# The variable that identifies each environment; Google Cloud has none.
_PLACES = (
    ("GITHUB_ACTIONS", "GitHub Actions"),
    ("BUILDKITE", "Buildkite"),
    ("GITLAB_CI", "GitLab CI"),
    ("CIRCLECI", "CircleCI"),
)
# Issuers for whose tokens the identity is certain: https://github.com/sigstore/fulcio/blob/main/config/identity/config.yaml
_KNOWN_ISSUERS = (
    "https://accounts.google.com",
    "https://agent.buildkite.com",
    "https://gitlab.com",
    "https://oauth2.sigstage.dev/auth",
    "https://oauth2.sigstore.dev/auth",
    "https://token.actions.githubusercontent.com",
)
_HOW_TO = {
    "GitHub Actions": "give the job `permissions: id-token: write` (a pull request from a fork cannot have it)",
    "GitLab CI": "give the job an `id_tokens:` entry named SIGSTORE_ID_TOKEN with `aud: sigstore`",
}


@dataclass(frozen=True)
class Token:
    """A token that sigstore-python accepts, and its expiry."""

    raw: IdentityToken
    claims: Mapping[str, Any]

    @property
    def end(self) -> datetime:
        """The time of expiry."""
        return datetime.fromtimestamp(self.claims["exp"], timezone.utc)

    def lasts(self, time: timedelta = timedelta(0)) -> bool:
        """True if it does not expire soon."""
        return now() + time < self.end

    @property
    def expected(self) -> IdentityPolicy:
        """The identities that an authority may put into a certificate for this token.

        Fulcio makes URLs from some claims, by a template for each issuer; for an unknown issuer, its configuration
        chooses the claim.
        """
        issuers = dict.fromkeys((self.raw.federated_issuer, self.raw.issuer))
        return IdentityPolicy(tuple(issuers), tuple(dict.fromkeys(_identities(self.claims))))

    @property
    def holder(self) -> CertificateIdentity:
        """The identity that an authority which knows the issuer puts into a certificate for this token."""
        return CertificateIdentity(self.expected.identities[0], self.raw.federated_issuer)

    @property
    def unlikely(self) -> tuple[str, ...]:
        """The other identities that an authority may use; there are none for well-known issuers."""
        return () if self.claims.get("iss") in _KNOWN_ISSUERS else self.expected.identities[1:]

    def __str__(self) -> str:
        return str(self.holder)


class TokenSource(ABC):
    """A source of tokens."""

    @abstractmethod
    def token(self) -> Token:
        """Return a valid token; raises `UsageError` or `HfSignError` with the reason why there is none."""

    def ask_again(self) -> None:  # noqa: B027 - most sources never prompt
        """Allow another prompt when it is needed."""


class GivenToken(TokenSource):
    """A token given by the user: its text, or the path of its file; `what` names the option or variable."""

    def __init__(self, text: str, client_id: str, what: str = "the identity token") -> None:
        self._what = what
        self._token = parse_token(_read(text, what), client_id, what)

    def token(self) -> Token:
        """Return the token until it expires."""
        if not self._token.lasts():
            raise UsageError(_expired(self._what, self._token.end))
        return self._token


class AmbientToken(TokenSource):
    """Tokens from the environment: GitHub Actions, GitLab CI, Google Cloud, Buildkite, CircleCI."""

    def __init__(self, client_id: str, note: Callable[[str], None]) -> None:
        self._client_id, self._note = client_id, note
        self._token: Token | None = None

    def token(self) -> Token:
        """Return a token of the environment, a new one if the last expires soon."""
        token = self.find()
        if token is None:
            raise UsageError(
                "there is no ambient credential here: none of GitHub Actions, GitLab CI, Google Cloud, Buildkite and "
                "CircleCI runs this program; sign in without --use-ambient-credentials, or give --identity-token"
            )
        return token

    def find(self) -> Token | None:
        """Return a token as `token` does, or None outside of a known environment.

        A machine in Google Cloud may have no token either, which is not an error.
        """
        if self._token is None or not self._token.lasts(_NEAR_ITS_END):
            raw = self._detect()
            if raw is None:
                return None
            if self._token is None:
                self._note(f"signing with the ambient credential of {_place()}")
            self._token = parse_token(raw, self._client_id, f"the token of {_place()}")
        return self._token

    def _detect(self) -> str | None:
        try:
            return _in_time(self._client_id)
        except HfSignError as error:
            if any(os.environ.get(variable) for variable, _ in _PLACES) or self._token is not None:
                raise
            self._note(str(error))
            return None


def parse_token(text: str, client_id: str, what: str) -> Token:
    """Parse the token in `text`, whose audience must be `client_id`; raises `UsageError`, in which `what` names it."""
    import jwt
    from sigstore.oidc import IdentityError, IdentityToken

    if len(text) > _MAX_TOKEN:
        raise UsageError(f"{what} is longer than any token is")
    try:
        token = IdentityToken(text, client_id)
        claims = jwt.decode(text, options={"verify_signature": False})
    except IdentityError as error:
        # From None: the cause of the library's error contains the token.
        raise UsageError(_why(error, text, client_id, what)) from None
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - malformed claims can raise anything; its text may contain the token
        raise UsageError(f"{what} cannot be used: its claims are not those of an identity token") from None
    _check_claims(claims, what)
    return Token(token, claims)


def _check_claims(claims: Mapping[str, Any], what: str) -> None:
    """Raise `UsageError` for claims that cannot be in a certificate."""
    named = [claims.get(name, "x") for name in ("iss", "sub", "email")]
    if not all(isinstance(text, str) and 0 < len(text) <= MAX_CLAIM for text in named):
        raise UsageError(f"{what} cannot be used: its claims 'iss', 'sub' and 'email' have to be short texts")
    if not isinstance(claims.get("exp"), int) or not 0 < claims["exp"] < LATEST:
        raise UsageError(f"{what} cannot be used: its claim 'exp' has to be a time in whole seconds")


def now() -> datetime:
    """Return the current time of this machine."""
    return datetime.now(timezone.utc)


def _read(text: str, what: str) -> str:
    """Return the token itself, or the one in the named file or pipe."""
    given = text.strip()
    if not given:
        raise UsageError(f"{what} is empty: give the token, or the name of the file that holds it")
    if not os.path.exists(given) or os.path.isdir(given):
        return given
    try:
        return read_start(given, _MAX_TOKEN).decode("ascii").strip()
    except (OSError, ValueError) as error:
        why = f": {error.strerror}" if isinstance(error, OSError) else ""
        raise UsageError(f"the file '{show(given)}' cannot be read as {what}{why}") from error


def _in_time(client_id: str) -> str | None:
    try:
        return in_time(lambda: _detect(client_id), _PATIENCE)
    except TimeoutError:
        raise HfSignError(
            f"{_place()} did not give an identity token within {_PATIENCE:g} seconds; no signature was written"
        ) from None


def _detect(client_id: str) -> str | None:
    """Ask the library `id`, which knows the environments."""
    import id as places
    import urllib3

    from hf_model_signing._util.http import reason_of
    from hf_model_signing.methods.sigstore.ambient_requests import detect_credential

    try:
        return detect_credential(client_id)
    except places.IdentityError as error:
        hint = _HOW_TO.get(_place(), "check the job's settings")
        if isinstance(error, places.GitHubOidcPermissionCredentialError) or str(error).startswith("GitLab"):
            raise UsageError(f"{_place()} gives this job no identity token ({show(str(error))}): {hint}") from None
        # The library says that the request "timed out", whatever broke it.
        cause = error.__context__
        broke = isinstance(cause, urllib3.exceptions.MaxRetryError)
        reason = f"its service cannot be reached ({reason_of(cause)})" if cause and broke else _without_body(error)
        raise HfSignError(f"{_place()} did not give an identity token: {reason}; no signature was written") from None
    except (urllib3.exceptions.HTTPError, OSError, ValueError, RecursionError) as error:
        raise HfSignError(
            f"{_place()} did not give an identity token: {_what_is_wrong(error)}; no signature was written"
        ) from None


def _what_is_wrong(error: Exception) -> str:
    """Describe an answer that cannot be used, without quoting it."""
    from hf_model_signing._util.http import TooLongError, is_cut_off

    if isinstance(error, TooLongError):
        return "its service sent more than any answer has"
    if is_cut_off(error):
        return "its service closed the connection in the middle of an answer"
    return f"what it answers makes no sense ({type(error).__name__})"


def _without_body(error: Exception) -> str:
    """Return the reason for an error without the answer of the service, which may contain a token."""
    return show(str(error).split(", body=")[0].replace("(code=", "(HTTP ") + (")" if ", body=" in str(error) else ""))


def _place() -> str:
    return next((name for variable, name in _PLACES if os.environ.get(variable)), "Google Cloud")


def _identities(claims: Mapping[str, Any]) -> list[str]:
    """Return the identities that a certificate for these claims can have, the likeliest first."""
    text = {name: value for name, value in claims.items() if isinstance(value, str)}
    found = []
    if "job_workflow_ref" in text:  # GitHub Actions
        found += [f"https://{host}/{text['job_workflow_ref']}" for host in _hosts(claims)]
    if "ci_config_ref_uri" in text:  # GitLab CI
        found.append(f"https://{text['ci_config_ref_uri']}")
    if "organization_slug" in text and "pipeline_slug" in text:
        found.append(f"https://buildkite.com/{text['organization_slug']}/{text['pipeline_slug']}")
    if "email" in text:
        found.append(text["email"])
    return [*found, *_subjects(text.get("sub", ""))]


def _hosts(claims: Mapping[str, Any]) -> list[str]:
    """Return the hosts of the workflows: GitHub, and the issuer, which may be a GitHub Enterprise server."""
    try:
        return ["github.com", urlsplit(str(claims.get("iss"))).netloc]
    except ValueError:
        return ["github.com"]


def _subjects(subject: str) -> list[str]:
    parts = subject.split(":")
    if parts[:2] == ["system", "serviceaccount"] and len(parts) == 4:  # Kubernetes
        return [f"https://kubernetes.io/namespaces/{parts[2]}/serviceaccounts/{parts[3]}", subject]
    return [subject]


def _why(error: Exception, text: str, client_id: str, what: str) -> str:
    """Explain why a token is invalid, without quoting it."""
    import jwt

    cause = error.__cause__
    claims: Mapping[str, Any] = {}
    try:
        claims = jwt.decode(text, options={"verify_signature": False, "verify_exp": False, "verify_iat": False,
                                           "verify_aud": False, "verify_nbf": False})  # fmt: skip
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        return f"{what} is no token: it is not a JSON Web Token (nor the name of a file that is there)"
    if isinstance(cause, jwt.ExpiredSignatureError) or (cause is None and _time(claims, "exp") < now()):
        return _expired(what, _time(claims, "exp"))
    if isinstance(cause, jwt.ImmatureSignatureError) or (cause is None and _time(claims, "nbf") > now()):
        begins = max(_time(claims, "iat"), _time(claims, "nbf"))
        return (
            f"{what} is good only from {_shown(begins)} on, and this machine's clock says {_shown(now())}; if that is "
            "wrong, set the clock"
        )
    if isinstance(cause, jwt.InvalidAudienceError):
        return (
            f"{what} is for the audience '{show(str(claims.get('aud')))}', and has to be for '{show(client_id)}': ask "
            "its issuer for one, or name its audience with --client-id"
        )
    if isinstance(cause, jwt.MissingRequiredClaimError):
        return f"{what} is no identity token: it has no claim '{show(str(cause.claim))}'"
    return f"{what} cannot be used: {show(str(cause or error))}"


def _time(claims: Mapping[str, Any], name: str) -> datetime:
    """Return a time in a token, or the minimum for a missing or invalid one."""
    try:
        return datetime.fromtimestamp(int(claims[name]), timezone.utc)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, timezone.utc)


def _expired(what: str, end: datetime) -> str:
    return f"{what} expired at {_shown(end)}, and this machine's clock says {_shown(now())}: get a new one"


def _shown(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
