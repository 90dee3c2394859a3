// Overview: money, today, trading state and why, the equity curve, open positions with every level they have.

import { AskButton } from "./actions.js";
import { curveOptions, useChart } from "./charts.js";
import { clock, countdown, distance, fixed, NONE, number, percent, price, short, signed, stamp, usd, words } from "./format.js";
import { AreaSeries, html } from "./lib.js";
import { Direction, Empty, MarketPrice, Panel, Row, Signed, Table, Tile } from "./parts.js";

export function Overview({ store }) {
  const { status, positions = [], signals = [], equity } = store.sections;
  if (!status) return html`<${Empty}>Waiting for the first snapshot of the engine.<//>`;
  return html`
    <${Money} status=${status} />
    <div class="columns">
      <${Panel} title="Equity" note="USD, marked; earlier sessions at the prices of their fills">
        <${EquityCurve} points=${equity ?? []} generation=${store.generation} />
      <//>
      <${Panel} title="Trading state">
        <${TradingState} status=${status} />
      <//>
    </div>
    <${Panel} title=${`Open positions (${positions.length})`} id="positions">
      ${positions.length === 0 && html`<${NoPosition} status=${status} />`}
      <div class="positions">${positions.map((each) => html`<${Position} key=${each.position_id} of=${each} store=${store} />`)}</div>
    <//>
    <${Panel} title="Last signals" note=${html`<a href="#why">why, for each</a>`}>
      <${Signals} rows=${signals.slice(0, 6)} />
    <//>
  `;
}

function Money({ status }) {
  const today = number(status.equity_usd) === null ? null : status.equity_usd - status.day_start_usd;
  const fallen = distance(status.equity_usd, status.peak_usd);
  const drawdown = fallen === null ? null : Math.min(0, fallen); // the peak follows in steps of a basis point
  const session = status.this_session;
  return html`<div class="tiles">
    <${Tile} label="Equity" tip="wallet and open profit at mark" sub=${`wallet ${usd(status.wallet_usd)}`}>${usd(status.equity_usd)} <small>USD</small><//>
    <${Tile} label="Today" tip="against the equity at 00:00 UTC" sub=${`from ${usd(status.day_start_usd)}`}>
      <${Signed} value=${today}>${signed(today)} <small>${percent(distance(status.equity_usd, status.day_start_usd))}</small><//>
    <//>
    <${Tile} label="Below peak" tip="drawdown from the highest equity" sub=${`peak ${usd(status.peak_usd)}`}>${percent(drawdown)}<//>
    <${Tile} label="Open risk" tip="loss if every stop is hit now" sub=${`${usd(status.notional_usd, 0)} USD notional`}>${usd(status.open_risk_usd)} <small>USD</small><//>
    <${Tile} label="This session" sub=${`${session.opened} opened, ${session.closed} closed, fees ${usd(session.fees_usd)}`}>
      <${Signed} value=${number(session.realised_pnl_usd)}>${signed(session.realised_pnl_usd)} <small>realised</small><//>
    <//>
    <${Tile} label="Signals" sub=${`${session.blocked} refused, ${session.expired} expired`}>${session.signals} <small>${session.allowed} allowed</small><//>
  </div>`;
}

