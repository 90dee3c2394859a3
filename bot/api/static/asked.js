// A section that the socket may not carry, asked for while its view is open, and again every few seconds.

import { useEffect, useState } from "./lib.js";
import { ask } from "./server.js";

const AGAIN_MS = 5000;

/** `{value, error}`; `given` is what the socket brought, which is then enough. */
export function useAsked(path, given) {
  const [found, setFound] = useState({});
  const wanted = given === undefined;
  useEffect(() => {
    if (!wanted) return undefined;
    let timer = null;
    let over = false;
    const next = async () => {
      const answer = await ask(path).then((value) => ({ value }), (error) => ({ error: error.message }));
      if (over) return;
      setFound({ path, ...answer });
      timer = setTimeout(next, AGAIN_MS);
    };
    next();
    return () => { over = true; clearTimeout(timer); };
  }, [path, wanted]);
  if (!wanted) return { value: given };
  return found.path === path ? found : {};
}
