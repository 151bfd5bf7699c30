// What is entered, by dragging or typing, and beside it the gradient that follows, split by the way it comes back.

const ROLES = ["direct", "mean-path", "variance-path", "third"];

const roleOf = way => ROLES[WAYS.indexOf(way) % ROLES.length];

const nameOf = way => (label(way) ? say("through", {name: plain(way)}) : say(way));

/** A field for one number: what is no number is marked, and changes nothing. */
function field(attributes, read, act) {
  const input = html("input", {
    type: "text",
    inputmode: "decimal",
    autocomplete: "off",
    spellcheck: "false",
    ...attributes,
  });
  input.oninput = () => {
    try {
      const value = read(input.value);
      input.removeAttribute("aria-invalid");
      act(value);
    } catch {
      input.setAttribute("aria-invalid", "true");
    }
  };
  input.onblur = () => {
    input.removeAttribute("aria-invalid");
    input.value = input.shown;
  };
  return input;
}

/** Shows a number in a field, unless somebody is typing there. */
function fill(input, value) {
  input.shown = value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential() : String(value);
  if (document.activeElement !== input && input.value !== input.shown) input.value = input.shown;
}

/** A panel of elements: one column each, with a point to drag above and a field to type in below. */
function elementsView(root, name, change) {
  const plot = html("div", {class: "plot"});
  const fields = html("div", {class: "fields"});
  const marks = html("div", {class: "marks"}),
    points = html("div", {class: "points"});
  plot.append(marks, points);
  root.append(html("h2", {}, say(name)), plot, fields);
  let range = [-1, 1],
    dragged = null,
    count = 0;
  const enter = (i, value) => change(state => ({[name]: state[name].map((v, k) => (k === i ? value : v)), element: i}));
  const step = () => 10 ** Math.floor(Math.log10((range[1] - range[0]) / 60));

  const drag = event => {
    const box = plot.getBoundingClientRect();
    const share = Math.max(0, Math.min(1, (event.clientY - box.top) / box.height));
    enter(dragged, rounded(range[1] - share * (range[1] - range[0]), step()));
  };
  plot.onpointerdown = event => {
    const point = event.target.closest(".point");
    if (event.button !== 0 || (!point && event.pointerType !== "mouse")) return;
    const box = plot.getBoundingClientRect();
    dragged = Math.max(0, Math.min(count - 1, Math.floor(((event.clientX - box.left) / box.width) * count)));
    plot.setPointerCapture(event.pointerId);
    points.children[dragged].focus({preventScroll: true});
    event.preventDefault();
    drag(event);
  };
  plot.onpointermove = event => {
    if (dragged !== null) drag(event);
  };
  plot.onpointerup = plot.onpointercancel = () => {
    dragged = null;
    change(() => ({}));
  };
  const press = (i, event) => {
    const by = {ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10}[event.key];
    if (!by) return;
    event.preventDefault();
    change(state => ({
      [name]: state[name].map((v, k) => (k === i ? rounded(v + by * step(), step()) : v)),
      element: i,
    }));
  };

  const build = values => {
    count = values.length;
    fields.classList.toggle("many", count > MANY);
    points.replaceChildren(
      ...values.map((_, i) =>
        html("div", {
          class: `point ${name}`,
          role: "slider",
          tabindex: 0,
          "aria-orientation": "vertical",
          "aria-label": say("slide", {name: say(`${name}_element`, {i: i + 1})}),
          onkeydown: event => press(i, event),
          onfocus: () => change(() => ({element: i})),
        }),
      ),
    );
    fields.replaceChildren(
      ...values.map((_, i) =>
        field({"aria-label": say(`${name}_element`, {i: i + 1})}, finite, value => enter(i, value)),
      ),
    );
    fields.querySelectorAll("input").forEach((input, i) => {
      input.onfocus = () => change(() => ({element: i}));
    });
  };

  return (state, n) => {
    const values = state[name];
    if (count !== values.length) build(values);
    if (dragged === null) range = spread(values);
    const height = heightIn(range);
    marks.replaceChildren(...(name === "x" ? band(n.values, height) : []), ...rules(range));
    values.forEach((value, i) => {
      const middle = (i + 0.5) / count;
      marks.append(
        placed(html("span", {class: i === state.element ? "stem chosen" : "stem"}), {
          left: middle,
          top: Math.min(height(value), zero(height)),
          bottom: Math.max(height(value), zero(height)),
        }),
      );
      placed(points.children[i], {left: middle, top: height(value)});
      points.children[i].classList.toggle("chosen", i === state.element);
      put(points.children[i], {
        "aria-valuenow": value,
        "aria-valuemin": range[0],
        "aria-valuemax": range[1],
        "aria-valuetext": text(value),
      });
      fill(fields.children[i], value);
    });
  };
}

/** Where zero lies in a plot, or the edge that is nearest to it. */
const zero = height => Math.max(0, Math.min(1, height(0)));

/** One standard deviation on both sides of the mean, where a layer has them. */
function band({mean, var: variance}, height) {
  if (!Number.isFinite(mean) || !(variance >= 0)) return [];
  const reach = Math.sqrt(variance);
  return [
    placed(html("span", {class: "band"}), {left: 0, right: 1, top: height(mean + reach), bottom: height(mean - reach)}),
    placed(html("span", {class: "rule mean"}, html("small", {}, plain("mean"))), {left: 0, top: height(mean)}),
  ];
}

