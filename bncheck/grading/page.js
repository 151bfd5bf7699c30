"use strict";
const body = document.querySelector("#grades tbody");
const rows = [...body.rows];
const report = (row) => document.getElementById(row.dataset.report);
const filters = document.querySelector("#filters");
const buttons = [...filters.querySelectorAll("button")];
const search = document.querySelector("#search");
const all = document.querySelector("#all");

function filter() {
  const wanted = new Set(buttons.filter((one) => one.ariaPressed === "true").map((one) => one.value));
  const text = search.value.toLowerCase();
  let shown = 0;
  for (const row of rows) {
    const fits = (wanted.size === 0 || wanted.has(row.dataset.status)) && row.textContent.toLowerCase().includes(text);
    row.hidden = report(row).hidden = !fits;
    shown += fits;
  }
  document.querySelector("#shown").textContent = `${shown} of ${rows.length} shown`;
}

function sort(heading, place) {
  const ascending = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const key = (row) => row.cells[place].dataset.key ?? row.cells[place].textContent;
  const compare =
    heading.dataset.kind === "number"
      ? (a, b) => key(a) - key(b)
      : new Intl.Collator(undefined, { numeric: true }).compare;
  const by = heading.dataset.kind === "number" ? compare : (a, b) => compare(key(a), key(b));
  rows.sort((a, b) => (ascending ? by(a, b) : by(b, a)));
  body.append(...rows);
}

function open() {
  const named = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named && named.tagName === "DETAILS") {
    named.hidden = false;
    named.open = true;
    named.scrollIntoView();
    named.querySelector("summary").focus();
  }
}

for (const [place, heading] of [...document.querySelectorAll("#grades th")].entries()) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = heading.textContent;
  heading.replaceChildren(button);
  button.addEventListener("click", () => sort(heading, place));
}
for (const button of buttons)
  button.addEventListener("click", () => {
    button.ariaPressed = button.ariaPressed === "true" ? "false" : "true";
    filter();
  });
search.addEventListener("input", filter);
all.addEventListener("click", () => {
  const opened = all.ariaPressed !== "true";
  all.ariaPressed = String(opened);
  for (const one of document.querySelectorAll(".report")) one.open = opened;
});
addEventListener("hashchange", open);
document.querySelector("main").addEventListener("click", (event) => {
  if (event.target.hash === location.hash && location.hash) open();
});
filters.hidden = all.hidden = false;
filter();
open();
