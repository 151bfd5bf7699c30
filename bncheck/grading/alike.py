"""Which submissions fail alike, and how much that says within this class."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bncheck.results import TargetReport

FindingKey = tuple[str, str]
"""A bug and the gradient that it is in."""

MEANING = (
    "Surprise is the sum, over the findings that these submissions have in common, of −log₂ of the share of the class "
    "that has each; where their wrong elements are the same to the last bit, −log₂ of the share of those with these "
    "findings whose elements are these is added. A finding that all have says 0 bits, one that an eighth has says 3. "
    "Only submissions that returned a gradient count here. The sum takes findings for independent, which they are not "
    "quite. It is no proof of copying: the same lecture, book or classmate's question leads to the "
    "same mistake. Correct answers say nothing."
)


@dataclass(frozen=True)
class Alike:
    """Submissions with the same findings: their places in the class, and how surprising that is in bits.

    `same_numbers` tells that their wrong elements are the same to the last bit.
    """

    findings: tuple[FindingKey, ...]
    members: tuple[int, ...]
    bits: float
    same_numbers: bool = False


def findings(reports: Sequence[TargetReport]) -> frozenset[FindingKey]:
    """The bugs of a submission, each with its gradient; where none is named, the arrays that are wrong."""
    keys: set[FindingKey] = set()
    for report in reports:
        bugs = {(bug.id, bug.gradient) for bug in report.diagnosis}
        failed = {(f.verdict.value, name) for name, f in report.gradients.items() if f.verdict.failed}
        keys |= bugs or failed
    return frozenset(keys)


def elements(reports: Sequence[TargetReport]) -> frozenset[tuple[str, ...]]:
    """The wrong elements that decided, to the last bit, each with the case on which it was found."""
    return frozenset(
        (report.layer, name, found.case, found.dtype, str(found.worst.index), float(found.worst.got).hex())
        for report in reports
        for name, found in report.gradients.items()
        if found.verdict.failed and not found.worst.shapes
    )


def alike(class_: Mapping[int, Sequence[TargetReport]]) -> tuple[Alike, ...]:
    """The groups of submissions that fail alike, the most surprising first; `class_` are those that were compared.

    The findings of a group are all that some two submissions have in common, and its members are all who have these.
    """
    by_member = {k: keys for k, reports in class_.items() if (keys := findings(reports))}
    shares = Counter(key for keys in by_member.values() for key in keys)
    distinct = sorted(set(by_member.values()), key=sorted)
    common = {one & other for n, one in enumerate(distinct) for other in distinct[n:]} - {frozenset()}
    numbers = {k: elements(class_[k]) for k in by_member}
    groups: list[Alike] = []
    for keys in sorted(common, key=sorted):
        members = [k for k, own in by_member.items() if keys <= own]
        if len(members) < 2:
            continue
        bits = sum(math.log2(len(class_) / shares[key]) for key in sorted(keys))
        groups.append(Alike(tuple(sorted(keys)), tuple(members), bits))
        exact = [k for k in members if by_member[k] == keys and numbers[k]]
        for same in sorted(set(map(_sorted, (numbers[k] for k in exact)))):
            holders = tuple(k for k in exact if _sorted(numbers[k]) == same)
            if len(holders) > 1:
                extra = math.log2(len(members) / len(holders))
                groups.append(Alike(tuple(sorted(keys)), holders, bits + extra, same_numbers=True))
    merged = {(group.findings, group.members): group for group in groups}  # the same members: say it once
    return tuple(sorted(merged.values(), key=lambda g: (-round(g.bits, 9), -len(g.members), g.findings, g.members)))


def _sorted(numbers: frozenset[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    return tuple(sorted(numbers))
