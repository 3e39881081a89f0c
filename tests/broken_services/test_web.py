"""A web server, or the host that it redirects to, that breaks on the wire."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.broken_services.cells import SLOW, in_time
from tests.servers.static import StaticHosts
from tests.servers.wire_faults import WireFault
from tests.user import User

WAIT = 0.2
FAULTS = (*WireFault, None)  # None is a server that does not speak TLS at a URL that asks for it
ARCHIVE, FILE = "tfhub://acme/small/double/1", "/model.onnx"
CELLS = [("sign", "hub", ARCHIVE), ("verify", "hub", ARCHIVE), ("verify", "cdn", ARCHIVE), ("sign", "hub", FILE)]

SAYS: dict[WireFault | None, str] = {
    **dict.fromkeys(SLOW, "did not answer in time"),
    WireFault.DRIP_BODY: "(it comes too slowly)",
    WireFault.SILENT_BODY: "(it comes too slowly)",
    WireFault.HEADERS: "what it sends is not HTTP",
    WireFault.REDIRECTS: "redirects from URL to URL without end",
    WireFault.SHORT: "(the connection was closed)",
    WireFault.CUT_OFF: "is an empty file, not a model",  # a header that is cut off is one without a body for `requests`
    WireFault.RESET: "Connection reset by peer",
    None: "wrong version number",
}


@pytest.mark.usefixtures("pauses", "published")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("command", "origin", "model"), CELLS)
def test_command(
    hosts: StaticHosts,
    user: User,
    shorten: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: str,
    origin: str,
    model: str,
    fault: WireFault | None,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))  # nothing was downloaded before
    if fault in SLOW:
        shorten(answer=WAIT, window=WAIT, slowest=1000, call=WAIT)
    arguments = ["key", "--private-key", user.pair.private, "--signature", "new.sig"]
    if command == "verify":
        Path("old.sig").write_bytes(hosts.page("/double.sig"))
        arguments = ["key", "--public-key", user.pair.public, "--signature", "old.sig"]
    url = hosts.put(FILE, b"never sent")
    if fault:
        wire = hosts.break_wire(fault, origin=origin)
    elif origin == "cdn":
        hosts.lead("/moved/acme/small/double/1", f"{hosts.cdn_url.replace('http:', 'https:')}/x.tar.gz")
    else:
        monkeypatch.setenv("HF_SIGN_TFHUB_ENDPOINT", hosts.url.replace("http:", "https:"))
        url = url.replace("http:", "https:")
    with in_time():
        outcome = user.cli(command, *arguments, url if model == FILE else model)
    assert not fault or wire.hits
    assert (outcome.code, outcome.out) == (1 if fault is WireFault.CUT_OFF else 3, "")
    assert outcome.err.count("hf-sign: ") == 1
    assert "'http://127.0.0." in outcome.err or "'127.0.0." in outcome.err
    assert SAYS[fault] in outcome.err
    assert not Path("new.sig").exists()
    assert not [*(tmp_path / "other").rglob("*.pb"), *(tmp_path / "other").rglob("blobs/*")]
