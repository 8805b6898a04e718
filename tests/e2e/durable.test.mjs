// Durable publishes: owed to each user until one of its sessions acks, and
// delivered to whatever comes: a new session, a resumed one, a filter.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { Native } from "./lib/native.mjs";
import { serve } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";
import { tokenOf } from "./lib/token.mjs";
import { sleep, until } from "./lib/wait.mjs";

const count = (dm, table) => Number(execFileSync("sqlite3", [dm.database, `select count(*) from ${table}`], { encoding: "utf8" }));
const order = (n, more = {}) => ({ userId: "alice", type: "order", payload: { n }, durable: true, timeoutMs: 0, ...more });
const numbers = (envelopes) => envelopes.map((envelope) => envelope.payload.n);

async function owe(dm, n, more) {
  const answer = await dm.post("/publish", order(n, more));
  assert.equal(answer.status, 202, answer.text);
  return answer.json;
}

const look = async (dm, id, options) => (await dm.get(`/publish/${id}`, options)).json;
const owedOf = async (dm, id) => (await look(dm, id)).owed;

async function take(client, howMany) {
  const taken = [];
  while (taken.length < howMany) taken.push(await client.next());
  return taken;
}

test("what a user that is not there is owed comes when it connects, in order and marked, until it is acked", async (t) => {
  const dm = await serve(t);
  const ids = [];
  for (let n = 0; n < 5; n++) ids.push((await owe(dm, n)).envelopeId);
  const alice = await Native.connect(dm, "alice");
  const first = await take(alice, 5);
  assert.deepEqual(numbers(first), [0, 1, 2, 3, 4]);
  assert.deepEqual(first.map((e) => e.envelopeId), ids);
  assert.ok(first.every((e) => e.redelivered === true));
  for (const envelopeId of ids.slice(0, 3)) assert.equal((await alice.command("ack", { envelopeId, result: "got it" })).type, "ok");
  assert.equal((await alice.command("ack", { envelopeId: ids[0] })).code, "not_found");
  assert.deepEqual(await look(dm, ids[0]), { envelopeId: ids[0], state: "done", clientCount: 0, delivered: 0, owed: 0, results: ["got it"] });

  const second = await Native.connect(dm, "alice");
  assert.deepEqual(numbers(await take(second, 2)), [3, 4]);
  assert.deepEqual(await second.settle(), []);
});

test("a live one comes unmarked, is answered 200 once it is acked, and is owed no more", async (t) => {
  const dm = await serve(t);
  const alice = (await Native.connect(dm, "alice")).autoAck((e) => e.payload.n);
  const answer = await dm.post("/publish", order(7, { timeoutMs: 5000 }));
  assert.deepEqual([answer.status, answer.json.clientCount, answer.json.results, answer.json.owed], [200, 1, [7], 0]);
  assert.equal((await alice.next()).redelivered, undefined);
  assert.deepEqual(await (await Native.connect(dm, "alice")).settle(), []);
  await until("the envelope has gone", () => count(dm, "owed_envelope") === 0);
});

test("one ack of any session settles it; every awaited one counts", async (t) => {
  const dm = await serve(t);
  const [a, b] = [await Native.connect(dm, "alice"), await Native.connect(dm, "alice")];
  const answer = dm.post("/publish", order(1, { timeoutMs: 400 }));
  const envelope = await a.next();
  a.ack(envelope, "a");
  await b.next();
  const { status, json } = await answer;
  assert.deepEqual([status, json.clientCount, json.results, json.owed], [200, 2, ["a"], 0]);
  b.ack(envelope, "late");
  await b.settle();
  assert.deepEqual((await look(dm, json.envelopeId)).results, ["a"]);
});

test("a hopeflow session is sent what it is owed once it has a filter that takes it, and once only", async (t) => {
  const dm = await serve(t);
  await owe(dm, 1);
  await owe(dm, 2, { type: "note" });
  const alice = await dm.connect("alice");
  assert.deepEqual(await alice.settle(), []);
  const subscribe = (type) => alice.send({ type: "subscribe", filters: [{ type }] });
  subscribe("order");
  const [envelope] = await take(alice, 1);
  assert.deepEqual([envelope.payload.n, envelope.redelivered], [1, true]);
  subscribe("order");
  subscribe("other");
  await alice.settle();
  await sleep(100);
  assert.deepEqual(await alice.settle(), []);
  subscribe("note");
  const [note] = await take(alice, 1);
  assert.equal(note.payload.n, 2);
  alice.ack(note, 5);
  await until("the ack counts", async () => (await owedOf(dm, note.envelopeId)) === 0);
  assert.equal(await owedOf(dm, envelope.envelopeId), 1);
});

