"""Pages that are made as the site is built, from what they tell of: bugs, figures, commands, and what is public."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import os
import pkgutil
import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

import bncheck
from bncheck import PUBLIC
from bncheck.bugs import catalogue
from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.catalogue.bug import Bug
from bncheck.cli import run
from bncheck.cli.app import app as program
from bncheck.cli.options import STATUS
from bncheck.layers import LAYERS

DOCS = Path(__file__).resolve().parents[1]
FIGURES = DOCS.parent / "figures"
COPIES = DOCS / "_made"
"""What pages lead to, as the site holds it: HTML as it is."""


# Bugs, a page each.

Caught = tuple[str, str, str]
"""In how many percent of checks gradcheck, its fast mode and JAX's check_grads find fault."""

FAMILIES = {
    "paths": ("The paths to x", "How x reaches y: directly, through the mean, and through the variance."),
    "gamma": ("γ in dx", "γ that is missing or comes twice, and answers that are those of an earlier step."),
    "eps": ("ε", "Where ε is added, how often, and whether both passes agree on it."),
    "statistics": ("Mean and variance", "Their divisor, the axes that they are taken over, and what arrives at them."),
    "modes": ("Training and evaluation", "The modes exchanged, and the step that running statistics make."),
    "parameters": ("dγ and dβ", "What is summed, over what, and what of."),
    "second_order": ("Forward mode, second order", "Jacobian-vector products, and what a double backward computes."),
    "effects": ("Beside the formulas", "What happens to the caller's arrays, and the dtype of the answer."),
    "one_place": ("Sorts of edits", "What a bug is called that has no name of its own: one small edit, in one place."),
}
"""Where bugs are, by the file of the catalogue that holds them; another file stands under its name."""


def families() -> Iterator[tuple[str, str, dict[str, Bug]]]:
    """Each family with what it is about and its bugs, in the order in which a diagnosis tries them."""
    homes: dict[str, dict[str, Bug]] = {}
    modules = [module.name for module in pkgutil.iter_modules(catalogue.__path__) if module.name != "bug"]
    of = {bug.id: name for name in modules for bug in importlib.import_module(f"{catalogue.__name__}.{name}").BUGS}
    for name, bug in BUGS.items():
        homes.setdefault(of[name], {})[name] = bug
    for family, bugs in homes.items():
        title, about = FAMILIES.get(family, (family, ""))
        yield title, about, bugs


def bugs() -> dict[str, str]:
    """A page for each bug that has a name, and one that leads to them."""
    caught = measured((DOCS / "benchmarks.md").read_text(encoding="utf-8"))
    pages, index = {}, _BUGS
    for title, about, members in families():
        index += f"## {title}\n\n{about}\n\n{_HEAD}"
        for name, bug in members.items():
            pages[f"bugs/{name}.md"] = _bug(bug, title, caught.get(name))
            index += f"| [{name}]({name}.md) | {bug.words} | {' | '.join(caught.get(name, ('–',) * 3))} |\n"
        index += "\n```{toctree}\n:hidden:\n:caption: " + title + "\n\n" + "\n".join(members) + "\n```\n\n"
    return {**pages, "bugs/index.md": index}


_BUGS = """# Bugs that have a name

What people have really written in the place of a normalization's gradients. Any other bug is told as what it is, one
small edit of the formulas. The numbers say how many of a hundred checks find fault: `torch.autograd.gradcheck` in its
slow and its fast mode, and JAX's `check_grads`, each at its own tolerances ([how they were asked](../benchmarks.md));
– is what they were not asked. bncheck finds each every time.

"""
_HEAD = "| bug | what is wrong | slow | fast | JAX |\n|---|---|--:|--:|--:|\n"


