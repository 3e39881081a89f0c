"""The local Sigstore: sigstore-python, unchanged, signs and verifies with it, and rejects its faults."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import id as ambient
import jwt
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from sigstore._internal.fulcio.client import ExpiredCertificate, FulcioClient, FulcioClientError
from sigstore._internal.rekor import RekorClientError
from sigstore._internal.rekor.client import RekorClient
from sigstore._internal.trust import KeyringPurpose
from sigstore.dsse import DigestSet, Statement, StatementBuilder, Subject
from sigstore.errors import NetworkError, VerificationError
from sigstore.models import Bundle, ClientTrustConfig, InvalidBundle
from sigstore.oidc import IdentityToken, Issuer, IssuerError
from sigstore.sign import SigningContext
from sigstore.verify import Verifier, policy

from tests.helpers import ROOT, environment, run_python
from tests.servers.jwt_issuer import TokenIssuer
from tests.servers.sigstore import Sigstore
from tests.servers.sigstore import SigstoreFault as Fault
from tests.servers.sigstore_ca import MALLORY
from tests.servers.sigstore_log import FIRST_INDEX, audit_path, tree_hash
from tests.servers.sigstore_oidc import GITHUB_ISSUER, OUT_OF_BAND

PERSON = "release@acme.example"
WORKFLOW = "https://github.com/acme/model/.github/workflows/release.yml@refs/heads/main"
VERIFIER = "the verifier of a code challenge, of 43 characters at least"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
BACK = "http://localhost:1/auth/callback"
SIGN_IN = "import sys; from sigstore.oidc import Issuer; print(Issuer(sys.argv[1]).identity_token({}))"
BROWSER = f"#!{sys.executable}\nimport sys, urllib.request\nurllib.request.urlopen(sys.argv[1], timeout=10).read()\n"
NO_JSON = "Expecting value"
NO_TIME = "must contain an inclusion promise or signed timestamp"
WITHOUT_ANSWER = "Remote end closed connection without response"

# Faults that the client detects when it signs; it drops the CA's message, so no reason is known.
AT_SIGNING: dict[Fault, tuple[type[Exception], str]] = {
    Fault.WRONG_SCT: (VerificationError, "SCT verify failed: keyring: invalid signature"),
    Fault.NO_SCT: (VerificationError, "does not contain a signed certificate timestamp"),
    Fault.EXPIRED_CERTIFICATE: (ExpiredCertificate, "^$"),
    Fault.OTHER_KEY: (RekorClientError, "error processing entry: invalid signature"),
    Fault.CA_DOWN: (requests.ConnectionError, WITHOUT_ANSWER),
    Fault.CA_ERROR: (FulcioClientError, "^$"),
    Fault.CA_REFUSES: (FulcioClientError, "^$"),
    Fault.CA_GARBAGE: (requests.JSONDecodeError, NO_JSON),
    Fault.LOG_DOWN: (requests.ConnectionError, WITHOUT_ANSWER),
    Fault.LOG_ERROR: (RekorClientError, "(500|13): the service has a fault of its own"),
    Fault.LOG_REFUSES: (RekorClientError, "(400|3): the service does not like the request"),
    Fault.LOG_GARBAGE: (requests.JSONDecodeError, NO_JSON),
}
HUGE = {Fault.CA_HUGE: requests.JSONDecodeError, Fault.LOG_HUGE: requests.JSONDecodeError}
# A bundle of v1 is valid without a timestamp, too.
AT_SIGNING_V2 = [Fault.TSA_DOWN, Fault.TSA_ERROR, Fault.TSA_REFUSES, Fault.TSA_HANGS, Fault.TSA_GARBAGE, Fault.TSA_HUGE]
# Faults that the client does not detect when it signs, but when it verifies.
AT_VERIFICATION: dict[Fault, tuple[type[Exception], str]] = {
    Fault.BAD_PROOF: (VerificationError, "inclusion proof contains invalid root hash"),
    Fault.WRONG_CHECKPOINT: (VerificationError, "checkpoint: invalid signature"),
    Fault.WRONG_ROOT: (VerificationError, "Inclusion proof contains invalid root hash signature"),
    Fault.OTHER_ENTRY: (VerificationError, "does not match bundle|inconsistent with other materials"),
    Fault.FUTURE_CERTIFICATE: (VerificationError, "cert is not valid at validation time"),
    Fault.OTHER_IDENTITY: (VerificationError, MALLORY),
    Fault.OTHER_ISSUER: (VerificationError, "OIDCIssuer does not match"),
    Fault.FOREIGN_CA: (VerificationError, "failed to build timestamp certificate chain"),
    Fault.NO_TIMESTAMP_TOKEN: (ValueError, "Missing SignedData"),
}
# The client has no time limit for these, or none for a whole response.
FOR_EVER = [Fault.CA_HANGS, Fault.CA_DRIPS, Fault.LOG_HANGS, Fault.LOG_DRIPS, Fault.TSA_DRIPS]
DISCOVERY: dict[Fault, tuple[type[Exception], str]] = {
    Fault.OIDC_DOWN: (NetworkError, "^$"),
    Fault.OIDC_ERROR: (IssuerError, "^$"),
    Fault.OIDC_REFUSES: (IssuerError, "^$"),
    Fault.OIDC_GARBAGE: (IssuerError, "invalid configuration"),
    Fault.OIDC_HUGE: (IssuerError, "invalid configuration"),
}
EXCHANGE = {
    Fault.OIDC_DOWN: "sigstore.errors.NetworkError",
    Fault.OIDC_ERROR: "IdentityError: Token request failed with 500",
    Fault.OIDC_REFUSES: "IdentityError: Token request failed with 400",
    Fault.OIDC_GARBAGE: "JSONDecodeError",
}
MINTING = {
    Fault.OIDC_DOWN: "OIDC token request timed out",
    Fault.OIDC_ERROR: "code=500",
    Fault.OIDC_REFUSES: "code=403",
    Fault.OIDC_GARBAGE: "malformed or incomplete JSON",
}
OIDC_FOR_EVER = [Fault.OIDC_HANGS, Fault.OIDC_DRIPS]
WELL_WITH_V2 = [Fault.WRONG_PROMISE]
NEVER = [Fault.CLOCK_AHEAD]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")


@pytest.fixture
def sigstore() -> Iterator[Sigstore]:
    with Sigstore() as sigstore:
        yield sigstore
    assert sigstore.errors == []


@pytest.fixture
def _browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulates the browser that opens the pages of the client."""
    browser = tmp_path / "browser"
    browser.write_text(BROWSER)
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))


