// The slow, the silent and the many: bounded, refused, closed, and no harm to others.
import assert from "node:assert/strict";
import { OPCODE, text } from "./lib/raw.mjs";
import { serve } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";
import { sleep, until } from "./lib/wait.mjs";

const MESSAGE = { type: "message" };

test("a reader that never reads is closed with 4008, and others do not notice", async (t) => {
  const dm = await serve(t, { max_unsent: "64KiB", max_message: "1MiB" });
  const good = await (await dm.connect("alice")).subscribe(MESSAGE);
  const slow = await dm.rawSocket("alice");
  slow.write(text({ type: "subscribe", filters: [MESSAGE] }), text("ping"));
  assert.equal(await slow.text(), "pong");
  slow.socket.pause();
  const payload = "x".repeat(100 * 1024);
  let sent = 0;
  await until("the slow one is closed", async () => {
    await dm.publish({ userId: "alice", payload, timeoutMs: 0 });
    assert.equal((await good.next()).payload.length, payload.length);
    sent++;
    return (await dm.metric('dormouse_closes_total{by="slow_consumer"}')) === 1;
  }, { ms: 30000, every: 0 });
  assert.ok(sent > 1);
  assert.equal((await dm.get("/users/alice/presence")).json.connections, 1);
  assert.equal((await dm.publish({ userId: "alice", timeoutMs: 0 })).delivered, 1);
  assert.equal(await dm.metric("dormouse_unsent_bytes"), 0);
  slow.socket.resume();
  let last;
  try {
    for (;;) last = await slow.frame();
  } catch {
    // the end of the connection
  }
  if (last?.opcode === OPCODE.close) assert.equal(last.payload.readUInt16BE(0), 4008);
});

test("a reader that is slow for a while gets all of it, in order", async (t) => {
  const dm = await serve(t, { max_unsent: "64MiB" });
  const raw = await dm.rawSocket("alice");
  raw.write(text({ type: "subscribe", filters: [MESSAGE] }), text("ping"));
  await raw.text();
  raw.socket.pause();
  const filler = "x".repeat(200 * 1024);
  for (let n = 0; n < 60; n++) await dm.publish({ userId: "alice", payload: { n, filler }, timeoutMs: 0 });
  assert.ok((await dm.metric("dormouse_unsent_bytes")) > 0);
  raw.socket.resume();
  for (let n = 0; n < 60; n++) assert.equal(JSON.parse(await raw.text()).payload.n, n);
  await until("nothing is unsent", async () => (await dm.metric("dormouse_unsent_bytes")) === 0);
});

test("an open publish does not wait for a reader that never reads beyond its timeout", async (t) => {
  const dm = await serve(t, { max_unsent: "64KiB" });
  const slow = await dm.rawSocket("alice");
  slow.write(text({ type: "subscribe", filters: [MESSAGE] }), text("ping"));
  await slow.text();
  slow.socket.pause();
  for (let closed = false; !closed; ) {
    const { results } = await dm.publish({ userId: "alice", payload: "x".repeat(900 * 1024), timeoutMs: 100 });
    assert.deepEqual(results, []);
    closed = (await dm.metric('dormouse_closes_total{by="slow_consumer"}')) === 1;
  }
  const began = Date.now();
  assert.equal((await dm.publish({ userId: "alice" })).clientCount, 0);
  assert.ok(Date.now() - began < 2000);
});

test("connections that send no request are closed after handshake_timeout", async (t) => {
  const dm = await serve(t, { handshake_timeout: "500ms", request_timeout: "500ms", keepalive: "500ms" });
  const silent = await dm.raw();
  const half = await dm.raw();
  half.write("GET / HTTP/1.1\r\nHost: x\r\nX-Slow:");
  const began = Date.now();
  await Promise.all([silent.gone(), half.gone()]);
  assert.ok(Date.now() - began < 5000);
});

