// Comparing: which of two is better. The keys are the rows of KEYS.
import { dismissible, listen, showKeys } from "/static/keys.js";
import { PAUSE, SOONEST, Shower, lookFirst, notice, openClosing, post } from "/static/blind.js";

const page = document.getElementById("compare");
const { session } = page.dataset;
const total = Number(page.dataset.total);
const shower = new Shower(document.getElementById("images"), {
  session, shots: Number(page.dataset.shots), texts: JSON.parse(page.dataset.texts), sides: 2,
  width: Number(page.dataset.width), height: Number(page.dataset.height), layout: page.dataset.layout,
});

let position = 0;
let since = 0;
let busy = false;

async function go(to) {
  position = to;
  document.querySelector("progress").value = position;
  document.getElementById("count").textContent = `${position} of ${total}`;
  // Only the next pair is known before this one is judged.
  await shower.show(position, [position + 1]);
  since = performance.now();
  page.dataset.position = String(position);
}

async function send(what, values) {
  busy = true;
  try {
    const answer = await post(`/compare/${session}/${what}`, values);
    notice(answer.pause ? PAUSE : "", answer.pause ? "warn" : "");
    await go(answer.position);
    if (position >= total) {
      notice(`All ${total} are done. Close shows the ranking; more comparisons make it surer.`, "good");
    }
    return answer;
  } catch (error) {
    notice(error.message, "bad");
    return null;
  } finally {
    busy = false;
  }
}

function judge(result) {
  const seconds = (performance.now() - since) / 1000;
  if (seconds * 1000 < SOONEST) return notice("Not stored: these images have only just come.", "warn");
  if (shower.unseen) return lookFirst(shower.unseen);
  return send("judge", { position, result, seconds, item: shower.item });
}

async function undo() {
  const before = position;
  const answer = await send("undo", {});
  if (answer) notice(answer.position === before ? "There is nothing to take back." : "Taken back.");
}

const acts = { undo, help: () => showKeys(KEYS), close: () => openClosing(position, total) };

const KEYS = [
  { keys: ["ArrowLeft"], show: "←", says: "the left one is better", does: () => judge("left") },
  { keys: ["ArrowRight"], show: "→", says: "the right one is better", does: () => judge("right") },
  { keys: ["ArrowDown"], show: "↓", says: "no difference", does: () => judge("tie") },
  { keys: ["ArrowUp"], show: "↑", says: "both are bad", does: () => judge("both_bad") },
  { keys: ["u", "Backspace"], show: "U Backspace", says: "take the last one back", does: undo },
  { keys: ["f"], show: "F", says: "one large image of each, or all", does: () => shower.turn() },
  { keys: [",", "."], show: ", .", says: "the large image before or after", does: (key) => shower.step(key === "." ? 1 : -1) },
  { keys: ["?"], show: "?", says: "these keys", does: () => acts.help() },
];

listen(KEYS, (row) => !busy && (shower.ready || row.keys.includes("u") || row.keys.includes("?")));
for (const button of page.querySelectorAll("[data-act]")) {
  button.addEventListener("click", () => { if (!busy) acts[button.dataset.act](); });
}
for (const button of page.querySelectorAll("[data-result]")) {
  button.addEventListener("click", () => { if (!busy && shower.ready) judge(button.dataset.result); });
}
dismissible();
if (page.dataset.pause === "1") notice(PAUSE, "warn");
go(Number(page.dataset.start));
