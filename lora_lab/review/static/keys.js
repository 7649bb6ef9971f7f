// One table of keys per page. A row is {keys: [...], show: "what is printed on the keys", says: "what they do",
// does: (key, event) => ...}; the same table answers the keyboard and is shown by "?".

const WORDS = "input:not([type=range]):not([type=radio]):not([type=checkbox]), textarea, select";

// The key that is meant. Digits go by their place: the unshifted row of a French keyboard prints & é " ' ( - è _ ç à,
// and a number pad without NumLock sends Home, arrows and the like. All else goes by what is printed on it.
export function meant(event) {
  const digit = /^(?:Digit|Numpad)([0-9])$/.exec(event.code);
  if (digit && (event.code.startsWith("Numpad") || !event.shiftKey || /[0-9]/.test(event.key))) return digit[1];
  if (event.code === "NumpadSubtract") return "-";
  if (event.code === "NumpadEnter") return "Enter";
  if (event.code === "NumpadDecimal") return ".";
  return event.key;
}

export function listen(table, mayAct) {
  const rows = new Map(table.flatMap((row) => row.keys.map((key) => [key, row])));
  document.addEventListener("keydown", (event) => {
    // Chords belong to the browser.
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.matches(WORDS) || document.querySelector("dialog[open]")) return;
    // Somebody who tabs to a button presses it with Enter or space.
    if ((event.key === "Enter" || event.key === " ") && event.target.matches("button, a, summary")) return;
    const key = meant(event);
    const row = rows.get(key) ?? rows.get(key.toLowerCase());
    if (!row) return;
    event.preventDefault();
    if (event.repeat && !row.repeats) return;
    if (mayAct(row)) row.does(key, event);
  });
  // A button that was clicked must not take the next Enter.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button && event.detail > 0) button.blur();
  });
  // Said to whoever drives the page by program: from here on, keys act.
  document.documentElement.dataset.keys = "ready";
}

export function showKeys(table) {
  const dialog = document.getElementById("keys");
  const rows = table.filter((row) => row.show).map((row) => {
    const line = document.createElement("tr");
    const [keys, says] = [document.createElement("td"), document.createElement("td")];
    for (const name of row.show.split(" ")) {
      const key = document.createElement("kbd");
      key.textContent = name;
      keys.append(key, " ");
    }
    says.textContent = row.says;
    line.append(keys, says);
    return line;
  });
  dialog.querySelector("tbody").replaceChildren(...rows);
  dialog.showModal();
}

export function dismissible() {
  for (const button of document.querySelectorAll("[data-dismiss]")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
}
