"""What a class has handed in: a folder or a zip, one submission for each entry, and the files of each to be asked."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bncheck.errors import InvalidInput
from bncheck.files import write
from bncheck.grading.archives import MOST_FILES, Refused, is_ignored, unpacked

SUFFIXES = (".py", ".ipynb", ".onnx")
"""The files that are asked."""

MOST_ASKED, MOST_ZIPS, _LARGEST = 20, 8, 8 << 20
"""The most files of one submission that are asked, the most zips in it, and the size of a file."""

_NUMBERED = re.compile(r"(.+?_\d+)_\d+_(.+)")
_NOTEBOOK_IMPORT = re.compile(r"\b(?:import|from) ([a-zA-Z_][\w.]*)")
_TESTS = re.compile(r"(test_.*|.*_tests?|tests?|conftest|setup)\.py", re.IGNORECASE)


@dataclass(frozen=True)
class Submission:
    """One entry: its label, the files to ask in turn, and why it or some of its files cannot be read.

    `first` are those that no other imports; `others`, helpers and tests, are asked where the first hold no layer.
    `shown` gives each file's name within the submission.
    """

    label: str
    first: tuple[Path, ...] = ()
    others: tuple[Path, ...] = ()
    shown: dict[Path, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()


def submissions(place: Path, unpack_in: Path, name: str = "", leave_out: Path | None = None) -> list[Submission]:
    """The submissions of a class in the order of their labels; archives are unpacked into a folder.

    Each entry is one, but for flat files whose names begin alike up to the first of two numbers: these are of one
    person, and have their own names after the numbers, smith_12_34_bn.py and smith_12_35_more.py. With a
    `name` only files that hold it are asked.

    Raises
        InvalidInput: there is no such folder or zip, or nothing in it.
    """
    refused: dict[str, str] = {}
    if place.is_dir():
        folder = place
    elif place.is_file() and place.suffix.lower() == ".zip":
        try:
            whole = unpacked(place, unpack_in, of_class=True)
        except Refused as error:
            raise InvalidInput("submissions", str(place), f"a zip that can be read; {error}", "Get it anew.") from error
        folder, refused = whole.folder, whole.refused
    else:
        constraint = "a folder, or a .zip, with a file, a folder or a zip for each submission"
        raise InvalidInput("submissions", str(place), constraint, "Is it the right path?")
    try:
        entries = sorted(entry for entry in folder.iterdir() if not is_ignored(entry.name))
    except OSError as error:
        constraint = f"a folder that can be read; {error.strerror}"
        raise InvalidInput("submissions", str(place), constraint, "Is it the right path?") from error
    if leave_out is not None:
        entries = [entry for entry in entries if entry.resolve() != leave_out.resolve()]
    if not entries and not refused:
        raise InvalidInput("submissions", str(place), "a class with at least one submission", "This one is empty.")
    found = [Submission(label, unread=(reason,)) for label, reason in refused.items()]
    found += [_submission(label, files, unpack_in, name) for label, files in _grouped(entries)]
    return sorted(found, key=lambda one: one.label)


def _grouped(entries: Iterable[Path]) -> Iterator[tuple[str, list[tuple[Path, str]]]]:
    """The entries of each submission, with the name that each has within it."""
    flat: dict[str, list[tuple[Path, str]]] = {}
    for entry in entries:
        numbered = _NUMBERED.fullmatch(entry.name) if entry.is_file() else None
        if numbered is None:
            yield entry.name, [(entry, entry.name)]
        else:
            flat.setdefault(numbered[1], []).append((entry, numbered[2]))
    yield from flat.items()


def _submission(label: str, entries: list[tuple[Path, str]], unpack_in: Path, name: str) -> Submission:
    reader = _Reader(unpack_in)
    for entry, own in _beside(entries, unpack_in):
        reader.read(entry, own)
    unread = reader.unread
    asked = {path: told for path, told in reader.shown.items() if path.suffix.lower() in SUFFIXES}
    if not asked and not unread:
        unread.append("it holds no Python file, notebook or ONNX file")
    imports: dict[Path, set[str]] = {}
    for path, told in asked.items():
        try:
            imports[path] = _imported(path)
        except Refused as refusal:
            unread.append(f"{told}: {refusal}")
    if name and imports:
        imports = {path: names for path, names in imports.items() if _mentions(path, name)}
        if not imports:
            unread.append(f"no file of it speaks of {name}")
    tests = [path for path in imports if _TESTS.fullmatch(Path(asked[path]).name) or "tests" in Path(asked[path]).parts]
    drawn = {name for path, names in imports.items() if path not in tests for name in names}
    helpers = [path for path in imports if path not in tests and path.suffix == ".py" and _stem(asked[path]) in drawn]
    first = [path for path in imports if path not in tests and path not in helpers]
    others = [*helpers, *tests]
    if not first:  # all import each other
        first, others = (helpers, tests) if helpers else (tests, [])
    if len(imports) > MOST_ASKED:
        unread.append(f"it holds {len(imports)} files of code, more than {MOST_ASKED}")
        first, others = [], []
    return Submission(label, tuple(first), tuple(others), reader.shown, tuple(unread))


def _beside(entries: list[tuple[Path, str]], unpack_in: Path) -> list[tuple[Path, str]]:
    """Flat files of one person, copied under their own names into one folder, so that one can import another."""
    if len(entries) == 1 or any(path.is_symlink() or path.stat().st_size > _LARGEST for path, _ in entries):
        return entries
    content = {own: path.read_bytes() for path, own in entries}  # the last of two of one name is the newer
    sums = sorted((own, hashlib.sha256(held).hexdigest()) for own, held in content.items())
    folder = unpack_in / hashlib.sha256(repr(sums).encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    for own, held in content.items():
        write(folder / own, held)
    return [(folder / own, own) for own in content]


class _Reader:
    """Goes through the files of one submission, those of its archives among them."""

    def __init__(self, unpack_in: Path) -> None:
        self.unpack_in, self.shown, self.unread, self.zips = unpack_in, dict[Path, str](), list[str](), 0

    def read(self, place: Path, own: str, depth: int = 0) -> None:
        """A file, a folder or a zip, and its name within the submission; a link is not followed."""
        try:
            if place.is_symlink():
                self.unread.append(f"{own} is a link")
            elif place.is_dir():
                self._folder(place, "" if not self.shown and not depth else f"{own}/", depth)
            elif place.suffix.lower() == ".zip" and place.is_file():
                self._zip(place, own, depth)
            elif place.is_file():
                self.shown[place] = own
        except (OSError, RecursionError) as error:
            self.unread.append(f"{own} cannot be read: {getattr(error, 'strerror', None) or type(error).__name__}")

    def _folder(self, place: Path, before: str, depth: int) -> None:
        if (place / "pyvenv.cfg").exists():  # packages that were installed
            return
        for inner in sorted(place.iterdir()):
            if len(self.shown) >= MOST_FILES:
                raise OSError(0, f"it holds more than {MOST_FILES} files")
            if not is_ignored(inner.name):
                self.read(inner, f"{before}{inner.name}", depth + 1)

    def _zip(self, place: Path, own: str, depth: int) -> None:
        self.zips += 1
        if self.zips > MOST_ZIPS:
            self.unread.append(f"{own}: it holds more than {MOST_ZIPS} zips")
            return
        try:
            folder = unpacked(place, self.unpack_in).folder
        except Refused as refusal:
            self.unread.append(f"{own}: {refusal}")
            return
        self._folder(folder, f"{own}/" if depth else "", depth + 1)


def _stem(name: str) -> str:
    """The name by which a file is imported: its own, or its package's."""
    path = Path(name)
    return path.parent.name if path.stem == "__init__" else path.stem


