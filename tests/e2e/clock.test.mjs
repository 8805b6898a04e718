// The wall clock is set, forward and back, under a running server. What is measured (timers,
// deadlines, pauses) does not notice; what has a date (tokens, envelopes, the window in which a
// session can be resumed) goes by the clock as it is now; ids go on.
import assert from "node:assert/strict";
import { Native } from "./lib/native.mjs";
import { text, upgrade } from "./lib/raw.mjs";
import { UUID_V7 } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";
import { sleep, until } from "./lib/wait.mjs";
import { DAY, HOUR, MINUTE, serveWithClock } from "./lib/wallclock.mjs";

const MESSAGE = { type: "message" };
const FAR = { exp: 20_000_000_000 }; // in the year 2603
const YEAR = 365 * DAY;

const msOf = (id) => parseInt(id.replaceAll("-", "").slice(0, 12), 16);
const near = (a, b, what) => assert.ok(Math.abs(a - b) < 20_000, `${what}: ${new Date(a).toISOString()}, not ${new Date(b).toISOString()}`);
const connect = (dm, user) => dm.connect(user, { claims: FAR });

/** Milliseconds that an action takes, by a clock that nobody sets. */
async function took(action) {
  const began = performance.now();
  await action();
  return performance.now() - began;
}

// --- what has a date, and ids ---

test("ids go on rising and stay unique however the clock is set, and envelopes have its date", async (t) => {
  const dm = await serveWithClock(t, { shards: 1 });
  const alice = await (await connect(dm, "alice")).subscribe(MESSAGE);
  const ids = [];
  for (const off of [0, DAY, DAY + 1, -DAY, -YEAR, 0, YEAR, -1]) {
    dm.setWall(off);
    for (let n = 0; n < 30; n++) {
      ids.push((await dm.publish({ userId: "alice", timeoutMs: 0 })).envelopeId);
      const { envelopeId, timestamp } = await alice.next();
      assert.equal(envelopeId, ids.at(-1));
      near(Date.parse(timestamp), Date.now() + off, "timestamp");
    }
  }
  for (const id of ids) assert.match(id, UUID_V7);
  assert.deepEqual(ids, [...ids].sort(), "they rise");
  assert.equal(new Set(ids).size, ids.length);
  near(msOf(ids[40]), Date.now() + DAY, "an id after a step forward");
});

test("a token begins and ends by the clock as it is now", async (t) => {
  const dm = await serveWithClock(t, { open_publish: true });
  const ends = `Bearer ${dm.token("alice", { exp: dm.seconds() + 600 })}`;
  const begins = `Bearer ${dm.token("alice", { exp: FAR.exp, nbf: dm.seconds() + 600 })}`;
  const status = async (as) => (await dm.post("/publish", { userId: "bob", timeoutMs: 0 }, { as })).status;
  for (const [off, before, after] of [[0, 200, 401], [HOUR, 401, 200], [-HOUR, 200, 401], [DAY, 401, 200]]) {
    dm.setWall(off);
    assert.deepEqual([await status(ends), await status(begins)], [before, after], `${off}`);
  }
  await assert.rejects(dm.connect("alice"), { status: 401 }); // its token is of an hour
});

test("a session ends with its token though the clock has jumped past that, and not before", async (t) => {
  const dm = await serveWithClock(t);
  const short = await Native.connect(dm, "alice", { claims: { exp: dm.seconds() + 600 } });
  const long = await Native.connect(dm, "bob", { claims: { exp: dm.seconds() + 7200 } });
  dm.setWall(HOUR);
  await dm.get("/healthz"); // the loop looks at the clock at its next turn, within a minute
  assert.equal((await short.closing()).code, 4401);
  assert.equal((await long.command("ping")).type, "ok");
});

test("a session whose clock is set back stays until its token has ended", async (t) => {
  const dm = await serveWithClock(t);
  const alice = await Native.connect(dm, "alice", { claims: { exp: dm.seconds() + 4 - 30 } }); // with the leeway
  dm.setWall(-HOUR);
  await sleep(5500);
  await alice.settle();
  const bad = await alice.command("refresh", { token: dm.token("alice", { exp: dm.seconds() - 600 }) });
  assert.equal(bad.type, "error");
  assert.equal((await alice.command("refresh", { token: dm.token("alice", { exp: dm.seconds() + 600 }) })).type, "ok");
  dm.setWall(0);
  await dm.get("/healthz");
  assert.equal((await alice.closing()).code, 4401);
});

