// Health: feeds and their ages, lanes, providers with the CoinGlass budget, journal and loop lag, versions.

import { age, compact, duration, fixed, NONE, number, short, signed, words } from "./format.js";
import { html } from "./lib.js";
import { Badge, Empty, Panel, Row, Table } from "./parts.js";

export function Health({ store }) {
  const { health, status, readings = [] } = store.sections;
  if (!health) return html`<${Empty}>Waiting for the first snapshot of the engine.<//>`;
  return html`
    <div class="columns">
      <${Panel} title="Engine"><${Engine} health=${health} status=${status} store=${store} /><//>
      <${Panel} title="Lanes and journal"><${Lanes} of=${health} /><//>
    </div>
    <${Panel} title="Feeds"><${Feeds} rows=${health.markets} sinceS=${store.sinceS} /><//>
    <${Panel} title="Readings"><${Readings} rows=${readings} sinceS=${store.sinceS} /><//>
    <${Panel} title="Providers"><${Providers} rows=${health.providers} /><//>
  `;
}

function Facts({ rows }) {
  return html`<dl class="facts">${rows.filter(([, value]) => value !== undefined).map(([name, value]) => html`<dt>${name}</dt><dd>${value ?? NONE}</dd>`)}</dl>`;
}

function Engine({ health, status, store }) {
  return html`<${Facts} rows=${[
    ["State", html`<span class=${`state ${health.state}`}>${health.state}</span> ${health.state_reason}`],
    ["Version", health.version],
    ["Rules", status?.config_hash],
    ["Venue", status && `${status.venue}${status.tape ? `${status.venue === "tape" ? ", recording" : " of"} ${status.tape}` : ""}, ${status.mode}`],
    ["Frames taken", `${compact(health.frames)}${health.bad_frames ? `, ${health.bad_frames} unreadable` : ""}`],
    ["Loop lag", health.loop_lag_ms ? lag(health.loop_lag_ms) : NONE],
    ["Page", `frame ${store.seq}, ${age(store.frameAgeS)} old`],
  ]} />`;
}

const lag = (of) => `${Object.entries(of).map(([name, ms]) => `${name} ${fixed(ms, 2)}`).join(", ")} ms, last minute`;

function Lanes({ of }) {
  const { lanes, journal } = of;
  return html`<${Facts} rows=${[
    ["Account lane", `${lanes.account} waiting, at most ${lanes.account_high_water}${lanes.account_overflowed ? ", OVERFLOWED" : ""}`],
    ["Data lane", `${lanes.data} waiting, at most ${lanes.data_high_water}`],
    ["Journal", `${journal.depth} events not on disk yet, at most ${journal.high_water}${journal.depth ? `; the oldest waits ${fixed(journal.behind_s, 2)} s` : ""}`],
    ["Last commit", journal.last_commit_ms === null ? NONE : `${fixed(journal.last_commit_ms, 2)} ms`],
    ["Journal failure", journal.failure ?? (journal.running === false ? "its writer does not run" : "none")],
    ["Orders in the last 60 s", of.budgets?.orders && `${of.budgets.orders.used} of ${of.budgets.orders.allowed}`],
    ["Positions without a stop", of.unprotected && (Object.entries(of.unprotected).map(([symbol, s]) => `${short(symbol)} for ${age(s)}`).join(", ") || "none")],
  ]} />`;
}

const FEED_COLUMNS = [["Symbol"], ["Book"], ["Book age", true], ["Trade age", true], ["Bid", true], ["Ask", true], ["Mark from"], ["Clock", true], ["Resyncs", true]];

/** How far the venue's stamps are ahead of our clock. */
const ahead = (seconds) => (number(seconds) === null ? NONE : `${signed(seconds, 3)} s`);

function Feeds({ rows, sinceS }) {
  return html`<${Table} columns=${FEED_COLUMNS} label="feeds" stack=${true} rows=${rows.map((row) => html`<${Row} key=${row.symbol} columns=${FEED_COLUMNS} cells=${[
    row.symbol, html`<span class=${row.usable && row.book_age_s + sinceS <= 2 ? "badge FRESH" : "badge STALE"}>${row.usable ? (row.book_age_s + sinceS <= 2 ? "● usable" : "◌ STALE") : "○ resync"}</span>`,
    age(row.book_age_s === null ? null : row.book_age_s + sinceS), age(row.trade_age_s === null ? null : row.trade_age_s + sinceS),
    row.bid ?? NONE, row.ask ?? NONE, row.mark_source ?? NONE, ahead(row.stamped_ahead_s), row.resyncs ?? NONE,
  ]} />`)} />`;
}

const READING_COLUMNS = [["Reading"], ["Symbol"], ["State"], ["Why", false, "text"]];

function Readings({ rows, sinceS }) {
  if (rows.length === 0) return html`<${Empty}>No readings are configured.<//>`;
  return html`<${Table} columns=${READING_COLUMNS} label="readings" stack=${true} rows=${rows.map((row) => html`<${Row} key=${`${row.symbol} ${row.name}`} columns=${READING_COLUMNS} cells=${[
    words(row.name), short(row.symbol), html`<${Badge} row=${row} sinceS=${sinceS} />`, row.reason && html`<span class="note">${row.reason}</span>`,
  ]} />`)} />`;
}

const PROVIDER_COLUMNS = [["Provider"], ["Asked for"], ["Next", true], ["Problem", false, "text"]];

function Providers({ rows }) {
  if (rows.length === 0) return html`<${Empty}>None: a recording brings its own readings. On a live venue Deribit needs no key; CoinGlass is asked once <code>BOT_COINGLASS__API_KEY</code> is set.<//>`;
  return html`${rows.map((row) => html`<${Budget} of=${row} />`)}
    <${Table} columns=${PROVIDER_COLUMNS} label="providers" stack=${true} rows=${rows.flatMap((row) => row.asked.map((each) => html`<${Row} columns=${PROVIDER_COLUMNS} cells=${[
      each.source || row.provider, askedFor(each), number(each.next_s) === null ? NONE : duration(each.next_s), each.problem || html`<span class="note">none</span>`,
    ]} />`))} />`;
}

const askedFor = (each) => (each.readings ?? []).map((pair) => pair.join(" ")).join(", ") || words(each.call ?? each.name);

function Budget({ of }) {
  const calls = of.calls !== null && typeof of.calls === "object" ? of.calls : null; // others count theirs and have no budget
  const shown = Object.entries(of).filter(([name, value]) => !["asked", "provider"].includes(name) && value !== null && value !== "" && typeof value !== "object");
  if (shown.length === 0 && !calls) return null;
  return html`<dl class="inline"><div><dt>Provider</dt><dd>${of.provider}</dd></div>
    ${calls && html`<div><dt>Calls in the last 60 s</dt><dd>${calls.spent} of ${calls.allowed}${counted(calls.provider_says)}</dd></div>`}
    ${shown.map(([name, value]) => html`<div><dt>${words(name)}</dt><dd>${String(value)}</dd></div>`)}</dl>`;
}

/** What the provider itself says is used, of how many. */
function counted(says) {
  if (says === null || says === undefined) return "";
  return `, it counts ${Array.isArray(says) ? says.join(" of ") : says}`;
}
