"""Reports to render: a realistic one, one with a hostile text in every field, one of any size."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial

from hf_model_signing.report.interface import FileRecord, Record, Report
from hf_model_signing.report.statuses import FileCoverage, Finding, RunKind, Status

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "</script></style></title><svg onload=alert(1)>",
    "javascript:alert(1)",
    "evil\u202egnp.exe",
    "bell\x07\x1b[31mred\r\nline\u2028\ttab\x00",
    "{{ 7 * 7 }}{% raw %}",
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "@SUM(1)",
    "\tcell",
    "\rcell",
    "half\ud800pair",
    "../../../etc/passwd",
    "[link](1) {0} \\",
    "名前/模型" * 3,
    "a" * 300,
    'quote",comma',
    "<!--<script>",
    "http://evil.example/x.png",
)
BAD_URLS = (
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "//evil.example",
    "https://",
    "http://[::1",
    "file:///etc/passwd",
    'https://x.example/"onclick="alert(1)',
)
_REASONS = {
    "unsigned": "It has no model.sig.",
    "untrusted": "The signer 'mallory@example.com' is not one of the policy.",
    "stale": "3 files have changed since it was signed, among them 'model.safetensors'.",
    "failed": "The hub answered 503 five times.",
    "gated": "It is gated, and this user was not let in.",
}


def record(name: str = "acme/model", status: str = "signed", **more: object) -> Record:
    """Return a record of a plain repository; with a signature if it is signed."""
    findings = tuple(finding for finding in Finding if finding == status)
    values: dict[str, object] = {"url": f"https://hub.example/{name}", "revision": "a" * 40, "findings": findings}
    signed = {"signer": "release@acme.example", "method": "sigstore", "signed_at": "2026-11-20T10:00:00Z"}
    if status in ("signed", "unchanged", "stale", "untrusted", "foreign"):
        values |= {**signed, "signed_revision": "b" * 40, "digest": "sha256:" + "c" * 64}
    values["reason"] = _REASONS.get(status, "")
    values |= more
    kind = str(more.get("kind", "model"))
    return dataclasses.replace(Record(f"hf://{kind}/{name}", kind, name, Status(status)), **values)  # type: ignore[arg-type]


def report(of: Iterable[Record], **more: object) -> Report:
    """Return a report of these records, the worst first."""
    kept = sorted(of, key=lambda one: one.status.rank)
    made = Report(
        command=RunKind.AUDIT,
        owner="acme",
        endpoint="https://hub.example",
        made_at="2026-11-26T01:30:00Z",
        version="0.1.0",
        totals=Counter(one.status for one in kept),
        records=lambda: iter(kept),
    )
    return dataclasses.replace(made, **more)  # type: ignore[arg-type]


def hostile() -> Report:
    """Return a report with every hostile text in every field that comes from a hub or a signature."""
    words = list(Status)
    return report(_hostile(text, words[number % len(words)], number) for number, text in enumerate(HOSTILE))


def _hostile(text: str, status: str, number: int) -> Record:
    urls = (*BAD_URLS, text)
    texts = dict.fromkeys(("reason", "signer", "method", "signed_at", "signed_revision", "digest", "commit"), text)
    files = (FileRecord(text, 7, FileCoverage.CHANGED), FileRecord("plain.bin", 10**9, FileCoverage.SIGNED))
    more = {"revision": text, "files": files, "file_count": 5, "uncovered": (text,), "url": urls[number % len(urls)]}
    return record(text, status, **texts, **more)


def usual() -> Report:
    """Return a report of 300 repositories: 12 without a signature, some with problems."""
    return report(_usual())


def _usual() -> Iterator[Record]:
    numbers = {
        "unsigned": 12,
        "untrusted": 2,
        "stale": 5,
        "failed": 1,
        "signed": 270,
        "empty": 6,
        "gated": 3,
        "archived": 1,
    }
    names = ("bert-base", "whisper-tiny", "llama-chat", "vit-large", "sentence-mini", "clip-art", "ner-german", "tts")
    number = 0
    for status, count in numbers.items():
        for _ in range(count):
            number += 1
            kind = ("model", "model", "dataset", "space")[number % 4]
            state = FileCoverage.UNSIGNED if status in ("unsigned", "failed") else FileCoverage.SIGNED
            files = tuple(
                FileRecord(f"weights/part-{n:02}.safetensors", 10**n, state) for n in range(1, number % 9 + 2)
            )
            if status == "stale":
                files = (FileRecord("model.safetensors", 4_400_000_000, FileCoverage.CHANGED), *files)
            name = f"acme/{names[number % len(names)]}-{number}"
            signer = {"signer": "mallory@example.com"} if status == "untrusted" else {}
            if status == "signed" and number % 3 == 0:
                signer = {"signer": "https://ci.example/acme/release/.github/workflows/sign.yml@refs/heads/main"}
            more: dict[str, object] = {**signer, "kind": kind, "files": files, "file_count": len(files)}
            if status == "signed":
                more["signed_at"] = f"2026-{number % 11 + 1:02}-20T10:00:00Z"
            yield record(name, status, **more)


def one_of_each() -> Report:
    """Return a report with a repository of each status, and one with a trusted signer."""
    files = (
        FileRecord("model.bin", 10**9, FileCoverage.CHANGED),
        FileRecord("a.txt", 7, FileCoverage.SIGNED),
        FileRecord("b", 1, FileCoverage.IGNORED),
    )
    records = (record(f"acme/{word}", word, files=files, file_count=9) for word in Status)
    return report((*records, record("acme/trusted", verified=True, gated=True, uncovered=("b",))))


def many(count: int, files: int = 200) -> Report:
    """Return a report of `count` repositories, generated at each iteration; every tenth is not signed."""
    bad = count // 10
    totals = {Status.UNSIGNED: bad, Status.SIGNED: count - bad}
    return report((), totals=totals, records=partial(_many, count, files))


def _many(count: int, amount: int) -> Iterator[Record]:
    for number in range(count):
        state = FileCoverage.UNSIGNED if number < count // 10 else FileCoverage.SIGNED
        files = tuple(FileRecord(f"data/train-{n:05}-of-{amount:05}.parquet", 1000 + n, state) for n in range(amount))
        yield record(f"acme/model-{number:05}", state, files=files, file_count=amount)
