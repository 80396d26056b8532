// The page: one stream of messages in, sources, history and health on the screen.

import { actions, actionsKey, heard, lacking, make, marked, overridden, Slider, Tools } from "/controls.js";
import { Picture } from "/picture.js";
import * as words from "/words.js";

const STALE_MS = 6000, AGAIN_MS = 2000, MOST_EVENTS = 500, DRAW_MS = 66, UNSEEN_SCORES = 40;
const $ = (id) => document.getElementById(id);
const sources = new Map(), events = new Map(), labels = new Set();
let stream = null, heardAt = performance.now(), silent = 0, drawnAt = 0, askedAgain = null;

class Source {
  constructor(name) {
    this.name = name;
    this.state = make("span", { className: "state", textContent: "" });
    this.meter = make("meter", { min: -80, max: 0, low: -70, high: -6, optimum: -30, value: -80, ariaLabel: `Level of ${name}` });
    this.level = make("span", { className: "level" });
    this.gate = make("input", { type: "checkbox" });
    this.gateLabel = make("label", { hidden: true }, this.gate, " behind the gate");
    this.canvas = make("canvas", { tabIndex: -1 });
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `Spectrogram of ${name}`);
    this.hint = make("p", { className: "hint", textContent: "Waiting for sound." });
    this.scores = make("ul", { className: "scores" });
    this.nearlyList = make("ul");
    this.nearly = make("details", { className: "nearly", hidden: true },
      make("summary", { textContent: "Above a threshold, and yet no event" }), this.nearlyList);
    this.tools = new Tools(name);
    this.rows = new Map();
    this.told = new Map();
    this.seen = 0;
    this.pictures = { bands: new Picture(this.canvas), gated: new Picture(this.canvas) };
    const title = make("h2", { textContent: name, id: `source-${sources.size}` });
    this.section = make("section", {}, make("div", { className: "head" }, title, this.state, this.gateLabel, this.meter, this.level),
      this.canvas, this.hint, this.scores, this.nearly, this.tools.element);
    this.section.setAttribute("aria-labelledby", title.id);
    $("sources").append(this.section);
    $("find").source.append(make("option", { value: name, textContent: name }));
  }

  get picture() { return this.gate.checked ? this.pictures.gated : this.pictures.bands; }

  spectrum(message) {
    const begin = Date.parse(message.t), ms = message.column_s * 1000;
    for (const name of ["bands", "gated"]) {
      if (message[name] === undefined) continue;
      this.pictures[name].add(begin, ms, message.top_hz, Uint8Array.from(atob(message[name]), (c) => c.charCodeAt(0)));
    }
    this.gateLabel.hidden = message.gated === undefined;
    if (this.gateLabel.hidden) this.gate.checked = false;
    this.hint.hidden = true;
    this.seen = -Infinity;
  }

  event(message) {
    const end = message.offset === null ? null : Date.parse(message.offset);
    for (const each of Object.values(this.pictures)) each.event(message.id, words.label(message.label), Date.parse(message.onset), end);
  }

  gap(message) {
    const begin = Date.parse(message.t);
    for (const each of Object.values(this.pictures)) each.gap(begin, begin + message.duration_s * 1000);
  }

  score(message) {
    this.meter.value = message.level_dbfs;
    this.level.textContent = `${message.level_dbfs.toFixed(0)} dBFS`;
    const best = Object.entries(message.scores).sort((a, b) => b[1] - a[1]);
    const gone = new Set(this.rows.keys());
    for (const [label, score] of best) {
      labels.add(label);
      gone.delete(label);
      this.row(label, score, message.thresholds[label], message.held_back[label]);
    }
    for (const label of gone) {
      if (this.rows.get(label).slider.held) continue; // nobody's slider goes away under the hand
      this.rows.get(label).item.remove();
      this.rows.delete(label);
    }
    for (const [label, held] of Object.entries(message.held_back)) this.hold(label, held, message);
    if (++this.seen === UNSEEN_SCORES)
      this.hint.textContent = "No spectrum comes. In the daemon's configuration spectrum.enabled: true turns it on.";
  }

  row(label, score, threshold, held) {
    let row = this.rows.get(label);
    if (!row) {
      const fill = make("span", { className: "fill" }), line = make("span", { className: "line" });
      const figure = make("span", { className: "figure" });
      const item = make("li", {}, make("span", { className: "name", textContent: words.label(label), title: label }),
        make("span", { className: "track" }, fill, line), figure);
      item.dataset.label = label;
      this.scores.append(item);
      row = { item, fill, line, figure, slider: new Slider(this.name, label) };
      this.rows.set(label, row);
    }
    row.fill.style.width = `${100 * score}%`;
    row.line.hidden = threshold === undefined;
    if (threshold !== undefined) {
      row.line.style.left = `calc(${100 * threshold}% - 1px)`;
      row.slider.show(threshold);
      if (lacking.change === null && !row.slider.range.isConnected) row.line.after(row.slider.range);
    }
    row.figure.textContent = score.toFixed(2);
    row.item.className = held ? "held" : threshold !== undefined && score >= threshold ? "above" : "";
    row.item.title = threshold === undefined ? "" : `threshold ${threshold}`;
  }

  // One line for as long as a label is held back for the same reason.
  hold(label, held, message) {
    const key = `${label} ${held}`, now = Date.parse(message.t), before = this.told.get(key);
    if (before && now - before.at < 2000) { before.at = now; return; }
    const said = `${new Date(now).toLocaleTimeString([], { hour12: false })} ${words.label(label)} ` +
      `${message.scores[label]?.toFixed(2) ?? ""}: ${words.why(held)}`;
    this.told.set(key, { at: now });
    this.nearlyList.prepend(make("li", { textContent: said }));
    while (this.nearlyList.children.length > 30) this.nearlyList.lastChild.remove();
    this.nearly.hidden = false;
  }

  stand(state, live = this.live) {
    this.live = live;
    this.tools.stand(state, live);
    this.state.textContent = words.state(state);
    this.state.className = words.well(state) ? "state" : "state bad";
  }
}

