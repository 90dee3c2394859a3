// What every chart here needs: made once, drawn again with each frame by `update`, coloured by the theme, gone with its view.

import { createChart, useEffect, useRef } from "./lib.js";

const NAMES = ["bg", "panel", "line", "text", "dim", "up", "down", "accent", "warn", "magnet", "wall", "bidwall"];

export function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function frame(of) {
  return {
    layout: { background: { color: of.panel }, textColor: of.dim, fontFamily: "system-ui, sans-serif", attributionLogo: true },
    grid: { vertLines: { color: of.line }, horzLines: { color: of.line } },
    rightPriceScale: { borderColor: of.line },
    timeScale: { borderColor: of.line, timeVisible: true, secondsVisible: false },
    localization: { locale: "en-US" },
  };
}

export const curveOptions = (of) => ({
  lineColor: of.accent, topColor: `${of.accent}55`, bottomColor: `${of.accent}05`, lineWidth: 2, priceLineVisible: false,
});

/**
 * A ref for the element to draw in. `build(chart, colours)` returns what `update(chart, parts, colours)` gets each time the
 * view is drawn; both run anew when the theme changes.
 */
export function useChart(build, update) {
  const ref = useRef(null);
  const held = useRef(null);
  const theme = document.documentElement.dataset.theme;
  useEffect(() => () => drop(held), []);
  useEffect(() => {
    if (held.current && (held.current.theme !== theme || held.current.element !== ref.current)) drop(held);
    if (ref.current && !held.current) {
      const chart = createChart(ref.current, { autoSize: true, ...frame(colours()) });
      held.current = { chart, theme, element: ref.current, parts: build(chart, colours()) };
      ref.current.drawn = held.current; // for whoever asks what is drawn (a test, the console)
    }
    if (held.current) update(held.current.chart, held.current.parts, colours());
  });
  return ref;
}

function drop(held) {
  held.current?.chart.remove();
  held.current = null;
}
