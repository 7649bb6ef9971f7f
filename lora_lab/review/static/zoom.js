// One zoom and pan over several frames. A frame may stand apart by an offset of its own, which it keeps when the
// frames are moved together again. Positions are in shares of an image, so that images of other sizes follow.

const LEAST = 0.2;
const MOST = 64;

export class Zoom {
  constructor(stage) {
    this.stage = stage;
    this.together = true;
    this.shared = { scale: 1, x: 0.5, y: 0.5 };
    this.offsets = [];
    this.frames = [];
    this.leading = -1;
    new ResizeObserver(() => this.draw()).observe(stage);
  }

  // Take the frames that are on the page now; those that were there keep their offsets.
  bind() {
    this.frames = [...this.stage.querySelectorAll(".frame")].map((element) => ({
      element,
      number: Number(element.closest(".pane").dataset.pane),
    }));
    for (const frame of this.frames) {
      this.offsets[frame.number] ??= { scale: 1, x: 0, y: 0 };
      for (const image of frame.element.querySelectorAll("img")) image.addEventListener("load", () => this.draw());
      if (frame.element.dataset.bound) continue;
      frame.element.dataset.bound = "1";
      this.listen(frame);
    }
    this.draw();
  }

  listen(frame) {
    const { element, number } = frame;
    const pointers = new Map();
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      this.zoomAt(number, Math.exp(-event.deltaY * lines * 0.0015), event.clientX, event.clientY);
    }, { passive: false });
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      element.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
    });
    element.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
      const now = [event.clientX, event.clientY];
      pointers.set(event.pointerId, now);
      if (other) {
        const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
        this.zoomAt(number, apart(now) / Math.max(apart(before), 1), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      } else {
        this.panBy(number, now[0] - before[0], now[1] - before[1]);
      }
    });
    for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, (event) => pointers.delete(event.pointerId));
    element.addEventListener("dblclick", () => this.shared.scale > 1.01 ? this.fit() : this.one(number));
  }

  // Where a frame looks: scale (1 fits the frame) and the point of the image in the middle of the frame.
  of(number) {
    const own = this.offsets[number] ?? { scale: 1, x: 0, y: 0 };
    return { scale: this.shared.scale * own.scale, x: this.shared.x + own.x, y: this.shared.y + own.y };
  }

  set(number, wanted) {
    const scale = Math.min(Math.max(wanted.scale, LEAST), MOST);
    const now = this.of(number);
    const target = this.together ? this.shared : this.offsets[number];
    target.scale *= scale / now.scale;
    target.x += wanted.x - now.x;
    target.y += wanted.y - now.y;
    this.draw();
  }

  measure(number) {
    const frame = this.frames.find((item) => item.number === number);
    const image = frame?.element.querySelector("img.shown");
    if (!image) return null;
    const box = frame.element.getBoundingClientRect();
    const width = image.naturalWidth || image.width, height = image.naturalHeight || image.height;
    return { box, width, height, fit: Math.min(box.width / width, box.height / height) };
  }

  zoomAt(number, factor, clientX, clientY) {
    const seen = this.measure(number);
    if (!seen) return;
    const now = this.of(number);
    const scale = Math.min(Math.max(now.scale * factor, LEAST), MOST);
    // The point under the pointer stays under it.
    const across = (clientX - seen.box.left - seen.box.width / 2) / (seen.width * seen.fit);
    const down = (clientY - seen.box.top - seen.box.height / 2) / (seen.height * seen.fit);
    const change = 1 / now.scale - 1 / scale;
    this.set(number, { scale, x: now.x + across * change, y: now.y + down * change });
  }

  panBy(number, dx, dy) {
    const seen = this.measure(number);
    if (!seen) return;
    const now = this.of(number);
    const size = seen.fit * now.scale;
    this.set(number, { scale: now.scale, x: now.x - dx / (seen.width * size), y: now.y - dy / (seen.height * size) });
  }

  // One pixel of the image on one pixel of the screen.
  one(number = this.leading < 0 ? this.frames[0]?.number : this.leading) {
    const seen = this.measure(number);
    if (!seen) return;
    this.shared.scale = 1 / (seen.fit * window.devicePixelRatio) / (this.offsets[number]?.scale ?? 1);
    this.draw();
  }

  fit() {
    this.shared = { scale: 1, x: 0.5, y: 0.5 };
    if (!this.together) this.align();
    this.draw();
  }

  align() {
    this.offsets = this.offsets.map(() => ({ scale: 1, x: 0, y: 0 }));
    this.draw();
  }

  draw() {
    for (const frame of this.frames) {
      const seen = this.measure(frame.number);
      if (!seen || !seen.box.width) continue;
      for (const image of frame.element.querySelectorAll("img, canvas")) {
        // An image that lies over another one keeps its own offset.
        const look = this.of(Number(image.dataset.of ?? frame.number));
        const size = seen.fit * look.scale;
        const x = seen.box.width / 2 - look.x * seen.width * size;
        const y = seen.box.height / 2 - look.y * seen.height * size;
        image.style.width = `${seen.width}px`;
        image.style.height = `${seen.height}px`;
        image.style.transform = `translate(${x}px, ${y}px) scale(${size})`;
      }
    }
    this.stage.dispatchEvent(new CustomEvent("zoomed"));
  }
}

// Fetch another page of the same kind and give its part that is to be shown.
// A page that is being left aborts what it fetches. That is no failure to answer by loading the address instead:
// doing so would overtake the way out that the user chose.
let leaving = false;
addEventListener("beforeunload", () => { leaving = true; });

export async function fetchPart(address) {
  leaving = false;
  try {
    const answer = await fetch(address, { credentials: "same-origin" });
    if (!answer.ok) throw new Error(`${answer.status}`);
    const text = await answer.text();
    if (!leaving) return new DOMParser().parseFromString(text, "text/html");
  } catch (error) {
    if (!leaving) throw error;
  }
  return new Promise(() => {});
}
