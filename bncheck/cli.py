"""The command line: commands to calls, and errors to one line each; no mathematics.

Exit status: 0 all correct, 1 wrong or unstable, 2 bad usage, 3 crashed or an internal error, 4 nothing could be
concluded, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from bncheck.errors import BncheckError, InvalidInput

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Verify the gradients of batch normalization: derived, proved, and held against a computed tolerance.",
)


class Colour(StrEnum):
    """When to colour the output."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


LayerOption = Annotated[str, typer.Option("--layer", help="A layer's name, or FILE.py:NAME for your own definition.")]


@app.command()
def verify(
    layer: Annotated[
        str | None, typer.Option(help="One layer only: its name, or FILE.py:NAME for your own definition.")
    ] = None,
    cases: Annotated[int, typer.Option(help="How many cases to generate for each layer.")] = 450,
    seed: Annotated[int, typer.Option(help="The same seed gives the same report, byte for byte.")] = 0,
    dtype: Annotated[
        list[str] | None, typer.Option(help="float64, float32 or float16; may be given more than once.")
    ] = None,
    case: Annotated[str | None, typer.Option(help="One case only, as a failing report names it.")] = None,
    format: Annotated[str, typer.Option(help="text, json or junit.")] = "text",  # noqa: A002  # the option's name
    output: Annotated[Path | None, typer.Option(help="A file to write the report to.")] = None,
    jobs: Annotated[int, typer.Option(help="How many processes work; the report does not depend on it.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the cases, and no real data.")] = False,
    color: Annotated[Colour, typer.Option(help="When to colour the text.")] = Colour.AUTO,
) -> None:
    """Prove the gradients, then hold every oracle and installed framework against the truth.

    Exit status: 0 all correct, 1 wrong or unstable, 2 bad usage, 3 crashed, 4 nothing concluded.
    """
    formats = ("text", "json", "junit")
    if format not in formats:
        raise InvalidInput("format", format, f"one of {', '.join(formats)}")
    with _destination(output) as write:
        from bncheck import verify as campaign
        from bncheck.case import DTYPES
        from bncheck.definitions import LAYERS, find_layer
        from bncheck.recipes import Recipe

        with _progress(color) as progress:
            report = campaign.verify(
                tuple(LAYERS.values()) if layer is None else (find_layer(layer),),
                cases=max(1, cases // 10) if quick and cases > 0 else cases,
                seed=seed,
                dtypes=tuple(dtype) if dtype else tuple(DTYPES),
                jobs=jobs,
                real_data=not quick,
                only=None if case is None else Recipe.parse(case),
                progress=progress,
            )
        if format == "json":
            from bncheck.report import json

            write(json.verification(report))
        elif format == "junit":
            from bncheck.report import junit

            write(junit.verification(report))
        else:
            from bncheck.report import text

            write(text.verification(report, colour=output is None and _coloured(color, sys.stdout)))
    raise typer.Exit(_STATUS[report.verdict.value])


_STATUS = {"correct": 0, "wrong": 1, "unstable": 1, "crashed": 3, "vacuous": 4, "inconclusive": 4}


@app.command()
def derive(
    layer: Annotated[str, typer.Argument(help="A layer's name, or FILE.py:NAME for your own definition.")],
    form: Annotated[str, typer.Option(help="chain-rule, direct or closed.")] = "closed",
    format: Annotated[str, typer.Option(help="unicode, latex, mathml or numpy.")] = "unicode",  # noqa: A002
    layout: Annotated[
        str | None, typer.Option(help="axes:reduced:affine, for example NCHW:NHW:C.", show_default="the layer's first")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="A file to write to.")] = None,
) -> None:
    """Print the gradients of a layer, derived from its definition, and whether they are proved.

    The numpy format is the source that bncheck runs, lowered from the closed form.
    """
    from bncheck.case import Layout
    from bncheck.definitions import find_layer

    found = find_layer(layer)
    chosen = found.layouts[0] if layout is None else Layout.parse(layout)
    styles, forms = ("unicode", "latex", "mathml", "numpy"), ("chain-rule", "direct", "closed")
    if form not in forms:
        raise InvalidInput("form", form, f"one of {', '.join(forms)}")
    if format not in styles:
        raise InvalidInput("format", format, f"one of {', '.join(styles)}")
    from bncheck.oracles.symbolic import derivation, proof
    from bncheck.report.formulas import formulas

    derived = derivation.derive(found, chosen)
    proved = proof.prove(derived)
    with _destination(output) as write:
        write(formulas(derived, proved, form, format, chosen) + "\n")
    raise typer.Exit(0 if proved.proved else 1)


@app.command()
def doctor() -> None:
    """Tell the versions, and which optional packages are installed."""
    from bncheck.report.text import doctor as report

    required = dict.fromkeys(
        ("numpy", "sympy", "python-flint", "hypothesis", "scikit-learn", "typer", "rich"), "required"
    )
    optional = {
        "torch": "pip install 'bncheck[torch]' to compare with PyTorch",
        "jax": "pip install 'bncheck[jax]' to compare with JAX",
    }
    typer.echo(report(required | optional))


@contextmanager
def _destination(output: Path | None) -> Iterator[Callable[[str], None]]:
    """Writes to standard output, or to a file that appears whole or not at all."""
    if output is None:
        yield lambda text: typer.echo(text, nl=False, color=True)
        return
    if output.is_dir():
        raise InvalidInput("output", str(output), "a file, not a folder")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
    except OSError as error:
        raise InvalidInput("output", str(output), f"a file that can be written; {error.strerror}") from error
    partial = Path(name)
    os.close(handle)
    try:
        yield lambda text: _write(partial, text)
        partial.chmod(0o644)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _coloured(choice: Colour, stream: Any) -> bool:
    if choice is not Colour.AUTO:
        return choice is Colour.ALWAYS
    return stream.isatty() and not os.environ.get("NO_COLOR")


@contextmanager
def _progress(color: Colour) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error where that is a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, no_color=not _coloured(color, sys.stderr))
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("verifying", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


_UsageError, _ClickError = typer.BadParameter.__mro__[1:3]  # click's, or typer's own copy of it


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and ends the process with its status."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """The exit status of a command line; every failure is one line on standard error."""
    command = typer.main.get_command(app)
    try:
        status = command.main(arguments, prog_name="bncheck", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", 130)
    except BncheckError as error:
        return _fail(str(error), 2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left; nothing more to say
        return 0
    except Exception as error:
        if isinstance(error, _ClickError):
            message = getattr(error, "format_message", error.__str__)()
            name = getattr(getattr(error, "ctx", None), "command_path", "bncheck")
            hint = f"Try '{name} --help'." if isinstance(error, _UsageError) else ""
            return _fail(f"{' '.join(message.split())} {hint}".strip(), 2) if message else 2
        if os.environ.get("BNCHECK_TRACEBACK"):
            raise
        return _fail(f"internal error, {type(error).__name__}: {error}. Set BNCHECK_TRACEBACK=1 for its traceback.", 3)
    return status if isinstance(status, int) else 0


def _fail(message: str, status: int) -> int:
    print(f"bncheck: {message}", file=sys.stderr)
    return status
