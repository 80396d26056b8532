// What may be wished of the daemon: marks, pauses, thresholds; and clips to play.

import * as words from "/words.js";

const SETTLED_MS = 300, UNTOLD_MS = 3000;
const $ = (id) => document.getElementById(id);

export const make = (name, options = {}, ...children) => {
  const element = Object.assign(document.createElement(name), options);
  element.append(...children);
  return element;
};

// Why each cannot be wished here; null where it can. Until that is known nothing can.
export const lacking = { ask: "", change: "", play: "" };

const clips = new Map(), judged = new Map();

export function say(text) {
  $("said").textContent = text;
  $("bar").hidden = !text && !$("player").hasAttribute("src");
}

// Sends a wish; returns the answer, or null where it was refused, which is said.
export async function wish(question) {
  const sent = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(question) };
  const answer = await fetch("/api/wish", sent).catch(() => null);
  if (answer?.status === 401) location.reload();
  const text = answer ? await answer.text() : "The page does not answer.";
  if (answer?.ok) return JSON.parse(text);
  try { say(JSON.parse(text).error); } catch { say(text); }
  return null;
}

function button(text, label, pressed) {
  const made = make("button", { type: "button", textContent: text });
  if (label) made.setAttribute("aria-label", label);
  made.onclick = async () => {
    made.disabled = true;
    await pressed();
    made.disabled = false;
  };
  return made;
}

// The threshold of a label as a slider, over the bar of its score: its thumb is the line.
export class Slider {
  constructor(source, label) {
    [this.source, this.label, this.waiting, this.until] = [source, label, null, 0];
    this.range = make("input", { type: "range", className: "set", min: 0, max: 1, step: 0.01 });
    this.range.setAttribute("aria-label", `Threshold of ${words.label(label)} at ${source}`);
    this.range.oninput = () => {
      if (Number(this.range.value) === 0) this.range.value = this.range.step;
      say(`${source}: ${words.label(label)} from ${this.range.value} on`);
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.send(), SETTLED_MS);
    };
  }

  get held() { return this.waiting !== null || document.activeElement === this.range; }

  // What was told before the daemon had the answer may still come.
  show(threshold) {
    if (threshold === Number(this.range.value)) this.until = 0;
    if (this.waiting === null && performance.now() > this.until) this.range.value = threshold;
  }

  async send() {
    const threshold = Number(this.range.value);
    const told = await wish({ ask: "threshold", source: this.source, label: this.label, threshold });
    this.waiting = null;
    if (!told) return;
    this.until = performance.now() + UNTOLD_MS;
    overridden(told.overrides, `${this.source}: ${words.label(this.label)} begins at ${threshold} now.`);
  }
}

// What was set over the configuration, with a way back.
export function overridden(told, news = "") {
  if (news) say(news + (told.trouble ? ` ${told.trouble}` : ""));
  const set = Object.entries(told.thresholds).flatMap(([source, labels]) => Object.entries(labels).map(([label, value]) => {
    const item = make("li", { textContent: `${source}: ${words.label(label)} begins at ${value} ` });
    if (lacking.change === null)
      item.append(button("As configured", `${words.label(label)} at ${source} as configured`, async () => {
        const answer = await wish({ ask: "threshold", source, label, threshold: null });
        if (answer) overridden(answer.overrides, `${source}: ${words.label(label)} is as configured.`);
      }));
    return item;
  }));
  set.push(...told.waiting.map((line) => make("li", { textContent: line })));
  if (told.undo && lacking.change === null)
    set.push(make("li", {}, button("Undo the last change", "", async () => {
      const answer = await wish({ ask: "undo" });
      if (answer) overridden(answer.overrides, "The last change is taken back.");
    })));
  $("set").replaceChildren(...set);
  $("set-section").hidden = !set.length;
}

