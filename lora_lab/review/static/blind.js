// What scoring and comparing share: images loaded ahead, the size that fits, answers that are stored before
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

// An image with its words. It is decoded and made as small as it is shown away from the page's own thread, so that
// showing it costs nothing; a canvas gives its memory back at once, while an <img> that is removed keeps it (Chromium,
// ten images an item: 17 MB each time).
class ShownImage {
  constructor(address, words, natural) {
    this.figure = document.createElement("figure");
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", words);
    const caption = document.createElement("figcaption");
    caption.textContent = words;
    this.figure.append(this.canvas, caption);
    this.natural = natural;
    this.wanted = 0;
    this.blob = null;
    this.loaded = this.load(address).catch(() => this.figure.classList.add("gone"));
  }

  async load(address) {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`answer ${answer.status}`);
    this.item = answer.headers.get("x-item") ?? "";
    this.blob = await answer.blob();
    await this.paint();
  }

  size(width, height) {
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    // Larger than it is, the browser stretches it as smoothly as we could.
    const wide = Math.min(Math.round(width * devicePixelRatio), this.natural);
    if (wide === this.wanted) return;
    this.wanted = wide;
    if (this.blob) this.paint().catch(() => this.figure.classList.add("gone"));
  }

  async paint() {
    const wide = this.wanted;
    const small = wide < this.natural ? { resizeWidth: wide, resizeQuality: "high" } : {};
    const bitmap = await createImageBitmap(this.blob, small);
    // Meanwhile it may have been dropped, or be wanted in another size.
    if (wide !== this.wanted) { bitmap.close(); return; }
    Object.assign(this.canvas, { width: bitmap.width, height: bitmap.height });
    this.canvas.getContext("bitmaprenderer").transferFromImageBitmap(bitmap);
  }

  drop() {
    this.wanted = -1;
    this.blob = null;
    this.canvas.getContext("bitmaprenderer").transferFromImageBitmap(null);
  }
}

// A tap, and a swipe to either side (the next image comes from the right).
function touch(element, tapped, swiped) {
  let from = null;
  element.addEventListener("pointerdown", (event) => { from = [event.clientX, event.clientY]; });
  element.addEventListener("pointercancel", () => { from = null; });
  element.addEventListener("pointerup", (event) => {
    if (!from) return;
    const [across, down] = [event.clientX - from[0], event.clientY - from[1]];
    from = null;
    if (Math.abs(across) > 40 && Math.abs(across) > 2 * Math.abs(down)) swiped(across < 0 ? 1 : -1);
    else if (Math.hypot(across, down) < 10) tapped();
  });
}

export function lookFirst(count) {
  notice(`Not stored: ${count} more ${count === 1 ? "image" : "images"} to look at first. Tap, swipe or → shows the next.`, "warn");
}

// Shows one item at a time; the next ones are loaded and decoded before they are asked for.
export class Shower {
  constructor(area, { session, shots, texts, width, height, sides, layout }) {
    Object.assign(this, { area, session, shots, texts, sides, layout, natural: width, ratio: width / height });
    this.usual = layout;
    this.items = new Map();
    this.current = null;
    this.number = 0;
    this.size = 1;
    this.fit();
    new ResizeObserver(() => this.fit()).observe(area);
  }

  make(position) {
    const node = document.createElement("div");
    node.className = "item";
    node.hidden = true;
    const item = { node, ready: false, images: [], seen: new Set() };
    for (let side = 0; side < this.sides; side += 1) {
      const group = document.createElement("div");
      group.className = "group";
      for (let shot = 0; shot < this.shots; shot += 1) {
        const number = side * this.shots + shot;
        const image = new ShownImage(`/session/${this.session}/image/${position}/${number}`, this.texts[shot], this.natural);
        item.images.push(image);
        touch(image.figure, () => this.tap(shot), (by) => { if (this.layout === "one") this.step(by); });
        group.append(image.figure);
      }
      node.append(group);
    }
    this.lay(item);
    this.area.append(node);
    item.loaded = Promise.all(item.images.map((image) => image.loaded)).then(() => { item.ready = true; });
    this.items.set(position, item);
    return item;
  }

  // Shows the item of a position, and loads those of `ahead`; resolves when its images are there.
  async show(position, ahead) {
    const item = this.items.get(position) ?? this.make(position);
    this.current = position;
    this.number = 0;
    for (const [key, other] of this.items) {
      if (key !== position && !ahead.includes(key)) {
        for (const image of other.images) image.drop();
        other.node.remove();
        this.items.delete(key);
      }
    }
    await item.loaded;
    if (this.current !== position) return;
    for (const [key, other] of this.items) other.node.hidden = key !== position;
    this.look();
    // Back to the first image, where one is shown at a time, and to all of them after one was enlarged.
    if (this.layout === "one") { this.layout = this.usual; this.fit(); }
    // First what is shown is painted, then the next ones are asked for.
    requestAnimationFrame(() => setTimeout(() => {
      if (this.current !== position) return;
      for (const key of ahead) if (!this.items.has(key)) this.make(key);
    }));
  }

  // The name of what is shown, which goes with what is said of it.
  get item() {
    return this.items.get(this.current)?.images.find((image) => image.item)?.item ?? "";
  }

  get ready() {
    return this.items.get(this.current)?.ready ?? false;
  }

  // Chooses the number of columns with which the images are largest, and lays all items out with it.
  fit() {
    const caption = matchMedia("(max-height: 30rem) and (min-width: 30rem)").matches ? 0 : 26;
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
    this.size = Math.max(Math.floor(best.size), 72);
    this.columns = best.columns;
    for (const item of this.items.values()) this.lay(item);
    for (const base of document.querySelectorAll("[data-shot]")) {
      base.classList.toggle("same", this.layout === "one" && Number(base.dataset.shot) === this.number);
    }
  }

  lay(item) {
    for (const image of item.images) image.size(this.size, this.size / this.ratio);
    for (const group of item.node.children) {
      group.style.gridTemplateColumns = `repeat(${this.columns}, ${this.size}px)`;
      [...group.children].forEach((figure, number) => {
        figure.hidden = this.layout === "one" && number !== this.number;
      });
    }
  }

  step(by) {
    this.number = (this.number + by + this.shots) % this.shots;
    this.fit();
    this.look();
  }

  // A tap enlarges an image of a grid, and another leads back; it leads on to the next where one is shown at a time.
  tap(shot) {
    if (this.shots < 2) return;
    if (this.usual === "one") return this.step(1);
    this.layout = this.layout === "one" ? "grid" : "one";
    this.number = shot;
    this.fit();
  }

  // What of the item was seen by now.
  look() {
    const item = this.items.get(this.current);
    if (!item || item.node.hidden) return;
    for (let shot = 0; shot < this.shots; shot += 1) {
      if (this.layout !== "one" || shot === this.number) item.seen.add(shot);
    }
    this.onlook?.();
  }

  // How many images of each side were not looked at yet.
  get unseen() {
    return this.shots - (this.items.get(this.current)?.seen.size ?? 0);
  }

  // Between all images and one at a time.
  turn() {
    if (this.shots > 1) this.layout = this.usual = this.layout === "one" ? "grid" : "one";
    this.fit();
    this.look();
  }
}

export const SOONEST = 300; // ms within which nobody judges what they see: such a press was meant for what was there before

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
