// The vendored libraries, under the names that the page uses. The only module that knows their files.
export { html, render, useEffect, useLayoutEffect, useRef, useState } from "./vendor/htm-preact.mjs";
export {
  AreaSeries,
  CandlestickSeries,
  createChart,
  createSeriesMarkers,
  LineStyle,
} from "./vendor/lightweight-charts.mjs";
