"use strict";
// One frame at a time; without this script, and on paper, all of them stand below one another.
const frames = [...document.querySelectorAll("section")];
const [back, on, full] = ["back", "on", "full"].map((id) => document.getElementById(id));
let shown = 0;

function show(frame) {
  shown = Math.min(Math.max(frame, 0), frames.length - 1);
  frames.forEach((section, k) => { section.hidden = k !== shown; });
  document.querySelector("output").textContent = `${shown + 1} / ${frames.length}`;
  back.setAttribute("aria-disabled", shown === 0);
  on.setAttribute("aria-disabled", shown === frames.length - 1);
  history.replaceState(null, "", `#${shown + 1}`);
}

function fill() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen();
}

const keys = {
  ArrowRight: () => show(shown + 1), ArrowDown: () => show(shown + 1), PageDown: () => show(shown + 1),
  ArrowLeft: () => show(shown - 1), ArrowUp: () => show(shown - 1), PageUp: () => show(shown - 1),
  Home: () => show(0), End: () => show(frames.length - 1), f: fill, F: fill,
  " ": (event) => show(shown + (event.shiftKey ? -1 : 1)),
};

document.addEventListener("keydown", (event) => {
  const pressed = event.target.closest("button") && event.key === " "; // which presses the button
  if (event.ctrlKey || event.altKey || event.metaKey || pressed || !(event.key in keys)) return;
  event.preventDefault();
  keys[event.key](event);
});

let touched = null;
document.addEventListener("touchstart", (event) => {
  touched = event.touches.length === 1 ? event.touches[0] : null;
}, { passive: true });
document.addEventListener("touchend", (event) => {
  if (!touched) return;
  const across = event.changedTouches[0].clientX - touched.clientX;
  const down = event.changedTouches[0].clientY - touched.clientY;
  if (Math.abs(across) > 40 && Math.abs(across) > 2 * Math.abs(down)) show(shown - Math.sign(across));
}, { passive: true });

back.addEventListener("click", () => show(shown - 1));
on.addEventListener("click", () => show(shown + 1));
full.addEventListener("click", fill);
full.hidden = !document.fullscreenEnabled;
addEventListener("hashchange", () => show(Number(location.hash.slice(1)) - 1 || 0));

document.documentElement.classList.add("stepped");
document.querySelector("nav").hidden = false;
show(Number(location.hash.slice(1)) - 1 || 0);
