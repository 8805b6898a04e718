// What a server process holds, as the kernel counts it.
import { readdirSync, readFileSync } from "node:fs";
import { BIN } from "./server.mjs";
import { sleep } from "./wait.mjs";

/** Freed memory goes back at once, so that what is in use can be seen. (For AddressSanitizer.) */
export const NO_QUARANTINE = { ASAN_OPTIONS: [process.env.ASAN_OPTIONS, "quarantine_size_mb=1"].filter(Boolean).join(":") };

/** AddressSanitizer takes as much again; what ThreadSanitizer takes hides all that there is to see. */
const OVERHEAD = readFileSync(BIN).includes("__tsan_init") ? Infinity : 2;

/** So many MiB of the server's own, at most. */
export const mib = (n) => n * OVERHEAD * 1024 * 1024;

export const descriptors = (dm) => readdirSync(`/proc/${dm.process.pid}/fd`).length;

export function residentBytes(dm) {
  const status = readFileSync(`/proc/${dm.process.pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)[1]) * 1024;
}

/** How far the server's memory rose above where it began, at the highest, while `action` went on. */
export async function growthDuring(dm, action) {
  const before = residentBytes(dm);
  let highest = before, over = false;
  const watching = (async () => {
    for (; !over; await sleep(20)) highest = Math.max(highest, residentBytes(dm));
  })();
  try {
    await action();
  } finally {
    highest = Math.max(highest, residentBytes(dm));
    over = true;
  }
  await watching;
  return highest - before;
}

/** How many descriptors this process may have. */
export function descriptorLimit() {
  const [, soft] = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync("/proc/self/limits", "utf8"));
  return soft === "unlimited" ? Infinity : Number(soft);
}
