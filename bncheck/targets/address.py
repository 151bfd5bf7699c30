"""Where somebody's code is: a file or a module, and perhaps a name in it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from bncheck.errors import InvalidInput

_FRAMEWORKS = ("torch", "jax", "flax", "keras", "onnx")


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
        """Reads ``FILE.py[:NAME]``, ``FILE.onnx`` or ``package.module[:NAME]``.

        Raises
            InvalidInput: none of these, or no such file.
        """
        place, name = text, ""
        if not place.endswith((".py", ".onnx")):
            place, _, name = text.rpartition(":") if ":" in text else (text, "", "")
        if place.endswith((".py", ".onnx")):
            if not Path(place).is_file():
                raise InvalidInput("target", text, "a file that exists", f"Is {place} the right path?")
        elif not all(part.isidentifier() for part in place.split(".")):
            raise InvalidInput(
                "target", text, "FILE.py, FILE.py:NAME, FILE.onnx, package.module or package.module:NAME"
            )
        return cls(place, name)

    @property
    def title(self) -> str:
        """The file's own name, or the module's."""
        return Path(self.place).name if self.place.endswith((".py", ".onnx")) else self.place

    def frameworks(self) -> tuple[str, ...]:
        """The frameworks that it needs, as far as can be told without running it."""
        if not self.place.endswith(".py"):
            first = "onnx" if self.place.endswith(".onnx") else self.place.partition(".")[0]
            return tuple(name for name in _FRAMEWORKS if name == first)
        try:
            tree = list(ast.walk(ast.parse(Path(self.place).read_bytes())))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return ()
        named = {alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names}
        named |= {node.module or "" for node in tree if isinstance(node, ast.ImportFrom)}
        return tuple(name for name in _FRAMEWORKS if name in {one.partition(".")[0] for one in named})