def statement() -> Statement:
    subject = Subject(name="model", digest=DigestSet({"sha256": "ab" * 32}))
    return StatementBuilder([subject], "https://example.com/predicate", {"a": 1}).build()


def context(sigstore: Sigstore) -> SigningContext:
    return SigningContext.from_trust_config(ClientTrustConfig.from_json(sigstore.trust_config()))


def sign(sigstore: Sigstore, token: str | None = None) -> Bundle:
    with context(sigstore).signer(IdentityToken(token or sigstore.token())) as signer:
        return Bundle.from_json(signer.sign_dsse(statement()).to_json())


def verify(sigstore: Sigstore, bundle: Bundle, rule: policy.VerificationPolicy | None = None) -> dict[str, Any]:
    trusted_root = ClientTrustConfig.from_json(sigstore.trust_config()).trusted_root
    rule = rule or policy.Identity(identity=PERSON, issuer=sigstore.identity_provider)
    _, payload = Verifier(trusted_root=trusted_root).verify_dsse(bundle, rule)
    values: dict[str, Any] = json.loads(payload)
    return values


def ask(url: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """Return the status and the body of a response; redirects are not followed."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:  # noqa: ANN401
            return None

    request = urllib.request.Request(url, data, {name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Location"].encode() if error.code == 302 else error.read()


def authorize(sigstore: Sigstore, **changes: str) -> dict[str, str]:
    """Return the parameters that the sign-in sends to the client."""
    asked = {
        "response_type": "code",
        "client_id": "sigstore",
        "redirect_uri": BACK,
        "scope": "openid email",
        "state": "of mind",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }
    status, location = ask(f"{sigstore.url}/auth?{urllib.parse.urlencode(asked)}")
    assert status == 302
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(location.decode()).query))


def exchange(sigstore: Sigstore, **form: str) -> tuple[int, dict[str, Any]]:
    """Request tokens as the client `sigstore`, which has no secret by default."""
    given = {"grant_type": "authorization_code", "client_id": "sigstore", "redirect_uri": BACK, **form}
    status, body = ask(f"{sigstore.url}/token", urllib.parse.urlencode(given).encode())
    return status, json.loads(body)


def certify(sigstore: Sigstore, token: str, request: bytes | None = None) -> tuple[int, dict[str, Any]]:
    """Request a certificate from the CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    pem = request or builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    body = json.dumps({"certificateSigningRequest": base64.b64encode(pem).decode()}).encode()
    status, answer = ask(f"{sigstore.url}/api/v2/signingCert", body, Authorization=f"Bearer {token}")
    return status, json.loads(answer)


class TestSigning:
    @pytest.mark.parametrize("rekor", [1, 2])
    def test_signs_and_verifies(self, sigstore: Sigstore, rekor: int) -> None:
        sigstore.rekor = rekor
        for count in range(1, 5):  # the tree grows, and so do the proofs
            bundle = sign(sigstore)
            assert verify(sigstore, bundle)["subject"][0]["name"] == "model"
            assert (sigstore.entries, len(sigstore.certificates)) == (count, count)

    def test_every_version_verifies_with_either_configuration(self, sigstore: Sigstore) -> None:
        old = sign(sigstore)
        sigstore.rekor = 2
        new = sign(sigstore)
        assert [bundle.log_entry._inner.kind_version.kind for bundle in (old, new)] == ["dsse", "hashedrekord"]
        assert verify(sigstore, old) == verify(sigstore, new)

    def test_entries_are_as_those_of_the_public_logs(self, sigstore: Sigstore) -> None:
        old = sign(sigstore).log_entry._inner
        assert (old.log_index, old.inclusion_proof.log_index) == (FIRST_INDEX + 5, 5)
        assert old.inclusion_promise is not None
        sigstore.rekor = 2
        new = sign(sigstore).log_entry._inner
        assert (new.log_index, new.inclusion_proof.log_index, new.inclusion_proof.tree_size) == (5, 5, 6)
        assert (new.integrated_time, new.inclusion_promise) == (None, None)

    def test_a_workflow_signs(self, sigstore: Sigstore) -> None:
        bundle = sign(sigstore, sigstore.workflow_token())
        rules: list[policy.VerificationPolicy] = [
            policy.Identity(identity=WORKFLOW, issuer=GITHUB_ISSUER),
            policy.GitHubWorkflowTrigger("push"),
            policy.GitHubWorkflowName("Release"),
            policy.GitHubWorkflowRepository("acme/model"),
            policy.GitHubWorkflowRef("refs/heads/main"),
            policy.OIDCBuildSignerURI(WORKFLOW),
            policy.OIDCRunnerEnvironment("github-hosted"),
            policy.OIDCSourceRepositoryURI("https://github.com/acme/model"),
            policy.OIDCSourceRepositoryOwnerURI("https://github.com/acme"),
            policy.OIDCBuildConfigURI(WORKFLOW),
            policy.OIDCRunInvocationURI("https://github.com/acme/model/actions/runs/1122334455/attempts/1"),
            policy.OIDCSourceRepositoryVisibility("public"),
        ]
        verify(sigstore, bundle, policy.AllOf(rules))

    def test_a_federated_issuer_is_named_instead(self, sigstore: Sigstore) -> None:
        issuer = "https://accounts.example"
        bundle = sign(sigstore, sigstore.token(federated_claims={"connector_id": issuer}))
        verify(sigstore, bundle, policy.Identity(identity=PERSON, issuer=issuer))

    def test_without_email_the_subject_is_the_name(self, sigstore: Sigstore) -> None:
        bundle = sign(sigstore, sigstore.token(email=None, sub="https://acme.example/robot"))
        verify(sigstore, bundle, policy.Identity(identity="https://acme.example/robot"))

    def test_lifetimes_and_clock_are_as_they_are_set(self, sigstore: Sigstore) -> None:
        sigstore.now = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(minutes=30)
        sigstore.certificate_lifetime = timedelta(minutes=2)
        claims = jwt.decode(sigstore.token(), options={"verify_signature": False})
        certify(sigstore, sigstore.token())
        certificate = sigstore.certificates[0]
        assert claims["iat"] == sigstore.now.timestamp() == certificate.not_valid_before_utc.timestamp()
        assert certificate.not_valid_after_utc == sigstore.now + timedelta(minutes=2)


class TestCertificateAuthority:
    @pytest.mark.parametrize(
        "claims",
        [
            {"exp": 1_600_000_000},
            {"aud": "other"},
            {"iss": "https://issuer.evil.example"},
            {"exp": None},
            {"email": "no\u00ebl@acme.example"},
            {"email_verified": False},
            {"federated_claims": "none"},
        ],
    )
    def test_refuses_a_bad_token(self, sigstore: Sigstore, claims: dict[str, Any]) -> None:
        status, answer = certify(sigstore, sigstore.token(**claims))
        assert (status, answer["code"]) == (401, 16)
        assert answer["message"] == "There was an error processing the identity token"
        assert sigstore.certificates == []

    def test_refuses_the_token_of_another_issuer(self, sigstore: Sigstore) -> None:
        claims = jwt.decode(sigstore.token(), options={"verify_signature": False})
        assert certify(sigstore, TokenIssuer().token(claims))[0] == 401
        assert certify(sigstore, sigstore.issuer.token(claims))[0] == 200

    def test_refuses_a_workflow_that_does_not_say_all(self, sigstore: Sigstore) -> None:
        assert certify(sigstore, sigstore.workflow_token(sha=None))[0] == 401

    def test_refuses_a_request_that_proves_no_key(self, sigstore: Sigstore) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        der = bytearray(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER))
        der[-1] ^= 1
        forged = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)
        assert certify(sigstore, sigstore.token(), forged)[1]["message"].endswith("could not be verified")
        assert certify(sigstore, sigstore.token(), b"nonsense") == (
            400,
            {"code": 3, "message": "The certificate signing request could not be parsed", "details": []},
        )

    def test_publishes_its_chain(self, sigstore: Sigstore) -> None:
        sign(sigstore)
        chain = FulcioClient(sigstore.url).trust_bundle.get().trust_bundle[0]
        sigstore.certificates[0].verify_directly_issued_by(chain[0])
        chain[0].verify_directly_issued_by(chain[1])


