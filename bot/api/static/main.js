// The cockpit page: one store fed by one socket, one view for each tab, chosen by the hash of the address.

import { ActionMenu, Actions, offer } from "./actions.js";
import { Analytics } from "./analytics.js";
import { Chart } from "./chart.js";
import { age, clock, fixed } from "./format.js";
import { Guards } from "./guards.js";
import { Health } from "./health.js";
import { Learning } from "./learning.js";
import { html, render, useEffect } from "./lib.js";
import { Log } from "./log.js";
import { Overview } from "./overview.js";
import { connect, Store } from "./store.js";
import { applyTheme, switchTheme } from "./theme.js";
import { tips } from "./tips.js";
import { Why } from "./why.js";

const TABS = { overview: Overview, chart: Chart, analytics: Analytics, guards: Guards, why: Why, learning: Learning, health: Health, log: Log };
const LOOK_EVERY_MS = 500; // at the age of the last frame, when none comes

let asked = false;
const store = new Store(draw);

/** At most once for each picture that the screen shows; a hidden page draws nothing. */
function draw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    render(html`<${App} at=${place()} />`, document.getElementById("app"));
  });
}

function place() {
  const [tab, ...rest] = location.hash.slice(1).split("/");
  const known = Object.hasOwn(TABS, tab);
  return { tab: known ? tab : "overview", argument: known ? decoded(rest.join("/")) : "" };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

function App({ at }) {
  const View = TABS[at.tab];
  offer(store.sections.actions);
  useEffect(() => document.querySelector(".tabs [aria-current]").scrollIntoView({ inline: "center", block: "nearest" }), [at.tab]);
  return html`
    <a class="skip" href="#content" onClick=${skip}>Skip to the content</a>
    <${Head} status=${store.sections.status} />
    <nav class="tabs" aria-label="views">
      ${Object.keys(TABS).map((tab, index) => html`<a href=${`#${tab}`} aria-current=${tab === at.tab ? "page" : undefined} aria-keyshortcuts=${index + 1}>${title(tab)}</a>`)}
    </nav>
    <main id="content" tabindex="-1" class=${store.stale ? "stale" : ""} data-tab=${at.tab} data-frames=${store.frames}>
      <${Faults} of=${store.faults} />
      <${View} key=${at.tab} store=${store} argument=${at.argument} />
    </main>
    <${Actions} />
  `;
}

/** What is shown below of these is of before. */
function Faults({ of }) {
  const rows = Object.entries(of);
  return rows.length > 0 && html`<p class="faults" role="alert">The engine cannot show ${rows.map(([name, why]) => html`<b>${name}</b> (${why}) `)}now; what stands here of it is older. Trading goes on.</p>`;
}

const title = (tab) => tab[0].toUpperCase() + tab.slice(1);

function skip(event) {
  event.preventDefault();
  document.getElementById("content").focus();
}

function Head({ status }) {
  return html`<header class="head">
    <h1>Big Alpha</h1>
    ${status && html`
      <span class=${`mode ${status.mode}`}>${status.mode.toUpperCase()}</span>
      <span class="where">${status.venue}${status.tape ? ` · ${status.tape}` : ""}</span>
      <span class=${`state ${status.state}`} tabindex="0" data-tip=${`${status.state}: ${status.state_reason ?? ""}`}>${status.state}</span>`}
    <${Line} />
    <span class="spring"></span>
    <time class="clock" data-tip="engine time, UTC" tabindex="0">${clock(store.engineNs)}</time>
    ${status && html`<${ActionMenu} state=${status.state} />`}
    <button type="button" class="theme" onClick=${switchTheme} aria-label="dark or light">◑</button>
  </header>`;
}

/** How old what is shown is. Red as soon as a frame is older than two seconds, whatever the socket says. */
function Line() {
  const old = store.frameAgeS;
  if (old === null) return html`<span class="line wait" role="status">${store.connected ? "connected, waiting" : "connecting"}</span>`;
  if (store.stale) {
    const retry = store.connected ? "no frame comes" : store.retryInS === null ? "" : `next try in ${fixed(store.retryInS, 1)} s`;
    return html`<span class="line STALE" role="alert">STALE · ${age(old)} old <small>${retry}</small></span>`;
  }
  const text = store.connected ? "live" : "reconnecting";
  return html`<span class=${`line ${store.connected ? "live" : "wait"}`} data-tip=${`frame ${store.seq}, ${store.frames} taken`} tabindex="0">● ${text}</span>`;
}

function keys(event) {
  const typing = event.target instanceof Element && event.target.closest("input, select, textarea, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const tab = Object.keys(TABS)[Number(event.key) - 1];
  if (tab) location.hash = tab;
}

applyTheme();
tips();
addEventListener("hashchange", draw);
addEventListener("theme", draw);
addEventListener("keydown", keys);
setInterval(() => (store.stale || !store.connected) && draw(), LOOK_EVERY_MS);
connect(store, `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
draw();
