/* Two algebras with the same operations, so that one program runs on both: NUMBERS, plain doubles, and RADII, intervals
   midpoint ± radius that stand for all that a computation in doubles can return, in whatever order it adds.

   A value is one number for the group or an array of one for each element. The rules of RADII are those of
   bncheck/tolerances/intervals.py, which says why each is as it is. */

/** The operations on arrays, from those on single values. */
const algebra = ({exact, add, subtract, multiply, divide, root, sum, mean, exceeds}) => {
  const one = f => a => Array.isArray(a) ? a.map(f) : f(a);
  const two = f => (a, b) => Array.isArray(a)
    ? a.map((v, i) => f(v, Array.isArray(b) ? b[i] : b))
    : Array.isArray(b) ? b.map(v => f(a, v)) : f(a, b);
  const [mul, div, sqrt] = [two(multiply), two(divide), one(root)];
  return Object.freeze({
    exact: one(exact), add: two(add), sub: two(subtract), mul, div, exceeds: two(exceeds),
    sum: a => Array.isArray(a) ? sum(a) : a,
    mean: a => Array.isArray(a) ? mean(a) : a,
    /** The power of a's 2^roots-th root. */
    power(a, roots, exponent) {
      for (let k = 0; k < roots; k++) a = sqrt(a);
      let result = a;
      for (let k = 1; k < Math.abs(exponent); k++) result = mul(result, a);
      return exponent > 0 ? result : div(1, result);
    },
    spread: (a, m) => Array.isArray(a) ? a : Array(m).fill(exact(a)),
  });
};

const NUMBERS = algebra({
  exact: a => a,
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  divide: (a, b) => a / b,
  root: Math.sqrt,
  sum: terms => terms.reduce((a, b) => a + b),
  mean: terms => terms.reduce((a, b) => a + b) / terms.length,
  exceeds: (a, b) => a > b ? 1 : 0,
});

const RADII = (() => {
  const ROUNDOFF = 2 ** -53, SMALLEST = Number.MIN_VALUE, LARGEST = Number.MAX_VALUE;
  const SLACK = 1 + 2 ** -40; // a radius is rounded, too: each operation widens it by far more than that
  const interval = (midpoint, radius) => ({midpoint, radius});
  const exact = a => typeof a === "number" ? interval(a, 0) : a;
  const magnitude = a => Math.abs(a.midpoint) + a.radius;

  /** An operand; a plain number that is not whole may itself have been rounded. */
  const lifted = a => typeof a !== "number" ? a
    : interval(a, Number.isInteger(a) ? 0 : ROUNDOFF * Math.abs(a) + SMALLEST);

  /** Infinite where a result may leave the range of doubles, or is none. */
  const within = (midpoint, size, radius) => interval(midpoint, size + radius <= LARGEST ? radius : Infinity);

  const rounded = (midpoint, radius, roundings = 1) => {
    const size = Math.abs(midpoint) + radius;
    return within(midpoint, size, (radius + roundings * ROUNDOFF * size + SMALLEST) * SLACK);
  };

  const add = (a, b) => {
    [a, b] = [lifted(a), lifted(b)];
    const operands = 2 * ROUNDOFF * (magnitude(a) + magnitude(b));
    return rounded(a.midpoint + b.midpoint, a.radius + b.radius + operands, 0);
  };

  /** In any order: every partial sum is the sum of a subset. */
  const sum = terms => {
    terms = terms.map(lifted);
    const over = f => terms.reduce((total, term) => total + f(term), 0);
    const [midpoint, radius] = [over(a => a.midpoint), over(a => a.radius)];
    const partial = (over(a => Math.abs(a.midpoint)) + Math.abs(midpoint)) / 2 + radius;
    const growth = (terms.length - 1) * ROUNDOFF;
    const total = radius + growth / (1 - growth) * partial + terms.length * SMALLEST;
    return within(midpoint, partial, total * (SLACK + terms.length * 2 ** -52));
  };

  const divide = (a, b) => {
    [a, b] = [lifted(a), lifted(b)];
    const midpoint = a.midpoint / b.midpoint, nearest = Math.abs(b.midpoint) - b.radius;
    return rounded(midpoint, nearest > 0 ? (a.radius + Math.abs(midpoint) * b.radius) / nearest : Infinity);
  };

  return algebra({
    exact,
    add,
    subtract(a, b) {
      b = lifted(b);
      return add(a, interval(-b.midpoint, b.radius));
    },
    multiply(a, b) {
      [a, b] = [lifted(a), lifted(b)];
      const radius = Math.abs(a.midpoint) * b.radius + Math.abs(b.midpoint) * a.radius + a.radius * b.radius;
      return rounded(a.midpoint * b.midpoint, radius);
    },
    divide,
    root(a) {
      a = lifted(a);
      const middle = Math.sqrt(a.midpoint);
      const low = Math.sqrt(Math.max(a.midpoint - a.radius, 0)), high = Math.sqrt(a.midpoint + a.radius);
      // √b − √a = (b − a)/(√a + √b): no cancellation
      return rounded(middle, a.radius === 0 ? 0 : a.radius / Math.min(middle + low, high + middle));
    },
    sum,
    /** Each term may be divided, or weighed, before the sum. */
    mean(terms) {
      const mean = divide(sum(terms), terms.length);
      const weighed = ROUNDOFF * terms.map(lifted).reduce((total, term) => total + magnitude(term), 0) / terms.length;
      return interval(mean.midpoint, (mean.radius + weighed) * SLACK);
    },
    exceeds: (a, b) => exact(lifted(a).midpoint > lifted(b).midpoint ? 1 : 0),
  });
})();
