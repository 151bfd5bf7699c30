"""What one calls from Python: the doors. Layers and layouts may be named; what comes back is data that shows itself.

The same attribute means the same thing on every result, see `bncheck.results`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Executor
from types import ModuleType
from typing import TYPE_CHECKING, Any, overload

import bncheck.report.prompt  # noqa: F401  # gives results their faces
from bncheck.campaign import run as campaign
from bncheck.case import Case, Layout, Vjp
from bncheck.errors import InvalidInput
from bncheck.examination import one_case
from bncheck.examination.examine import examine
from bncheck.examination.files import check_target, examine_all
from bncheck.examination.live import check_live
from bncheck.examination.subjects import Given
from bncheck.formats import DTYPES
from bncheck.inputs.recipes import TAME, Recipe, sampled
from bncheck.layers import LAYERS, Layer, find_layer
from bncheck.oracles.finite_difference import Forward
from bncheck.oracles.symbolic import derivation as derivations
from bncheck.oracles.symbolic import lowering
from bncheck.oracles.symbolic import proof as proofs
from bncheck.oracles.symbolic.derivation import Derivation
from bncheck.oracles.symbolic.lowering import Lowered
from bncheck.oracles.symbolic.proof import Proof
from bncheck.results import Check, Examination, Report, TargetReport
from bncheck.targets.here import asks_for_a_case
from bncheck.tolerances import bounds
from bncheck.tolerances.intervals import Radius
from bncheck.tolerances.verdicts import Verdict

if TYPE_CHECKING:
    from bncheck.figures.studio.page import Page


def _layer(layer: Layer | str) -> Layer:
    return find_layer(layer) if isinstance(layer, str) else layer


def _layout(layout: Layout | str | None, layer: Layer) -> Layout:
    if layout is None:
        return layer.layouts[0]
    return Layout.parse(layout) if isinstance(layout, str) else layout


def _options(options: Mapping[str, Any], *takers: Callable[..., Any], target: str) -> dict[str, Any]:
    """Options as those that take them want them; one that none of them takes is refused."""
    shown = (inspect.signature(taker).parameters.values() for taker in takers)
    known = [argument.name for arguments in shown for argument in arguments if argument.kind is argument.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            raise InvalidInput.unknown(f"option for {target}", name, sorted({*known, "layer"}), "Leave it out.")
    read = dict(options)
    if isinstance(read.get("layout"), str):
        read["layout"] = Layout.parse(read["layout"])
    if isinstance(read.get("dtypes"), str):
        read["dtypes"] = (read["dtypes"],)
    return read


def _name(layer: Layer | str | None) -> str | None:
    return layer.name if isinstance(layer, Layer) else layer


@overload
def check(
    target: Vjp,
    case: Case,
    *,
    forward: Forward | None = None,
    layer: Layer | str | None = None,
    rounds_once: Collection[str] = (),
) -> Check: ...


@overload
def check(target: str | ModuleType, *, layer: Layer | str | None = None, **options: Any) -> Examination: ...


@overload
def check(
    target: Any, case: Case | Recipe | None = None, *, layer: Layer | str | None = None, **options: Any
) -> TargetReport: ...


def check(
    target: Any, case: Case | Recipe | None = None, *, layer: Layer | str | None = None, **options: Any
) -> Check | TargetReport | Examination:
    """Is it the layer, and is its backward the gradient of its own forward?

    Of ``"FILE.py:NAME"``, ``"FILE.ipynb"`` or ``"package.module:NAME"``, everything there, each in a sandbox; the
    options are those of `bncheck.examination.files.check_target`. Of a class, an instance, a function, a pair
    ``(forward, backward)`` or a module, the same in this process, without limits, see `bncheck.targets.here`; the
    options are those of `bncheck.examination.live.check_live`. Of a function ``vjp(case)`` on one case, see
    `bncheck.examination.one_case.check`; without a case, on the usual ones.

    Shapes
        `vjp` answers y and dx in the shape of x, dgamma and dbeta in that of γ and β.

    Units
        A comparison's `error` and `tolerance` are absolute, `relative_error` and `ulp` relative to the largest truth.

    Returns
        A `Check` of a function on one case, an `Examination` of a text or a module, else a `TargetReport`: each has
        `verdict`, `conforms` and `consistent`, and is true where the verdict is correct; `gradients` maps each name to
        its `Finding`.

    Raises
        InvalidInput: the target is nothing that could be asked, or answers with something other than named arrays; or
            an option does not apply to it.

    Error
        Never wrong where rounding can explain it: tests/test_tolerance.py and tests/test_examination.py.

    >>> from bncheck.bugs.catalogue import BUGS
    >>> print(check(BUGS["gamma-missing"].vjp, layer="batch_norm").diagnosis[0].fix)
    Multiply dy by gamma first: dx̂ = γ·dy.
    """
    if isinstance(target, str):
        if isinstance(case, Case):
            raise InvalidInput("case", case.origin or "a Case", "a Recipe where the target is a file", _LEAVE_OUT)
        given = options if case is None else {**options, "case": case}
        known = _options(given, check_target, examine_all, target="a file")
        return examine_all([target], layer=_name(layer), **known)
    if not asks_for_a_case(target):
        known = _options(options, check_live, target="a live object")
        known |= {} if case is None else {"cases": [case]}
        reports = check_live(target, layer=_name(layer), **known)
        return Examination(known.get("seed", 0), reports) if isinstance(target, ModuleType) else reports[0]
    chosen = _layer(layer or "batch_norm")
    if case is not None:
        known = _options(options, one_case.check, target="a function of one case")
        return one_case.check(target, case.build(chosen) if isinstance(case, Recipe) else case, layer=chosen, **known)
    known = _options(options, examine, _given, target="a function of a case")
    own: dict[str, Any] = {name: known.pop(name) for name in ("layouts", "eps", "forward") if name in known}
    return examine(_given(target, chosen, **own), chosen, **known)


def _given(
    vjp: Vjp,
    layer: Layer,
    *,
    layouts: Iterable[Layout | str] = (),
    eps: float | None = None,
    forward: Forward | None = None,
) -> Given:
    return Given(vjp, tuple(_layout(one, layer) for one in layouts) or layer.layouts, forward, eps=eps)


_LEAVE_OUT = "Leave it out."


def assert_gradients(
    target: Any,
    cases: Case | Iterable[Case] | None = None,
    *,
    layer: Layer | str | None = None,
    forward: Forward | None = None,
    examples: int = 0,
    seed: int = 0,
    **options: Any,
) -> None:
    """Fails with the one-screen report unless the gradients are right; for test suites.

    `target` is what `check` takes. `cases`, for anything but a file, are one case or several, as drawn by
    `bncheck.cases`; a case that could not have told right from wrong passes. Without any, the usual ones are asked, and
    must be conclusive. Of a function ``vjp(case)``, so are `examples` more that are drawn, and `forward` is held to be
    what the backward belongs to.

    Raises
        AssertionError: wrong, unstable, crashed or not written yet; without cases of its own, also where nothing could
            be concluded.
        InvalidInput: an argument or an option does not apply to the target.

    >>> from bncheck.bugs.catalogue import BUGS
    >>> assert_gradients(BUGS["zero"].vjp)
    Traceback (most recent call last):
    AssertionError: Bug.vjp: wrong
    ...
    """
    __tracebackhide__ = True
    is_function = asks_for_a_case(target)
    if not is_function:
        which = "a file" if isinstance(target, str) else "a live object"
        for name, value in {"forward": forward, "examples": examples or None}.items():
            if value is not None:
                raise InvalidInput(name, repr(value), f"none for {which}: it has its own", _LEAVE_OUT)
    if cases is None:
        asked = options if forward is None else {**options, "forward": forward}
        result = check(target, layer=layer, seed=seed, **asked)
        if not result:
            raise AssertionError(str(result))
    if isinstance(target, str):
        if cases is not None:
            raise InvalidInput("cases", "some", "none for a file: they are chosen", "Pass the class or the functions.")
        return
    own = [cases] if isinstance(cases, Case) else list(cases or ())
    if not is_function:
        known = _options(options, check_live, target="a live object")
        for report in check_live(target, layer=_name(layer), seed=seed, cases=own, **known) if own else ():
            if report.verdict.failed or report.verdict is Verdict.UNFINISHED:
                raise AssertionError(str(report))
        return
    chosen = _layer(layer or "batch_norm")
    if cases is None:
        own = sampled(chosen, examples, seed=seed, regimes=TAME)
    elif options:
        raise InvalidInput(next(iter(options)), "given", "no options beside cases of one's own", _LEAVE_OUT)
    if own:
        report = examine(Given(target, chosen.layouts, forward), chosen, seed=seed, cases=own)
        if report.verdict.failed:
            raise AssertionError(str(report))


def verify(
    layers: Layer | str | Iterable[Layer | str] = tuple(LAYERS),
    *,
    cases: int = 80,
    seed: int = 0,
    dtypes: Iterable[str] = tuple(DTYPES),
    jobs: int = 1,
    executor: Executor | None = None,
    real_data: bool = True,
    suspects: Mapping[str, Vjp] | None = None,
    against: Iterable[str] = (),
    only: Recipe | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Proves layers, then holds every oracle, and whoever is named, against the truth, case by case.

    `cases` are drawn for each layer; `suspects` are compared, and those of the frameworks that `against` names; `only`
    runs one case instead. The work is done in so many processes as there are `jobs`, or by an `executor`: threads,
    joblib's loky, dask, MPI; the report does not depend on it. `progress` is told how many units of work are done.

    Returns
        A `Report`: its `verdict`, one `LayerReport` for each layer, and the smallest `counterexample`, if any.

    Raises
        InvalidInput: fewer than one case or job, a negative seed, an unknown layer, dtype or framework.
        MissingPackage: a framework that is not installed.

    >>> str(verify("rms_norm", cases=5, real_data=False).verdict)
    'correct'
    """
    several = [layers] if isinstance(layers, Layer | str) else list(layers)
    return campaign.verify(
        [_layer(layer) for layer in several],
        cases=cases,
        seed=seed,
        dtypes=tuple(dtypes),
        jobs=jobs,
        executor=executor,
        real_data=real_data,
        suspects=suspects,
        against=against,
        only=only,
        progress=progress,
    )


