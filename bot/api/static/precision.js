// Institutional Precision: where max pain pulls to and which walls stand in the way.

import { Card } from "./analytics.js";
import { age, compact, distance, fixed, number, percent, price } from "./format.js";
import { html } from "./lib.js";
import { Bar, Row, Scale, Sourced, Table } from "./parts.js";

const HIT_PCT = 0.5;
const EXTEND_PCT = 2; // beyond it the hold is 75 min

export function Precision({ store, symbol, market, pain, walls }) {
  const position = (store.sections.positions ?? []).find((each) => each.symbol === symbol);
  const shared = { market, sinceS: store.sinceS };
  return html`<div class="cards">
    <${MaxPain} row=${pain} position=${position} ...${shared} />
    <${Depth} of=${store.sections.depth?.[symbol]} market=${market} sinceS=${store.sinceS} />
    <${Walls} row=${walls} nowNs=${store.engineNs} ...${shared} />
  </div>`;
}

const PAIN_COLUMNS = [["Expiry"], ["Max pain", true], ["Gap", true], ["Pull"], ["Notional", true], ["Age", true], ["Source"]];

function MaxPain({ row, position, market, sinceS }) {
  return html`<${Card} title="Max pain" row=${row} sinceS=${sinceS} wide=${true}>${(value) => {
    const mark = number(market?.mark);
    const gap = mark === null ? null : distance(mark, value.price);
    const chosen = { expiry: value.expiry, price: value.price, notional_usd: value.notional_usd, source: row.source, state: row.state, age_s: row.age_s };
    const others = (row.expiries ?? []).filter((each) => each.expiry !== value.expiry);
    const rows = [chosen, ...others].sort((a, b) => (a.expiry < b.expiry ? -1 : 1));
    return html`
      <${Table} columns=${PAIN_COLUMNS} label="max pain by expiry" stack=${true} rows=${rows.map((each) => html`<${Row} key=${each.expiry}
        columns=${PAIN_COLUMNS} class=${each === chosen ? "chosen" : ""} cells=${painCells(each, each === chosen, { row, mark, position, sinceS })} />`)} />
      <p class="note">★ the expiry that the guards, the hold and the magnet go by: the largest within 2 h to 7 days.</p>
      <h4>Price against max pain</h4>
      <${Scale} low=${-10} high=${10} value=${gap} zones=${[[-HIT_PCT, HIT_PCT, "magnet"]]}
        marks=${[[-10, "−10 %"], [-EXTEND_PCT, "−2"], [0, "0"], [EXTEND_PCT, "+2"], [10, "+10 %"]]}
        label=${gap === null ? "mark unknown" : `price ${percent(gap)} from max pain`} />
      <p class="note">0 is max pain. Within ${HIT_PCT} % counts as reached; more than ${EXTEND_PCT} % away extends a force-hold to 75 min.</p>`;
  }}<//>`;
}

function painCells(each, chosen, { row, mark, position, sinceS }) {
  const gap = mark === null ? null : distance(mark, each.price);
  const aged = { ...row, source: each.source, state: each.state, age_s: each.age_s, reason: each.source === row.source ? row.reason : "" };
  return [
    chosen ? `${each.expiry} ★` : each.expiry, html`<${Sourced} row=${aged} sinceS=${sinceS}><b>${price(each.price)}</b><//>`,
    gap === null ? "mark unknown" : `${fixed(Math.abs(gap))} %`, pull(gap, position), `${compact(each.notional_usd)} USD`,
    age(each.age_s + sinceS), each.source,
  ];
}

/** WITH or AGAINST the open position; without one, which side the magnet helps. */
function pull(gap, position) {
  if (gap === null) return "unknown";
  const helps = gap < 0 ? "long" : "short";
  if (!position) return gap === 0 ? "at max pain" : `${gap < 0 ? "up" : "down"}: WITH a ${helps}`;
  return html`<b class=${position.direction === helps ? "with" : "against"}>${position.direction === helps ? "WITH" : "AGAINST"}</b> the ${position.direction}`;
}

const DEPTH_STEPS = 20; // of 10 bps: 2 % each way

/** Bars of resting USD by distance: bids to the left, asks to the right; what the book does not cover is hatched. */
function Depth({ of, market, sinceS }) {
  const state = !of ? "MISSING" : sinceS > 0 || market?.book_age_s > 2 ? "STALE" : "FRESH";
  const tip = of ? `source: our own book, ${age((market?.book_age_s ?? 0) + sinceS)} old\nseen to +${fixed(of.ask_coverage_pct)} % and −${fixed(of.bid_coverage_pct)} %` : "no usable book";
  return html`<article class="card wide" data-depth=${state}>
    <header><h3>Depth</h3><span class=${`badge ${state}`} tabindex="0" data-tip=${tip}>${state === "FRESH" ? "●" : "◌"} ${state} <em>own book</em></span></header>
    ${of ? html`<${DepthBars} of=${of} />` : html`<p class="empty">The book is not usable: a resync is under way. Bars come back with it.</p>`}
  </article>`;
}

