// POST /publish: who gets it, what it looks like there, what comes back.
import assert from "node:assert/strict";
import { serve, UUID_V7 } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";
import { sleep } from "./lib/wait.mjs";

const MESSAGE = { type: "message" };

test("a publish reaches every matching socket of the user and returns their acks", async (t) => {
  const dm = await serve(t);
  const phone = await (await dm.connect("alice")).subscribe(MESSAGE);
  const laptop = await (await dm.connect("alice", { path: "/connect" })).subscribe(MESSAGE);
  const other = await (await dm.connect("bob")).subscribe(MESSAGE);
  phone.autoAck(() => ({ from: "phone" }));
  laptop.autoAck(() => ({ from: "laptop" }));

  const answer = await dm.publish({ userId: "alice", payload: { hello: "world" } });

  assert.match(answer.envelopeId, UUID_V7);
  assert.equal(answer.clientCount, 2);
  assert.equal(answer.delivered, 2);
  assert.deepEqual(answer.results.map((result) => result.from).sort(), ["laptop", "phone"]);
  const [atPhone, atLaptop] = [await phone.next(), await laptop.next()];
  assert.deepEqual(atPhone, atLaptop);
  assert.equal(atPhone.envelopeId, answer.envelopeId);
  await other.expectNothing();
});

test("an envelope has envelopeId, type, userId, an ISO timestamp and the payload", async (t) => {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe({ type: "chat" });
  const before = Date.now();
  await dm.publish({ userId: "alice", type: "chat", payload: [1], timeoutMs: 0 });
  const envelope = await alice.next();
  assert.deepEqual(Object.keys(envelope).sort(), ["envelopeId", "payload", "timestamp", "type", "userId"]);
  assert.match(envelope.envelopeId, UUID_V7);
  assert.equal(envelope.type, "chat");
  assert.equal(envelope.userId, "alice");
  assert.match(envelope.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.ok(Math.abs(Date.parse(envelope.timestamp) - before) < 5000);
  assert.deepEqual(envelope.payload, [1]);
});

test("without a payload the envelope has no payload key, and a null payload is null", async (t) => {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  await dm.publish({ userId: "alice", timeoutMs: 0 });
  assert.ok(!("payload" in (await alice.next())));
  await dm.publish({ userId: "alice", payload: null, timeoutMs: 0 });
  assert.equal((await alice.next()).payload, null);
});

test("the type is message where it is missing, empty, blank or no string; ids and types are trimmed", async (t) => {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE, { type: "chat" });
  for (const type of [undefined, "", "  ", 7, null, {}, ["chat"]]) {
    await dm.publish({ userId: "alice", type, timeoutMs: 0 });
    assert.equal((await alice.next()).type, "message", `for ${JSON.stringify(type)}`);
  }
  await dm.publish({ userId: "  alice\t", type: "\n chat ", timeoutMs: 0 });
  const envelope = await alice.next();
  assert.equal(envelope.type, "chat");
  assert.equal(envelope.userId, "alice");
});

test("the payload reaches the client byte for byte", async (t) => {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const payload =
    '{ "b" : 0.10000000000000000001,"a":1e400, "n":12345678901234567890,"u":"\\u00e9\\ud83d\\ude00 é","a":[ ] , "z":-0}';
  const answer = await dm.post("/publish", `{"userId":"alice","payload":${payload},"timeoutMs":0}`);
  assert.equal(answer.status, 200, answer.text);
  const text = await alice.nextText();
  assert.ok(text.includes(`"payload":${payload}`), text);
});

test("a payload of half a megabyte arrives whole", async (t) => {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const payload = "x".repeat(512 * 1024) + "é";
  await dm.publish({ userId: "alice", payload, timeoutMs: 0 });
  assert.equal((await alice.next()).payload, payload);
});