def derive(
    layer: Layer | str, layout: Layout | str | None = None, parameters: tuple[str, ...] | None = None
) -> Derivation:
    """The gradients of a layer for every size, derived from its definition; a notebook shows them as formulas.

    Math
        dx, dγ, dβ of Σ dy·y, as the chain rule's equations, as one derivative, and in closed form.

    Returns
        A `Derivation`: `chain_rule`, `direct` and `closed`, each with an equation for every gradient.

    Raises
        InvalidInput: no such layer or layout.
        InvalidDefinition: the definition does something other than the elementary operations.

    Source
        Ioffe and Szegedy, "Batch Normalization", 2015, arXiv:1502.03167, section 3: the six equations of batch norm.

    >>> print(str(derive("batch_norm")).splitlines()[-1].strip())
    ∂ℓ/∂β[c] = Σᵢ ∂ℓ/∂y[i,c]
    """
    chosen = _layer(layer)
    return derivations.derive(chosen, _layout(layout, chosen), parameters)


def prove(derivation: Derivation | Layer | str) -> Proof:
    """Whether the chain rule's equations, the derivative and the closed form of a layer are equal for every size.

    Returns
        A `Proof`: `proved`, its `steps`, and the first `failure`, if any.

    Raises
        InvalidInput: no such layer.
        InvalidDefinition: the definition does something other than the elementary operations.

    Source
        For batch norm they are held against those of Ioffe and Szegedy, 2015, arXiv:1502.03167, section 3, too.

    >>> prove("batch_norm").proved
    True
    """
    return proofs.prove(derivation if isinstance(derivation, Derivation) else derive(derivation))


