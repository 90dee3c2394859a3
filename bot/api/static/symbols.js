// Which symbol a view is about: it stands in the address (#chart/BTC%2FUSDT%3AUSDT), so that it can be kept and shared.

import { html } from "./lib.js";

export function pick(store, argument, tab) {
  const all = store.sections.status?.symbols ?? [];
  const symbol = all.includes(argument) ? argument : all[0];
  return [symbol, (next) => { location.hash = `${tab}/${encodeURIComponent(next)}`; }];
}

export function Symbols({ store, symbol, choose, children }) {
  const all = store.sections.status?.symbols ?? [];
  return html`<div class="bar-of">
    <label>Symbol <select value=${symbol} onChange=${(event) => choose(event.target.value)}>
      ${all.map((each) => html`<option value=${each} selected=${each === symbol}>${each}</option>`)}
    </select></label>
    ${children}
  </div>`;
}
