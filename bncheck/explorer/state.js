// The state of the page is one plain object; everything shown follows from it.

const LEAST = 2,
  MOST = 8;

/** The state in which the page begins: {x, dy, parameters, eps, running, element, node, sweep, path, hover, theme}.

    `path` is the way back to x that was chosen, `hover` the one that is pointed at, which no address keeps. */
const START = {
  x: LAYER.start.x,
  dy: LAYER.start.dy,
  parameters: LAYER.start.params,
  eps: LAYER.start.eps,
  running: LAYER.start.running,
  element: 0,
  node: null,
  sweep: false,
  path: "",
  hover: "",
  theme: "",
};

/** All that is computed from a state. */
function numbers({x, dy, parameters, eps, running}) {
  const values = LAYER.forward(NUMBERS, x, parameters, eps);
  const gradients = LAYER.backward(NUMBERS, values, dy);
  return {
    values,
    gradients,
    sends: LAYER.sends(NUMBERS, values, gradients),
    ways: LAYER.ways(x, dy, parameters, eps),
    evaluation: LAYER.evaluate && LAYER.evaluate(NUMBERS, x, dy, parameters, eps, running),
  };
}

/** The element of an array, and a number that all elements share as it is. */
const at = (value, i) => (Array.isArray(value) ? value[i] : value);

/** The order of the reverse sweep. */
const BACKWARD = LAYER.nodes.map(node => node.key).reverse();

/** Whether the sweep of a state has come to a node. */
const reached = (state, key) => !state.sweep || BACKWARD.indexOf(key) <= BACKWARD.indexOf(state.node);

/** The same state with another number of elements: the last ones go, or more of the like come. */
function resized(state, m) {
  const fit = (values, more) => Array.from({length: m}, (_, i) => (i < values.length ? values[i] : more(i)));
  const centre = state.x.reduce((sum, v) => sum + v, 0) / state.x.length;
  return {
    ...state,
    x: fit(state.x, i => rounded(centre + (i % 2 ? -0.5 : 0.75) * (i - 1))),
    dy: fit(state.dy, i => (i % 2 ? -1 : 1.5)),
    element: Math.min(state.element, m - 1),
  };
}

const rounded = (value, step = 0.01) => Number((Math.round(value / step) * step).toPrecision(12));

const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

/** What the buttons put in place of parts of the state. */
const PRESETS = {
  reset: () => START,
  random: state => ({
    x: state.x.map(() => rounded(1 + 2 * normal())),
    dy: state.dy.map(() => rounded(normal())),
    parameters: Object.fromEntries(LAYER.parameters.map(name => [name, rounded(0.5 + normal())])),
    eps: START.eps,
  }),
  constant: state => ({dy: state.dy.map(() => 1)}),
  far: state => ({x: state.x.map((_, i) => rounded(1000 + resized(START, state.x.length).x[i]))}),
  tiny: state => ({x: state.x.map((_, i) => rounded(1 + 0.002 * resized(START, state.x.length).x[i], 1e-6))}),
};

/** The address of a state: what differs from the start would be shorter, but all of it outlives another start. */
function address(state) {
  const parts = [
    ["layer", LAYER.name],
    ["x", state.x.join(",")],
    ["dy", state.dy.join(",")],
    ["eps", state.eps],
  ];
  for (const [name, value] of Object.entries(state.parameters)) parts.push([name, value]);
  for (const [name, value] of Object.entries(state.running ?? {})) parts.push([`running_${name}`, value]);
  parts.push(["element", state.element + 1]);
  if (state.node) parts.push([state.sweep ? "sweep" : "node", state.node]);
  if (state.path) parts.push(["path", state.path]);
  if (state.theme) parts.push(["theme", state.theme]);
  return "#" + parts.map(([name, value]) => `${name}=${encodeURIComponent(value).replaceAll("%2C", ",")}`).join("&");
}

/** The state of an address, and the names of its parts that could not be read; these stay as at the start. */
function restored(hash) {
  const state = {...START, parameters: {...START.parameters}, running: START.running && {...START.running}};
  const unread = [];
  const parts = [...new URLSearchParams(hash.replace(/^#/, "").replaceAll("+", "%2B"))];
  const readers = {
    x: text => {
      state.x = listed(text, state.x);
    },
    dy: text => {
      state.dy = listed(text, state.dy);
    },
    eps: text => {
      state.eps = notNegative(text);
    },
    element: text => {
      state.element = whole(text) - 1;
    },
    node: text => {
      state.node = member(text, BACKWARD);
    },
    sweep: text => {
      state.node = member(text, BACKWARD);
      state.sweep = true;
    },
    path: text => {
      state.path = member(text, WAYS);
    },
    theme: text => {
      state.theme = member(text, ["light", "dark"]);
    },
    layer: text => {
      state.layer = text;
    },
  };
  for (const name of LAYER.parameters)
    readers[name] = text => {
      state.parameters[name] = finite(text);
    };
  for (const name of Object.keys(state.running ?? {})) {
    readers[`running_${name}`] = text => {
      state.running[name] = finite(text);
    };
  }
  for (const [name, text] of parts) {
    try {
      if (!Object.hasOwn(readers, name)) throw new RangeError(name);
      readers[name](text);
    } catch {
      unread.push(name);
    }
  }
  const {layer = LAYER.name, ...rest} = state;
  if (rest.x.length !== rest.dy.length) {
    if (parts.some(([name]) => name === "dy")) unread.push("dy");
    rest.dy = resized(START, rest.x.length).dy;
  }
  if (!(rest.element >= 0 && rest.element < rest.x.length)) {
    unread.push("element");
    rest.element = 0;
  }
  return {state: rest, unread, layer};
}

function finite(text) {
  const value = text.trim() === "" ? NaN : Number(text.replaceAll("−", "-"));
  if (!Number.isFinite(value)) throw new RangeError(text);
  return value;
}

function notNegative(text) {
  const value = finite(text);
  if (value < 0) throw new RangeError(text);
  return value;
}

function whole(text) {
  const value = finite(text);
  if (!Number.isInteger(value)) throw new RangeError(text);
  return value;
}

/** How many elements a group may have. */
function groupSize(text) {
  const value = whole(text);
  if (value < LEAST || value > MOST) throw new RangeError(text);
  return value;
}

function member(text, allowed) {
  if (!allowed.includes(text)) throw new RangeError(text);
  return text;
}

/** Numbers with commas between them, as many as a group may have elements. */
function listed(text) {
  const values = text.split(",").map(finite);
  groupSize(String(values.length));
  return values;
}
