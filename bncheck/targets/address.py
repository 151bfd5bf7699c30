"""Where somebody's code is: a file or a module, and perhaps a name in it."""

from __future__ import annotations

import ast
import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bncheck.errors import InvalidInput

_FRAMEWORKS = ("torch", "jax", "flax", "keras", "onnx", "numba")
MOST_FILES = 200
"""How many files of a project are looked at."""

_FILES = (".py", ".ipynb", ".onnx")
_STANDARD = Path(sysconfig.get_path("stdlib")).resolve()


@dataclass(frozen=True)
class Address:
    """Where a target is: a file or a module, and perhaps a name in it.

    >>> Address.parse("torch.nn:BatchNorm2d")
    Address(place='torch.nn', name='BatchNorm2d')
    """

    place: str
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads ``FILE.py[:NAME]``, ``FILE.ipynb[:NAME]``, ``FILE.onnx`` or ``package.module[:NAME]``.

        Raises
            InvalidInput: none of these, or no such file.
        """
        place, name = text, ""
        if not place.endswith(_FILES):
            place, _, name = text.rpartition(":") if ":" in text else (text, "", "")
        if place.endswith(_FILES):
            if not Path(place).is_file():
                raise InvalidInput("target", text, "a file that exists", f"Is {place} the right path?")
        elif not all(part.isidentifier() for part in place.split(".")):
            forms = "FILE.py, FILE.py:NAME, FILE.ipynb, FILE.onnx, package.module or package.module:NAME"
            raise InvalidInput("target", text, forms)
        return cls(place, name)

    @property
    def title(self) -> str:
        """The file's own name, or the module's."""
        return Path(self.place).name if self.place.endswith(_FILES) else self.place

    def frameworks(self) -> tuple[str, ...]:
        """The frameworks that it needs, as far as can be told without running it.

        The files beside it that it imports are looked at, too.
        """
        first = "onnx" if self.place.endswith(".onnx") else self.place.partition(".")[0]
        if first in _FRAMEWORKS or self.place.endswith(".onnx"):
            return tuple(name for name in _FRAMEWORKS if name == first)
        named = self.sources()[1]
        return tuple(name for name in _FRAMEWORKS if name in named)

    @property
    def is_installed(self) -> bool:
        """Whether it is a module of a package that is installed, or of Python's own."""
        own = [] if self.place.endswith(_FILES) else [file for file in self._files() if file.is_file()]
        return any(_is_installed(file) for file in own)

    def sources(self) -> tuple[set[Path], set[str]]:
        """The files of its project that it is made of, at most `MOST_FILES`, and the packages that these import."""
        named, files, left = set[str](), set[Path](), self._files()
        while left and len(files) < MOST_FILES:
            file = left.pop()
            if file not in files and file.is_file():
                files.add(file)
                for name, beside in _imports(file):
                    named.add(name)
                    left += beside
        return files, named

    def _files(self) -> list[Path]:
        """The file, or those that a module's name may mean."""
        if self.place.endswith(_FILES):
            return [Path(self.place).resolve()]
        return [place for root in ("", *sys.path) for place in _places(Path(root).resolve(), self.place.split("."))]


def _imports(file: Path) -> Iterator[tuple[str, list[Path]]]:
    """The packages that a file imports, and where each would be if it were a file of the same project."""
    if file.suffix == ".ipynb":
        text = file.read_text(encoding="utf-8", errors="replace")
        for name in re.findall(r"\b(?:import|from) ([a-zA-Z_][\w.]*)", text):
            yield name.partition(".")[0], _near(file, name.split("."))
        return
    try:
        tree = list(ast.walk(ast.parse(file.read_bytes())))
    except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):
        return
    for node in tree:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], _near(file, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            parts = (node.module or "").split(".") if node.module else []
            for alias in node.names:
                if node.level:
                    yield "", _places(file.parents[min(node.level, len(file.parents)) - 1], [*parts, alias.name])
                else:
                    yield parts[0], _near(file, [*parts, alias.name])


def _near(file: Path, parts: list[str]) -> list[Path]:
    """The files that a dotted name may mean in a file: beside it, or from the folder above its package."""
    root = file.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    folders = {file.parent, root, *_roots(Path.cwd(), tuple(sys.path))} if parts[0] != "bncheck" else ()
    return [place for folder in folders for place in _places(folder, parts)]


@cache
def _roots(current: Path, path: tuple[str, ...]) -> tuple[Path, ...]:
    """Where else the modules of a project may be: in the current folder, or on the path without being installed."""
    folders = {Path(current, folder).resolve() for folder in ("", *path)}
    return tuple(folder for folder in folders if folder.is_dir() and not _is_installed(folder))


def _is_installed(place: Path) -> bool:
    return bool({"site-packages", "dist-packages"} & set(place.parts)) or place.is_relative_to(_STANDARD)


def _places(root: Path, parts: list[str]) -> list[Path]:
    """The files that a dotted name may mean: of a module or a package, or of one that holds the name."""
    ends = [root.joinpath(*parts[:k]) for k in range(1, len(parts) + 1)]
    return [place for end in ends for place in (end.with_name(f"{end.name}.py"), end / "__init__.py")]
