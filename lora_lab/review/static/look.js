// The matrix, and the pages with numbers: choices are sent at once, rows come as they are needed, a running
// sweep stays up to date.
import { fetchPart } from "/static/zoom.js";

const POLL_SECONDS = 4;
const table = document.querySelector("table.matrix");
const scroll = document.querySelector(".scroll");

// Choosing is asking: no button has to be pressed.
document.addEventListener("change", (event) => {
  const form = event.target.form;
  if (form?.id !== "view") return;
  for (const field of form.elements) if (field.name && field.type !== "checkbox" && field.value === "") field.disabled = true;
  form.requestSubmit();
});

const narrow = matchMedia("(max-width: 900px)");
const viewing = document.querySelector(".viewing");
if (viewing && narrow.matches) viewing.open = false;
document.addEventListener("click", (event) => {
  const open = document.querySelector(".only[open]");
  if (open && !open.contains(event.target)) open.open = false;
});

// More rows, before they come into sight.
let loading = false;
async function more() {
  const link = document.querySelector(".more a");
  if (!link || loading) return;
  loading = true;
  try {
    const page = await fetchPart(link.href);
    table.tBodies[0].append(...page.querySelectorAll("table.matrix > tbody > tr"));
    const next = page.querySelector(".more");
    link.closest(".more").replaceWith(...(next ? [next] : []));
  } finally {
    loading = false;
  }
  watch();
}
const near = new IntersectionObserver((seen) => { if (seen.some((item) => item.isIntersecting)) more(); }, { root: scroll, rootMargin: "1200px" });
function watch() {
  const link = document.querySelector(".more a");
  if (link) near.observe(link);
}

// Coming back finds the rows and the place that were left.
function place() {
  return `place:${location.pathname}${location.search}`;
}
async function restore() {
  const kept = JSON.parse(sessionStorage.getItem(place()) ?? "null");
  if (!kept) return;
  while (table.tBodies[0].rows.length < kept.rows && document.querySelector(".more a")) await more();
  scroll.scrollTo(kept.left, kept.top);
}
if (table) {
  restore().finally(watch);
  addEventListener("pagehide", () => {
    sessionStorage.setItem("looked-from", location.href);
    sessionStorage.setItem(place(), JSON.stringify({ rows: table.tBodies[0].rows.length, left: scroll.scrollLeft, top: scroll.scrollTop }));
  });
}

// A running sweep: ask for its version, and replace only what changed.
const live = document.querySelector("[data-live]");
let known = live?.dataset.version;
async function refresh() {
  const answer = await fetch(live.dataset.address);
  if (!answer.ok) return;
  const told = await answer.json();
  if (told.version === known) return;
  const address = new URL(location.href);
  if (table) address.searchParams.set("count", table.tBodies[0].rows.length);
  const page = await fetchPart(address);
  if (table) {
    patchRows(page);
    // The first images bring prompts to choose from, and the base model's image.
    for (const name of [".beside", "#view", ".bar > .prompt"]) patch(name, page);
  }
  else document.querySelector(".charts")?.replaceWith(page.querySelector(".charts"));
  known = told.version;
  if (!told.live) clearInterval(timer);
}

function patch(name, page) {
  const now = document.querySelector(name), next = page.querySelector(name);
  if (!now && next) document.querySelector(".bar").append(next);
  if (now && next && now.innerHTML !== next.innerHTML && !now.contains(document.activeElement)) now.replaceChildren(...next.childNodes);
}

function patchRows(page) {
  const body = table.tBodies[0];
  const fresh = [...page.querySelectorAll("table.matrix > tbody > tr")];
  const head = page.querySelector("table.matrix > thead");
  if (head.innerHTML !== table.tHead.innerHTML) table.tHead.replaceWith(head);
  fresh.forEach((row, number) => {
    const old = body.rows[number];
    if (!old) return body.append(row);
    if (old.dataset.row !== row.dataset.row || old.cells.length !== row.cells.length) return old.replaceWith(row);
    [...row.cells].forEach((cell, place) => {
      const before = old.cells[place];
      if (before.innerHTML === cell.innerHTML) return;
      const checked = new Set([...before.querySelectorAll(":checked")].map((item) => item.value));
      for (const box of cell.querySelectorAll("input")) box.checked = checked.has(box.value);
      before.replaceWith(cell);
    });
  });
  const next = page.querySelector(".more"), now = document.querySelector(".more");
  if (next && now) now.replaceWith(next);
  watch();
}
const timer = live && setInterval(() => { if (!document.hidden) refresh().catch(() => {}); }, POLL_SECONDS * 1000);
