"""The bugs that the page hides in a layer: those of the catalogue, in English as there, and in Chinese."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from bncheck.bugs.catalogue.bug import Bug
from bncheck.bugs.edits import BACKWARD, SAVED, Edit
from bncheck.bugs.expressions import Expression, Name, exchanged, power, put
from bncheck.bugs.planting import bugs_of, shown
from bncheck.bugs.programs import Program, Steps
from bncheck.bugs.words import told
from bncheck.case import Case
from bncheck.figures.studio.look import Words
from bncheck.layers import Layer
from bncheck.tolerances.bounds import computed_truth, tolerance

CHINESE: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "zero": ("dx 为零", "返回算出的梯度。"),
        "mean-path-missing": ("缺少经过均值的路径", "减去组内 dx̂ 的均值：x 也通过 μ 影响 y。"),
        "variance-path-missing": ("缺少经过方差的路径", "减去 x̂·mean(dx̂·x̂)：x 也通过方差影响 y。"),
        "statistics-constant": ("均值和方差被当作常数", "对 μ 和 σ² 也要求导：二者都依赖 x。"),
        "mean-path-doubled": ("经过均值的路径减了两次", "dx̂ 的均值只减一次；含 Σ(x − μ) 的项恒为零，没有贡献。"),
        "variance-path-doubled": (
            "经过方差的路径减了两次：漏掉了根号导数的 ½",
            "√ 的导数是其倒数的 ½；与 (x − μ)² 的 2 相乘得 1。",
        ),
        "path-sign": ("经过统计量的两条路径符号相反", "两者都应减去：x 变大会抬高 μ 和 σ²，使每个 x̂ 变小。"),
        "mean-path-own-sample": ("经过均值的路径只算了自身样本，没有对全组求和", "先对全组的 dx̂ 求和，再除以 m。"),
        "exponent-wrong": (
            "指数 −3/2 写成了 ** -3 / 2：立方减半，却没有开方",
            "给指数加括号：(var + eps) ** (-3 / 2)，或用 inv_std ** 3。",
        ),
        "exponent-sign": ("指数 −3/2 丢了负号：σ⁻³ 成了 σ³", "应除以 s 的立方：(var + eps) ** -1.5。"),
        "ddof": ("反向传播除以了 m − 1", "除以 m，与均值和总体方差一致。"),
        "count-wrong": ("反向传播所除的不是组的大小", "除以一个均值所覆盖的元素个数：图像是 N·H·W。"),
        "gamma-missing": ("dx 没有乘 γ", "先用 γ 乘 dy：dx̂ = γ·dy。"),
        "gamma-twice": ("dx 乘了两次 γ", "只乘一次 γ。"),
        "returns-dxhat": ("返回的是 dx̂ 而不是 dx", "继续算：除以 s，再减去经过统计量的路径。"),
        "returns-dy": ("返回的是 dy 而不是 dx", "对这一层求导。"),
        "eps-missing-in-backward": ("反向传播漏了 ε", "反向传播也要用前向传播中带 ε 的 inv_std。"),
        "eps-mismatch": ("反向传播与前向传播用了不同的 ε", "把 ε（最好是 inv_std）从前向传给反向。"),
        "eps-outside-sqrt": ("ε 加在标准差上，在根号之外", "先把 ε 加到方差上，再开方。"),
        "eps-twice": ("ε 加了两次，根号内外各一次", "ε 只加一次，加到方差上。"),
        "eps-missing": ("漏了 ε", "把 ε 加到方差上。"),
        "eps-ignored": ("前向和反向用的都不是给定的 ε", "把调用者的 ε 传下去，不要另写常数。"),
        "eps-outside-in-forward-only": (
            "ε 加在根号之外，而反向传播按 ε 在根号之内求导",
            "把 ε 加到方差上；或对 √σ² + ε 求导：其斜率是 1/(2·√σ²)，不是 1/(2·s)。",
        ),
        "max-for-plus": ("方差以 ε 为下限截断，而不是加上 ε", "把 ε 加到方差上：√(var + eps)。"),
        "var-for-std": ("除以的是方差：漏了开方", "除以 √(var + eps)。"),
        "std-for-var": ("该是方差的地方存了标准差", "保存方差；只开一次方，并带上 ε。"),
        "ddof-forward": (
            "前向传播用无偏方差做标准化",
            "除以 m：var(unbiased=False)，ddof=0。只有某些框架的滑动方差是无偏的。",
        ),
        "ddof-in-forward-only": (
            "前向传播除以无偏方差，而反向传播按总体方差求导",
            "方差中除以 m：var(unbiased=False)，ddof=0。",
        ),
        "reduced-by-mean": (
            "dγ 和 dβ 取了平均，而不是求和",
            "对 γ、β 所共享的每个轴求和；损失函数已经做过平均。",
        ),
        "not-reduced": ("dγ 和 dβ 没有求和", "对 γ、β 所共享的每个轴求和。"),
        "dgamma-not-xhat": ("dγ 对 dy·y 求了和", "dy 应乘以 γ 所乘的 x̂，而不是 y。"),
        "dgamma-from-x": ("dγ 对 dy·x 求了和", "dy 应乘以 x̂，而不是 x。"),
        "dgamma-from-centred": ("dγ 对 dy·(x − μ) 求了和：漏除以 s", "dy 应乘以 x̂，即除以 s 之后的值。"),
        "dbeta-not-dy": ("dβ 对 y 而不是 dy 求了和", "对上游梯度 dy 求和。"),
    }
)
"""What is wrong, and the way to mend it, for every bug that an edit plants in one group."""


def offered(layer: Layer, case: Case) -> tuple[Bug, ...]:
    """The bugs that an edit of the layer's programs plants, that a case shows, and that have a name in Chinese."""
    bugs = {name: bug for name, bug in bugs_of(layer, case).items() if not bug.effect and name in CHINESE}
    allowed = {name: radius.radius for name, radius in tolerance(layer, case).items()}
    revealed = shown(layer, case, computed_truth(layer, case), allowed, bugs)
    return tuple(bug for name, bug in bugs.items() if revealed[name])