test("a resumed session is sent again what it has not acked", async (t) => {
  const dm = await serve(t, { hibernate_after: "20ms" });
  const alice = await Native.connect(dm, "alice");
  const { envelopeId } = await owe(dm, 1);
  assert.equal((await alice.next()).redelivered, undefined);
  await alice.drop();
  const back = await Native.connect(dm, "alice", { resume: alice.welcome.resume });
  const [again] = await take(back, 1);
  assert.deepEqual([again.envelopeId, again.redelivered], [envelopeId, true]);
  await back.command("ack", { envelopeId });
  await back.drop();
  const third = await Native.connect(dm, "alice", { resume: back.welcome.resume });
  assert.deepEqual(await third.settle(), []);
});

test("kill -9 loses nothing that was answered 202", async (t) => {
  const dm = await serve(t);
  const { envelopeId } = await owe(dm, 1);
  await dm.kill();
  await dm.start();
  const alice = await Native.connect(dm, "alice");
  assert.equal((await alice.next()).envelopeId, envelopeId);
  assert.equal((await alice.command("ack", { envelopeId, result: 1 })).type, "ok");
  await dm.kill();
  await dm.start();
  assert.deepEqual(await (await Native.connect(dm, "alice")).settle(), []);
  assert.deepEqual((await look(dm, envelopeId)).results, [1]);
});

test("several users owe each for itself", async (t) => {
  const dm = await serve(t, { shards: 3 });
  const { userId, ...rest } = order(1);
  const answer = await dm.post("/publish", { ...rest, userIds: ["alice", "bob", "carol"] });
  assert.deepEqual([answer.status, answer.json.owed], [202, 3]);
  for (const [i, user] of ["alice", "bob", "carol"].entries()) {
    const client = await Native.connect(dm, user);
    assert.equal((await client.command("ack", { envelopeId: (await client.next()).envelopeId, result: user })).type, "ok");
    assert.equal(await owedOf(dm, answer.json.envelopeId), 2 - i);
  }
  assert.deepEqual((await look(dm, answer.json.envelopeId)).results, ["alice", "bob", "carol"]);
});

test("a debt ends with its ttl", async (t) => {
  const dm = await serve(t, { result_retention: "1s" });
  const { envelopeId } = await owe(dm, 1, { ttlSeconds: 1 });
  await sleep(1100);
  assert.equal(await owedOf(dm, envelopeId), 0);
  const alice = await Native.connect(dm, "alice");
  assert.deepEqual(await alice.settle(), []);
  assert.equal((await alice.command("ack", { envelopeId })).code, "not_found");
  await until("all of it has gone", () => count(dm, "publish") + count(dm, "target") + count(dm, "owed_envelope") === 0);
  assert.equal((await dm.get(`/publish/${envelopeId}`)).status, 404);
});

test("more than max_owed_per_user is 429, and nobody is owed any of it", async (t) => {
  const dm = await serve(t, { max_owed_per_user: 3 });
  for (let n = 0; n < 3; n++) await owe(dm, n);
  const { userId, ...rest } = order(4);
  const answer = await dm.post("/publish", { ...rest, userIds: ["bob", "alice"] });
  assert.deepEqual([answer.status, answer.json.code], [429, "owed_too_much"]);
  assert.deepEqual(await (await Native.connect(dm, "bob")).settle(), []);
  const alice = await Native.connect(dm, "alice");
  await alice.command("ack", { envelopeId: (await alice.next()).envelopeId });
  await owe(dm, 5);
});

