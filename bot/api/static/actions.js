// What the page may ask the engine to do. Where money moves, in two steps: the server says what stands and gives a nonce that
// serves once, then the trader types the word that names the act. Where the server does not offer actions (section `actions`)
// there are no buttons: the page is read-only.
//
//   POST /api/prepare {action, ...body} -> {nonce, confirm, state}, then POST /api/<action> body with X-Nonce and X-Confirm

import { html, useEffect, useLayoutEffect, useRef, useState } from "./lib.js";
import { tell } from "./server.js";

export const ACTIONS = {
  pause: { title: "Pause", says: "No new entries. Positions keep their stops and targets.", plain: true },
  resume: { title: "Resume", says: "Entries are allowed again." },
  close: { title: "Close a position", says: "Closes all of it at market now, reduce-only." },
  flatten: { title: "Flatten", says: "Cancels entries and closes every position now." },
  kill: { title: "Kill", says: "Stops all entries and cancels entry orders. Stops stay. Survives a restart." },
  "learn/apply": { title: "Apply a recommendation", says: "Changes a learned multiplier by at most 5 %. Can be undone.", plain: true },
  "learn/undo": { title: "Undo an adjustment", says: "Puts the multiplier back.", plain: true },
};

let offered = false;

/** Set before each drawing. */
export function offer(actions) {
  offered = actions?.allowed === true;
}

/** A button that opens the dialogue for one action; the rest of its properties go into the request. */
export function AskButton({ action, children, ...body }) {
  if (!offered) return null;
  const open = () => dispatchEvent(new CustomEvent("act", { detail: { action, body } }));
  return html`<button type="button" class="act" onClick=${open} aria-haspopup="dialog">${children}</button>`;
}

export function Actions() {
  const [wanted, setWanted] = useState(null);
  const ref = useRef(null);
  useEffect(() => {
    const ask = (event) => setWanted(event.detail);
    addEventListener("act", ask);
    return () => removeEventListener("act", ask);
  }, []);
  // A browser says `close` a picture later than it closes: by then the dialogue may be open for the next action.
  useLayoutEffect(() => { if (wanted && !ref.current.open) ref.current.showModal(); }, [wanted]);
  const closed = () => { if (!ref.current.open) setWanted(null); };
  return html`<dialog ref=${ref} onClose=${closed} aria-labelledby="act-title">
    ${wanted && html`<${Steps} key=${JSON.stringify(wanted)} of=${wanted} close=${() => { ref.current.close(); setWanted(null); }} />`}
  </dialog>`;
}

function Steps({ of, close }) {
  const { title, says, plain } = ACTIONS[of.action];
  const [step, setStep] = useState({});
  const [typed, setTyped] = useState("");
  const attempt = (promise, done) => {
    setStep({ ...step, busy: true, error: null });
    promise.then(done, (error) => setStep({ ...step, busy: false, error: error.message }));
  };
  const done = () => setStep({ said: `${title}: accepted. The log shows what came of it.` });
  const send = (confirmation) => attempt(tell(`/api/${of.action}`, of.body, confirmation), done);
  const prepare = () => (plain ? send({}) : attempt(tell("/api/prepare", { action: of.action, ...of.body }), (answer) => setStep({ prepared: answer })));
  const submit = (event) => {
    event.preventDefault();
    if (step.prepared) send({ "X-Nonce": step.prepared.nonce, "X-Confirm": typed });
    else prepare();
  };
  return html`<form method="dialog" onSubmit=${submit}>
    <h2 id="act-title">${title}${of.body.symbol ? ` ${of.body.symbol}` : ""}${of.body.subject ? ` ${of.body.subject}` : ""}</h2>
    <p>${says}</p>
    ${step.prepared && html`<${Typed} prepared=${step.prepared} typed=${typed} setTyped=${setTyped} />`}
    ${step.error && html`<p class="refusal" role="alert">${step.error}</p>`}
    ${step.said && html`<p class="accepted" role="status">${step.said}</p>`}
    <footer>
      <button type="button" onClick=${close}>${step.said ? "Done" : "Cancel"}</button>
      ${!step.said && html`<button type="submit" class="danger" disabled=${step.busy || (step.prepared && typed !== step.prepared.confirm)}>${step.prepared ? title : plain ? title : "Next"}</button>`}
    </footer>
  </form>`;
}

function Typed({ prepared, typed, setTyped }) {
  return html`
    ${prepared.state && html`<pre class="state-shown">${typeof prepared.state === "string" ? prepared.state : JSON.stringify(prepared.state, null, 1)}</pre>`}
    <label>Type <b>${prepared.confirm}</b> to confirm
      <input name="confirm" autocomplete="off" autofocus value=${typed} onInput=${(event) => setTyped(event.target.value)} />
    </label>`;
}

const READ_ONLY = "This page only shows. To act: python -m bot pause, resume, close, flatten or kill";

export function ActionMenu({ state }) {
  if (!offered) return html`<span class="chip" tabindex="0" data-tip=${READ_ONLY}>read-only</span>`;
  const shown = [state === "ACTIVE" ? "pause" : "resume", "flatten", "kill"];
  return html`<div class="actions" role="group" aria-label="actions">${shown.map((action) => html`<${AskButton} action=${action}>${ACTIONS[action].title}<//>`)}</div>`;
}