test("with nobody to await the answer is at once, with clientCount 0", async (t) => {
  const dm = await serve(t);
  const began = Date.now();
  const nobody = await dm.publish({ userId: "alice" });
  assert.equal(nobody.clientCount, 0);
  assert.equal(nobody.delivered, 0);
  assert.deepEqual(nobody.results, []);
  const unfiltered = await dm.connect("alice");
  const none = await dm.publish({ userId: "alice" });
  assert.equal(none.clientCount, 0);
  assert.equal(none.delivered, 0);
  assert.ok(Date.now() - began < 3000);
  await unfiltered.expectNothing();
});

test("at timeoutMs the answer has the acks that came, and null where one had no result", async (t) => {
  const dm = await serve(t);
  const quick = await (await dm.connect("alice")).subscribe(MESSAGE);
  const silent = await (await dm.connect("alice")).subscribe(MESSAGE);
  quick.ws.on("message", (data) => {
    if (data.toString() !== "pong") quick.ack(JSON.parse(data.toString()));
  });
  const began = Date.now();
  const answer = await dm.publish({ userId: "alice", timeoutMs: 400 });
  const took = Date.now() - began;
  assert.ok(took >= 390 && took < 3000, `${took} ms`);
  assert.equal(answer.clientCount, 2);
  assert.deepEqual(answer.results, [null]);
  await silent.next();
});

test("without timeoutMs the wait is five seconds", async (t) => {
  const dm = await serve(t);
  await (await dm.connect("alice")).subscribe(MESSAGE);
  const began = Date.now();
  const answer = await dm.publish({ userId: "alice" });
  const took = Date.now() - began;
  assert.ok(took >= 4900 && took < 7500, `${took} ms`);
  assert.deepEqual([answer.clientCount, answer.results], [1, []]);
});

test("an answer never comes before timeoutMs, however long the server was idle", async (t) => {
  const dm = await serve(t, { shards: 1 });
  const alice = await (await dm.connect("alice")).subscribe({ type: "message" });
  for (const idle of [0, 150, 400, 700, 950]) {
    await sleep(idle);
    const began = performance.now();
    assert.deepEqual((await dm.publish({ userId: "alice", timeoutMs: 300 })).results, []);
    const took = performance.now() - began;
    assert.ok(took >= 299, `after ${idle} ms of quiet the answer came in ${took.toFixed(1)} ms`);
    await alice.next();
  }
});

test("a principal may hold half of the places, whoever it is", async (t) => {
  const dm = await serve(t, { shards: 1, max_pending_requests: 8, open_publish: true });
  const alice = await (await dm.connect("alice")).subscribe({ type: "message" });
  const as = `Bearer ${dm.token("a-backend")}`;
  const open = Array.from({ length: 4 }, () => dm.post("/publish", { userId: "alice", timeoutMs: 3000 }, { as }));
  const envelopes = [];
  for (let i = 0; i < 4; i++) envelopes.push(await alice.next());
  assert.equal((await dm.post("/publish", { userId: "alice", timeoutMs: 3000 }, { as })).status, 429);
  assert.equal((await dm.post("/publish", { userId: "bob", timeoutMs: 0 }, { as })).status, 200, "one that waits for none");
  assert.equal((await dm.get("/users/alice/presence")).status, 200);
  for (const envelope of envelopes) alice.ack(envelope, "ok");
  for (const answer of await Promise.all(open)) assert.deepEqual(answer.json.results, ["ok"]);
});

test("timeoutMs 0 answers at once, and the acks that come later harm nothing", async (t) => {
  const dm = await serve(t);
  const alice = (await (await dm.connect("alice")).subscribe(MESSAGE)).autoAck();
  const began = Date.now();
  const answer = await dm.publish({ userId: "alice", timeoutMs: 0 });
  assert.ok(Date.now() - began < 2000);
  assert.deepEqual([answer.clientCount, answer.delivered, answer.results], [1, 1, []]);
  await alice.next();
  await alice.expectNothing();
  assert.deepEqual((await dm.publish({ userId: "alice" })).results, [true]);
});

