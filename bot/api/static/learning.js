// Learning: what the ledger recommends and on what evidence, what was applied and can be undone.

import { AskButton } from "./actions.js";
import { fixed, number, signed, stamp, words } from "./format.js";
import { html } from "./lib.js";
import { Empty, Panel, Row, Table } from "./parts.js";

export function Learning({ store }) {
  const { learning } = store.sections;
  if (!learning) {
    return html`<${Empty}>No learning cycle has run yet. One runs every 4 h of engine time, at 00, 04, 08 ... UTC; at once with <code>python -m bot learn run</code>.<//>`;
  }
  return html`
    <${Panel} title="Recommendations" note=${learning.next_cycle_ns ? `next cycle ${stamp(learning.next_cycle_ns)}` : ""}>
      ${(learning.recommendations ?? []).length === 0
        ? html`<${Empty}>Nothing to recommend: the evidence does not reach. It grows with every position and shadow that ends.<//>`
        : learning.recommendations.map((each) => html`<${Recommendation} key=${`${each.type} ${each.subject}`} of=${each} />`)}
    <//>
    <${Panel} title="Multipliers"><${Multipliers} of=${learning.multipliers ?? {}} /><//>
    <${Panel} title="Adjustments"><${Adjustments} rows=${learning.adjustments ?? []} /><//>
  `;
}

function Recommendation({ of }) {
  return html`<article class="card" data-recommendation=${of.subject}>
    <header><h4>${words(of.type)}: ${words(of.subject)}</h4>
      <span class=${of.significant ? "chip strong" : "chip"}>${of.significant ? "significant" : "not significant"}</span>
      ${of.applied ? html`<${AskButton} action="learn/undo" subject=${of.subject}>Undo<//>` : html`<${AskButton} action="learn/apply" subject=${of.subject}>Apply<//>`}
    </header>
    <${Evidence} of=${of.evidence ?? {}} />
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

const ADJUSTMENT_COLUMNS = [["Time"], ["Subject"], ["From", true], ["To", true], ["By"]];

function Adjustments({ rows }) {
  if (rows.length === 0) return html`<${Empty}>None yet. A recommendation is applied above, or with <code>python -m bot learn apply</code>.<//>`;
  return html`<${Table} columns=${ADJUSTMENT_COLUMNS} label="adjustments" rows=${rows.map((row) => html`<${Row} columns=${ADJUSTMENT_COLUMNS} cells=${[
    stamp(row.ts), words(row.subject), number(row.old) === null ? "" : fixed(row.old, 3), number(row.new) === null ? signed(row.value) : fixed(row.new, 3), row.by ?? row.reason ?? "",
  ]} />`)} />`;
}