def lower(layer: Layer | str, layout: Layout | str | None = None, parameters: tuple[str, ...] | None = None) -> Lowered:
    """The backward pass of a layer as NumPy source that one can read and run.

    Shapes
        dy, x: those of the layout; mean, inv_std, gamma: such that they broadcast against x.

    Returns
        A `Lowered`: its `source`, and the compiled `backward`, which takes what `arguments` names.

    Raises
        InvalidInput: no such layer or layout.
        InvalidDefinition: the definition does something other than the elementary operations.

    Error
        Within `tolerance`: tests/test_tolerance.py.

    >>> lower("batch_norm", "NC:N:C").arguments
    ('dy', 'x', 'mean', 'inv_std', 'gamma')
    """
    chosen = _layer(layer)
    return lowering.lower(chosen, _layout(layout, chosen), parameters)


def tolerance(layer: Layer | str, case: Case, rounds_once: Collection[str] = ()) -> dict[str, Radius]:
    """What a stable implementation may return on a case: `midpoint` ± `radius`, element by element.

    Shapes
        y and each gradient by name, in the case's shapes.

    Units
        Absolute, in those of the gradient; every operation may round to the case's dtype.

    Returns
        A `midpoint` and a `radius` for y and each gradient, by its name.

    Raises
        InvalidInput: no such layer, or a case of parameters that it does not have.

    Error
        tests/test_tolerance.py: never exceeded by the compiled gradient in a thousand cases of each dtype.

    Source
        Midpoint and radius: Rump, "Fast and parallel interval arithmetic", BIT 39, 1999. Sums in any order: Higham,
        "Accuracy and Stability of Numerical Algorithms", 2002, sections 3.1 and 4.2.

    >>> case = Case(LAYERS["batch_norm"].layouts[0], x=[[0.0], [2.0]], dy=[[1.0], [0.0]], eps=1.0)
    >>> bool(tolerance("batch_norm", case)["dx"].radius.max() < 1e-14)
    True
    """
    return bounds.tolerance(_layer(layer), case, rounds_once)


