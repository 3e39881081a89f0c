"""The record of a signing method: everything that the command line and the trust policy need to know about it.

Records load with the command line. Their modules must not import cryptography, Sigstore or click at the top; the
functions in a record import what they need. The classes are named tuples because start-up pays for
the definition of each dataclass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from hf_model_signing.methods.interface import Signer, Verifier
    from hf_model_signing.oms.bundle import Bundle

Values = Mapping[str, Any]  # the values of options, by name
Facts = Mapping[str, str]
Note = Callable[[str], None]


class Option(NamedTuple):
    """An option of a method on the command line; an option of a verifier is also a key in a trust policy.

    `names` are the spellings; a spelling without hyphens is the key of the value. `said` replaces the first name in the
    message about a missing `needed` option. An option of `one_run` is not a key in a policy.
    """

    names: tuple[str, ...]
    help: str
    metavar: str = ""
    flag: bool = False
    file: bool = False
    many: bool = False
    needed: bool = False
    said: str = ""
    one_run: bool = False

    @property
    def name(self) -> str:
        """The key of the value."""
        plain = [name for name in self.names if not name.startswith("-")]
        return plain[0] if plain else self.names[0].lstrip("-").replace("-", "_")


class Prompts(NamedTuple):
    """Callbacks to a person while signing: ask for a secret (None: nobody to ask), ask for a line, show a note."""

    secret: Callable[[str], str | None]
    line: Callable[[str], str]
    note: Note


class Pinning(NamedTuple):
    """Trust on first use for a method.

    `finder` receives the values of `options`, and raises `UsageError` for unusable ones. The function that it returns
    finds the claimed signer of a bundle: a verifier that accepts this signer alone, and the `fields` to pin. The fields
    are untrusted until that verifier has accepted the bundle. `describe` describes a pin, and raises `ValueError` for
    malformed fields. `derived` are additional fields for human readers, computed from the others.
    """

    fields: tuple[str, ...]
    finder: Callable[[Values], Callable[[Bundle], tuple[Verifier, Facts]]]
    describe: Callable[[Facts], str]
    derived: Mapping[str, Callable[[Facts], str]] = {}
    options: tuple[Option, ...] = ()


class EmbeddedSigner(NamedTuple):
    """The signer that a bundle itself claims, for use without a configured signer.

    `form` is the `method` of the bundles. `recognizes` distinguishes the bundles of this method from others of the same
    form; None accepts every bundle that no other method recognizes. `verifier` accepts the claimed signer, for whose
    name nobody vouches.
    """

    form: str
    verifier: Callable[[Bundle], Verifier]
    pinning: Pinning
    recognizes: Callable[[Bundle], bool] | None = None


class Method(NamedTuple):
    """A signing method. `about` describes the signer in a few words.

    A method without a verifier is `verified_as` another one, or `no_verifier` states why there is none. `loggers` are
    the names of the loggers of its libraries. `details` and `rows` are the unverified content that `inspect` shows of a
    bundle, for programs and for people.
    """

    name: str
    about: str
    signer: Callable[[Values, Prompts], Signer]
    sign: tuple[Option, ...] = ()
    verifier: Callable[[Values, Note | None], Verifier] | None = None
    verify: tuple[Option, ...] = ()
    verified_as: str = ""
    no_verifier: str = ""
    embedded: EmbeddedSigner | None = None
    loggers: tuple[str, ...] = ()
    details: Callable[[Bundle], Mapping[str, Any]] | None = None
    rows: Callable[[Bundle], list[tuple[str, str]]] | None = None

    @property
    def instead(self) -> str:
        """The reason why nothing is verified with this method, and what to do instead."""
        return (
            f"what it signs is verified with the method '{self.verified_as}'" if self.verified_as else self.no_verifier
        )

    @property
    def policy_options(self) -> tuple[Option, ...]:
        """The options of the verifier that are keys in a trust policy."""
        return tuple(option for option in self.verify if not option.one_run)