/** The gradient of x: in each column the ways, piled up, and a line at their sum. */
function waysView(root, change) {
  const plot = html("div", {class: "plot", "aria-hidden": "true"});
  const totals = html("div", {class: "fields totals"});
  const sum = html("p", {class: "sum"});
  const hover = way => change(() => ({hover: way}));
  const chips = WAYS.map(way =>
    html(
      "button",
      {
        type: "button",
        class: `chip ${roleOf(way)}`,
        onmouseenter: () => hover(way),
        onmouseleave: () => hover(""),
        onfocus: () => hover(way),
        onblur: () => hover(""),
        onclick: () => change(state => ({path: state.path === way ? "" : way})),
      },
      html("i", {"aria-hidden": "true"}),
      nameOf(way),
    ),
  );
  const head = html(
    "div",
    {class: "head"},
    html("h2", {}, say("dx")),
    html("div", {class: "chips", role: "group", "aria-label": say("paths")}, ...chips),
  );
  root.append(head, plot, totals, sum);
  return (state, n) => {
    const m = state.x.length,
      i = state.element;
    const total = n.gradients.x;
    const piles = Array.from({length: m}, (_, k) => piled(WAYS.map(way => n.ways[way][k])));
    const range = spread([0, ...piles.flat(2), ...total]);
    const height = heightIn(range);
    plot.replaceChildren(
      ...rules(range),
      ...piles.flatMap((pile, k) => [
        ...pile.map(([from, to], w) =>
          bar(
            `${ROLES[w % ROLES.length]}${state.way && state.way !== WAYS[w] ? " faded" : ""}`,
            (k + 0.2) / m,
            (k + 0.8) / m,
            from,
            to,
            height,
          ),
        ),
        placed(html("span", {class: k === i ? "total chosen" : "total"}), {
          left: (k + 0.1) / m,
          right: (k + 0.9) / m,
          top: height(total[k]),
        }),
      ]),
    );
    const portions = WAYS.map(way => n.ways[way][i]);
    const decimals = addingUp(portions, total[i]);
    const written = value =>
      Math.abs(value) > 1e6 || !Number.isFinite(value)
        ? text(value)
        : minus((Number(value.toFixed(decimals)) + 0).toFixed(decimals));
    row(totals, total, i);
    sum.replaceChildren(
      html("b", {}, `dx${subscript(i + 1)}`),
      " = ",
      ...portions.flatMap((value, w) => [
        w > 0 ? (value < 0 ? " − " : " + ") : "",
        html("span", {class: roleOf(WAYS[w])}, w > 0 ? written(Math.abs(value)) : written(value)),
      ]),
      ` = ${written(total[i])}`,
    );
    chips.forEach((chip, w) => put(chip, {"aria-pressed": state.path === WAYS[w]}));
  };
}

const subscript = k => String.fromCharCode(0x2080 + k);

/** Portions piled up: positive ones upwards from zero, negative ones downwards. */
function piled(portions) {
  const top = {up: 0, down: 0};
  return portions.map(value => {
    const side = value < 0 ? "down" : "up";
    const from = top[side];
    top[side] += value;
    return [from, top[side]];
  });
}

/** The parameters, ε and the number of elements, each on a slider and in a field; and the presets. */
function numbersView(root, change) {
  const controls = [
    control({
      sign: "m",
      name: say("count"),
      limits: {min: LEAST, max: MOST, step: 1},
      value: state => state.x.length,
      read: groupSize,
      act: m => change(state => resized(state, m)),
    }),
    ...LAYER.parameters.map(name =>
      control({
        sign: plain(name),
        limits: {min: -3, max: 3, step: 0.05},
        value: state => state.parameters[name],
        read: finite,
        act: value => change(state => ({parameters: {...state.parameters, [name]: value}})),
      }),
    ),
    control({
      sign: "ε",
      limits: {min: -8, max: 1, step: 0.25},
      value: state => state.eps,
      read: notNegative,
      act: value => change(() => ({eps: value})),
      to: Math.log10,
      from: power => Number((10 ** power).toPrecision(2)),
    }),
  ];
  const presets = Object.entries(PRESETS).map(([name, preset]) => {
    const press = () => {
      change(preset);
      note(WORDS[`${name}_note`] ? say(`${name}_note`) : "");
    };
    return html("button", {type: "button", onclick: press}, say(name));
  });
  root.append(...controls.map(({element}) => element), html("div", {class: "presets"}, ...presets));
  return state => {
    for (const {show} of controls) show(state);
  };
}

/** A number with its sign, a slider and a field; the slider may run on another scale. */
function control({sign, name = sign, limits, value, read, act, to = v => v, from = v => v}) {
  const slider = html("input", {
    type: "range",
    ...limits,
    "aria-label": say("slide", {name}),
    oninput: () => act(from(Number(slider.value))),
  });
  const typed = field({"aria-label": name, class: "number-field"}, read, act);
  const show = state => {
    const now = value(state);
    const place = String(Math.max(limits.min, Math.min(limits.max, to(now))));
    if (slider.value !== place) slider.value = place;
    put(slider, {"aria-valuetext": text(now)});
    fill(typed, now);
  };
  return {element: html("div", {class: "control"}, html("span", {"aria-hidden": "true"}, sign), slider, typed), show};
}