test("a timeoutMs that is negative, over a minute or no number is 400", async (t) => {
  const dm = await serve(t);
  for (const timeoutMs of [-1, 60001, "5", {}, 1e30]) {
    const answer = await dm.post("/publish", { userId: "alice", timeoutMs });
    assert.equal(answer.status, 400, `${JSON.stringify(timeoutMs)}: ${answer.text}`);
    assert.equal(answer.json.code, "invalid_field");
  }
  for (const timeoutMs of [0, 60000]) await dm.publish({ userId: "alice", timeoutMs });
});

test("a socket that closes or drops is no longer awaited but stays counted", async (t) => {
  const dm = await serve(t);
  const staying = (await (await dm.connect("alice")).subscribe(MESSAGE)).autoAck(() => "here");
  const closing = await (await dm.connect("alice")).subscribe(MESSAGE);
  const dropping = await (await dm.connect("alice")).subscribe(MESSAGE);
  const began = Date.now();
  const answer = dm.publish({ userId: "alice", timeoutMs: 10000 });
  await Promise.all([closing.next(), dropping.next()]);
  await closing.close(1000);
  await dropping.drop();
  const { clientCount, delivered, results } = await answer;
  assert.ok(Date.now() - began < 6000);
  assert.deepEqual([clientCount, delivered, results], [3, 3, ["here"]]);
  await staying.next();
});

test("userIds reaches several users under one envelopeId, each with its own userId", async (t) => {
  const dm = await serve(t);
  const users = ["alice", "bob", "carol", "dave", "erin"];
  const clients = [];
  for (const user of users) clients.push((await (await dm.connect(user)).subscribe(MESSAGE)).autoAck(() => user));
  const answer = await dm.publish({ userIds: [...users, "nobody"], payload: 1 });
  assert.equal(answer.clientCount, 5);
  assert.equal(answer.delivered, 5);
  assert.deepEqual([...answer.results].sort(), users);
  for (const [i, client] of clients.entries()) {
    const envelope = await client.next();
    assert.equal(envelope.userId, users[i]);
    assert.equal(envelope.envelopeId, answer.envelopeId);
  }
});

test("a user named twice in userIds gets the envelope once", async (t) => {
  const dm = await serve(t);
  const alice = (await (await dm.connect("alice")).subscribe(MESSAGE)).autoAck();
  const answer = await dm.publish({ userIds: ["alice", " alice ", "alice"] });
  assert.deepEqual([answer.clientCount, answer.results], [1, [true]]);
  await alice.next();
  await alice.expectNothing();
});

test("more userIds than max_targets, and lists that are none, are 400", async (t) => {
  const dm = await serve(t, { max_targets: 3 });
  const many = await dm.post("/publish", { userIds: ["a", "b", "c", "d"] });
  assert.deepEqual([many.status, many.json.code], [400, "too_many_targets"]);
  assert.equal((await dm.publish({ userIds: ["a", "b", "c"] })).clientCount, 0);
  for (const userIds of ["alice", 7, {}, [1], ["alice", ""], ["alice", null]]) {
    const answer = await dm.post("/publish", { userIds });
    assert.equal(answer.status, 400, `${JSON.stringify(userIds)}: ${answer.text}`);
  }
});

test("without a userId the answer is 400 userId is required", async (t) => {
  const dm = await serve(t);
  for (const body of [{}, { userId: "" }, { userId: "  " }, { userId: 7 }, { userId: null }]) {
    const answer = await dm.post("/publish", JSON.stringify(body));
    assert.equal(answer.status, 400, `${JSON.stringify(body)}: ${answer.text}`);
    assert.equal(answer.json.error, "userId is required", JSON.stringify(body));
  }
  for (const body of ["[]", '"text"', "7", "null"]) {
    const answer = await dm.post("/publish", body);
    assert.equal(answer.status, 400, `${body}: ${answer.text}`);
    assert.match(answer.json.error, /^(Invalid JSON body|userId is required)$/);
  }
});

