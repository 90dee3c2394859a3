// One tooltip for the whole page: the text of `data-tip` of what is pointed at or focused. Text only, never HTML.

const GAP_PX = 8;

export function tips() {
  const box = document.createElement("div");
  box.className = "tip";
  box.id = "tip";
  box.role = "tooltip";
  box.hidden = true;
  document.body.append(box);
  let over = null;

  const hide = () => {
    over?.removeAttribute("aria-describedby");
    over = null;
    box.hidden = true;
  };
  const show = (event) => {
    const on = event.target instanceof Element ? event.target.closest("[data-tip]") : null;
    if (on === over) return;
    hide();
    if (on === null) return;
    over = on;
    box.textContent = on.dataset.tip;
    box.hidden = false;
    on.setAttribute("aria-describedby", "tip");
    place(box, on.getBoundingClientRect());
  };
  document.addEventListener("pointerover", show);
  document.addEventListener("focusin", show);
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", hide, true);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
}

function place(box, at) {
  const { offsetWidth: width, offsetHeight: height } = box;
  const left = Math.min(Math.max(GAP_PX, at.left), innerWidth - width - GAP_PX);
  const above = at.top - height - GAP_PX;
  box.style.left = `${Math.max(GAP_PX, left)}px`;
  box.style.top = `${above > GAP_PX ? above : at.bottom + GAP_PX}px`;
}
