// Several images under one zoom: side by side, one wiped over the other, or their difference.
import { dismissible, listen, showKeys } from "/static/keys.js";
import { Zoom, fetchPart } from "/static/zoom.js";

const root = document.getElementById("swap");
const stage = root.querySelector(".stage");
const zoom = stage && new Zoom(stage);
let mode = "side";
let divided = 0.5;
let pixels = false;
let going = 0;
if (stage) {
  zoom.bind();
  stage.addEventListener("zoomed", divide);
}

const panes = () => [...stage.querySelectorAll(".pane")];
const shown = (number) => panes()[number]?.querySelector("img.shown");
const other = () => Number(root.querySelector("#against")?.value ?? 1);

function press(name, value) {
  root.querySelector(`[data-do=${name}]`)?.setAttribute("aria-pressed", value);
}

function setMode(wanted) {
  mode = wanted === mode ? "side" : wanted;
  if (!shown(0) || !shown(other())) mode = "side";
  stage.dataset.mode = mode;
  for (const button of root.querySelectorAll("[data-mode]")) {
    if (button !== stage) button.setAttribute("aria-pressed", button.dataset.mode === mode);
  }
  root.querySelector(".gain").hidden = mode !== "difference";
  const against = root.querySelector(".against");
  if (against) against.hidden = mode === "side";
  overlay();
}

// What lies over the first pane: the other image behind a divider, or the canvas of the difference.
function overlay() {
  stage.querySelectorAll(".over, .divider, .slid").forEach((item) => item.remove());
  panes().forEach((pane, number) => pane.classList.toggle("leading", number === 0));
  const frame = panes()[0]?.querySelector(".frame");
  const second = shown(other());
  zoom.leading = mode === "side" ? -1 : 0;
  if (frame && second && mode === "slider") {
    const over = second.cloneNode();
    over.className = "over";
    over.dataset.of = other();
    const divider = document.createElement("button");
    divider.type = "button";
    divider.className = "divider";
    divider.setAttribute("role", "slider");
    divider.setAttribute("aria-label", "divider");
    const name = document.createElement("span");
    name.className = "slid";
    name.textContent = [...panes()[other()].querySelectorAll("figcaption > a:not(.drop), figcaption > .quiet")].map((item) => item.textContent.trim()).join(", ");
    frame.append(over, divider, name);
    drag(divider, frame);
  } else if (frame && second && mode === "difference") {
    const canvas = document.createElement("canvas");
    canvas.className = "over";
    frame.append(canvas);
    subtract(canvas, shown(0), second);
  }
  zoom.bind();
}

function drag(divider, frame) {
  const move = (event) => {
    const box = frame.getBoundingClientRect();
    divided = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    divide();
  };
  divider.addEventListener("pointerdown", (event) => { event.stopPropagation(); divider.setPointerCapture(event.pointerId); });
  divider.addEventListener("pointermove", (event) => { if (divider.hasPointerCapture(event.pointerId)) { event.stopPropagation(); move(event); } });
  divider.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
    if (!way) return;
    event.preventDefault();
    event.stopPropagation();
    divided = Math.min(Math.max(divided + way, 0), 1);
    divide();
  });
}

// The divider is a line of the window; the image behind it is cut at that line, wherever it lies.
function divide() {
  const divider = stage.querySelector(".divider");
  const over = stage.querySelector("img.over");
  if (!divider || !over) return;
  const frame = divider.parentElement.getBoundingClientRect();
  const image = over.getBoundingClientRect();
  divider.style.left = `${divided * frame.width}px`;
  divider.setAttribute("aria-valuenow", Math.round(divided * 100));
  const cut = (frame.left + divided * frame.width - image.left) / Math.max(image.width, 1);
  over.style.clipPath = `inset(0 0 0 ${Math.min(Math.max(cut, 0), 1) * 100}%)`;
}

async function subtract(canvas, first, second) {
  await Promise.all([first.decode(), second.decode()]).catch(() => {});
  const width = first.naturalWidth, height = first.naturalHeight;
  if (!width || !height) return;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const read = (image) => {
    context.drawImage(image, 0, 0, width, height);
    return context.getImageData(0, 0, width, height);
  };
  const result = read(first), data = result.data, taken = read(second).data;
  const gain = Number(root.querySelector("#gain").value);
  for (let i = 0; i < data.length; i += 4) {
    for (let c = i; c < i + 3; c++) data[c] = Math.min(Math.abs(data[c] - taken[c]) * gain, 255);
    data[i + 3] = 255;
  }
  context.putImageData(result, 0, 0);
  zoom.draw();
}

// The same comparison at another prompt: zoom, offsets and mode stay.
async function go(address) {
  const turn = ++going;
  let page;
  try {
    page = await fetchPart(address);
  } catch {
    location.href = address;
    return;
  }
  const fresh = [...page.querySelectorAll(".pane")];
  const now = panes();
  if (turn !== going) return;
  if (fresh.length !== now.length) {
    location.href = address;
    return;
  }
  await Promise.all(fresh.map((pane) => pane.querySelector("img.shown")?.decode().catch(() => {})));
  if (turn !== going) return;
  now.forEach((pane, number) => pane.replaceChildren(...fresh[number].childNodes));
  root.querySelector(".steps").replaceChildren(...page.querySelector(".bar .steps").childNodes);
  history.replaceState(history.state, "", address);
  if (!shown(0) || !shown(other())) { mode = "side"; stage.dataset.mode = mode; }
  overlay();
}

const acts = {
  one: () => zoom.one(),
  fit: () => zoom.fit(),
  align: () => zoom.align(),
  sync: () => { zoom.together = !zoom.together; press("sync", zoom.together); },
  pixels: () => { pixels = !pixels; stage.classList.toggle("pixels", pixels); press("pixels", pixels); },
  keys: () => showKeys(table),
};

function follow(key) {
  const link = root.querySelector(`a[data-key="${CSS.escape(key)}"]`);
  if (link) go(link.href);
}

const table = [
  { keys: ["ArrowLeft", "ArrowRight"], show: "← →", says: "the prompt before or after, in all panes", does: follow, repeats: true },
  { keys: ["s"], show: "S", says: "move the panes together or each by itself; offsets stay", does: acts.sync },
  { keys: ["l"], show: "L", says: "slider: one image over the other", does: () => setMode("slider") },
  { keys: ["d"], show: "D", says: "difference, made stronger", does: () => setMode("difference") },
  { keys: ["z"], show: "Z", says: "one pixel of the image on one pixel of the screen", does: acts.one },
  { keys: ["f"], show: "F", says: "the whole image", does: acts.fit },
  { keys: ["p"], show: "P", says: "sharp or smoothed pixels", does: acts.pixels },
  { keys: ["Escape"], show: "Esc", says: "back", does: () => { going += 1; location.href = sessionStorage.getItem("looked-from") ?? root.dataset.back; } },
  { keys: ["?"], show: "?", says: "these keys", does: () => showKeys(table) },
];
listen(table, (row) => stage || row.keys[0] === "Escape");
dismissible();

root.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-do], button[data-mode]");
  if (button?.dataset.mode) return setMode(button.dataset.mode);
  if (button) return acts[button.dataset.do]();
  const link = event.target.closest(".steps a");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    go(link.href);
  }
});
root.querySelector("#gain")?.addEventListener("change", overlay);
root.querySelector("#against")?.addEventListener("change", overlay);
