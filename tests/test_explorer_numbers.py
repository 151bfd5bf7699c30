"""The explorer's JavaScript, run in Node, against bncheck's own oracles; its radii against Arb and bncheck's."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from explorer import ANSWERS, BUGS, NODE, PLAIN, case, ran, states

from bncheck.bugs.catalogue import BUGS as CATALOGUE
from bncheck.bugs.planting import bugs_of
from bncheck.bugs.programs import elementary, ran_backward, ran_forward
from bncheck.case import Case
from bncheck.errors import InvalidInput
from bncheck.explorer.bugs import CHINESE
from bncheck.explorer.numbers import GROUP, RUNNING, key, script, start
from bncheck.figures.graph_three_paths import paths
from bncheck.formats import Format
from bncheck.layers import LAYERS, Layer, find_layer
from bncheck.oracles import ball, graph
from bncheck.tolerances.bounds import computed_truth, tolerance
from bncheck.tolerances.intervals import Radius
from bncheck.tolerances.verdicts import Verdict, compare

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")

OWN = """
def unnamed(x, eps=1e-5, *, mean, sqrt):
    c = x - mean(x)
    v = mean(c * c)
    return {"v": v, "y": c / sqrt(v + eps) + mean(x * x) / 4}

def gated(x, gamma=1, eps=1e-5, *, mean, sqrt):
    ms = mean(x * x)
    n = x / sqrt(ms + eps)
    return {"mean_square": ms, "xhat": n, "y": n * gamma * x + mean(n * x) * gamma}

def shifted(x, gamma=1, delete=0, eps=1e-5, *, mean, sqrt, count, power=2.5):
    moved = x + gamma
    middle = mean(moved * 2)
    c = -(moved - middle / 3)
    spread = mean(c**2)
    root = sqrt(sqrt(spread + eps) + 2 * eps)
    y = c / root * power + delete * gamma / count
    return {"var": spread, "mu": middle, "wide": y * y, "std": root, "y": y}