// --- what is measured ---

for (const [how, off] of [["forward", 3 * DAY], ["back", -3 * DAY]]) {
  test(`a publish waits its timeout and no longer while the clock is set ${how}`, async (t) => {
    const dm = await serveWithClock(t);
    const alice = await (await connect(dm, "alice")).subscribe(MESSAGE);
    const bob = await (await connect(dm, "bob")).subscribe(MESSAGE);
    bob.autoAck(() => "here");
    let answer;
    const ms = await took(async () => {
      const answered = dm.publish({ userIds: ["alice", "bob"], timeoutMs: 1500 });
      await alice.next();
      dm.setWall(off);
      answer = await answered;
    });
    assert.deepEqual([answer.clientCount, answer.results], [2, ["here"]]);
    assert.ok(ms > 1450 && ms < 6000, `${ms} ms`);
    const late = dm.publish({ userId: "alice", timeoutMs: 20_000 }); // one that was begun after it
    alice.ack(await alice.next(), "late");
    assert.deepEqual((await late).results, ["late"]);
  });

  test(`connections are closed when they are due, and not otherwise, while the clock is set ${how}`, async (t) => {
    const settings = { handshake_timeout: "3s", request_timeout: "3s", keepalive: "3s", shards: 1 };
    const dm = await serveWithClock(t, settings);
    const [silent, half, idle, good] = [await dm.raw(), await dm.raw(), await dm.raw(), await dm.raw()];
    half.write("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow:");
    good.write("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow:");
    idle.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert.equal((await idle.response()).status, 200);
    await sleep(300);
    dm.setWall(off);
    await dm.get("/healthz"); // a turn of the loop
    await sleep(300);
    for (const raw of [silent, half, idle, good]) assert.equal(raw.ended, false, "closed too early");
    good.write(" b\r\n\r\n");
    assert.equal((await good.response()).status, 200);
    const ms = await took(() => Promise.all([silent, half, idle].map((raw) => raw.gone())));
    assert.ok(ms > 500, `gone after ${ms} ms more`);
  });

  test(`users sleep and wake, and are pinged, while the clock is set ${how}`, async (t) => {
    const dm = await serveWithClock(t, { hibernate_after: "600ms", ping_interval: "300ms" });
    const alice = await (await connect(dm, "alice")).subscribe(MESSAGE);
    let pings = 0;
    alice.ws.on("ping", () => pings++);
    dm.setWall(off);
    const ms = await took(() => dm.asleep(1));
    assert.ok(ms > 300 && ms < 6000, `asleep after ${ms} ms`);
    const pingsThen = pings;
    await until("it is pinged", () => pings > pingsThen);
    const sent = dm.publish({ userId: "alice" });
    const envelope = await alice.next();
    dm.setWall(0);
    alice.ack(envelope, "awake");
    assert.deepEqual((await sent).results, ["awake"]);
    await dm.asleep(1);
    await alice.expectNothing();
  });
}

test("a rate is by the second that passes, not by the one that the clock shows", async (t) => {
  const dm = await serveWithClock(t, { rate_requests: 1, shards: 1 });
  const status = async () => (await dm.post("/publish", { userId: "nobody", timeoutMs: 0 })).status;
  const spend = () => until("it is spent", async () => (await status()) === 429, { every: 0 });
  const pass = () => until("a second has passed", async () => (await status()) === 200);
  await pass();
  for (const off of [DAY, -DAY, 0]) {
    await spend();
    await pass();
    const ms = await took(async () => {
      dm.setWall(off);
      await pass();
    });
    assert.ok(ms > 800, `another after ${ms} ms`);
  }
});

test("a machine that begins in 1970 serves, and goes on when it learns the date", async (t) => {
  const dm = await serveWithClock(t, { handshake_timeout: "5s" }, { off: HOUR - Date.now() });
  const raw = await dm.raw();
  raw.write("GET /healthz HTTP/1.1\r\nHost: x\r\n");
  await sleep(200);
  const alice = await Native.connect(dm, "alice", { claims: FAR });
  const early = await dm.publish({ userId: "alice", timeoutMs: 0 });
  assert.equal(new Date(msOf(early.envelopeId)).getUTCFullYear(), 1970);
  assert.equal((await alice.next()).timestamp.slice(0, 4), "1970");
  dm.setWall(0);
  raw.write("\r\n");
  assert.equal((await raw.response()).status, 200);
  assert.ok((await dm.publish({ userId: "alice", timeoutMs: 0 })).envelopeId > early.envelopeId);
  near(Date.parse((await alice.next()).timestamp), Date.now(), "timestamp");
  await alice.drop();
});

