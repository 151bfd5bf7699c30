"""Anybody's implementation as a suspect: found in a file, tried out, and put behind `vjp(case) -> Gradients`.

Everything that is believed about a target was learned by calling it in its sandbox.
"""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from bncheck.case import Layout
from bncheck.errors import UNFINISHED, UNPAIRED, InvalidInput, MissingPackage, TargetFailed
from bncheck.layers import LAYERS
from bncheck.targets.address import Address
from bncheck.targets.calls import Target
from bncheck.targets.here import Here, name_of
from bncheck.targets.recognition import ALIKE, HARD, glimpsed, hinted, partners, recognised
from bncheck.targets.sandbox import MEMORY_LIMIT, TIME_LIMIT, Sandbox

ADAPTER = '''"""How bncheck is to call {target}: mend the lines marked <-, then check this file instead."""

from {module} import backward, forward  # <-

LAYER, LAYOUT = "batch_norm", "NC:N:C"  # <- axes of x : those that one mean covers : those along which gamma varies


def vjp(case):  # its arrays cannot be written to
    y, cache = forward(case.x, case.parameters["gamma"], case.parameters["beta"], case.eps)  # <-
    dx, dgamma, dbeta = backward(case.dy, cache)  # <-
    return {{"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}}
'''

_HARDLY = 0.5
"""The correlation below which code whose name speaks of no layer is not taken for one."""


@contextmanager
def open_target(
    text: str,
    *,
    layer: str | None = None,
    layout: Layout | None = None,
    style: str | None = None,
    time_limit: float = TIME_LIMIT,
    memory_limit: int = MEMORY_LIMIT,
) -> Iterator[list[Target]]:
    """Every target in a file or module, in its own order, each recognised by a trial call; ends the sandbox on leaving.

    `layer` and `layout` say what it is instead of letting names and numbers decide; `style` keeps only those whose
    `recognised_as` holds these words. For the limits see `bncheck.targets.sandbox`.

    Raises
        InvalidInput: there is nothing that could be called; `adapter` then gives a file to start from.
        TargetFailed: the file cannot be run, and why.
        MissingPackage: an ONNX file, and onnx is not installed.
    """
    if layer is not None and layer not in LAYERS:
        raise InvalidInput.unknown("layer", layer, LAYERS)
    address = Address.parse(text)
    if address.place.endswith(".onnx") and importlib.util.find_spec("onnx") is None:
        raise MissingPackage("onnx", "onnx", "reading an ONNX file")
    started = Sandbox(
        address.place, address.name, address.frameworks(), time_limit=time_limit, memory_limit=memory_limit
    )
    with started as sandbox:
        yield _recognised_in(sandbox, text, address, layer, layout, style)


@contextmanager
def open_live(
    thing: Any, *, layer: str | None = None, layout: Layout | None = None, style: str | None = None
) -> Iterator[list[Target]]:
    """The targets in a live object, in this process; the options are those of `open_target`.

    Raises
        InvalidInput: it is nothing that could be called.
    """
    name = name_of(thing)
    with Here(thing) as here:
        yield _recognised_in(
            here, name, Address(name, "" if isinstance(thing, ModuleType) else name), layer, layout, style
        )


def _recognised_in(
    sandbox: Sandbox, text: str, address: Address, layer: str | None, layout: Layout | None, style: str | None
) -> list[Target]:
    """Every target that a sandbox holds, but for bystanders where none was asked for.

    What was amiss when it was loaded, and what was passed over, are observations of each.
    """
    loaded = sandbox.load()
    candidates = [(k, one) for k, one in enumerate(loaded["candidates"]) if (style or "") in one["words"]]
    if not candidates:
        raise _nothing_found(text, address, loaded, _NEXT_STEP[isinstance(sandbox, Here)])
    found = [target for k, one in candidates for target in _recognised(sandbox, k, one, address, layer, layout)]
    kept = found if address.name or style else _without_bystanders(found)
    if not kept:
        unlike = {**loaded, "remarks": [f"{target.name} does not normalize" for target in found]}
        raise _nothing_found(text, address, unlike, _NEXT_STEP[isinstance(sandbox, Here)])
    noticed = {"loading": loaded["loading"], "passed_over": _passed_over(candidates, found, kept)}
    told = {name: words for name, words in noticed.items() if words}
    alone = [] if style else _unpaired(loaded["unpaired"], kept)
    return [replace(target, observations={**target.observations, **told}) for target in [*kept, *alone]]