const sourceOf = (name) => {
  if (!sources.has(name)) sources.set(name, new Source(name));
  return sources.get(name);
};

const TAKE = {
  hello: (message) => { if (!message.resumed) now(); },
  beat: (message) => { silent = message.silent_s; trouble(); },
  missed: () => now(),
  spectrum: (message) => sourceOf(message.source).spectrum(message),
  score: (message) => sourceOf(message.source).score(message),
  gap: (message) => sourceOf(message.source).gap(message),
  event: (message) => { sourceOf(message.source).event(message); remember(message); list(); },
  status: (message) => { if (message.source && message.state !== "clock" && message.state !== "questioned") sourceOf(message.source).stand(message.state); },
  mark: (message) => { marked(message); list(); },
  clip: (message) => { heard(message); list(); },
  health: (message) => {
    for (const [name, told] of Object.entries(message.sources)) sourceOf(name).stand(told.state, told.capture !== null);
    $("health").replaceChildren(...Object.entries(message.sources).map(([name, told]) => make("li", { textContent: words.source(name, told) })),
      make("li", { textContent: words.daemon(message) }));
  },
};

function take(text) {
  heardAt = performance.now();
  const message = JSON.parse(text);
  if (message.type !== "beat") silent = 0;
  TAKE[message.type]?.(message);
}

function open() {
  if (stream || document.hidden) return;
  stream = new EventSource("/api/stream");
  stream.onmessage = (message) => take(message.data);
  stream.onerror = () => { if (stream?.readyState === EventSource.CLOSED) again(); };
}

function close() {
  stream?.close();
  stream = null;
}

// A stream that was refused is not taken up by the browser itself.
function again() {
  close();
  askedAgain ??= setTimeout(async () => {
    askedAgain = null;
    const answer = await fetch("/api/now").catch(() => null);
    if (answer?.status === 401) location.reload();
    else open();
  }, AGAIN_MS);
}

async function now() {
  const answer = await fetch("/api/now").catch(() => null);
  if (answer?.status === 401) location.reload();
  if (!answer?.ok) return;
  const { snapshot, report, login, lacking: lacks } = await answer.json();
  Object.assign(lacking, lacks);
  $("lacking").replaceChildren(...new Set(Object.values(lacks).filter((why) => why)));
  $("node").textContent = `${snapshot.node}, auricle ${snapshot.version}`;
  $("logout").hidden = !login;
  for (const [name, told] of Object.entries(snapshot.sources)) sourceOf(name).stand(told.state, told.capture !== null);
  for (const [name, source] of sources) if (!(name in snapshot.sources)) { source.section.remove(); sources.delete(name); }
  for (const event of snapshot.open) { sourceOf(event.source).event(event); remember(event); }
  overridden(report.overrides);
  if (!report.hearing) $("health").replaceChildren(...report.reasons.map((reason) => make("li", { textContent: reason })));
  history();
}

