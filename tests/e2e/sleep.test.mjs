// Objects sleep; nobody who talks to them can tell.
import assert from "node:assert/strict";
import http from "node:http";
import { serve } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";
import { API_KEY } from "./lib/token.mjs";
import { sleep, until } from "./lib/wait.mjs";

const MESSAGE = { type: "message" };
const WAKES = "dormouse_wakes_total";
const QUICK = { hibernate_after: "100ms" };

test("an open publish pins nobody: with hibernate_after 1s an ack after 3s is counted", async (t) => {
  const dm = await serve(t, { hibernate_after: "1s" });
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const answer = dm.publish({ userId: "alice", timeoutMs: 20000 });
  const envelope = await alice.next();
  await sleep(3000);
  await dm.asleep(1);
  alice.ack(envelope, "after three seconds");
  const { clientCount, results } = await answer;
  assert.deepEqual([clientCount, results], [1, ["after three seconds"]]);
});

test("filters survive sleep, and subscribing after it adds to them", async (t) => {
  const dm = await serve(t, QUICK);
  const alice = await (await dm.connect("alice")).subscribe({ type: "a", k: "é\n" });
  await dm.asleep(1);
  assert.equal((await dm.publish({ userId: "alice", type: "a", payload: { k: "é\n" }, timeoutMs: 0 })).delivered, 1);
  assert.equal((await alice.next()).type, "a");
  await dm.asleep(1);
  alice.send({ type: "subscribe", filters: [{ type: "b" }] });
  await alice.settle();
  for (const [type, payload] of [["a", { k: "é\n" }], ["b", null]])
    assert.equal((await dm.publish({ userId: "alice", type, payload, timeoutMs: 0 })).delivered, 1, type);
  assert.deepEqual([(await alice.next()).type, (await alice.next()).type], ["a", "b"]);
  await dm.asleep(1);
  alice.send({ type: "unsubscribe", filters: [{ type: "a", k: "é\n" }] });
  await alice.settle();
  await dm.asleep(1);
  assert.equal((await dm.publish({ userId: "alice", type: "a", payload: { k: "é\n" } })).delivered, 0);
  assert.equal((await dm.publish({ userId: "alice", type: "b", timeoutMs: 0 })).delivered, 1);
});

test("a publish to a sleeping user is acked as always", async (t) => {
  const dm = await serve(t, QUICK);
  const alice = (await (await dm.connect("alice")).subscribe(MESSAGE)).autoAck((envelope) => envelope.payload);
  for (let n = 0; n < 5; n++) {
    await dm.asleep(1);
    assert.deepEqual((await dm.publish({ userId: "alice", payload: n })).results, [n]);
    await alice.next();
  }
  const samples = await dm.metrics();
  assert.ok(samples[WAKES] >= 5, `${samples[WAKES]} wakes`);
  assert.ok(samples['dormouse_evictions_total{reason="idle"}'] >= 5);
});

test("acks after sleep count once, and only from who was sent the envelope", async (t) => {
  const dm = await serve(t, QUICK);
  const one = await (await dm.connect("alice")).subscribe(MESSAGE);
  const two = await (await dm.connect("alice")).subscribe(MESSAGE);
  const stranger = await (await dm.connect("alice")).subscribe({ type: "other" });
  const answer = dm.publish({ userId: "alice", timeoutMs: 20000 });
  const envelope = await one.next();
  await two.next();
  await dm.asleep(1);
  stranger.ack(envelope, "forged");
  await dm.asleep(1);
  one.ack(envelope, "one");
  await dm.asleep(1);
  one.ack(envelope, "one again");
  await dm.asleep(1);
  two.ack(envelope, "two");
  assert.deepEqual((await answer).results, ["one", "two"]);
});