"""
"""Means without a name, results in another order than they are computed in, one behind y, settings, reserved words."""

FORMULAS = ("batch_norm", "rms_norm", "unnamed", "gated", "shifted")
"""Layers with formulas of their own; the others are batch norm on other axes."""

DOUBLES = Format.of("float64")

Array = np.ndarray[Any, Any]
Answered = list[tuple[Case, dict[str, Any]]]
Check = Callable[[Layer, Answered], None]


@pytest.fixture(scope="session")
def layer_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Layer]:
    path = tmp_path_factory.mktemp("own") / "own.py"
    path.write_text(OWN)
    return cache(lambda name: LAYERS[name] if name in LAYERS else find_layer(f"{path}:{name}"))


@cache
def printed(layer: Layer) -> str:
    return script(layer)


@cache
def shown(layer: Layer) -> Any:
    """All of `LAYER` that is no function."""
    return ran(printed(layer), "() => LAYER", None)


@cache
def answered(layer: Layer, source: str = "", number: int = 200) -> Answered:
    drawn = states(layer, number)
    answers = ran(source or printed(layer), ANSWERS, drawn)
    return [(case(layer, state), answer) for state, answer in zip(drawn, answers, strict=True)]


@cache
def truths(layer: Layer, number: int) -> list[Any]:
    return [ball.vjp(layer, case(layer, state)) for state in states(layer, number)]


def arrays(given: dict[str, Any]) -> dict[str, Array]:
    return {name: np.array(value, dtype=np.float64) for name, value in given.items()}


def parts(judged: Any, *names: str) -> list[Array]:
    """Fields of one object, or of one for each element, as an array each."""
    each = judged if isinstance(judged, list) else [judged]
    return [np.array([float(one[name]) for one in each]) for name in names]


def gradients_are_right(layer: Layer, answers: Answered) -> None:
    for (group, answer), truth in zip(answers, truths(layer, len(answers)), strict=True):
        allowed = {name: radius.radius for name, radius in tolerance(layer, group).items()}
        verdicts = {comparison.verdict for comparison in compare(arrays(answer["given"]), truth, allowed).values()}
        assert verdicts <= {Verdict.CORRECT, Verdict.INCONCLUSIVE}
        assert "wrong" not in answer["verdicts"].values()


def values_are_numpys(layer: Layer, answers: Answered) -> None:
    """To the bit where NumPy adds in the same order; every gradient on the way is that of the graph oracle."""
    program, labels = elementary(layer, GROUP, layer.parameters)
    for group, answer in answers:
        values, _ = ran_forward(program, group.x, group.given(), group.eps)
        gradients = ran_backward(program, values, group.dy)
        sweep = graph.sweep(layer, group)
        for node, label in labels.items():
            if key(label) not in answer["gradients"]:
                continue
            value, gradient = (np.array(answer[which][key(label)]) for which in ("values", "gradients"))
            if group.count < 8:
                assert np.array_equal(value, np.reshape(values[label], value.shape)), label
                returned = gradients.get(f"d{label}", gradient)
                assert np.array_equal(gradient, np.broadcast_to(np.squeeze(returned), gradient.shape)), label
            if not np.ndim(sweep.values[node]):
                continue  # made of ε alone: the oracle leaves out its gradient
            midpoint, radius = parts(answer["radii"]["gradients"][key(label)], "midpoint", "radius")
            assert (np.abs(midpoint - np.ravel(sweep.gradients[node])) <= radius).all(), label


def shares_add_up(layer: Layer, answers: Answered) -> None:
    edges = shown(layer)["edges"]
    for _, answer in answers:
        for tail in {edge["tail"] for edge in edges}:
            shares = [np.array(sent["value"]) for sent in answer["sends"] if edges[sent["edge"]]["tail"] == tail]
            close(shares, np.array(answer["gradients"][tail]))
        close([np.array(way) for way in answer["ways"].values()], np.array(answer["given"]["dx"]))


def close(shares: list[Array], whole: Array) -> None:
    assert np.abs(sum(shares) - whole).max() <= 1e-13 * max(float(np.abs(share).max()) for share in shares)


def radii_enclose(layer: Layer, answers: Answered) -> None:
    """They hold the truth, are no narrower than bncheck's tolerance and hardly wider."""
    for (group, answer), truth in zip(answers, truths(layer, len(answers)), strict=True):
        own, widest = tolerance(layer, group), 4 if layer.name in LAYERS else 5
        for name, judged in answer["judged"].items():
            midpoint, radius = parts(judged, "truth", "radius")
            distance = truth[name].distance(midpoint.reshape(truth[name].value.shape)).ravel()
            least = np.ravel(own[name].radius)
            assert ((distance <= radius / 2) & (least <= radius) & (radius <= widest * least)).all(), name


CHECKS = (gradients_are_right, values_are_numpys, shares_add_up, radii_enclose)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", FORMULAS)
def test_random_states_are_answered_right(layer_of: Callable[[str], Layer], name: str, check: Check) -> None:
    check(layer_of(name), answered(layer_of(name), number=200 if name in LAYERS else 30))


OPERATIONS: dict[str, tuple[str, Callable[..., Any]]] = {
    "add": ("RADII.add(a, b)", lambda a, b: a + b),
    "sub": ("RADII.sub(a, b)", lambda a, b: a - b),
    "mul": ("RADII.mul(a, b)", lambda a, b: a * b),
    "div": ("RADII.div(a, b)", lambda a, b: a / b),
    "number": ("RADII.div(RADII.add(0.1, a), RADII.mul(3, b))", lambda a, b: (0.1 + a) / (3 * b)),
    "root": ("RADII.power(a, 1, 1)", lambda a, b: a.sqrt()),
    "powers": ("RADII.power(a, 1, -3)", lambda a, b: 1 / (a.sqrt() * a.sqrt() * a.sqrt())),
    "sum": ("RADII.sum(a)", lambda a, b: a.sum((0,))),
    "mean": ("RADII.mean(b)", lambda a, b: b.mean((0,))),
}
"""What is asked of RADII, and the same in Python."""


