"""The local TUF repository: Sigstore's own client gets the published targets, and rejects every fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sigstore._internal.tuf import DEFAULT_TUF_URL, STAGING_TUF_URL
from sigstore._utils import read_embedded
from sigstore.errors import TUFError
from sigstore.models import ClientTrustConfig
from sigstore_models.trustroot.v1 import SigningConfig, TrustedRoot
from tuf.api.exceptions import DownloadError, ExpiredMetadataError, RepositoryError, UnsignedMetadataError

from tests.servers.tuf_repository import SIGNING_CONFIG, TRUSTED_ROOT, TufRepository

Refresh = Callable[..., ClientTrustConfig]


def instance(url: str) -> tuple[bytes, bytes]:
    """Return the trusted root and the signing config of a public instance, as the client ships them."""
    return read_embedded(TRUSTED_ROOT, url), read_embedded(SIGNING_CONFIG, url)


PRODUCTION, STAGING = instance(DEFAULT_TUF_URL), instance(STAGING_TUF_URL)


def holds(config: ClientTrustConfig, published: tuple[bytes, bytes]) -> bool:
    expected = TrustedRoot.from_json(published[0]), SigningConfig.from_json(published[1])
    return (config._inner.trusted_root, config._inner.signing_config) == expected


@pytest.fixture
def repository() -> Iterator[TufRepository]:
    with TufRepository() as repository:
        yield repository


@pytest.fixture
def refresh(repository: TufRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refresh:
    """Refresh the trust of a machine that has only the first root, or use its cache."""
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    bootstrap = tmp_path / "root.json"
    bootstrap.write_bytes(repository.root)
    return lambda *, offline=False: ClientTrustConfig.from_tuf(repository.url, offline, bootstrap)


def cause_of_failure(refresh: Refresh, message: str = "Failed to refresh TUF metadata") -> BaseException | None:
    with pytest.raises(TUFError, match=message) as caught:
        refresh()
    return caught.value.__cause__


def test_refresh_gives_what_was_published(repository: TufRepository, refresh: Refresh) -> None:
    repository.publish(*PRODUCTION)
    assert holds(refresh(), PRODUCTION)


def test_refresh_sees_the_next_publication(repository: TufRepository, refresh: Refresh) -> None:
    repository.publish(*PRODUCTION)
    refresh()
    repository.publish(*STAGING)
    assert holds(refresh(), STAGING)


def test_new_machine_gets_the_last_publication(repository: TufRepository, refresh: Refresh) -> None:
    repository.publish(*PRODUCTION)
    repository.publish(*STAGING)
    assert holds(refresh(), STAGING)


def test_refresh_downloads_targets_only_once(repository: TufRepository, refresh: Refresh) -> None:
    repository.publish(*PRODUCTION)
    refresh()
    first = repository.requests
    refresh()
    assert (first, repository.requests - first) == (
        6,
        2,
    )  # finally the next root, which does not exist, and the timestamp


def test_offline_sends_nothing(repository: TufRepository, refresh: Refresh) -> None:
    repository.publish(*PRODUCTION)
    refresh()
    first = repository.requests
    assert holds(refresh(offline=True), PRODUCTION)
    assert repository.requests == first


def test_nothing_published_means_no_trust(refresh: Refresh) -> None:
    assert cause_of_failure(refresh, "no trusted root") is None


def test_down_fails_to_download(repository: TufRepository, refresh: Refresh) -> None:
    repository.publish(*PRODUCTION)
    repository.down = True
    assert isinstance(cause_of_failure(refresh), DownloadError)


def test_up_again_is_as_before(repository: TufRepository, refresh: Refresh) -> None:
    repository.publish(*PRODUCTION)
    repository.down = True
    cause_of_failure(refresh)
    repository.down = False
    assert holds(refresh(), PRODUCTION)


@pytest.mark.parametrize("known", [False, True], ids=["new machine", "known before"])
@pytest.mark.parametrize(
    ("fault", "error"),
    [(TufRepository.expire, ExpiredMetadataError), (TufRepository.tamper, UnsignedMetadataError)],
    ids=["expire", "tamper"],
)
def test_bad_metadata_is_refused(
    repository: TufRepository,
    refresh: Refresh,
    fault: Callable[[TufRepository], None],
    error: type[RepositoryError],
    known: bool,
) -> None:
    repository.publish(*PRODUCTION)
    if known:
        refresh()
    fault(repository)
    cause = cause_of_failure(refresh)
    assert isinstance(cause, RepositoryError)
    assert isinstance(cause, error)


@pytest.mark.parametrize("fault", [TufRepository.expire, TufRepository.tamper], ids=["expire", "tamper"])
def test_publication_repairs_a_fault(
    repository: TufRepository, refresh: Refresh, fault: Callable[[TufRepository], None]
) -> None:
    repository.publish(*PRODUCTION)
    fault(repository)
    cause_of_failure(refresh)
    repository.publish(*STAGING)
    assert holds(refresh(), STAGING)


def test_root_of_another_repository_is_refused(repository: TufRepository, refresh: Refresh, tmp_path: Path) -> None:
    repository.publish(*PRODUCTION)
    with TufRepository() as other:
        (tmp_path / "root.json").write_bytes(other.root)
    assert isinstance(cause_of_failure(refresh), UnsignedMetadataError)
