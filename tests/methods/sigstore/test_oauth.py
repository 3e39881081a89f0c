"""Interactive sign-in: its frequency, its duration, and the requests to the issuer."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

import hf_model_signing as hms
from hf_model_signing.methods.sigstore import oauth
from hf_model_signing.methods.sigstore.oauth import ONCE_IN, Client, SignIn
from tests.servers.hub_http import Log, Reply, Request, Server, json_reply
from tests.servers.sigstore import SigstoreFault as Fault
from tests.servers.sigstore_fixtures import RELEASE, Keyless

Browser = Callable[..., Path]
SHORT = timedelta(seconds=3)  # tokens have whole seconds, so it is valid for at least two


def _until_it_has_ended() -> None:
    time.sleep(SHORT.total_seconds() + 0.1)


class Clock:
    """The time of the next sign-in."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(oauth, "_clock", clock)
    return clock


def _person(keyless: Keyless) -> SignIn:
    return SignIn(keyless.instance.identity_provider, Client("sigstore"), lambda _: None, None)


def test_sign_in_is_valid_while_its_token_lasts(keyless: Keyless, browser: Browser) -> None:
    browser()
    person = _person(keyless)
    tokens = [person.token() for _ in range(3)]
    assert (len({str(token.raw) for token in tokens}), keyless.instance.sign_ins) == (1, 1)


def test_issuer_that_renews_is_not_asked_through_the_person(keyless: Keyless, browser: Browser, clock: Clock) -> None:
    browser()
    keyless.instance.token_lifetime = SHORT
    person = _person(keyless)
    first = person.token()
    _until_it_has_ended()
    second = person.token()
    assert (str(first.raw) != str(second.raw), second.lasts(), keyless.instance.sign_ins) == (True, True, 1)
    _until_it_has_ended()
    person.token()  # the refresh token may change each time
    assert keyless.instance.sign_ins == 1


def test_sign_in_is_not_repeated_within_an_hour(keyless: Keyless, browser: Browser, clock: Clock) -> None:
    browser()
    keyless.instance.refreshes = False
    keyless.instance.token_lifetime = SHORT
    person = _person(keyless)
    person.token()
    _until_it_has_ended()
    clock.now += ONCE_IN - 1
    with pytest.raises(hms.HfSignError, match="asked to sign in 60 minutes ago.+ nobody is asked twice an hour"):
        person.token()
    clock.now += 1
    assert person.token().lasts()
    assert keyless.instance.sign_ins == 2


def test_sign_in_is_not_repeated_after_declining(keyless: Keyless, browser: Browser, clock: Clock) -> None:
    opened = browser()
    keyless.instance.person = None
    person = _person(keyless)
    with pytest.raises(hms.HfSignError, match="access_denied"):
        person.token()
    with pytest.raises(hms.HfSignError, match="nobody is asked twice an hour"):
        person.token()
    assert len(opened.read_text().splitlines()) == 1


def test_renewal_that_fails_asks_the_person_once_it_may(keyless: Keyless, browser: Browser, clock: Clock) -> None:
    browser()
    keyless.instance.token_lifetime = SHORT
    person = _person(keyless)
    person.token()
    _until_it_has_ended()
    keyless.instance.refreshes = False  # withdrawn
    clock.now += ONCE_IN
    assert person.token().lasts()
    assert keyless.instance.sign_ins == 2


def test_renewal_that_is_not_answered_says_so(keyless: Keyless, browser: Browser, clock: Clock) -> None:
    browser()
    keyless.instance.token_lifetime = SHORT
    person = _person(keyless)
    person.token()
    _until_it_has_ended()
    keyless.instance.fault, keyless.instance.fault_at = Fault.OIDC_DOWN, "/token"
    with pytest.raises(hms.HfSignError, match="the OpenID Connect issuer at .+ cannot be reached"):
        person.token()
    keyless.instance.fault = None
    assert person.token().lasts()
    assert keyless.instance.sign_ins == 1


def test_each_sign_in_has_secrets_of_its_own(keyless: Keyless, browser: Browser) -> None:
    opened = browser()
    for _ in range(2):
        _person(keyless).token()
    queries = [parse_qs(urlsplit(line).query) for line in opened.read_text().splitlines()]
    for name in ("state", "code_challenge"):
        values = {query[name][0] for query in queries}
        assert len(values) == 2
        assert min(map(len, values)) >= 43


def test_one_run_signs_as_one_identity(keyless: Keyless, browser: Browser, clock: Clock, model: Path) -> None:
    browser()
    keyless.instance.refreshes = False
    keyless.instance.token_lifetime = keyless.instance.certificate_lifetime = SHORT
    signer = hms.SigstoreSigner(trust_config=keyless.config)
    hms.sign(model, signer=signer)
    _until_it_has_ended()
    clock.now += ONCE_IN
    keyless.instance.person = "mallory@acme.example"
    with pytest.raises(
        hms.UsageError, match="the sign-in is now as 'mallory@acme.example'.+ one run signs as one identity"
    ):
        hms.sign(model, signer=signer)
    assert keyless.instance.entries == 1


def test_many_models_take_one_sign_in(keyless: Keyless, browser: Browser, clock: Clock, model: Path) -> None:
    browser()
    keyless.instance.certificate_lifetime = timedelta(seconds=3)
    signer = hms.SigstoreSigner(trust_config=keyless.config)
    for wait in (0, 2.5, 2.5):  # less than a quarter of the lifetime remains
        time.sleep(wait)
        assert hms.verify(model, hms.sign(model, signer=signer), verifier=keyless.verifier())
    assert (keyless.instance.sign_ins, len(keyless.instance.certificates)) == (1, 3)


