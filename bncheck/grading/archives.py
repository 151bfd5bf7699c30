"""Zip files from strangers: unpacked within bounds, or refused with the reason."""

from __future__ import annotations

import hashlib
import lzma
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

MOST_FILES, MOST_BYTES = 2_000, 256 << 20
"""What one submission may hold."""

CLASS_FILES, CLASS_BYTES = 100_000, 4 << 30
"""What a whole class may hold."""

_RATIO, _SMALL = 200, 8 << 20
"""How many times its size an archive may unpack to, beyond what is small in any case."""

_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, ValueError, RuntimeError)
_IGNORED = re.compile(
    r"\.(?!\.?$).*|__MACOSX|__pycache__|Thumbs\.db|desktop\.ini|node_modules|site-packages", re.IGNORECASE
)
_CHUNK = 1 << 20


class Refused(Exception):
    """What is not read; the text says why."""


def is_ignored(name: str) -> bool:
    """Whether a file or folder is none that a person handed in.

    >>> [name for name in ("bn.py", ".DS_Store", "__MACOSX", ".ipynb_checkpoints") if is_ignored(name)]
    ['.DS_Store', '__MACOSX', '.ipynb_checkpoints']
    """
    return _IGNORED.fullmatch(name) is not None


@dataclass(frozen=True)
class Unpacked:
    """A folder with what an archive held, and what of it was refused: by first name, why."""

    folder: Path
    refused: dict[str, str] = field(default_factory=dict)


def unpacked(archive: Path, into: Path, *, of_class: bool = False) -> Unpacked:
    """Unpacks an archive into a folder of its own, which is named by the content and is there whole or not at all.

    No member may lead out of it, be a link or encrypted; their number, size and ratio are bounded by what comes out,
    not by what the archive says. Of a whole class only the entries in which something is amiss are refused; where all
    lies in one folder, the entries are those of that folder.

    Raises
        Refused: it cannot be read, or something in it is amiss and it is not a whole class.
    """
    try:
        _within(archive.stat().st_size, CLASS_BYTES if of_class else MOST_BYTES)
        with archive.open("rb") as stream:
            name = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
        into.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(archive) as opened, tempfile.TemporaryDirectory(dir=into, prefix=".") as unfinished:
            work = Path(unfinished, "work")
            work.mkdir()
            refused = _extract(opened, archive.stat().st_size, work, of_class=of_class)
            place = into / name
            shutil.rmtree(place, ignore_errors=True)
            work.replace(place)
    except Refused:
        raise
    except _DAMAGED as error:
        raise Refused(f"the zip is damaged: {error}") from error
    except OSError as error:
        raise Refused(f"the zip cannot be unpacked: {error.strerror or error}") from error
    return Unpacked(place, refused)


def _extract(opened: zipfile.ZipFile, size: int, folder: Path, *, of_class: bool) -> dict[str, str]:
    members = [one for one in opened.infolist() if not any(map(is_ignored, _parts(one)))]
    files = [one for one in members if not one.is_dir()]
    most = CLASS_FILES if of_class else MOST_FILES
    if len(files) > most:
        raise Refused(f"the zip holds {len(files)} files, more than {most}")
    safe = [_parts(one) for one in files if _amiss(one) is None]
    common = of_class and bool(safe) and len({parts[0] for parts in safe}) == 1 and all(len(p) > 1 for p in safe)
    left = min(CLASS_BYTES if of_class else MOST_BYTES, max(_SMALL, _RATIO * size))
    refused, budget = dict[str, str](), dict[str, int]()
    for one in files:
        parts = _parts(one)
        inner = parts[1:] if common and parts[0] == safe[0][0] else parts
        entry = one.filename if _is_outside(one) else inner[0]
        if entry in refused:
            continue
        try:
            _safe(one)
            share = min(left, budget.get(entry, MOST_BYTES))
            used = _write(opened, one, folder.joinpath(*inner), share)
            left, budget[entry] = left - used, share - used
        except Refused as refusal:
            refused[entry] = str(refusal)
        except _DAMAGED as error:
            refused[entry] = f"the zip is damaged: {error}"
        except OSError as error:
            refused[entry] = f"the zip cannot be unpacked: {error.strerror or error}"
        if entry in refused and not of_class:
            raise Refused(refused[entry])
    for entry in refused.keys() & {path.name for path in folder.iterdir()}:
        place = folder / entry
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    return refused


def _parts(one: zipfile.ZipInfo) -> tuple[str, ...]:
    return PurePosixPath(one.filename).parts


def _amiss(one: zipfile.ZipInfo) -> str | None:
    """Why a member is not unpacked, if so."""
    kind = stat.S_IFMT(one.external_attr >> 16)
    if _is_outside(one):
        return "the zip holds a path that leads out of it"
    if kind not in (0, stat.S_IFREG):
        return "the zip holds a link or a device"
    return "the zip is encrypted" if one.flag_bits & 1 else None


def _is_outside(one: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(one.filename)
    leads_up = path.is_absolute() or ".." in path.parts or not path.parts
    return leads_up or "\\" in one.filename or re.match(r"[A-Za-z]:", one.filename) is not None


def _safe(one: zipfile.ZipInfo) -> None:
    if (reason := _amiss(one)) is not None:
        raise Refused(f"{reason}: {one.filename[:80]!r}")


def _within(size: int, most: int) -> None:
    if size > most:
        raise Refused(f"the zip holds more than the {most >> 20} MiB that are allowed")


def _write(opened: zipfile.ZipFile, one: zipfile.ZipInfo, place: Path, most: int) -> int:
    """Unpacks one member, and tells its size; counted as it comes, since an archive may say anything."""
    _within(one.file_size, most)
    place.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with opened.open(one) as packed, open(place, "xb", opener=_private) as stream:  # with an opener
        while chunk := packed.read(_CHUNK):
            size += len(chunk)
            _within(size, most)
            stream.write(chunk)
    return size


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
