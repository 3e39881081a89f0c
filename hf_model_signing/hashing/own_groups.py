"""Groups that have no member besides this user and root: what such a group can write, no other user can.

Many systems give each user a group of its own, and let it write to the user's files (a umask of 002).
"""

from __future__ import annotations

import os
from functools import lru_cache

_COMPLETE = {"files", "compat", "systemd"}  # sources of users that list all of them


def is_own_group(number: int) -> bool:
    """Return True if only this user and root are in a group; False if that cannot be found out."""
    return _is_own_group(number, os.geteuid())


@lru_cache(maxsize=64)
def _is_own_group(number: int, user: int) -> bool:
    import grp
    import pwd

    try:
        group = grp.getgrgid(number)
        members = {pwd.getpwnam(name).pw_uid for name in group.gr_mem}
    except KeyError:
        return False  # a number without a name, as volumes have that containers share
    if members - {0, user}:
        return False
    try:
        own = pwd.getpwuid(user)
        if own.pw_name == group.gr_name and own.pw_gid == number:
            return True
    except KeyError:
        pass
    return _all_are_listed() and {each.pw_uid for each in pwd.getpwall() if each.pw_gid == number} <= {0, user}


def _all_are_listed() -> bool:
    """Return True if `pwd.getpwall` returns every user: a directory service may not list its users."""
    try:
        with open("/etc/nsswitch.conf", encoding="utf-8", errors="replace") as file:
            lines = [line.partition("#")[0].split() for line in file]
    except OSError:
        return os.path.exists("/etc/passwd")
    sources = next((line[1:] for line in lines if line[:1] == ["passwd:"]), ["files"])
    return {source for source in sources if not source.startswith("[")} <= _COMPLETE
