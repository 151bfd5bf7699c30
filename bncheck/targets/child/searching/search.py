"""Finds how an implementation is to be spoken to, by trying: names say only what is tried first.

What is looked for shows in behaviour. A parameter is what y follows: β, by which y moves the same whatever x is, or γ.
Training is the mode in which y does not follow a shift of x. A backward is what is linear in dy. Nothing here knows
what a normalization layer computes.
"""

from __future__ import annotations

from dataclasses import replace

from bncheck.targets.child.binding import Binding
from bncheck.targets.child.families import NoGradient, NumPy
from bncheck.targets.child.searching.backwards import Backwards
from bncheck.targets.child.searching.forwards import Forwards
from bncheck.targets.child.searching.places import Places
from bncheck.targets.child.searching.trials import Enough, Trials
from bncheck.targets.child.spoken import Spoken
from bncheck.targets.child.styles import Given


def searched(style: Spoken, family: NumPy, given: Given) -> Binding:
    """The binding under which most of what a layer has was found, the first of equals.

    Raises
        Exception: what the implementation raised to the first way of calling it, where it answers to none.
    """
    trials = Trials(style, family, given)
    ranked: list[tuple[tuple[int, ...], Binding]] = []
    try:
        for forward in Forwards(trials).ways():
            binding = _completed(trials, forward)
            bound = trials.bound(binding)
            found = sum(f"d{name}" in binding.gradients for name in bound)
            ranked.append((("dx" in binding.gradients, found, len(bound)), binding))
            if _is_whole(trials, binding):
                return binding
    except Enough:
        pass
    if not ranked:
        raise trials.failure or NoGradient
    return max(ranked, key=lambda one: one[0])[1]


def _completed(trials: Trials, binding: Binding) -> Binding:
    """The binding with parameters, the training switch, running statistics and gradients, as far as they are found."""
    places = Places(trials)
    binding = places.with_switch(binding)
    if trials.style.thing is not None:
        binding = places.with_slots(binding)
    binding = places.with_state(binding)
    if trials.wants_gradients:
        binding = Backwards(trials).with_gradients(binding)
    return replace(binding, left_over=places.left_over(binding), unknown=places.unknown(binding))


def _is_whole(trials: Trials, binding: Binding) -> bool:
    """Whether every parameter that was offered has a place, and every gradient that is wanted."""
    bound = trials.bound(binding)
    owed = ["dx", *(f"d{name}" for name in bound)] if trials.wants_gradients else []
    return len(bound) == len(trials.offered) and all(name in binding.gradients for name in owed)