test("a request that drips in is closed after request_timeout, however steadily", async (t) => {
  const dm = await serve(t, { handshake_timeout: "700ms", request_timeout: "700ms" });
  const head = await dm.raw();
  const body = await dm.raw();
  head.write("GET / HTTP/1.1\r\nHost: x\r\n");
  body.write(`POST /publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${dm.token("a", { scope: "publish" })}\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n`);
  const began = Date.now();
  while (!(head.ended && body.ended) && Date.now() - began < 6000) {
    if (!head.ended) head.write("X-A: b\r\n");
    if (!body.ended) body.write("x");
    await sleep(100);
  }
  assert.ok(head.ended, "dripping headers");
  assert.ok(body.ended, "dripping body");
});

test("idle HTTP connections are closed after keepalive; WebSockets are not", async (t) => {
  const dm = await serve(t, { keepalive: "400ms", handshake_timeout: "400ms", request_timeout: "400ms" });
  const alice = await dm.connect("alice");
  const idle = await dm.raw();
  idle.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  assert.equal((await idle.response()).status, 200);
  await idle.gone(5000);
  await sleep(1000);
  await alice.expectNothing();
});

test("an open publish outlives the timeouts of its connection", async (t) => {
  const dm = await serve(t, { keepalive: "300ms", handshake_timeout: "300ms", request_timeout: "300ms", write_timeout: "300ms" });
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const answer = dm.publish({ userId: "alice", timeoutMs: 10000 });
  const envelope = await alice.next();
  await sleep(1500);
  alice.ack(envelope, "late but welcome");
  assert.deepEqual((await answer).results, ["late but welcome"]);
});

test("a client that does not read its HTTP answers is closed after write_timeout", async (t) => {
  const dm = await serve(t, { write_timeout: "700ms", max_message: "1MiB" });
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const large = "y".repeat(900 * 1024);
  alice.autoAck(() => large);
  const raw = await dm.raw();
  raw.socket.pause();
  const body = JSON.stringify({ userId: "alice" });
  const request =
    `POST /publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${dm.token("b", { scope: "publish" })}\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  for (let i = 0; i < 30; i++) raw.write(request);
  await until("it is closed", async () => (await dm.metric("dormouse_http_timeouts_total")) >= 1, { ms: 15000, every: 100 });
});

/** Connects and returns the refusal. */
async function refusal(dm, user) {
  const refused = await dm.connect(user).then(() => assert.fail("it was let in"), (error) => error);
  return { status: refused.status, body: JSON.parse(await refused.body) };
}

test("beyond max_connections an upgrade is 503 Maximum connections reached", async (t) => {
  const dm = await serve(t, { max_connections: 3 });
  const clients = [await dm.connect("a"), await dm.connect("b"), await dm.connect("c")];
  assert.deepEqual(await refusal(dm, "d"), { status: 503, body: { error: "Maximum connections reached", code: "max_connections" } });
  await clients[0].close(1000);
  await until("there is room again", () => dm.connect("d").then(() => true, () => false));
  await clients[1].expectNothing();
});

test("beyond max_connections_per_user too, and just for that user", async (t) => {
  const dm = await serve(t, { max_connections_per_user: 2 });
  const one = await dm.connect("alice");
  await dm.connect("alice");
  assert.deepEqual(await refusal(dm, "alice"), { status: 503, body: { error: "Maximum connections reached", code: "max_connections" } });
  await dm.connect("bob");
  await one.drop();
  await until("there is room again", () => dm.connect("alice").then(() => true, () => false));
});

test("upgrades at once do not slip past max_connections_per_user", async (t) => {
  const dm = await serve(t, { max_connections_per_user: 5 });
  const tries = await Promise.allSettled(Array.from({ length: 30 }, () => dm.connect("alice")));
  assert.equal(tries.filter((one) => one.status === "fulfilled").length, 5);
  assert.equal((await dm.get("/users/alice/presence")).json.connections, 5);
});
