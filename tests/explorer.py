"""States of the explorer's page, what its JavaScript answers to them, and the layers that the tests ask about.

`ANSWERS` is an expression that runs wherever `script` has run before, in Node or in a browser.
"""

import json
import shutil
import subprocess
from typing import Any

import numpy as np

from bncheck.case import Case
from bncheck.explorer.numbers import GROUP
from bncheck.layers import LAYERS, Layer

NODE = shutil.which("node")

PLAIN = tuple(name for name, layer in LAYERS.items() if layer.is_plain)

_VERDICTS = """judged =>
  Object.fromEntries(Object.entries(judged).map(([name, each]) => [name, LAYER.verdict(each)]))"""

ANSWERS = f"""states => states.map(({{x, dy, params, eps}}) => {{
  const values = LAYER.forward(NUMBERS, x, params, eps), gradients = LAYER.backward(NUMBERS, values, dy);
  const given = {{y: values.y, dx: gradients.x}};
  for (const name of LAYER.parameters) given[`d${{name}}`] = gradients[name];
  const known = LAYER.forward(RADII, x, params, eps), judged = LAYER.judge(x, dy, params, eps, given);
  return {{
    values, gradients, given, judged, verdicts: ({_VERDICTS})(judged),
    sends: LAYER.sends(NUMBERS, values, gradients), ways: LAYER.ways(x, dy, params, eps),
    radii: {{values: known, gradients: LAYER.backward(RADII, known, dy)}},
  }};
}})"""
"""What the page computes of some states: values, gradients, ways, radii, and the verdicts on its own gradients."""

BUGS = f"""states => states.map(({{x, dy, params, eps}}) => Object.fromEntries(LAYER.bugs.map(bug => {{
  const given = bug.run(x, dy, params, eps);
  return [bug.slug, {{given, verdicts: ({_VERDICTS})(LAYER.judge(x, dy, params, eps, given))}}];
}})))"""
"""What each bug answers to some states, and the verdicts on that."""

_WRITTEN = 'JSON.stringify(ANSWER, (_, v) => typeof v === "number" && !Number.isFinite(v) ? String(v) : v)'
"""Numbers as they are, the infinite ones by their names, which Python reads as well."""


def states(layer: Layer, number: int, seed: int = 0) -> list[dict[str, Any]]:
    """Random states: two to eight elements, far from zero or near it, close together or wide apart."""
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(number):
        m = int(rng.integers(2, 9))
        x = rng.normal(size=m) * 10 ** rng.uniform(-3, 2) + rng.choice([0, 1, -30, 1000]) * rng.normal()
        params = {name: float(rng.normal() + rng.choice([-2, 2])) for name in layer.parameters}
        eps = float(rng.choice([1e-5, 1e-3, 1e-8, 0.1]))
        drawn.append({"x": x.tolist(), "dy": rng.normal(size=m).tolist(), "params": params, "eps": eps})
    return drawn


def case(layer: Layer, state: dict[str, Any]) -> Case:
    """The same state as bncheck has it."""
    parameters = {name: np.array(value) for name, value in state["params"].items()}
    return Case(GROUP, np.array(state["x"]), np.array(state["dy"]), parameters, state["eps"], settings=layer.settings)


def ran(source: str, function: str, argument: Any) -> Any:
    """What a function of JavaScript answers after some source has run, in one process of Node."""
    assert NODE is not None
    code = f"{source}\nconst ANSWER = ({function})({json.dumps(argument)});\nprocess.stdout.write({_WRITTEN});"
    done = subprocess.run([NODE, "-"], input=code, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)
