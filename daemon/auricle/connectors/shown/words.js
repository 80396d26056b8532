// How sources and the daemon fare, in words.

const STATES = {
  starting: "is starting", running: "is heard", found: "is heard", lost: "is lost: the device is away, and looked for",
  silent: "gives nothing but silence: is it muted?", overloaded: "is heard with fewer decisions: too much for this machine",
  paused: "is paused, as somebody or its schedule wants", relieved: "is heard", stopped: "has stopped",
};
const WELL = new Set(["running", "found", "relieved"]);

export const WHY = {
  short: "too short so far", refractory: "too soon after the last one",
};

export const why = (held) => WHY[held] ?? held.replace("in:", "told as ").replaceAll("_", " ");

export const well = (state) => WELL.has(state);

export const state = (word) => STATES[word] ?? word;

export const label = (slug) => slug.replaceAll("_", " ");

export function lasted(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${Math.round(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function source(name, told) {
  const said = [`${name} ${state(told.state)}`];
  if (told.gaps) said.push(`${told.gaps} gap${told.gaps > 1 ? "s" : ""}, ${told.lost_samples} samples not heard`);
  if (told.late) said.push(`${told.late} decisions were late`);
  if (told.age_s !== null && told.age_s > 10 && WELL.has(told.state)) said.push(`nothing for ${lasted(told.age_s)}`);
  if (told.skipped) said.push(`${told.skipped} recordings could not be read`);
  if (told.unsound) said.push(`${told.unsound} decisions were no numbers`);
  said.push(`${told.events} event${told.events === 1 ? "" : "s"} in ${lasted(told.heard_s)}`);
  return said.join("; ");
}

export function daemon(health) {
  const latency = health.latency_p99_ms === null ? "" : `; decisions come within ${health.latency_p99_ms.toFixed(0)} ms`;
  return `The daemon has run for ${lasted(health.uptime_s)}, with ${health.cpu_percent.toFixed(1)} % of a core and ` +
    `${health.rss_mb.toFixed(0)} MB${latency}`;
}
