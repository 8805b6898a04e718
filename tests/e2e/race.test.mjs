// What becomes of a session while somebody is on the way to resume it. Another process holds the
// database's lock meanwhile, so that the order of things is sure.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { Ledger } from "./lib/ledger.mjs";
import { serve } from "./lib/server.mjs";
import { Survivor } from "./lib/survivor.mjs";
import { afterwards } from "./lib/teardown.mjs";
import { test } from "./lib/test.mjs";
import { upgrade } from "./lib/raw.mjs";
import { sleep, until, within } from "./lib/wait.mjs";

/** Holds up every write until it is released. */
async function hold(t, dm) {
  const held = spawn("sqlite3", [dm.database], { stdio: ["pipe", "pipe", "inherit"] });
  afterwards(t, () => held.kill("SIGKILL"));
  held.stdin.write("begin immediate; select 'held';\n");
  await within(5000, "the lock", new Promise((resolve) => held.stdout.once("data", resolve)));
  return () => held.stdin.end("rollback;\n");
}

async function alone(t, settings) {
  const dm = await serve(t, settings);
  const alice = new Survivor(dm, "alice", () => 1, new Ledger());
  await alice.connect();
  await alice.change({ attach: 1 });
  return { dm, alice };
}

/** Somebody who brings this session's secret and expects to be taken for new. */
async function expectEnded(dm, { last }) {
  const stranger = new Survivor(dm, "alice", () => 1, new Ledger());
  stranger.last = last;
  await stranger.connect();
  assert.equal((await stranger.line.welcomed).resumed, false);
  return stranger;
}

const expectResumable = async (survivor) => {
  await survivor.line.drop();
  await survivor.connect();
};

test("what is answered meanwhile is in the welcome", async (t) => {
  const { dm, alice } = await alone(t);
  const release = await hold(t, dm);
  const back = alice.connect();
  await sleep(200);
  const changed = alice.change({ attach: 2 });
  await sleep(100);
  release();
  assert.equal(await changed, true);
  await back; // and insists on attachment 2
});

test("a session that dropped meanwhile is resumed, and does not expire", async (t) => {
  const { dm, alice } = await alone(t, { resume_window: "1s" });
  const release = await hold(t, dm);
  const back = alice.connect();
  await sleep(200);
  alice.line.ws.terminate();
  await until("the drop is noticed", async () => (await dm.metric('dormouse_closes_total{by="drop"}')) === 1);
  release();
  await back;
  await sleep(2500); // silent: nothing is confirmed
  await expectResumable(alice);
});

test("a handshake that fails does not let its session expire, whose socket is there", async (t) => {
  const { dm, alice } = await alone(t, { resume_window: "1s" });
  const release = await hold(t, dm);
  const raw = await dm.raw();
  raw.write(upgrade({ path: `/?resume=${alice.last}`, token: dm.token("alice"), headers: { "sec-websocket-protocol": "dormouse.v1" } }));
  await sleep(200);
  raw.socket.resetAndDestroy(); // so that the 101 cannot be written
  await sleep(200);
  release();
  await sleep(2500);
  await expectResumable(alice);
});

test("a session that was ended meanwhile is not resumed", async (t) => {
  const { dm, alice } = await alone(t);
  const release = await hold(t, dm);
  const late = expectEnded(dm, alice);
  await sleep(200);
  await alice.line.close(1000);
  release();
  await expectResumable(await late);
});

test("a disconnect meanwhile counts, for a session that is connected and for one that is not", async (t) => {
  for (const connected of [true, false]) {
    const { dm, alice } = await alone(t);
    if (!connected) {
      await alice.line.drop();
      await until("the drop is noticed", async () => (await dm.get("/users/alice/presence")).json.connections === 0);
    }
    const release = await hold(t, dm);
    const late = expectEnded(dm, alice);
    await sleep(200);
    const disconnected = dm.post("/users/alice/disconnect");
    await sleep(300); // past what it waits for sockets on their way
    release();
    assert.deepEqual((await disconnected).json, { disconnected: connected ? 1 : 0 });
    await expectResumable(await late);
  }
});

test("of many sockets at once with one secret one stays, and its secret counts", async (t) => {
  const { dm, alice } = await alone(t, { shards: 3 });
  for (let round = 0; round < 25; round++) {
    const lines = await Promise.all(Array.from({ length: 4 }, () => alice.call()));
    await until("one is left", () => lines.filter(({ ws }) => ws.readyState === ws.OPEN).length === 1);
    alice.line = lines.find(({ ws }) => ws.readyState === ws.OPEN);
    const { sessionId, resumed, resume } = await alice.line.welcomed;
    assert.deepEqual([sessionId, resumed], [alice.id, true]);
    alice.last = resume;
    alice.before = alice.brought = undefined;
    assert.equal((await alice.line.command({ type: "ping" })).type, "ok"); // only the last counts now
    await expectResumable(alice);
  }
});
