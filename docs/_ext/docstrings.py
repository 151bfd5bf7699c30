"""Docstrings as they are written here in reStructuredText: sections become fields, names in backticks links."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterator
from typing import Any

from sphinx.util.inspect import TypeAliasForwardRef

import bncheck
from bncheck import PUBLIC

HEADING = re.compile(r"[A-Z][a-z]+$")
"""A word that begins a section; its lines are indented."""

ERROR = re.compile(r"([A-Z]\w+): ")
"""What a line under Raises begins with, for each error anew."""


def translated(lines: list[str], scope: str = "") -> list[str]:
    """The lines of a docstring, with each section as a field and names in single backticks as code, or as links.

    `scope` is the public name of what the docstring is of.
    """
    told: list[str] = []
    k = 0
    while k < len(lines):
        if HEADING.match(lines[k]) and k + 1 < len(lines) and lines[k + 1].startswith("    "):
            end = k + 1
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            if told and told[-1].strip() and not told[-1].startswith((":", "    ")):
                told.append("")
            told += _fields(lines[k], [line[4:] for line in lines[k + 1 : end]])
            if end < len(lines) and not HEADING.match(lines[end]):
                told.append("")
            k = end
        else:
            told.append(lines[k])
            k += 1
    return [line if line.startswith((">>>", "...")) else _with_links(line, scope) for line in told]


def _fields(heading: str, lines: list[str]) -> Iterator[str]:
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    if heading != "Raises":
        yield f":{heading}: {lines[0]}"
        yield from (f"    {line}" for line in lines[1:])
        return
    for line in lines:
        error = ERROR.match(line)
        yield f":raises {error[1]}: {line[error.end() :]}" if error else f"    {line.strip()}"


def _with_links(line: str, scope: str) -> str:
    return re.sub(r"(?<![`:\w])`([^`\n]+)`(?![`_])", lambda found: _link(found[1], scope), line)


def _link(name: str, scope: str) -> str:
    """A name as a link where what it names is documented."""
    owner = scope.removeprefix("bncheck.").partition(".")[0]
    if name in _arguments(scope):
        return f"``{name}``"
    for candidate in (name.removeprefix("bncheck."), f"{owner}.{name}"):
        public, _, attribute = candidate.partition(".")
        thing = getattr(bncheck, public, None) if public in bncheck.__all__ else None
        whole = f"bncheck.{candidate}"
        if thing is None or whole == scope or attribute.startswith("_"):
            continue
        if not attribute or (inspect.isclass(thing) and _has(thing, attribute)):
            return f":py:obj:`{name} <{whole}>`"
    return f"``{name}``"


def _arguments(scope: str) -> Collection[str]:
    """The arguments of a public function, or of a method."""
    thing: Any = bncheck
    for part in scope.split(".")[1:]:
        thing = getattr(thing, part, None)
    return inspect.signature(thing).parameters if inspect.isfunction(thing) or inspect.ismethod(thing) else ()


def _has(owner: type, attribute: str) -> bool:
    return hasattr(owner, attribute) or any(attribute in getattr(base, "__annotations__", ()) for base in owner.__mro__)


def _public(name: str) -> str:
    """A name as it is public: ``bncheck.case.Case.x`` is ``bncheck.Case.x``."""
    for home, names in PUBLIC.items():
        rest = name.removeprefix(f"bncheck.{home}.")
        if rest != name and rest.partition(".")[0] in names:
            return f"bncheck.{rest}"
    return name


def setup(app: Any) -> dict[str, bool]:
    """Changes docstrings as autodoc reads them."""
    app.setup_extension("sphinx.ext.autodoc")

    def change(_app: Any, _what: str, name: str, _thing: Any, _options: Any, lines: list[str]) -> None:
        lines[:] = translated(lines, _public(name))

    def shortened(*told: Any) -> tuple[str | None, str | None]:
        arguments, returned = told[-2:]
        return arguments and arguments.replace("=<factory>", "=..."), returned

    app.connect("autodoc-process-docstring", change)
    app.connect("autodoc-process-signature", shortened)
    TypeAliasForwardRef.__repr__ = lambda self: self.name  # type: ignore[method-assign]  # where it is an argument
    return {"parallel_read_safe": True}
