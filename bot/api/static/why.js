// Why: the funnel of the last signals of each symbol. Received, every guard's verdict, sized, sent, filled, and how it ended.

import { age, clock, fixed, NONE, number, price, signed, words } from "./format.js";
import { html, useEffect, useState } from "./lib.js";
import { Direction, Empty, Panel, Row, Signed, Table } from "./parts.js";
import { ask } from "./server.js";

const GLYPH = { PASS: "✓", BLOCK: "✕", ABSTAIN: "?" };

export function Why({ store, argument }) {
  const { signals = [], status } = store.sections;
  const bySymbol = Map.groupBy ? Map.groupBy(signals, (row) => row.symbol) : grouped(signals);
  if (signals.length === 0) {
    return html`<${Empty}>No signal yet, so there is nothing to explain. Hand one in with <code>python -m bot signal ${status?.symbols[0] ?? "SYMBOL"} long</code> and see every guard's answer here.<//>`;
  }
  const known = signals.some((row) => row.signal_id === argument);
  return html`
    <${Funnel} status=${status} />
    ${argument && !known && html`<${Panel} title="Signal"><${Story} id=${argument} version=${0} /><//>`}
    ${[...bySymbol].map(([symbol, rows]) => html`<${Panel} key=${symbol} title=${symbol} note=${`the last ${rows.length} signals, newest first`}>
      ${rows.map((row) => html`<${Signal} key=${row.signal_id} of=${row} open=${row.signal_id === argument} />`)}
    <//>`)}
  `;
}

function grouped(rows) {
  const found = new Map();
  for (const row of rows) found.set(row.symbol, [...(found.get(row.symbol) ?? []), row]);
  return found;
}

function Funnel({ status }) {
  if (!status) return null;
  const it = status.this_session;
  const entries = it.opened;
  const steps = [["received", it.signals], ["allowed", it.allowed], ["opened", entries], ["closed", it.closed]];
  return html`<ol class="funnel" aria-label="funnel of this session">
    ${steps.map(([name, n]) => html`<li><b>${n}</b><span>${name}</span><progress max=${Math.max(1, it.signals)} value=${n} aria-hidden="true"></progress></li>`)}
  </ol>`;
}

function Signal({ of, open }) {
  const [shown, setShown] = useState(open);
  useEffect(() => setShown(open), [open]);
  const answer = of.outcome === "blocked" ? `✕ ${words(of.blocker)}` : of.outcome === "allowed" ? "✓ allowed" : words(of.outcome);
  return html`<details class="signal" open=${shown} onToggle=${(event) => setShown(event.target.open)} data-signal=${of.signal_id}>
    <summary>
      <time>${clock(of.ts)}</time> <${Direction} of=${of.direction} /> <span>${of.strategy}</span>
      <span class="note">strength ${fixed(of.strength)} at ${price(of.price)}</span> <span class=${`answer ${of.outcome}`}>${answer}</span>
    </summary>
    ${shown && html`<${Story} id=${of.signal_id} version=${`${of.outcome} ${of.result?.state}`} />`}
  </details>`;
}

/** Asked for when it is opened, and again when its signal's outcome changes. */
function Story({ id, version }) {
  const [found, setFound] = useState({});
  useEffect(() => {
    let current = true;
    ask(`/api/why?q=${encodeURIComponent(id)}`).then((story) => current && setFound({ story }), (error) => current && setFound({ error: error.message }));
    return () => { current = false; };
  }, [id, version]);
  if (found.error) return html`<p class="empty">The engine did not answer: ${found.error}</p>`;
  if (found.story === undefined) return html`<p class="note">asking ...</p>`;
  if (found.story === null) return html`<p class="empty">This signal is no longer remembered; <code>python -m bot events --json</code> still has it.</p>`;
  return html`<ol class="story">${stepsOf(found.story).map(([name, kind, body]) => html`<li class=${kind}><b>${name}</b><div>${body}</div></li>`)}</ol>`;
}

function stepsOf(story) {
  const { signal, verdicts, decision, expired, refused, orders, position, exits, close } = story;
  const fills = orders.flatMap((order) => order.fills);
  const entry = orders.filter((order) => order.leg === "entry");
  const bought = entry.flatMap((order) => order.fills);
  return [
    ["Received", "done", `${clock(signal.ts)} from ${signal.strategy}: ${signal.direction}, strength ${fixed(signal.strength)}, at ${price(signal.price)}`],
    ...(expired ? [["Expired", "bad", words(expired.reason)]] : []),
    ["Asked", decision?.allowed ? "done" : decision ? "bad" : "open", html`<${Verdicts} rows=${verdicts ?? []} />`],
    ["Sized", number(decision?.quantity) > 0 ? "done" : "open", sized(decision)],
    ...(refused ? [["Refused at last look", "bad", refused.reason]] : []),
    ["Sent", entry.length ? "done" : "open", entry.length ? entry.map((order) => html`<p>${order.side} ${order.quantity} ${words(order.type)} ${order.tif} at ${price(order.price)}: ${words(order.status)}</p>`) : "no order"],
    ["Filled", bought.length ? "done" : "open", bought.length ? `${bought.map((fill) => `${fill.quantity} at ${price(fill.price)}`).join(", ")} (${fills.length} fills in all)` : "nothing"],
    ...(position ? [["Held", "done", position.true_trend ? `TRUE TREND, hold ${position.min_hold_s / 60} min` : `no TRUE TREND: ${position.true_trend_reason ?? "unknown"}`]] : []),
    ...exits.map((each) => [words(each.kind), "note", `${clock(each.ts)} ${told(each)}`]),
    ...(close ? [["Closed", "done", html`${words(close.reason)} at ${price(close.exit_price)}: <${Signed} value=${number(close.pnl_usd)}>${signed(close.pnl_usd)} USD, ${signed(close.pnl_r)} R<//> after fees of ${fixed(close.fees_usd)}`]] : []),
  ];
}

function sized(decision) {
  if (!decision) return "not decided";
  const blind = decision.blind ? ", blind: no data guard could judge" : "";
  return `${number(decision.quantity) > 0 ? decision.quantity : "no quantity"}, multiplier ${fixed(decision.multiplier)}${blind}${decision.size_reason ? `, by ${decision.size_reason}` : ""}`;
}

function told(event) {
  const left = new Set(["kind", "seq", "ts", "position_id", "signal_id"]);
  return Object.entries(event).filter(([key, value]) => !left.has(key) && value !== null).map(([key, value]) => `${words(key)} ${value}`).join(", ");
}

const COLUMNS = [["Guard"], ["Verdict"], ["Looked at", true], ["Threshold", true], ["Source"], ["Reason", false, "text"]];

function Verdicts({ rows }) {
  if (rows.length === 0) return "no guard was asked";
  return html`<${Table} columns=${COLUMNS} label="verdicts" stack=${true} rows=${rows.map((row) => html`<${Row} columns=${COLUMNS} data-guard=${row.guard} cells=${[
    html`<a href=${`#guards/${row.guard}`}>${words(row.guard)}</a>`,
    html`<span class=${`outcome ${row.outcome}`}>${GLYPH[row.outcome]} ${row.outcome.toLowerCase()}</span>`,
    shown(row.value), shown(row.threshold),
    row.reading_source ? `${row.reading_source}, ${age(row.reading_age_s)} old` : NONE,
    row.reason,
  ]} />`)} />`;
}

const shown = (value) => (number(value) === null ? value ?? NONE : fixed(value, 3));
