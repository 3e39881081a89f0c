"""Tokens that may be sent to workers."""

from __future__ import annotations

from typing import Any

import pytest

from hf_model_signing.workers.token import may_write


def about(role: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"auth": {"accessToken": {"role": role, **more}}}


def scoped(*permissions: str, everywhere: tuple[str, ...] = ()) -> dict[str, Any]:
    scopes = [{"entity": {"name": "acme"}, "permissions": list(permissions)}]
    return about("fineGrained", fineGrained={"global": list(everywhere), "scoped": scopes})


@pytest.mark.parametrize(
    ("answer", "writes"),
    [
        (about("read"), False),
        (about("write"), True),
        (about("god"), True),
        (scoped("repo.content.read"), False),
        (scoped("repo.content.read", "repo.write"), True),
        (scoped("repo.content.read", everywhere=("inference.serverless.write",)), True),
        (about("fineGrained"), True),
        ({}, True),
        (None, True),
        ({"auth": {}}, True),
        ({"auth": {"accessToken": None}}, True),
    ],
)
def test_may_write(answer: Any, writes: bool) -> None:  # noqa: ANN401 - JSON
    assert may_write(answer) is writes