// --- the window in which a session can be resumed ---

const resume = (dm, { welcome }) => Native.connect(dm, "alice", { resume: welcome.resume, claims: FAR });

async function dropped(dm) {
  const alice = await Native.connect(dm, "alice", { claims: FAR });
  assert.equal((await alice.command("attach", { attachment: { name: "Alice" } })).type, "ok");
  const drops = await dm.metric('dormouse_closes_total{by="drop"}');
  await alice.drop();
  await until("the drop is noticed", async () => (await dm.metric('dormouse_closes_total{by="drop"}')) > drops);
  return alice;
}

async function expectResumed(back, { welcome }) {
  assert.deepEqual([back.welcome.resumed, back.welcome.sessionId, back.welcome.attachment], [true, welcome.sessionId, { name: "Alice" }]);
  return back;
}

test("a session that has dropped is resumed after a step forward within the window, and after none beyond", async (t) => {
  const dm = await serveWithClock(t, { resume_window: "1h" });
  let alice = await dropped(dm);
  dm.setWall(50 * MINUTE);
  alice = await expectResumed(await resume(dm, alice), alice); // it is connected from here on
  dm.setWall(3 * DAY);
  await alice.drop();
  alice = await expectResumed(await resume(dm, alice), alice); // it dropped at the new time
  await alice.drop();
  await until("the drop is noticed", async () => (await dm.get("/users/alice/presence")).json.connections === 0);
  dm.setWall(3 * DAY + 61 * MINUTE);
  assert.equal((await resume(dm, alice)).welcome.resumed, false);
});

test("a step back takes no session away, over a kill -9 either", async (t) => {
  const dm = await serveWithClock(t, { resume_window: "1h" });
  let alice = await dropped(dm);
  for (const off of [-2 * HOUR, -3 * DAY]) {
    dm.setWall(off);
    alice = await expectResumed(await resume(dm, alice), alice);
    await alice.command("ping");
    await alice.drop();
  }
  alice = await expectResumed(await resume(dm, alice), alice);
  await dm.kill();
  dm.setWall(-5 * DAY);
  await dm.start();
  alice = await expectResumed(await resume(dm, alice), alice);
  await alice.close(1000);
});

test("sessions that are connected do not expire by a step forward, and those that have dropped do", async (t) => {
  const dm = await serveWithClock(t, { resume_window: "2s" });
  const other = await dropped(dm);
  const alice = await Native.connect(dm, "alice", { claims: FAR });
  await alice.command("attach", { attachment: { name: "Alice" } });
  dm.setWall(DAY);
  await sleep(3000); // rows are looked through meanwhile
  await alice.drop();
  await expectResumed(await resume(dm, alice), alice);
  assert.equal((await resume(dm, other)).welcome.resumed, false);
});

test("upgrades, commands and acks on the way go through while the clock jumps about", async (t) => {
  const dm = await serveWithClock(t, { hibernate_after: "30ms" });
  let done = false;
  const jumping = (async () => {
    for (let n = 0; !done; n++) {
      dm.setWall([0, DAY, -DAY, 30 * YEAR, -30 * YEAR, 40 * MINUTE, 1][n % 7]);
      await sleep(7);
    }
  })();
  for (let round = 0; round < 25; round++) {
    const users = ["u0", "u1", "u2", "u3"];
    const clients = await Promise.all(users.map((user) => connect(dm, user)));
    for (const client of clients) (await client.subscribe(MESSAGE)).autoAck(() => round);
    const { results } = await dm.publish({ userIds: users });
    assert.deepEqual(results, users.map(() => round));
    const raw = await dm.raw();
    raw.write(upgrade({ token: dm.token("u0", FAR) }), text("ping"));
    assert.equal((await raw.response()).status, 101);
    assert.equal(await raw.text(), "pong");
    raw.destroy();
    await Promise.all(clients.map((client) => client.close(1000)));
  }
  done = true;
  await jumping;
});
