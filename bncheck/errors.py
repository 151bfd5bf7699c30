"""The exceptions bncheck raises: one line that says what was expected and what to do next."""

from __future__ import annotations


class BncheckError(Exception):
    """Anything bncheck refuses to do; its text is one line, fit to be shown as it is."""


class InvalidInput(BncheckError, ValueError):
    """An argument outside its domain.

    The text follows one template, ``name=value, expected CONSTRAINT. Next step.``
    """

    def __init__(self, name: str, value: object, expected: str, next_step: str = "") -> None:
        shown = value if isinstance(value, str) else repr(value)
        line = f"{name}={shown}, expected {expected}."
        super().__init__(" ".join(f"{line} {next_step}".split()))


class InvalidDefinition(BncheckError, TypeError):
    """A layer's definition uses something that bncheck cannot differentiate."""


class MissingPackage(BncheckError, ImportError):
    """An optional package is needed and not installed; the text holds the install command."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{package} is not installed, expected for {purpose}. Run: pip install 'bncheck[{extra}]'.")
