"use strict";
const found = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const LEFT = 92, LISTED = 300, LEAST_S = 0.02;

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const words = (text) => new Uint16Array(bytes(text).buffer);

const level = bytes(found.level);
const columns = level.length;
const powers = new Uint8Array(columns * found.bands); // one column after the other, the highest band first
const curves = found.curves.map((curve) => ({ ...curve, scores: words(curve.scores), shown: true }));
const reported = found.events.map(([begin, end, label, peak]) => ({ begin, end, label, peak, lane: 0 }));
const truth = (found.truth || []).map(([begin, end, label]) => ({ begin, end, label, lane: 1 }));
const labels = [...new Set([...curves.map((c) => c.label), ...reported.map((e) => e.label), ...truth.map((e) => e.label)])];
const told = [...new Set([...reported, ...truth].map((e) => e.label))];
const colour = (label, light = 42) => `hsl(${(labels.indexOf(label) * 137.5) % 360} 75% ${light}%)`;

// From black over purple and orange to pale yellow: even steps look even.
const STOPS = [[0, 0, 4], [59, 15, 112], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]];
const palette = Array.from({ length: 256 }, (_, value) => {
  const place = (value / 255) * (STOPS.length - 1), stop = Math.min(STOPS.length - 2, Math.floor(place));
  return STOPS[stop].map((c, i) => Math.round(c + (STOPS[stop + 1][i] - c) * (place - stop)));
});

let view = [0, found.duration_s];

function clock(seconds, digits) {
  const whole = Math.floor(seconds / 60), rest = (seconds - 60 * whole).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  const hours = Math.floor(whole / 60);
  return hours ? `${hours}:${String(whole % 60).padStart(2, "0")}:${rest}` : `${whole}:${rest}`;
}

function written(seconds, digits = 2) {
  const place = clock(seconds, digits);
  return found.start_ms === null ? place : `${place} (${new Date(found.start_ms + 1000 * seconds).toISOString().slice(11, 21)} UTC)`;
}

/** A canvas's context and size in CSS pixels, cleared, sharp on any screen. */
function blank(id, height) {
  const canvas = at(id), scale = window.devicePixelRatio || 1, width = canvas.clientWidth;
  canvas.style.height = `${height}px`;
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = "#444";
  return { pen, width: Math.max(1, width - LEFT), height };
}

const x = (seconds, width) => LEFT + ((seconds - view[0]) / (view[1] - view[0])) * width;

/** Of each pixel the range of values that fall into it, at least one: values lie `step` seconds apart, from `first` on. */
function ranges(width, first, step, count) {
  const each = (view[1] - view[0]) / width;
  return Array.from({ length: Math.ceil(width) }, (_, i) => {
    const begin = (view[0] + i * each - first) / step;
    const from = Math.floor(begin), to = Math.max(from + 1, Math.ceil(begin + each / step));
    return [Math.max(0, from), Math.min(count, to)];
  });
}

function drawSound() {
  const { pen, width, height } = blank("sound", 260);
  const places = ranges(width, 0, found.column_s, columns), bands = found.bands;
  const image = new ImageData(places.length, bands);
  for (let i = 0; i < places.length; i++) {
    const [from, to] = places[i];
    for (let band = 0; band < bands; band++) {
      let most = 0;
      for (let column = from; column < to; column++) most = Math.max(most, powers[column * bands + band]);
      const place = 4 * (band * places.length + i), rgb = palette[most];
      image.data[place] = rgb[0];
      image.data[place + 1] = rgb[1];
      image.data[place + 2] = rgb[2];
      image.data[place + 3] = from < to ? 255 : 0;
    }
  }
  const small = document.createElement("canvas");
  small.width = places.length;
  small.height = bands;
  small.getContext("2d").putImageData(image, 0, 0);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(small, LEFT, 0, width, height);
  for (let share = 0; share <= 4; share++) {
    const hz = (found.top_hz * share) / 4;
    pen.fillText(`${hz >= 1000 ? `${+(hz / 1000).toFixed(1)} k` : Math.round(hz)}Hz`, 2, Math.max(9, height * (1 - share / 4) - 2));
  }
}

