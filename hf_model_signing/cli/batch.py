"""`hf-sign batch`: sign every repository of an organisation on the Hub."""

from __future__ import annotations

from typing import Any

import click

from hf_model_signing.cli.global_options import Command, settings_of
from hf_model_signing.cli.method_inference import any_signer, infer_signer
from hf_model_signing.cli.options import manifest_arguments, manifest_options, replace_others_option
from hf_model_signing.cli.organisation import (
    check_reports,
    finish,
    jobs_option,
    organisation_argument,
    report_option,
    run_arguments,
    selection_options,
    terminal,
)

_SAME_NAMES = ("revision", "create_pr", "remote", "replace_others", "dry_run", "journal", "keep_cache", "executor")


def _run(**values: Any) -> int:  # noqa: ANN401 - what click parsed
    check_reports(values)
    with terminal(values) as observer:
        from hf_model_signing.organisation.api import batch

        report = batch(
            values["org"],
            signer=infer_signer(values),
            commit_message=values["message"],
            observer=observer,
            **{name: values[name] for name in _SAME_NAMES},
            **run_arguments(values),
            **manifest_arguments(values, values["ignore_paths"]),
        )
    settings = settings_of(click.get_current_context())
    settings.output_matters = settings.json or values["dry_run"]
    return finish(report, values)


command = Command(
    name="batch",
    params=[
        *any_signer(),
        *selection_options(),
        click.Option(["--revision"], metavar="BRANCH", help="The branch to sign and to commit to.  [default: main]"),
        click.Option(
            ["--remote"], is_flag=True, help="Take the digests of large files from the Hub; download no large file."
        ),
        click.Option(["--create-pr"], is_flag=True, help="Open pull requests instead of committing to the branch."),
        click.Option(["--message"], metavar="TEXT", help="The message of the commits."),
        replace_others_option(),
        click.Option(["--dry-run"], is_flag=True, help="Stop after the plan."),
        jobs_option(),
        click.Option(
            ["--journal"],
            metavar="FILE",
            type=click.Path(dir_okay=False),
            help="Where it is recorded what is done, to go on from.  [default: one for each ORG, in the cache]",
        ),
        click.Option(
            ["--keep-cache/--no-keep-cache"],
            default=False,
            show_default=True,
            help="Leave in the cache what had to be downloaded.",
        ),
        click.Option(
            ["--executor"],
            metavar="dask://HOST:PORT",
            help="Have the workers of a Dask cluster download and hash; keys and logins stay here.",
        ),
        report_option(),
        *manifest_options(),
        organisation_argument(),
    ],
    callback=_run,
    help="Sign every repository of an organisation on the Hugging Face Hub, each as `hf-sign push` does: list, plan, "
    "sign. Run it again to go on where it was stopped.",
)