class TestLog:
    def test_hashes_as_the_reference_does(self) -> None:
        # The vectors of https://github.com/google/certificate-transparency, merkletree/merkle_tree_test.cc.
        texts = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
        leaves = [hashlib.sha256(b"\x00" + bytes.fromhex(text)).digest() for text in texts]
        roots = {
            0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        }
        assert {size: tree_hash(leaves[:size]).hex() for size in roots} == roots
        assert [len(audit_path(index, leaves[:6])) for index in range(6)] == [3, 3, 3, 3, 2, 2]

    def test_answers_what_it_holds(self, sigstore: Sigstore) -> None:
        entry = sign(sigstore).log_entry
        log = RekorClient(sigstore.url).log
        assert log.get().tree_size == 6
        trusted_root = ClientTrustConfig.from_json(sigstore.trust_config()).trusted_root
        found = log.entries.get(log_index=FIRST_INDEX + 5)
        found._verify(trusted_root.rekor_keyring(KeyringPurpose.VERIFY))
        assert found._inner.canonicalized_body == entry._inner.canonicalized_body
        uuid = next(iter(requests.get(f"{log.url}/entries?logIndex={FIRST_INDEX + 5}", timeout=10).json()))
        assert log.entries.get(uuid=uuid)._inner.canonicalized_body == entry._inner.canonicalized_body
        with pytest.raises(RekorClientError, match="404: entry not found"):
            log.entries.get(log_index=FIRST_INDEX + 6)

    @pytest.mark.parametrize(("rekor", "code"), [(1, "409"), (2, "6")])
    def test_accepts_an_entry_once(self, sigstore: Sigstore, rekor: int, code: str) -> None:
        sigstore.rekor = rekor
        bundle, client = sign(sigstore), context(sigstore)._rekor
        assert bundle._dsse_envelope is not None
        request = client._build_dsse_request(bundle._dsse_envelope, bundle.signing_certificate)
        with pytest.raises(RekorClientError, match=f"^{code}: an equivalent entry already exists"):
            client.create_entry(request)
        assert sigstore.entries == 1

    @pytest.mark.parametrize("version", [1, 2])
    @pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"kind": "dsse", "apiVersion": "0.0.1", "spec": []}'])
    def test_refuses_a_malformed_entry(self, sigstore: Sigstore, version: int, body: bytes) -> None:
        assert ask(f"{sigstore.url}/api/v{version}/log/entries", body)[0] == 400


