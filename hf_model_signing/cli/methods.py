"""What each signing method takes on the command line, and how its signer and verifier are made from that."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from hf_model_signing.cli.settings import GlobalOptions

if TYPE_CHECKING:
    from hf_model_signing.methods.interface import Signer, Verifier

DEFAULT_METHOD = "sigstore"

Values = Mapping[str, Any]


@dataclass(frozen=True)
class MethodOptions:
    """One method on the command line: its options for signing and for verifying, and what is made of their values."""

    sign: tuple[Callable[..., click.Option], ...]
    verify: tuple[Callable[..., click.Option], ...]
    signer: Callable[[Values], Signer]
    verifier: Callable[[Values], Verifier]


def _option(*names: str, **attributes: Any) -> Callable[..., click.Option]:  # noqa: ANN401 - click's own arguments
    # Made anew for each command: click fills an option in when it is attached to one.
    return lambda **more: click.Option([*names], **{**attributes, **more})


def _key_signer(values: Values) -> Signer:
    from hf_model_signing.methods.key import KeySigner

    return KeySigner(values["private_key"], ask=_ask_password)


def _key_verifier(values: Values) -> Verifier:
    from hf_model_signing.methods.key import KeyVerifier

    return KeyVerifier(values["public_key"])


def _ask_password() -> str:
    import sys

    if not sys.stdin.isatty():
        return ""
    password: str = click.prompt("Password of the private key", hide_input=True, err=True)
    return password


_PATH = click.Path()

METHOD_OPTIONS = {
    "key": MethodOptions(
        sign=(
            _option(
                "--private-key",
                type=_PATH,
                metavar="FILE",
                help="Private key: PEM, EC P-256, P-384 or P-521. Its password: a prompt, or HF_SIGN_KEY_PASSWORD.",
            ),
        ),
        verify=(_option("--public-key", type=_PATH, metavar="FILE", help="Public key of the signer: PEM."),),
        signer=_key_signer,
        verifier=_key_verifier,
    ),
}


class MethodGroup(GlobalOptions, click.Group):
    """A command that takes a method as its first word; without one the method is `sigstore`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the method, or say what was meant without one."""
        word = args[0].replace("_", "-")
        if word in METHOD_OPTIONS:
            return word, self.get_command(ctx, word), args[1:]
        known = ", ".join(METHOD_OPTIONS)
        if word == DEFAULT_METHOD or word.startswith("-") or "/" in word or os.path.exists(args[0]):
            missing = f"the method '{DEFAULT_METHOD}', which is meant when none is named, is not in this version"
        else:
            missing = f"there is no method '{args[0]}'"
        raise click.UsageError(f"{missing}; it has: {known}. Write `{ctx.command_path} key …`", ctx)


def method_group(name: str, help_text: str, make: Callable[[str, MethodOptions], click.Command]) -> MethodGroup:
    """The command `name` with a subcommand for each method; `make` builds one of them."""
    group = MethodGroup(
        name=name,
        help=help_text,
        subcommand_metavar="[METHOD] [OPTIONS] REFERENCE",
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    )
    for method, options in METHOD_OPTIONS.items():
        group.add_command(make(method, options), method)
    return group


def required(options: tuple[Callable[..., click.Option], ...]) -> list[click.Parameter]:
    """The options of one method, for a command that is about that method alone."""
    return [make(required=True) for make in options]


def any_signer() -> list[click.Parameter]:
    """The signing options of all methods, for a command that infers the method."""
    return [_method_option(), *(make() for options in METHOD_OPTIONS.values() for make in options.sign)]


def any_verifier() -> list[click.Parameter]:
    """The verifying options of all methods, for a command that infers the method."""
    return [_method_option(), *(make() for options in METHOD_OPTIONS.values() for make in options.verify)]


def infer_signer(values: Values) -> Signer:
    """The signer that the given options describe; raises `click.UsageError` when they describe none."""
    return _infer(values, "how to sign", lambda options: options.sign).signer(values)


def infer_verifier(values: Values) -> Verifier:
    """The verifier that the given options describe; raises `click.UsageError` when they describe none."""
    return _infer(values, "whose signature to accept", lambda options: options.verify).verifier(values)


def _method_option() -> click.Option:
    return click.Option(["--method"], type=click.Choice(list(METHOD_OPTIONS)), help="Inferred from the other options.")


def _infer(
    values: Values, question: str, side: Callable[[MethodOptions], tuple[Callable[..., click.Option], ...]]
) -> MethodOptions:
    wanted = [values["method"]] if values.get("method") else list(METHOD_OPTIONS)
    for method in wanted:
        names = [make().name or "" for make in side(METHOD_OPTIONS[method])]
        if all(values.get(name) is not None for name in names):
            return METHOD_OPTIONS[method]
    ways = " or ".join(make().opts[0] for method in wanted for make in side(METHOD_OPTIONS[method]))
    raise click.UsageError(f"say {question}: give {ways}")
