// The computation graph and its reverse sweep.

const WAYS = Object.keys(LAYER.ways(START.x, START.dy, START.parameters, START.eps));

/** The edges of a way back to x, through one statistic or none, that avoid all others; and its detours through others.

    A statistic's way is that on which it comes last before x, so that between the two no other lies. */
function edgesOf(way) {
  const others = WAYS.filter(key => key !== way && label(key));
  const between = (from, to, held) => {
    const open = LAYER.edges.filter(({tail, head}) => !held.includes(tail) && !held.includes(head));
    const after = reach([from], open, "tail", "head"),
      before = reach([to], open, "head", "tail");
    return open.filter(({tail, head}) => after.has(tail) && before.has(head));
  };
  if (!label(way)) return {main: new Set(between("x", "y", others)), detours: new Set()};
  const main = new Set([...between("x", way, others), ...between(way, "y", others)]);
  return {main, detours: new Set(between(way, "y", []).filter(edge => !main.has(edge)))};
}

/** The nodes that can be reached along edges. */
function reach(from, edges, start, end) {
  const seen = new Set(from);
  for (const key of seen) for (const edge of edges) if (edge[start] === key) seen.add(edge[end]);
  return seen;
}

/** Builds the graph into an element; gives what updates it. */
function graphView(root, change) {
  const nodes = LAYER.nodes.map(node => {
    const parts = {
      above: strip("value"),
      value: html("span", {class: "number value"}),
      gradient: html("span", {class: "number gradient"}),
      below: strip("gradient"),
    };
    const name = html("span", {class: "label"});
    put(name, {markup: math(node.label)});
    const button = html(
      "button",
      {
        type: "button",
        class: `node ${node.kind} ${node.shape}`,
        id: `node-${node.key}`,
        onclick: () => change(state => chosen(state, node.key)),
      },
      parts.above.element,
      heard("value"),
      parts.value,
      name,
      heard("gradient"),
      parts.gradient,
      parts.below.element,
    );
    button.style.setProperty("--column", node.column + 1);
    button.style.setProperty("--row", node.row + 1);
    return {...node, ...parts, name, button};
  });
  const canvas = svg(
    "svg",
    {class: "edges", "aria-hidden": "true"},
    svg(
      "defs",
      {},
      svg(
        "marker",
        {
          id: "tip",
          viewBox: "0 0 8 8",
          refX: 7,
          refY: 4,
          markerWidth: 7,
          markerHeight: 7,
          orient: "auto-start-reverse",
          markerUnits: "userSpaceOnUse",
        },
        svg("path", {d: "M0 0L8 4L0 8z", fill: "context-stroke"}),
      ),
    ),
  );
  const edges = LAYER.edges.map(edge => {
    const path = svg("path");
    const local = html("span", {class: "local", "aria-hidden": "true"});
    put(local, {markup: math(edge.local)});
    return {...edge, path, local};
  });
  canvas.append(...edges.map(edge => edge.path));
  root.prepend(canvas, ...nodes.map(node => node.button), ...edges.map(edge => edge.local));
  const columns = Math.max(...nodes.map(node => node.column)) + 1,
    rows = Math.max(...nodes.map(node => node.row)) + 1;
  const free = Math.min(...nodes.filter(node => node.row === rows - 1).map(node => node.column));
  for (const [name, value] of Object.entries({columns, rows, free})) root.style.setProperty(`--${name}`, value);
  root.classList.toggle("roomy", free >= 0.6 * columns);
  const byKey = Object.fromEntries(nodes.map(node => [node.key, node]));
  new ResizeObserver(() => route(root, canvas, byKey, edges)).observe(root);
  const ways = Object.fromEntries(WAYS.map(way => [way, edgesOf(way)]));

  let step = null;
  return (state, {values, gradients}) => {
    const {main, detours} = ways[state.way] ?? {main: new Set(), detours: new Set()};
    const lit = edge =>
      main.has(edge) ? `on-way ${roleOf(state.way)}` : detours.has(edge) ? `on-way detour ${roleOf(state.way)}` : "";
    root.classList.toggle("has-way", main.size > 0);
    for (const node of nodes) {
      const value = values[node.key],
        gradient = gradients[node.key];
      const visible = reached(state, node.key);
      put(node.value, {text: text(at(value, state.element))});
      put(node.gradient, {text: visible ? text(at(gradient, state.element)) : "·"});
      if (node.shape === "elements") {
        node.above.show(value, state.element);
        node.below.show(visible ? gradient : [], state.element);
      }
      const onWay = LAYER.edges.some(edge => lit(edge) && (edge.tail === node.key || edge.head === node.key));
      node.button.classList.toggle("on-way", onWay);
      put(node.button, {"aria-pressed": state.node === node.key});
    }
    edges.forEach((edge, k) => {
      const arrives = state.node === edge.tail,
        operand = state.node === edge.head;
      const names = [
        "edge",
        arrives && "arrives",
        operand && "operand",
        lit(LAYER.edges[k]),
        state.sweep && !arrives && reached(state, edge.tail) && "passed",
      ]
        .filter(Boolean)
        .join(" ");
      put(edge.path, {
        class: names,
        "marker-end": arrives ? null : "url(#tip)",
        "marker-start": arrives ? "url(#tip)" : null,
      });
      edge.local.hidden = !arrives;
    });
    if (state.sweep && step !== state.node && step !== null) inView(byKey[state.node].button);
    step = state.sweep ? state.node : "";
  };
}

