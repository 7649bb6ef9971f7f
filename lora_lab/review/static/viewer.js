// The full view: keys and links swap the image and what is said of it, without leaving the page.
import { dismissible, listen, showKeys } from "/static/keys.js";
import { Zoom, fetchPart } from "/static/zoom.js";

const swap = document.getElementById("swap");
let zoom = new Zoom(swap.querySelector(".stage"));
let pixels = false;
let base = false;
let going = 0;
zoom.bind();
preload();
apply();

async function go(address) {
  const turn = ++going;
  let page;
  try {
    page = await fetchPart(address);
  } catch {
    location.href = address;
    return;
  }
  // A key that was pressed meanwhile leads further; only its page is shown.
  if (turn !== going) return;
  const fresh = page.getElementById("swap");
  const next = fresh.querySelector("img.shown");
  if (next) {
    // Shown when it is there, so that nothing flickers.
    next.loading = "eager";
    await next.decode().catch(() => {});
    if (turn !== going) return;
  }
  const details = [...swap.querySelectorAll("details")].map((item) => item.open);
  const stage = swap.querySelector(".stage");
  const kept = zoom.shared;
  for (const old of [...swap.children]) {
    const same = fresh.querySelector(`:scope > .${old.classList[0]}`);
    if (same) old.replaceChildren(...same.childNodes);
  }
  swap.querySelectorAll("details").forEach((item, number) => { item.open = details[number] ?? item.open; });
  swap.dataset.back = fresh.dataset.back;
  document.title = page.title;
  history.replaceState(history.state, "", address);
  zoom = Object.assign(zoom, { stage, shared: kept });
  zoom.bind();
  apply();
  preload();
}

function preload() {
  for (const link of swap.querySelectorAll("[data-image]")) new Image().src = link.dataset.image;
}

function apply() {
  swap.querySelector(".stage").classList.toggle("pixels", pixels);
  swap.querySelector("[data-do=pixels]")?.setAttribute("aria-pressed", pixels);
  swap.querySelector("[data-do=base]")?.setAttribute("aria-pressed", base);
  const under = swap.querySelector("img.base");
  if (!under) return;
  if (base && !under.src) under.src = under.dataset.src;
  under.hidden = !base;
  zoom.draw();
}

const acts = {
  one: () => zoom.one(),
  fit: () => zoom.fit(),
  pixels: () => { pixels = !pixels; apply(); },
  base: () => { base = !base; apply(); },
  keys: () => showKeys(table),
};
function back() {
  // What is still on its way must not take the page over again.
  going += 1;
  const from = sessionStorage.getItem("looked-from");
  location.href = from && new URL(from).pathname === new URL(swap.dataset.back, location).pathname ? from : swap.dataset.back;
}

function follow(key) {
  const link = swap.querySelector(`a[data-key="${CSS.escape(key)}"]`);
  if (link) go(link.href);
}

// Delete and Backspace do nothing here, on purpose.
const table = [
  { keys: ["ArrowLeft", "ArrowRight"], show: "← →", says: "the prompt before or after, then the next seed", does: follow, repeats: true },
  { keys: ["ArrowUp", "ArrowDown"], show: "↑ ↓", says: "a later or earlier epoch", does: follow, repeats: true },
  { keys: ["PageUp", "PageDown"], show: "PgUp PgDn", says: "the run before or after", does: follow, repeats: true },
  { keys: ["[", "]"], show: "[ ]", says: "a lower or higher strength", does: follow, repeats: true },
  { keys: ["b"], show: "B", says: "the base model's image without LoRA, and back", does: acts.base },
  { keys: ["z"], show: "Z", says: "one pixel of the image on one pixel of the screen", does: acts.one },
  { keys: ["f"], show: "F", says: "the whole image", does: acts.fit },
  { keys: ["p"], show: "P", says: "sharp or smoothed pixels", does: acts.pixels },
  { keys: ["Escape"], show: "Esc", says: "back to the matrix", does: back },
  { keys: ["?"], show: "?", says: "these keys", does: () => showKeys(table) },
];
listen(table, () => true);
dismissible();

swap.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) return acts[button.dataset.do]?.();
  const link = event.target.closest(".steps a, .facts .group a");
  if (link && event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    go(link.href);
  } else if (event.target.closest(".close")) {
    event.preventDefault();
    back();
  }
});
