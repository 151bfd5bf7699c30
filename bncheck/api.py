"""What one calls from Python: the doors. Layers and layouts may be named; what comes back is data that shows itself.

The same attribute means the same thing on every result, see `bncheck.results`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, overload

import bncheck.report.prompt  # noqa: F401  # gives results their faces
from bncheck.campaign import run as campaign
from bncheck.case import Case, Layout, Vjp
from bncheck.examination import one_case
from bncheck.examination.examine import examine
from bncheck.examination.files import examine_all
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
from bncheck.tolerances import bounds
from bncheck.tolerances.intervals import Radius

if TYPE_CHECKING:
    from bncheck.figures.studio.page import Page


def _layer(layer: Layer | str) -> Layer:
    return find_layer(layer) if isinstance(layer, str) else layer


def _layout(layout: Layout | str | None, layer: Layer) -> Layout:
    if layout is None:
        return layer.layouts[0]
    return Layout.parse(layout) if isinstance(layout, str) else layout


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
def check(target: Vjp, *, layer: Layer | str | None = None, **options: Any) -> TargetReport: ...


@overload
def check(target: str, *, layer: str | None = None, **options: Any) -> Examination: ...


def check(
    target: Vjp | str, case: Case | None = None, *, layer: Layer | str | None = None, **options: Any
) -> Check | TargetReport | Examination:
    """Is it the layer, and is its backward the gradient of its own forward?

    Of a function ``vjp(case)`` on one case, see `bncheck.examination.one_case.check`; without a case, on the usual
    ones. Of ``"FILE.py:NAME"`` or ``"package.module:NAME"``, everything there, each in a sandbox; the options are those
    of `bncheck.examination.files.check_target`.

    Shapes
        `vjp` answers y and dx in the shape of x, dgamma and dbeta in that of γ and β.

    Units
        A comparison's `error` and `tolerance` are absolute, `relative_error` and `ulp` relative to the largest truth.

    Returns
        A `Check`, a `TargetReport` or an `Examination`: each has `verdict`, `conforms` and `consistent`, and is true
        where the verdict is correct; `gradients` maps each name to its `Finding`.

    Raises
        InvalidInput: the target is no address, or answers with something other than named arrays.

    Error
        Never wrong where rounding can explain it: tests/test_tolerance.py and tests/test_examination.py.

    >>> from bncheck.bugs.catalogue import BUGS
    >>> print(check(BUGS["gamma-missing"].vjp, layer="batch_norm").diagnosis[0].fix)
    Multiply dy by gamma first: dx̂ = γ·dy.
    """
    if isinstance(target, str):
        return examine_all([target], layer=layer, **options)
    chosen = _layer(layer or "batch_norm")
    if case is not None:
        return one_case.check(target, case, layer=chosen, **options)
    layouts = options.pop("layouts", chosen.layouts)
    return examine(Given(target, tuple(layouts), eps=options.pop("eps", None)), chosen, **options)


def assert_gradients(
    target: Vjp | str,
    cases: Case | Iterable[Case] | None = None,
    *,
    layer: Layer | str | None = None,
    forward: Forward | None = None,
    examples: int = 0,
    seed: int = 0,
    **options: Any,
) -> None:
    """Fails with the one-screen report unless the gradients are right; for test suites.

    `cases` are one case or several, as drawn by `bncheck.cases`; a case that could not have told right from wrong
    passes. Without any, the usual ones are asked, and must be conclusive; and `examples` more that are drawn. `forward`
    is held to be what the backward belongs to.

    Raises
        AssertionError: wrong, unstable or crashed; without cases of its own, also where nothing could be concluded.

    >>> from bncheck.bugs.catalogue import BUGS
    >>> assert_gradients(BUGS["zero"].vjp)
    Traceback (most recent call last):
    AssertionError: Bug.vjp: wrong
    ...
    """
    __tracebackhide__ = True
    if isinstance(target, str):
        examination = examine_all([target], layer=layer, seed=seed, **options)
        if not examination:
            raise AssertionError(str(examination))
        return
    chosen = _layer(layer or "batch_norm")
    own = [cases] if isinstance(cases, Case) else list(cases or ())
    if cases is None:
        report = check(target, layer=chosen, seed=seed, **options)
        if not report:
            raise AssertionError(str(report))
        own = sampled(chosen, examples, seed=seed, regimes=TAME)
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
    real_data: bool = True,
    suspects: Mapping[str, Vjp] | None = None,
    against: Iterable[str] = (),
    only: Recipe | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Proves layers, then holds every oracle, and whoever is named, against the truth, case by case.

    `cases` are drawn for each layer; `suspects` are compared, and those of the frameworks that `against` names; `only`
    runs one case instead. `progress` is told how many units of work are done, of how many.

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

    Raises
        InvalidInput: no such layer or layout.
        InvalidDefinition: the definition does something other than the elementary operations.

    Source
        Ioffe and Szegedy, "Batch Normalization", 2015, section 3, for the six equations of batch norm.

    >>> print(str(derive("batch_norm")).splitlines()[-1].strip())
    ∂ℓ/∂β[c] = Σᵢ ∂ℓ/∂y[i,c]
    """
    chosen = _layer(layer)
    return derivations.derive(chosen, _layout(layout, chosen), parameters)


def prove(derivation: Derivation | Layer | str) -> Proof:
    """Whether the chain rule's equations, the derivative and the closed form of a layer are equal for every size.

    Returns
        A `Proof`: `proved`, its `steps`, and the first `failure`, if any.

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

    Error
        tests/test_tolerance.py: never exceeded by the compiled gradient in a thousand cases of each dtype.

    >>> case = Case(LAYERS["batch_norm"].layouts[0], x=[[0.0], [2.0]], dy=[[1.0], [0.0]], eps=1.0)
    >>> bool(tolerance("batch_norm", case)["dx"].radius.max() < 1e-14)
    True
    """
    return bounds.tolerance(_layer(layer), case, rounds_once)


def draw(
    figure: str, *, preset: str = "beamer169", theme: str = "light", lang: str = "en", seed: int = 0, **choices: Any
) -> Page:
    """A figure by its name, as ``bncheck figures --list`` tells them: a `matplotlib.figure.Figure`.

    `choices` are the figure's own: `layer`, `frame`, `against`.

    Raises
        InvalidInput: no such figure, preset, theme or language.

    >>> draw("graph-staged", layer="layer_norm").get_size_inches().shape
    (2,)
    """
    from bncheck.figures import find
    from bncheck.figures.studio.look import Look

    if isinstance(choices.get("layer"), str):
        choices["layer"] = find_layer(choices["layer"])
    return find(figure).draw(Look(preset, theme, lang), seed, **choices)