def intervals(seed: int) -> Array:
    """Midpoints and radii of two arrays: exact or wide, around zero or far from it, up to where doubles end."""
    rng = np.random.default_rng(seed)
    midpoints = rng.normal(size=(2, 7)) * 10.0 ** rng.choice([-200, -3, 0, 3, 200], size=(2, 7))
    return np.stack([midpoints, np.abs(midpoints) * rng.choice([0, 1e-16, 1e-3, 0.7, 2], size=(2, 7))])


def rules_are_pythons(source: str) -> None:
    """Each rule of RADII gives the interval that `Radius` gives."""
    asked = [intervals(seed).tolist() for seed in range(60)]
    own = ", ".join(f"{name}: {question}" for name, (question, _) in OPERATIONS.items())
    lifted = "[0, 1].map(k => midpoints[k].map((midpoint, i) => ({midpoint, radius: radii[k][i]})))"
    answers = ran(
        source, f"all => all.map(([midpoints, radii]) => {{ const [a, b] = {lifted}; return {{{own}}}; }})", asked
    )
    for (midpoints, radii), answer in zip(map(np.array, asked), answers, strict=True):
        a, b = (Radius(midpoints[k], radii[k], DOUBLES) for k in (0, 1))
        for name, (_, operation) in OPERATIONS.items():
            with np.errstate(all="ignore"):
                right = operation(a, b)
            for got, own_ in zip(
                parts(answer[name], "midpoint", "radius"), (right.midpoint, right.radius), strict=True
            ):
                np.testing.assert_allclose(got, own_, rtol=1e-13, err_msg=name)


def test_each_rule_of_the_algebra_is_that_of_python() -> None:
    rules_are_pythons(printed(LAYERS["rms_norm"]))


def test_layers_that_reduce_other_axes_are_batch_norm_here() -> None:
    plain = LAYERS["batch_norm"]
    own = {"name", "start", "evaluate"}
    for name in ("layer_norm", "instance_norm", "group_norm"):
        layer = LAYERS[name]
        assert {n for n in shown(layer) if shown(layer)[n] != shown(plain).get(n)} <= own
        pairs = zip(answered(layer, number=20), answered(plain, number=20), strict=True)
        assert all(answer == right for (_, answer), (_, right) in pairs)
    assert set(PLAIN) == {"batch_norm", "layer_norm", "instance_norm", "group_norm", "rms_norm"}


@pytest.mark.parametrize("name", ["batch_norm", "rms_norm"])
def test_ways_are_what_flows_while_the_other_statistics_stand_still(name: str) -> None:
    layer = LAYERS[name]
    for group, answer in answered(layer)[:20]:
        right = paths(layer, group)
        assert list(answer["ways"]) == list(right)
        scale = max(float(np.abs(way).max()) for way in right.values())
        for way, got in answer["ways"].items():  # a way is a difference there
            assert np.abs(np.array(got) - right[way]).max() <= 1e-11 * scale


