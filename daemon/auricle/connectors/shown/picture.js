// A picture of one source: its spectrogram, scrolling, with axes, events and what was not heard.

const BANDS = 64, RING = 2048, SPAN = 120, LEFT = 48, BOTTOM = 18, TOP = 16;
const AXIS_HZ = [125, 250, 500, 1000, 2000, 4000, 8000, 16000];
const SECONDS_PER_1000_PX = 40;
const RAMP = [[0, 0, 20], [60, 15, 110], [160, 45, 110], [235, 105, 50], [250, 190, 60], [255, 250, 210]];
const SHADES = Uint8ClampedArray.from({ length: 256 * 3 }, (_, i) => {
  const place = Math.floor(i / 3) / 255 * (RAMP.length - 1), at = Math.min(RAMP.length - 2, Math.floor(place));
  return RAMP[at][i % 3] + (RAMP[at + 1][i % 3] - RAMP[at][i % 3]) * (place - at);
});

const mel = (hz) => Math.log10(1 + hz / 700);

export class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.bytes = new Uint8Array(RING * BANDS);
    this.strip = document.createElement("canvas");
    [this.strip.width, this.strip.height] = [RING, BANDS];
    this.pixels = this.strip.getContext("2d", { willReadFrequently: true });
    this.clear();
  }

  clear() {
    this.runs = []; // of columns that follow each other: { begin (ms), first (column), n }
    this.count = 0;
    this.gaps = [];
    this.events = new Map();
    [this.low, this.columnMs, this.topHz, this.end, this.came] = [40, 80, 8000, null, 0];
  }

  // Columns that begin at a time in ms; `bytes` has 64 a column.
  add(begin, columnMs, topHz, bytes) {
    const n = bytes.length / BANDS;
    let run = this.runs.at(-1);
    const last = run && run.begin + run.n * this.columnMs;
    if (run && begin < last - 1000) { this.clear(); run = null; } // the stream began anew
    else if (run && begin < last - columnMs / 2) return; // it came again
    if (!run || Math.abs(begin - last) > columnMs / 2 || columnMs !== this.columnMs) {
      run = { begin, first: this.count, n: 0 };
      this.runs.push(run);
    }
    [this.columnMs, this.topHz] = [columnMs, topHz];
    for (let i = 0; i < n; i++) {
      this.bytes.set(bytes.subarray(i * BANDS, (i + 1) * BANDS), ((this.count + i) % RING) * BANDS);
      this.paint((this.count + i) % RING);
    }
    run.n += n;
    this.count += n;
    this.runs = this.runs.filter((each) => each.first + each.n > this.count - RING);
    [this.end, this.came] = [run.begin + run.n * columnMs, performance.now()];
    this.lastMs = n * columnMs;
    this.measure();
  }

  // The quiet is dark: the scale begins where a fifth of what is shown is below.
  measure() {
    if (this.count % 12 > 2) return;
    const counts = new Uint32Array(256), n = Math.min(this.count, 400);
    for (let i = this.count - n; i < this.count; i++)
      for (let b = 0; b < BANDS; b++) counts[this.bytes[(i % RING) * BANDS + b]]++;
    let low = 0;
    for (let sum = counts[0]; sum < n * BANDS / 5; sum += counts[++low]);
    if (Math.abs(low - this.low) < 6) return;
    this.low = low;
    for (let slot = 0; slot < Math.min(RING, this.count); slot++) this.paint(slot);
  }

  paint(slot) {
    const image = this.pixels.createImageData(1, BANDS);
    for (let b = 0; b < BANDS; b++) {
      const shade = Math.max(0, Math.min(255, Math.round((this.bytes[slot * BANDS + b] - this.low) * 255 / SPAN)));
      image.data.set(SHADES.subarray(shade * 3, shade * 3 + 3), (BANDS - 1 - b) * 4);
      image.data[(BANDS - 1 - b) * 4 + 3] = 255;
    }
    this.pixels.putImageData(image, slot, 0);
  }

  gap(begin, end) {
    this.gaps.push([begin, end]);
    this.gaps.splice(0, this.gaps.length - 50);
  }

  event(id, label, begin, end) {
    this.events.set(id, { label, begin, end });
    if (this.events.size > 200) this.events.delete(this.events.keys().next().value);
  }

  // The row of a frequency, in px from the top of the plot: the middle of band b, from 1, is at b / 65.
  row(hz, height) {
    const band = mel(hz) / mel(this.topHz) * (BANDS + 1) - 1;
    return height - (band + 0.5) * height / BANDS;
  }

  draw() {
    const { canvas } = this, ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width || this.end === null) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio))
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    const c = canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.fillStyle = "#000014";
    c.fillRect(0, 0, width, height);
    const plot = { x: LEFT, y: TOP, w: width - LEFT, h: height - TOP - BOTTOM };
    // What came lately slides in until the next is due.
    const edge = this.end - Math.max(0, this.lastMs - (performance.now() - this.came));
    const ms = plot.w * SECONDS_PER_1000_PX;
    const x = (t) => plot.x + plot.w * (1 - (edge - t) / ms);
    c.save();
    c.beginPath();
    c.rect(plot.x, plot.y, plot.w, plot.h);
    c.clip();
    this.hatch(c, plot, edge - ms, edge, x);
    c.imageSmoothingEnabled = false;
    for (const run of this.runs) this.drawRun(c, run, plot, x, edge - ms);
    c.restore();
    this.drawEvents(c, plot, x, edge);
    this.axes(c, plot, x, edge, ms, width);
    Object.assign(canvas.dataset, { left: plot.x, top: plot.y, width: plot.w, height: plot.h, edge, ms, top_hz: this.topHz });
  }

  drawRun(c, run, plot, x, from) {
    let first = Math.max(run.first, this.count - RING, run.first + Math.floor((from - run.begin) / this.columnMs));
    while (first < run.first + run.n) {
      const slot = first % RING, n = Math.min(run.first + run.n - first, RING - slot);
      const left = x(run.begin + (first - run.first) * this.columnMs);
      const right = x(run.begin + (first - run.first + n) * this.columnMs);
      c.drawImage(this.strip, slot, 0, n, BANDS, left, plot.y, right - left, plot.h);
      first += n;
    }
  }

  // What no column covers, and what was told as a gap.
  hatch(c, plot, from, to, x) {
    const holes = this.gaps.filter(([, end]) => end > from);
    this.runs.forEach((run, i) => {
      const next = this.runs[i + 1];
      if (next) holes.push([run.begin + run.n * this.columnMs, next.begin]);
    });
    c.strokeStyle = "#8a8594";
    c.lineWidth = 1;
    for (const [begin, end] of holes) {
      const left = Math.max(plot.x, x(begin)), right = x(Math.min(end, to));
      if (right <= left) continue;
      c.save();
      c.beginPath();
      c.rect(left, plot.y, right - left, plot.h);
      c.clip();
      c.beginPath();
      for (let at = left - plot.h; at < right; at += 8) { c.moveTo(at, plot.y + plot.h); c.lineTo(at + plot.h, plot.y); }
      c.stroke();
      c.restore();
    }
  }

  drawEvents(c, plot, x, edge) {
    c.font = "12px system-ui, sans-serif";
    c.textBaseline = "middle";
    const shown = [];
    let written = -Infinity;
    for (const { label, begin, end } of [...this.events.values()].sort((a, b) => a.begin - b.begin)) {
      const left = Math.max(plot.x, x(begin)), right = x(Math.min(end ?? edge, edge));
      if (right < plot.x || left > plot.x + plot.w) continue;
      const hue = [...label].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
      c.fillStyle = `hsl(${hue} 70% 60%)`;
      c.fillRect(left, plot.y - 3, Math.max(2, right - left), 3);
      if (x(begin) >= plot.x) c.fillRect(left, plot.y, 1.5, plot.h);
      if (end !== null && right <= plot.x + plot.w) { c.globalAlpha = 0.5; c.fillRect(right - 1, plot.y, 1, plot.h); c.globalAlpha = 1; }
      const text = c.measureText(label).width, at = Math.min(left, plot.x + plot.w - text);
      if (at > written || end === null) c.fillText(label, at, 7);
      written = Math.max(written, at + text + 4);
      shown.push(label);
    }
    this.canvas.dataset.events = shown.join(" ");
  }

  axes(c, plot, x, edge, ms, width) {
    c.fillStyle = "#d6d2dd";
    c.font = "11px system-ui, sans-serif";
    c.textBaseline = "middle";
    c.textAlign = "right";
    let above = Infinity;
    for (const hz of AXIS_HZ) {
      const y = plot.y + this.row(hz, plot.h);
      if (hz > this.topHz || above - y < 13 || y < plot.y + 4) continue;
      above = y;
      c.fillText(hz < 1000 ? `${hz} Hz` : `${hz / 1000} kHz`, plot.x - 4, y);
    }
    c.textAlign = "center";
    const step = ms > 25000 ? 10000 : 5000;
    for (let t = Math.ceil((edge - ms) / step) * step; t < edge; t += step) {
      const at = x(t), text = new Date(t).toLocaleTimeString([], { hour12: false });
      c.fillRect(at, plot.y + plot.h, 1, 3);
      if (at > plot.x + 24 && at < width - 26) c.fillText(text, at, plot.y + plot.h + 10);
    }
    c.textAlign = "left";
  }
}
