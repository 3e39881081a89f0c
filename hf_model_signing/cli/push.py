"""`hf-sign push`: sign a repository on the Hub and commit the signature to it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from hf_model_signing._util.text import one_line
from hf_model_signing.cli import output
from hf_model_signing.cli.global_options import Command
from hf_model_signing.cli.method_inference import any_signer, infer_signer
from hf_model_signing.cli.options import (
    REPO_HELP,
    ignored_below,
    manifest_arguments,
    manifest_options,
    reference_argument,
    replace_others_option,
    type_option,
)
from hf_model_signing.cli.progress import progress_bars
from hf_model_signing.errors import OtherSignerError

if TYPE_CHECKING:
    from hf_model_signing.hub.push import Pushed


def _run(**values: Any) -> None:  # noqa: ANN401 - what click parsed
    signer = infer_signer(values)
    with progress_bars() as progress:
        from hf_model_signing.hub.push import push

        folder, ignored = values["folder"], values["ignore_paths"]
        make = partial(
            push,
            values["repo"],
            signer=signer,
            revision=values["revision"],
            repo_type=values["kind"],
            create_pr=values["create_pr"],
            commit_message=values["message"],
            remote=values["remote"],
            folder_path=folder,
            badge=values["badge"],
            dry_run=values["dry_run"],
            progress=progress,
            note=output.note,
            **manifest_arguments(values, ignored_below(folder, ignored) if folder else ignored),
        )
        try:
            pushed = make(replace_others=values["replace_others"])
        except OtherSignerError as error:
            if not output.confirmed(f"{error.why}. Replace that signature?"):
                raise
            pushed = make(replace_others=True)
    output.done(pushed.to_dict(), one_line(_text(pushed)))


def _text(pushed: Pushed) -> str:
    from hf_model_signing.oms.statement import DIGESTS_FROM

    statement, signer = pushed.statement, pushed.signer
    count = len(statement.manifest.digests)
    what = f"{statement.uri} at {pushed.revision} ({count} {'file' if count == 1 else 'files'})"
    if pushed.status == "unchanged":
        return f"Nothing to do: the signature of {what} already matches, signed with {signer}"
    weaker = "; the digests of its large files came from the hub" if DIGESTS_FROM in statement.annotations else ""
    if pushed.status == "dry-run":
        return f"Would sign {what} with {signer}{weaker}; nothing was committed"
    commit = pushed.commit
    place = (commit.pull_request or commit.url) if commit else ""
    return f"Signed {what} with {signer}{weaker}: {place}"


command = Command(
    name="push",
    params=[
        *any_signer(),
        type_option(),
        click.Option(["--revision"], metavar="BRANCH", help="The branch to sign and to commit to.  [default: main]"),
        click.Option(
            ["--remote"], is_flag=True, help="Take the digests of large files from the Hub; download no large file."
        ),
        click.Option(
            ["--from", "folder"],
            metavar="DIR",
            type=click.Path(exists=True, file_okay=False),
            help="Hash this folder, and check that the Hub has the same.",
        ),  # fmt: skip
        click.Option(["--create-pr"], is_flag=True, help="Open a pull request instead of committing to the branch."),
        click.Option(["--message"], metavar="TEXT", help="The commit's message."),
        click.Option(
            ["--badge"], is_flag=True, help="Say in README.md, in the same commit, who signed and how to verify it."
        ),
        replace_others_option(),
        click.Option(["--dry-run"], is_flag=True, help="Do everything but the commit."),
        *manifest_options(),
        reference_argument("repo", "REPO"),
    ],
    callback=_run,
    help=f"Sign a repository on the Hugging Face Hub and commit model.sig to it. {REPO_HELP}",
)
