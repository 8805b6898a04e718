// kill -9 in the middle of everything: what was answered is there after each restart, and nothing
// else that was not at least sent. Each round kills a busy server, and goes on with its database.
// DM_CRASH_ROUNDS says how many rounds, DM_CRASH_SEED what the dice say.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { BIN, cleanEnv, serve } from "./lib/server.mjs";
import { Survivor, TYPES } from "./lib/survivor.mjs";
import { sleep } from "./lib/wait.mjs";

const ALL_ROUNDS = 100;
const ROUNDS = Number(process.env.DM_CRASH_ROUNDS ?? 15);
const SEED = Number(process.env.DM_CRASH_SEED ?? Math.floor(Math.random() * 2 ** 31));
const USERS = Array.from({ length: 12 }, (_, i) => `u${i}`);
const PUBLISHERS = 4, DEAD_SECRETS = 4;

const run = promisify(execFile);

/** mulberry32 */
function dice(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Publishes, and waits for acks, until the server is gone. */
async function publish(dm, random, gone) {
  while (!gone()) {
    const userIds = USERS.filter(() => random() < 0.3);
    const type = TYPES[Math.floor(random() * TYPES.length)];
    const answer = await dm.post("/publish", { userIds: [...userIds, "u0"], type, timeoutMs: 50 }).catch(() => undefined);
    if (!gone()) assert.equal(answer?.status, 200, answer?.text);
  }
}

async function killUnderLoad(dm, survivors, random) {
  let killed = false;
  const gone = () => killed;
  const lives = [
    ...survivors.map((survivor) => survivor.live(gone)),
    ...Array.from({ length: PUBLISHERS }, () => publish(dm, random, gone)),
  ];
  const broken = new Promise((_, reject) => lives.forEach((life) => life.catch(reject)));
  await Promise.race([sleep(40 + random() * 360), broken]);
  killed = true;
  await dm.kill();
  await Promise.all(lives);
}

async function expectSoundFile(dm) {
  const { stdout } = await run("sqlite3", [dm.database, "pragma integrity_check"]);
  assert.equal(stdout.trim(), "ok");
  await run(BIN, ["check", `--database=${dm.database}`], { env: cleanEnv() });
}

/** Who takes what, seen by publishing one of each type and of one more. */
async function expectFilters(dm, survivors) {
  for (const { line } of survivors) line.took.clear();
  await Promise.all(
    USERS.map(async (userId) => {
      for (const type of [...TYPES, "unheard-of"]) await dm.publish({ userId, type, timeoutMs: 0 });
    }),
  );
  await Promise.all(survivors.map(({ line }) => line.command({ type: "ping" })));
  for (const survivor of survivors) survivor.expectFilters(survivor.line.took);
}

async function expectAllBack(dm, survivors) {
  await Promise.all(survivors.map((survivor) => survivor.connect()));
  for (const { line } of survivors) line.acks = false;
  for (const userId of USERS) {
    const { connections } = (await dm.get(`/users/${userId}/presence`)).json;
    assert.equal(connections, survivors.filter((survivor) => survivor.userId === userId).length);
  }
  await expectFilters(dm, survivors);
  for (const { line } of survivors) line.acks = true;
}

/** A secret whose successor's line has been answered opens nothing but a new session. The latest
 * such one of a session is what could still be there. */
async function expectDead(dm, survivors, random) {
  const candidates = survivors.filter(({ before, dead }) => !before && dead.length > 0);
  for (let i = 0; i < DEAD_SECRETS && candidates.length > 0; i++) {
    const [{ userId, dead }] = candidates.splice(Math.floor(random() * candidates.length), 1);
    const stranger = new Survivor(dm, userId, random);
    stranger.last = dead.at(-1);
    await stranger.connect();
    assert.equal((await stranger.line.welcomed).resumed, false, `${userId}: a dead secret is taken`);
    await stranger.line.close(1000);
  }
}

/** And so it is for the secrets that all have just come back with, once they have said something. */
async function expectNewlyDead(dm, survivors, random) {
  await Promise.all(survivors.map((survivor) => survivor.change({ attach: `after ${survivor.id}` })));
  await expectDead(dm, survivors, random);
}

test(`kill -9 under load: ${ROUNDS} of ${ALL_ROUNDS} rounds`, { timeout: 60_000 + ROUNDS * 8000 }, async (t) => {
  t.diagnostic(`${ROUNDS} of ${ALL_ROUNDS} rounds, seed ${SEED}`);
  const random = dice(SEED);
  const dm = await serve(t, { shards: 3, hibernate_after: "10ms", resume_window: "1h" });
  const survivors = USERS.flatMap((userId) => [new Survivor(dm, userId, random), new Survivor(dm, userId, random)]);
  await Promise.all(survivors.map((survivor) => survivor.connect()));
  for (let round = 1; round <= ROUNDS; round++) {
    try {
      await killUnderLoad(dm, survivors, random);
      await expectSoundFile(dm);
      await dm.start();
      await expectDead(dm, survivors, random);
      await expectAllBack(dm, survivors);
      if (random() < 0.5) await expectNewlyDead(dm, survivors, random);
    } catch (error) {
      throw new Error(`round ${round}, DM_CRASH_SEED=${SEED}: ${error.message}`, { cause: error });
    }
  }
});