@pytest.mark.parametrize("fault", [Fault.OIDC_ERROR, Fault.OIDC_REFUSES, Fault.OIDC_GARBAGE, Fault.OIDC_DOWN])
def test_issuer_that_gives_no_token_for_the_code(keyless: Keyless, browser: Browser, fault: Fault) -> None:
    browser()
    person = _person(keyless)
    keyless.instance.fault, keyless.instance.fault_at = fault, "/token"
    with pytest.raises(hms.HfSignError, match="the OpenID Connect issuer at .+; no signature was written"):
        person.token()


def test_token_of_the_issuer_that_cannot_be_used(keyless: Keyless, browser: Browser) -> None:
    browser()
    keyless.instance.token_lifetime = timedelta(seconds=-60)
    with pytest.raises(hms.UsageError, match="the identity token that the issuer gave expired at"):
        _person(keyless).token()


def test_out_of_band_without_anybody_to_ask(keyless: Keyless) -> None:
    person = SignIn(keyless.instance.identity_provider, Client("sigstore", out_of_band=True), lambda _: None, None)
    with pytest.raises(hms.UsageError, match="there is no browser here to sign in with, and nobody to ask for a code"):
        person.token()


def test_out_of_band_code(keyless: Keyless) -> None:
    import re
    import urllib.request

    def ask(text: str) -> str:
        address = re.findall(r"http\S+", text)[0]
        page: str = urllib.request.urlopen(address).read().decode()
        return f"  {re.findall(r'[A-Za-z0-9_-]{20,}', page)[-1]} \n"

    client = Client("sigstore", out_of_band=True)
    token = SignIn(keyless.instance.identity_provider, client, lambda _: None, ask).token()
    assert token.expected.identities[0] == RELEASE


@pytest.mark.parametrize("code", ["", "   ", "wrong"])
def test_out_of_band_code_that_is_wrong(keyless: Keyless, code: str) -> None:
    client = Client("sigstore", out_of_band=True)
    person = SignIn(keyless.instance.identity_provider, client, lambda _: None, lambda _: code)
    with pytest.raises(hms.HfSignError, match=r"no verification code was entered|refused \(HTTP 400: "):
        person.token()


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "http://\x1b[2Jx/",
        "http://a b/",
        "http://x/\nhf-sign: note: all is well",
        "http://[",
        "http://x:99999/",
        "http:///auth",
        "",
        7,
        None,
        "//x/auth",
    ],
)
@pytest.mark.parametrize("field", ["authorization_endpoint", "token_endpoint"])
def test_urls_that_are_not_opened(monkeypatch: pytest.MonkeyPatch, field: str, address: object) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    good = {"authorization_endpoint": "http://x/auth", "token_endpoint": "http://x/token"}
    server = Server("issuer", lambda _: json_reply({**good, field: address}), Log())
    server.start()
    with pytest.raises(hms.HfSignError, match="names no addresses to sign in at; no signature was written"):
        SignIn(server.url, Client("sigstore"), lambda _: None, None)
    server.stop()


def test_https_does_not_lead_to_http() -> None:
    assert not oauth._is_address("http://issuer.example/auth", "https://issuer.example")
    assert oauth._is_address("https://issuer.example/auth", "https://issuer.example")
    assert oauth._is_address("https://issuer.example/auth", "http://127.0.0.1:1")


@pytest.mark.parametrize("answers", [{}, {"id_token": None}, {"access_token": 7}])
def test_issuer_that_gives_everything_but_a_token(monkeypatch: pytest.MonkeyPatch, answers: dict[str, object]) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def answer(request: Request) -> Reply:
        ends = {"authorization_endpoint": f"{server.url}/auth", "token_endpoint": f"{server.url}/token"}
        return json_reply(ends if request.method == "GET" else answers)

    server = Server("issuer", answer, Log())
    server.start()
    person = SignIn(server.url, Client("sigstore", out_of_band=True), lambda _: None, lambda _: "code")
    with pytest.raises(hms.HfSignError, match="the issuer gave no identity token after the sign-in"):
        person.token()
    server.stop()


@pytest.mark.parametrize(
    "address", ["http://x/\x1b", "http://x/\x07a", "http://accounts.g\u043e\u043egle.com/", "http://x/\u202e"]
)
def test_address_that_looks_like_another(address: str) -> None:
    assert not oauth._is_address(address, "http://x")


def test_answers_are_taken_from_this_machine_alone() -> None:
    callback = oauth._Callback("state")
    assert callback._server.server_address[0] == "127.0.0.1"
    callback._server.server_close()


def test_refresh_token_that_was_withdrawn_is_not_sent_again(keyless: Keyless, browser: Browser, clock: Clock) -> None:
    browser()
    keyless.instance.token_lifetime = SHORT
    person = _person(keyless)
    person.token()
    _until_it_has_ended()
    keyless.instance.refreshes = False
    for _ in range(2):
        with pytest.raises(hms.HfSignError, match="nobody is asked twice an hour"):
            person.token()
    asked = [request for request in keyless.instance.requests if request.path.startswith("/token")]
    assert len(asked) == 2  # for the code, and one renewal


def test_what_an_issuer_may_answer(keyless: Keyless) -> None:
    person, good, other = _person(keyless), keyless.instance.token(), keyless.instance.token("other@acme.example")
    for answers in ({"id_token": good}, {"access_token": good}, {"id_token": good, "access_token": other}):
        assert str(person._taken({**answers, "refresh_token": "first"}).raw) == good
    for nothing_new in ({}, {"refresh_token": 7}):
        person._taken({"id_token": good} | nothing_new)
        assert person._refresh_token == "first"
