"""Every sample of the documentation runs, every command and option that it names exists, and its links lead somewhere.

What a page may hold, between fences with a language:

    python               statements that run, or with >>> a session that is compared; a page shares one namespace and
                         one folder
    {code-block} python  with `:caption: mine.py`, of any language: a file of that name, which later samples find
    console              commands after $, a line that ends in \\ goes on in the next, and what they print in 80 columns
                         on both streams; … stands for what differs from run to run, alone in its line for any lines;
                         the page's folder is called /home/you; `$ echo $?` compares an exit status
    sh                   what cannot run here; its commands are among those listed below
    text, json, …        what is not run; JSON, YAML and TOML are parsed

BNCHECK_RENEW=1 in the environment writes into the pages what commands print where that differs, whole, so put … in the
place of what is too long. A page with <!-- slow --> among its first lines is asked with the slow tests.
"""

from __future__ import annotations

import doctest
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from bncheck.cli.app import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MADE = ("bugs/", "gallery.md", "explorer.md", "reference/command-line.md")
"""What is made as the site is built."""

PAGES = sorted(path for path in DOCS.rglob("*.md") if not path.relative_to(DOCS).as_posix().startswith(("_", *MADE)))
OTHERS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md") if (ROOT / name).exists()]

COMMANDS = {
    "python": [sys.executable],
    "bncheck": [sys.executable, "-m", "bncheck"],
    "pytest": [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
    **{name: [name] for name in ("cat", "echo", "ls")},
}
"""What a console sample may run, and how it is run here."""

ELSEWHERE = {"cd", "dask", "export", "git", "mpiexec", "pip", "sbatch", "source", "srun"}
"""What a sample for the shell may begin a command with beside those."""

SHOWN = {"text", "json", "yaml", "toml", "ini", "csv", "html", "latex", "bibtex", "diff", "ipython", "julia", "mermaid"}
FRAMEWORKS = ("torch", "jax", "flax", "keras", "onnx", "onnxruntime", "loky", "joblib", "dask", "distributed", "mpi4py")
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,}|:{3,})(?P<info>.*)$")
SITE = "https://bncheck.readthedocs.io/en/stable/"
CODE = re.compile(
    r"https://(?:github\.com/bncheck/bncheck/(?:blob|tree|raw)|raw\.githubusercontent\.com/bncheck/bncheck)/main/"
)


class Sample(NamedTuple):
    """What stands between two fences, without their indent; `first` and `last` are the lines between them, from 0."""

    language: str
    caption: str
    body: str
    first: int
    last: int
    indent: str


def samples(text: str) -> Iterator[Sample]:
    """The samples of a page, also of those in notes and tabs."""
    lines, containers, k = text.splitlines(), list[str](), 0
    while k < len(lines):
        fence = FENCE.match(lines[k])
        k += 1
        if fence is None:
            continue
        ticks, info = fence["ticks"], fence["info"].strip()
        if info.startswith("{") and not info.startswith("{code-block}"):
            containers.append(ticks)
            continue
        if not info:
            assert ticks in containers, f"line {k}: a fence without a language"
            containers.remove(ticks)
            continue
        assert ticks[0] == "`", f"line {k}: a sample stands between backticks"
        close = next(n for n in range(k, len(lines) + 1) if n == len(lines) or lines[n] == fence["indent"] + ticks)
        assert close < len(lines), f"line {k}: a fence that does not end"
        first, caption = k, ""
        while info.startswith("{") and first < close and (option := re.match(r" *:([\w-]+):(.*)$", lines[first])):
            caption = option[2].strip() if option[1] == "caption" else caption
            first += 1
        while info.startswith("{") and first < close and not lines[first].strip():
            first += 1
        body = "".join(line.removeprefix(fence["indent"]) + "\n" for line in lines[first:close])
        language = info.removeprefix("{code-block}").strip()
        yield Sample(language, caption, body, first, close, fence["indent"])
        k = close + 1
    assert not containers, "a directive that does not end"


def needed(text: str) -> set[str]:
    """The frameworks without which a page's samples cannot run."""
    bodies = [sample.body for sample in samples(text) if sample.language in ("python", "console")]
    imported = {
        name for name in FRAMEWORKS for body in bodies if re.search(rf"^\W*(import|from) {name}\b", body, re.MULTILINE)
    }
    against = re.findall(r"--against[ =]([\w,]+)", "\n".join(bodies))
    return imported | {name for names in against for name in names.split(",")} & set(FRAMEWORKS)


