// The report's page: draws the document that `report --json` prints. Text goes in as text only, never as markup, and nothing is
// computed here that the document does not say, save sums over the trades that a filter leaves.
"use strict";
(() => {
  const report = JSON.parse(document.getElementById("data").textContent);
  const rowsOf = ({ columns, rows }) => rows.map((row) => Object.fromEntries(columns.map((name, i) => [name, row[i]])));
  const trades = rowsOf(report.trades);
  const curve = rowsOf(report.curve);
  const PAGE = matchMedia("(max-width: 720px)").matches ? 25 : 100;
  const SVG = "http://www.w3.org/2000/svg";

  // --- words and numbers ---

  const MINUS = "−";
  const signed = (text, value) => (/[1-9]/.test(text) ? (value > 0 ? "+" : MINUS) : "") + text; // what rounds to 0 has no sign
  const grouped = (value, digits) =>
    Math.abs(value).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const known = (value) => value !== null && value !== undefined;
  const usd = (value) => (known(value) ? signed(grouped(Number(value), 2), Number(value)) : "unknown");
  const money = (value) => (known(value) ? (Number(value) < 0 ? MINUS : "") + grouped(Number(value), 2) : "unknown");
  const r = (value) => (known(value) ? signed(`${grouped(value, 2)} R`, value) : "unknown");
  const pct = (value, digits = 2) => (known(value) ? signed(`${grouped(value, digits)}\u00a0%`, value) : "unknown");
  const share = (value) => `${(value * 100).toFixed(0)}\u00a0%`;
  const count = (value) => value.toLocaleString("en-US");
  const tone = (value) => (Number(value) > 0 ? "good" : Number(value) < 0 ? "bad" : "");
  const time = (ns) => new Date(ns / 1e6).toISOString().slice(0, 19).replace("T", " ");
  const span = (s) =>
    s < 120 ? `${s.toFixed(0)} s` : s < 7200 ? `${(s / 60).toFixed(0)} min` : s < 172800 ? `${(s / 3600).toFixed(1)} h` : `${(s / 86400).toFixed(1)} d`;
  const interval = (lo, hi) => (known(lo) ? `${r(lo).replace(" R", "")} to ${r(hi)}` : "");

  // --- elements ---

  function el(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (known(value) && value !== "") element.setAttribute(key, value);
    }
    element.append(...children.filter(known));
    return element;
  }

  function svg(name, attributes, ...children) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  const byId = (id) => document.getElementById(id);
  const body = (id) => byId(id).querySelector(".body");
  const empty = (...text) => el("p", { class: "empty" }, ...text);
  const code = (text) => el("code", {}, text);

  // A column: heading, what it shows of a row (text or an element), and how. The first column heads its row.
  function table(columns, rows, attributes = {}) {
    const heads = columns.map((column) => column.head ?? el("th", { scope: "col", class: column.text ? "text" : "" }, column.name));
    return el(
      "table",
      attributes,
      el("thead", {}, el("tr", {}, ...heads)),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...columns.map((column, i) => cell(column, row, i))))),
    );
  }

  function cell(column, row, i) {
    const classes = [column.text ? "text" : "", column.class ?? "", column.tone ? tone(column.tone(row)) : ""].join(" ").trim();
    const attributes = { class: classes, title: column.title?.(row), "data-label": column.name };
    return i === 0 ? el("th", { ...attributes, scope: "row" }, column.show(row)) : el("td", attributes, column.show(row));
  }

  const scrolled = (child) => el("div", { class: "scroll" }, child);

  // --- bars with intervals, all on one scale ---

  const scaleOf = (values) => {
    const bounded = values.filter((value) => known(value.lo_r));
    const ends = bounded.length ? bounded.flatMap((value) => [value.lo_r, value.hi_r]) : values.map((value) => value.mean_r);
    return Math.max(0.1, ...ends.filter(known).map(Math.abs)) * 1.05;
  };

  const reach = (values, scale) => (values.some((value) => known(value.mean_r)) ? `, ${MINUS}${scale.toFixed(2)} to +${scale.toFixed(2)} R` : "");

  // What goes beyond the scale (a mean of too few trades for an interval) is drawn up to its end.
  function bar(value, scale) {
    const at = (x) => Math.max(-100, Math.min(100, (x / scale) * 100));
    const picture = svg("svg", { class: "bar", viewBox: "-100 0 200 20", preserveAspectRatio: "none", role: "img", "aria-label": told(value) });
    if (known(value.mean_r)) {
      const x = at(value.mean_r);
      const kind = `${value.mean_r < 0 ? "loss" : "gain"}${known(value.lo_r) ? "" : " weak"}`;
      picture.append(svg("rect", { class: kind, x: Math.min(0, x), y: 4, width: Math.abs(x), height: 12 }));
    }
    picture.append(svg("line", { class: "zero", x1: 0, x2: 0, y1: 0, y2: 20 }));
    if (known(value.lo_r)) {
      const [lo, hi] = [at(value.lo_r), at(value.hi_r)];
      picture.append(svg("line", { class: "whisker", x1: lo, x2: hi, y1: 10, y2: 10 }));
      for (const x of [lo, hi]) picture.append(svg("line", { class: "whisker", x1: x, x2: x, y1: 6, y2: 14 }));
    }
    return picture;
  }

  const told = (value) =>
    !known(value.mean_r) ? "no value yet" : known(value.lo_r) ? `${r(value.mean_r)}, 95 % ${interval(value.lo_r, value.hi_r)}` : r(value.mean_r);

  function estimate(value) {
    if (!known(value.mean_r)) return el("span", { class: "soft" }, "none yet");
    return el("span", {}, r(value.mean_r), el("br"), " ", el("span", { class: "soft" }, interval(value.lo_r, value.hi_r) || "too few for an interval"));
  }

  // --- sections ---

  function about() {
    const traded = report.sessions ? `${time(report.began_ns)} to ${time(report.now_ns)} UTC` : "nothing ran yet";
    byId("about").textContent = [report.account && `account ${report.account}`, report.mode, traded, report.ledger.config_hash && `configuration ${report.ledger.config_hash}`, `version ${report.version}`]
      .filter(Boolean)
      .join(", ");
    const notes = [];
    if (report.earlier_accounts) notes.push(`This journal also holds ${report.earlier_accounts} earlier paper account(s); the money and the trades here are the last one's.`);
    if (report.open_positions) notes.push(`${report.open_positions} position(s) are still open and in no figure here.`);
    if (report.sides.all.unknown) notes.push(`${report.sides.all.unknown} trade(s) have no result that is a number and are in no sum.`);
    if (report.ledger.clock_set_back) notes.push(`The clock was set back ${report.ledger.clock_set_back} time(s).`);
    byId("notes").append(...notes.map((text) => el("p", { class: "note" }, text)));
  }

  function tiles() {
    const all = report.sides.all;
    const factor = all.profit_factor;
    const gained = report.began_usd > 0 ? pct((Number(report.pnl_usd) / Number(report.began_usd)) * 100) : "";
    const fall = report.deepest;
    const made = [
      ["Net result, USD", usd(report.pnl_usd), gained && `${gained} of ${money(report.began_usd)}`, tone(report.pnl_usd)],
      ["Equity, USD", money(report.equity_usd), Number(report.transfers_usd) ? `${usd(report.transfers_usd)} moved in or out` : "closed positions"],
      ["Deepest drawdown", known(fall.drawdown_pct) ? pct(fall.drawdown_pct) : usd(fall.drawdown_usd), Number(fall.drawdown_usd) < 0 ? `${usd(fall.drawdown_usd)} USD, ${time(fall.ts_ns).slice(0, 16)}` : "none"],
      ["Trades", count(all.trades), all.trades ? `${share(all.win_rate ?? 0)} won (${share(all.win_lo)} to ${share(all.win_hi)})` : "none closed yet"],
      ["Profit factor", factor ? factor.value.toFixed(2) : "–", factor ? `95 % ${factor.lo.toFixed(2)} to ${factor.hi.toFixed(2)}` : "needs a win and a loss"],
      ["Mean of 4 h", known(all.mean_r) ? r(all.mean_r) : "–", interval(all.lo_r, all.hi_r) || `${all.effective_n} of the 20 blocks an interval needs`, known(all.mean_r) ? tone(all.mean_r) : ""],
      ["Fees, USD", money(all.fees_usd), "in the result"],
      ["Funding, USD", usd(all.funding_usd), "in the result"],
    ];
    byId("tiles").append(
      ...made.map(([name, big, small, kind]) =>
        el("dl", { class: "tile" }, el("dt", {}, name), el("dd", { class: `big ${kind ?? ""}`.trim() }, big), el("dd", { class: "small" }, small || "\u00a0")),
      ),
    );
  }

  const nothingClosed = () =>
    empty("No position has closed yet. Leave the engine running (", code("python -m bot run"), ") and make this page again; ", code("python -m bot why"), " tells why the last signal was or was not taken.");

  let equity = null;

  function drawEquity() {
    if (!curve.some((_, i) => i)) return body("equity").append(nothingClosed());
    const holder = el("div", { class: "chart", role: "img", "aria-label": `Equity from ${money(report.began_usd ?? 0)} to ${money(report.equity_usd)} USD` });
    body("equity").append(holder);
    const { createChart, BaselineSeries, AreaSeries } = LightweightCharts;
    const chart = createChart(holder, { autoSize: true, layout: { attributionLogo: true }, rightPriceScale: { minimumWidth: 72 }, timeScale: { timeVisible: true, minBarSpacing: 0.01 } });
    const line = chart.addSeries(BaselineSeries, { title: "USD", lineWidth: 2, priceFormat: { type: "custom", minMove: 0.01, formatter: money }, baseValue: { type: "price", price: Number(report.began_usd ?? 0) } });
    const byPct = curve.every((point) => known(point.drawdown_pct));
    const format = byPct ? (value) => pct(value) : money;
    const fall = chart.addSeries(AreaSeries, { title: "below peak", lineWidth: 1, invertFilledArea: true, priceFormat: { type: "custom", minMove: 0.01, formatter: format } }, 1);
    const points = bySecond();
    line.setData(points.map((point) => ({ time: point.second, value: Number(point.equity_usd) })));
    fall.setData(points.map((point) => ({ time: point.second, value: byPct ? point.drawdown_pct : Number(point.drawdown_usd) })));
    const [upper, lower] = chart.panes();
    upper.setStretchFactor(3);
    lower.setStretchFactor(1);
    chart.timeScale().fitContent();
    equity = { chart, line, fall };
    holder.dataset.points = points.length;
    paint();
  }

  // The chart wants one point for each time: the last of a second. It goes on to the report's own time.
  function bySecond() {
    const last = curve[curve.length - 1];
    const seconds = new Map();
    for (const point of [...curve, { ...last, ts_ns: Math.max(last.ts_ns, report.now_ns) }]) seconds.set(Math.floor(point.ts_ns / 1e9), point);
    return [...seconds].map(([second, point]) => ({ second, ...point }));
  }

  function paint() {
    if (!equity) return;
    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const [good, bad, line] = [colour("--good"), colour("--bad"), colour("--line")];
    equity.chart.applyOptions({
      layout: { background: { type: "solid", color: colour("--panel") }, textColor: colour("--soft"), panes: { separatorColor: line } },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      rightPriceScale: { borderColor: line },
      timeScale: { borderColor: line },
    });
    equity.line.applyOptions({ topLineColor: good, bottomLineColor: bad, topFillColor1: `${good}55`, topFillColor2: `${good}08`, bottomFillColor1: `${bad}08`, bottomFillColor2: `${bad}55` });
    equity.fall.applyOptions({ lineColor: bad, topColor: `${bad}10`, bottomColor: `${bad}66` });
  }

  const MARK = { helpful: "▲ helpful", harmful: "▼ harmful" };
  const MARK_TONE = { helpful: 1, harmful: -1 };

  function guards() {
    const asked = report.ledger.guards;
    if (!asked.length) return body("guards").append(empty("No guard has been asked yet: no signal was decided in this configuration. ", code("python -m bot signals"), " shows what came, ", code("python -m bot doctor"), " what is missing."));
    const rows = asked.filter((row) => row.blocks).sort((a, b) => (b.trades > 0) - (a.trades > 0));
    const quiet = asked.filter((row) => !row.blocks).map((row) => `${row.guard} ${row.direction}s (${count(row.signals)} signals${row.abstentions ? `, abstained ${count(row.abstentions)} times` : ""})`);
    const scale = scaleOf(rows.map((row) => row.value));
    const columns = [
      { name: "guard", text: true, show: (row) => el("span", {}, row.guard, el("span", { class: "soft" }, ` ${row.direction}s`)) },
      { name: "signals", show: (row) => count(row.signals) },
      { name: "blocks", show: (row) => count(row.blocks) },
      { name: "abstained", show: (row) => count(row.abstentions) },
      { name: "alone", show: (row) => count(row.blocked_alone) },
      { name: "losses avoided", class: "wide", show: (row) => half(row.losses_avoided, row.avoided_r, row.avoided_usd) },
      { name: "profits missed", class: "wide", show: (row) => half(row.profits_missed, row.missed_r, row.missed_usd) },
      { name: "net", class: "wide", tone: (row) => row.net_usd, show: (row) => (row.trades ? el("span", {}, r(row.net_r), el("br"), " ", `${usd(row.net_usd)} USD`) : "–") },
      { name: `worth${reach(rows.map((row) => row.value), scale)}`, class: "draw", show: (row) => bar(row.value, scale) },
      { name: "mean of 4 h, 95 %", class: "wide", show: (row) => estimate(row.value) },
      { name: "n", title: () => "how many 4 h the mean is of", show: (row) => count(row.value.effective_n) },
      { name: "verdict", text: true, class: "wrap", show: verdict },
    ];
    if (rows.length) body("guards").append(scrolled(table(columns, rows, { class: "cards" })));
    if (quiet.length) body("guards").append(el("p", { class: "empty", id: "quiet" }, `Asked, and refused nothing: ${quiet.join(", ")}.`));
  }

  const half = (n, sum, dollars) => (n ? el("span", {}, `${count(n)}: ${grouped(sum, 2)} R`, el("br"), " ", el("span", { class: "soft" }, `${grouped(Number(dollars), 2)} USD`)) : "–");

  function verdict(row) {
    const mark = el("span", { class: `verdict ${tone(MARK_TONE[row.judgement] ?? 0)}`.trim() }, MARK[row.judgement] ?? row.judgement);
    const left = Object.entries(row.left_out).map(([why, n]) => `${count(n)} left out: ${why}`);
    const said = [row.reason, ...left].filter(Boolean).join("; ");
    return el("span", {}, mark, said ? el("span", { class: "soft" }, ` ${said}`) : null);
  }

  const notYet = () => empty("Nothing to show before a position has closed.");

  function sides() {
    if (!trades.length) return body("sides").append(notYet());
    const columns = ["all", "long", "short"].map((name) => ({ name: { all: "all", long: "longs", short: "shorts" }[name], side: report.sides[name] }));
    const lines = [
      ["trades", (s) => count(s.trades)],
      ["won", (s) => (known(s.win_rate) ? `${count(s.won)}, ${share(s.win_rate)}` : "–")],
      ["won, 95 %", (s) => (known(s.win_rate) ? `${share(s.win_lo)} to ${share(s.win_hi)}` : "–")],
      ["net, USD", (s) => usd(s.pnl_usd), (s) => s.pnl_usd],
      ["profit factor", (s) => (s.profit_factor ? s.profit_factor.value.toFixed(2) : "–")],
      ["profit factor, 95 %", (s) => (s.profit_factor ? `${s.profit_factor.lo.toFixed(2)} to ${s.profit_factor.hi.toFixed(2)}` : "–")],
      ["mean of 4 h", (s) => (known(s.mean_r) ? r(s.mean_r) : "–"), (s) => s.mean_r],
      ["mean of 4 h, 95 %", (s) => interval(s.lo_r, s.hi_r) || `${s.effective_n} of 20 blocks`],
      ["mean win, USD", (s) => (known(s.mean_win_usd) ? usd(s.mean_win_usd) : "–")],
      ["mean loss, USD", (s) => (known(s.mean_loss_usd) ? usd(s.mean_loss_usd) : "–")],
      ["best, USD", (s) => (known(s.best_usd) ? usd(s.best_usd) : "–")],
      ["worst, USD", (s) => (known(s.worst_usd) ? usd(s.worst_usd) : "–")],
      ["fees, USD", (s) => money(s.fees_usd)],
      ["funding, USD", (s) => usd(s.funding_usd)],
      ["held, mean", (s) => (known(s.mean_held_s) ? span(s.mean_held_s) : "–")],
    ];
    const shown = [{ name: "", text: true, show: ([name]) => name }, ...columns.map(({ name, side }) => ({ name, show: ([, show]) => show(side), tone: ([, , of]) => of?.(side) ?? 0 }))];
    body("sides").append(scrolled(table(shown, lines, { class: "narrow" })));
  }

  function strategies() {
    const rows = report.ledger.strategies;
    if (!rows.length) return body("strategies").append(empty("No allowed signal has come to its end yet, neither traded nor as a shadow."));
    const scale = scaleOf(rows.map((row) => row.difference));
    const mean = (value) => (known(value) ? r(value) : "–");
    const columns = [
      { name: "strategy", text: true, show: (row) => el("span", {}, row.strategy, el("span", { class: "soft" }, ` ${row.direction}s, ${row.mode}`)) },
      { name: "traded", show: (row) => count(row.live) },
      { name: "mean", tone: (row) => row.live_mean_r, show: (row) => mean(row.live_mean_r) },
      { name: "net, USD", tone: (row) => row.live_usd, show: (row) => usd(row.live_usd) },
      { name: "shadows", show: (row) => count(row.shadow) },
      { name: "mean of shadows", class: "wide", tone: (row) => row.shadow_mean_r, show: (row) => mean(row.shadow_mean_r) },
      { name: "pairs", show: (row) => count(row.pairs) },
      { name: `difference${reach(rows.map((row) => row.difference), scale)}`, class: "draw", show: (row) => bar(row.difference, scale) },
      { name: "mean of 4 h, 95 %", class: "wide", show: (row) => estimate(row.difference) },
    ];
    body("strategies").append(scrolled(table(columns, rows, { class: "cards" })));
  }

  function months() {
    if (!report.months.length) return body("months").append(notYet());
    const scale = Math.max(...report.months.map((row) => Math.abs(Number(row.pnl_usd))), 0.01);
    const columns = [
      { name: "month", text: true, show: (row) => row.month },
      { name: "trades", show: (row) => count(row.trades) },
      { name: "won", show: (row) => (row.trades ? share(row.won / row.trades) : "–") },
      { name: "net, USD", tone: (row) => row.pnl_usd, show: (row) => usd(row.pnl_usd) },
      { name: "return", tone: (row) => row.return_pct, show: (row) => (known(row.return_pct) ? pct(row.return_pct) : "–") },
      { name: "", class: "draw", show: (row) => bar({ mean_r: Number(row.pnl_usd), lo_r: null, label: usd(row.pnl_usd) }, scale) },
    ];
    body("months").append(scrolled(table(columns, [...report.months].reverse(), { class: "narrow" })));
    for (const each of body("months").querySelectorAll("svg.bar")) each.setAttribute("aria-hidden", "true");
  }

  // --- max pain ---

  const pained = trades.filter((trade) => known(trade.max_pain_gap_pct) && known(trade.pnl_r));
  const KIND = { true: ["hit", "price came to it in its time"], false: ["miss", "price did not come"], null: ["plain", "not watched"] };
  const aside = (trade) => (trade.magnet === "MAGNET-AGAINST" ? -trade.max_pain_gap_pct : trade.max_pain_gap_pct);

  function maxPain() {
    const found = report.ledger.max_pain;
    if (found.n) {
      const chance = known(found.mean_chance) ? `, by chance ${share(found.mean_chance)}` : "";
      body("pain").append(el("p", {}, `Counted windows of TRUE TREND trades towards max pain: ${found.hits} of ${found.n} reached it, ${share(found.rate)} (95 % ${share(found.lo)} to ${share(found.hi)})${chance}. ${found.significant ? "Significant." : "Not significant."}`));
    }
    if (!pained.length) return body("pain").append(empty("No closed trade knew a max pain at its entry. It needs a coin with options (BTC, ETH); ", code("python -m bot readings"), " tells whether the reading comes."));
    const legend = Object.values(KIND).map(([kind, text]) => el("span", {}, svgMark(kind), ` ${text}`));
    const holder = el("div", { class: "scatter" });
    body("pain").append(el("div", { class: "legend" }, ...legend), holder);
    let width = 0;
    new ResizeObserver(() => {
      if (holder.clientWidth === width) return;
      width = holder.clientWidth;
      holder.replaceChildren(scatter(width, width < 500 ? 260 : 320));
    }).observe(holder);
  }

  function mark(kind, x, y) {
    return kind === "plain" ? svg("path", { class: kind, d: `M${x - 3},${y - 3}L${x + 3},${y + 3}M${x - 3},${y + 3}L${x + 3},${y - 3}` }) : svg("circle", { class: kind, cx: x, cy: y, r: 4 });
  }

  const svgMark = (kind) => svg("svg", { class: "scatter", width: 12, height: 12, "aria-hidden": "true" }, mark(kind, 6, 6));

  function scatter(width, height) {
    const [left, right, top, bottom] = [52, 10, 10, 40];
    const reach = Math.max(1, ...pained.map((trade) => Math.abs(aside(trade)))) * 1.05;
    const [low, high] = [Math.min(0, ...pained.map((trade) => trade.pnl_r)) - 0.2, Math.max(0, ...pained.map((trade) => trade.pnl_r)) + 0.2];
    const x = (value) => left + ((value + reach) / (2 * reach)) * (width - left - right);
    const y = (value) => top + ((high - value) / (high - low)) * (height - top - bottom);
    const picture = svg("svg", { width, height, role: "img", "aria-label": `${pained.length} trades by distance of max pain and result` });
    for (const value of ticks(low, high, 5)) {
      picture.append(svg("line", { class: value ? "grid" : "axis", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
      picture.append(svg("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, r(value).replace(".00", "")));
    }
    for (const value of ticks(-reach, reach, width < 500 ? 4 : 8)) {
      picture.append(svg("line", { class: value ? "grid" : "axis", x1: x(value), x2: x(value), y1: top, y2: height - bottom }));
      picture.append(svg("text", { x: x(value), y: height - bottom + 16, "text-anchor": "middle" }, pct(value, 1).replace(".0", "")));
    }
    picture.append(svg("text", { x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, "max pain at entry: against us | with us"));
    for (const trade of pained) {
      const [kind, words] = KIND[trade.max_pain_hit ?? null];
      const point = mark(kind, x(aside(trade)), y(trade.pnl_r));
      point.classList.add("point");
      point.append(svg("title", {}, `${time(trade.closed_ns)} ${trade.symbol} ${trade.direction} ${trade.strategy}: ${r(trade.pnl_r)}, gap ${trade.max_pain_gap_pct} %, ${words}`));
      picture.append(point);
    }
    return picture;
  }

  function ticks(low, high, wanted) {
    const rough = (high - low) / wanted;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
    const found = [];
    for (let i = Math.ceil(low / step); i * step <= high; i += 1) found.push(Number((i * step).toFixed(6)));
    return found;
  }

  // --- every trade ---

  const TRADES = [
    { name: "closed, UTC", key: "closed_ns", text: true, show: (t) => time(t.closed_ns), title: (t) => `position ${t.position_id}, signal ${t.signal_id ?? "none"}` },
    { name: "symbol", class: "wide", key: "symbol", text: true, show: (t) => t.symbol },
    { name: "side", key: "direction", text: true, show: (t) => t.direction },
    { name: "strategy", key: "strategy", text: true, show: (t) => t.strategy },
    { name: "result, USD", key: "pnl_usd", tone: (t) => t.pnl_usd, show: (t) => usd(t.pnl_usd), title: (t) => t.pnl_usd },
    { name: "R", key: "pnl_r", tone: (t) => t.pnl_r, show: (t) => r(t.pnl_r), title: (t) => t.pnl_r },
    { name: "left by", key: "reason", text: true, show: (t) => t.reason },
    { name: "held", key: "held_s", show: (t) => span(t.held_s) },
    { name: "quantity", key: "quantity", show: (t) => t.quantity },
    { name: "entry", key: "entry_price", show: (t) => t.entry_price },
    { name: "exit", key: "exit_price", show: (t) => t.exit_price ?? "unknown" },
    { name: "fees", key: "fees_usd", show: (t) => money(t.fees_usd) },
    { name: "funding", key: "funding_usd", show: (t) => usd(t.funding_usd) },
    { name: "trend", key: "true_trend", text: true, show: (t) => (t.true_trend ? "true" : "–"), title: (t) => (t.true_trend ? "TRUE TREND at entry" : "no TRUE TREND at entry") },
    { name: "max pain", key: "max_pain_gap_pct", text: true, class: "wide", show: (t) => (known(t.max_pain_gap_pct) ? `${t.max_pain_gap_pct.toFixed(2)} % ${t.magnet === "MAGNET-AGAINST" ? "against" : "with"}${known(t.max_pain_hit) ? (t.max_pain_hit ? ", reached" : ", not reached") : ""}` : "–") },
  ];
  const NUMBERS = new Set(["pnl_usd", "quantity", "entry_price", "exit_price", "fees_usd", "funding_usd"]);
  const view = { key: "closed_ns", down: true, page: 0, words: "", side: "", result: "" };

  function shownTrades() {
    const words = view.words.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (t) => {
      const text = `${t.symbol} ${t.strategy} ${t.reason} ${t.direction} ${t.position_id} ${t.signal_id} ${time(t.closed_ns)}`.toLowerCase();
      const won = Number(t.pnl_usd) > 0;
      return words.every((word) => text.includes(word)) && (!view.side || t.direction === view.side) && (!view.result || (view.result === "won") === won);
    };
    const of = (t) => (NUMBERS.has(view.key) && known(t[view.key]) ? Number(t[view.key]) : t[view.key]);
    const order = (a, b) => (known(a) && known(b) ? (a < b ? -1 : a > b ? 1 : 0) : known(a) - known(b));
    return trades.filter(fits).sort((a, b) => (view.down ? -1 : 1) * order(of(a), of(b)));
  }

  function everyTrade() {
    if (!trades.length) return body("trades").append(notYet());
    const change = (name) => (event) => {
      view[name] = event.target.value;
      view.page = 0;
      list();
    };
    const select = (name, label, options) => el("select", { "aria-label": label, onchange: change(name) }, ...options.map(([value, text]) => el("option", { value }, text)));
    const sorting = TRADES.flatMap((column) => [["", "▼ "], ["-", "▲ "]].map(([up, arrow]) => [`${up}${column.key}`, `${arrow}${column.name}`]));
    const order = el("select", { id: "order", "aria-label": "order", onchange: (event) => sortBy(event.target.value.replace("-", ""), !event.target.value.startsWith("-")) }, ...sorting.map(([value, text]) => el("option", { value }, text)));
    body("trades").append(
      el("div", { class: "tools" },
        el("input", { type: "search", placeholder: "symbol, strategy, reason, date ...", "aria-label": "find trades", oninput: change("words") }),
        select("side", "side", [["", "longs and shorts"], ["long", "longs"], ["short", "shorts"]]),
        select("result", "result", [["", "won and lost"], ["won", "won"], ["lost", "not won"]]),
        order,
        el("span", { class: "grow" }),
        el("button", { type: "button", id: "before", onclick: () => turn(-1) }, "‹ before"),
        el("span", { id: "where" }),
        el("button", { type: "button", id: "next", onclick: () => turn(1) }, "next ›")),
      el("div", { class: "scroll", id: "list" }),
      el("p", { class: "soft", id: "sum" }),
    );
    list();
  }

  function turn(pages) {
    view.page += pages;
    list();
  }

  function sortBy(key, down) {
    Object.assign(view, { key, down, page: 0 });
    list();
  }

  function heading(column) {
    const sorted = view.key === column.key;
    const arrow = sorted ? (view.down ? " ▼" : " ▲") : "";
    const button = el("button", { type: "button", onclick: () => sortBy(column.key, sorted ? !view.down : true) }, column.name + arrow);
    return el("th", { scope: "col", class: column.text ? "text" : "", "aria-sort": sorted ? (view.down ? "descending" : "ascending") : "" }, button);
  }

  function list() {
    const all = shownTrades();
    const first = view.page * PAGE;
    const columns = TRADES.map((column) => ({ ...column, head: heading(column) }));
    byId("list").replaceChildren(all.length ? table(columns, all.slice(first, first + PAGE), { class: "cards" }) : empty("No trade fits: widen the search."));
    byId("where").textContent = all.length ? `${count(first + 1)} to ${count(Math.min(all.length, first + PAGE))} of ${count(all.length)}` : "0";
    byId("before").disabled = view.page === 0;
    byId("next").disabled = first + PAGE >= all.length;
    byId("order").value = `${view.down ? "" : "-"}${view.key}`;
    const results = all.filter((t) => known(t.pnl_usd));
    byId("sum").textContent = all.length ? `These ${count(all.length)}: ${usd(results.reduce((sum, t) => sum + Number(t.pnl_usd), 0))} USD, ${count(results.filter((t) => Number(t.pnl_usd) > 0).length)} won.` : "";
  }

  // --- all of it ---

  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    paint();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  about();
  tiles();
  drawEquity();
  guards();
  sides();
  strategies();
  months();
  maxPain();
  everyTrade();
  document.documentElement.dataset.drawn = "yes";
})();
