"""The trusted Sigstore instance: its authorities and logs, and the URLs of its services.

The public instances publish these in a TUF repository, which sigstore-python refreshes. Offline, its copy in the user's
cache is used, or the copy that it ships; nothing is written then, because another process may be reading.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hf_model_signing._util.atomic_files import write_file
from hf_model_signing._util.input_files import read_input
from hf_model_signing._util.json_memory import parse_json
from hf_model_signing._util.own_cache import make_private
from hf_model_signing._util.paths import file_name
from hf_model_signing._util.regular_files import open_regular
from hf_model_signing._util.text import show
from hf_model_signing.crypto.certificates import parse_certificate
from hf_model_signing.errors import HfSignError, SigstoreWarning, UsageError
from hf_model_signing.methods.sigstore._compat import cache_directory, root_message, shipped_file
from hf_model_signing.oms import strict_json

if TYPE_CHECKING:
    from sigstore.models import ClientTrustConfig, TrustedRoot

_logger = logging.getLogger(__name__)

PRODUCTION = "https://tuf-repo-cdn.sigstore.dev"
STAGING = "https://tuf-repo-cdn.sigstage.dev"

_MAX_MEMORY = 100_000_000  # bytes, to parse either of its parts
_MAX_CONFIG = 4 * 1024 * 1024  # bytes; that of the public instance has 10 KB
_REFRESH = 20.0  # seconds; some files of a few KB
_TRIES, _PAUSE = 4, 0.1  # seconds between them
_TRUSTED_ROOT, _SIGNING_CONFIG = "trusted_root.json", "signing_config.v0.2.json"
_CONFIG_TYPE = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
_ROOT_TYPE = "application/vnd.dev.sigstore.trustedroot"


def warn(text: str) -> None:
    """Give a `SigstoreWarning`, where the caller passed no function for notes."""
    warnings.warn(text, SigstoreWarning, stacklevel=2)


@dataclass(frozen=True)
class Instance:
    """A Sigstore instance: the public one, its staging, or the private one that the file `config` describes.

    `config` is a `ClientTrustConfig` in JSON; a `TrustedRoot` is sufficient for verifying. `offline` makes no
    request. Otherwise, if the repository is unreachable, the local copy is used, and `note` receives a message. Raises
    `UsageError` for an unusable file.
    """

    config: str | os.PathLike[str] | None = None
    staging: bool = False
    offline: bool = False
    note: Callable[[str], None] = lambda _: None
    tuf_url: str = ""
    bootstrap: Path | None = None  # the first root of a TUF repository that sigstore-python does not know

    def __post_init__(self) -> None:
        if self.config is not None and self.staging:
            raise UsageError("a trust config and the staging instance exclude each other: choose one")
        if not self.tuf_url:
            object.__setattr__(self, "tuf_url", STAGING if self.staging else PRODUCTION)
        if self.config is not None:
            _ = self._given  # report an unusable file before any work

    def __str__(self) -> str:
        if self.config is not None:
            return f"the Sigstore instance of '{os.fspath(self.config)}'"
        return "the staging instance of Sigstore" if self.staging else "the public Sigstore instance"

    def hint(self, reason: str) -> str:
        """Return a hint for the case that a bundle belongs to another instance."""
        if "this Sigstore instance" not in reason:
            return ""
        other = "another --trust-config" if self.config is not None else "--trust-config"
        return f"; this is {self}: if it was made with another one, name that with {other}"

    @cached_property
    def trusted_root(self) -> TrustedRoot:
        """The trust root for verifying; raises `HfSignError` if it is unavailable."""
        return self._public.trusted_root if self.config is None else self._given[0]

    @cached_property
    def signing(self) -> ClientTrustConfig:
        """The trust config for signing; raises `UsageError` for a file without services, `HfSignError` as above."""
        config = self._public if self.config is None else self._given[1]
        if config is None:
            raise UsageError(
                f"'{os.fspath(self.config or '')}' is a trusted root, which is enough to verify; to sign, name a "
                "client trust config, which says where the services are"
            )
        self._check_services(config)
        return config

    def _check_services(self, config: ClientTrustConfig) -> None:
        from sigstore.errors import Error

        try:
            _ = config.signing_config
        except (Error, ValueError, TypeError) as error:
            where = (
                f"the trust config '{os.fspath(self.config)}'" if self.config else f"the copy of {self.tuf_url} here"
            )
            raise UsageError(f"{where} names no services that could sign now: {_brief(error)}") from error

    @cached_property
    def _given(self) -> tuple[TrustedRoot, ClientTrustConfig | None]:
        path = file_name(self.config or "", "trust config")
        data = read_input(path, "trust config", _MAX_CONFIG)
        try:
            kind = strict_json.loads(data).get("mediaType")
            if str(kind).startswith(_ROOT_TYPE):
                return _parse_root(data), None
            if kind != _CONFIG_TYPE:
                raise ValueError(f"its media type is {show(str(kind))}; expected '{_CONFIG_TYPE}'")
            config = _parse(data.decode("utf-8"))
        except MemoryError:
            raise
        except Exception as error:  # a malformed file can raise anything in the libraries
            raise UsageError(f"'{path}' is not a trust config of Sigstore: {_brief(error)}") from error
        return config.trusted_root, config

    @cached_property
    def _public(self) -> ClientTrustConfig:
        if self.offline:
            return self._stored()[0]
        from hf_model_signing._util.deadline import in_time

        try:
            return in_time(self._refreshed, _REFRESH)
        except (OSError, _UnreachableError) as error:
            stored, which = self._stored()
            reason = "it does not answer in time" if isinstance(error, TimeoutError) else str(error)
            self.note(f"the trust root of Sigstore cannot be refreshed from {self.tuf_url} ({reason}); "
                      f"the copy {which} is used")  # fmt: skip
            return stored

    def _refreshed(self) -> ClientTrustConfig:
        from sigstore.errors import Error, TUFError
        from sigstore.models import ClientTrustConfig
        from tuf.api.exceptions import DownloadError
        from urllib3.exceptions import HTTPError

        from hf_model_signing._util.http import is_cut_off

        self._seed()
        for attempt in range(_TRIES):
            try:
                config = ClientTrustConfig.from_tuf(self.tuf_url, bootstrap_root=self.bootstrap)
                _ = config.trusted_root
            except TUFError as error:
                cause = error.__cause__
                if isinstance(cause, OSError):
                    raise cause from error
                if isinstance(cause, (DownloadError, HTTPError)):
                    reason = "it closed the connection in the middle of an answer"
                    raise _UnreachableError(reason if is_cut_off(cause) else "it cannot be reached") from error
                raise self._refusal(cause or error) from error
            except (Error, ValueError) as error:
                # Another process may be writing the file: tuf does not write atomically.
                if attempt + 1 == _TRIES:
                    raise self._refusal(error) from error
                time.sleep(_PAUSE)
            else:
                return config
        raise AssertionError("the last try returns or raises")

    def _refusal(self, error: BaseException) -> HfSignError:
        return HfSignError(
            f"the trust root that {self.tuf_url} serves is refused: {_brief(error)}; check this machine's clock, and "
            "update the package sigstore; --offline uses the copy that was good before"
        )

    def _stored(self) -> tuple[ClientTrustConfig, str]:
        """Return the copy in the cache if it is valid, or else the one that sigstore ships; and a name for it."""
        # As in sigstore-python, the user's own cache is trusted.
        try:
            return self._assembled(self._cached), f"in '{self._cache}'"
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - a damaged file can raise anything in the libraries
            _logger.debug("the copy of the trust root in '%s' is not used: %s", self._cache, _brief(error))
        try:
            return self._assembled(self._shipped), "that sigstore ships"
        except MemoryError:
            raise
        except Exception as error:  # a damaged installation can raise anything
            raise HfSignError(f"there is no trust root for {self.tuf_url} on this machine: {_brief(error)}") from error

    def _assembled(self, read: Callable[[str], bytes]) -> ClientTrustConfig:
        names = {"trustedRoot": _TRUSTED_ROOT, "signingConfig": _SIGNING_CONFIG}
        parts = {part: parse_json(read(name), _MAX_MEMORY) for part, name in names.items()}
        return _parse(json.dumps({"mediaType": _CONFIG_TYPE, **parts}))

    def _cached(self, name: str) -> bytes:
        with open_regular(self._cache / name) as file:
            return file.read(_MAX_CONFIG)

    def _shipped(self, name: str) -> bytes:
        return shipped_file(self.tuf_url, name)

    @property
    def _cache(self) -> Path:
        """Return the directory where sigstore-python caches the repository."""
        return cache_directory(self.tuf_url)

    def _seed(self) -> None:
        """Copy the files that sigstore ships into its cache, each atomically; sigstore-python itself would not."""
        for name in (_TRUSTED_ROOT, _SIGNING_CONFIG):
            if not (self._cache / name).exists():
                with contextlib.suppress(FileNotFoundError):  # sigstore-python ships no copy of other repositories
                    data = self._shipped(name)
                    make_private(str(self._cache))
                    write_file(self._cache / name, data)


class _UnreachableError(Exception):
    """The TUF repository did not answer."""


def _parse(text: str) -> ClientTrustConfig:
    """Parse the trust config in `text` and check its trusted root."""
    from sigstore.models import ClientTrustConfig

    config = ClientTrustConfig.from_json(text)
    _check_root(config.trusted_root)
    return config


def _parse_root(data: bytes) -> TrustedRoot:
    from sigstore.models import TrustedRoot
    from sigstore_models.trustroot.v1 import TrustedRoot as Inner

    root = TrustedRoot(Inner.from_json(data))
    _check_root(root)
    return root


def _check_root(root: TrustedRoot) -> None:
    """Raise `ValueError` for a trusted root that could never verify anything."""
    whole = root_message(root)
    parts = {
        "certificate authority": whole.certificate_authorities,
        "transparency log": whole.tlogs,
        "certificate transparency log": whole.ctlogs,
    }
    for name, part in parts.items():
        if not part:
            raise ValueError(f"it names no {name}")
    for authority in (*whole.certificate_authorities, *whole.timestamp_authorities):
        _check_period(authority.valid_for)
        for certificate in authority.cert_chain.certificates:
            parse_certificate(certificate.raw_bytes)
    for log in (*whole.tlogs, *whole.ctlogs):
        _check_period(log.public_key.valid_for)
        with contextlib.suppress(UnsupportedAlgorithm):  # of a future kind; sigstore-python ignores it
            load_der_public_key(log.public_key.raw_bytes or b"")


def _check_period(period: Any) -> None:  # noqa: ANN401 - of sigstore's own model
    if period is not None and not all(time.tzinfo for time in (period.start, period.end) if time is not None):
        raise ValueError("it has a time without a time zone")


def _brief(error: BaseException) -> str:
    """Return the text of a library's error in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3])[:300] or type(error).__name__
