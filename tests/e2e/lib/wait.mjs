// Waiting, always with an end to it.
import { setTimeout as sleep } from "node:timers/promises";

export { sleep };

/** Fails with `what` if the promise is not settled in time. */
export async function within(ms, what, promise) {
  const over = new AbortController();
  const late = sleep(ms, undefined, { signal: over.signal }).then(
    () => {
      throw new Error(`${what}: nothing after ${ms} ms`);
    },
    () => {},
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    over.abort();
  }
}

/** Polls until `check` returns something true, and returns that. */
export async function until(what, check, { ms = 8000, every = 25 } = {}) {
  const deadline = Date.now() + ms;
  for (;;) {
    const seen = await check();
    if (seen) return seen;
    if (Date.now() > deadline) throw new Error(`${what}: not so after ${ms} ms`);
    await sleep(every);
  }
}
