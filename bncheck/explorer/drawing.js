// Elements, numbers and charts: no knowledge of the page's state.

const SVG = "http://www.w3.org/2000/svg";

const html = (tag, attributes = {}, ...children) => dressed(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => dressed(document.createElementNS(SVG, tag), attributes, children);

/** An element with attributes, listeners (onclick: …) and children (nodes or text). */
function dressed(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element[name] = value;
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Sets attributes, text or markup only where they change: most frames change little. */
function put(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    const written = String(value);
    if (name === "text") {
      if (element.textContent !== written) element.textContent = written;
    } else if (name === "markup") {
      if (element.markup !== written) element.innerHTML = element.markup = written;
    } else if (value === false || value === null) {
      if (element.hasAttribute(name)) element.removeAttribute(name);
    } else if (element.getAttribute(name) !== written) {
      element.setAttribute(name, written);
    }
  }
}

/** Words by their key, with what stands in braces filled in. */
function say(key, filling = {}) {
  return WORDS[key].replace(/\{(\w+)\}/g, (_, name) => filling[name]);
}

const math = markup => `<math>${markup}</math>`;

const label = key => LAYER.nodes.find(node => node.key === key);

/** How a parameter or a named value is written in plain letters. */
const plain = key => label(key)?.plain ?? (key === "eps" ? "ε" : key);

const minus = text => text.replaceAll("-", "−");

/** A number for the eye: about four digits, tiny and huge ones with their power of ten. */
function text(value) {
  const [mantissa, exponent] = parts(value);
  return exponent === null ? mantissa : `${mantissa}·10${superscript(exponent)}`;
}

const MINUS = '<mo form="prefix">−</mo>';

/** A number for a narrow column. */
function short(value, digits) {
  const magnitude = Math.abs(value);
  if (!Number.isFinite(value) || (magnitude >= 100 && magnitude < 1e5)) return text(Math.round(value));
  const small = magnitude > 0 && magnitude < 0.01;
  return minus(
    (small ? value.toExponential(digits - 2) : String(Number(value.toPrecision(digits)))).replace("e+", "e"),
  );
}

/** A number in MathML; a negative one in brackets where it stands close beside others. */
function mathNumber(value, beside = false) {
  const [mantissa, exponent] = parts(value);
  const size = `<mn>${mantissa.replace("−", "")}</mn>`;
  const power = exponent === null ? "" : `<mo>·</mo><msup><mn>10</mn><mn>${minus(String(exponent))}</mn></msup>`;
  const sign = mantissa.startsWith("−") ? MINUS : "";
  return beside && (sign || power) ? `<mrow><mo>(</mo>${sign}${size}${power}<mo>)</mo></mrow>` : sign + size + power;
}

function parts(value) {
  const magnitude = Math.abs(value);
  if (!Number.isFinite(value)) return [Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞", null];
  if (value === 0) return ["0", null];
  if (magnitude >= 1e-3 && magnitude < 1e6) {
    const written = magnitude >= 100 ? value.toFixed(2) : value.toPrecision(magnitude < 0.01 ? 3 : 4);
    return [minus(String(Number(written))), null];
  }
  const [mantissa, exponent] = value.toExponential(2).split("e");
  return [minus(String(Number(mantissa))), Number(exponent)];
}

/** Two numbers with as many digits as tell them apart, if any do. */
function apart(one, other) {
  if (one === other || text(one) !== text(other)) return [text(one), text(other)];
  for (let digits = 5; digits <= 17; digits++) {
    const [a, b] = [one, other].map(value => minus(value.toPrecision(digits)));
    if (a !== b) return [a, b];
  }
  return [text(one), text(other)];
}

const SUPERSCRIPTS = {"-": "⁻", ...Object.fromEntries([..."⁰¹²³⁴⁵⁶⁷⁸⁹"].map((sign, digit) => [digit, sign]))};

const superscript = exponent => [...String(exponent)].map(sign => SUPERSCRIPTS[sign]).join("");

/** The least number of decimals, for two digits at least, with which portions as written add up to their total. */
function addingUp(portions, total) {
  const largest = Math.max(...portions.map(Math.abs));
  const least = Math.min(12, Math.max(2, largest > 0 ? 1 - Math.floor(Math.log10(largest)) : 2));
  const addsUp = decimals => {
    const round = value => Number(value.toFixed(decimals));
    return Math.abs(portions.map(round).reduce((a, b) => a + b, 0) - round(total)) < 0.5 * 10 ** -decimals;
  };
  return Array.from({length: 4}, (_, k) => least + k).find(addsUp) ?? least + 4;
}

/** A range with some room around values, with zero in it unless they lie far from it. */
function spread(values) {
  const own = values.filter(Number.isFinite);
  let low = Math.min(...own),
    high = Math.max(...own);
  const width = high - low;
  if (low > 0 && low < 1.5 * width) low = 0;
  if (high < 0 && -high < 1.5 * width) high = 0;
  if (low > 0 && width === 0) low = 0;
  if (high < 0 && width === 0) high = 0;
  const room = 0.18 * (high - low) || 1;
  return [low - room, high + room];
}

/** Two or three round numbers within a range. */
function ticks([low, high]) {
  const raw = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(k => k * power).find(s => s >= raw);
  const first = Math.ceil(low / step);
  return Array.from({length: Math.max(0, Math.floor(high / step) - first + 1)}, (_, k) => (first + k) * step);
}

/** An element placed in a plot, in shares of its width and height. */
function placed(element, {left, right = left, top, bottom = top}) {
  const percent = share => `${100 * share}%`;
  Object.assign(element.style, {left: percent(left), top: percent(top)});
  if (right !== left) element.style.width = percent(right - left);
  if (bottom !== top) element.style.height = percent(bottom - top);
  return element;
}

/** From a value to its share of a plot's height, from the top. */
const heightIn =
  ([low, high]) =>
  value =>
    Number.isFinite(value) ? (high - value) / (high - low) : 1;

/** Horizontal lines with their numbers; zero is drawn stronger. */
function rules(range) {
  const height = heightIn(range);
  return ticks(range).map(tick =>
    placed(html("span", {class: tick === 0 ? "rule zero" : "rule"}, html("small", {}, text(tick))), {
      left: 0,
      top: height(tick),
    }),
  );
}

/** One bar between two values. */
function bar(role, left, right, from, to, height) {
  const [top, bottom] = [height(from), height(to)].sort((a, b) => a - b);
  return placed(html("span", {class: `bar-of ${role}`}), {left, right, top, bottom: Math.max(bottom, top + 1e-6)});
}

/** As many elements in a parent as asked for: those that stand there, and new ones. */
function pool(parent, count, make) {
  while (parent.children.length > count) parent.lastChild.remove();
  while (parent.children.length < count) parent.append(make(parent.children.length));
  return [...parent.children];
}

/** How many numbers stand in a row as they are; more are written smaller and shorter. */
const MANY = 6;

/** Numbers in a row, one of which stands out. */
function row(parent, values, chosen) {
  const many = values.length > MANY;
  parent.classList.toggle("many", many);
  pool(parent, values.length, () => html("output")).forEach((output, i) =>
    put(output, {text: short(values[i], many ? 2 : 3), class: i === chosen ? "chosen" : ""}),
  );
}

/** A strip of bars, one for each element, for a node of the graph; one element stands out. */
function strip(role) {
  const others = svg("path"),
    own = svg("path", {class: "chosen"});
  const element = svg("svg", {class: `strip ${role}`, preserveAspectRatio: "none", viewBox: "0 0 1 1"}, others, own);
  const show = (values, chosen) => {
    const most = Math.max(...values.map(Math.abs)) || 1;
    const height = heightIn([Math.min(0, ...values) / most - 0.06, Math.max(0, ...values) / most + 0.06]);
    const drawn = values.map((value, i) => {
      const [left, right] = [0.12, 0.88].map(share => (i + share) / values.length);
      const [top, bottom] = [height(0), height(value / most)].sort((a, b) => a - b);
      return `M${left} ${top}H${right}V${Math.max(bottom, top + 0.05)}H${left}z`;
    });
    put(others, {d: drawn.filter((_, i) => i !== chosen).join("")});
    put(own, {d: drawn[chosen] ?? ""});
  };
  return {element, show};
}
