// Scoring: a number from 0 to 100 for what is shown. The keys are the rows of KEYS.
import { dismissible, listen, meant, showKeys } from "/static/keys.js";
import { PAUSE, SOONEST, Shower, lookFirst, notice, openClosing, post } from "/static/blind.js";

const ALONE = 700; // ms after which a digit typed alone means tens
const AHEAD = 3;

const page = document.getElementById("score");
const { session } = page.dataset;
const total = Number(page.dataset.total);
// A second session chooses its next items by the scores so far.
let known = Number(page.dataset.known);
const judged = new Map(Object.entries(JSON.parse(page.dataset.judged)).map(([key, said]) => [Number(key), said]));
const tags = JSON.parse(page.dataset.tags);
const shower = new Shower(document.getElementById("images"), {
  session, shots: Number(page.dataset.shots), texts: JSON.parse(page.dataset.texts), sides: 1,
  width: Number(page.dataset.width), height: Number(page.dataset.height), layout: page.dataset.layout,
});
const [output, slider, note] = ["value", "slider", "note"].map((id) => document.getElementById(id));

let position = 0;
let value = null;
let typed = "";
let timer = 0;
let chosen = [];
let since = 0;
let busy = false;
let done = false;

// --- the number ---

function show(text) {
  output.textContent = text ?? (value === null ? "–" : String(value));
  output.classList.toggle("empty", value === null && !typed);
  // What was given last must not stand there when the next one is judged.
  slider.value = String(value ?? 50);
  slider.classList.toggle("empty", value === null);
}

function set(number) {
  clearTimeout(timer);
  typed = "";
  value = number === null ? null : Math.min(100, Math.max(0, number));
  show();
}

// One digit may become two; alone it means tens. "100" may be typed as it is written.
function settle() {
  clearTimeout(timer);
  if (typed.length === 1) set(Number(typed) * 10);
  typed = "";
}

function digit(key) {
  clearTimeout(timer);
  if (typed === "10" && key === "0") { set(100); return; }
  if (typed.length >= 2) {
    // Digits typed in one go are one number: no score is made of its last ones.
    set(null);
    typed = "too long";
    timer = setTimeout(settle, ALONE);
    notice("A score has two digits, or is 100: type it again.", "warn");
    return;
  }
  typed += key;
  timer = setTimeout(settle, ALONE);
  if (typed.length === 2) {
    value = Number(typed);
    show();
  } else {
    value = Number(typed) * 10;
    show(`${typed}_`);
  }
}

function move(by) {
  settle();
  set(value === null ? 50 + (by > 0 ? by - 1 : by + 1) : value + by);
}

// --- going through the session ---

const unjudged = (from) => {
  const order = [...Array(known).keys()].map((step) => (from + step) % known);
  return order.filter((number) => !judged.has(number));
};

async function go(to, said = null) {
  position = to;
  done = false;
  set(said?.value ?? null);
  note.value = said?.note ?? "";
  chosen = [...(said?.tags ?? [])];
  showTags();
  progress();
  page.classList.remove("done");
  await shower.show(position, unjudged(position + 1).filter((number) => number !== position).slice(0, AHEAD));
  since = performance.now();
  page.dataset.position = String(position);
}

function next() {
  const [following] = unjudged(position + 1);
  if (following !== undefined) return go(following);
  done = true;
  progress();
  page.dataset.position = "";
  page.classList.add("done");
  notice("Everything is judged. Enter closes the session and shows the result; U takes the last score back.", "good");
  return null;
}

function progress() {
  document.querySelector("progress").value = judged.size;
  document.getElementById("count").textContent = `${judged.size} of ${total}`;
}

async function send(what, values) {
  busy = true;
  try {
    const answer = await post(`/score/${session}/${what}`, values);
    known = answer.known;
    if (answer.position !== null) {
      if (answer.said) judged.set(answer.position, answer.said);
      else judged.delete(answer.position);
    }
    notice(answer.pause ? PAUSE : "", answer.pause ? "warn" : "");
    return answer;
  } catch (error) {
    notice(error.message, "bad");
    return null;
  } finally {
    busy = false;
  }
}

async function confirm() {
  settle();
  if (done) return openClosing(judged.size, total);
  if (value === null) return notice("Type a score first: two digits, or one for tens.", "warn");
  if (performance.now() - since < SOONEST) return notice("Not stored: these images have only just come. Look, then Enter.", "warn");
  if (shower.unseen) return lookFirst(shower.unseen);
  const seconds = (performance.now() - since) / 1000;
  const answer = await send("judge", { position, value, note: note.value, tags: chosen, seconds, item: shower.item });
  return answer && next();
}

async function skip() {
  if (done) return;
  if (await send("judge", { position, value: null })) next();
}

async function undo(key) {
  // Digits that were not confirmed go first.
  if (key === "Backspace" && !done && value !== null && !judged.has(position)) { set(null); return; }
  const before = new Map(judged);
  const answer = await send("undo", {});
  if (!answer) return;
  if (answer.position === null) { notice("There is nothing to take back."); return; }
  const said = before.get(answer.position);
  await go(answer.position, said);
  notice(said?.value === null ? "Taken back: a skip." : `Taken back: ${said?.value}. Change it, then Enter.`);
}