def _bug(bug: Bug, family: str, caught: Caught | None) -> str:
    parts = [
        f"# {bug.id}",
        _sentence(bug.words),
        f"Where it is: [{family.lower() if family[0] in 'BFMST' else family}](index.md).",
    ]
    computed, right = next(filter(any, (bug.formulas(layer, layout) for layer, layout in _uses())), ("", ""))
    if computed:
        parts += ["## What it computes", _block("text", computed), "and what is right:", _block("text", right)]
    parts += ["## In NumPy", "Wrong:", _block("python", bug.wrong), "Right:", _block("python", bug.right)]
    parts += ["## How to mend it", bug.fix, "## How it hides", bug.hides]
    if caught:
        parts += ["## What usual checks say of it", _CHECKS.format(*caught)]
    layers = list(dict.fromkeys(layer.name for layer, layout in _uses() if bug.edits(layer, layout, layer.parameters)))
    if layers or bug.effect:
        room = ", ".join(f"`{name}`" for name in layers) if layers else "Any layer."
        parts += ["## Which layers can have it", room]
    parts += [
        "## Where it was seen",
        ", ".join(map(_issue, bug.seen)) + "." if bug.seen else "No public issue is known.",
    ]
    parts += ["## Where to go on", _ON.format(bug.id)]
    return "\n\n".join(parts) + "\n"


_CHECKS = """Of a hundred checks so many find fault ([how they were asked](../benchmarks.md)):

| torch's `gradcheck` | its fast mode | JAX's `check_grads` |
|--:|--:|--:|
| {} | {} | {} |"""

_ON = """`python -m bncheck explain {}` prints this page, and `python -m bncheck check FILE.py` tells whether code has
the bug. In the [explorer](../explorer.md) one can hunt for hidden ones."""


def _uses() -> Iterator[tuple[Any, Any]]:
    return ((layer, layout) for layer in LAYERS.values() for layout in layer.layouts)


def _block(language: str, text: str) -> str:
    return f"```{language}\n{text.strip()}\n```"


def _issue(issue: str) -> str:
    """A public issue, with a link where it says whose repository it is in."""
    repository, _, number = issue.partition("#")
    return f"[{issue}](https://github.com/{repository}/issues/{number})" if "/" in repository else issue


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:] + ("" if words.endswith(".") else ".")


def measured(benchmarks: str) -> dict[str, Caught]:
    """What the benchmarks say of each bug; those that fared alike share a row, and are named in the text below."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in benchmarks.splitlines()]
    rows: dict[str, Caught] = {row[0]: (row[3], row[4], row[5]) for row in cells if len(row) == 6}
    found = {name: row for name, row in rows.items() if name in BUGS}
    alike = re.search(r"^Bugs that fared alike share a row\.(.*?)\n\n", benchmarks + "\n\n", re.MULTILINE | re.DOTALL)
    text = alike[1].replace("\n", " ") if alike else ""
    for group, count, names in re.findall(r"([a-z][a-z, ]*), (\d+): ([a-z0-9, -]+)\.", text):
        found |= dict.fromkeys(names.split(", "), rows[f"{group}: {count} bugs"])
    return found


# The lecture and the page to play with.


def gallery() -> dict[str, str]:
    """The gallery, with each drawing as a figure that has a caption and the command that draws it."""
    text = (FIGURES / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"\n!\[All drawings[^\n]*\n", "", text)
    text = re.sub(r"^!\[(.*?)\]\(([\w-]+\.svg)\)$", _figure, text, flags=re.MULTILINE)
    text = re.sub(
        r"^`(python -m bncheck figures .*?)` · (`.*`)$", r"```sh\n\1\n```\n\nIn Python: \2", text, flags=re.MULTILINE
    )
    return {"gallery.md": text.replace("(explore-batch-norm.html)", "(explorer.md)")}


def _figure(drawn: re.Match[str]) -> str:
    return f"```{{image}} ../figures/{drawn[2]}\n:alt: {drawn[1]}\n:loading: lazy\n```"


EXPLORER = """# The explorer

One page to project or to play with: values above each node of the graph, gradients below.

```{image} ../figures/explore-batch-norm.png
:alt: The explorer: a graph with values and gradients
:target: explore-batch-norm.html
```

<a href="explore-batch-norm.html"><strong>Open it</strong></a>, on a phone too, and

- drag or type x, dy, γ, β, ε and m, and watch every value and gradient follow;
- step through the reverse sweep, with the arithmetic of each node;
- see the paths of dx as bars that add up;
- compare training with evaluation, and see where an activation saturates;
- *Find the bug*: a hidden edit of the derived program, of the [kind that has a name](bugs/index.md);
- *Judge mine*: a pasted dx is judged element by element, by the tolerance of its own rounding.

It is one file that needs no network and no server; its address holds its state. For another layer, or one of your own:

```sh
python -m bncheck explore layer_norm --output layer-norm.html --lang zh --open
python -m bncheck explore mine.py:my_norm --open
```
"""


# What there is to call.

ROOMS = {
    "Functions": (
        "What one calls. Layers and layouts may be named. `Array` is one of NumPy, `Gradients` maps names to such, "
        "`Vjp` is a function of a `Case` that returns them, and `Forward` one of x and the parameters that returns y.",
        ("api",),
    ),
    "Cases and layouts": ("On which inputs?", ("case", "inputs.recipes", "inputs.strategies")),
    "Layers": ("What is a layer?", ("layers",)),
    "Results": (
        "What comes back. `verdict`, `conforms` and `consistent` mean the same on each, and what is correct is true.",
        ("tolerances.verdicts", "results"),
    ),
    "Derivations": ("The gradients as formulas.", tuple(home for home in PUBLIC if home.startswith("oracles."))),
    "Errors": ("All of them are of one kind, with a message of one line.", ("errors",)),
}
"""What is public, by the modules that hold it; others come last."""


def reference() -> dict[str, str]:
    """What is public, and every command with its options."""
    shown = {home for _, homes in ROOMS.values() for home in homes}
    rooms = {**ROOMS, "More": ("", tuple(home for home in PUBLIC if home not in shown))}
    python = "# From Python\n\nAll of it is imported from `bncheck`; what is not on this page may change.\n"
    for title, (about, homes) in rooms.items():
        entries = [_entry(name) for home in homes for name in PUBLIC[home]]
        python += f"\n## {title}\n\n{about}\n\n" + "\n".join(entries) if entries else ""
    return {"reference/python.md": python, "reference/command-line.md": _commands()}


def _entry(name: str) -> str:
    thing = getattr(bncheck, name)
    if inspect.isclass(thing):
        lines = [
            f".. autoclass:: bncheck.{name}",
            "   :members:",
            "   :undoc-members:",
            "   :inherited-members: Exception, str",
        ]
    elif callable(thing):
        lines = [f".. autofunction:: bncheck.{name}"]
    else:
        names = textwrap.fill(", ".join(f"``{each}``" for each in thing), 110)
        lines = [f".. py:data:: bncheck.{name}", "", textwrap.indent(f"By name: {names}.", "   ")]
    return _block("{eval-rst}", "\n".join(lines)) + "\n"


def _commands() -> str:
    group = typer.main.get_command(program)
    names = group.list_commands(typer.Context(group))  # type: ignore[attr-defined]
    codes: dict[int, list[str]] = {}
    for verdict, status in STATUS.items():
        codes.setdefault(status, []).append(verdict)
    codes |= {2: ["bad usage, told in one line"], 130: ["interrupted"], 143: ["terminated"]}
    statuses = "".join(f"| {code} | {', '.join(verdicts)} |\n" for code, verdicts in sorted(codes.items()))
    parts = [_COMMANDS, _block("text", printed("--help"))]
    for name in names:
        parts += [f"## bncheck {name}", _block("text", printed(name, "--help"))]
    return "\n\n".join([*parts, f"## Exit status\n\n| status | verdict |\n|--:|---|\n{statuses}"])


_COMMANDS = """# From the command line

`bncheck` and `python -m bncheck` are the same. What is printed for people fits 80 columns, or a narrower terminal; what
is wrong with a command is told in one line."""


def printed(*arguments: str) -> str:
    """What a command of bncheck prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        run(list(arguments))
    return textwrap.dedent(out.getvalue()).strip()


def make() -> None:
    """Writes the pages, those that have changed."""
    os.environ["COLUMNS"] = "80"
    COPIES.mkdir(exist_ok=True)
    shutil.copy(FIGURES / "explore-batch-norm.html", COPIES)
    pages = {**bugs(), **gallery(), "explorer.md": EXPLORER, **reference()}
    for stale in set((DOCS / "bugs").glob("*.md")) - {DOCS / name for name in pages}:
        stale.unlink()
    for name, text in pages.items():
        place = DOCS / name
        place.parent.mkdir(exist_ok=True)
        if not place.exists() or place.read_text(encoding="utf-8") != text:
            place.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Makes the pages before Sphinx looks for any."""
    make()
    app.config.html_extra_path = [str(COPIES)]
    return {"parallel_read_safe": True}
