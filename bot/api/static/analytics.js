// Analytics: what the institutional guards look at. Macro Institutional Guards, below them Institutional Precision.

import { compact, distance, fixed, number, percent, price, signed } from "./format.js";
import { html } from "./lib.js";
import { Badge, Bar, Direction, Empty, MarketPrice, Scale, Sourced } from "./parts.js";
import { Precision } from "./precision.js";
import { pick, Symbols } from "./symbols.js";

export function Analytics({ store, argument }) {
  const [symbol, choose] = pick(store, argument, "analytics");
  const rows = (store.sections.readings ?? []).filter((row) => row.symbol === symbol);
  const market = store.sections.status?.markets.find((each) => each.symbol === symbol);
  if (rows.length === 0) return html`<${Empty}>No readings yet. They come with the first data of the venue and of CoinGlass.<//>`;
  const of = (name) => rows.find((row) => row.name === name);
  const shared = { market, sinceS: store.sinceS };
  return html`
    <${Symbols} store=${store} symbol=${symbol} choose=${choose}>
      <span>Mark <${MarketPrice} ...${shared}><b>${price(market?.mark)}</b><//></span>
    <//>
    <h2>Macro Institutional Guards</h2>
    <div class="cards">
      <${Clusters} row=${of("liquidation_clusters")} ...${shared} />
      <${Velocity} row=${of("oi_delta_5m")} ...${shared} />
      <${Crowding} row=${of("long_short")} ...${shared} />
      <${Whales} row=${of("whale_cvd")} ...${shared} />
      <${TakerFlow} row=${of("taker_5m")} ...${shared} />
      <${RegimeCard} row=${of("regime")} ...${shared} />
      <${Imbalance} row=${of("ofi")} ...${shared} />
    </div>
    <h2>Institutional Precision (Magnet Targets)</h2>
    <${Precision} store=${store} symbol=${symbol} market=${market} pain=${of("max_pain")} walls=${of("walls")} />
  `;
}

// What brings a missing reading, beside what the engine itself says of it.
const COMES_WITH = {
  taker_5m: "Our own comes after 5 unbroken minutes of trades.",
  max_pain: "Deribit tells it without a key on a live venue (python -m bot run --venue binanceusdm); CoinGlass with BOT_COINGLASS__API_KEY.",
  walls: "Our own come after a minute of a usable book.",
  liquidation_clusters: "On a live venue our own model comes with its open interest; CoinGlass sells them from Professional up.",
  oi_delta_5m: "A live venue tells it; the first change is known after 5 minutes.",
  long_short: "A live venue tells it every 5 minutes.",
  whale_cvd: "It needs an unbroken hour of trades.",
  ofi: "It needs a usable book.",
  regime: "It needs 101 closed bars of 5 minutes; a live venue brings them with its history.",
};

const sentence = (text) => (text ? text.replace(/[^.!?]$/, "$&.") : "");

/** A reading's card: what it is, how good it is, and its drawing; when it is missing, why. */
export function Card({ title, row, sinceS, wide, children }) {
  return html`<article class=${`card ${wide === true ? "wide" : wide ?? ""}`} data-reading=${row?.name}>
    <header><h3>${title}</h3><${Badge} row=${row} sinceS=${sinceS} /></header>
    ${row?.value ? children(row.value) : html`<${Empty}>${sentence(row?.reason) || "Nothing has been received yet."} ${COMES_WITH[row?.name] ?? ""}<//>`}
    ${row?.value && row.reason ? html`<p class="note">${row.reason}</p>` : ""}
  </article>`;
}

const NEAR_PCT = 0.5; // the zone in which a cluster of short liquidations refuses a long

function Clusters({ row, market, sinceS }) {
  return html`<${Card} title="Liquidation clusters" row=${row} sinceS=${sinceS} wide="wide tall">${(value) => {
    const all = value.clusters.map((each) => ({ ...each, gap: distance(each.price, market?.mark) }))
      .sort((a, b) => Math.abs(a.gap) - Math.abs(b.gap)).slice(0, 10).sort((a, b) => b.price - a.price);
    const largest = Math.max(...all.map((each) => Number(each.usd)), 1);
    return html`
      <p>${all.length === 0 ? "No cluster is known." : html`${value.model ? "Our own model, " : ""}the nearest ${all.length}, open interest ${compact(value.open_interest_usd)} USD`}</p>
      <ul class="bars">${all.map((each) => html`<li class=${Math.abs(each.gap) <= NEAR_PCT ? "near" : ""}>
        <span>${price(each.price)}</span><span>${percent(each.gap)}</span>
        <${Bar} share=${each.usd / largest} kind=${each.side === "short" ? "wall" : "bidwall"} />
        <span>${compact(each.usd)} ${each.side}s</span>
      </li>`)}</ul>
      <p class="note">Bold: within ${NEAR_PCT} %, where short liquidations above refuse a long.${checked(row.check)}</p>`;
  }}<//>`;
}

