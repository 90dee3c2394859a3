// Guards: the ledger. What each guard saved or cost, with its interval; a click shows what it refused and what became of it.

import { useAsked } from "./asked.js";
import { age, clock, compact, fixed, NONE, number, price, short, signed, words } from "./format.js";
import { html, useEffect, useRef, useState } from "./lib.js";
import { Direction, Empty, Panel, Row, Signed, Table } from "./parts.js";
import { ask } from "./server.js";

const COLUMNS = [["Guard"], ["Side"], ["Signals", true], ["Refused", true], ["Abstained", true], ["Alone", true], ["Losses avoided", true],
  ["Profits missed", true], ["Net R", true], ["R a block, 95 %"], ["n eff.", true], ["Verdict"]];
const KIND_OF = {
  risk_limits: "RISK_LIMIT_BLOCK", probation: "PROBATION_BLOCK", session_window: "SESSION_WINDOW_BLOCK", liquidation_wall: "LIQ_WALL_CONFLICT",
  long_trap: "LONG_TRAP_DETECTED", whale_conflict: "WHALE_CONFLICT", taker_aggression: "TAKER_AGGRESSION_BLOCK", wall_resistance: "WALL_RESISTANCE_BLOCK",
};

export function Guards({ store, argument }) {
  const [by, setBy] = useState("");
  const { guards, signals = [] } = store.sections;
  const { value: ledger, error } = useAsked(by ? `/api/guards?by=${by}` : "/api/guards", by ? undefined : guards);
  const rows = ledger?.guards ?? [];
  const names = [...new Set([...rows.map((row) => row.guard), ...signals.map((row) => row.blocker).filter(Boolean)])];
  return html`
    <${Panel} title="Ledger of the guards" note=${ledger?.config_hash ? `rules ${ledger.config_hash}${ledger.age_s === undefined ? "" : `, ${age(ledger.age_s)} old`}` : ""}>
      <div class="bar-of"><label>Apart by <select value=${by} onChange=${(event) => setBy(event.target.value)}>
        <option value="">side only</option><option value="strategy">strategy</option><option value="symbol">symbol</option>
      </select></label></div>
      ${rows.length === 0 ? html`<${Empty}>${saysNothing(ledger, error)} A guard gets its row with the first signal it is asked about, its value with the first shadow that ends.<//>`
      : html`<${Table} columns=${COLUMNS} label="ledger of the guards" stack=${true} rows=${rows.map((row) => html`<${GuardRow} key=${`${row.guard} ${row.version} ${row.direction} ${row.strategy} ${row.symbol}`} of=${row} range=${rangeOf(rows)} chosen=${argument === row.guard} />`)} />
        <p class="note">Above zero is good: what a guard alone refused lost money. The interval holds at every look. ${ledger.note}</p>`}
    <//>
    ${names.length > 0 && html`<nav class="chips" aria-label="refused by">${names.map((name) => html`<a class=${name === argument ? "chip strong" : "chip"} href=${`#guards/${name}`}>${words(name)}</a>`)}</nav>`}
    ${argument && html`<${Refused} guard=${argument} lastSeq=${store.sections.status?.last_seq} />`}
  `;
}

function saysNothing(ledger, error) {
  if (error) return `The ledger did not answer: ${error}.`;
  if (ledger?.computing) return `The journal is being read: event ${ledger.computing.seq} of ${ledger.computing.of}.`;
  return ledger?.note ? `The ledger says: ${ledger.note}.` : "The ledger has no row yet.";
}

function rangeOf(rows) {
  const ends = rows.flatMap((row) => [row.value.lo_r, row.value.hi_r, row.value.mean_r]).map(number).filter((it) => it !== null);
  return Math.max(1, ...ends.map(Math.abs));
}

function GuardRow({ of, range, chosen }) {
  const open = () => { location.hash = `guards/${of.guard}`; };
  return html`<${Row} columns=${COLUMNS} class=${chosen ? "chosen" : ""} onClick=${open} data-guard=${of.guard} cells=${[
    html`<a href=${`#guards/${of.guard}`}>${words(of.guard)}</a> <small>${[of.strategy, of.symbol && short(of.symbol)].filter(Boolean).join(" ")}</small>`,
    html`<${Direction} of=${of.direction} />`,
    of.signals, of.blocks, of.abstentions, of.blocked_alone,
    `${of.losses_avoided} (${signed(of.avoided_r, 1)} R)`,
    `${of.profits_missed} (${fixed(of.missed_r, 1)} R)`,
    html`<${Signed} value=${of.net_r}>${signed(of.net_r)}<//>`,
    html`<${Whisker} of=${of.value} range=${range} />`,
    of.value.effective_n,
    html`<span class=${`verdict ${words(of.judgement).replaceAll(" ", "-")}`} tabindex="0" data-tip=${of.reason}>${of.judgement}</span>`,
  ]} />`;
}

function Whisker({ of, range }) {
  if (number(of.mean_r) === null) return html`<span class="note">no block of 4 h is over</span>`;
  const at = (value) => `${50 + (Math.max(-range, Math.min(range, value)) / range) * 50}%`;
  const [low, high] = [of.lo_r ?? -range, of.hi_r ?? range];
  const text = `${signed(of.mean_r)} R, ${signed(of.lo_r)} to ${signed(of.hi_r)}`;
  return html`<span class="whisker" tabindex="0" data-tip=${`${text}\np ${fixed(of.p, 3)}, q ${fixed(of.q, 3)}`} role="img" aria-label=${text}>
    <i class="zero"></i><i class="span" style=${{ left: at(low), width: `calc(${at(high)} - ${at(low)})` }}></i><b style=${{ left: at(of.mean_r) }}></b>
  </span><small>${text}</small>`;
}

const REFUSED_COLUMNS = [["Time"], ["Symbol"], ["Side"], ["Looked at", true], ["Threshold", true], ["Source"], ["What became of it", false, "text"]];
const LOOK_BACK = 20_000; // events
const PAGE = 5_000; // that the journal gives at once, oldest first
const AGAIN_MS = 10_000; // it holds up the journal's writer, so not with every event

/** All pages up to now: the newest of them is what matters. */
async function lately(kinds, lastSeq) {
  const events = [];
  let page;
  do {
    const since = events.at(-1)?.seq ?? Math.max(0, lastSeq - LOOK_BACK);
    page = await ask(`/api/events?since=${since}&limit=${PAGE}&kinds=${kinds.join(",")}`);
    events.push(...page);
  } while (page.length === PAGE && events.length < LOOK_BACK);
  return events;
}

function Refused({ guard, lastSeq }) {
  const [found, setFound] = useState({});
  const newest = useRef(0);
  newest.current = lastSeq ?? 0;
  useEffect(() => {
    let timer = null;
    let over = false;
    const next = async () => {
      const kinds = [KIND_OF[guard] ?? "DECISION", "SHADOW_OPENED", "SHADOW_CLOSED"];
      const answer = await lately(kinds, newest.current).then((events) => ({ events }), (error) => ({ error: error.message }));
      if (over) return;
      setFound(answer);
      timer = setTimeout(next, AGAIN_MS);
    };
    setFound({});
    next();
    return () => { over = true; clearTimeout(timer); };
  }, [guard]);
  const title = `Refused by ${words(guard)}`;
  if (found.error) return html`<${Panel} title=${title}><${Empty}>The journal did not answer: ${found.error}<//><//>`;
  if (!found.events) return html`<${Panel} title=${title}><p class="note">asking the journal ...</p><//>`;
  const rows = refused(found.events, guard);
  return html`<${Panel} title=${title} note=${`the last ${rows.length}`} id="refused">
    ${rows.length === 0 ? html`<${Empty}>This guard has refused nothing in the last ${compact(LOOK_BACK)} events.<//>`
    : html`<${Table} columns=${REFUSED_COLUMNS} label=${title} stack=${true} rows=${rows.map((row) => html`<${Row} key=${row.seq} columns=${REFUSED_COLUMNS} cells=${[
      html`<a href=${`#why/${row.data.signal_id}`}>${clock(row.ts)}</a>`, row.symbol, html`<${Direction} of=${row.data.direction} />`,
      shown(row.data.value), shown(row.data.threshold), row.data.reading_source ?? row.data.reason ?? NONE, html`<${Became} of=${row} />`,
    ]} />`)} />`}
  <//>`;
}