test("a userId that is no name is 400", async (t) => {
  const dm = await serve(t);
  for (const userId of [".", "..", "a\u0000b", "a\nb", "x".repeat(129), "a\u200bb", "a\u202eb"]) {
    const answer = await dm.post("/publish", { userId });
    assert.equal(answer.status, 400, `${JSON.stringify(userId)}: ${answer.text}`);
    assert.equal(answer.json.code, "invalid_name");
  }
  await dm.publish({ userId: "x".repeat(128) });
});

test("a userId of any script, with spaces and slashes inside, is a user like any other", async (t) => {
  const dm = await serve(t);
  for (const user of ["zoë", "日本 太郎", "a/b", "a%2Fb", "😀", 'quo"te\\'] ) {
    const client = (await (await dm.connect(user)).subscribe(MESSAGE)).autoAck();
    const answer = await dm.publish({ userId: user });
    assert.deepEqual([answer.clientCount, answer.results], [1, [true]], user);
    assert.equal((await client.next()).userId, user);
  }
});

test("one of userId, userIds and channel is given", async (t) => {
  const dm = await serve(t);
  for (const more of [{ userId: "alice" }, { userIds: ["alice"] }, { userId: "alice", userIds: ["bob"] }]) {
    const answer = await dm.post("/publish", { channel: "news", ...more });
    assert.deepEqual([answer.status, answer.json.code], [400, "invalid_field"], answer.text);
  }
  assert.deepEqual(await dm.publish({ channel: "news" }).then(({ envelopeId, ...rest }) => rest), { clientCount: 0, delivered: 0, results: [] });
});

test("publishes that follow one another arrive in their order at every socket", async (t) => {
  const dm = await serve(t);
  const clients = [];
  for (let i = 0; i < 3; i++) clients.push(await (await dm.connect("alice")).subscribe(MESSAGE));
  for (let n = 0; n < 100; n++) await dm.publish({ userId: "alice", payload: n, timeoutMs: 0 });
  for (const client of clients)
    for (let n = 0; n < 100; n++) assert.equal((await client.next()).payload, n);
});

test("a hundred publishes at once are each delivered once and acked", async (t) => {
  const dm = await serve(t);
  const users = ["alice", "bob", "carol"];
  const clients = new Map();
  for (const user of users)
    clients.set(user, (await (await dm.connect(user)).subscribe(MESSAGE)).autoAck((envelope) => envelope.payload));
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, n) => dm.publish({ userId: users[n % 3], payload: n })),
  );
  for (const [n, answer] of answers.entries()) assert.deepEqual(answer.results, [n]);
  for (const [i, user] of users.entries()) {
    const seen = [];
    for (let n = i; n < 100; n += 3) seen.push((await clients.get(user).next()).payload);
    assert.equal(new Set(seen).size, seen.length);
    await clients.get(user).expectNothing();
  }
});

test("a publisher that leaves before its answer harms nobody", async (t) => {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const raw = await dm.raw();
  const body = JSON.stringify({ userId: "alice", payload: "from the dead", timeoutMs: 1000 });
  raw.write(
    `POST /publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${dm.token("b", { scope: "publish" })}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  const envelope = await alice.next();
  raw.destroy();
  await sleep(100);
  alice.ack(envelope, 1);
  await sleep(1100);
  alice.autoAck(() => "still here");
  assert.deepEqual((await dm.publish({ userId: "alice" })).results, ["still here"]);
});

test("two publishes pipelined on one connection are answered in order", async (t) => {
  const dm = await serve(t);
  const token = dm.token("b", { scope: "publish" });
  const one = (userId) => {
    const body = JSON.stringify({ userId, timeoutMs: 300 });
    return (
      `POST /publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    );
  };
  await (await dm.connect("alice")).subscribe(MESSAGE);
  const raw = await dm.raw();
  raw.write(one("alice"), one("nobody"));
  assert.equal(JSON.parse((await raw.response()).text).clientCount, 1);
  assert.equal(JSON.parse((await raw.response()).text).clientCount, 0);
});