function line(pen, width, height, values, first, step, shown, style) {
  pen.strokeStyle = style;
  pen.beginPath();
  let before = false;
  ranges(width, first, step, values.length).forEach(([from, to], i) => {
    if (from >= to) return;
    let most = values[from];
    for (let k = from + 1; k < to; k++) most = Math.max(most, values[k]);
    const y = height * (1 - shown(most));
    before ? pen.lineTo(LEFT + i + 0.5, y) : pen.moveTo(LEFT + i + 0.5, y);
    before = true;
  });
  pen.stroke();
}

function drawLevel() {
  const { pen, width, height } = blank("level", 80);
  line(pen, width, height, level, 0, found.column_s, (value) => Math.max(0, (value / 2 - 40) / 80), "#335");
  [0, -20, -40, -60].forEach((db) => pen.fillText(`${db} dB`, 2, Math.max(9, (height * -db) / 80 + 4)));
  pen.strokeRect(LEFT, 0, width, height);
}

function drawScores() {
  const { pen, width, height } = blank("scores", 170);
  for (const curve of curves.filter((c) => c.shown)) {
    line(pen, width, height, curve.scores, curve.first_s, curve.step_s, (value) => value / 65535, colour(curve.label));
    pen.setLineDash([2, 3]);
    pen.beginPath();
    pen.moveTo(LEFT, height * (1 - curve.threshold));
    pen.lineTo(LEFT + width, height * (1 - curve.threshold));
    pen.stroke();
    pen.setLineDash([]);
  }
  [0, 0.5, 1].forEach((score) => pen.fillText(score.toFixed(1), 2, Math.max(9, height * (1 - score) - 2)));
  pen.strokeStyle = "#335";
  pen.strokeRect(LEFT, 0, width, height);
}

function drawEvents() {
  const lanes = found.truth === null ? 1 : 2, row = 16 * lanes + 4, height = told.length * row + 24;
  const { pen, width } = blank("events", height);
  told.forEach((label, i) => {
    pen.fillStyle = i % 2 ? "#fff" : "#f4f4f8";
    pen.fillRect(LEFT, i * row, width, row);
    pen.fillStyle = "#444";
    pen.fillText(label, 2, i * row + 13, LEFT - 4);
  });
  pen.save();
  pen.beginPath();
  pen.rect(LEFT, 0, width, height);
  pen.clip();
  for (const event of [...reported, ...truth]) {
    if (event.end < view[0] || event.begin > view[1]) continue;
    const from = x(event.begin, width), y = told.indexOf(event.label) * row + 2 + 16 * event.lane;
    pen.fillStyle = event.lane ? "#888" : colour(event.label);
    pen.fillRect(from, y, Math.max(2, x(event.end, width) - from), 14);
    if (x(event.end, width) - from > 60) {
      pen.fillStyle = "#fff";
      pen.fillText(event.lane ? "truth" : event.label, Math.max(LEFT, from) + 3, y + 11);
    }
  }
  pen.restore();
  const most = Math.max(2, Math.floor(width / 110)), span = view[1] - view[0];
  const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400];
  const step = steps.find((s) => span / s <= most) || Math.ceil(span / most);
  pen.fillStyle = "#444";
  for (let k = Math.ceil(view[0] / step); k * step <= view[1]; k++) {
    pen.fillRect(x(k * step, width), told.length * row, 1, 6);
    pen.fillText(clock(k * step, step < 0.1 ? 2 : step < 1 ? 1 : 0), x(k * step, width) + 3, height - 8);
  }
}

function list() {
  const seen = [...reported, ...truth].filter((e) => e.end >= view[0] && e.begin <= view[1]).sort((a, b) => a.begin - b.begin);
  at("list").replaceChildren(
    ...seen.slice(0, LISTED).map((event) => {
      const row = document.createElement("tr");
      const peak = event.lane ? "truth" : event.peak.toFixed(2);
      [written(event.begin), written(event.end), event.label, peak].forEach((text) => (row.insertCell().textContent = text));
      row.tabIndex = 0;
      const margin = Math.max(1, event.end - event.begin);
      row.onclick = () => look(event.begin - margin, event.end + margin);
      row.onkeydown = (key) => key.key === "Enter" && row.onclick();
      return row;
    }),
  );
  at("more").textContent = seen.length > LISTED ? `and ${seen.length - LISTED} more: zoom in` : "";
}

function draw() {
  at("view").textContent = `${written(view[0])} to ${written(view[1])}`;
  drawSound();
  drawLevel();
  drawScores();
  drawEvents();
  list();
}

