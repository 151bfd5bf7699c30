// The page: one state, one way to change it, one way to show it.

const find = id => document.getElementById(id);

const note = words => put(find("note"), {text: words});

let state = START;

/** Changes a part of the state by a function of all of it, and shows what follows. */
function change(update) {
  state = {...state, ...update(state)};
  render(state);
  clearTimeout(change.kept);
  change.kept = setTimeout(() => history.replaceState(null, "", address(state)), 200);
}

const VIEWS = [
  graphView(find("drawing"), change),
  sweepView({sweep: find("sweep"), step: find("step"), elements: find("elements")}, change),
  arithmeticView(find("arithmetic")),
  numbersView(find("numbers"), change),
  elementsView(find("x"), "x", change),
  elementsView(find("dy"), "dy", change),
  waysView(find("dx"), change),
  sigmoidView(find("curves")),
  modesView(find("modes-body"), change),
  bugView(find("bug-body"), change),
  mineView(find("mine-body")),
];

/** Shows a state; all that is on the page follows from it. */
function render(now) {
  const theme = now.theme;
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  const computed = numbers(now);
  const shown = {...now, way: now.hover || now.path};
  for (const view of VIEWS) view(shown, computed);
  announce(now, computed);
}

/** Tells the step of the sweep to who cannot see it. */
function announce({sweep, node, element}, {gradients}) {
  const words = sweep
    ? say("step_said", {
        k: BACKWARD.indexOf(node) + 1,
        n: BACKWARD.length,
        name: plain(node),
        gradient: text(at(gradients[node], element)),
      })
    : "";
  put(find("live"), {text: words});
}

/** Takes up what stands in the address. */
function restore() {
  const {state: read, unread, layer} = restored(location.hash);
  const remarks = [];
  if (unread.length) remarks.push(say("bad_address", {names: unread.join(", ")}));
  if (layer !== LAYER.name) remarks.push(say("other_layer", {name: layer, layer: LAYER.name}));
  note(remarks.join(" "));
  state = layer === LAYER.name ? read : START;
  render(state);
}

find("theme").onclick = () => {
  const dark =
    getComputedStyle(document.documentElement).colorScheme === "dark" ||
    (!state.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  change(() => ({theme: dark ? "light" : "dark"}));
};

// the address holds the state, so links within the page must not write to it
for (const link of document.querySelectorAll("a[href^='#']")) {
  link.onclick = event => {
    event.preventDefault();
    const target = document.querySelector(link.hash);
    target.scrollIntoView();
    (target.querySelector("[tabindex='-1']") ?? target).focus({preventScroll: true});
  };
}

// the sweep is stepped through by arrow keys wherever these mean nothing else
document.onkeydown = event => {
  if (event.key === "Escape") change(() => ({sweep: false, node: null, path: "", hover: ""}));
  const by = {ArrowRight: 1, ArrowLeft: -1}[event.key];
  const busy = event.target.closest("input, textarea, [role=slider], [role=radiogroup], pre");
  if (by && !busy && !event.altKey && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    change(now => stepped(now, by));
  }
};

window.onhashchange = restore;
restore();
