// Verdicts: on a hidden edit of the derived program, and on numbers of one's own.

const SIGNS = {correct: "✓", wrong: "✗", inconclusive: "?", vacuous: "0"};

const GRADIENTS = ["dx", ...LAYER.parameters.map(name => `d${name}`)];

/** The judged numbers in a row: [what it is called, judgement], dx element by element. */
const listedVerdicts = judged =>
  Object.entries(judged).flatMap(([name, judgement]) =>
    Array.isArray(judgement)
      ? judgement.map((one, i) => [`${spelled(name)}${subscript(i + 1)}`, one])
      : [[spelled(name), judgement]],
  );

const spelled = name => `d${plain(name.slice(1))}`;

/** A table of verdicts that can be filled again and again. */
function verdictTable(heading, caption) {
  const body = html("tbody");
  const heads = ["gradient_of", heading, "truth", "radius", "verdict"].map(key => html("th", {scope: "col"}, say(key)));
  const table = html(
    "table",
    {},
    html("caption", {class: "hidden"}, caption),
    html("thead", {}, html("tr", {}, ...heads)),
    body,
  );
  const fill = judged =>
    body.replaceChildren(
      ...listedVerdicts(judged).map(([name, one]) =>
        html(
          "tr",
          {class: one.verdict},
          html("th", {scope: "row"}, name),
          ...[...shownBeside(one), `± ${text(one.radius)}`].map(written => html("td", {}, written)),
          html(
            "td",
            {class: "verdict"},
            html("span", {"aria-hidden": "true"}, SIGNS[one.verdict]),
            ` ${say(one.verdict)}`,
          ),
        ),
      ),
    );
  return {table, fill};
}

/** An answer and the truth in digits that tell them apart if it is wrong; one of another shape by how many it holds. */
function shownBeside({verdict, got, truth}) {
  if (Array.isArray(got)) return [say("many", {k: got.length}), text(truth)];
  return verdict === "wrong" ? apart(got, truth) : [text(got), text(truth)];
}

/** How many of each verdict there are, in words. */
function summary(judged) {
  const verdicts = listedVerdicts(judged).map(([, {verdict}]) => verdict);
  const counts = Object.keys(SIGNS).map(verdict => [verdict, verdicts.filter(v => v === verdict).length]);
  return counts
    .filter(([, k]) => k > 0)
    .map(([verdict, k]) => say("counted", {k, verdict: say(verdict)}))
    .join(say("comma"));
}

/** The gradients of a bug on the inputs of a state, judged. */
function symptoms(bug, {x, dy, parameters, eps}) {
  const answer = bug.run(x, dy, parameters, eps);
  const own = Object.fromEntries(GRADIENTS.map(name => [name, answer[name]]));
  const judged = LAYER.judge(x, dy, parameters, eps, own);
  const shaped = ([name, one]) => [
    name,
    Array.isArray(own[name]) && !Array.isArray(one) ? {...one, got: own[name]} : one,
  ];
  return Object.fromEntries(Object.entries(judged).map(shaped));
}

const shows = judged => listedVerdicts(judged).some(([, {verdict}]) => verdict === "wrong");

/** Whether no one could tell two bugs apart on these inputs. */
function alike(one, other, state) {
  const [a, b] = [one, other].map(bug => listedVerdicts(symptoms(bug, state)).map(([, judgement]) => judgement));
  return a.every(
    ({got, truth, radius}, k) =>
      String(got) === String(b[k].got) || Math.abs(got - b[k].got) <= Math.max(radius, 1e-9 * Math.abs(truth)),
  );
}

const picked = list => list[Math.floor(Math.random() * list.length)];

const shuffled = list =>
  list
    .map(item => [Math.random(), item])
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item);

