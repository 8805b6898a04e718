// /users: sends without acks, presence, disconnect, deletion.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { BIN, cleanEnv, serve, UUID_V7 } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";
import { until } from "./lib/wait.mjs";

const MESSAGE = { type: "message" };

test("/users/{id}/send delivers an event and waits for no ack", async (t) => {
  const dm = await serve(t);
  const one = await (await dm.connect("alice")).subscribe({ type: "note" });
  await (await dm.connect("alice")).subscribe({ type: "other" });
  const before = Date.now();
  const answer = await dm.post("/users/alice/send", { type: "note", data: { text: "hi" } });
  assert.equal(answer.status, 200, answer.text);
  assert.ok(Date.now() - before < 3000);
  assert.deepEqual(Object.keys(answer.json).sort(), ["delivered", "id", "ts"]);
  assert.equal(answer.json.delivered, 1);
  assert.equal(typeof answer.json.ts, "number");
  assert.ok(Math.abs(answer.json.ts - before) < 5000);
  assert.match(answer.json.id, UUID_V7);
  const envelope = await one.next();
  assert.deepEqual([envelope.type, envelope.userId, envelope.payload], ["note", "alice", { text: "hi" }]);
});

test("an event's id and ts are the caller's where they are given; the id is a label only", async (t) => {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const ts = 1700000000123;
  const body = { type: "message", id: "order-7", ts };
  for (let i = 0; i < 2; i++) {
    const { status, json } = await dm.post("/users/alice/send", body);
    assert.deepEqual([status, json.id, json.ts, json.delivered], [200, "order-7", ts, 1]);
  }
  const [first, second] = [await alice.next(), await alice.next()];
  assert.equal(first.timestamp, new Date(ts).toISOString());
  assert.match(first.envelopeId, UUID_V7);
  assert.notEqual(first.envelopeId, second.envelopeId);
});

test("an event needs a type that is a string", async (t) => {
  const dm = await serve(t);
  for (const body of [{}, { type: "" }, { type: 7 }, { type: null }, [], "x"]) {
    const answer = await dm.post("/users/alice/send", JSON.stringify(body));
    assert.equal(answer.status, 400, `${JSON.stringify(body)}: ${answer.text}`);
  }
  assert.equal((await dm.post("/users/alice/send", '{"type":')).json.error, "Invalid JSON body");
});

test("sending to a user who is not there delivers to 0", async (t) => {
  const dm = await serve(t);
  const { status, json } = await dm.post("/users/nobody/send", { type: "x" });
  assert.deepEqual([status, json.delivered], [200, 0]);
});

test("the userId in a path is decoded once", async (t) => {
  const dm = await serve(t);
  const users = { "a/b": "a%2Fb", "a%2Fb": "a%252Fb", "zoë ü": "zo%C3%AB%20%C3%BC", "a+b": "a+b", "a?b#c": "a%3Fb%23c" };
  for (const [user, encoded] of Object.entries(users)) {
    await (await dm.connect(user)).subscribe(MESSAGE);
    const { status, json } = await dm.post(`/users/${encoded}/send`, { type: "message" });
    assert.deepEqual([status, json.delivered], [200, 1], user);
  }
});

test("/users/send answers an array in order, fulfilled or rejected, with one envelope for all", async (t) => {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe({ type: "note" });
  const bob = await (await dm.connect("bob")).subscribe({ type: "note" });
  const answer = await dm.post("/users/send", {
    userIds: ["alice", "..", "nobody", "bob", "x".repeat(129)],
    event: { type: "note", data: 1 },
  });
  assert.equal(answer.status, 200, answer.text);
  assert.deepEqual(answer.json.map((result) => result.status), ["fulfilled", "rejected", "fulfilled", "fulfilled", "rejected"]);
  for (const result of answer.json)
    if (result.status === "rejected") assert.ok(result.reason);
    else assert.deepEqual(result, { status: "fulfilled" });
  const [atAlice, atBob] = [await alice.next(), await bob.next()];
  assert.equal(atAlice.envelopeId, atBob.envelopeId);
  assert.equal(atAlice.timestamp, atBob.timestamp);
  assert.deepEqual([atAlice.userId, atBob.userId], ["alice", "bob"]);
});

test("/users/send without a list, or without an event, is 400", async (t) => {
  const dm = await serve(t);
  for (const body of [{}, { userIds: "a", event: { type: "x" } }, { userIds: ["a"] }, { userIds: ["a"], event: {} }, { event: { type: "x" } }, []]) {
    const answer = await dm.post("/users/send", JSON.stringify(body));
    assert.equal(answer.status, 400, `${JSON.stringify(body)}: ${answer.text}`);
  }
});

test("presence counts a user's open sockets, with filters or without", async (t) => {
  const dm = await serve(t);
  const presence = async (user) => (await dm.get(`/users/${user}/presence`)).json;
  assert.deepEqual(await presence("alice"), { online: false, connections: 0 });
  const one = await dm.connect("alice");
  const two = await (await dm.connect("alice")).subscribe(MESSAGE);
  assert.deepEqual(await presence("alice"), { online: true, connections: 2 });
  assert.deepEqual(await presence("bob"), { online: false, connections: 0 });
  await one.close(1000);
  await until("one left", async () => (await presence("alice")).connections === 1);
  await two.drop();
  await until("none left", async () => (await presence("alice")).connections === 0);
  assert.deepEqual(await presence("alice"), { online: false, connections: 0 });
});

