// Dark or light: what the system says, until the button says otherwise. Kept by the browser; no secret is.

const KEY = "theme";

export function applyTheme() {
  const system = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  document.documentElement.dataset.theme = localStorage.getItem(KEY) ?? system;
}

export function switchTheme() {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem(KEY, next);
  applyTheme();
  dispatchEvent(new Event("theme"));
}
