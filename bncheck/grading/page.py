"""The page of a class: one file that needs no other, asks no network for anything, and holds every report."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterator
from importlib import resources

from bncheck.grading.alike import MEANING, Alike
from bncheck.grading.grades import WORDS, Grade, Graded
from bncheck.grading.written import counts, feedback
from bncheck.report.text import plain

MOST_GROUPS = 100
"""How many groups that fail alike are shown; results.json holds all."""

_MEMBERS = 12
_LONGEST = 300


def page(graded: Graded) -> str:
    """The page. What comes from submissions is text in it, and its policy allows no script but its own."""
    style, script = _part("page.css"), _part("page.js")
    policy = (
        f"default-src 'none'; script-src {_hashed(script)}; style-src {_hashed(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    number = counts(graded)
    waiting = number.get("waiting", 0)
    filling = {
        "policy": policy,
        "generator": f"bncheck grade {graded.version}",
        "count": str(len(graded.grades)),
        "summary": ", ".join(f"{n} {status}" for status, n in number.items()),
        "note": f'<p class="note">Interrupted: {waiting} were not come to.</p>' if waiting else "",
        "filters": "\n".join(
            f'<button type="button" aria-pressed="false" value="{status}">{status} {n}</button>'
            for status, n in number.items()
        ),
        "rows": "\n".join(_row(k, grade) for k, grade in enumerate(graded.grades)),
        "meaning": _text(MEANING),
        "alike": "\n".join(_alike(graded)),
        "reports": "\n".join(_report(k, graded, grade) for k, grade in enumerate(graded.grades)),
        "version": graded.version,
        "command": _text(graded.command),
        "glossary": "".join(f"<dt>{status}</dt><dd>{_text(WORDS[status])}</dd>" for status in number),
        "style": style,
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: filling[match[1]], _part("page.html")) + "\n"


def _row(k: int, grade: Grade) -> str:
    amiss = "" if grade.status == "correct" else grade.feedback
    amiss = amiss if len(amiss) <= _LONGEST else f"{amiss[:_LONGEST]}…"
    right = f"{grade.correct} of {grade.asked}" if grade.asked else "–"
    share = grade.correct / grade.asked if grade.asked else -1
    cause = f", {grade.cause}" if grade.cause else ""
    return (
        f'<tr data-status="{grade.status}" data-report="s{k}"><td><a href="#s{k}">{_text(grade.label)}</a></td>'
        f'<td class="status {grade.status}" data-key="{list(WORDS).index(grade.status)}">{grade.status}{cause}</td>'
        f'<td class="number" data-key="{share:.6f}">{right}</td>'
        f"<td>{_text(', '.join(grade.bugs))}</td><td>{_text(amiss)}</td></tr>"
    )


def _report(k: int, graded: Graded, grade: Grade) -> str:
    return (
        f'<details class="report" id="s{k}"><summary>{_text(grade.label)}: <span class="{grade.status}">{grade.status}'
        f'</span></summary><pre tabindex="0">{_text(feedback(graded, grade), lines=True)}</pre></details>'
    )


def _alike(graded: Graded) -> Iterator[str]:
    if not graded.alike:
        yield "<p>No two have a finding in common.</p>"
        return
    yield '<div class="scroll" role="region" aria-label="Table of groups" tabindex="0"><table><thead><tr>'
    yield '<th scope="col" class="number">Surprise, bits</th><th scope="col">Findings</th>'
    yield '<th scope="col" class="number">Of the class</th><th scope="col">Submissions</th></tr></thead><tbody>'
    for group in graded.alike[:MOST_GROUPS]:
        yield _group(graded, group)
    yield "</tbody></table></div>"
    if len(graded.alike) > MOST_GROUPS:
        yield f"<p>{len(graded.alike) - MOST_GROUPS} more groups are in results.json.</p>"


def _group(graded: Graded, group: Alike) -> str:
    links = [f'<a href="#s{k}">{_text(graded.grades[k].label)}</a>' for k in group.members[:_MEMBERS]]
    more = f" and {len(group.members) - _MEMBERS} more" if len(group.members) > _MEMBERS else ""
    found = ", ".join(f"{bug} in {gradient}" for bug, gradient in group.findings)
    same = "; the same wrong elements to the last bit" if group.same_numbers else ""
    return (
        f'<tr><td class="number">{group.bits:.1f}</td><td>{_text(found)}{same}</td>'
        f'<td class="number">{len(group.members)} of {len(graded.grades)}</td><td>{", ".join(links)}{more}</td></tr>'
    )


def _text(text: str, *, lines: bool = False) -> str:
    """Text of anybody's as HTML, without what is no character."""
    told = "\n".join(map(plain, text.split("\n"))) if lines else plain(text)
    return html.escape(told)


def _part(name: str) -> str:
    return (resources.files("bncheck.grading") / name).read_text(encoding="utf-8").strip()


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
