"""Signing without a key of one's own, with Sigstore (method `sigstore`, section 4.1 of the specification).

The signer proves who they are to an OpenID Connect issuer; an authority (Fulcio) certifies a key of this process for
some minutes, and a public log (Rekor) holds every signature. The work is sigstore-python's.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hf_model_signing._util.text import show
from hf_model_signing.errors import BundleError, RefusedError, SigstoreWarning, UsageError, VerificationError
from hf_model_signing.methods.interface import Introduction, Signer
from hf_model_signing.methods.sigstore.identity import CertificateIdentity
from hf_model_signing.methods.sigstore.instance import Instance
from hf_model_signing.methods.sigstore.oidc_tokens import (
    DEFAULT_CLIENT,
    TOKEN_VARIABLE,
    AmbientToken,
    GivenToken,
    Token,
    TokenSource,
)
from hf_model_signing.methods.sigstore.verifier import InstanceVerifier, _certificate, _facts, _untrue
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.statement import Statement

if TYPE_CHECKING:
    from hf_model_signing.methods.sigstore.clients import Certified

Path = str | os.PathLike[str]


def _warn(text: str) -> None:
    warnings.warn(text, SigstoreWarning, stacklevel=2)


SECRET_VARIABLE = "HF_SIGN_CLIENT_SECRET"  # noqa: S105 - the name of a variable, not a secret


class SigstoreSigner(Signer):
    """Signs as whoever an identity token names: one sign-in is good for many models.

    The token is `identity_token` (its text, or a file), or that of `HF_SIGN_IDENTITY_TOKEN`; or, with
    `use_ambient_credentials`, the one that the place where this runs vouches for. Without any of these an ambient one
    is taken where there is one, and else a person signs in in the browser, or, with `oauth_force_oob`, by typing a code
    that `ask` gets. `client_id` is the audience of the token (default `sigstore`), and `client_secret` belongs to it,
    or `HF_SIGN_CLIENT_SECRET`. The instance is the public one, its staging, or that of the file `trust_config`. `note`
    is told which identity is about to be published, by default with a `SigstoreWarning`. Raises `UsageError` for what
    cannot be, before anything is hashed.
    """

    method = "sigstore"

    def __init__(
        self,
        *,
        identity_token: str | None = None,
        use_ambient_credentials: bool = False,
        oauth_force_oob: bool = False,
        client_id: str | None = None,
        client_secret: str | None = None,
        use_staging: bool = False,
        trust_config: Path | None = None,
        ask: Callable[[str], str] | None = None,
        note: Callable[[str], None] = _warn,
    ) -> None:
        if sum((identity_token is not None, use_ambient_credentials, oauth_force_oob)) > 1:
            raise UsageError("an identity token, ambient credentials and signing in exclude each other: choose one")
        self._instance = Instance(trust_config, use_staging, note=note)
        self._note = note
        self._lock = threading.Lock()
        self._certified: Certified | None = None
        self._who: Token | None = None
        self._announced = False
        _ = self._instance.signing
        client = client_id or DEFAULT_CLIENT
        text, what = identity_token, "the identity token"
        if text is None and not use_ambient_credentials and not oauth_force_oob:
            text, what = os.environ.get(TOKEN_VARIABLE) or None, f"the identity token of {TOKEN_VARIABLE}"
        if text is not None:
            self._tokens: TokenSource = GivenToken(text, client, what)
            return
        # Asked right away: a job that has no token is told so before anything is hashed.
        ambient = AmbientToken(client, note)
        if use_ambient_credentials and ambient.token() or not oauth_force_oob and ambient.find():
            self._tokens = ambient
            return
        from hf_model_signing.methods.sigstore.oauth import Client, SignIn

        secret = client_secret or os.environ.get(SECRET_VARIABLE, "")
        # The issuer is looked at right away, too; the person is asked once all is hashed: a token is short-lived.
        self._tokens = SignIn(self._oidc_url(), Client(client, secret, oauth_force_oob), note, ask)

    def verifier(self) -> InstanceVerifier:
        """The verifier that accepts this identity on this instance; signs in, if nobody has yet."""
        with self._lock:
            expected = self._certified.expected if self._certified else self._token(publishing=False).expected
        return InstanceVerifier(expected, self._instance)

    def describe(self) -> str:
        """The identity, once it is known."""
        if self._certified is not None:
            return str(self._certified.holder)
        return str(self._who) if self._who else "an identity that is not known before the sign-in"

    def introduce(self, signed: Bundle | None = None) -> Introduction:
        """The identity and its issuer, by the token as long as there is no certificate; signs in, if nobody has yet."""
        if signed is not None:
            holder = CertificateIdentity.of(_certificate(signed))
        else:
            with self._lock:
                holder = self._certified.holder if self._certified else self._token(publishing=False).holder
        private = ("--trust-config", "TRUST_CONFIG.json") if self._instance.config is not None else ()
        where = ("--use-staging",) if self._instance.staging else private
        return Introduction(str(holder), (*where, "--identity", holder.identity, "--identity-provider", holder.issuer))

    def facts(self) -> Mapping[str, str]:
        """The identity and its issuer, once there is a certificate."""
        return {} if self._certified is None else _facts(self._certified.holder)

    def ask_again(self) -> None:
        """Let the next signature ask a person to sign in, if it has to."""
        self._tokens.ask_again()

    def rehearse(self, statement: Statement) -> None:
        """Find out who would sign, and publish nothing."""
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
        """A key that is certified for some time yet."""
        from sigstore.errors import Error

        from hf_model_signing.methods.sigstore.clients import certify
        from hf_model_signing.methods.sigstore.error_messages import explain

        if self._certified is None or self._certified.ends_soon:
            token = self._token()
            try:
                self._certified = certify(self._instance.signing, token, self._note)
            except Error as error:
                raise RefusedError(_untrue(explain(error))) from error
            if self._certified.holder.identity != token.expected.identities[0]:
                self._note(f"the certificate authority calls you {self._certified.holder}: that is what is published")
        return self._certified

    def _token(self, *, publishing: bool = True) -> Token:
        token, before = self._tokens.token(), self._who
        if before is not None and before.expected != token.expected:
            raise UsageError(f"the sign-in is now as {token}, and was as {before}: one run signs as one identity")
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
