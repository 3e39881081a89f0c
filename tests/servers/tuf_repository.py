"""A local TUF repository of a Sigstore instance, from which clients get the trusted root and the signing config.

`with TufRepository() as repository:` serves at `repository.url`; clients start from `repository.root`. It has no
targets until something is published, and consistent snapshots, as the repository of Sigstore's public instance.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import TypeVar

from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]  # securesystemslib documents it here
from tuf.api.metadata import (  # type: ignore[attr-defined]  # tuf documents them here
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from tests.servers.hub_faults import DropConnection
from tests.servers.hub_http import Log, Reply, Request, Server

TRUSTED_ROOT = "trusted_root.json"
SIGNING_CONFIG = "signing_config.v0.2.json"
_LIFETIME = timedelta(days=30)
_ROLES = ("root", "timestamp", "snapshot", "targets")

_Role = TypeVar("_Role", Root, Timestamp, Snapshot, Targets)


class TufRepository:
    """The server. While it is `down`, it closes every connection without a response."""

    def __init__(self) -> None:
        self.down = False
        self._signers = {role: CryptoSigner.generate_ecdsa() for role in _ROLES}
        self._targets, self._snapshot, self._timestamp = Targets(), Snapshot(), Timestamp()  # the next of each
        self._files: dict[str, bytes] = {}
        self._log = Log()
        self._server = Server("tuf", self._answer, self._log)
        self.url = self._server.url
        self.root = self._sign_root()
        self._release(self._signers["targets"])

    def __enter__(self) -> TufRepository:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    @property
    def requests(self) -> int:
        """The number of received requests."""
        return len(self._log.records())

    def publish(self, trusted_root: bytes, signing_config: bytes) -> None:
        """Publish new versions of both targets, with valid metadata even after a fault."""
        for name, content in ((TRUSTED_ROOT, trusted_root), (SIGNING_CONFIG, signing_config)):
            target = TargetFile.from_data(name, content, ["sha256"])
            self._targets.targets[name] = target
            self._files[f"/targets/{target.hashes['sha256']}.{name}"] = content
        self._release(self._signers["targets"])

    def expire(self) -> None:
        """Publish a timestamp that expired yesterday."""
        self._stamp(timedelta(days=-1))

    def tamper(self) -> None:
        """Publish metadata of the targets that is signed with another key."""
        self._release(CryptoSigner.generate_ecdsa())

    def _sign_root(self) -> bytes:
        root = Root(consistent_snapshot=True)
        for role, signer in self._signers.items():
            root.add_key(signer.public_key, role)
        return self._put(root, self._signers["root"], _LIFETIME)

    def _release(self, targets_signer: CryptoSigner) -> None:
        """Publish the metadata of the targets, a snapshot of that version, and a timestamp of that snapshot."""
        self._snapshot.meta["targets.json"] = MetaFile(self._targets.version)
        self._timestamp.snapshot_meta = MetaFile(self._snapshot.version)
        self._put(self._targets, targets_signer, _LIFETIME)
        self._put(self._snapshot, self._signers["snapshot"], _LIFETIME)
        self._stamp(_LIFETIME)

    def _stamp(self, lifetime: timedelta) -> None:
        self._put(self._timestamp, self._signers["timestamp"], lifetime)

    def _put(self, signed: _Role, signer: CryptoSigner, lifetime: timedelta) -> bytes:
        """Publish a version of a role, and increment the number of the next."""
        signed.expires = datetime.now(timezone.utc) + lifetime
        metadata = Metadata(signed)
        metadata.sign(signer)
        data = metadata.to_bytes()
        name = "timestamp" if isinstance(signed, Timestamp) else f"{signed.version}.{signed.type}"
        self._files[f"/{name}.json"] = data
        signed.version += 1
        return data

    def _answer(self, request: Request) -> Reply:
        if self.down:
            raise DropConnection
        content = self._files.get(request.path)
        if content is None:
            return Reply(404)
        return Reply(200, {"Content-Type": "application/json"}, [content], len(content))
