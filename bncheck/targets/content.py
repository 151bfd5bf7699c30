"""What the answer of somebody's code depends on: the files that it is made of, and the packages that it imports."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from bncheck import extras
from bncheck.targets.address import MOST_FILES, Address

_QUOTED = re.compile(rb"""['"]([^'"\\\r\n]{1,200})\\?['"]""")


def content(target: str) -> dict[str, str]:
    """A hash of its code, and the versions of what runs it.

    The code is the file, those of the same project that it imports, and those beside them or in the current folder that
    are named in quotes. Of an installed package the version counts. Without a hash there are too many files to be sure.

    >>> sorted(content("numpy.linalg"))
    ['bncheck', 'code', 'numpy', 'python']
    """
    address = Address.parse(target)
    if address.is_installed:
        return {"code": "installed", **extras.versions(*extras.providing(address.place.partition(".")[0]))}
    files, packages = address.sources()
    whole = files | {named for file in files for named in _named(file)}
    code = hashlib.sha256()
    for file in sorted(whole):
        with file.open("rb") as opened:
            code.update(hashlib.file_digest(opened, "sha256").digest())
    providers = sorted({one for name in packages for one in extras.providing(name)})
    return {"code": "" if len(files) >= MOST_FILES else code.hexdigest(), **extras.versions(*providers)}


def _named(file: Path) -> Iterator[Path]:
    """The files that a file names: arrays that it loads, modules that it imports so, weights of an ONNX model."""
    text = file.read_bytes()
    if file.suffix == ".onnx":
        if b"location" in text:  # of tensors that are kept outside the model
            yield from (one for one in file.parent.iterdir() if one.is_file() and one.name.encode() in text)
        return
    for quoted in set(_QUOTED.findall(text)):
        name = quoted.decode(errors="replace")
        places = [name, *([f"{name.replace('.', '/')}.py"] if re.fullmatch(r"[\w.]+", name) else [])]
        for place in (folder / name for folder in {file.parent, Path.cwd()} for name in places):
            try:
                if place.is_file():
                    yield place.resolve()
            except (OSError, ValueError):  # no name that a file could have
                continue
