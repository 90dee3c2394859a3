// Log: the journal's events as they come, newest first, with a filter.

import { stamp, words } from "./format.js";
import { html, useState } from "./lib.js";
import { Empty, Panel } from "./parts.js";

const SHOWN = 300;

export function Log({ store }) {
  const [wanted, setWanted] = useState("");
  const [held, setHeld] = useState(null);
  const events = held ?? store.sections.events ?? [];
  const found = events.filter((event) => matches(event, wanted.trim().toLowerCase()));
  return html`<${Panel} title="Log" note=${`${found.length} of the last ${events.length} events`}>
    <div class="bar-of">
      <label>Filter <input type="search" value=${wanted} placeholder="kind, symbol or word" onInput=${(event) => setWanted(event.target.value)} /></label>
      <button type="button" aria-pressed=${held !== null} onClick=${() => setHeld(held ? null : events)}>${held ? "Follow again" : "Hold still"}</button>
    </div>
    ${found.length === 0 && html`<${Empty}>${events.length === 0 ? "No event yet: the journal begins with ENGINE_STARTED. All that are older: python -m bot events" : "No event matches; clear the filter to see all."}<//>`}
    <ol class="log" aria-label="events">${found.slice(-SHOWN).reverse().map((event) => html`<${Line} key=${event.seq} of=${event} />`)}</ol>
  <//>`;
}

function matches(event, wanted) {
  return !wanted || `${event.kind} ${event.symbol ?? ""} ${event.source} ${JSON.stringify(event.data)}`.toLowerCase().includes(wanted);
}

function Line({ of }) {
  const [open, setOpen] = useState(false);
  return html`<li>
    <details onToggle=${(event) => setOpen(event.target.open)}>
      <summary><time>${stamp(of.ts).slice(5, 19)}</time> <b class=${`kind ${tone(of.kind)}`}>${of.kind}</b> ${of.symbol ?? ""} <span class="note">${brief(of.data)}</span></summary>
      ${open && html`<pre>${JSON.stringify(of, null, 1)}</pre>`}
    </details>
  </li>`;
}

function tone(kind) {
  if (/BLOCK|CONFLICT|TRAP|REJECT|ERROR|DOWN|KILL|REFUSED|DISCREPANCY/.test(kind)) return "bad";
  return /FILL|OPENED|CLOSED|UP$|RESUMED/.test(kind) ? "good" : "";
}

const FIRST = ["reason", "state", "direction", "leg", "side", "quantity", "price", "stop_price", "entry_price", "pnl_usd", "pnl_r", "blocker", "value", "threshold"];

function brief(data) {
  return FIRST.filter((key) => data[key] !== undefined && data[key] !== null && data[key] !== "").map((key) => `${words(key)} ${data[key]}`).join(", ");
}
