// Learning: what the ledger recommends and on what evidence, what was applied and can be undone, who is on probation.

import { AskButton } from "./actions.js";
import { fixed, NONE, number, short, signed, stamp, words } from "./format.js";
import { html } from "./lib.js";
import { Direction, Empty, Panel, Row, Table } from "./parts.js";

export function Learning({ store }) {
  const { learning } = store.sections;
  if (!learning) return html`<${Empty}>Waiting for the learning desk. It runs a cycle every 4 h of engine time; at once with <code>python -m bot learn run</code>.<//>`;
  const found = learning.recommendations;
  return html`
    <${Panel} title="Recommendations" note=${`next cycle ${stamp(learning.next_cycle_ns)}${learning.auto_apply ? ", significant ones apply themselves" : ""}`}>
      ${found.length === 0 && html`<${Empty}>Nothing to recommend: the evidence does not reach. It grows with every position and shadow that ends; a cycle now: <code>python -m bot learn run</code><//>`}
      ${found.map((each) => html`<${Recommendation} key=${`${each.type} ${each.subject}`} of=${each} inForce=${each.subject in learning.multipliers} />`)}
    <//>
    <div class="columns">
      <${Panel} title="Multipliers in force"><${Multipliers} of=${learning.multipliers} /><//>
      <${Panel} title="Probation"><${Probation} rows=${learning.probation} /><//>
    </div>
    <${Panel} title="Adjustments"><${Adjustments} rows=${learning.adjustments} /><//>
    <${Panel} title="Last cycle" note=${learning.last_cycle ? `${learning.last_cycle.type}, ${stamp(learning.last_cycle.ts)}` : ""}>
      <${Cycle} of=${learning.last_cycle?.evidence} windows=${learning.windows} />
    <//>
  `;
}

/** What can be applied is a multiplier; of a guard it only says what the trader should look at. */
function Recommendation({ of, inForce }) {
  const multiplier = of.type === "INCREASE_CONVICTION";
  return html`<article class="card" data-recommendation=${of.subject}>
    <header><h4>${words(of.type)}: ${words(of.subject)}</h4>
      <span class=${of.significant ? "chip strong" : "chip"}>${of.significant ? "significant" : "not significant"}</span>
      ${of.applied && html`<span class="chip">applied</span>`}
      ${multiplier && html`<${AskButton} action="learn/apply" subject=${of.subject}>Apply<//>`}
      ${inForce && html`<${AskButton} action="learn/undo" subject=${of.subject}>Undo<//>`}
    </header>
    <${Evidence} of=${of.evidence} />
  </article>`;
}

function Evidence({ of }) {
  const rows = Object.entries(of).filter(([, value]) => value !== null && typeof value !== "object");
  return html`<dl class="inline">${rows.map(([name, value]) => html`<div><dt>${words(name)}</dt><dd>${typeof value === "number" && !Number.isInteger(value) ? fixed(value, 3) : String(value)}</dd></div>`)}</dl>`;
}

const MULTIPLIER_COLUMNS = [["Subject"], ["Multiplier", true]];

function Multipliers({ of }) {
  const rows = Object.entries(of);
  if (rows.length === 0) return html`<${Empty}>All are 1: nothing has been applied.<//>`;
  return html`<${Table} columns=${MULTIPLIER_COLUMNS} label="learned multipliers" rows=${rows.map(([name, value]) => html`<${Row} columns=${MULTIPLIER_COLUMNS} cells=${[words(name), fixed(value, 3)]} />`)} />`;
}

const PROBATION_COLUMNS = [["Symbol"], ["Since"], ["Why", false, "text"]];

function Probation({ rows }) {
  if (rows.length === 0) return html`<${Empty}>No symbol is on probation.<//>`;
  return html`<${Table} columns=${PROBATION_COLUMNS} label="probation" rows=${rows.map((row) => html`<${Row} columns=${PROBATION_COLUMNS} cells=${[short(row.symbol), stamp(row.since_ns), row.reason]} />`)} />`;
}

const ADJUSTMENT_COLUMNS = [["Time"], ["Subject"], ["From", true], ["To", true], ["Learned under"]];

function Adjustments({ rows }) {
  if (rows.length === 0) return html`<${Empty}>None is in force. A recommendation is applied above, or with <code>python -m bot learn apply</code>.<//>`;
  return html`<${Table} columns=${ADJUSTMENT_COLUMNS} label="adjustments" rows=${rows.map((row) => html`<${Row} columns=${ADJUSTMENT_COLUMNS} cells=${[
    stamp(row.at_ns), words(row.subject), fixed(row.before, 3), fixed(row.after, 3), `rules ${row.rules}`,
  ]} />`)} />`;
}

const STRATEGY_COLUMNS = [["Strategy"], ["Side"], ["Live", true], ["Mean R", true], ["Shadow", true], ["Mean R", true], ["Live USD", true]];

function Cycle({ of, windows }) {
  if (!of) return html`<${Empty}>No cycle has run yet: one does at 00, 04, 08 ... UTC of engine time.<//>`;
  const r = (value) => (number(value) === null ? NONE : signed(value));
  return html`
    <dl class="inline">
      <div><dt>Signals</dt><dd>${of.signals}: ${of.allowed} allowed, ${of.blocked} refused</dd></div>
      <div><dt>Max pain reached</dt><dd>${of.max_pain.hits} of ${of.max_pain.n} windows${windows ? `, ${windows} open` : ""}</dd></div>
      <div><dt>Rules</dt><dd>${of.config_hash}</dd></div>
    </dl>
    ${of.note && html`<p class="note">${of.note}</p>`}
    ${of.strategies.length > 0 && html`<${Table} columns=${STRATEGY_COLUMNS} label="live against shadow" rows=${of.strategies.map((row) => html`<${Row} columns=${STRATEGY_COLUMNS} cells=${[
      `${row.strategy} (${row.mode})`, html`<${Direction} of=${row.direction} />`, row.live, r(row.live_mean_r), row.shadow, r(row.shadow_mean_r), signed(row.live_usd),
    ]} />`)} />`}`;
}
