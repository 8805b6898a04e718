// Runs every *.test.mjs, two files at a time, and adds up what they say.
// usage: [DM_E2E_TLS=1] node run.mjs [name...]
import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { BIN } from "./lib/server.mjs";

const AT_ONCE = 2;
const FILE_TIMEOUT_MS = 600_000;

const here = path.dirname(fileURLToPath(import.meta.url));
const wanted = process.argv.slice(2);
const files = readdirSync(here)
  .filter((name) => name.endsWith(".test.mjs"))
  .filter((name) => wanted.length === 0 || wanted.some((word) => name.startsWith(word)));

const sum = { pass: 0, fail: 0, skipped: 0 };

/** Runs one file; its report is TAP, whose closing counts every Node since 18 prints. */
function runFile(name) {
  return new Promise((resolve) => {
    const began = Date.now();
    const child = spawn(process.execPath, ["--test-reporter=tap", path.join(here, name)], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
    const timer = setTimeout(() => child.kill("SIGKILL"), FILE_TIMEOUT_MS);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ name, code, signal, output, seconds: ((Date.now() - began) / 1000).toFixed(1) });
    });
  });
}

function countOf(output, what) {
  const line = [...output.matchAll(new RegExp(`^# ${what} (\\d+)$`, "gm"))].pop();
  return line ? Number(line[1]) : undefined;
}

/** How much of all that could be run was: "15 of 100 rounds, seed 7". */
const extent = (output) => [...output.matchAll(/^# (\d+ of \d+ .*)$/gm)].map(([, what]) => `, ${what}`).join("");

/** Of a TAP report, what failed and why. */
function failures(output) {
  return [...output.matchAll(/^not ok [^]*?^  \.\.\.$/gm)].map(([block]) => block).join("\n");
}

function report({ name, code, signal, output, seconds }) {
  const counts = Object.fromEntries(Object.keys(sum).map((what) => [what, countOf(output, what)]));
  const cancelled = countOf(output, "cancelled") ?? 0;
  const bad = (counts.fail ?? 0) + cancelled;
  const broken = counts.pass === undefined || counts.pass + bad + counts.skipped === 0 || (code !== 0 && bad === 0);
  sum.pass += counts.pass ?? 0;
  sum.fail += broken ? bad + 1 : bad;
  sum.skipped += counts.skipped ?? 0;
  if (broken) console.log(output);
  else if (bad > 0) console.log(failures(output));
  const verdict = broken ? `broken (${signal ?? code})` : `${counts.pass} passed, ${bad} failed${extent(output)}`;
  console.log(`${bad > 0 || broken ? "FAIL" : "ok  "} ${name}: ${verdict}, ${seconds} s`);
}

if (!existsSync(BIN)) {
  console.log(`there is no ${BIN}: build it, or name another by DORMOUSE_BIN`);
  console.log("e2e: 0 passed, 1 failed, 0 skipped");
  process.exit(1);
}

const queue = [...files];
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (let name = queue.shift(); name; name = queue.shift()) report(await runFile(name));
  }),
);
if (files.length === 0) sum.fail++;
console.log(`e2e: ${sum.pass} passed, ${sum.fail} failed, ${sum.skipped} skipped`);
process.exitCode = sum.fail === 0 ? 0 : 1;