test("a long debt comes page by page, in order, with what comes meanwhile behind it", async (t) => {
  const dm = await serve(t);
  const pad = "x".repeat(2000);
  const all = Array.from({ length: 500 }, (_, n) => n);
  for (const n of all) await owe(dm, n, { payload: { n, pad } });
  const alice = await Native.connect(dm, "alice");
  const live = dm.post("/publish", order(500, { timeoutMs: 0 }));
  const plain = dm.publish({ userId: "alice", type: "order", payload: { n: 501 }, timeoutMs: 0 });
  await Promise.all([live, plain]);
  const seen = numbers(await take(alice, 502));
  assert.deepEqual(seen.slice(0, 500), all);
  assert.deepEqual(seen.slice(500).sort(), [500, 501]);
  assert.deepEqual(await alice.settle(), []);
});

test("the same envelopeId again is the same publish: joined while it runs, answered alike when it is done", async (t) => {
  const dm = await serve(t, { shards: 3 });
  const alice = await Native.connect(dm, "alice");
  const envelopeId = crypto.randomUUID();
  const body = { userId: "alice", payload: 1, envelopeId, timeoutMs: 8000 };
  const both = [dm.post("/publish", body), dm.post("/publish", { ...body })];
  const envelope = await alice.next();
  assert.equal(envelope.envelopeId, envelopeId);
  assert.equal((await look(dm, envelopeId)).state, "open");
  const other = await dm.post("/publish", { ...body, payload: 2 });
  assert.deepEqual([other.status, other.json.code], [409, "conflict"]);
  assert.equal((await alice.command("ack", { envelopeId, result: "once" })).type, "ok");
  const [one, two] = await Promise.all(both);
  assert.deepEqual(one.json, { envelopeId, clientCount: 1, delivered: 1, results: ["once"] });
  assert.deepEqual([two.status, two.json], [200, one.json]);
  assert.deepEqual((await dm.post("/publish", body)).json, one.json);
  assert.equal((await dm.post("/publish", { ...body, payload: 2 })).status, 409);
  assert.deepEqual(await alice.settle(), []);
});

test("after kill -9 a publish with an id is open to its deadline, its acks count, and it is not sent again", async (t) => {
  const dm = await serve(t);
  const alice = await Native.connect(dm, "alice");
  const envelopeId = crypto.randomUUID();
  const body = { userId: "alice", payload: 1, envelopeId, timeoutMs: 5000 };
  const broken = dm.post("/publish", body).then(() => "answered", () => "broken");
  await alice.next();
  await until("its counts are kept", async () => (await look(dm, envelopeId)).clientCount === 1);
  await dm.kill();
  assert.equal(await broken, "broken");
  await dm.start();
  const back = await Native.connect(dm, "alice", { resume: alice.welcome.resume });
  assert.deepEqual(await back.settle(), []);
  const again = dm.post("/publish", body);
  assert.equal((await back.command("ack", { envelopeId, result: 1 })).type, "ok");
  assert.equal((await back.command("ack", { envelopeId, result: 2 })).code, "not_found");
  const { status, json } = await again;
  assert.deepEqual([status, json], [200, { envelopeId, clientCount: 1, delivered: 1, results: [1] }]);
  assert.deepEqual(await back.settle(), []);
});

test("a result is forgotten after result_retention", async (t) => {
  const dm = await serve(t, { result_retention: "1s" });
  const body = { userId: "alice", payload: 1, envelopeId: crypto.randomUUID() };
  await dm.publish(body);
  const alice = await Native.connect(dm, "alice");
  await dm.publish(body);
  assert.deepEqual(await alice.settle(), []);
  await until("it is forgotten", async () => (await dm.get(`/publish/${body.envelopeId}`)).status === 404);
  await dm.publish({ ...body, timeoutMs: 0 });
  assert.equal((await alice.next()).payload, 1);
});

test("only who published it, or admin, may look at a publish", async (t) => {
  const dm = await serve(t, { open_publish: true });
  const bearer = (userId, claims) => ({ as: `Bearer ${tokenOf(userId, claims)}` });
  const body = { userId: "alice", envelopeId: crypto.randomUUID(), timeoutMs: 0 };
  assert.equal((await dm.post("/publish", body, bearer("zoe"))).status, 200);
  const path = `/publish/${body.envelopeId}`;
  assert.equal((await dm.get(path, bearer("zoe"))).status, 200);
  assert.equal((await dm.get(path)).status, 200);
  assert.equal((await dm.get(path, bearer("eve", { scope: "admin" }))).status, 200);
  assert.equal((await dm.get(path, bearer("eve", { scope: "publish" }))).status, 404);
  assert.equal((await dm.get(path, { as: null })).status, 401);
  assert.equal((await dm.post("/publish", body, bearer("eve"))).status, 409);
  assert.equal((await dm.post("/publish", order(1), bearer("zoe"))).status, 403);
  assert.equal((await dm.get("/publish/no-such-thing")).status, 404);
});

