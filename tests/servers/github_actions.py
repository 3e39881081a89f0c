"""The part of GitHub Actions that issues id tokens to a job, and the environment of a job that may request them."""

from __future__ import annotations

import secrets
import time
from types import TracebackType

from tests.servers.hub_faults import Record
from tests.servers.hub_http import Log, Reply, Request, Server, json_reply
from tests.servers.jwt_issuer import TokenIssuer

ISSUER = "https://token.actions.githubusercontent.com"
_LIFETIME = 300  # seconds, as GitHub's
_WORKFLOW = ".github/workflows/release.yml"
_ANY_JOB = {
    "ref_type": "tag",
    "ref_protected": "true",
    "sha": "0" * 40,
    "repository_id": "1",
    "repository_owner_id": "2",
    "repository_visibility": "public",
    "run_id": "3",
    "run_number": "4",
    "run_attempt": "1",
    "actor": "alice",
    "actor_id": "5",
    "workflow": "Sign the model",
    "workflow_sha": "0" * 40,
    "job_workflow_sha": "0" * 40,
    "event_name": "push",
    "head_ref": "",
    "base_ref": "",
    "runner_environment": "github-hosted",
}


class GithubActions:
    """Serves at `url`; a job of `repository` at `ref` gets an id token for any audience that it requests."""

    def __init__(self, issuer: TokenIssuer, repository: str = "acme/model", ref: str = "refs/tags/v1") -> None:
        self.issuer = issuer
        self.repository = repository
        self.ref = ref
        self.request_token = f"ghs_{secrets.token_urlsafe(24)}"
        self.given: list[str] = []  # every issued id token
        self.status = 200  # any other is an error
        self.answer: Reply | None = None  # sent instead of a token
        self._log = Log()
        self._server = Server("github", self._answer, self._log)
        # The real URL has a doubled slash and a query, too.
        self.url = f"{self._server.url}/7//idtoken/1/2?api-version=2.0"

    def __enter__(self) -> GithubActions:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    @property
    def requests(self) -> list[Record]:
        """All requests, in their order."""
        return self._log.records()

    def environment(self) -> dict[str, str]:
        """The environment of a job with `permissions: id-token: write`."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": self.url,
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.request_token,
        }

    def _answer(self, request: Request) -> Reply:
        if request.path != "/7//idtoken/1/2" or request.method != "GET":
            return json_reply({"message": "Not Found"}, 404)
        scheme, _, token = (request.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or token != self.request_token:
            return json_reply({"message": "Bad credentials"}, 401)
        if self.status != 200:
            return json_reply({"message": "Told to fail"}, self.status)
        if self.answer is not None:
            return self.answer
        token = self.token(request.argument("audience", f"https://github.com/{self.repository.partition('/')[0]}"))
        return json_reply({"value": token, "count": len(token)})

    def token(self, audience: str) -> str:
        """A new id token of the job."""
        now = int(time.time())
        times = {"iat": now, "nbf": now, "exp": now + _LIFETIME}
        token = self.issuer.token({**_ANY_JOB, **self._job(), **times, "aud": audience, "jti": secrets.token_hex(16)})
        self.given.append(token)
        return token

    def _job(self) -> dict[str, str]:
        workflow = f"{self.repository}/{_WORKFLOW}@{self.ref}"
        return {
            "iss": ISSUER,
            "sub": f"repo:{self.repository}:ref:{self.ref}",
            "repository": self.repository,
            "repository_owner": self.repository.partition("/")[0],
            "ref": self.ref,
            "workflow_ref": workflow,
            "job_workflow_ref": workflow,
        }