def draw(
    figure: str, *, preset: str = "beamer169", theme: str = "light", lang: str = "en", seed: int = 0, **choices: Any
) -> Page:
    """A figure by its name, as ``bncheck figures --list`` tells them: a `matplotlib.figure.Figure`.

    `choices` are the figure's own: `layer`, `frame`, `against`; and of one that shows a case, numbers of your own:
    `x` and `dy` of one group, `gamma`, `beta` and `eps`, or a `case`, of which the first group is drawn.

    Shapes
        x, dy: (m,); gamma, beta, eps: numbers.

    Returns
        A figure, to be saved, or shown in a notebook.

    Raises
        InvalidInput: no such figure, preset, theme or language, a choice that it does not have, or numbers that are not
            those of one group, see `bncheck.figures.studio.group.own_case`.

    >>> draw("graph-values", layer="layer_norm", x=[1, 2, 3, 4], dy=[0.5, -1, 0, 2]).origin
    'own numbers, seed 0'
    """
    from bncheck.figures import find

    plate = find(figure)
    for name in choices:
        if not plate.takes(name):
            raise InvalidInput.unknown(f"choice for {figure}", name, plate.choices, _LEAVE_OUT)
    if isinstance(choices.get("layer"), str):
        choices["layer"] = find_layer(choices["layer"])
    return plate.draw(seed=seed, preset=preset, theme=theme, lang=lang, **choices)