test("a drop while asleep ends the wait for that socket's ack", async (t) => {
  const dm = await serve(t, QUICK);
  const one = await (await dm.connect("alice")).subscribe(MESSAGE);
  const two = await (await dm.connect("alice")).subscribe(MESSAGE);
  const answer = dm.publish({ userId: "alice", timeoutMs: 30000 });
  const envelope = await one.next();
  await two.next();
  await dm.asleep(1);
  await two.drop();
  await dm.asleep(1);
  one.ack(envelope, 1);
  const { clientCount, results } = await answer;
  assert.deepEqual([clientCount, results], [2, [1]]);
  await until("one socket left", async () => (await dm.get("/users/alice/presence")).json.connections === 1);
});

test("the last drop while asleep ends the publish", async (t) => {
  const dm = await serve(t, QUICK);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const answer = dm.publish({ userId: "alice", timeoutMs: 30000 });
  await alice.next();
  await dm.asleep(1);
  await alice.drop();
  const { clientCount, results } = await answer;
  assert.deepEqual([clientCount, results], [1, []]);
});

test("a publish times out while the user sleeps, without waking anybody", async (t) => {
  const dm = await serve(t, QUICK);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const answer = dm.publish({ userId: "alice", timeoutMs: 2000 });
  const envelope = await alice.next();
  await dm.asleep(1);
  assert.deepEqual((await answer).results, []);
  alice.ack(envelope, "late");
  await alice.settle();
  alice.autoAck(() => "next");
  assert.deepEqual((await dm.publish({ userId: "alice" })).results, ["next"]);
});

test("fixed answers wake nothing: ping, WebSocket ping, junk-free silence", async (t) => {
  const dm = await serve(t, QUICK);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  await dm.asleep(1);
  const before = await dm.metric(WAKES);
  for (let i = 0; i < 5; i++) assert.deepEqual(await alice.settle(), []);
  alice.ws.ping("x");
  await until("a pong", () => alice.pongs === 1);
  await dm.get("/users/alice/presence");
  await dm.asleep(1);
  assert.equal(await dm.metric(WAKES), before);
  assert.ok((await dm.metric("dormouse_fixed_answers_total")) >= 5);
});

test("a publish wakes nobody whose sockets have no filters", async (t) => {
  const dm = await serve(t, QUICK);
  const alice = await dm.connect("alice");
  await dm.asleep(1);
  const before = await dm.metric(WAKES);
  assert.equal((await dm.publish({ userId: "alice" })).delivered, 0);
  assert.equal((await dm.publish({ userId: "nobody" })).delivered, 0);
  assert.equal(await dm.metric(WAKES), before);
  await alice.expectNothing();
});

test("frames that wait for a wake come before the Close behind them", async (t) => {
  const dm = await serve(t, QUICK);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const answer = dm.publish({ userId: "alice", timeoutMs: 20000 });
  const envelope = await alice.next();
  await dm.asleep(1);
  alice.ack(envelope, "last words");
  const closed = alice.close(1000);
  assert.deepEqual((await answer).results, ["last words"]);
  assert.equal((await closed).code, 1000);
});

test("what comes while a user wakes is handled in order", async (t) => {
  const dm = await serve(t, QUICK);
  const alice = await (await dm.connect("alice")).subscribe({ type: "t0" });
  await dm.asleep(1);
  for (let n = 1; n < 20; n++) {
    alice.send({ type: "unsubscribe", filters: [{ type: `t${n - 1}` }] });
    alice.send({ type: "subscribe", filters: [{ type: `t${n}` }] });
  }
  await alice.settle();
  const sends = await Promise.all(
    Array.from({ length: 20 }, (_, n) => dm.publish({ userId: "alice", type: `t${n}`, timeoutMs: 0 })),
  );
  assert.deepEqual(sends.map((answer) => answer.delivered), [...Array(19).fill(0), 1]);
  assert.equal((await alice.next()).type, "t19");
});

test("publishes at once to a sleeping user each arrive once", async (t) => {
  const dm = await serve(t, QUICK);
  const alice = (await (await dm.connect("alice")).subscribe(MESSAGE)).autoAck((envelope) => envelope.payload);
  for (let round = 0; round < 3; round++) {
    await dm.asleep(1);
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => dm.publish({ userId: "alice", payload: n })));
    for (const [n, answer] of answers.entries()) assert.deepEqual(answer.results, [n]);
    const seen = [];
    for (let n = 0; n < 20; n++) seen.push((await alice.next()).payload);
    assert.deepEqual(seen.sort((a, b) => a - b), Array.from({ length: 20 }, (_, n) => n));
  }
});