for (const [what, fields] of Object.entries({
  "an envelopeId that is no UUID": { envelopeId: "order-17" },
  "a durable that is no boolean": { durable: "yes" },
  "a ttlSeconds of 0": { durable: true, ttlSeconds: 0 },
  "a ttlSeconds beyond 30 days": { durable: true, ttlSeconds: 2592001 },
}))
  test(`${what} is 400`, async (t) => {
    const dm = await serve(t);
    const answer = await dm.post("/publish", { userId: "alice", ...fields });
    assert.deepEqual([answer.status, answer.json.code], [400, "invalid_field"]);
  });

test("a session with the scope publishes on its socket, and is answered there", async (t) => {
  const dm = await serve(t);
  const alice = (await Native.connect(dm, "alice")).autoAck(() => "yes");
  const bob = await Native.connect(dm, "bob", { claims: { scope: "publish" } });
  const publish = (client, envelope) => client.command("publish", { envelope });
  const answer = await publish(bob, { userId: "alice", type: "note", payload: 1 });
  const { type, payload } = await alice.next();
  assert.deepEqual([type, payload], ["note", 1]);
  assert.deepEqual({ ...answer, ref: 0, envelopeId: 0 }, { type: "ok", ref: 0, envelopeId: 0, clientCount: 1, delivered: 1, results: ["yes"] });
  const durable = await publish(bob, { userId: "carol", durable: true });
  assert.deepEqual([durable.type, durable.owed], ["ok", 1]);
  assert.equal((await publish(bob, {})).code, "user_id_required");
  assert.equal((await publish(alice, { userId: "bob" })).code, "forbidden");
});

test("only who was sent a publish acks it, or who settles what is owed", async (t) => {
  const dm = await serve(t);
  const alice = await Native.connect(dm, "alice");
  const envelopeId = crypto.randomUUID();
  const answer = dm.post("/publish", { userId: "alice", envelopeId, timeoutMs: 1500 });
  await alice.next();
  for (let i = 0; i < 3; i++) {
    const late = await Native.connect(dm, "alice");
    assert.equal((await late.command("ack", { envelopeId, result: "late" })).code, "not_found");
  }
  await alice.command("ack", { envelopeId, result: 1 });
  assert.deepEqual((await answer).json.results, [1]);
  const { envelopeId: owed } = await owe(dm, 1, { userId: "bob" });
  const [one, two] = [await Native.connect(dm, "bob"), await Native.connect(dm, "bob")];
  assert.equal((await one.command("ack", { envelopeId: owed, result: 1 })).type, "ok");
  assert.equal((await two.command("ack", { envelopeId: owed, result: 2 })).code, "not_found");
  assert.deepEqual((await look(dm, owed)).results, [1]);
});

test("a session that publishes is answered before a drain closes its socket", async (t) => {
  const dm = await serve(t);
  const alice = await Native.connect(dm, "alice");
  const bob = await Native.connect(dm, "bob", { claims: { scope: "publish" } });
  const answer = bob.command("publish", { envelope: { userId: "alice", timeoutMs: 8000 } });
  const envelope = await alice.next();
  dm.process.kill("SIGTERM");
  await sleep(300);
  alice.ack(envelope, "in time");
  assert.deepEqual((await answer).results, ["in time"]);
  assert.equal((await bob.closing()).code, 1012);
  await dm.exited;
});

test("an answer that comes after a resume is not for the new socket", async (t) => {
  const dm = await serve(t);
  const alice = await Native.connect(dm, "alice");
  const bob = await Native.connect(dm, "bob", { claims: { scope: "publish" } });
  bob.send({ type: "publish", ref: "r1", envelope: { userId: "alice", timeoutMs: 400 } });
  await alice.next();
  await bob.drop();
  await until("the drop is noticed", async () => (await dm.get("/users/bob/presence")).json.connections === 0);
  const back = await Native.connect(dm, "bob", { resume: bob.welcome.resume });
  await sleep(600);
  assert.deepEqual(await back.settle(), []);
});
