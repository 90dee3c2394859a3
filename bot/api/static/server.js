// Asks the server what no frame carries, and tells it what to do. Same origin only; the session is a cookie.

export async function ask(path) {
  return answerOf(await fetch(path, { credentials: "same-origin" }));
}

export async function tell(path, body, confirmation = {}) {
  const headers = { "Content-Type": "application/json", "X-CSRF": "cockpit", ...confirmation };
  return answerOf(await fetch(path, { method: "POST", credentials: "same-origin", headers, body: JSON.stringify(body) }));
}

async function answerOf(response) {
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Error(answer?.error ?? `the server answered ${response.status}`);
  return answer;
}