@pytest.mark.parametrize(
    ("old", "new", "checks"),
    [
        ("A.sub(v.x, v.mean)", "A.add(v.x, v.mean)", {"values_are_numpys", "gradients_are_right"}),
        ("d.mean = A.mul(-1, ", "d.mean = A.mul(1, ", {"values_are_numpys", "gradients_are_right", "shares_add_up"}),
        ('"mean": A.div(d.mean, v.m)', '"mean": A.mul(d.mean, v.m)', {"shares_add_up"}),
        ("  A.sum(d.y),\n],", "  A.mean(d.y),\n],", {"shares_add_up"}),
        ("(radius + roundings * ROUNDOFF * size", "(radius - roundings * ROUNDOFF * size", {"rules_are_pythons"}),
        ("2 * ROUNDOFF * (magnitude(a)", "ROUNDOFF * (magnitude(a)", {"rules_are_pythons"}),
        ("+ a.radius * b.radius", "", {"rules_are_pythons"}),
        ("Math.abs(b.midpoint) * a.radius", "Math.abs(b.midpoint) * b.radius", {"rules_are_pythons", "radii_enclose"}),
        ("Math.abs(midpoint) * b.radius) / nearest", "b.radius) / nearest", {"rules_are_pythons"}),
        ("Math.min(middle + low", "Math.max(middle + low", {"rules_are_pythons"}),
        ("growth / (1 - growth) * partial", "0", {"rules_are_pythons"}),
        ("(mean.radius + weighed)", "mean.radius", {"rules_are_pythons"}),
        ("radius = 2 * allowed", "radius = 0 * allowed", {"radii_enclose", "gradients_are_right"}),
        ("radius = 2 * allowed", "radius = 20 * allowed", {"radii_enclose"}),
    ],
)
def test_a_changed_script_is_caught(old: str, new: str, checks: set[str]) -> None:
    layer = LAYERS["batch_norm"]
    source = printed(layer).replace(old, new)
    assert source != printed(layer)
    questions = {check.__name__: partial(check, layer, answered(layer, source, 20)) for check in CHECKS}
    failed = set()
    for name, question in {**questions, "rules_are_pythons": partial(rules_are_pythons, source)}.items():
        try:
            question()
        except AssertionError:
            failed.add(name)
    assert checks <= failed


@cache
def bugged(layer: Layer, number: int = 10) -> Answered:
    """What the bugs answer at the start, and to random states."""
    group = start(layer)
    params = {name: float(value) for name, value in group.parameters.items()}
    begun = {"x": group.x.tolist(), "dy": group.dy.tolist(), "params": params, "eps": group.eps}
    drawn = [begun, *states(layer, number, 1)]
    return [(case(layer, s), a) for s, a in zip(drawn, ran(printed(layer), BUGS, drawn), strict=True)]


@pytest.mark.parametrize("name", FORMULAS)
def test_a_bug_answers_what_the_planted_one_answers(layer_of: Callable[[str], Layer], name: str) -> None:
    layer = layer_of(name)
    for group, answers in bugged(layer):
        for slug, answer in answers.items():
            right = CATALOGUE[slug].vjp(group, layer)
            for gradient, value in arrays(answer["given"]).items():
                if group.count < 8:
                    assert np.array_equal(value, right[gradient], equal_nan=True), (slug, gradient)
                else:  # NumPy adds eight numbers in pairs
                    np.testing.assert_allclose(value, right[gradient], rtol=1e-5, atol=1e-12, err_msg=slug)


@pytest.mark.parametrize("name", FORMULAS)
def test_every_bug_shows_at_the_start_and_its_verdicts_are_bnchecks(
    layer_of: Callable[[str], Layer], name: str
) -> None:
    layer = layer_of(name)
    (_, begun), *_ = bugged(layer)
    assert {slug for slug, answer in begun.items() if "wrong" not in answer["verdicts"].values()} == set()
    wrong = 0
    for group, answers in bugged(layer):
        truth, own = computed_truth(layer, group), tolerance(layer, group)
        for slug, answer in answers.items():
            limits = ({name: scale * radius.radius for name, radius in own.items()} for scale in (0, 5))
            strict, loose = (compare(arrays(answer["given"]), truth, limit) for limit in limits)
            for gradient, verdict in answer["verdicts"].items():
                wrong += verdict == "wrong"
                if verdict == "wrong":
                    assert strict[gradient].verdict is Verdict.WRONG, (slug, gradient)
                else:
                    assert loose[gradient].verdict is not Verdict.WRONG, (slug, gradient)
    assert wrong > 100


@pytest.mark.parametrize("name", FORMULAS)
def test_every_bug_has_a_place_and_its_words_in_both_languages(layer_of: Callable[[str], Layer], name: str) -> None:
    layer = layer_of(name)
    bugs, keys = shown(layer)["bugs"], {node["key"] for node in shown(layer)["nodes"]}
    planted = {n for n, bug in bugs_of(layer, start(layer)).items() if bug.plant and not bug.effect}
    assert {bug["slug"] for bug in bugs} == planted
    assert len(planted) >= 15
    for bug in bugs:
        assert bug["label"] in keys
        assert bug["title"]["en"] == CATALOGUE[bug["slug"]].words
        for words in (bug["title"], bug["term"], bug["explanation"]):
            assert re.fullmatch("[^一-鿿]+", words["en"])
            assert re.search("[一-鿿]", words["zh"]), bug["slug"]