let asked = 0;

/** Show from `begin` to `end`, as far as there is sound; the address keeps it. */
function look(begin, end) {
  const span = Math.min(found.duration_s, Math.max(LEAST_S, end - begin));
  const from = Math.min(Math.max(0, begin + (end - begin - span) / 2), found.duration_s - span);
  view = [from, from + span];
  history.replaceState(null, "", `#${view.map((s) => s.toFixed(2)).join("-")}`);
  cancelAnimationFrame(asked);
  asked = requestAnimationFrame(draw);
}

const zoom = (factor, middle = (view[0] + view[1]) / 2) => look(middle - (middle - view[0]) * factor, middle + (view[1] - middle) * factor);
const move = (share) => look(view[0] + share * (view[1] - view[0]), view[1] + share * (view[1] - view[0]));
const seconds = (event) => {
  const box = at("sound").getBoundingClientRect();
  return view[0] + ((event.clientX - box.left - LEFT) / Math.max(1, box.width - LEFT)) * (view[1] - view[0]);
};

function point(event) {
  const s = seconds(event), column = Math.floor(s / found.column_s), box = at("sound").getBoundingClientRect();
  if (s < view[0] || s > view[1] || column >= columns) return;
  const parts = [written(s)], height = (event.clientY - box.top) / box.height;
  if (height >= 0 && height < 1) {
    const band = Math.floor(height * found.bands);
    const db = found.floor_db + (powers[column * found.bands + band] / 255) * (found.top_db - found.floor_db);
    parts.push(`${Math.round(found.top_hz * (1 - height))} Hz ${db.toFixed(0)} dB`);
  }
  parts.push(`level ${(level[column] / 2 - 120).toFixed(1)} dBFS`);
  for (const curve of curves.filter((c) => c.shown)) {
    const score = curve.scores[Math.floor((s - curve.first_s) / curve.step_s)];
    if (score !== undefined && score > 3276) parts.push(`${curve.label} ${(score / 65535).toFixed(2)}`);
  }
  at("here").textContent = parts.join("   ");
}

let held = null;
for (const canvas of document.querySelectorAll("canvas")) {
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY > 0 ? 1.25 : 0.8, seconds(event)); }, { passive: false });
  canvas.addEventListener("dblclick", () => look(0, found.duration_s));
  canvas.addEventListener("pointerdown", (event) => { held = seconds(event); canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => {
    if (held !== null) { const by = held - seconds(event); look(view[0] + by, view[1] + by); }
    point(event);
  });
  for (const over of ["pointerup", "pointercancel"]) canvas.addEventListener(over, () => (held = null));
}
at("whole").onclick = () => look(0, found.duration_s);
at("in").onclick = () => zoom(0.5);
at("out").onclick = () => zoom(2);
at("left").onclick = () => move(-0.5);
at("right").onclick = () => move(0.5);
const KEYS = { "+": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", Home: "whole" };
addEventListener("keydown", (event) => { if (KEYS[event.key] && !event.ctrlKey && !event.metaKey) { event.preventDefault(); at(KEYS[event.key]).click(); } });
addEventListener("resize", draw);

function linked() {
  const [begin, end] = location.hash.slice(1).split("-").map(Number);
  end > begin ? look(begin, end) : look(0, found.duration_s);
}
addEventListener("hashchange", linked);

for (const curve of curves) {
  const key = document.createElement("button");
  key.className = "key";
  key.textContent = `${curve.label} (${curve.threshold.toFixed(2)})`;
  key.style.color = colour(curve.label, 32);
  key.onclick = () => { curve.shown = !curve.shown; key.classList.toggle("off", !curve.shown); drawScores(); };
  at("legend").append(key);
}
at("name").textContent = found.name;
at("about").textContent = found.about;

/** Read the powers from a tile, a grey picture: a pixel a column and band. */
function unpack(picture, first) {
  const canvas = document.createElement("canvas");
  canvas.width = picture.naturalWidth;
  canvas.height = picture.naturalHeight;
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0);
  const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
  for (let column = 0; column < canvas.width; column++)
    for (let band = 0; band < found.bands; band++)
      powers[(first + column) * found.bands + band] = data[4 * (band * canvas.width + column)];
}

addEventListener("load", () => {
  document.querySelectorAll("img").forEach((picture, i) => unpack(picture, i * found.tile));
  linked();
  draw();
});
