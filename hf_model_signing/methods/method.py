"""The record of a signing method: everything that the command line and the trust policy need to offer it.

Records are loaded with the command line. Their modules import neither cryptography nor Sigstore nor click at the top:
the functions in a record import what they use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_model_signing.methods.interface import Signer, Verifier
    from hf_model_signing.oms.bundle import Bundle

Values = Mapping[str, Any]  # of options, by their names
Facts = Mapping[str, str]
Note = Callable[[str], None]


@dataclass(frozen=True)
class Option:
    """An option of a method on the command line; for a verifier it is a key of a trust policy as well.

    `names` are as typed; one without hyphens is its name among the values. `said` is how to ask for an option that is
    `needed` where its first name does not say enough. An option of `one_run` says how a single run verifies: a policy
    does not have it.
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
        """The key of its value."""
        plain = [name for name in self.names if not name.startswith("-")]
        return plain[0] if plain else self.names[0].lstrip("-").replace("-", "_")


@dataclass(frozen=True)
class Prompts:
    """The ways to reach a person while signing: ask for a secret, ask for a line of text, show a note."""

    secret: Callable[[str], str]
    line: Callable[[str], str]
    note: Note


@dataclass(frozen=True)
class Pinning:
    """The signer that a bundle names, as it is pinned on first use.

    `finder` takes the values of the options of first use, and raises `UsageError` for those that cannot be used. The
    function that it returns finds the signer of a bundle: a verifier that accepts nobody else, and the `fields` to pin,
    which count for nothing until that verifier has accepted the bundle. `describe` says in words who is pinned; it
    raises `ValueError` for fields that name nobody. `derived` are more fields, computed from those, for whoever reads
    the file.
    """

    fields: tuple[str, ...]
    finder: Callable[[Values], Callable[[Bundle], tuple[Verifier, Facts]]]
    describe: Callable[[Facts], str]
    derived: Mapping[str, Callable[[Facts], str]] = field(default_factory=dict)
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class EmbeddedSigner:
    """The signer that a bundle names itself, where nobody said whom to trust.

    `form` is the `method` of the bundles; `recognizes` tells those of this method from others of that form, and None
    takes all that no other method recognizes. `verifier` accepts the signer that the bundle names, and nobody vouches
    for that name.
    """

    form: str
    verifier: Callable[[Bundle], Verifier]
    pinning: Pinning
    recognizes: Callable[[Bundle], bool] | None = None


@dataclass(frozen=True)
class Method:
    """One way to sign. `about` says in a few words who signs.

    A method without a verifier is `verified_as` another one, or says in `no_verifier` why there is none. `loggers` are
    those of the libraries that it uses, which log for developers. `details` and `rows` are what `inspect` shows of a
    bundle, for programs and for people; none of it is verified.
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
        """Why nothing is verified with this method, and what to do."""
        return (
            f"what it signs is verified with the method '{self.verified_as}'" if self.verified_as else self.no_verifier
        )

    @property
    def policy_options(self) -> tuple[Option, ...]:
        """The options of the verifier that a trust policy may have as keys."""
        return tuple(option for option in self.verify if not option.one_run)
