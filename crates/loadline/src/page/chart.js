// A chart of the last five minutes: areas and lines over time, as SVG. Values can be read with the pointer or the arrow
// keys; all charts share the moment that is looked at.

import { clock } from "./words.js";

export const SPAN_MS = 300_000;
const GAP_MS = 3_500;
const SVG = "http://www.w3.org/2000/svg";
const LEFT = 44, RIGHT = 10, TOP = 10, BOTTOM = 22;

const charts = [];
let looked = null;

// The moment that all charts tell of, as milliseconds; null: now.
function look(time) {
  looked = time;
  charts.forEach((chart) => chart.drawCursor());
}

function make(name, attributes, parent) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent?.append(element);
  return element;
}

// The next round number at or above a value; even and whole for what has no halves.
function nice(value, whole) {
  const power = 10 ** Math.floor(Math.log10(value));
  const steps = whole ? [1, 2, 4, 6, 8, 10] : [1, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10];
  return steps.map((step) => step * power).find((step) => step >= value * 0.9999 && !(whole && step % 2));
}

export class Chart {
  // series: { key, label, kind: "area" | "line" | "step", on?, of(sample) -> number | null }. An area with `on` stands on the
  // area of that key.
  constructor({ box, legend, at, label, series, format, least, whole }) {
    Object.assign(this, { box, legend, at, label, series, format, least, whole });
    this.samples = [];
    this.restarts = [];
    this.svg = make("svg", { role: "img", tabindex: "0" }, box);
    this.grid = make("g", { class: "grid" }, this.svg);
    this.plot = make("g", { class: "plot" }, this.svg);
    this.cursor = make("line", { class: "cursor" }, this.svg);
    this.values = new Map();
    for (const one of series) {
      const item = document.createElement("li");
      const swatch = document.createElement("span");
      swatch.className = `swatch ${one.kind} ${one.key}`;
      const name = document.createElement("span");
      name.textContent = one.label;
      const value = document.createElement("strong");
      item.append(swatch, name, value);
      legend.append(item);
      this.values.set(one.key, { item, value });
      one.path = make("path", { class: `${one.kind} ${one.key}` }, this.plot);
    }
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => look(null));
    this.svg.addEventListener("blur", () => look(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(box);
    charts.push(this);
  }

  set(samples, restarts, now) {
    Object.assign(this, { samples, restarts, now });
    this.draw();
  }

  x(time) {
    return LEFT + (this.width - LEFT - RIGHT) * (1 - (this.now - time) / SPAN_MS);
  }

  y(value) {
    return TOP + (this.height - TOP - BOTTOM) * (1 - value / this.top);
  }

  draw() {
    const { width, height } = this.box.getBoundingClientRect();
    if (!width || !this.now) return;
    Object.assign(this, { width, height });
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    let most = this.least;
    for (const sample of this.samples) {
      for (const one of this.series) {
        if (!one.cut) most = Math.max(most, this.value(one, sample) ?? 0);
      }
    }
    // What may be far above everything else does not flatten it.
    for (const one of this.series.filter((one) => one.cut)) {
      const last = one.of(this.samples.at(-1) ?? {}) ?? 0;
      if (last < most * 2.5) most = Math.max(most, last);
    }
    this.top = nice(most * 1.04, this.whole);
    this.drawGrid();
    for (const one of this.series) one.path.setAttribute("d", this.path(one));
    this.drawCursor();
  }

  value(one, sample) {
    const value = one.of(sample);
    if (value === null) return null;
    if (one.cut && value > this.top) return null;
    return one.on ? value + (one.on(sample) ?? 0) : value;
  }

  drawGrid() {
    this.grid.replaceChildren();
    const steps = this.height > 200 ? 4 : 2;
    for (let step = 0; step <= steps; step += 1) {
      const value = (this.top * step) / steps;
      const y = this.y(value);
      make("line", { x1: LEFT, x2: this.width - RIGHT, y1: y, y2: y, class: step ? "" : "base" }, this.grid);
      make("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, this.grid).textContent = this.format(value);
    }
    const minutes = this.width < 400 ? [5, 2, 0] : this.width < 640 ? [5, 3, 1, 0] : [5, 4, 3, 2, 1, 0];
    for (const minute of minutes) {
      const x = this.x(this.now - minute * 60_000);
      const anchor = minute === 5 ? "start" : minute ? "middle" : "end";
      const text = make("text", { x, y: this.height - 5, "text-anchor": anchor }, this.grid);
      text.textContent = minute ? `${minute} min ago` : "now";
    }
    for (const time of this.restarts) {
      const x = this.x(time);
      if (x < LEFT) continue;
      make("line", { x1: x, x2: x, y1: TOP, y2: this.height - BOTTOM, class: "restart" }, this.grid);
      const anchor = x > this.width - 80 ? "end" : "start";
      const text = make("text", { x: x + (anchor === "end" ? -5 : 5), y: TOP + 10, "text-anchor": anchor }, this.grid);
      text.textContent = "restarted";
    }
  }

  // The path of a series, in pieces where samples are missing.
  path(one) {
    let piece = [], path = "";
    const end = () => {
      if (piece.length) path += one.kind === "area" ? this.area(one, piece) : this.line(one, piece);
      piece = [];
    };
    let before = null;
    for (const sample of this.samples) {
      const value = this.value(one, sample);
      if (value === null || (before !== null && sample.time_ms - before > GAP_MS)) end();
      before = sample.time_ms;
      if (value !== null && this.now - sample.time_ms < SPAN_MS) piece.push(sample);
    }
    end();
    return path;
  }

  line(one, piece) {
    const step = one.kind === "step";
    return piece.map((sample, at) => {
      const [x, y] = [this.x(sample.time_ms).toFixed(1), this.clampY(this.value(one, sample))];
      if (!at) return `M${x} ${y}`;
      return step ? `H${x}V${y}` : `L${x} ${y}`;
    }).join("");
  }

  area(one, piece) {
    const above = piece.map((sample) => `${this.x(sample.time_ms).toFixed(1)} ${this.clampY(this.value(one, sample))}`);
    const floor = (sample) => this.y(one.on ? one.on(sample) ?? 0 : 0).toFixed(1);
    const below = piece.toReversed().map((sample) => `${this.x(sample.time_ms).toFixed(1)} ${floor(sample)}`);
    return `M${above.join("L")}L${below.join("L")}Z`;
  }

  clampY(value) {
    return Math.max(TOP - 4, this.y(value)).toFixed(1);
  }

  // The sample at the moment that is looked at, or the latest.
  sample() {
    if (looked === null) return this.samples.at(-1);
    let best = null;
    for (const sample of this.samples) {
      if (!best || Math.abs(sample.time_ms - looked) < Math.abs(best.time_ms - looked)) best = sample;
    }
    return best;
  }

  drawCursor() {
    if (!this.width) return;
    const sample = this.sample();
    const shown = looked !== null && sample;
    this.cursor.setAttribute("visibility", shown ? "visible" : "hidden");
    if (shown) {
      const x = this.x(sample.time_ms);
      for (const [key, value] of Object.entries({ x1: x, x2: x, y1: TOP, y2: this.height - BOTTOM })) {
        this.cursor.setAttribute(key, value);
      }
    }
    this.at.textContent = shown ? `at ${clock(sample.time_ms)}` : "";
    const said = [];
    for (const one of this.series) {
      const value = sample ? one.of(sample) : null;
      const { item, value: cell } = this.values.get(one.key);
      item.hidden = Boolean(one.optional) && value === null;
      cell.textContent = value === null ? "–" : this.format(value);
      if (value !== null) said.push(`${one.label} ${this.format(value)}`);
    }
    this.svg.setAttribute("aria-label", `${this.label}. ${shown ? `At ${clock(sample.time_ms)}` : "Now"}: ${said.join(", ")}. Arrow keys look back.`);
  }

  point(event) {
    const x = event.clientX - this.svg.getBoundingClientRect().left;
    const share = (x - LEFT) / (this.width - LEFT - RIGHT);
    look(this.now - SPAN_MS * (1 - Math.min(1, Math.max(0, share))));
  }

  key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
    if (event.key === "Escape") return look(null);
    if (!(event.key in steps) || !this.samples.length) return undefined;
    event.preventDefault();
    const at = this.samples.indexOf(this.sample()) + steps[event.key];
    const to = Math.min(this.samples.length - 1, Math.max(0, at));
    return look(to === this.samples.length - 1 ? null : this.samples[to].time_ms);
  }
}
