// The arithmetic of one node: its formulas, the same with numbers put in, and what comes out.

const MATHML = "http://www.w3.org/1998/Math/MathML";

/** What in a formula stands for a number: [what, markup], the longest first, as one may be part of another. */
const NAMES = [
  ...LAYER.nodes.flatMap(node => [
    [["values", node.key], node.label],
    [["gradients", node.key], node.gradient],
  ]),
  [["sizes", "eps"], "<mi>ε</mi>"],
  [["sizes", "m"], "<mi>m</mi>"],
].sort(([, a], [, b]) => b.length - a.length);

const INDEX = /<msub>((?:(?!<msub>).)*?)<mrow><mi>[ijk]<\/mi><\/mrow><\/msub>/g;

/** A formula with numbers in place of names, those of element i, but for its `own` name; a sum is written out. */
function inNumbers(formula, own, computed, i) {
  const root = document.createElementNS(MATHML, "math");
  root.innerHTML = NAMES.filter(([, name]) => name !== own).reduce(
    (written, [[what, key], name]) => written.replaceAll(name, `<mi data-what="${what}" data-key="${key}"></mi>`),
    formula.replace(INDEX, "$1"),
  );
  for (const sign of root.querySelectorAll("munderover")) {
    const sum = sign.parentNode;
    sign.remove();
    const terms = computed.values.x.map((_, k) => filled(sum.cloneNode(true), computed, k));
    sum.innerHTML = `<mo>(</mo>${terms.map((term, k) => (k === 0 ? term : added(term))).join("")}<mo>)</mo>`;
  }
  return filled(root, computed, i).replaceAll("\u2062", "·");
}

/** The markup within an element after numbers have come to stand where names were. */
function filled(element, computed, i) {
  for (const place of element.querySelectorAll("[data-what]")) {
    const before = place.previousElementSibling;
    const tight = place.parentNode.localName === "msup" || (before !== null && before.textContent !== "(");
    const number = at(computed[place.dataset.what][place.dataset.key], i);
    place.outerHTML = `<mrow>${mathNumber(number, tight)}</mrow>`;
  }
  return element.innerHTML;
}

/** A further term of a sum; one that begins with a minus sign needs no plus. */
const added = term =>
  term.startsWith(`<mrow>${MINUS}`) ? term.replace(`<mrow>${MINUS}`, "<mo>−</mo><mrow>") : `<mo>+</mo>${term}`;

/** How a node's value and its gradient come about: parts that equal each other, as far as the sweep has come. */
function arithmetic(state, {values, gradients}) {
  const node = label(state.node),
    i = state.element;
  const computed = {values, gradients, sizes: {eps: state.eps, m: state.x.length}};
  const chain = (name, formula, result) =>
    formula
      ? [name, formula, inNumbers(formula, name, computed, i), mathNumber(at(result, i))]
      : [name, mathNumber(at(result, i))];
  return {
    value: chain(node.label, node.formula, values[node.key]),
    gradient: reached(state, node.key) ? chain(node.gradient, node.sweep, gradients[node.key]) : [node.gradient],
  };
}

/** The panel with the arithmetic of the chosen node. */
function arithmeticView(root) {
  const hint = html("p", {class: "muted"});
  const lines = {value: html("p", {class: "line value"}), gradient: html("p", {class: "line gradient"})};
  root.append(lines.value, lines.gradient, hint);
  return (state, computed) => {
    const node = label(state.node);
    lines.value.hidden = lines.gradient.hidden = !node;
    if (!node) {
      put(hint, {text: say("sweep_hint")});
      return;
    }
    const step = state.sweep ? say("step", {k: BACKWARD.indexOf(node.key) + 1, n: BACKWARD.length}) : "";
    const from = node.key === "y" ? say("arrives") : "";
    const many = node.shape === "elements" ? say("of_element", {i: state.element + 1, m: state.x.length}) : "";
    put(hint, {text: [step, many, from].filter(Boolean).join(" · ")});
    for (const [name, equals] of Object.entries(arithmetic(state, computed))) {
      const pieces = equals.filter(
        (piece, k) => k === 0 || k === equals.length - 1 || bare(piece) !== bare(equals[k + 1]),
      );
      put(lines[name], {markup: `<b>${say(name)}</b>${pieces.map(shownPiece).join(" ")}`});
    }
  };
}

/** One of several equal parts, the first without a sign before it. */
function shownPiece(piece, k) {
  const size = bare(piece).length > LONG ? "long" : "";
  return `<span class="${size}">${math((k > 0 ? "<mo>=</mo>" : "") + piece)}</span>`;
}

/** How many signs a formula may have before it is written smaller. */
const LONG = 70;

const bare = markup => markup.replace(/<[^>]*>/g, "");