/** Words for those who hear the page. */
const heard = key => html("span", {class: "hidden"}, ` ${say(key)} `);

/** Scrolls to an element that is out of sight. */
function inView(element) {
  const {top, bottom} = element.getBoundingClientRect();
  if (top < 0 || bottom > innerHeight) element.scrollIntoView({block: "center"});
}

/** Draws the edges between the labels where they have come to stand: from left to right, or downwards on a phone. */
function route(root, canvas, nodes, edges) {
  const own = root.getBoundingClientRect();
  put(canvas, {viewBox: `0 0 ${own.width} ${own.height}`});
  const downwards = getComputedStyle(root).getPropertyValue("--downwards").trim() === "1";
  const box = key => {
    const {left, top, width, height} = nodes[key][downwards ? "button" : "name"].getBoundingClientRect();
    return {x: left - own.left + width / 2, y: top - own.top + height / 2, w: width / 2, h: height / 2};
  };
  for (const {tail, head, path, local} of edges) {
    const [d, x, y] = curve(box(tail), box(head), downwards, crowded(nodes, tail, head));
    put(path, {d});
    const climb = Math.sign(nodes[tail].row - nodes[head].row);
    const beside = downwards
      ? "translate(-50%, -50%)"
      : ["translate(-108%, 0)", "translate(-50%, -110%)", "translate(8%, 0)"][climb + 1];
    Object.assign(local.style, {left: `${x}px`, top: `${y}px`, transform: beside});
  }
}

/** Whether other nodes stand between two of the same row. */
function crowded(nodes, tail, head) {
  const [a, b] = [nodes[tail], nodes[head]];
  return (
    a.row === b.row && Object.values(nodes).some(n => n.row === a.row && n.column > a.column && n.column < b.column)
  );
}

/** A curve from box to box, and its middle; where others stand between them it goes around through the gap above. */
function curve(a, b, downwards, around) {
  const along = downwards ? "y" : "x",
    half = downwards ? "h" : "w",
    across = downwards ? "x" : "y";
  const point = (u, v) => (downwards ? `${v} ${u}` : `${u} ${v}`);
  const [from, to] = [a[along] + a[half] + 1, b[along] - b[half] - 1];
  const [low, high] = [a[across], b[across]];
  const middle = (u, v) => (downwards ? [v, u] : [u, v]);
  if (around) {
    const side = low - (downwards ? 60 : 56);
    const bend = Math.min(30, (to - from) / 4);
    const d =
      `M${point(from, low)}C${point(from + bend, low)} ${point(from, side)} ${point(from + bend, side)}` +
      `L${point(to - bend, side)}C${point(to, side)} ${point(to - bend, high)} ${point(to, high)}`;
    return [d, ...middle((from + to) / 2, side)];
  }
  const pull = Math.max(12, (to - from) / 2);
  const d = `M${point(from, low)}C${point(from + pull, low)} ${point(to - pull, high)} ${point(to, high)}`;
  return [d, ...middle((from + to) / 2, (low + high) / 2)];
}

/** The state after a node was chosen: in the sweep it becomes the present step; chosen again it is let go. */
function chosen(state, key) {
  if (state.sweep) return {node: key};
  return {node: state.node === key ? null : key};
}

/** The state one step further in the sweep, or back; before the first step stands y. */
function stepped(state, by) {
  const k = state.sweep ? BACKWARD.indexOf(state.node) + by : by > 0 ? 0 : BACKWARD.length - 1;
  return {sweep: true, node: BACKWARD[Math.max(0, Math.min(BACKWARD.length - 1, k))]};
}

/** The buttons of the sweep, what step it is at, and which element is looked at. */
function sweepView(bar, change) {
  const button = (key, sign, act) =>
    html("button", {type: "button", onclick: act, title: say(key), "aria-label": say(key)}, sign);
  const start = html(
    "button",
    {type: "button", class: "main", onclick: () => change(() => stepped({}, 1))},
    say("sweep"),
  );
  const back = button("back", "←", () => change(state => stepped(state, -1)));
  const forward = button("forward", "→", () => change(state => stepped(state, 1)));
  const all = html("button", {type: "button", onclick: () => change(() => ({sweep: false}))}, say("all"));
  bar.sweep.append(start, back, forward, all);
  let count = 0;
  return state => {
    const k = BACKWARD.indexOf(state.node) + 1;
    const shown = state.sweep ? say("step", {k, n: BACKWARD.length}) : "";
    put(bar.step, {text: shown});
    back.disabled = state.sweep && k === 1;
    forward.disabled = state.sweep && k === BACKWARD.length;
    all.disabled = !state.sweep;
    if (count !== state.x.length) {
      count = state.x.length;
      bar.elements.replaceChildren(
        html("span", {"aria-hidden": "true"}, say("element")),
        ...state.x.map((_, i) =>
          html(
            "label",
            {},
            html("input", {type: "radio", name: "element", value: i, onchange: () => change(() => ({element: i}))}),
            html("span", {}, String(i + 1)),
          ),
        ),
      );
    }
    bar.elements.querySelectorAll("input").forEach((input, i) => {
      input.checked = i === state.element;
    });
  };
}
