"""The command that verifies a bundle, as a user would type it, with the names that the bundle itself claims."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hf_model_signing._util.text import one_line
from hf_model_signing.methods.registry import METHODS

if TYPE_CHECKING:
    from hf_model_signing.oms.bundle import Bundle

_PLAIN_REFERENCE = r"(?a:(?:hf|tfhub|torchhub)://\w[\w.-]*(?:/\w[\w.-]*)*)"


def signer_options(bundle: Bundle) -> str:
    """Return the options that accept the signer of an unverified bundle; empty if nothing can verify it."""
    from hf_model_signing.hub.inspect import method_of

    method = method_of(bundle) or METHODS[bundle.method]
    if method.verifier is None:
        return ""
    claimed = method.details(bundle) if method.details else {}
    needed = " with ".join(option.said or option.names[0] for option in method.verify if option.needed)
    values = {option.names[0]: _value(option.name, option.metavar, claimed) for option in method.verify}
    return " ".join(f"{name} {values[name]}" for name in needed.split(" with "))


def _value(name: str, metavar: str, claimed: Mapping[str, Any]) -> str:
    fact = {"identity": "identity", "identity_provider": "issuer"}.get(name, "")
    return shlex.quote(one_line(str(claimed[fact]))) if claimed.get(fact) else metavar


def advice_for(model: str, signature: str | None) -> str:
    """Return a sentence about who signed a model on this machine, and the command that verifies it.

    It is empty if there is no signature that can be read.
    """
    from hf_model_signing.errors import HfSignError
    from hf_model_signing.hub.inspect import method_of
    from hf_model_signing.oms.bundle import Bundle
    from hf_model_signing.verifying import find_signature

    try:
        bundle = Bundle.read(signature or find_signature(model, os.curdir))
        options = signer_options(bundle)
    except (HfSignError, OSError):
        return ""
    if not options:
        return (
            f"'{one_line(model)}' is not signed: its bundle is of the method '{bundle.method}', which anybody could "
            "have written; ask its maker for a signature"
        )
    method = method_of(bundle) or METHODS[bundle.method]
    given = ("--signature", shlex.quote(signature)) if signature else ()
    command = " ".join(["hf-sign verify", options, *given, shlex.quote(model)])
    return (
        f"say whose signature to accept: '{one_line(model)}' is signed with the method '{method.name}', so if that is "
        f"the signer whom you trust, run `{one_line(command)}`"
    )


def commands_for(bundle: Bundle, uri: str) -> Iterator[tuple[str, str]]:
    """Yield a label and a command: the one that verifies a bundle, and the one that trusts its signer from now on."""
    options = signer_options(bundle)
    # Nobody has verified the reference: it could be an option, or a pattern that trusts the signer for everything.
    named = uri if re.fullmatch(_PLAIN_REFERENCE, uri) else ""
    if options:
        yield "verify it", f"hf-sign verify {options} {named or 'MODEL'}"
        yield "trust it", f"hf-sign trust add {options} {named or 'REPO'}"