def test_the_chinese_table_has_nothing_to_spare() -> None:
    offered = {bug["slug"] for name in ("batch_norm", "rms_norm") for bug in shown(LAYERS[name])["bugs"]}
    assert set(CHINESE) == offered


def test_a_bug_is_where_the_edit_is() -> None:
    places = {bug["slug"]: bug["label"] for bug in shown(LAYERS["batch_norm"])["bugs"]}
    assert {slug: places[slug] for slug in ("eps-missing", "eps-outside-sqrt", "std-for-var", "exponent-sign")} == {
        "eps-missing": "add",
        "eps-outside-sqrt": "sqrt",
        "std-for-var": "var",
        "exponent-sign": "var",
    }
    assert {places[slug] for slug in ("gamma-missing", "dbeta-not-dy", "ddof", "eps-mismatch")} == {
        "xhat",
        "beta",
        "x",
        "add",
    }


def test_evaluation_uses_what_is_stored() -> None:
    question = """states => states.map(({x, dy, params, eps}) =>
      LAYER.evaluate(NUMBERS, x, dy, params, eps, LAYER.start.running))"""
    layer, drawn = LAYERS["batch_norm"], states(LAYERS["batch_norm"], 50)
    state = {f"running_{name}": np.array(value) for name, value in RUNNING.items()}
    for given, answer in zip(drawn, ran(printed(layer), question, drawn), strict=True):
        right = graph.vjp(LAYERS["batch_norm_eval"], replace(case(layer, given), state=state))
        assert answer.keys() == right.keys()
        for name, value in arrays(answer).items():
            np.testing.assert_allclose(value, right[name], rtol=1e-13, atol=1e-13)
    assert ran(printed(LAYERS["rms_norm"]), "() => LAYER.evaluate", None) is None


JUDGED = """all => all.map(({x, dy, given}) => {
  const judged = LAYER.judge(x, dy, {gamma: 1.5, beta: 0}, 1e-5, given);
  return Object.fromEntries(Object.entries(judged).map(([name, each]) => [name, LAYER.verdict(each)]));
})"""


def test_other_verdicts() -> None:
    group = {"x": [1.0, 2.0, 4.0], "dy": [1.0, -1.0, 0.5]}
    given = Case(GROUP, np.array(group["x"]), np.array(group["dy"]), {"gamma": np.array(1.5)})
    right = {name: value.tolist() for name, value in graph.vjp(LAYERS["batch_norm"], given).items()}
    asked: list[tuple[dict[str, Any], dict[str, Any], dict[str, str]]] = [
        (group, right, {"y": "correct", "dx": "correct", "dgamma": "correct"}),
        (group, {"dgamma": [right["dgamma"]], "dx": right["dx"][:2]}, {"dgamma": "wrong", "dx": "wrong"}),
        (group, {"dgamma": "NaN", "dx": right["dx"][0]}, {"dgamma": "wrong", "dx": "wrong"}),
        ({**group, "dy": [1.0, 1.0, 1.0]}, {"dx": [0, 0, 0], "dbeta": 3}, {"dx": "vacuous", "dbeta": "correct"}),
        ({"x": [1e15, 1e15 + 1, 1e15 - 2], "dy": [1e-3, -1, 0.5]}, {"dx": [0, 0, 0]}, {"dx": "vacuous"}),
        ({"x": [1e200, 0, -1e200], "dy": [1, 2, 4]}, {"dx": [7, 7, 7]}, {"dx": "inconclusive"}),
    ]
    groups = [{**state, "given": answer} for state, answer, _ in asked]
    assert ran(printed(LAYERS["batch_norm"]), JUDGED, groups) == [verdicts for *_, verdicts in asked]