function DepthBars({ of }) {
  const step = of.step_bps / 100;
  const side = (usd, covered, name) => usd.slice(0, DEPTH_STEPS).map((each, at) => ({ usd: each, at, name, seen: (at + 1) * step <= covered + step }));
  const [bids, asks] = [side(of.bids, of.bid_coverage_pct, "bid"), side(of.asks, of.ask_coverage_pct, "ask")];
  const largest = Math.max(1, ...bids.map((each) => each.usd), ...asks.map((each) => each.usd));
  const bar = (each) => {
    const sign = each.name === "ask" ? "+" : "−";
    const tip = `${sign}${fixed(each.at * step, 1)} to ${sign}${fixed((each.at + 1) * step, 1)} %: ${compact(each.usd)} USD of ${each.name}s${each.seen ? "" : " at least, not all of it is seen"}`;
    return html`<i class=${`${each.name} ${each.seen ? "" : "unseen"}`} data-usd=${each.usd} data-tip=${tip}><i style=${{ height: `${(each.usd / largest) * 100}%` }}></i></i>`;
  };
  const sum = (rows) => compact(rows.filter((each) => each.seen).reduce((total, each) => total + each.usd, 0));
  return html`<div class="depth" role="img" aria-label=${`bids of ${sum(bids)} USD and asks of ${sum(asks)} USD within 2 %, as far as they are seen`}>
      ${[...bids].reverse().map(bar)}${asks.map(bar)}
    </div>
    <div class="ticks depth-ticks">${[-2, -1, 0, 1, 2].map((at) => html`<span style=${{ left: `${(at + 2) * 25}%` }}>${at > 0 ? "+" : at < 0 ? "−" : ""}${Math.abs(at)}${at ? " %" : ""}</span>`)}</div>
    <p class="note">bids ${sum(bids)}, asks ${sum(asks)} USD; highest ${compact(largest)} in ${of.step_bps} bps. Hatched: beyond what the book shows.</p>`;
}

const WALL_COLUMNS = [["Side"], ["Price", true], ["From mark", true], ["USD", true], ["Stands for", true], ["Venues"], [""]];

function Walls({ row, market, nowNs, sinceS }) {
  return html`<${Card} title="Institutional walls" row=${row} sinceS=${sinceS} wide=${true}>${(value) => {
    const large = (side) => value[side].filter((wall) => wall.usd > Number(value.institutional_usd));
    const top = [...value.asks].sort((a, b) => b.usd - a.usd)[0];
    const shown = [...three(value.asks, "ask"), ...three(value.bids, "bid")].sort((a, b) => b.price - a.price);
    const largest = Math.max(...shown.map((wall) => wall.usd), 1);
    return html`
      <dl class="inline">
        <div><dt>Institutional asks</dt><dd><${Sourced} row=${row} sinceS=${sinceS} big=${true}>${large("asks").length}<//></dd></div>
        <div><dt>Institutional bids</dt><dd><${Sourced} row=${row} sinceS=${sinceS} big=${true}>${large("bids").length}<//></dd></div>
        <div><dt>Top ask wall</dt><dd>${top ? `${compact(top.usd)} at ${price(top.price)}` : "none seen"}</dd></div>
        <div><dt>Institutional from</dt><dd>${compact(value.institutional_usd)} USD</dd></div>
        <div><dt>Seen</dt><dd><${Coverage} value=${value} /></dd></div>
      </dl>
      ${shown.length === 0 ? html`<p class="empty">No wall stands in what can be seen. Beyond the coverage nothing is known.</p>` : html`
      <${Table} columns=${WALL_COLUMNS} label="top walls" stack=${true} rows=${shown.map((wall) => html`<${Row} columns=${WALL_COLUMNS} class=${`wall ${wall.side}`} cells=${[
        html`<i class=${`swatch ${wall.side === "ask" ? "wall" : "bidwall"}`} aria-hidden="true"></i> ${wall.side}${wall.usd > Number(value.institutional_usd) ? " ★" : ""}`,
        price(wall.price), percent(distance(wall.price, market?.mark)), compact(wall.usd),
        age((nowNs - wall.first_seen_ns) / 1e9), wall.venues.join(", "),
        html`<${Bar} share=${wall.usd / largest} kind=${wall.side === "ask" ? "wall" : "bidwall"} />`,
      ]} />`)} />
      <p class="note">★ institutional: more than ${compact(value.institutional_usd)} USD. The three largest of each side.</p>`}`;
  }}<//>`;
}

const three = (walls, side) => [...walls].sort((a, b) => b.usd - a.usd).slice(0, 3).map((wall) => ({ ...wall, side }));

function Coverage({ value }) {
  const tip = "how far from mid the books of our venues could be seen; beyond it the answer is “not seen”, never “no wall”";
  return html`<span tabindex="0" data-tip=${tip}>+${fixed(value.ask_coverage_pct)} % up, −${fixed(value.bid_coverage_pct)} % down</span>`;
}