def _imported(path: Path) -> set[str]:
    """The last parts of what a file imports.

    Raises
        Refused: it is none of the kind that its name says, and why.
    """
    if path.stat().st_size > _LARGEST and path.suffix.lower() != ".onnx":
        raise Refused(f"it is larger than {_LARGEST >> 20} MiB")
    if path.suffix.lower() == ".py":
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(path.read_bytes())
        except SyntaxError as error:
            where = f" in line {error.lineno}" if error.lineno else ""
            raise Refused(f"syntax error{where}: {error.msg}") from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise Refused(f"it is no Python that can be read: {error}") from error
        return {part for node in ast.walk(tree) for part in _named(node)}
    if path.suffix.lower() == ".ipynb":
        try:
            notebook = json.loads(path.read_bytes())
            sheets = notebook.get("worksheets", [notebook])
            sources = [cell.get("source", cell.get("input", "")) for sheet in sheets for cell in sheet["cells"]]
            text = "\n".join("".join(source) for source in sources)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Refused("it is no Jupyter notebook, or a damaged one") from error
        return {name.rpartition(".")[2] for name in _NOTEBOOK_IMPORT.findall(text)}
    return set()


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name.rpartition(".")[2] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        if node.module:
            yield node.module.rpartition(".")[2]
        yield from (alias.name for alias in node.names)


def _mentions(path: Path, name: str) -> bool:
    text = path.read_bytes()
    return all(re.search(rf"\b{re.escape(part)}\b".encode(), text) for part in re.findall(r"\w+", name))