test("disconnect closes the user's sockets with 1000 and the reason", async (t) => {
  const dm = await serve(t);
  const clients = [await dm.connect("alice"), await (await dm.connect("alice")).subscribe(MESSAGE)];
  const bob = await (await dm.connect("bob")).subscribe(MESSAGE);
  const answer = await dm.post("/users/alice/disconnect", { reason: "You moved out: é" });
  assert.deepEqual([answer.status, answer.json], [200, { disconnected: 2 }]);
  for (const client of clients) assert.deepEqual(await client.closing(), { code: 1000, reason: "You moved out: é" });
  assert.deepEqual((await dm.get("/users/alice/presence")).json, { online: false, connections: 0 });
  assert.equal((await dm.publish({ userId: "alice" })).delivered, 0);
  await bob.expectNothing();
});

test("disconnect's default reason is Disconnected by server, with an empty body or none", async (t) => {
  const dm = await serve(t);
  const options = [{ body: {} }, {}];
  for (const option of options) {
    const client = await dm.connect("alice");
    const answer = await dm.call("POST", "/users/alice/disconnect", option);
    assert.deepEqual([answer.status, answer.json], [200, { disconnected: 1 }], answer.text);
    assert.deepEqual(await client.closing(), { code: 1000, reason: "Disconnected by server" });
  }
  assert.deepEqual((await dm.post("/users/nobody/disconnect", {})).json, { disconnected: 0 });
});

test("a reason that no Close could hold, or that is no string, is 400 and closes nothing", async (t) => {
  const dm = await serve(t);
  const client = await dm.connect("alice");
  for (const reason of [7, {}, "x".repeat(124), "é".repeat(62)])
    assert.equal((await dm.post("/users/alice/disconnect", { reason })).status, 400);
  await client.expectNothing();
  const longest = `${"é".repeat(61)}x`;
  assert.equal((await dm.post("/users/alice/disconnect", { reason: longest })).status, 200);
  assert.deepEqual(await client.closing(), { code: 1000, reason: longest });
});

test("a reason with half a surrogate pair is 400: no Close frame can carry it", async (t) => {
  const dm = await serve(t);
  const alice = await dm.connect("alice");
  assert.equal((await dm.post("/users/alice/disconnect", '{"reason":"\\ud800x"}')).status, 400);
  await alice.settle();
});

test("a userId in a path is trimmed, as it is everywhere", async (t) => {
  const dm = await serve(t);
  await dm.connect("alice");
  assert.deepEqual((await dm.get("/users/%20alice%20/presence")).json, { online: true, connections: 1 });
  assert.equal((await dm.post("/users/%20/send", { type: "t" })).status, 400);
});

test("a ts of 0 is the caller's; one that no ISO date can say is 400", async (t) => {
  const dm = await serve(t);
  assert.equal((await dm.post("/users/alice/send", { type: "t", ts: 0 })).json.ts, 0);
  assert.equal((await dm.post("/users/alice/send", { type: "t", ts: 253402300799999 })).json.ts, 253402300799999);
  assert.equal((await dm.post("/users/alice/send", { type: "t", ts: 253402300800000 })).status, 400);
});

test("presence and disconnect know a socket from its 101 on, whichever shard it is on its way to", async (t) => {
  const dm = await serve(t, { shards: 2 });
  for (let i = 0; i < 100; i++) {
    const client = await dm.connect(`u${i}`);
    if (i % 2) assert.equal((await dm.get(`/users/u${i}/presence`)).json.connections, 1);
    assert.deepEqual((await dm.post(`/users/u${i}/disconnect`)).json, { disconnected: 1 });
    assert.equal((await client.closing()).code, 1000);
  }
});

test("disconnect ends the wait of an open publish", async (t) => {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const answer = dm.publish({ userId: "alice", timeoutMs: 20000 });
  await alice.next();
  await dm.post("/users/alice/disconnect", {});
  const { clientCount, results } = await answer;
  assert.deepEqual([clientCount, results], [1, []]);
});

test("a user that is deleted is disconnected, a member of nothing and owed nothing", async (t) => {
  const dm = await serve(t, { shards: 2 });
  for (let i = 0; i < 300; i++) await dm.call("PUT", `/channels/c${i}/members/alice`);
  await dm.call("PUT", "/channels/c0/members/bob");
  assert.equal((await dm.post("/channels/c0/send", { type: "t" })).json.members, 2); // and the channel is awake
  const alone = (await dm.post("/publish", { userId: "alice", durable: true, timeoutMs: 0 })).json;
  const both = (await dm.post("/publish", { channel: "c0", durable: true, timeoutMs: 0 })).json;
  assert.deepEqual([alone.owed, both.owed], [1, 2]);
  const alice = await dm.connect("alice");
  const answer = await dm.call("DELETE", "/users/alice");
  assert.deepEqual([answer.status, answer.json], [200, { disconnected: 1 }]);
  assert.equal((await alice.closing()).code, 1000);
  assert.deepEqual((await dm.get("/channels/c0/members")).json.members, ["bob"]);
  assert.deepEqual((await dm.get("/channels/c299/members")).json.members, []);
  assert.equal((await dm.post("/channels/c0/send", { type: "t" })).json.members, 1);
  for (const [{ envelopeId }, owed] of [[alone, 0], [both, 1]]) assert.equal((await dm.get(`/publish/${envelopeId}`)).json.owed, owed);
  assert.deepEqual((await dm.call("DELETE", "/users/alice")).json, { disconnected: 0 });
  await dm.stop();
  execFileSync(BIN, ["check", `--database=${dm.database}`], { env: cleanEnv() });
});
