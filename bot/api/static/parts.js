// Small pieces that several views draw with: panels, badges, numbers with source and age, tables, bars, empty states.

import { age, duration, fixed, NONE, words } from "./format.js";
import { html } from "./lib.js";

const GLYPH = { FRESH: "●", PARTIAL: "◐", STALE: "◌", MISSING: "○" };
const WORST = ["FRESH", "PARTIAL", "STALE", "MISSING"];

export function Panel({ title, note, id, wide, children }) {
  return html`<section class=${wide ? "panel wide" : "panel"} id=${id}>
    <header><h3>${title}</h3>${note && html`<span class="note">${note}</span>`}</header>
    ${children}
  </section>`;
}

/** Says what is not there and what to do about it. */
export function Empty({ children }) {
  return html`<p class="empty">${children}</p>`;
}

/** The state that a reading is in by now: what was fresh when the line broke grows old here too. */
export function stateNow(row, sinceS = 0) {
  if (!row || row.value === null || row.value === undefined) return "MISSING";
  return sinceS > 0 && row.age_s + sinceS > row.max_age_s ? "STALE" : row.state;
}

export function sourceText(row, sinceS = 0) {
  if (!row) return "the engine has no such reading";
  const name = words(row.name);
  const of = row.source ? `source ${row.source}, ${age(row.age_s + sinceS)} old, at most ${duration(row.max_age_s)}` : "no source";
  const others = (row.sources ?? []).filter((each) => each.source !== row.source).map(otherText);
  return [`${name}: ${stateNow(row, sinceS)}`, of, row.reason, ...others].filter(Boolean).join("\n");
}

function otherText(each) {
  const next = each.next_s === null || each.next_s === undefined ? "" : `, asked again in ${duration(each.next_s)}`;
  return `also ${each.source}: ${each.state}${each.age_s === null ? "" : `, ${age(each.age_s)} old`}${next}${each.reason ? ` (${each.reason})` : ""}`;
}

/** FRESH, PARTIAL, STALE or MISSING: a shape, a word and a colour, with source and age on hover and focus. */
export function Badge({ row, sinceS, brief }) {
  const state = stateNow(row, sinceS);
  return html`<span class=${`badge ${state}`} tabindex="0" data-tip=${sourceText(row, sinceS)}>
    <i aria-hidden="true">${GLYPH[state]}</i> ${state}${row?.source && !brief ? html`<em>${row.source} ${age(row.age_s + (sinceS ?? 0))}</em>` : ""}
  </span>`;
}

/** A number from outside: its source and age on hover and focus, struck dim when it is not fresh. */
export function Sourced({ row, sinceS, children, big }) {
  const state = stateNow(row, sinceS);
  return html`<span class=${`sourced ${state} ${big ? "big" : ""}`} tabindex="0" data-tip=${sourceText(row, sinceS)}>
    ${state === "MISSING" ? NONE : children}
  </span>`;
}

/** Price of a market with where it is from and how old. */
export function MarketPrice({ market, field = "mark", sinceS = 0, children }) {
  const aged = field === "last" ? market?.trade_age_s : market?.book_age_s;
  const value = market?.[field];
  const known = value !== null && value !== undefined;
  const from = field === "mark" ? `mark from ${market?.mark_source ?? "nowhere"}` : `${field} from the venue's ${field === "last" ? "trades" : "book"}`;
  const old = !known ? "MISSING" : !market.usable || aged + sinceS > 5 ? "STALE" : "FRESH";
  const tip = `${from}, ${age(aged === null || aged === undefined ? null : aged + sinceS)} old${market?.usable ? "" : "\nthe book is not usable: a resync is under way"}`;
  return html`<span class=${`sourced ${old}`} tabindex="0" data-tip=${tip}>${known ? children : NONE}</span>`;
}

export function Direction({ of }) {
  return html`<span class=${`direction ${of}`}>${of === "long" ? "▲" : "▼"} ${of}</span>`;
}

export function Signed({ value, children }) {
  const sign = value > 0 ? "up" : value < 0 ? "down" : "";
  return html`<span class=${`figure ${sign}`}>${children}</span>`;
}

export function Tile({ label, tip, children, sub, kind }) {
  return html`<div class=${`tile ${kind ?? ""}`}>
    <span class="label">${label}</span>
    <strong tabindex=${tip ? 0 : undefined} data-tip=${tip}>${children}</strong>
    <span class="sub">${sub}</span>
  </div>`;
}

/** `columns`: [heading, is it a number, "text" where it may take several lines]. `stack`: on a phone each
    row becomes a block, as its last columns matter most. Rows are of cells; a cell may be anything that can be drawn. */
export function Table({ columns, rows, label, stack }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}>
    <table aria-label=${label} class=${stack ? "stack" : ""}>
      <thead><tr>${columns.map(([name, right]) => html`<th scope="col" class=${right ? "right" : ""}>${name}</th>`)}</tr></thead>
      <tbody>${rows}</tbody>
    </table>
  </div>`;
}

export function Row({ columns, cells, ...rest }) {
  return html`<tr ...${rest}>${cells.map((cell, at) => html`<td class=${`${columns[at][1] ? "right" : columns[at][2] ?? ""} ${cell === NONE || cell === "" ? "none" : ""}`} data-label=${columns[at][0]}>${cell}</td>`)}</tr>`;
}

/** A scale from `low` to `high` with marks and zones in its own units; `value` null draws no needle. */
export function Scale({ low, high, value, zones = [], marks = [], label, digits = 2 }) {
  const at = (where) => `${Math.min(100, Math.max(0, ((where - low) / (high - low)) * 100))}%`;
  const out = value !== null && (value < low || value > high);
  return html`<div class="scale" role="img" aria-label=${label}>
    <div class="track">
      ${zones.map(([from, to, kind]) => html`<i class=${`zone ${kind}`} style=${{ left: at(from), width: `calc(${at(to)} - ${at(from)})` }}></i>`)}
      ${marks.map(([where]) => html`<i class="mark" style=${{ left: at(where) }}></i>`)}
      ${value !== null && html`<b class=${out ? "needle out" : "needle"} style=${{ left: at(value) }}></b>`}
    </div>
    <div class="ticks">
      ${marks.map(([where, name]) => html`<span style=${{ left: at(where) }}>${name ?? fixed(where, digits)}</span>`)}
    </div>
  </div>`;
}

export function Bar({ share, kind }) {
  const width = `${Math.min(100, Math.max(0, share * 100))}%`;
  return html`<i class=${`bar ${kind ?? ""}`} aria-hidden="true"><i style=${{ width }}></i></i>`;
}

export const worst = (states) => states.reduce((a, b) => (WORST.indexOf(b) > WORST.indexOf(a) ? b : a), "FRESH");
