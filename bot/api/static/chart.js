// Chart: candles of one symbol with its fills, its position's levels and hold window, max pain and the large walls.

import { useChart } from "./charts.js";
import { compact, distance, percent, price, words } from "./format.js";
import { CandlestickSeries, createSeriesMarkers, html, LineStyle, useState } from "./lib.js";
import { levelsOf } from "./overview.js";
import { Badge, Empty, MarketPrice, Panel, Row, stateNow, Table } from "./parts.js";
import { pick, Symbols } from "./symbols.js";
import { HoldWindow } from "./window.js";

// How far from the last price a line may lie to be brought into view: farther ones would flatten the candles.
const FITS = { near: 1, all: 3, none: 0 };
const FIT_NAMES = { near: "position, and others within 1 %", all: "all within 3 %", none: "candles only" };

export function Chart({ store, argument }) {
  const [symbol, choose] = pick(store, argument, "chart");
  const [fit, setFit] = useState("near");
  const [minutes, setMinutes] = useState(1);
  const sent = store.sections.chart?.[symbol];
  if (!sent || sent.bars.length === 0) {
    return html`<${Symbols} store=${store} symbol=${symbol} choose=${choose} />
      <${Empty}>No candle of ${symbol} yet: the first is complete a minute after its stream begins.<//>`;
  }
  const shown = folded(sent, minutes * 60);
  const lines = linesOf(store, symbol);
  return html`
    <${Symbols} store=${store} symbol=${symbol} choose=${choose}>
      <label>Candles <select value=${minutes} onChange=${(event) => setMinutes(Number(event.target.value))}>
        ${[1, 5, 15].map((each) => html`<option value=${each} selected=${each === minutes}>${each} min</option>`)}
      </select></label>
      <label>Lines in view <select value=${fit} onChange=${(event) => setFit(event.target.value)}>
        ${Object.entries(FIT_NAMES).map(([name, text]) => html`<option value=${name} selected=${name === fit}>${text}</option>`)}
      </select></label>
    <//>
    <div class="columns chart">
      <${Panel} title=${symbol} note=${`${shown.bars.length} candles of ${shown.width_s / 60} min from the venue's trades, UTC`}>
        <${Candles} key=${`${symbol} ${minutes}`} store=${store} symbol=${symbol} shown=${shown} lines=${lines} fit=${fit} />
      <//>
      <${Panel} title="Levels">
        <${Levels} store=${store} symbol=${symbol} lines=${lines} />
      <//>
    </div>`;
}

/** The bars joined to wider ones; those that are sent are the narrowest. */
export function folded(sent, width) {
  if (width <= sent.width_s) return sent;
  const bars = [];
  for (const [time, open, high, low, close, usd] of sent.bars) {
    const start = time - (time % width);
    const last = bars.at(-1);
    if (last?.[0] !== start) bars.push([start, open, high, low, close, usd]);
    else bars.splice(-1, 1, [start, last[1], Math.max(last[2], high), Math.min(last[3], low), close, last[5] + usd]);
  }
  return { ...sent, width_s: width, bars };
}

/** Every horizontal line: what it is, where, from which reading. */
export function linesOf(store, symbol) {
  const { positions = [], readings = [] } = store.sections;
  const of = (name) => readings.find((row) => row.name === name && row.symbol === symbol);
  const position = positions.find((each) => each.symbol === symbol);
  const held = position ? levelsOf(position).filter((level) => level.state !== "filled" || level.kind === "entry") : [];
  const pain = of("max_pain");
  const walls = of("walls");
  const lines = held.map((level) => ({ key: level.name, title: level.name, price: level.price, kind: level.kind, note: level.quantity }));
  if (pain?.value) lines.push({ key: "max pain", title: "Max pain", price: Number(pain.value.price), kind: "magnet", row: pain });
  for (const [side, kind] of [["asks", "wall"], ["bids", "bidwall"]]) {
    (walls?.value?.[side] ?? []).slice(0, 3).forEach((wall, at) => lines.push({
      key: `${kind} ${at}`, title: `${side === "asks" ? "Ask" : "Bid"} wall ${compact(wall.usd)}`, price: wall.price, kind, row: walls,
    }));
  }
  return lines;
}

const MARK_TEXT = { tier_1: "T1", tier_2: "T2", tier_3: "T3", tier_4: "T4" };
const HELD = ["stop", "entry", "tier"];
const KIND = {
  stop: ["down", "Solid"], entry: ["text", "Dotted"], tier: ["up", "Dashed"],
  magnet: ["magnet", "Solid"], wall: ["wall", "LargeDashed"], bidwall: ["bidwall", "LargeDashed"],
};

function Candles({ store, symbol, shown, lines, fit }) {
  const ref = useChart(build, (chart, parts, of) => {
    parts.fitted = fitted(lines, fit, shown.bars.at(-1)[4]);
    drawBars(chart, parts, shown.bars, store.generation);
    drawLines(parts, lines, of, store.sinceS);
    drawMarkers(parts, shown, of);
    parts.hold.show(holdOf(store, symbol), of.accent);
  });
  return html`<div class="plot" ref=${ref} role="img" data-bars=${shown.bars.length}
    aria-label=${`${shown.bars.length} candles of ${symbol}, last close ${price(shown.bars.at(-1)[4])}; the lines are in the table of levels`}></div>`;
}

function fitted(lines, fit, last) {
  const within = (line) => (fit === "near" && HELD.includes(line.kind) ? FITS.all : FITS[fit]);
  return lines.filter((line) => Math.abs(distance(line.price, last) ?? 99) < within(line)).map((line) => line.price);
}

function build(chart, of) {
  const parts = { lines: new Map(), fitted: [] };
  parts.candles = chart.addSeries(CandlestickSeries, {
    upColor: of.panel, borderUpColor: of.up, wickUpColor: of.up, downColor: of.down, borderDownColor: of.down, wickDownColor: of.down,
    autoscaleInfoProvider: (original) => widened(original(), parts.fitted),
  });
  parts.markers = createSeriesMarkers(parts.candles, []);
  parts.hold = new HoldWindow();
  parts.candles.attachPrimitive(parts.hold);
  return parts;
}

function widened(info, prices) {
  if (!info?.priceRange) return info;
  const { minValue, maxValue } = info.priceRange;
  return { ...info, priceRange: { minValue: Math.min(minValue, ...prices), maxValue: Math.max(maxValue, ...prices) } };
}

const candle = ([time, open, high, low, close]) => ({ time, open, high, low, close });

function drawBars(chart, parts, bars, generation) {
  const last = parts.candles.data().at(-1);
  if (!last || parts.generation !== generation) {
    parts.candles.setData(bars.map(candle));
    if (!last) chart.timeScale().setVisibleLogicalRange({ from: bars.length - Math.min(120, Math.max(30, bars.length)), to: bars.length + 8 });
    const tick = bars.at(-1)[4] >= 1000 ? 1 : bars.at(-1)[4] >= 10 ? 2 : 4;
    parts.candles.applyOptions({ priceFormat: { type: "price", precision: tick, minMove: 10 ** -tick } });
  } else {
    bars.filter((bar) => bar[0] >= last.time).forEach((bar) => parts.candles.update(candle(bar)));
  }
  parts.generation = generation;
}

function drawLines(parts, lines, of, sinceS) {
  const wanted = new Set(lines.map((line) => line.key));
  for (const [key, line] of parts.lines) {
    if (!wanted.has(key)) {
      parts.candles.removePriceLine(line);
      parts.lines.delete(key);
    }
  }
  for (const line of lines) {
    const [colour, style] = KIND[line.kind];
    const good = !line.row || ["FRESH", "PARTIAL"].includes(stateNow(line.row, sinceS));
    const options = {
      price: line.price, color: good ? of[colour] : of.dim, lineStyle: LineStyle[good ? style : "SparseDotted"],
      lineWidth: line.kind === "magnet" ? 2 : 1, axisLabelVisible: true, title: good ? line.title : `${line.title} STALE`,
    };
    const drawn = parts.lines.get(line.key);
    if (drawn) drawn.applyOptions(options);
    else parts.lines.set(line.key, parts.candles.createPriceLine(options));
  }
}

/** Fills from before the first candle have no place: the library would put them all on it. */
function drawMarkers(parts, { bars, trades: all = [], width_s: width }, of) {
  const trades = all.filter((trade) => trade.time >= bars[0][0]);
  const last = trades.at(-1);
  const key = `${trades.length} ${last?.time} ${last?.leg} ${last?.quantity} ${bars[0][0]}`;
  if (parts.marked === key) return;
  parts.marked = key;
  parts.markers.setMarkers(trades.map((trade) => ({
    time: trade.time - (trade.time % width), position: trade.side === "buy" ? "belowBar" : "aboveBar",
    color: trade.leg === "entry" ? of.accent : of.warn, shape: trade.side === "buy" ? "arrowUp" : "arrowDown",
    text: `${MARK_TEXT[trade.leg] ?? words(trade.leg)} ${trade.quantity}`,
  })));
}

function holdOf(store, symbol) {
  const position = (store.sections.positions ?? []).find((each) => each.symbol === symbol && each.min_hold_s);
  return position ? [position.opened_ns / 1e9, position.hold_until_ns / 1e9] : null;
}

const COLUMNS = [["Level"], ["Price", true], ["From mark", true], [""]];

function Levels({ store, symbol, lines }) {
  const market = store.sections.status.markets.find((each) => each.symbol === symbol);
  const mark = { title: "Mark", price: market?.mark, kind: "now", market };
  const all = [...lines, ...(market?.mark ? [mark] : [])].sort((a, b) => b.price - a.price);
  const rows = all.map((line) => html`<${Row} key=${line.key ?? "mark"} columns=${COLUMNS} class=${`level ${line.kind}`} cells=${[
    html`<i class=${`swatch ${line.kind}`} aria-hidden="true"></i> ${line.title}`,
    line.market ? html`<${MarketPrice} market=${market} sinceS=${store.sinceS}>${price(line.price)}<//>` : price(line.price),
    line.market ? "" : percent(distance(line.price, market?.mark)),
    line.row ? html`<${Badge} row=${line.row} sinceS=${store.sinceS} brief=${true} />` : line.note ?? "",
  ]} />`);
  const missing = ["max_pain", "walls"].map((name) => store.sections.readings?.find((row) => row.name === name && row.symbol === symbol))
    .filter((row) => row && !row.value);
  return html`<${Table} columns=${COLUMNS} rows=${rows} label=${`levels of ${symbol}`} />
    ${missing.map((row) => html`<p class="note">No ${row.name.replace("_", " ")} line: <${Badge} row=${row} sinceS=${store.sinceS} /> ${row.reason}</p>`)}`;
}
