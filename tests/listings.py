"""A hub that lists other files than it has."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from tests.servers.hub import Hub
from tests.servers.hub_http import Reply, json_reply

Entry = dict[str, Any]  # of a listing of the hub
Change = Callable[[list[Entry]], list[Entry]]

_ROUTE = r"/api/[a-z]+s/[^/]+/[^/]+($|/tree/|/paths-info/|/revision/)"  # those that list or describe files


def name_of(entry: Entry) -> str:
    """Return the path in an entry of any route."""
    return str(entry.get("path") or entry.get("rfilename"))


def without(path: str) -> Change:
    """Leave out a file, or a directory and all below it."""
    return lambda entries: [each for each in entries if not f"{name_of(each)}/".startswith(f"{path}/")]


def list_others(hub: Hub, change: Change, *, denied: str = "") -> None:
    """Change every listing of the hub; the file `denied` is not there for other questions either."""

    def changed(reply: Reply) -> Reply:
        if reply.status != 200:
            return reply
        data = json.loads(b"".join(reply.body))
        if isinstance(data, list):
            return json_reply(
                change(data), headers={name: reply.headers[name] for name in reply.headers if name == "Link"}
            )
        return json_reply({**data, "siblings": change(data["siblings"])} if "siblings" in data else data)

    hub.spoil("ANY", _ROUTE, changed)
    if denied:
        hub.fail("HEAD", re.escape(denied), 404, code="EntryNotFound")
