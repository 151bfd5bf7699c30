/* A layer as the page asks it: what DERIVED holds, which is printed from the layer's definition, made into functions of
   one group of m elements. Forward, `params` holds a number for each parameter; values and gradients go by node. */

const LAYER = (({passes, nodes, edges, bugs, evaluation, elementary, closed, sends, ways, start, ...more}) => {
  const {parameters, settings} = more;
  const large = nodes.filter(node => node.shape === "elements").map(node => node.key);

  const inputs = (A, x, params, eps) => ({
    ...settings, eps, m: x.length, x: A.exact(x), ones: A.exact(x.map(() => 1)),
    ...Object.fromEntries(Object.entries(params).map(([name, value]) => [name, A.exact(value)])),
  });

  /** Values with those of the nodes as large as x written out for each element. */
  const whole = (A, values, m, keys = large) => {
    for (const key of keys) values[key] = A.spread(values[key], m);
    return values;
  };

  /** What a program answers: y and every gradient, by the names that bncheck has for them. */
  const answers = (A, program, x, dy, params, eps) => {
    const [forward, saved, backward] = program.map(pass => passes[pass]);
    const values = forward(A, inputs(A, x, params, eps), {});
    const known = saved === forward ? values : saved(A, inputs(A, x, params, eps), {});
    const d = backward(A, known, {y: A.exact(dy)});
    const {y, dx} = whole(A, {y: values.y, dx: d.x}, x.length, ["y", "dx"]);
    return {y, dx, ...Object.fromEntries(parameters.map(name => [`d${name}`, d[name]]))};
  };

  /** The verdict on one number: wrong outside of the radius, which is that of an answer and of the truth together. */
  const judged = (got, {midpoint: truth, radius: allowed}) => {
    const radius = 2 * allowed, distance = typeof got === "number" ? Math.abs(got - truth) : NaN;
    const verdict = radius < Infinity && !(distance <= radius) ? "wrong"
      : Math.abs(truth) <= allowed ? "vacuous"
      : radius < Math.abs(truth) ? "correct" : "inconclusive";
    return {verdict, got, truth, radius};
  };

  const forward = (A, x, params, eps) => whole(A, passes[elementary[0]](A, inputs(A, x, params, eps), {}), x.length);
  const backward = (A, values, dy) => whole(A, passes[elementary[2]](A, values, {y: A.exact(dy)}), values.m);

  /** The verdicts on some answers, by name; one of another shape is wrong. */
  const judge = (x, dy, params, eps, given) => {
    const truths = answers(RADII, closed, x, dy, params, eps);
    const each = (got, truth) => !Array.isArray(truth) ? judged(got, truth)
      : truth.map((t, i) => judged(Array.isArray(got) && got.length === truth.length ? got[i] : undefined, t));
    return Object.fromEntries(Object.entries(given).map(([name, got]) => [name, each(got, truths[name])]));
  };

  const frozen = value => {
    if (typeof value === "object" && value !== null) Object.values(Object.freeze(value)).forEach(frozen);
    return value;
  };

  return frozen({
    ...more, nodes, edges, start, forward, backward, judge,
    /** What each edge sends back: the gradient of a node is the sum over the edges that leave it. */
    sends: (A, values, gradients) => sends(A, values, gradients).map((value, edge) => ({edge, value})),
    /** dx by the last statistic on the way back to x, or direct; the ways add up to dx. */
    ways(x, dy, params, eps) {
      const values = forward(NUMBERS, x, params, eps), gradients = backward(NUMBERS, values, dy);
      const each = ways(NUMBERS, values, gradients);
      return whole(NUMBERS, each, x.length, Object.keys(each));
    },
    /** y and the gradients where the statistics are given: `running` holds the mean and the variance. */
    evaluate: evaluation && ((A, x, dy, params, eps, running) => {
      const state = Object.entries(running).map(([name, value]) => [`running_${name}`, value]);
      return answers(A, evaluation, x, dy, {...params, ...Object.fromEntries(state)}, eps);
    }),
    /** The verdict on all numbers of an answer: one that is wrong decides, else one that is correct. */
    verdict(judgement) {
      const all = [judgement].flat().map(each => each.verdict);
      return ["wrong", "correct", "inconclusive", "vacuous"].find(verdict => all.includes(verdict));
    },
    bugs: bugs.map(({program, ...bug}) => ({
      ...bug, run: (x, dy, params, eps) => answers(NUMBERS, program, x, dy, params, eps),
    })),
  });
})(DERIVED);
