// A server whose wall clock a test can set; what it measures time by goes on as it does.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, openSync, writeSync } from "node:fs";
import path from "node:path";
import { BIN, serve, tempDir } from "./server.mjs";
import { afterwards } from "./teardown.mjs";

export const MINUTE = 60_000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

/** A sanitizer's library insists on being the first. */
function preloads() {
  const shim = path.join(path.dirname(BIN), "tests/libdm-wallclock.so");
  assert.ok(existsSync(shim), `there is no ${shim}: build with -DDM_TESTS=ON`);
  const sanitizer = / (\/\S*lib[at]san\S*) /.exec(execFileSync("ldd", [BIN], { encoding: "utf8" }));
  return [...(sanitizer ? [sanitizer[1]] : []), shim].join(":");
}

/** serve(), with dm.wall in milliseconds, dm.setWall(off): so far from the true time. */
export async function serveWithClock(t, settings = {}, { off = 0 } = {}) {
  const file = path.join(tempDir(t), "off");
  const fd = openSync(file, "w");
  afterwards(t, () => closeSync(fd));
  const set = (ms) => {
    const bytes = Buffer.alloc(8);
    if (new Uint8Array(new Uint16Array([1]).buffer)[0]) bytes.writeBigInt64LE(BigInt(ms));
    else bytes.writeBigInt64BE(BigInt(ms));
    writeSync(fd, bytes, 0, 8, 0);
  };
  set(off);
  const dm = await serve(t, settings, { LD_PRELOAD: preloads(), DM_WALL_CLOCK: file });
  return Object.assign(dm, {
    off,
    setWall(ms) {
      set(ms);
      dm.off = ms;
    },
    /** The server's idea of the time, in seconds: for claims. */
    seconds: () => Math.floor((Date.now() + dm.off) / 1000),
  });
}