def commands(body: str) -> list[tuple[str, str]]:
    """Each command of a console sample, as it is written, with what it should print."""
    found: list[tuple[str, str]] = []
    for line in body.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif found and found[-1][0].endswith("\\\n"):
            found[-1] = (found[-1][0] + line, "")
        else:
            assert found, f"a console sample begins with $, not with {line!r}"
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found


def words(command: str) -> Iterator[list[str]]:
    """The words of each simple command in a line of shell, without the variables that are set before it."""
    simple: list[str] = []
    lexer = shlex.shlex(command.replace("\\\n", " "), posix=True, punctuation_chars=True)
    for word in [*lexer, ";"]:
        if set(word) <= set("|&;()"):
            yield from [simple] if simple else []
            simple = []
        elif simple or not re.match(r"\w+=", word):
            simple.append(word)


class Console:
    """Runs commands in a folder and remembers the status of the last."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.status = folder, 0
        programs = folder.with_name(folder.name + "-programs")
        programs.mkdir()
        for name in ("python", "bncheck", "pytest"):
            (programs / name).write_text(f'#!/bin/sh\nexec {shlex.join(COMMANDS[name])} "$@"\n', encoding="utf-8")
            (programs / name).chmod(0o755)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))},
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "80",
            "KERAS_BACKEND": "torch",
        }

    def run(self, command: str) -> str:
        """What a command prints."""
        for simple in words(command):
            assert simple[0] in COMMANDS, f"{simple[0]} is none of {', '.join(COMMANDS)}, which a console sample runs"
        done = subprocess.run(
            ["sh", "-c", f"(exit {self.status})\n{command}"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            encoding="utf-8",
            timeout=300,
        )
        self.status = done.returncode
        return "".join(line.rstrip() + "\n" for line in done.stdout.splitlines()).replace(str(self.folder), "/home/you")


def agrees(expected: str, printed: str) -> bool:
    """Whether a text is the expected one, in which … stands for anything, alone in its line for any lines."""
    parts = (
        r"(?:.*\n)*?" if line == "…" else ".*?".join(map(re.escape, line.split("…"))) + r"\n"
        for line in expected.rstrip().split("\n")
    )
    return re.fullmatch("".join(parts), printed.rstrip() + "\n") is not None


def run_python(sample: Sample, namespace: dict[str, Any], path: Path) -> None:
    """Runs statements, or compares a session."""
    if ">>> " not in sample.body:
        # The lines as they are numbered on the page: there `inspect` and tracebacks find them.
        exec(compile("\n" * sample.first + sample.body, str(path), "exec"), namespace)
        return
    session = doctest.DocTestParser().get_doctest(sample.body, namespace, path.name, str(path), sample.first)
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS, verbose=False)
    failed = runner.run(session, out=told.append, clear_globs=False).failed
    namespace.update(session.globs)
    assert not failed, "".join(told)


def run_console(sample: Sample, console: Console, renew: bool) -> str:
    """Runs commands, and gives the sample with what they print now."""
    renewed = ""
    told = commands(sample.body)
    for (command, expected), (after, _) in zip(told, [*told[1:], ("", "")], strict=True):
        assert expected.strip() != "…" or after.strip() == "echo $?", f"$ {command}may print anything: ask echo $? too"
        printed = console.run(command)
        same = agrees(expected, printed)
        assert same or renew, f"$ {command}{printed}"
        renewed += f"$ {command}{expected if same else printed.rstrip() + chr(10)}"
    return renewed


PARSERS: dict[str, Callable[[str], Any]] = {"json": json.loads, "toml": tomllib.loads}
if importlib.util.find_spec("yaml"):
    import yaml  # type: ignore[import-untyped]

    PARSERS["yaml"] = yaml.safe_load


def try_page(path: Path, folder: Path, *, renew: bool = False) -> str:
    """Runs the samples of a page in a folder; the page, with what commands print now."""
    text = path.read_text(encoding="utf-8")
    lines, namespace, console = text.splitlines(keepends=True), dict[str, Any](__name__="page"), Console(folder)
    for sample in samples(text):
        if sample.caption:
            assert re.fullmatch(r"[\w-][\w.-]*", sample.caption), f"{sample.caption} is no plain name of a file"
            (folder / sample.caption).write_text(sample.body, encoding="utf-8")
        elif sample.language == "python":
            run_python(sample, namespace, path)
        elif sample.language == "console":
            body = run_console(sample, console, renew)
            indented = "".join(sample.indent + line for line in body.splitlines(keepends=True))
            lines[sample.first : sample.last] = [indented, *[""] * (sample.last - sample.first - 1)]
        elif sample.language in PARSERS:
            PARSERS[sample.language](sample.body)
        elif sample.language == "sh":
            for line in sample.body.replace("\\\n", " ").splitlines():
                for simple in words(line.partition(" #")[0] if not line.startswith("#") else ""):
                    assert simple[0] in {*COMMANDS, *ELSEWHERE}, f"{simple[0]} is no command that is known here"
        else:
            assert sample.language in SHOWN, f"{sample.language} is no language that is known here"
    return "".join(lines)


def pages() -> list[Any]:
    """Every page, the slow ones marked as such."""
    marks = {True: [pytest.mark.slow], False: []}
    return [
        pytest.param(path, id=path.relative_to(DOCS).as_posix(), marks=marks["<!-- slow -->" in path.read_text()[:300]])
        for path in PAGES
    ]


@pytest.mark.skipif(os.name == "nt", reason="the samples are for sh")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", pages())
def test_the_samples_of_a_page_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in sorted(needed(path.read_text(encoding="utf-8"))):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    renew = bool(os.environ.get("BNCHECK_RENEW"))
    renewed = try_page(path, tmp_path, renew=renew)
    if renew and renewed != path.read_text(encoding="utf-8"):
        path.write_text(renewed, encoding="utf-8")


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("```python\n>>> 1 + 1\n3\n```\n", r"Expected:\s+3\s+Got:\s+2"),
        ("```python\nassert 1 == 2\n```\n", "1 == 2|^$"),
        ("1. A step:\n\n   ```console\n   $ bncheck --version\n   bncheck 9\n   ```\n", "bncheck --version"),
        ("```console\n$ bncheck explain zero\nno\n…\n```\n", "explain zero"),
        ("```console\n$ bncheck explain zero > page && echo $?\n1\n```\n", "0\n"),
        ("```console\n$ curl example.org\n```\n", "curl is none of"),
        ("```console\n$ echo yes | tee no\n```\n", "tee is none of"),
        ("```sh\npip install bncheck && curl x\n```\n", "curl is no command"),
        ("```{code-block} python\n:caption: ../mine.py\n\nx = 1\n```\n", "no plain name"),
        ("```pyhton\nx = 1\n```\n", "pyhton is no language"),
        ("```\nx = 1\n```\n", "without a language"),
        ("```python\nx = 1\n", "does not end"),
        ("````{note}\n```python\nassert 1 == 2\n```\n````\n", "1 == 2|^$"),
    ],
)
def test_a_sample_that_is_wrong_is_told(page: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(page, encoding="utf-8")
    with pytest.raises(AssertionError, match=complaint):
        try_page(tmp_path / "page.md", tmp_path)


@pytest.mark.parametrize("page", ["```json\n{1: 2}\n```\n", "```toml\nx\n```\n", "```yaml\n- x: [\n```\n"])
def test_what_cannot_be_parsed_is_told(page: str, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(page, encoding="utf-8")
    with pytest.raises((ValueError, *([yaml.YAMLError] if "yaml" in PARSERS else []))):
        try_page(tmp_path / "page.md", tmp_path)


RIGHT = """
```{code-block} python
:caption: mine.py

print("a\\nb\\nc took 3 s")
```
```console
$ python mine.py && echo \\
    done
a
…
c took … s
done
$ python no.py 2> out
$ echo $?
2
```
```python
x = 2
def twice(x):
    return 2 * x
```
```python
>>> import inspect
>>> inspect.getsource(twice)
'def twice(x):\\n    return 2 * x\\n'
>>> x
2
```
"""


def test_a_page_that_is_right_passes_and_is_not_renewed(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(RIGHT, encoding="utf-8")
    assert try_page(tmp_path / "page.md", tmp_path, renew=True) == RIGHT


def test_what_commands_print_is_renewed(tmp_path: Path) -> None:
    stale = RIGHT.replace("c took … s\ndone\n", "d\n") + "\n- so:\n\n  ```console\n  $ cat out out\n  ```\n\nEnd.\n"
    (tmp_path / "page.md").write_text(stale, encoding="utf-8")
    renewed = try_page(tmp_path / "page.md", tmp_path, renew=True)
    assert "    done\na\nb\nc took 3 s\ndone\n$ python no.py" in renewed
    assert re.search(r"\n  \$ cat out out\n  .*/no\.py.*\n  .*/no\.py.*\n  ```\n\nEnd\.\n$", renewed)


@pytest.mark.parametrize(
    ("body", "frameworks"),
    [
        ("```python\n>>> from torch import nn\n```\n", {"torch"}),
        ("```{code-block} python\n:caption: a.py\n\nimport jax.numpy\n```\n", {"jax"}),
        ("```console\n$ bncheck verify --against keras,onnxruntime\n```\n", {"keras", "onnxruntime"}),
        ("```text\nimport torch\n```\n", set()),
    ],
)
def test_what_a_page_needs_is_seen(body: str, frameworks: set[str]) -> None:
    assert needed(body) == frameworks


OPTIONS = {
    name: {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for name, command in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]
}
"""The options of each command."""

PLUGIN = {"--bncheck-cases", "--bncheck-seed"}


def unknown(text: str) -> list[str]:
    """The commands and options of bncheck that a text names, in code or in words, and that do not exist."""
    joined = re.sub(r"\\\n\s*", " ", text)
    joined += "".join(
        f"\n$ {line}" for line in re.findall(r"^(?:\$ .*[|&;] *)?(bncheck .*)$", joined, re.MULTILINE) if " -" in line
    )
    missing = [option for option in re.findall(r"--bncheck-[\w-]+", joined) if option not in PLUGIN]
    for line in re.findall(r"(?:python -m bncheck|[`$] ?bncheck)(?: |$)([^`\n|&;#>]*)", joined, re.MULTILINE):
        command, *rest = line.split() or ["--help"]
        if re.fullmatch(r"[a-z]+", command) and command not in OPTIONS:
            missing.append(command)
        known = {"-h", "--help", *OPTIONS.get(command, {"--version"})}
        missing += [f"{command} {word}" for word in rest if word.startswith("-") and _option(word) not in known]
    return sorted(set(missing))


def _option(word: str) -> str:
    name = re.split(r"[=.,;:)\]]", word)[0]
    return "-h" if re.fullmatch(r"-+[\d.]*", name) else name  # a number, or a dash


@pytest.mark.parametrize("path", [*PAGES, *OTHERS], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_commands_and_options_that_a_page_names_exist(path: Path) -> None:
    assert unknown(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("`bncheck check mine.py --jbos 2`", ["check --jbos"]),
        ("$ python -m bncheck verfy \\\n    --cases 3", ["verfy", "verfy --cases"]),
        (
            "    bncheck derive batch_norm --only=dx -o x | python -m bncheck explain --no-such",
            ["derive -o", "explain --no-such"],
        ),
        ("pytest --bncheck-seeds 3", ["--bncheck-seeds"]),
        ("`bncheck figures graph-values --x -1,2` and `bncheck --version`; what bncheck does -- or not", []),
    ],
)
def test_an_option_that_does_not_exist_would_be_told(text: str, missing: list[str]) -> None:
    assert unknown(text.replace("    bncheck", "bncheck")) == missing


def links(text: str) -> list[str]:
    """Every absolute link of a text, without what ends the sentence."""
    return [link.rstrip(".,;:") for link in re.findall(r"https?://[^\s)>\]\"'`|]+", text)]


def dead(link: str) -> bool:
    """Whether a link leads nowhere, as far as can be seen from here: on the site and in the repository."""
    bare = link.partition("#")[0]
    if bare.startswith(SITE):
        page = bare.removeprefix(SITE)
        page = (page + "index.html" if not page or page.endswith("/") else page).replace(".html", ".md")
        return not (page.startswith(MADE) or (DOCS / page).exists())
    if CODE.match(bare):
        return not (ROOT / CODE.sub("", bare)).exists()
    return re.fullmatch(r"https://[\w-]+(\.[\w-]+)+(/[^\s<>{}\\^]*)?", link) is None


@pytest.mark.parametrize(
    "path", [*PAGES, *OTHERS, ROOT / "pyproject.toml"], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_absolute_links_lead_to_what_there_is(path: Path) -> None:
    """Of other people's sites only the form is looked at; `python -m sphinx -b linkcheck` asks them."""
    assert [link for link in links(path.read_text(encoding="utf-8")) if dead(link)] == []


def test_a_dead_link_would_be_noticed() -> None:
    assert dead(f"{SITE}start/nobody.html")
    assert dead("https://github.com/bncheck/bncheck/blob/main/no.py")
    assert dead("http://example.org")
    assert dead("https://localhost/x")
    assert not dead("https://github.com/bncheck/bncheck/blob/main/pyproject.toml#L1")
    assert not dead(f"{SITE}bugs/zero.html")