function checked(it) {
  if (!it || !it.checked_count || it.hit_share === null) return "";
  return ` Of ${compact(it.checked_usd)} USD liquidated, ${fixed(it.hit_share * 100, 0)} % fell into a cluster (${fixed(it.chance_share * 100, 0)} % by chance).`;
}

function Velocity({ row, sinceS }) {
  return html`<${Card} title="OI velocity" row=${row} sinceS=${sinceS}>${(value) => html`
    <p><${Sourced} row=${row} sinceS=${sinceS} big=${true}>${percent(value.pct, 3)}<//> of coins in 5 min</p>
    <${Scale} low=${-2} high=${2} value=${value.pct} marks=${[[-2], [-1], [0], [1], [2]]} digits=${0} label=${`open interest ${percent(value.pct, 3)}`} />`}<//>`;
}

function Crowding({ row, sinceS }) {
  return html`<${Card} title="Crowding" row=${row} sinceS=${sinceS}>${(value) => {
    const p95 = number(value.percentile_95);
    const two = p95 !== null && Math.abs(p95 - 2) < 0.5 ? "" : "2"; // else one is written over the other
    const marks = [[0], [1], [2, two], ...(p95 === null ? [] : [[p95, "p95"]]), [4]];
    return html`<p><${Sourced} row=${row} sinceS=${sinceS} big=${true}>${fixed(value.ratio)}<//> longs per short${p95 === null ? ", its 30 days are not known yet" : `, 95 of 100 days below ${fixed(p95)}`}</p>
      <${Scale} low=${0} high=${4} value=${number(value.ratio)} zones=${[[Math.max(2, p95 ?? 2), 4, "bad"]]} marks=${marks} digits=${0} label=${`${fixed(value.ratio)} longs per short`} />`;
  }}<//>`;
}

function Whales({ row, sinceS }) {
  return html`<${Card} title="Whale intensity" row=${row} sinceS=${sinceS}>${(value) => html`
    <p><${Sourced} row=${row} sinceS=${sinceS} big=${true}>${fixed(value.intensity, 0)}<//> of 100 ${value.direction ? html`<${Direction} of=${value.direction} />` : "level"}</p>
    <${Scale} low=${0} high=${100} value=${value.intensity} zones=${[[30, 100, "strong"]]} marks=${[[0], [30, "30 counts"], [100]]} digits=${0} label=${`intensity ${fixed(value.intensity, 0)} of 100`} />`}<//>`;
}

function TakerFlow({ row, sinceS }) {
  return html`<${Card} title="Taker aggression, 5 min" row=${row} sinceS=${sinceS}>${(value) => {
    const [buy, sell] = [Number(value.buy_usd), Number(value.sell_usd)];
    return html`<p><${Sourced} row=${row} sinceS=${sinceS} big=${true}>${fixed(buy / sell, 3)}<//> bought per sold</p>
      <${Scale} low=${0.5} high=${2} value=${buy / sell} zones=${[[0.5, 1.1, "bad"]]} marks=${[[0.5], [1.1, "1.10 long passes"], [2]]} digits=${1} label=${`ratio ${fixed(buy / sell, 3)}`} />
      <p class="note">buys ${compact(buy)}, sells ${compact(sell)} USD</p>`;
  }}<//>`;
}

const BAND = [0.375, 0.604]; // of H: below it noise, above it trend (regime.confidence 0.95 over 100 returns)

function RegimeCard({ row, sinceS }) {
  return html`<${Card} title="Regime" row=${row} sinceS=${sinceS} wide=${true}>${(value) => html`
    <p><${Sourced} row=${row} sinceS=${sinceS} big=${true}>${value.label}<//> H ${fixed(value.hurst, 3)}, z ${signed(value.z)}</p>
    <${Scale} low=${0.2} high=${0.8} value=${value.hurst} zones=${[[0.2, BAND[0], "noise"], [BAND[1], 0.8, "strong"]]}
      marks=${[[0.2], [BAND[0], "0.375"], [0.5, "0.5"], [BAND[1], "0.604"], [0.8]]} digits=${1} label=${`H ${fixed(value.hurst, 3)}`} />
    <p class="note">below 0.375 noise, above 0.604 trend if z > 1.645; 100 returns ${percent(value.sum_100 * 100)}, last 12 ${percent(value.sum_12 * 100)}</p>`}<//>`;
}

function Imbalance({ row, sinceS }) {
  return html`<${Card} title="Order-flow imbalance" row=${row} sinceS=${sinceS} wide=${true}>${(value) => html`
    <p><${Sourced} row=${row} sinceS=${sinceS} big=${true}>${signed(value.base, 1)}<//> coins, ${signed(value.depths, 1)} depths</p>
    <${Scale} low=${-4} high=${4} value=${value.depths} marks=${[[-4], [0], [4]]} digits=${0} label=${`${signed(value.depths, 1)} depths`} />`}<//>`;
}