/** The riddle: an edit is hidden, its gradients are judged, and a place or a name is asked for. */
function bugView(root, change) {
  if (LAYER.bugs.length === 0) {
    root.append(html("p", {}, say("no_bugs")));
    return () => {};
  }
  const {table, fill} = verdictTable("gave", say("bug"));
  const start = html("button", {type: "button", class: "main"}, say("hide"));
  const reveal = html("button", {type: "button"}, say("give_up"));
  const score = html("span", {class: "score"});
  const hint = html("p", {class: "note"});
  const answer = html("p", {class: "answer", role: "status"});
  const places = html("div", {class: "chips", role: "group", "aria-label": say("where")});
  const names = html("div", {class: "names", role: "group", "aria-label": say("which")});
  const counts = html("p", {class: "counts", role: "status"});
  const game = html(
    "div",
    {class: "game"},
    html("div", {}, table, counts),
    html("div", {}, hint, html("h3", {}, say("where")), places, html("h3", {}, say("which")), names, answer),
  );
  root.append(html("p", {}, say("bug_text")), html("div", {class: "bar"}, start, reveal, score), game);
  const riddle = {bug: null, open: false, hits: 0, played: 0};
  root.riddle = riddle;

  const close = (key, bug, hit) => {
    riddle.open = false;
    riddle.hits += hit ? 1 : 0;
    start.focus();
    put(answer, {
      text: say(key, {title: bug.title[LANG], term: bug.term[LANG], why: bug.explanation[LANG]}),
      class: hit ? "answer correct" : "answer",
    });
    change(() => ({}));
  };
  const guess = fits => {
    if (!riddle.open) return;
    if (fits) close("right", riddle.bug, true);
    else put(answer, {text: say("not_it"), class: "answer wrong"});
  };
  start.onclick = () =>
    change(state => {
      const visible = LAYER.bugs.filter(bug => shows(symptoms(bug, state)));
      put(answer, {text: visible.length ? "" : say("none_shows"), class: "answer"});
      if (visible.length) ask(picked(visible), state);
      return {};
    });
  reveal.onclick = () => close("told", riddle.bug, false);

  /** Hides a bug and offers places and names, among them the right ones. */
  function ask(bug, state) {
    Object.assign(riddle, {bug, open: true, played: riddle.played + 1});
    const others = shuffled(LAYER.bugs.filter(other => other !== bug && !alike(bug, other, state))).slice(0, 4);
    const same = candidate =>
      change(now => {
        guess(alike(candidate, riddle.bug, now));
        return {};
      });
    names.replaceChildren(
      ...shuffled([bug, ...others]).map(candidate =>
        html("button", {type: "button", onclick: () => same(candidate)}, candidate.title[LANG]),
      ),
    );
    const keys = new Set(LAYER.bugs.map(({label: key}) => key));
    places.replaceChildren(
      ...LAYER.nodes
        .filter(({key}) => keys.has(key))
        .map(node => {
          const button = html("button", {
            type: "button",
            "aria-label": node.plain,
            onclick: () =>
              change(now => {
                guess(LAYER.bugs.some(other => other.label === node.key && alike(other, riddle.bug, now)));
                return {};
              }),
          });
          put(button, {markup: math(node.label)});
          return button;
        }),
    );
  }
  root.ask = ask;

  return state => {
    game.hidden = !riddle.bug;
    reveal.disabled = !riddle.open;
    start.textContent = say(riddle.bug ? "another" : "hide");
    put(score, {text: riddle.played ? say("score", {hits: riddle.hits, played: riddle.played}) : ""});
    if (!riddle.bug) return;
    for (const button of game.querySelectorAll("button")) button.disabled = !riddle.open;
    const judged = symptoms(riddle.bug, state);
    fill(judged);
    put(counts, {text: summary(judged)});
    put(hint, {text: riddle.open && !shows(judged) ? say("invisible") : ""});
  };
}

/** Numbers that somebody typed or pasted, in whatever brackets they came, each with half a unit of its last digit.

    What prints numbers in a row drops zeros at their end: the longest of them says how many digits there are. */
