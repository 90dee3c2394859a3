// Numbers, prices, ages and times as text. Nothing here is HTML, and what is not a number is a dash, never a zero.

export const NONE = "–";

export function number(value) {
  const it = value === null || value === undefined || value === "" ? NaN : Number(value);
  return Number.isFinite(it) ? it : null;
}

/** Rounded; what rounds to zero has no sign. */
const rounded = (it, digits) => Number(it.toFixed(digits)) || 0;

export function fixed(value, digits = 2) {
  const it = number(value);
  if (it === null) return NONE;
  const text = rounded(it, digits).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return text.replace("-", "−");
}

/** With its sign: never by colour alone. */
export function signed(value, digits = 2) {
  const it = number(value);
  return it === null ? NONE : (rounded(it, digits) > 0 ? "+" : "") + fixed(it, digits);
}

/** As many decimals as prices of this size are quoted with, at least those that a string came with. */
export function price(value) {
  const it = number(value);
  if (it === null) return NONE;
  const size = Math.abs(it);
  const digits = size >= 1000 ? 1 : size >= 10 ? 2 : size >= 1 ? 4 : 6;
  return fixed(it, digits);
}

export const usd = (value, digits = 2) => fixed(value, digits);

/** 25,300,000 as 25.3M. */
export function compact(value) {
  const it = number(value);
  if (it === null) return NONE;
  for (const [unit, size] of [["B", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (Math.abs(it) >= size) return fixed(it / size, Math.abs(it) >= 100 * size ? 0 : 1) + unit;
  }
  return fixed(it, 0);
}

export const percent = (value, digits = 2) => (number(value) === null ? NONE : `${signed(value, digits)} %`);

/** How far `to` is from `from`, in percent of `from`; null where one is unknown. */
export function distance(to, from) {
  const [a, b] = [number(to), number(from)];
  return a === null || !b ? null : ((a - b) / b) * 100;
}

export function age(seconds) {
  const it = number(seconds);
  if (it === null) return "never";
  if (it < 10) return `${it.toFixed(1)} s`;
  return duration(it);
}

/** 4500 as 1 h 15 min. */
export function duration(seconds) {
  const it = number(seconds);
  if (it === null) return NONE;
  const whole = Math.max(0, Math.round(it));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.floor(whole / 60)} min ${whole < 600 ? `${whole % 60} s` : ""}`.trim();
  if (whole < 172800) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d`;
}

/** A countdown that does not jump in width: 1:04:07. */
export function countdown(seconds) {
  const whole = Math.max(0, Math.ceil(number(seconds) ?? 0));
  const two = (part) => String(part).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(whole % 60)}`;
}

const iso = (ns) => new Date(Number(ns) / 1e6).toISOString();

/** UTC, as everything here. */
export const clock = (ns) => (number(ns) === null ? NONE : iso(ns).slice(11, 19));
export const stamp = (ns) => (number(ns) === null ? NONE : `${iso(ns).slice(0, 10)} ${clock(ns)} UTC`);

/** BTC/USDT:USDT as BTC/USDT: what it settles in is in the full name, which the view has elsewhere. */
export const short = (symbol) => String(symbol ?? "").split(":")[0];

export const words = (name) => String(name ?? NONE).replaceAll("_", " ");
