"""Trust in timestamps: the paths from the certificate of the signer to one that the user gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import rfc3161_client
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from hf_model_signing.errors import VerificationError
from hf_model_signing.timestamps.rfc3161 import verified_time
from tests.certificates import TIME_STAMPING, Authority, Leaf, distinguished, make_authority, self_signed
from tests.servers.tsa_tokens import Recipe, mint, query

MESSAGE = b"the bytes of a signature"
THEN = datetime(2024, 2, 29, 12, 30, 1, tzinfo=timezone.utc)
UNKNOWN = "comes from an unknown authority: the certificate '.*' does not lead to any of the root certificates given"
FIT: dict[str, Any] = {"eku": (TIME_STAMPING,), "eku_critical": True}
NOTHING = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.9"), b"\x05\x00")


@dataclass
class World:
    """Make a root, an authority below it, and a signer; a test changes one of them."""

    root_changes: dict[str, Any] = field(default_factory=dict)
    middle_changes: dict[str, Any] = field(default_factory=dict)
    signer_changes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = make_authority("Root", **self.root_changes)
        self.middle = make_authority("Middle", parent=self.root, **self.middle_changes)
        self.signer = self.middle.issue("Signer", **(FIT | self.signer_changes))

    def verify(self, *given: Leaf, embed: Sequence[Leaf] | None = None) -> datetime:
        recipe = Recipe(self.signer, [self.middle] if embed is None else embed)
        return verified_time([mint(query(MESSAGE), recipe, THEN)], MESSAGE, [leaf.cert for leaf in given])


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_root_is_enough(world: World) -> None:
    assert world.verify(world.root) == THEN


def test_whole_chain_may_be_given(world: World) -> None:
    assert world.verify(world.root, world.middle, world.signer, embed=()) == THEN
    assert world.verify(world.signer, world.middle, world.root, world.root) == THEN


def test_link_may_come_from_the_user(world: World) -> None:
    assert world.verify(world.middle, world.root, embed=()) == THEN


def test_missing_link_is_refused(world: World) -> None:
    with pytest.raises(VerificationError, match=UNKNOWN):
        world.verify(world.root, embed=())


def test_other_roots_beside_do_no_harm(world: World) -> None:
    assert world.verify(make_authority("Other"), make_authority("Root"), world.root) == THEN


@pytest.mark.parametrize("name", ["middle", "signer"])
def test_lone_certificate_is_an_anchor(world: World, name: str) -> None:
    assert world.verify(getattr(world, name)) == THEN


def test_anchor_that_is_not_behind_it_is_refused(world: World) -> None:
    for other in (make_authority("Middle", parent=world.root), world.middle.issue("Signer", **FIT)):
        with pytest.raises(VerificationError, match=UNKNOWN):
            world.verify(other)


def test_intermediate_is_no_anchor_beside_a_root(world: World) -> None:
    with pytest.raises(VerificationError, match=UNKNOWN):
        world.verify(world.middle, make_authority("Other"))


def test_self_signed_signer_is_its_own_root() -> None:
    alone = self_signed("Signer", **FIT)
    world = World()
    world.signer = alone
    assert world.verify(alone, embed=()) == THEN
    with pytest.raises(VerificationError, match=UNKNOWN):
        world.verify(self_signed("Signer", **FIT), embed=())


def test_root_that_a_token_brings_is_not_trusted(world: World) -> None:
    for given in (make_authority("Root"), make_authority("Other").issue("Signer", **FIT)):
        with pytest.raises(VerificationError, match=UNKNOWN):
            world.verify(given, embed=[world.middle, world.root])


@pytest.mark.parametrize("where", ["root_changes", "middle_changes"])
@pytest.mark.parametrize(
    "changes",
    [
        {"ca": False, "key_usage": ("key_cert_sign",)},
        {"key_usage": ("digital_signature",)},
        {"key": rsa.generate_private_key(65537, 1024)},
        {"eku": (ExtendedKeyUsageOID.SERVER_AUTH,)},
        {"extensions": [(NOTHING, True)]},
        {"extensions": [(x509.NameConstraints([x509.DirectoryName(distinguished("Else"))], None), True)]},
    ],
    ids=["no-ca", "no-cert-sign", "short-rsa", "other-purpose", "unknown-critical", "name-constraints"],
)
def test_authority_must_be_fit(where: str, changes: dict[str, Any]) -> None:
    world = World(**{where: changes})
    with pytest.raises(VerificationError, match=UNKNOWN):
        world.verify(world.root)


@pytest.mark.parametrize("purpose", [TIME_STAMPING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
def test_authority_may_be_for_timestamps_alone(purpose: x509.ObjectIdentifier) -> None:
    world = World(middle_changes={"eku": (ExtendedKeyUsageOID.SERVER_AUTH, purpose)})
    assert world.verify(world.root) == THEN


def test_unknown_critical_extension_of_the_signer() -> None:
    world = World(signer_changes={"extensions": [(NOTHING, True)]})
    for given in (world.root, world.signer):
        with pytest.raises(VerificationError, match=UNKNOWN):
            world.verify(given)


def test_extension_that_is_not_critical_is_ignored() -> None:
    extensions = {"extensions": [(NOTHING, False)]}
    world = World(extensions, extensions, extensions)
    assert world.verify(world.root) == THEN


def test_certificate_signed_with_a_weak_hash() -> None:
    for weak in (World(middle_changes={"digest": hashes.SHA224()}), World(signer_changes={"digest": hashes.SHA224()})):
        with pytest.raises(VerificationError, match=UNKNOWN):
            weak.verify(weak.root)


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP521R1())],
    ids=["rsa", "p521"],
)
def test_kinds_of_keys_of_authorities(key: Any) -> None:  # noqa: ANN401 - any kind of private key
    world = World({"key": key})
    assert world.verify(world.root) == THEN


@pytest.mark.parametrize(("allowed", "good"), [(0, False), (1, True), (None, True)])
def test_path_length_is_kept(allowed: int | None, good: bool) -> None:
    world = World({"path_length": allowed})
    if good:
        assert world.verify(world.root) == THEN
        return
    with pytest.raises(VerificationError, match=UNKNOWN):
        world.verify(world.root)


@pytest.mark.parametrize(("links", "good"), [(9, True), (10, False)])
def test_long_chain_is_given_up(links: int, good: bool) -> None:
    chain: list[Authority] = [make_authority("Root")]
    for number in range(links):
        chain.append(make_authority(f"Link {number}", parent=chain[-1]))
    world = World()
    world.signer = chain[-1].issue("Signer", **FIT)
    if good:
        assert world.verify(chain[1], embed=chain[2:]) == THEN
        return
    with pytest.raises(VerificationError, match=UNKNOWN):
        world.verify(chain[1], embed=chain[2:])


@pytest.mark.parametrize("where", ["root_changes", "middle_changes"])
@pytest.mark.parametrize(
    "changes",
    [{"not_before": THEN + timedelta(seconds=1)}, {"not_after": THEN - timedelta(seconds=1)}],
    ids=["not-yet", "no-more"],
)
def test_authority_must_be_valid_at_that_time(where: str, changes: dict[str, Any]) -> None:
    world = World(**{where: changes})
    name = where.removesuffix("_changes").capitalize()
    why = "is not valid before 2024-02-29 12:30:02" if "not_before" in changes else "expired at 2024-02-29 12:30:00"
    with pytest.raises(VerificationError, match=f"unknown authority: the certificate 'O=T,CN={name}' {why}"):
        world.verify(world.root)


def test_valid_then_and_expired_now_is_accepted() -> None:
    until = {"not_after": THEN + timedelta(seconds=1)}
    world = World(until, until, until)
    assert world.verify(world.root) == THEN


def test_renewed_authority_is_found() -> None:
    old = World(middle_changes={"not_after": THEN - timedelta(days=1)})
    new = make_authority("Middle", parent=old.root, key=old.middle.key)
    for embed in ([old.middle, new], [new, old.middle]):
        assert old.verify(old.root, embed=embed) == THEN


def test_certificates_that_issue_each_other_come_to_an_end(world: World) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    twin = make_authority("Twin", key=key)
    crowd = [make_authority("Twin", parent=twin, key=key) for _ in range(15)]
    world = World()
    world.signer = twin.issue("Signer", **FIT)
    with pytest.raises(VerificationError, match=UNKNOWN):
        world.verify(world.root, embed=crowd)


def test_library_has_to_agree(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[bytes] = []

    def refuse(self: object, response: object, message: bytes) -> bool:
        judged.append(message)
        raise rfc3161_client.VerificationError('x data: "Verify error: the moon is full" }])')

    monkeypatch.setattr("rfc3161_client.verify._Verifier.verify_message", refuse)
    with pytest.raises(VerificationError, match="the timestamp is not verified: the moon is full$"):
        world.verify(world.root)
    assert judged == [MESSAGE]


def test_library_that_says_no_without_an_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rfc3161_client.verify._Verifier.verify_message", lambda *_: None)
    with pytest.raises(VerificationError, match="the timestamp is not verified$"):
        world.verify(world.root)


def test_library_gets_no_certificate_of_the_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    builder = rfc3161_client.VerifierBuilder

    def note(**some: Any) -> rfc3161_client.VerifierBuilder:  # noqa: ANN401 - its arguments
        told.append(some)
        return builder(**some)

    monkeypatch.setattr(rfc3161_client, "VerifierBuilder", note)
    world.verify(world.root)
    world.verify(world.signer, world.middle, world.root)
    root, middle, signer = (leaf.cert for leaf in (world.root, world.middle, world.signer))
    assert told == [
        {"roots": [root], "intermediates": [], "tsa_certificate": None},
        {"roots": [root], "intermediates": [signer, middle], "tsa_certificate": signer},
    ]


def test_time_is_the_end_of_what_the_token_may_mean(world: World) -> None:
    def vague(fields: dict[str, Any]) -> None:
        fields["accuracy"] = {"seconds": 90, "millis": 5}

    token = mint(query(MESSAGE), Recipe(world.signer, [world.middle], info=vague), THEN)
    assert verified_time([token], MESSAGE, [world.root.cert]) == THEN + timedelta(seconds=90, milliseconds=5)
