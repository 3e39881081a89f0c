"""Deadlines of requests to hubs and web servers: how long a server may make us wait.

`docs/deadlines.md` has the table of all deadlines, with the reason for each.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Deadlines:
    """Limits in seconds; a slow network that makes steady progress stays below all of them.

    `connect` is for one address, and for the TLS handshake. `answer` is for the name, all addresses, and for the time
    until the header of an answer is complete, interim answers included. `silence` is the time without a byte of a body
    in either direction. A body that brings fewer than `slowest` bytes in a `window` is too slow; of an answer that is
    not a file, such as a page of a listing, all has to arrive within `document`, and all pages of one call within
    `listing`. `call` limits the time that all
    attempts of one call lose without progress, and `pauses` the time that a server may ask one call to wait.
    """

    connect: float = 10.0
    answer: float = 90.0
    silence: float = 60.0
    slowest: int = 64 * 1024
    window: float = 60.0
    document: float = 300.0
    listing: float = 3600.0
    call: float = 120.0
    pauses: float = 300.0


DEADLINES = Deadlines()  # read when it is used: tests replace it