// --- notes, tags, list ---

function showTags() {
  const button = document.getElementById("tags");
  button.firstChild.textContent = chosen.length ? `${chosen.join(", ")} ` : "Tags ";
  button.classList.toggle("on", chosen.length > 0);
}

function toggle(tag) {
  chosen = chosen.includes(tag) ? chosen.filter((item) => item !== tag) : [...chosen, tag];
  showTags();
  listTags();
}

function listTags() {
  const lines = tags.slice(0, 9).map((tag) => {
    const [line, button] = [document.createElement("li"), document.createElement("button")];
    button.type = "button";
    button.textContent = tag;
    button.setAttribute("aria-pressed", String(chosen.includes(tag)));
    button.addEventListener("click", () => toggle(tag));
    line.append(button);
    return line;
  });
  document.querySelector(".taglist").replaceChildren(...lines);
}

function openTags() {
  listTags();
  const box = document.getElementById("tagbox");
  box.showModal();
  // The digits choose tags; they are not typed into the field for own ones.
  box.focus();
}

// At the document, since the focus may have been lost: a box that no key closes would hold the page.
document.addEventListener("keydown", (event) => {
  const box = document.getElementById("tagbox");
  if (!box.open) return;
  const own = document.getElementById("owntag");
  if (event.target === own) {
    if (event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    const tag = own.value.trim();
    if (tag && !tags.includes(tag)) tags.push(tag);
    if (tag && !chosen.includes(tag)) toggle(tag);
    own.value = "";
    box.close();
    return;
  }
  const number = Number(meant(event));
  if (number >= 1 && number <= Math.min(tags.length, 9)) toggle(tags[number - 1]);
  else if (event.key === "Enter" || event.key.toLowerCase() === "t") box.close();
  else return;
  // The key that closed this must not be answered by the page below.
  event.preventDefault();
  event.stopPropagation();
}, true);

function openList() {
  const box = document.getElementById("listbox");
  const buttons = [...judged].sort(([one], [other]) => one - other).map(([number, said]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${number + 1}: ${said.value ?? "skipped"}`;
    button.addEventListener("click", () => { box.close(); go(number, said); });
    return button;
  });
  box.querySelector(".scores").replaceChildren(...buttons);
  box.showModal();
  box.querySelector("[data-dismiss]").focus();
}

note.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" && event.key !== "Escape") return;
  event.preventDefault();
  note.blur();
});

// --- keys and buttons ---

const acts = {
  confirm, skip, undo: () => undo("u"), tags: openTags, list: openList,
  help: () => showKeys(KEYS), close: () => openClosing(judged.size, total),
};

const KEYS = [
  { keys: [..."0123456789"], show: "8 5", says: "a score of 85; one digit alone means tens, 0 is 0", does: digit },
  { keys: ["-"], show: "-", says: "100", does: () => set(100) },
  { keys: ["ArrowUp"], show: "↑ ↓", says: "one more or less, with Shift five", repeats: true, does: (_, event) => move(event.shiftKey ? 5 : 1) },
  { keys: ["ArrowDown"], repeats: true, does: (_, event) => move(event.shiftKey ? -5 : -1) },
  { keys: ["Enter"], show: "Enter", says: "store the score and go on", does: confirm },
  { keys: ["u"], show: "U Backspace", says: "take the last score back", does: undo },
  { keys: ["Backspace"], does: undo },
  { keys: ["s", "."], show: "S .", says: "skip", does: skip },
  { keys: ["n"], show: "N", says: "write a note", does: () => note.focus() },
  { keys: ["t"], show: "T", says: "tags; 1 to 9 choose one", does: openTags },
  { keys: ["f"], show: "F", says: "one large image, or all", does: () => shower.turn() },
  { keys: ["ArrowLeft"], show: "← →", says: "the large image before or after", repeats: true, does: () => shower.step(-1) },
  { keys: ["ArrowRight"], repeats: true, does: () => shower.step(1) },
  { keys: ["l"], show: "L", says: "your scores so far", does: openList },
  { keys: ["?"], show: "?", says: "these keys", does: () => acts.help() },
];

const ANYTIME = new Set(["?", "l", "Backspace", "u", "Enter"]);
// Until the images are there nothing is judged; while a score is being stored nothing else is.
listen(KEYS, (row) => !busy && (shower.ready || row.keys.some((key) => ANYTIME.has(key))) && (!done || row.keys.some((key) => ANYTIME.has(key))));
slider.addEventListener("input", () => set(Number(slider.value)));
for (const button of page.querySelectorAll("[data-act]")) {
  button.addEventListener("click", () => { if (!busy) acts[button.dataset.act](); });
}
for (const button of page.querySelectorAll("[data-value]")) {
  button.addEventListener("click", () => set(Number(button.dataset.value)));
}
dismissible();
if (page.dataset.pause === "1") notice(PAUSE, "warn");
const [first] = unjudged(0);
if (first === undefined) { progress(); shower.show(0, []); next(); } else go(first);
