"""`hf-sign run`: run an unchanged program, and the Python processes that it starts, under the guard."""

from __future__ import annotations

import os

import click

from hf_model_signing.cli.global_options import Command, settings_of


def _run(policy: str | None, mode: str | None, command: tuple[str, ...]) -> None:
    from hf_model_signing.guarding.launcher import run
    from hf_model_signing.guarding.refusal_report import DEBUG_VARIABLE

    if settings_of(click.get_current_context()).debug:
        os.environ[DEBUG_VARIABLE] = "1"
    run(command, policy, mode)


def _parameters() -> list[click.Parameter]:
    policy = click.Option(
        ["--policy"], metavar="FILE", help="The policy.  [default: HF_SIGN_POLICY, then ./trust.toml]"
    )
    modes = click.Choice(["enforce", "warn", "off"])
    mode = click.Option(
        ["--mode"],
        type=modes,
        help="What happens to what is not verified: refused, or used with a warning.  [default: HF_SIGN_MODE, enforce]",
    )
    return [policy, mode, click.Argument(["command"], nargs=-1, required=True, metavar="-- COMMAND …")]


command = Command(
    name="run",
    params=_parameters(),
    callback=_run,
    context_settings={"allow_interspersed_args": False},  # options after the name of the program are the program's
    help="Run a program that gets from the Hugging Face Hub, or from its cache, what a signer signed whom the trust "
    "policy names, or an error. The Python processes that it starts are guarded as well.",
)