function pasted(written) {
  const words = written
    .replaceAll("−", "-")
    .replace(/\b(?:np\.)?(?:float\d*|array|tensor)\b|dtype=\S*/g, " ")
    .split(/[\s,;()[\]]+/)
    .filter(Boolean);
  const decimals = Math.max(0, ...words.map(word => /\.(\d*)/.exec(word)?.[1].length ?? 0));
  return words.map(word => {
    const value = Number(word),
      power = Number(/e([+-]?\d+)$/i.exec(word)?.[1] ?? 0);
    if (Number.isNaN(value) && !/^[+-]?nan$/i.test(word)) throw new RangeError(word);
    return {value, slack: 0.5 * 10 ** (power - decimals)};
  });
}

/** A judgement on a number that was rounded before it was judged. */
function loosened({verdict, got, truth, radius}, slack) {
  const within = Math.abs(got - truth) <= radius + slack;
  const known = verdict === "wrong" && within ? "correct" : verdict;
  return {
    verdict: known === "correct" && radius + slack >= Math.abs(truth) ? "inconclusive" : known,
    got,
    truth,
    radius: radius + slack,
  };
}

/** Fields for gradients of one's own, and the verdict on them. */
function mineView(root) {
  const code = html("pre", {tabindex: 0, role: "region", "aria-label": say("as_code")});
  const entries = GRADIENTS.map(name => {
    const title = say("your", {name: spelled(name)});
    const area = html("textarea", {rows: name === "dx" ? 3 : 1, spellcheck: "false", "aria-label": title});
    area.oninput = () => show();
    return {name, area, element: html("label", {}, html("span", {}, title), area)};
  });
  const {table, fill} = verdictTable("yours", say("mine"));
  const said = html("p", {class: "answer", role: "status"});
  root.append(
    html(
      "div",
      {class: "game"},
      html("div", {}, html("h3", {}, say("as_code")), code, ...entries.map(({element}) => element), said),
      html("div", {}, table),
    ),
  );
  let state;

  function show() {
    const given = {},
      amiss = [];
    const {x, dy, parameters, eps} = state;
    for (const {name, area} of entries) {
      area.removeAttribute("aria-invalid");
      try {
        const values = pasted(area.value);
        const m = name === "dx" ? x.length : 1;
        if (values.length === m) given[name] = values;
        else if (values.length > 0)
          amiss.push([area, say("expected_count", {name: spelled(name), m, k: values.length})]);
      } catch (error) {
        amiss.push([area, say("no_number", {name: spelled(name), text: error.message})]);
      }
    }
    for (const [area] of amiss) area.setAttribute("aria-invalid", "true");
    const plainly = Object.entries(given).map(([name, values]) => [
      name,
      name === "dx" ? values.map(v => v.value) : values[0].value,
    ]);
    const judged = Object.fromEntries(
      Object.entries(LAYER.judge(x, dy, parameters, eps, Object.fromEntries(plainly))).map(([name, judgement]) => [
        name,
        Array.isArray(judgement)
          ? judgement.map((one, i) => loosened(one, given[name][i].slack))
          : loosened(judgement, given[name][0].slack),
      ]),
    );
    table.hidden = Object.keys(given).length === 0;
    fill(judged);
    put(said, {
      text: [...amiss.map(([, words]) => words), table.hidden ? "" : summary(judged)].filter(Boolean).join(" "),
    });
  }

  return now => {
    state = now;
    const {x, dy, parameters, eps} = state;
    const array = values => `np.array([${values.join(", ")}])`;
    put(code, {
      text: [
        "import numpy as np",
        `x = ${array(x)}`,
        `dy = ${array(dy)}`,
        `${[...Object.entries(parameters), ["eps", eps]].map(([name, value]) => `${name} = ${value}`).join("; ")}`,
      ].join("\n"),
    });
    show();
  };
}
