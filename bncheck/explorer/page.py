"""The page: its parts put together into one file that needs no other and asks no network for anything."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib import resources
from pathlib import Path
from string import whitespace

from bncheck.explorer.numbers import script
from bncheck.explorer.words import WORDS
from bncheck.figures.studio.look import ROLES, THEMES, Look, Shade, blend
from bncheck.figures.studio.saturation import SHARE
from bncheck.layers import Layer
from bncheck.version import __version__

GENERATOR = "bncheck explore"
"""What a page of ours says that it is, before the version."""

SCRIPTS = ("state", "drawing", "graph", "arithmetic", "inputs", "effects", "judging", "page")
"""The page's own scripts, each of which uses only what stands before it, and the layer's numbers before them all."""


def page(layer: Layer, lang: str = "en") -> str:
    """The explorer of a layer, in English (en) or Chinese (zh): HTML whose scripts and styles its own policy allows.

    Raises
        InvalidInput: another language, or a layer that has a state, several outputs or tangents.
    """
    look = Look(lang=lang)
    words = {key: look.say(*words) for key, words in WORDS.items()}
    words["title"] = words["title"].format(layer=look.layer(layer.name))
    constants = {"LANG": lang, "WORDS": words, "SHARE": SHARE}
    defined = (f"const {name} = {_json(value)};" for name, value in constants.items())
    code = "\n".join(['"use strict";', script(layer), *defined, *(_part(f"{name}.js") for name in SCRIPTS)])
    style = f"{_colours()}\n{_part('page.css')}"
    allowed = {"script-src": _hashed(code), "style-src": _hashed(style), "img-src": "data:"}
    policy = "; ".join(
        f"{place} {source}" for place, source in ({"default-src": "'none'"} | allowed | _NOWHERE).items()
    )
    filling = {name: html.escape(text) for name, text in words.items()}
    filling |= {"lang": _TAGS[lang], "policy": policy, "generator": f"{GENERATOR} {__version__}"}
    filling |= {"style": style, "script": code}
    return re.sub(r"\{\{(\w+)\}\}", lambda match: filling[match[1]], _part("page.html"))


def is_page(path: Path) -> bool:
    """Whether a file is a page that `page` made."""
    return path.is_file() and f'content="{GENERATOR} '.encode() in path.read_bytes()[:2000]


TINT = 0.16
"""The share of a colour in its tint; the rest is paper."""

_NOWHERE = {"base-uri": "'none'", "form-action": "'none'"}

_TAGS = {"en": "en", "zh": "zh-Hans"}


def _part(name: str) -> str:
    return (resources.files("bncheck.explorer") / name).read_text(encoding="utf-8").strip(whitespace)


def _json(value: object) -> str:
    """JSON that may stand within a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", r"\u003c")


def _hashed(text: str) -> str:
    """What a content-security policy calls a text by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _colours() -> str:
    """The palette of the figures as variables: each role and each part of the paper, and a tint of every role."""
    light, dark = THEMES["light"], THEMES["dark"]
    pairs = {name: Shade(light[name], dark[name]) for name in light}
    pairs |= {name.replace("_", "-"): role.colour for name, role in ROLES.items()}
    pairs |= {f"{name}-tint": Shade(blend(one, light["paper"], TINT), blend(other, dark["paper"], TINT))
              for name, (one, other) in pairs.items()}  # fmt: skip
    lines = [f"--{name}:light-dark({one},{other});" for name, (one, other) in pairs.items()]
    return f":root{{{''.join(lines)}}}"
