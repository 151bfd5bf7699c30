// What normalization does: to a sigmoid behind it, and in training beside evaluation.

const sigma = z => 1 / (1 + Math.exp(-z));

/** |z| beyond which the slope of the sigmoid is below SHARE of its largest. */
const SATURATED = 2 * Math.atanh(Math.sqrt(1 - SHARE));

/** How many of the values lie where the sigmoid hardly moves. */
const saturated = values => values.filter(z => Math.abs(z) > SATURATED).length;

const REACH = 8,
  WIDE = 400,
  HIGH = 150;

/** The sigmoid with the values of the group on it: before normalization and after. */
function sigmoidView(root) {
  const across = z => (WIDE * (Math.max(-REACH, Math.min(REACH, z)) + REACH)) / (2 * REACH);
  const up = a => HIGH * (1 - a) + 12;
  const line = Array.from({length: 81}, (_, k) => -REACH + k / 5)
    .map(z => `${across(z)} ${up(sigma(z))}`)
    .join("L");
  const panels = [
    ["before", "without"],
    ["after", "with"],
  ].map(([key, role]) => {
    const points = svg("g");
    const title = html("h3", {}, say(key));
    const share = html("p", {class: "share"});
    const zones = [
      [-REACH, -SATURATED],
      [SATURATED, REACH],
    ].map(([from, to]) =>
      svg("rect", {
        class: "saturated-zone",
        x: across(from),
        y: 12,
        width: across(to) - across(from),
        height: HIGH,
        fill: "url(#hatch)",
      }),
    );
    const marks = [-8, -4, 0, 4, 8].map(z =>
      svg("text", {x: across(z), y: HIGH + 34, "text-anchor": "middle"}, minus(String(z))),
    );
    const chart = svg(
      "svg",
      {class: "curve", viewBox: `-16 0 ${WIDE + 32} ${HIGH + 40}`, role: "img"},
      ...zones,
      svg("line", {class: "axis", x1: 0, x2: WIDE, y1: up(0), y2: up(0)}),
      svg("line", {class: "axis", x1: across(0), x2: across(0), y1: up(0), y2: up(1)}),
      svg("path", {class: "sigmoid", d: `M${line}`}),
      ...marks,
      points,
    );
    root.append(html("div", {class: "panel"}, title, chart, share));
    return {key, role, points, share, chart, title: say(key)};
  });
  panels[0].chart.prepend(
    svg(
      "defs",
      {},
      svg(
        "pattern",
        {id: "hatch", width: 7, height: 7, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)"},
        svg("line", {class: "hatch-line", x1: 0, x2: 0, y1: 0, y2: 7}),
      ),
    ),
  );
  return (state, {values}) => {
    for (const {key, role, points, share, chart, title} of panels) {
      const z = key === "before" ? state.x : values.y;
      points.replaceChildren(
        ...z.map((value, i) => {
          const [x, y] = [across(value), up(sigma(value))];
          const names = `${role}${i === state.element ? " chosen" : ""}${Math.abs(value) > REACH ? " beyond" : ""}`;
          return role === "without"
            ? svg("rect", {class: names, x: x - 6, y: y - 6, width: 12, height: 12})
            : svg("circle", {class: names, cx: x, cy: y, r: 7});
        }),
      );
      const beyond = z.filter(value => Math.abs(value) > REACH).length;
      put(share, {
        text: say("saturated", {k: saturated(z), m: z.length}) + (beyond ? ` · ${say("beyond", {k: beyond})}` : ""),
      });
      put(chart, {"aria-label": `${title}: ${share.textContent}`});
    }
  };
}

/** Training beside evaluation: y and dx of both modes as bars and numbers, and the stored statistics as fields. */
function modesView(root, change) {
  if (!LAYER.evaluate) {
    root.append(html("p", {}, say("no_modes")));
    return () => {};
  }
  const controls = Object.keys(START.running).map(name => {
    const signed = name === "mean";
    return control({
      sign: say("running", {name: plain(name)}),
      limits: signed ? {min: -5, max: 5, step: 0.1} : {min: 0, max: 10, step: 0.1},
      value: state => state.running[name],
      read: signed ? finite : notNegative,
      act: value => change(state => ({running: {...state.running, [name]: value}})),
    });
  });
  const ofBatch = state => {
    const {values} = numbers(state);
    return {running: Object.fromEntries(Object.keys(state.running).map(name => [name, values[name]]))};
  };
  const take = html("button", {type: "button", onclick: () => change(ofBatch)}, say("take"));
  const modes = ["training", "evaluation"];
  const legend = html(
    "p",
    {class: "legend"},
    ...modes.map(mode => html("span", {}, html("i", {class: mode, "aria-hidden": "true"}), say(mode))),
  );
  const panels = ["y", "dx"].map(name => {
    const plot = html("div", {class: "plot", "aria-hidden": "true"});
    const rows = modes.map(mode =>
      html("div", {class: "fields totals", role: "group", "aria-label": `${name}, ${say(mode)}`}),
    );
    const heads = modes.map(mode => html("span", {class: "muted"}, say(mode)));
    return {
      name,
      plot,
      rows,
      panel: html(
        "div",
        {class: "panel"},
        html("h3", {}, say("in_both", {name})),
        plot,
        ...rows.flatMap((row, k) => [heads[k], row]),
      ),
    };
  });
  root.append(
    html("p", {}, say("modes_text")),
    html("div", {class: "bar"}, ...controls.map(({element}) => element), take),
    legend,
    html("div", {class: "columns"}, ...panels.map(({panel}) => panel)),
  );
  return (state, n) => {
    for (const {show} of controls) show(state);
    const m = state.x.length;
    const both = {y: [n.values.y, n.evaluation.y], dx: [n.gradients.x, n.evaluation.dx]};
    for (const {name, plot, rows} of panels) {
      const range = spread([0, ...both[name].flat()]);
      const height = heightIn(range);
      plot.replaceChildren(
        ...rules(range),
        ...both[name].flatMap((values, mode) =>
          values.map((value, i) =>
            bar(modes[mode], (i + 0.12 + 0.38 * mode) / m, (i + 0.5 + 0.38 * mode) / m, 0, value, height),
          ),
        ),
      );
      rows.forEach((numbers, mode) => row(numbers, both[name][mode], state.element));
    }
  };
}
