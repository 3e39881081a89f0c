"""The signer of the method `sigstore` (section 4.1 of the specification).

The signer proves an identity to an OpenID Connect issuer; an authority (Fulcio) issues a short-lived certificate for a
key of this process, and a public log (Rekor) records every signature. sigstore-python does the work.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hf_model_signing._util.paths import StrPath
from hf_model_signing._util.text import show
from hf_model_signing.errors import BundleError, RefusedError, UsageError, VerificationError
from hf_model_signing.methods.interface import Introduction, Signer
from hf_model_signing.methods.sigstore.identity import CertificateIdentity
from hf_model_signing.methods.sigstore.instance import Instance, warn
from hf_model_signing.methods.sigstore.oidc_tokens import (
    DEFAULT_CLIENT,
    TOKEN_VARIABLE,
    AmbientToken,
    GivenToken,
    Token,
    TokenSource,
)
from hf_model_signing.methods.sigstore.verifier import InstanceVerifier, signing_certificate
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.statement import Statement

if TYPE_CHECKING:
    from hf_model_signing.methods.sigstore.clients import Certified

SECRET_VARIABLE = "HF_SIGN_CLIENT_SECRET"  # noqa: S105 - the name of a variable, not a secret


class SigstoreSigner(Signer):
    """Signs with the identity of an OpenID Connect token; one sign-in is sufficient for many models.

    The token is `identity_token` (its text, or the path of a file), or that of `HF_SIGN_IDENTITY_TOKEN`, or, with
    `use_ambient_credentials`, the one of the CI environment. Without any of these, a token of the environment is used
    if there is one; otherwise a person signs in with the browser, or, with `oauth_force_oob`, by typing a code that
    `ask` returns. As anybody else than `expect_identity`, the methods that sign raise `RefusedError` before they ask
    for a certificate. `client_id` is the audience of the token (default `sigstore`); its secret is `client_secret` or
    `HF_SIGN_CLIENT_SECRET`. The instance is the public one, its staging, or that of the file `trust_config`. `note`
    receives the identity before it is published; the default is a `SigstoreWarning`. Raises `UsageError` for invalid
    arguments, before anything is hashed.
    """

    method = "sigstore"

    def __init__(
        self,
        *,
        identity_token: str | None = None,
        use_ambient_credentials: bool = False,
        oauth_force_oob: bool = False,
        expect_identity: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        use_staging: bool = False,
        trust_config: StrPath | None = None,
        ask: Callable[[str], str] | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        if sum((identity_token is not None, use_ambient_credentials, oauth_force_oob)) > 1:
            raise UsageError("an identity token, ambient credentials and signing in exclude each other: choose one")
        self._expected = expect_identity
        self._note = note = note or warn
        self._instance = Instance(trust_config, use_staging, note=note)
        self._lock = threading.Lock()
        self._certified: Certified | None = None
        self._who: Token | None = None
        self._announced = self._signs_in = False
        _ = self._instance.signing
        client = client_id or DEFAULT_CLIENT
        text, what = identity_token, "the identity token"
        if text is None and not use_ambient_credentials and not oauth_force_oob:
            text, what = os.environ.get(TOKEN_VARIABLE) or None, f"the identity token of {TOKEN_VARIABLE}"
        if text is not None:
            self._tokens: TokenSource = GivenToken(text, client, what)
            return
        # Immediately: a job without a token fails before anything is hashed.
        ambient = AmbientToken(client, note)
        if use_ambient_credentials and ambient.token() or not oauth_force_oob and ambient.find():
            self._tokens = ambient
            return
        from hf_model_signing.methods.sigstore.oauth import Client, SignIn

        secret = client_secret or os.environ.get(SECRET_VARIABLE, "")
        # The issuer is contacted immediately, too. The person signs in after hashing, because a token is short-lived.
        self._signs_in = True
        self._tokens = SignIn(self._oidc_url(), Client(client, secret, oauth_force_oob), note, ask)

    def verifier(self) -> InstanceVerifier:
        """Return the verifier of this identity on this instance; signs in first if necessary."""
        with self._lock:
            expected = self._certified.expected if self._certified else self._token(publishing=False).expected
        return InstanceVerifier(expected, self._instance)

    def needs_sign_in(self) -> bool:
        """Return True until the user has signed in, if no token was given or found."""
        return self._signs_in and self._who is None

    def describe(self) -> str:
        """Describe the identity, once it is known."""
        if self._certified is not None:
            return str(self._certified.holder)
        return str(self._who) if self._who else "an identity that is not known before the sign-in"

    def introduce(self, signed: Bundle | None = None) -> Introduction:
        """Introduce the identity and its issuer, from the certificate or the token; signs in first if necessary."""
        if signed is not None:
            holder = CertificateIdentity.of(signing_certificate(signed))
        else:
            with self._lock:
                holder = self._certified.holder if self._certified else self._token(publishing=False).holder
        private = ("--trust-config", "TRUST_CONFIG.json") if self._instance.config is not None else ()
        where = ("--use-staging",) if self._instance.staging else private
        return Introduction(str(holder), (*where, "--identity", holder.identity, "--identity-provider", holder.issuer))

    def facts(self) -> Mapping[str, str]:
        """Return the identity and its issuer, once there is a certificate."""
        return {} if self._certified is None else self._certified.holder.facts

    def ask_again(self) -> None:
        """Allow the next signature to prompt for a sign-in."""
        self._tokens.ask_again()

    def rehearse(self, statement: Statement) -> None:
        """Determine the identity, and publish nothing."""
        self._payload(statement)
        with self._lock:
            self._token(publishing=False)

    def _bundle(self, payload: bytes) -> Bundle:
        from sigstore.dsse import Statement as SigstoreStatement
        from sigstore.errors import Error

        from hf_model_signing.methods.sigstore.error_messages import explain

        with self._lock:
            certified = self._current()
        try:
            made = certified.key.sign_dsse(SigstoreStatement(payload))
            bundle = Bundle.parse(made.to_json().encode("utf-8"))
        except (Error, BundleError) as error:
            raise RefusedError(_untrue(explain(error))) from error
        try:
            InstanceVerifier(certified.expected, self._instance).verify(bundle)
        except VerificationError as error:
            raise RefusedError(_untrue(str(error))) from error
        return bundle

    def _current(self) -> Certified:
        """Return a key whose certificate does not expire soon."""
        from sigstore.errors import Error

        from hf_model_signing.methods.sigstore.clients import certify
        from hf_model_signing.methods.sigstore.error_messages import explain

        if self._certified is None or self._certified.ends_soon:
            token = self._token()
            try:
                self._certified = certify(self._instance.signing, token, self._note)
            except Error as error:
                raise RefusedError(_untrue(explain(error))) from error
            if self._expected not in (None, self._certified.holder.identity):
                holder, self._certified = self._certified.holder, None
                raise RefusedError(_untrue(f"its certificate is for {holder}, not for '{show(str(self._expected))}'"))
            if self._certified.holder.identity != token.expected.identities[0]:
                self._note(f"the certificate authority calls you {self._certified.holder}: that is what is published")
        return self._certified

    def _token(self, *, publishing: bool = True) -> Token:
        token, before = self._tokens.token(), self._who
        if before is not None and before.expected != token.expected:
            raise UsageError(f"the sign-in is now as {token}, and was as {before}: one run signs as one identity")
        if self._expected is not None and self._expected not in token.expected.identities:
            raise RefusedError(
                f"this would be signed as {token}, and '{show(self._expected)}' was expected: no certificate was asked "
                "for, and nothing was signed"
            )
        self._who = token
        if publishing and not self._announced:
            others = ", or as ".join(f"'{show(each)}'" for each in token.unlikely)
            choice = f", or as {others} if the authority takes that for your name" if others else ""
            log = "a public log" if self._instance.config is None else "the log of this instance"
            self._note(f"signing as {token}{choice}; this will stand in {log} for ever")
            self._announced = True
        return token

    def _oidc_url(self) -> str:
        from sigstore.errors import Error

        try:
            return self._instance.signing.signing_config.get_oidc_url()
        except Error as error:
            raise UsageError(
                "this Sigstore instance names no OpenID Connect issuer to sign in at: give --identity-token, or "
                "--use-ambient-credentials"
            ) from error


def _untrue(reason: str) -> str:
    return f"what the Sigstore instance answered is refused, and no signature was written: {reason}"