function remember(event) {
  const before = events.get(event.id);
  if (before && before.offset !== null && event.offset === null) return;
  events.set(event.id, event);
  labels.add(event.label);
}

// The past, page after page, the newest last.
async function history() {
  const form = $("find"), hours = Number(form.hours.value);
  const asked = new URLSearchParams();
  if (hours) asked.set("since", new Date(Date.now() - hours * 3600e3).toISOString());
  if (form.source.value) asked.set("source", form.source.value);
  for (let page = 0; page < 20; page++) {
    const answer = await fetch(`/api/history?${asked}`).catch(() => null);
    if (!answer?.ok) { $("found").textContent = answer ? (await answer.json().catch(() => ({ error: "" }))).error : ""; return; }
    const found = await answer.json();
    for (const message of found.messages) {
      if (message.type === "event") { remember(message); sources.get(message.source)?.event(message); }
      if (message.type === "clip") heard(message);
      if (message.type === "mark") marked(message);
    }
    list();
    if (!found.next) return;
    asked.set("after", found.next);
  }
}

let listing = false;
const shownRows = new Map();
function list() {
  if (listing) return;
  listing = true;
  requestAnimationFrame(() => { listing = false; show(); });
}

function show() {
  const form = $("find"), hours = Number(form.hours.value), sought = form.words.value.trim().toLowerCase();
  const wanted = (event) => {
    const onset = new Date(event.onset);
    return (!form.source.value || event.source === form.source.value) &&
      (!form.label.value || words.label(event.label).startsWith(words.label(form.label.value.trim().toLowerCase()))) &&
      (!hours || Date.now() - onset < hours * 3600e3 || event.t_known === false) &&
      (!form.hour.value || onset.getHours() === Number(form.hour.value)) &&
      (!sought || `${event.source} ${words.label(event.label)} ${event.label} ${onset.toLocaleString()}`.toLowerCase().includes(sought));
  };
  const found = [...events.values()].filter(wanted).sort((a, b) => (a.onset < b.onset ? 1 : -1));
  $("found").textContent = found.length ? `${found.length} event${found.length > 1 ? "s" : ""}${found.length > MOST_EVENTS ? `, the last ${MOST_EVENTS} are shown` : ""}` : "No event.";
  const focused = document.activeElement?.dataset.key;
  $("events").replaceChildren(...found.slice(0, MOST_EVENTS).map((event) => {
    const key = `${event.offset} ${event.peak} ${actionsKey(event)}`, before = shownRows.get(event.id);
    if (before?.dataset.is === key) return before;
    const cells = [new Date(event.onset).toLocaleString([], { hour12: false }), event.source, words.label(event.label),
      event.offset === null ? "goes on" : words.lasted(event.duration_s), event.peak.toFixed(2)];
    const row = make("tr", { className: event.offset === null ? "open" : "" }, ...cells.map((text) => make("td", { textContent: text })),
      make("td", { className: "actions" }, ...actions(event, list)));
    [row.dataset.id, row.dataset.is] = [event.id, key];
    shownRows.set(event.id, row);
    return row;
  }));
  if (focused) document.querySelector(`[data-key="${focused}"]`)?.focus();
  const known = [...labels].sort();
  if ($("labels").children.length !== known.length) $("labels").replaceChildren(...known.map((value) => make("option", { value })));
}

function trouble() {
  const quiet = (performance.now() - heardAt) / 1000;
  let said = "";
  if (quiet * 1000 > STALE_MS) said = `Nothing has come for ${words.lasted(quiet)}: what is shown is old. It is tried again.`;
  else if (silent) said = `The daemon has said nothing for ${words.lasted(silent)}: is it running?`;
  if ($("trouble").textContent !== said) $("trouble").textContent = said;
  $("trouble").hidden = !said;
  document.body.classList.toggle("stale", !!said);
}

function draw(at) {
  requestAnimationFrame(draw);
  if (at - drawnAt < DRAW_MS) return;
  drawnAt = at;
  for (const source of sources.values()) source.picture.draw();
}

for (let hour = 0; hour < 24; hour++) $("find").hour.append(make("option", { value: hour, textContent: `${hour}:00` }));
$("find").addEventListener("submit", (event) => event.preventDefault());
$("find").addEventListener("input", show);
$("find").hours.addEventListener("change", history);
// A page that nobody sees takes nothing.
document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
setInterval(() => { trouble(); if (stream && performance.now() - heardAt > 3 * STALE_MS) { heardAt += STALE_MS; again(); } }, 1000);
open();
requestAnimationFrame(draw);