def test_the_graph_of_batch_norm_reads_as_it_is_written() -> None:
    layer = shown(LAYERS["batch_norm"])
    names = ["x", "γ", "β", "μ", "x − μ", "(x − μ)²", "σ²", "σ² + ε", "s", "x̂", "γ·x̂", "y"]
    assert [node["plain"] for node in layer["nodes"]] == names
    called = {node["key"]: node["plain"] for node in layer["nodes"]}
    assert {(called[e["tail"]], called[e["head"]]): e["plain"] for e in layer["edges"]} == {
        ("x", "μ"): "1/m",
        ("x", "x − μ"): "1",
        ("μ", "x − μ"): "−1",
        ("x − μ", "(x − μ)²"): "2·(x − μ)",
        ("(x − μ)²", "σ²"): "1/m",
        ("σ²", "σ² + ε"): "1",
        ("σ² + ε", "s"): "1/(2·s)",
        ("x − μ", "x̂"): "1/s",
        ("s", "x̂"): "−(x − μ)/s²",
        ("γ", "γ·x̂"): "x̂",
        ("x̂", "γ·x̂"): "γ",
        ("γ·x̂", "y"): "1",
        ("β", "y"): "1",
    }


@pytest.mark.parametrize("name", FORMULAS)
def test_nodes_lie_on_a_grid_and_formulas_are_markup(layer_of: Callable[[str], Layer], name: str) -> None:
    layer = shown(layer_of(name))
    place = {node["key"]: (node["column"], node["row"]) for node in layer["nodes"]}
    assert len(set(place.values())) == len(place) == len({node["key"] for node in layer["nodes"]})
    assert all(place[edge["tail"]][0] < place[edge["head"]][0] for edge in layer["edges"])
    assert [layer["nodes"][k]["key"] for k in (0, -1)] == ["x", "y"]
    assert place["y"][0] == max(column for column, _ in place.values())
    for node in layer["nodes"]:
        assert (node["kind"] == "input") == (node["formula"] == "")
        for part in ("label", "formula", "gradient", "sweep"):
            ElementTree.fromstring(f"<math>{node[part]}</math>")
        assert set(node["inputs"]) == {edge["tail"] for edge in layer["edges"] if edge["head"] == node["key"]}
    for edge in layer["edges"]:
        ElementTree.fromstring(f"<math>{edge['local']}</math>")


def test_a_layer_cannot_be_changed() -> None:
    change = """() => { "use strict"; const failed = [];
      for (const change of [() => { LAYER.name = ""; }, () => { LAYER.start.x[0] = 9; }, () => { LAYER.bugs.pop(); }])
        try { change(); } catch (error) { failed.push(error.name); }
      return failed; }"""
    assert ran(printed(LAYERS["batch_norm"]), change, None) == ["TypeError"] * 3


def test_other_layers_are_refused_in_a_sentence() -> None:
    for name in ("batch_norm_eval", "batch_norm_running", "batch_norm_statistics", "layer_norm_jvp"):
        with pytest.raises(InvalidInput, match="expected a plain layer: batch_norm, layer_norm"):
            script(LAYERS[name])


def test_the_script_is_small_and_fast_and_always_the_same() -> None:
    layer = LAYERS["batch_norm"]
    assert len(printed(layer).encode()) < 60_000
    code = "import sys; from bncheck.explorer.numbers import *;"
    code += " sys.stdout.buffer.write(script(LAYERS['batch_norm']).encode())"
    other = {**os.environ, "PYTHONHASHSEED": "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"}
    again = subprocess.run([sys.executable, "-c", code], env=other, capture_output=True, check=True)
    assert again.stdout.decode() == printed(layer)
    drawn = [state for state in states(layer, 200) if len(state["x"]) == 8]
    timed = f"states => {{ const begun = performance.now(); ({ANSWERS})(states); return performance.now() - begun; }}"
    assert ran(printed(layer), timed, drawn) / len(drawn) < 16  # milliseconds, one frame
