// kill -9 in the middle of everything: what was answered is there after each restart, and nothing
// else that was not at least sent: of sessions (survivor.mjs), and of publishes (ledger.mjs). Each
// round kills a busy server, and goes on with its database.
// DM_CRASH_ROUNDS says how many rounds, DM_CRASH_SEED what the dice say.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { dice } from "./lib/dice.mjs";
import { Ledger } from "./lib/ledger.mjs";
import { Publisher } from "./lib/publisher.mjs";
import { BIN, cleanEnv, serve } from "./lib/server.mjs";
import { Survivor, TYPES } from "./lib/survivor.mjs";
import { Visitor } from "./lib/visitor.mjs";
import { sleep, until } from "./lib/wait.mjs";

const ALL_ROUNDS = 100;
const ROUNDS = Number(process.env.DM_CRASH_ROUNDS ?? 15);
const SEED = Number(process.env.DM_CRASH_SEED ?? Math.floor(Math.random() * 2 ** 31));
const USERS = Array.from({ length: 12 }, (_, i) => `u${i}`);
const PUBLISHERS = 4, VISITORS = 3, DEAD_SECRETS = 4;
const OLDER = 20; // of the publishes of earlier rounds so many are looked at, and asked for again

const run = promisify(execFile);

function some(random, list, howMany) {
  const left = [...list];
  const one = () => left.splice(Math.floor(random() * left.length), 1)[0];
  return Array.from({ length: Math.min(howMany, left.length) }, one);
}

/** Whatever the server has said before its end is known when this is over. */
async function killUnderLoad({ dm, survivors, publisher, visitors, ledger, random }) {
  let killed = false;
  const gone = () => killed;
  const lives = [
    ...survivors.map((survivor) => survivor.live(gone)),
    ...some(random, visitors, VISITORS).map((visitor) => visitor.live(gone)),
    ...Array.from({ length: PUBLISHERS }, () => publisher.live(gone)),
  ];
  const broken = new Promise((_, reject) => lives.forEach((life) => life.catch(reject)));
  await Promise.race([sleep(40 + random() * 360), broken]);
  killed = true;
  await dm.kill();
  await Promise.all(lives);
  await Promise.all(ledger.lines.splice(0).map((line) => line.closing()));
}

async function expectSoundFile(dm) {
  const { stdout } = await run("sqlite3", [dm.database, "pragma integrity_check"]);
  assert.equal(stdout.trim(), "ok");
  await run(BIN, ["check", `--database=${dm.database}`], { env: cleanEnv() });
}

/** Who takes what, seen by publishing one of each type and of one more. */
async function expectFilters({ dm, survivors, ledger }) {
  const probe = ++ledger.probe;
  let delivered = 0;
  await Promise.all(
    USERS.map(async (userId) => {
      for (const type of [...TYPES, "unheard-of"]) {
        const answer = await dm.publish({ userId, type, payload: { probe }, timeoutMs: 0 });
        delivered += answer.delivered;
      }
    }),
  );
  const took = () => survivors.reduce((sum, { line }) => sum + line.took.size, 0);
  await until("what was delivered arrives", () => took() === delivered, { every: 5 });
  for (const survivor of survivors) survivor.expectFilters(survivor.line.took);
}

/** They say nothing meanwhile: nothing that is owed is settled. What they are owed comes before what
 * is published now. */
async function expectAllBack(world) {
  const { dm, survivors } = world;
  await Promise.all(survivors.map((survivor) => survivor.connect()));
  for (const userId of USERS) {
    const { connections } = (await dm.get(`/users/${userId}/presence`)).json;
    assert.equal(connections, survivors.filter((survivor) => survivor.userId === userId).length);
  }
  await expectFilters(world);
  for (const survivor of survivors) survivor.expectOwed();
}

/** Of what was published or acked in the last life, and of some of the rest: it is as it was told,
 * or the acks that a client has never heard of. */
async function expectTold({ publisher, ledger, random }, since) {
  const isLast = (entry) => entry.number >= since || entry.ackedIn(ledger.life - 1);
  const last = ledger.publishes.filter(isLast), rest = ledger.publishes.filter((entry) => !isLast(entry));
  const entries = [...last, ...some(random, rest, OLDER)];
  await publisher.look(entries);
  return entries;
}

/** Asked for again they are what they were. */
async function expectRepeatable({ publisher, random }, entries) {
  await publisher.repeat(entries.filter(() => random() < 0.5));
  await publisher.look(entries);
}

/** A secret whose successor's line has been answered opens nothing but a new session. The latest
 * such one of a session is what could still be there. */
async function expectDead({ dm, survivors, ledger, random }) {
  const candidates = survivors.filter(({ before, dead }) => !before && dead.length > 0);
  for (let i = 0; i < DEAD_SECRETS && candidates.length > 0; i++) {
    const [{ userId, dead }] = candidates.splice(Math.floor(random() * candidates.length), 1);
    const stranger = new Survivor(dm, userId, random, ledger);
    stranger.mayAck(false);
    stranger.last = dead.at(-1);
    await stranger.connect();
    assert.equal((await stranger.line.welcomed).resumed, false, `${userId}: a dead secret is taken`);
    await stranger.line.close(1000);
  }
}

/** And so it is for the secrets that all have just come back with, once they have said something. */
async function expectNewlyDead(world) {
  await Promise.all(world.survivors.map((survivor) => survivor.change({ attach: `after ${survivor.id}` })));
  await expectDead(world);
}

async function round(world, since) {
  const { dm, survivors, visitors, ledger, random } = world;
  await killUnderLoad(world);
  await expectSoundFile(dm);
  for (const survivor of survivors) survivor.mayAck(false);
  ledger.life++;
  await dm.start();
  const looked = await expectTold(world, since);
  await expectDead(world);
  await expectAllBack(world);
  await Promise.all(visitors.map((visitor) => visitor.collect()));
  await expectRepeatable(world, looked);
  if (random() < 0.5) await expectNewlyDead(world);
  for (const survivor of survivors) survivor.mayAck(true);
  ledger.expectSound();
}

test(`kill -9 under load: ${ROUNDS} of ${ALL_ROUNDS} rounds`, { timeout: 60_000 + ROUNDS * 8000 }, async (t) => {
  t.diagnostic(`${ROUNDS} of ${ALL_ROUNDS} rounds, seed ${SEED}`);
  const random = dice(SEED);
  const dm = await serve(t, { shards: 3, hibernate_after: "10ms", resume_window: "1h", result_retention: "1h" });
  const ledger = new Ledger();
  const survivors = USERS.flatMap((userId) => Array.from({ length: 2 }, () => new Survivor(dm, userId, random, ledger)));
  const visitors = USERS.map((userId) => new Visitor(dm, userId, random, ledger));
  const world = { dm, survivors, visitors, ledger, random, publisher: new Publisher(dm, USERS, random, ledger) };
  await Promise.all(survivors.map((survivor) => survivor.connect()));
  for (let number = 1; number <= ROUNDS; number++) {
    try {
      await round(world, ledger.publishes.length);
    } catch (error) {
      throw new Error(`round ${number}, DM_CRASH_SEED=${SEED}: ${error.message}`, { cause: error });
    }
  }
  await world.publisher.look(ledger.publishes);
  ledger.expectSound();
});
