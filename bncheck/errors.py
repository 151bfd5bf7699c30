"""The exceptions bncheck raises: one line that says what was expected and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BncheckError(Exception):
    """Anything bncheck refuses to do; its text is one line, fit to be shown as it is."""

    def __init__(self, text: str) -> None:
        super().__init__(" ".join(text.split()))


class InvalidInput(BncheckError, ValueError):
    """An argument outside its domain.

    The text follows one template, ``name=value, expected CONSTRAINT. Next step.``
    """

    def __init__(self, name: str, value: object, expected: str, next_step: str = "") -> None:
        shown = value if isinstance(value, str) and value.isprintable() and value else repr(value)
        shown = shown if len(shown) <= 120 else f"{shown[:80]}…{shown[-30:]}"
        super().__init__(f"{name}={shown}, expected {expected}. {next_step}")
        self.fields = name, shown, expected, next_step

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), self.fields)  # else an exception on its way out of another process could not be read

    @classmethod
    def unknown(cls, name: str, value: str, known: Iterable[str], otherwise: str = "") -> InvalidInput:
        """A name that is none of the known ones; the next step is the nearest of them, if any is near.

        >>> print(InvalidInput.unknown("dtype", "flaot32", ["float64", "float32"]))
        dtype=flaot32, expected one of float64, float32. Did you mean float32?
        """
        known = list(known)
        near = difflib.get_close_matches(value, known, n=1)
        return cls(name, value, f"one of {', '.join(known)}", f"Did you mean {near[0]}?" if near else otherwise)


class InvalidDefinition(BncheckError, TypeError):
    """A layer's definition uses something that bncheck cannot differentiate."""


class MissingPackage(BncheckError, ImportError):
    """An optional package is needed and not installed; the text holds the install command."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{package} is not installed, expected for {purpose}. Run: pip install 'bncheck[{extra}]'.")
        self.fields = package, extra, purpose

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), self.fields)


UNFINISHED = "unfinished"
"""The reason of code that is not written yet."""

UNPAIRED = "unpaired"
"""The reason of a backward with which no forward goes."""


class TargetFailed(BncheckError, RuntimeError):
    """Somebody's code that could not be called, or did not answer with arrays; `reason` is one word for it.

    The reasons: ``raised`` an exception, ``exited`` or ``died`` with its process, ``timeout``, ``memory``, ``answer``
    where what came back is not what was asked for, ``no gradient`` where a framework finds no way back, ``unfinished``
    where it is not written yet, and ``unpaired`` where a backward has no forward. `deliberate` says that somebody wrote
    that this be raised, rather than that it befell the code.
    """

    def __init__(self, reason: str, text: str, deliberate: bool = False) -> None:
        super().__init__(text)
        self.reason, self.text, self.deliberate = reason, text, deliberate

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.reason, self.text, self.deliberate))