/** A guard's blocks, newest first, each with the shadow that its signal opened. */
export function refused(events, guard) {
  const opened = new Map(events.filter((event) => event.kind === "SHADOW_OPENED").map((event) => [event.data.signal_id, event]));
  const closed = new Map(events.filter((event) => event.kind === "SHADOW_CLOSED").map((event) => [event.data.position_id, event]));
  const blocks = events.map((event) => (event.kind === "DECISION" ? blockIn(event, guard) : event.kind.startsWith("SHADOW") ? null : event));
  return blocks.filter(Boolean).reverse().slice(0, 100).map((event) => {
    const shadow = opened.get(event.data.signal_id);
    return { ...event, shadow, end: shadow && closed.get(shadow.data.position_id) };
  });
}

function blockIn(decision, guard) {
  const verdict = decision.data.verdicts.find((each) => each.guard === guard && each.outcome === "BLOCK");
  return verdict && { ...decision, data: { ...decision.data, ...verdict } };
}

function Became({ of }) {
  if (of.end) {
    const { pnl_r: r, reason, pnl_usd: money } = of.end.data;
    return html`<${Signed} value=${number(r)}>shadow ${words(reason)}: ${signed(r)} R, ${signed(money)} USD<//>`;
  }
  if (of.shadow) return `shadow open since ${clock(of.shadow.ts)} at ${price(of.shadow.data.entry_price)}`;
  return html`<span class="note">no shadow of its own</span>`;
}

const shown = (value) => (number(value) === null ? value ?? NONE : fixed(value, 3));