def title(bug: Bug) -> Words:
    """What is wrong."""
    return Words(bug.words, CHINESE[bug.id][0])


def explanation(bug: Bug) -> Words:
    """How it is mended."""
    return Words(bug.fix, CHINESE[bug.id][1])


def term(edit: Edit, right: Program) -> Words:
    """The equation with the bug, and as it should be."""
    wrong, expected = (text.removesuffix(_BACKWARD) for text in told(edit, right))
    en, zh = (_BACKWARD, "（仅在反向传播中）") if edit.side == SAVED else ("", "")
    return Words(f"{wrong}{en}; right: {expected}", f"{wrong}{zh}；正确：{expected}")


_BACKWARD = " in the backward pass"


def place(edit: Edit, right: Program, graph: Program) -> str:
    """The node of the elementary graph whose value or gradient is edited, by the label of its step.

    In a step of the forward pass it is the innermost one that the edit is in.
    """
    label = edit.step.removeprefix("∂")
    if edit.side == BACKWARD and (label in graph.forward or label not in right.forward):
        return label
    nodes = {_whole(Name(step), graph.forward): step for step in graph.forward}
    step = Name(label) if edit.side == BACKWARD else right.forward[label]
    within = [_whole(part, right.forward) for part in _around(step, edit.equation)]
    inner = [nodes[e] for part in within for e in (part, power(part, -1)) if e in nodes]
    return inner[-1] if inner else "y"


def _around(was: Expression, now: Expression) -> Iterator[Expression]:
    """All parts of an expression that hold everything in which it differs from another, from the whole inwards."""
    yield was
    if len(was.parts) == len(now.parts):
        differing = [k for k, parts in enumerate(zip(was.parts, now.parts, strict=True)) if parts[0] != parts[1]]
        if len(differing) == 1 and put(was, (differing[0],), now.parts[differing[0]]) == now:
            yield from _around(was.parts[differing[0]], now.parts[differing[0]])


def _whole(expression: Expression, steps: Steps) -> Expression:
    """An expression with every step written out in the inputs."""
    for name in reversed(tuple(steps)):
        expression = exchanged(expression, {name: steps[name]})
    return expression
