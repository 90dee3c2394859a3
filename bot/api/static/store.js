// The one store: what the engine said last, section by section, and how good the line to it is.
// The socket feeds it, views read it when they draw. It holds nothing that the server did not send.

export const STALE_AFTER_MS = 2000;
const RETRY_FIRST_MS = 250;
const RETRY_LAST_MS = 5000;
const EVENTS_KEPT = 2000;

export class Store {
  constructor(changed, now = () => performance.now()) {
    this.sections = {};
    this.ages = {};
    this.faults = {}; // sections that the engine cannot show now, and why
    this.seq = null;
    this.engineNs = null;
    this.frames = 0;
    this.generation = 0; // of snapshots: a chart draws all its bars anew when it changes
    this.receivedMs = null;
    this.connected = false;
    this.retryAtMs = null;
    this._changed = changed;
    this._now = now;
  }

  /** One frame. Sections of a snapshot replace, those of a tick replace or, where they are lists in time, go on. */
  take(frame) {
    if (frame.type === "snap") {
      this.sections = frame.sections;
      this.generation += 1;
    } else {
      const merged = Object.entries(frame.sections).map(([name, news]) => [name, merge(name, this.sections[name], news)]);
      this.sections = { ...this.sections, ...Object.fromEntries(merged) };
    }
    this.seq = frame.seq;
    this.engineNs = frame.engine_ns;
    this.ages = frame.ages ?? {};
    this.faults = frame.faults ?? {};
    this.frames += 1;
    this.receivedMs = this._now();
    this._changed();
  }

  line(connected, retryInMs = null) {
    this.connected = connected;
    this.retryAtMs = retryInMs === null ? null : this._now() + retryInMs;
    this._changed();
  }

  /** Seconds since the last frame; null before the first. */
  get frameAgeS() {
    return this.receivedMs === null ? null : (this._now() - this.receivedMs) / 1000;
  }

  get stale() {
    return this.receivedMs !== null && this._now() - this.receivedMs > STALE_AFTER_MS;
  }

  /** What to add to every age in a section: nothing while frames come, as what they say is of their time. */
  get sinceS() {
    return this.stale ? this.frameAgeS : 0;
  }

  get retryInS() {
    return this.retryAtMs === null ? null : Math.max(0, (this.retryAtMs - this._now()) / 1000);
  }
}

function merge(name, old, news) {
  if (name === "events") return appended(old ?? [], news);
  if (name === "chart") return mergedChart(old ?? {}, news);
  return news;
}

function appended(old, news) {
  const last = old.length ? old[old.length - 1].seq : 0;
  return [...old, ...news.filter((event) => event.seq > last)].slice(-EVENTS_KEPT);
}

/** A tick has the bars that changed: the one under way, and those begun since. */
function mergedChart(old, news) {
  const merged = { ...old };
  for (const [symbol, part] of Object.entries(news)) {
    const had = old[symbol]?.bars ?? [];
    const from = part.bars?.[0]?.[0] ?? Infinity;
    const bars = [...had.filter((bar) => bar[0] < from), ...(part.bars ?? [])];
    merged[symbol] = { ...old[symbol], ...part, bars };
  }
  return merged;
}

/** Keeps a socket to the server open, and waits a little longer after each failure: 0.25 s to 5 s. */
export function connect(store, url) {
  let wait = RETRY_FIRST_MS;
  const open = () => {
    const socket = new WebSocket(url);
    socket.onopen = () => store.line(true);
    socket.onmessage = (message) => {
      wait = RETRY_FIRST_MS;
      store.take(JSON.parse(message.data));
    };
    socket.onclose = () => {
      store.line(false, wait);
      setTimeout(open, wait);
      wait = Math.min(RETRY_LAST_MS, wait * 2);
    };
  };
  open();
}