def _passed_over(
    candidates: list[tuple[int, dict[str, Any]]], found: list[Target], kept: list[Target]
) -> dict[str, list[str]]:
    """What is not among the targets although it can be called, by reason, but for what only helps other code."""
    told: dict[str, list[str]] = {}
    for k, one in candidates:
        own = [target for target in found if target.plan.candidate == k]
        if one["helps"] or any(target in kept for target in own):
            continue
        alone = any(target.failure is None and target.likeness > ALIKE for target in own)
        reason = (
            "a forward alone" if alone else "does not answer" if any(t.failure for t in own) else "does not normalize"
        )
        told.setdefault(reason, []).append(one["name"])
    return told


def _unpaired(names: list[str], kept: list[Target]) -> Iterator[Target]:
    """The backward functions for which no forward was found, neither by name nor by trying."""
    first = kept[0]
    paired = {part for target in kept for part in target.name.rpartition(":")[2].split("+")}
    for name in names:
        if name not in paired:
            whole = f"{first.name.partition(':')[0]}:{name}"
            advice = "name the two alike, as norm_forward and norm_backward"
            failure = TargetFailed(UNPAIRED, f"No forward was found that goes with {name}: {advice}.")
            yield replace(first, name=whole, recognised_as="a backward function", failure=failure, observations={})


def _recognised(
    sandbox: Sandbox, number: int, described: dict[str, Any], address: Address, layer: str | None, layout: Layout | None
) -> Iterator[Target]:
    """A candidate; in place of a forward function alone, the pairs that it makes with others of its file, if any.

    One that only its behaviour can tell to be a layer is left out where it does not behave like one.
    """
    sure = described["sure"] or bool(address.name)
    if not sure and not glimpsed(sandbox, number, described, address):
        return
    target = recognised(sandbox, number, described, address, layer, layout)
    if half := described["unwritten"]:
        told = TargetFailed(UNFINISHED, f"{target.name} is not written yet: its {half} does nothing.")
        target = replace(target, failure=told, has_backward=True)
    if not sure and (target.failure or target.likeness <= ALIKE):
        return
    unpaired = described["alone"] and not target.plan.gradients and not target.failure and target.likeness > ALIKE
    found = partners(target) if unpaired else []
    for name in found:
        pair = {**described, "name": f"{described['name']}+{name}", "words": "a pair of functions", "pair": True}
        yield recognised(sandbox, number, {**pair, "has_backward": True}, address, layer, layout, name)
    if not found:
        yield target


def _without_bystanders(targets: list[Target]) -> list[Target]:
    """Leaves out what only looks like a layer: unlike any and named after none, or a forward alone beside others."""
    unlike = [t for t in targets if t.failure is None and t.likeness < _HARDLY and not _is_named(t)]
    works = [t for t in targets if t.failure is None and t not in unlike]
    able = [t for t in works if t.has_backward] or works
    if not able:
        return [t for t in targets if t not in unlike or t.has_backward]
    return [t for t in targets if t in able or (t.failure and (t.has_backward or t.failure.reason in HARD))]


def _is_named(target: Target) -> bool:
    """Whether a target's own name, not that of its file, speaks of a layer."""
    return len(hinted(target.name.rpartition(":")[2], "")) == 1


def adapter(text: str) -> str:
    """A file to start from where a target is not recognised: bncheck's own contract around somebody's two calls.

    >>> "def vjp(case):" in adapter("mine.py")
    True
    """
    place = text.rpartition(":")[0] if ":" in text and not text.endswith((".py", ".ipynb")) else text
    if place.endswith(".ipynb"):
        raise InvalidInput("target", text, "what can be imported", "Write a vjp(case) in a cell of the notebook.")
    return ADAPTER.format(target=text, module=Path(place).stem if place.endswith(".py") else place)


def _nothing_found(text: str, address: Address, loaded: Mapping[str, Any], next_step: str) -> InvalidInput:
    """Why there is nothing to check: no such name, or nothing that bncheck knows how to call."""
    if names := loaded["names"]:
        near = difflib.get_close_matches(address.name, names, n=1)
        advice = f"Did you mean {near[0]}?" if near else "Name one of these."
        return InvalidInput("target", text, f"a name that {address.title} holds: {', '.join(names[:12])}", advice)
    alone = [f"{name} has no forward that goes with it" for name in loaded["unpaired"]]
    remarks = [*loaded["loading"], *loaded["remarks"], *alone]
    seen = f"; seen: {', '.join(remarks[:3])}" if remarks else ""
    return InvalidInput(
        "target",
        text,
        "forward(x, gamma, beta, eps) with backward(dy, cache), a class with both methods, a torch, Flax or Keras "
        f"layer, or a JAX function{seen}",
        next_step,
    )


_NEXT_STEP = {
    False: "Name it as FILE.py:NAME, or write an adapter: bncheck check --adapter prints one.",
    True: "Hand it over as (forward, backward), or as a function vjp(case) that returns y and its gradients by name.",
}
"""What to do where nothing is recognised: in a file, in a live object."""