class TestFaults:
    @pytest.mark.parametrize("rekor", [1, 2])
    @pytest.mark.parametrize("fault", AT_SIGNING)
    def test_the_signer_refuses(self, sigstore: Sigstore, fault: Fault, rekor: int) -> None:
        sigstore.rekor, sigstore.fault = rekor, fault
        kind, message = AT_SIGNING[fault]
        with pytest.raises(kind, match=message):
            sign(sigstore)

    @pytest.mark.parametrize("fault", HUGE)
    def test_the_signer_reads_all_of_a_huge_answer(self, sigstore: Sigstore, fault: Fault) -> None:
        sigstore.fault = fault
        with pytest.raises(HUGE[fault], match=f"{NO_JSON}: line 1 column 209715201"):
            sign(sigstore)

    @pytest.mark.parametrize("fault", AT_SIGNING_V2)
    def test_the_signer_refuses_without_any_time(self, sigstore: Sigstore, fault: Fault) -> None:
        sigstore.rekor, sigstore.fault = 2, fault
        with pytest.raises(InvalidBundle, match=NO_TIME):
            sign(sigstore)
        assert sigstore.entries == 1  # it is in the log already

    def test_v1_needs_no_timestamp(self, sigstore: Sigstore) -> None:
        sigstore.fault = Fault.TSA_ERROR
        verify(sigstore, sign(sigstore))

    @pytest.mark.parametrize("rekor", [1, 2])
    @pytest.mark.parametrize("fault", AT_VERIFICATION)
    def test_the_verifier_refuses(self, sigstore: Sigstore, fault: Fault, rekor: int) -> None:
        sigstore.rekor, sigstore.fault = rekor, fault
        bundle = sign(sigstore)
        kind, message = AT_VERIFICATION[fault]
        with pytest.raises(kind, match=message):
            verify(sigstore, bundle)
        sigstore.fault = None
        verify(sigstore, sign(sigstore))

    def test_the_verifier_refuses_a_wrong_promise(self, sigstore: Sigstore) -> None:
        sigstore.fault = Fault.WRONG_PROMISE
        bundle = sign(sigstore)
        with pytest.raises(VerificationError, match="SET: invalid inclusion promise"):
            verify(sigstore, bundle)

    @pytest.mark.parametrize("rekor", [1, 2])
    def test_time_in_the_future_is_not_refused(self, sigstore: Sigstore, rekor: int) -> None:
        sigstore.rekor, sigstore.fault = rekor, Fault.CLOCK_AHEAD
        bundle = sign(sigstore)
        assert bundle.signing_certificate.not_valid_before_utc > datetime.now(timezone.utc) + timedelta(hours=23)
        verify(sigstore, bundle)

    @pytest.mark.parametrize("fault", FOR_EVER)
    def test_the_signer_waits_until_the_service_stops(self, fault: Fault) -> None:
        with ThreadPoolExecutor(1) as pool:
            with Sigstore() as sigstore:
                sigstore.fault = fault
                signing = pool.submit(sign, sigstore)
                assert wait([signing], timeout=1).not_done
            with pytest.raises(requests.RequestException, match="Connection"):
                signing.result(20)

    @pytest.mark.parametrize("fault", DISCOVERY)
    def test_the_discovery_fails(self, sigstore: Sigstore, fault: Fault) -> None:
        sigstore.fault = fault
        kind, message = DISCOVERY[fault]
        with pytest.raises(kind, match=message):
            Issuer(sigstore.url)

    @pytest.mark.parametrize("fault", OIDC_FOR_EVER)
    def test_the_discovery_waits(self, fault: Fault) -> None:
        with ThreadPoolExecutor(1) as pool:
            with Sigstore() as sigstore:
                sigstore.fault = fault
                asking = pool.submit(Issuer, sigstore.url)
                assert wait([asking], timeout=1).not_done
            with pytest.raises((NetworkError, requests.RequestException), match="^$|Connection"):
                asking.result(20)

    @pytest.mark.usefixtures("_browser")
    @pytest.mark.parametrize("fault", EXCHANGE)
    def test_the_exchange_of_the_code_fails(self, sigstore: Sigstore, fault: Fault) -> None:
        sigstore.fault, sigstore.fault_at = fault, "/token"
        done = run_python(SIGN_IN.format(""), sigstore.url)
        assert (done.returncode, sigstore.sign_ins) == (1, 1)
        assert EXCHANGE[fault] in done.stderr.splitlines()[-1]

    @pytest.mark.parametrize("fault", MINTING)
    def test_the_minting_fails(self, sigstore: Sigstore, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in sigstore.github_environment().items():
            monkeypatch.setenv(name, value)
        sigstore.fault = fault
        with pytest.raises(ambient.AmbientCredentialError, match=MINTING[fault]):
            ambient.detect_credential("sigstore")
        assert sigstore.minted == 0

    def test_every_fault_is_tried(self) -> None:
        tables = (AT_SIGNING, HUGE, AT_SIGNING_V2, AT_VERIFICATION, FOR_EVER, DISCOVERY, OIDC_FOR_EVER)
        tried = {fault for table in (*tables, WELL_WITH_V2, NEVER) for fault in table}
        assert tried == set(Fault)


class TestIdentityProvider:
    @pytest.mark.usefixtures("_browser")
    def test_the_browser_signs_in(self, sigstore: Sigstore) -> None:
        done = run_python(SIGN_IN.format(""), sigstore.url)
        assert done.returncode == 0, done.stderr
        assert sigstore.sign_ins == 1
        verify(sigstore, sign(sigstore, done.stdout.strip()))

    @pytest.mark.usefixtures("_browser")
    def test_sign_in_is_denied(self, sigstore: Sigstore) -> None:
        sigstore.person = None
        done = run_python(SIGN_IN.format(""), sigstore.url)
        assert "Error response from auth endpoint: access_denied" in done.stderr
        assert sigstore.sign_ins == 0

    def test_the_code_is_carried_by_hand(self, sigstore: Sigstore) -> None:
        sigstore.person = "alice@acme.example"
        command = [sys.executable, "-c", SIGN_IN.format("force_oob=True"), sigstore.url]
        with subprocess.Popen(
            command,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr is not None
            link = next(line.strip() for line in process.stderr if "http" in line)
            status, code = ask(link)
            out, _ = process.communicate(code.decode(), timeout=30)
        assert (status, process.returncode) == (200, 0)
        token = IdentityToken(out.rpartition(" ")[2].strip())
        assert token._unverified_claims["email"] == "alice@acme.example"

    def test_publishes_its_keys(self, sigstore: Sigstore) -> None:
        found = json.loads(ask(f"{sigstore.identity_provider}/.well-known/openid-configuration")[1])
        assert found["issuer"] == sigstore.identity_provider
        assert {"offline_access"} <= set(found["scopes_supported"])
        key = jwt.PyJWKClient(found["jwks_uri"]).get_signing_key_from_jwt(sigstore.token())
        claims = jwt.decode(sigstore.token(), key, ["ES256"], audience="sigstore", issuer=found["issuer"])
        assert claims["email"] == PERSON

    def test_a_code_is_valid_once(self, sigstore: Sigstore) -> None:
        answer = authorize(sigstore, nonce="n")
        assert answer["state"] == "of mind"
        status, tokens = exchange(sigstore, code=answer["code"], code_verifier=VERIFIER)
        assert (status, tokens["access_token"]) == (200, tokens["id_token"])
        assert "refresh_token" not in tokens
        assert sigstore.issuer.claims(tokens["id_token"], "sigstore")["nonce"] == "n"
        status, again = exchange(sigstore, code=answer["code"], code_verifier=VERIFIER)
        assert (status, again["error"]) == (400, "invalid_grant")

    @pytest.mark.parametrize(
        "form",
        [
            {"code_verifier": "another"},
            {"code_verifier": ""},
            {"redirect_uri": "http://localhost:2/"},
            {"client_id": "other"},
        ],
    )
    def test_a_code_is_valid_for_its_client(self, sigstore: Sigstore, form: dict[str, str]) -> None:
        code = authorize(sigstore)["code"]
        status, answer = exchange(sigstore, **{"code": code, "code_verifier": VERIFIER, **form})
        assert (status, answer["error"]) == (400, "invalid_grant")
        assert exchange(sigstore, code=code, code_verifier=VERIFIER)[0] == 400

    @pytest.mark.parametrize("changes", [{"code_challenge": ""}, {"code_challenge_method": "plain"}])
    def test_no_code_without_pkce(self, sigstore: Sigstore, changes: dict[str, str]) -> None:
        assert authorize(sigstore, **changes)["error"] == "invalid_request"

    @pytest.mark.parametrize("target", ["", "https://evil.example/", "http://localhost.evil.example/", "http://[::2]/"])
    def test_codes_go_to_this_machine_only(self, sigstore: Sigstore, target: str) -> None:
        assert ask(f"{sigstore.url}/auth?{urllib.parse.urlencode({'redirect_uri': target})}")[0] == 400

    def test_a_page_says_that_there_is_no_sign_in(self, sigstore: Sigstore) -> None:
        sigstore.person = None
        asked = {"redirect_uri": OUT_OF_BAND, "response_type": "code", "scope": "openid"}
        pkce = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
        answer = ask(f"{sigstore.url}/auth?{urllib.parse.urlencode({**asked, **pkce})}")
        assert answer == (403, b"access_denied\n")

    def test_the_secret_of_a_client_is_checked(self, sigstore: Sigstore) -> None:
        sigstore.client_secret = "s3cret"
        code = authorize(sigstore)["code"]
        for wrong in ({}, {"client_secret": "wrong"}):
            status, answer = exchange(sigstore, code=code, code_verifier=VERIFIER, **wrong)
            assert (status, answer["error"]) == (401, "invalid_client")
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER, "redirect_uri": BACK}
        basic = base64.b64encode(b"sigstore:s3cret").decode()
        data = urllib.parse.urlencode(form).encode()
        assert ask(f"{sigstore.url}/token", data, Authorization=f"Basic {basic}")[0] == 200

    def test_refreshes_while_it_may(self, sigstore: Sigstore) -> None:
        code = authorize(sigstore, scope="openid email offline_access")["code"]
        first = exchange(sigstore, code=code, code_verifier=VERIFIER)[1]["refresh_token"]
        status, tokens = exchange(sigstore, grant_type="refresh_token", refresh_token=first)
        assert sigstore.issuer.claims(tokens["id_token"], "sigstore")["email"] == PERSON
        assert (status, exchange(sigstore, grant_type="refresh_token", refresh_token=first)[0]) == (200, 400)
        sigstore.refreshes = False
        status, answer = exchange(sigstore, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
        assert (status, answer["error"]) == (400, "invalid_grant")

    def test_a_workflow_finds_its_token(self, sigstore: Sigstore, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in sigstore.github_environment().items():
            monkeypatch.setenv(name, value)
        token = ambient.detect_credential("sigstore")
        assert token is not None
        assert sigstore.minted == 1
        assert "api-version=2.0&audience=sigstore" in sigstore.requests[-1].query
        verify(sigstore, sign(sigstore, token), policy.Identity(identity=WORKFLOW, issuer=GITHUB_ISSUER))
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "wrong")
        with pytest.raises(ambient.AmbientCredentialError, match="code=401"):
            ambient.detect_credential("sigstore")


def test_runs_as_a_program(tmp_path: Path) -> None:
    trust, token = tmp_path / "trust.json", tmp_path / "token"
    options = ["--port", "0", "--rekor", "2", "--trust-config", str(trust), "--token", str(token), "--print-url"]
    command = [sys.executable, str(ROOT / "tests/servers/sigstore.py"), *options]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        config = ClientTrustConfig.from_json(trust.read_text())
        with SigningContext.from_trust_config(config).signer(IdentityToken(token.read_text())) as signer:
            bundle = signer.sign_dsse(statement())
        Verifier(trusted_root=config.trusted_root).verify_dsse(bundle, policy.Identity(identity=PERSON, issuer=url))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
