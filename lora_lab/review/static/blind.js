// What scoring and comparing share: pictures loaded ahead, the size that fits, answers that are stored before
// anything moves on.

export async function post(address, values) {
  let answer;
  try {
    answer = await fetch(address, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(values),
    });
  } catch {
    throw new Error("Not stored: lora-lab review does not answer. Start it again, then press the key again.");
  }
  const found = await answer.json().catch(() => ({ error: `answer ${answer.status}` }));
  if (!answer.ok) throw new Error(`Not stored: ${found.error}.`);
  return found;
}

// Shows one item at a time; the next ones are loaded and decoded before they are asked for.
export class Shower {
  constructor(area, { session, shots, texts, width, height, sides, layout }) {
    Object.assign(this, { area, session, shots, texts, sides, layout, ratio: width / height });
    this.items = new Map();
    this.current = null;
    this.number = 0;
    new ResizeObserver(() => this.fit()).observe(area);
  }

  make(position) {
    const node = document.createElement("div");
    node.className = "item";
    node.hidden = true;
    const loads = [];
    for (let side = 0; side < this.sides; side += 1) {
      const group = document.createElement("div");
      group.className = "group";
      for (let shot = 0; shot < this.shots; shot += 1) {
        const figure = document.createElement("figure");
        const image = new Image();
        image.alt = "";
        image.src = `/session/${this.session}/picture/${position}/${side * this.shots + shot}`;
        loads.push(image.decode().catch(() => figure.classList.add("gone")));
        const words = document.createElement("figcaption");
        words.textContent = this.texts[shot];
        figure.append(image, words);
        group.append(figure);
      }
      node.append(group);
    }
    this.area.append(node);
    const item = { node, ready: false };
    item.loaded = Promise.all(loads).then(() => { item.ready = true; });
    this.items.set(position, item);
    return item;
  }

  // Shows the item of a position, and loads those of `ahead`; resolves when its pictures are there.
  async show(position, ahead) {
    const item = this.items.get(position) ?? this.make(position);
    this.current = position;
    this.number = 0;
    for (const [key, other] of this.items) {
      if (key !== position && !ahead.includes(key)) {
        // Pictures that are only removed stay in memory until the browser tidies up.
        for (const image of other.node.querySelectorAll("img")) image.removeAttribute("src");
        other.node.remove();
        this.items.delete(key);
      }
    }
    await item.loaded;
    if (this.current !== position) return;
    for (const [key, other] of this.items) other.node.hidden = key !== position;
    this.fit();
    for (const key of ahead) if (!this.items.has(key)) this.make(key);
  }

  get ready() {
    return this.items.get(this.current)?.ready ?? false;
  }

  // Chooses the number of columns with which the pictures are largest.
  fit() {
    const item = this.items.get(this.current);
    if (!item) return;
    const caption = 26;
    const gap = 8;
    const shown = this.layout === "one" ? 1 : this.shots;
    const wide = (this.area.clientWidth - (this.sides - 1) * 24) / this.sides;
    const high = this.area.clientHeight;
    let best = { size: 0, columns: 1 };
    for (let columns = 1; columns <= shown; columns += 1) {
      const rows = Math.ceil(shown / columns);
      const width = (wide - gap * (columns - 1)) / columns;
      const height = (high - gap * (rows - 1)) / rows - caption;
      const size = Math.min(width, height * this.ratio);
      if (size > best.size) best = { size, columns };
    }
    const size = Math.max(Math.floor(best.size), 72);
    for (const group of item.node.children) {
      group.style.gridTemplateColumns = `repeat(${best.columns}, ${size}px)`;
      [...group.children].forEach((figure, number) => {
        figure.hidden = this.layout === "one" && number !== this.number;
      });
    }
    for (const image of item.node.querySelectorAll("img")) {
      image.style.width = `${size}px`;
      image.style.height = `${size / this.ratio}px`;
    }
    for (const base of document.querySelectorAll("[data-shot]")) {
      base.classList.toggle("same", this.layout === "one" && Number(base.dataset.shot) === this.number);
    }
  }

  step(by) {
    this.number = (this.number + by + this.shots) % this.shots;
    this.fit();
  }

  // Between all pictures and one at a time.
  turn() {
    if (this.shots > 1) this.layout = this.layout === "one" ? "grid" : "one";
    this.fit();
  }
}

export function notice(text, kind = "") {
  const line = document.getElementById("notice");
  line.textContent = text;
  line.className = `notice ${kind}`;
}

export function openClosing(done, total) {
  const dialog = document.getElementById("closing");
  dialog.querySelector("[data-done]").textContent = done;
  dialog.querySelector("[data-total]").textContent = total;
  dialog.showModal();
  // Enter must not end a session that is not through.
  if (done < total) dialog.querySelector("[data-dismiss]").focus();
}

export const PAUSE = "You have judged for half an hour without a break. Judgements drift when one is tired: everything is stored, come back later.";