// The buttons of a source: a pause, and what was missed.
export class Tools {
  constructor(name) {
    this.name = name;
    this.for = make("select", {}, ...[["until resumed", ""], ["30 min", 1800], ["2 h", 7200], ["8 h", 28800]]
      .map(([textContent, value]) => make("option", { textContent, value })));
    this.for.setAttribute("aria-label", `How long ${name} is paused`);
    this.pause = button("Pause", `Pause ${name}`, () => this.asked({ ask: "pause", source: name, for_s: Number(this.for.value) || null }));
    this.resume = button("Resume", `Resume ${name}`, () => this.asked({ ask: "resume", source: name }));
    this.label = make("input", { size: 12, autocomplete: "off", spellcheck: false, placeholder: "label", required: true });
    this.label.setAttribute("list", "labels");
    this.label.setAttribute("aria-label", `What was missed just now at ${name}`);
    this.missed = make("form", { className: "missed" }, this.label, make("button", { textContent: "Missed just now" }));
    this.missed.onsubmit = (event) => { event.preventDefault(); this.mark(); };
    this.element = make("div", { className: "tools", hidden: true }, this.for, this.pause, this.resume, this.missed);
    this.stand("", false);
  }

  stand(state, live) {
    const still = state === "paused";
    this.element.hidden = lacking.ask !== null;
    this.for.hidden = this.pause.hidden = still || !live;
    this.resume.hidden = !still || !live;
  }

  async asked(question) {
    const told = await wish(question);
    if (!told) return;
    const until = told.paused[this.name];
    if (told.trouble) say(told.trouble);
    else if (until !== undefined) say(`${this.name} is closed until ${until ? new Date(until).toLocaleString([], { hour12: false }) : "it is resumed"}.`);
    else say(told.scheduled.includes(this.name) ? `${this.name} is not heard now, by its schedule.` : `${this.name} is heard again.`);
  }

  async mark() {
    const label = this.label.value.trim().toLowerCase().replaceAll(" ", "_");
    if (await wish({ ask: "mark", kind: "missed", source: this.name, label })) {
      say(`${words.label(label)} at ${this.name} is marked as missed.`);
      this.label.value = "";
    }
  }
}

export function heard(clip) {
  if (clip.path !== null) clips.set(clip.id, clip);
}

export function marked(mark) {
  if (mark.event && mark.kind !== "note") judged.set(mark.event, mark.kind);
}

// What the buttons of an event hang on: while it is the same they need not be made anew.
export const actionsKey = (event) => `${clips.has(event.id)} ${judged.get(event.id)} ${lacking.ask} ${lacking.play}`;

export function actions(event, changed) {
  const what = `${words.label(event.label)} of ${new Date(event.onset).toLocaleString([], { hour12: false })}`;
  const made = [];
  const clip = clips.get(event.id);
  if (clip && lacking.play === null) made.push(button("Play", `Play ${what}`, () => play(clip, what)));
  if (lacking.ask === null)
    for (const [kind, text] of [["right", "Right"], ["false", "False alarm"]]) {
      const each = button(text, `${text}: ${what}`, async () => {
        if (await wish({ ask: "mark", kind, event: event.id })) {
          judged.set(event.id, kind);
          say(`${what} is marked: ${text.toLowerCase()}.`);
          changed();
        }
      });
      each.setAttribute("aria-pressed", judged.get(event.id) === kind);
      made.push(each);
    }
  made.forEach((each) => { each.dataset.key = `${event.id} ${each.textContent}`; });
  return made;
}

async function play(clip, what) {
  const player = $("player"), [source, name] = clip.path.split("/").slice(-2);
  player.src = `/api/clip/${encodeURIComponent(source)}/${encodeURIComponent(name)}`;
  player.hidden = false;
  player.setAttribute("aria-label", what);
  say(clip.exact ? what : `${what} (lossy)`);
  await player.play().catch(async () => {
    const answer = await fetch(player.src, { method: "HEAD" }).catch(() => null);
    if (answer?.ok) say("This browser cannot play it.");
    else say(answer?.status === 404 ? "The clip is there no more, or the page may not read it." : "The clip cannot be had now.");
  });
}