test("a second socket of a sleeping user finds the first one's filters untouched", async (t) => {
  const dm = await serve(t, QUICK);
  const one = await (await dm.connect("alice")).subscribe(MESSAGE);
  await dm.asleep(1);
  const two = await dm.connect("alice");
  assert.equal((await dm.publish({ userId: "alice", timeoutMs: 0 })).delivered, 1);
  await one.next();
  await two.expectNothing();
  await two.subscribe(MESSAGE);
  await dm.asleep(1);
  assert.equal((await dm.publish({ userId: "alice", timeoutMs: 0 })).delivered, 2);
});

test("beyond max_awake the least recently used leave memory, and nothing is lost", async (t) => {
  const dm = await serve(t, { hibernate_after: "1h", max_awake: 4, shards: 1 });
  const users = Array.from({ length: 12 }, (_, i) => `user-${i}`);
  const clients = [];
  for (const user of users) clients.push((await (await dm.connect(user)).subscribe(MESSAGE)).autoAck(() => user));
  await until("at most four awake", async () => {
    const samples = await dm.metrics();
    return samples['dormouse_objects{kind="user",state="awake"}'] <= 4;
  });
  for (const user of [...users, ...users.reverse()]) assert.deepEqual((await dm.publish({ userId: user })).results, [user]);
  const samples = await dm.metrics();
  assert.ok(samples['dormouse_evictions_total{reason="max_awake"}'] >= 8);
  assert.ok(samples[WAKES] >= 8);
  assert.equal(samples.dormouse_sessions, 12);
});

test("sockets opened, closed and dropped in the middle of sleep and wake leave no trace", async (t) => {
  const dm = await serve(t, { hibernate_after: "20ms" });
  for (let round = 0; round < 8; round++) {
    const clients = [];
    for (let i = 0; i < 5; i++) clients.push((await dm.connect("alice")));
    await Promise.all(clients.map((client) => client.subscribe(MESSAGE)));
    const answer = dm.publish({ userId: "alice", timeoutMs: 10000 });
    for (const [i, client] of clients.entries()) {
      const envelope = await client.next();
      if (i % 2 === 0) client.ack(envelope, i);
    }
    await sleep(round * 10);
    await Promise.all(clients.map((client, i) => (i % 3 === 0 ? client.close(1000) : client.drop())));
    const { clientCount, results } = await answer;
    assert.equal(clientCount, 5);
    assert.ok(results.length <= 3, JSON.stringify(results));
  }
  await until("nobody left", async () => {
    const samples = await dm.metrics();
    return samples.dormouse_sessions === 0 && samples['dormouse_objects{kind="user",state="awake"}'] === 0;
  });
  assert.equal((await dm.publish({ userId: "alice" })).clientCount, 0);
  assert.equal(await dm.metric("dormouse_publishes_open"), 0);
});

test("publishes that wake their users follow one another on one connection without delay", async (t) => {
  const dm = await serve(t, { shards: 1, hibernate_after: "100ms" });
  const users = Array.from({ length: 12 }, (_, i) => `u${i}`);
  for (const user of users) await (await dm.connect(user)).subscribe({ type: "message" });
  await dm.asleep(users.length);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const took = [];
  for (const userId of users) {
    const began = performance.now();
    await new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" };
      http
        .request({ agent, host: "127.0.0.1", port: dm.port, method: "POST", path: "/publish", headers }, (answer) => answer.resume().on("end", resolve))
        .on("error", reject)
        .end(JSON.stringify({ userId, timeoutMs: 0 }));
    });
    took.push(performance.now() - began);
  }
  agent.destroy();
  const median = took.sort((a, b) => a - b)[took.length >> 1];
  assert.ok(median < 50, `half of them took ${median.toFixed(0)} ms and more`);
});