function TradingState({ status }) {
  const causes = Object.entries(status.causes ?? {});
  const blocked = Object.entries(status.blocked_symbols ?? {});
  const off = Object.entries(status.strategy_errors ?? {});
  const blockers = Object.entries(status.this_session.blockers).sort((a, b) => b[1] - a[1]);
  return html`<dl class="facts">
    <dt>State</dt><dd><span class=${`state ${status.state}`}>${status.state}</span> ${status.state_reason ?? ""}</dd>
    ${causes.map(([name, cause]) => html`<dt>${words(name)}</dt><dd>${cause.reason} <span class="note">since ${clock(cause.since_ns)}</span></dd>`)}
    ${blocked.map(([symbol, cause]) => html`<dt>${symbol} blocked</dt><dd>${cause.reason} <span class="note">since ${clock(cause.since_ns)}</span></dd>`)}
    ${off.map(([name, it]) => html`<dt>${name}</dt><dd>${it.off ? "OFF: " : ""}${it.errors} errors, last: ${it.error}</dd>`)}
    <dt>Trades</dt><dd>${status.symbols.join(", ")}</dd>
    <dt>Strategies</dt><dd>${status.strategies.join(", ") || "none: only signals from outside"}</dd>
    ${blockers.length > 0 && html`<dt>Refused by</dt><dd>${blockers.map(([guard, n]) => html`<a class="chip" href=${`#guards/${guard}`}>${words(guard)} ${n}</a>`)}</dd>`}
  </dl>`;
}

function NoPosition({ status }) {
  const why = status.state === "ACTIVE" ? "Entries are allowed; the next allowed signal opens one." : `Entries are off (${status.state}: ${status.state_reason ?? "no reason given"}).`;
  return html`<${Empty}>No position is open. ${why} To hand in a signal yourself: <code>python -m bot signal ${status.symbols[0]} long</code><//>`;
}

function EquityCurve({ points, generation }) {
  const shown = points.map(([ns, value]) => ({ time: Math.floor(ns / 1e9), value: Number(value) }));
  const data = shown.filter((point, at) => at === shown.length - 1 || point.time < shown[at + 1].time);
  const ref = useChart(
    (chart, colours) => ({ curve: chart.addSeries(AreaSeries, curveOptions(colours)) }),
    (chart, { curve }) => draw(chart, curve, data, generation),
  );
  if (data.length < 2) return html`<${Empty}>The curve begins with the second sample; one is taken each minute of engine time.<//>`;
  return html`<div class="plot small" ref=${ref} role="img" data-points=${data.length}
    aria-label=${`equity from ${usd(data[0].value)} to ${usd(data.at(-1).value)} USD over ${data.length} samples`}></div>`;
}

function draw(chart, curve, data, generation) {
  const last = curve.data().at(-1);
  if (!last || chart.drawn !== generation) {
    curve.setData(data);
    chart.timeScale().fitContent();
  } else {
    data.filter((point) => point.time >= last.time).forEach((point) => curve.update(point));
  }
  chart.drawn = generation;
}

function Position({ of, store }) {
  const market = store.sections.status.markets.find((each) => each.symbol === of.symbol);
  const profit = number(of.profit_usd);
  return html`<article class="position" data-position=${of.position_id}>
    <header>
      <h4><a href=${`#chart/${encodeURIComponent(of.symbol)}`}>${of.symbol}</a> <${Direction} of=${of.direction} /></h4>
      <span class="big"><${Signed} value=${profit}>${signed(profit)} USD<//> <small>${signed(of.profit_r)} R</small></span>
      <${AskButton} action="close" symbol=${of.symbol}>Close<//>
    </header>
    <${NoStop} forS=${store.sections.health?.unprotected?.[of.symbol]} />
    <${Hold} of=${of} />
    <dl class="inline">
      <div><dt>Quantity</dt><dd>${of.quantity} <span class="note">of ${of.entry_quantity ?? of.quantity}</span></dd></div>
      <div><dt>Entry</dt><dd>${price(of.entry_price)}</dd></div>
      <div><dt>Mark</dt><dd><${MarketPrice} market=${market} sinceS=${store.sinceS}>${price(of.mark)}<//></dd></div>
      <div><dt>Regime at entry</dt><dd>${of.regime}${of.hurst === null || of.hurst === undefined ? "" : `, H ${fixed(of.hurst, 3)}`}</dd></div>
      <div><dt>Max pain at entry</dt><dd><${Magnet} of=${of} /></dd></div>
      <div><dt>Fees</dt><dd>${usd(of.fees_usd)}</dd></div>
    </dl>
    <${Ruler} of=${of} />
    <${Levels} of=${of} />
  </article>`;
}

const GAP_S = 2; // longer than a stop may take to rest after a fill

function NoStop({ forS }) {
  if (!(forS >= GAP_S)) return null;
  return html`<p class="faults" role="alert"><b>NO STOP</b> of this position has rested at the venue for ${countdown(forS)}. Close it, or see the log for why.</p>`;
}

function Hold({ of }) {
  const whole = of.min_hold_s || 0;
  const trend = of.true_trend
    ? html`<span class="chip strong" tabindex="0" data-tip="TREND, open interest growing and both sums the trade's way: one target, and it is held">TRUE TREND</span>`
    : html`<span class="chip" tabindex="0" data-tip=${of.true_trend_reason ?? ""}>no TRUE TREND</span>`;
  if (!whole) return html`<p class="hold">${trend} <span class="note">no force-hold: every exit may run</span></p>`;
  const left = of.hold_left_s ?? 0;
  return html`<p class="hold">${trend}
    <span class="timer" data-tip=${`discretionary exits wait until ${stamp(of.hold_until_ns)}`} tabindex="0">${left > 0 ? `hold ${countdown(left)}` : "hold over"}</span>
    <progress max=${whole} value=${whole - left} aria-label="part of the hold that is over"></progress>
  </p>`;
}

function Magnet({ of }) {
  if (of.max_pain_at_entry === null || of.max_pain_at_entry === undefined) return html`<span class="note">was not known</span>`;
  const tip = `source ${of.max_pain_source}, expiry ${of.max_pain_expiry}, frozen at the first fill`;
  return html`<span class="sourced" tabindex="0" data-tip=${tip}>${price(of.max_pain_at_entry)} (gap ${fixed(of.max_pain_gap_pct)} %${of.magnet ? `, ${of.magnet}` : ""})</span>`;
}

/** Stop, entry, targets and mark, in the order in which price meets them. */
export function levelsOf(of) {
  const rows = [
    { name: "Stop", price: number(of.stop_price), kind: "stop", quantity: of.quantity, state: "resting" },
    { name: "Entry", price: number(of.entry_price), kind: "entry", quantity: of.entry_quantity ?? of.quantity, state: "filled" },
    ...of.tiers.filter((tier) => tier.price !== null && tier.quantity).map((tier) => ({
      name: `Tier ${tier.tier}`, price: number(tier.price), kind: "tier", quantity: tier.quantity, state: tier.state,
    })),
  ];
  return rows.filter((row) => row.price !== null).sort((a, b) => b.price - a.price);
}

function Ruler({ of }) {
  const levels = levelsOf(of);
  const mark = number(of.mark);
  const prices = [...levels.map((level) => level.price), ...(mark === null ? [] : [mark])];
  const [low, high] = [Math.min(...prices), Math.max(...prices)];
  if (!(high > low)) return null;
  const at = (value) => ({ left: `${((value - low) / (high - low)) * 100}%` });
  return html`<div class="ruler" aria-hidden="true">
    ${levels.map((level) => html`<i class=${`tick ${level.kind} ${level.state}`} style=${at(level.price)}><span>${level.name.replace("Tier ", "T")}</span></i>`)}
    ${mark !== null && html`<b style=${at(mark)}></b>`}
  </div>`;
}

const LEVEL_COLUMNS = [["Level"], ["Price", true], ["From mark", true], ["Quantity", true], ["State"]];

function Levels({ of }) {
  const rows = levelsOf(of).map((level) => html`<${Row} columns=${LEVEL_COLUMNS} class=${`level ${level.kind}`} cells=${[
    level.name, price(level.price), percent(distance(level.price, of.mark)), level.quantity, words(level.state),
  ]} />`);
  return html`<${Table} columns=${LEVEL_COLUMNS} rows=${rows} label=${`levels of ${of.symbol}`} />`;
}

const SIGNAL_COLUMNS = [["Time"], ["Symbol"], ["Side"], ["Answer"], ["Result", true], ["Strategy"], ["Strength", true]];

export function Signals({ rows }) {
  if (rows.length === 0) return html`<${Empty}>No signal yet. Strategies speak when their condition holds; hand one in with <code>python -m bot signal SYMBOL long</code>.<//>`;
  return html`<${Table} columns=${SIGNAL_COLUMNS} label="last signals" rows=${rows.map((row) => html`<${Row} key=${row.signal_id} columns=${SIGNAL_COLUMNS} cells=${[
    clock(row.ts),
    html`<span title=${row.symbol}>${short(row.symbol)}</span>`,
    html`<${Direction} of=${row.direction} />`,
    html`<a class=${`answer ${row.outcome}`} href=${`#why/${row.signal_id}`}>${row.outcome === "blocked" ? `✕ ${words(row.blocker)}` : row.outcome === "allowed" ? "✓ allowed" : words(row.outcome)}</a>`,
    result(row.result),
    row.strategy,
    fixed(row.strength),
  ]} />`)} />`;
}

function result(it) {
  if (!it) return NONE;
  if (it.pnl_usd === null) return words(it.state).toLowerCase();
  return html`<${Signed} value=${number(it.pnl_usd)}>${signed(it.pnl_usd)} USD (${signed(it.pnl_r)} R)<//>`;
}
