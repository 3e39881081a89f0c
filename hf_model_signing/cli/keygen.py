"""`hf-sign keygen`: make a key pair to sign with."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Any

import click

from hf_model_signing._util.text import one_line, show
from hf_model_signing.cli import output
from hf_model_signing.cli.global_options import Command
from hf_model_signing.errors import UsageError

_CURVES = ("p256", "p384", "p521")


def _run(**values: Any) -> None:  # noqa: ANN401 - what click parsed
    from hf_model_signing.methods.key.generation import check_free, generate
    from hf_model_signing.methods.key.signer import describe_key, fingerprint

    name = values["name"].removesuffix(".pem")
    private, public = f"{name}.pem", f"{name}.pub"
    check_free(private, public)
    password = b"" if values["no_password"] else _password()
    key = generate(private, public, curve=values["curve"], password=password)
    signing, verifying = shlex.quote(one_line(private)), shlex.quote(one_line(public))
    lines = [
        f"{describe_key(key)}: {show(private)} is the private key, for you alone; {show(public)} is for everybody",
        f"  sign:    hf-sign sign --private-key {signing} MODEL",
        f"  verify:  hf-sign verify --public-key {verifying} MODEL",
    ]
    values = {"private_key": private, "public_key": public, "fingerprint": fingerprint(key), "type": values["curve"]}
    output.done({**values, "encrypted": bool(password)}, "\n".join(lines))


def _password() -> bytes:
    """Return the password of `HF_SIGN_KEY_PASSWORD`, or the one that a person types twice."""
    from hf_model_signing.methods.key.signer import PASSWORD_VARIABLE

    given = os.environ.get(PASSWORD_VARIABLE)
    if given:
        return os.fsencode(given)
    if not sys.stdin.isatty():
        raise UsageError(f"there is nobody to ask for a password: set {PASSWORD_VARIABLE}, or give --no-password")
    secret: str = click.prompt(
        "Password of the new key", hide_input=True, confirmation_prompt="The same again", err=True
    )
    return os.fsencode(secret)


command = Command(
    name="keygen",
    params=[
        click.Argument(["name"]),
        click.Option(
            ["--type", "curve"],
            type=click.Choice(_CURVES),
            default="p256",
            show_default=True,
            help="The curve of the key.",
        ),
        click.Option(["--no-password"], is_flag=True, help="Do not encrypt the private key."),
    ],
    callback=_run,
    help="Make a key pair: NAME.pem, the private key, and NAME.pub. The password is asked for twice, or taken from "
    "HF_SIGN_KEY_PASSWORD. A file that exists is never written over.",
)
