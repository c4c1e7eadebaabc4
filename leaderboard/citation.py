"""Citations: the one-line standardized score, BibTeX and APA."""

from __future__ import annotations

from importlib.metadata import version

from tlbench.analysis.results import SuiteResult
from tlbench.analysis.tables import format_interval
from tlbench.leaderboard.entries import SHORT, Entry
from tlbench.protocol.specs import SuiteSpec

TITLE = "tlbench: a benchmark suite and leaderboard for transfer learning in deep reinforcement learning"
AUTHORS = "The tlbench authors"

_TEX = {c: f"\\{c}" for c in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_TEX |= {"\\": r"\textbackslash{}", "<": r"\textless{}", ">": r"\textgreater{}", '"': r"\textquotedbl{}"}


def score_line(entry: Entry, result: SuiteResult, snapshot: str) -> str:
    """The standardized score in one line.

    Such as ``SPAM on classic-v1: score 61.2 [58.0, 64.1], transfer gain +4.1 [1.2, 7.0], negative transfer on 2 of 7
    testable tasks (10 seeds); tlbench 0.1.0, snapshot 3fa9...``.
    """
    parts = [f"score {format_interval(result.score)}"]
    if result.gain is not None:
        parts.append(f"transfer gain {format_interval(result.gain.transfer_gain, signed=True)}")
        verdict = result.gain.negative_transfer
        parts.append(f"negative transfer {'on ' if verdict[0].isdigit() else 'not tested: '}{verdict}")
    seeds = f"{result.seeds} seed" + ("" if result.seeds == 1 else "s")
    return (
        f"{entry.metadata.name} on {entry.metadata.suite}: {', '.join(parts)} ({seeds}); "
        f"tlbench {version('tlbench')}, snapshot {snapshot[:SHORT]}"
    )


def software_bibtex() -> str:
    """BibTeX of tlbench itself."""
    return _entry("software", "tlbench", {"author": f"{{{AUTHORS}}}", "title": TITLE, "version": version("tlbench")})


def suite_bibtex(suite: SuiteSpec) -> str:
    """BibTeX of a suite."""
    fields = {
        "author": f"{{{AUTHORS}}}",
        "title": f"{suite.title} ({suite.id}), a suite of tlbench",
        "note": f"tlbench {version('tlbench')}, suite digest {suite.digest}",
    }
    return _entry("misc", f"tlbench-{suite.id}", fields)


def submission_bibtex(entry: Entry, result: SuiteResult, snapshot: str) -> str:
    """BibTeX of a submission, with its standardized score as the note."""
    metadata = entry.metadata
    fields = {
        "author": f"{{{tex(metadata.contact)}}}",
        "title": f"{metadata.name} on {metadata.suite}, a submission to the leaderboard of tlbench",
        "year": entry.acceptance.accepted[:4],
        "note": f"{score_line(entry, result, snapshot)}; submission {entry.id}",
    }
    if metadata.url:
        fields["howpublished"] = f"\\url{{{tex(metadata.url)}}}"
    key = f"tlbench-{metadata.method}-{metadata.version}-{metadata.suite}-{entry.short_id}"
    return _entry("misc", key, fields)


def submission_apa(entry: Entry, result: SuiteResult, snapshot: str) -> str:
    """The same in APA style."""
    metadata = entry.metadata
    title = f"{metadata.name} on {metadata.suite} [Leaderboard submission {entry.short_id}]"
    link = f" {metadata.url}" if metadata.url else ""
    line = score_line(entry, result, snapshot)
    return f"{metadata.contact} ({entry.acceptance.accepted[:4]}). {title}. tlbench. {line}.{link}"


def tex(text: str) -> str:
    """Text with TeX's special characters escaped."""
    return "".join(_TEX.get(c, c) for c in text)


def _entry(kind: str, key: str, fields: dict[str, str]) -> str:
    safe = "".join(c if c.isalnum() or c in "-._" else "-" for c in key)
    escaped = {k: v if k in ("author", "howpublished") else tex(v) for k, v in fields.items()}
    body = "".join(f"  {name} = {{{value}}},\n" for name, value in escaped.items())
    return f"@{kind}{{{safe},\n{body}}}\n"
