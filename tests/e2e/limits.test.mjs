// The limits by caller, and of every other limit that its refusal is counted.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import http from "node:http";
import path from "node:path";
import { Native } from "./lib/native.mjs";
import { closeFrame, frame, OPCODE, text } from "./lib/raw.mjs";
import { BIN, cleanEnv, serve, tempDir } from "./lib/server.mjs";
import { afterwards } from "./lib/teardown.mjs";
import { test } from "./lib/test.mjs";
import { SECRET } from "./lib/token.mjs";
import { sleep, until } from "./lib/wait.mjs";

const MESSAGE = { type: "message" };
const ELSEWHERE = "127.0.0.2";

const refusals = (dm, reason) => dm.metric(`dormouse_refusals_total{reason="${reason}"}`);

/** A publish to nobody; options as dm.call has them. */
const publish = (dm, options) => dm.post("/publish", { userId: "nobody", timeoutMs: 0 }, options);

/** How often each status was answered, of n publishes at once. */
async function statuses(dm, n, options) {
  const counts = {};
  for (const { status } of await Promise.all(Array.from({ length: n }, () => publish(dm, options)))) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

/** Connects; 101, or the refusal with its body. */
async function upgrade(dm, user, options) {
  try {
    await dm.connect(user, options);
    return { status: 101 };
  } catch (refused) {
    assert.ok(refused.status, refused.message);
    return { status: refused.status, headers: refused.headers, ...JSON.parse(await refused.body) };
  }
}

const from = (address, as) => ({ headers: { "x-forwarded-for": address }, ...(as === undefined ? {} : { as }) });

// --- rate_requests ---

test("beyond rate_requests a principal is answered 429 with Retry-After, whatever loop it comes to", async (t) => {
  const dm = await serve(t, { rate_requests: 5, shards: 2 });
  const began = Date.now();
  const { 200: good, 429: bad } = await statuses(dm, 40);
  const most = 5 + Math.ceil((5 * (Date.now() - began)) / 1000);
  assert.ok(good >= 5 && good <= most, `${good} of at most ${most} were let through`);
  assert.equal(good + bad, 40);
  const refused = await publish(dm);
  assert.deepEqual(refused.json, { error: "Too many requests in a second", code: "rate_limited" });
  assert.equal(refused.headers["retry-after"], "1");
  assert.equal(refused.headers["access-control-allow-origin"], "*");
  assert.equal(await refusals(dm, "rate_limited"), bad + 1);
  await sleep(1000);
  assert.equal((await publish(dm)).status, 200);
});

test("rate_requests is each principal's own, and a key is not the user of its name", async (t) => {
  const dm = await serve(t, { rate_requests: 3 });
  const as = (user) => ({ as: `Bearer ${dm.token(user, { scope: "publish" })}` });
  assert.ok((await statuses(dm, 12, as("test")))[429] > 0);
  assert.equal((await publish(dm)).status, 200);
  assert.equal((await publish(dm, as("bob"))).status, 200);
});

test("an upgrade is a request too, and is refused over plain HTTP", async (t) => {
  const dm = await serve(t, { rate_requests: 2 });
  const tries = await Promise.all(Array.from({ length: 8 }, () => upgrade(dm, "alice")));
  const refused = tries.filter(({ status }) => status === 429);
  assert.ok(tries.filter(({ status }) => status === 101).length >= 2);
  assert.ok(refused.length > 0);
  assert.equal(refused[0].code, "rate_limited");
  assert.equal(refused[0].headers["retry-after"], "1");
});

test("without rate_requests there is no such limit", async (t) => {
  const dm = await serve(t);
  assert.deepEqual(await statuses(dm, 150), { 200: 150 });
});

// --- rate_unauthenticated ---

test("an address that fails too often is answered 429 unseen, but for API keys; others are not", async (t) => {
  const dm = await serve(t, { rate_unauthenticated: 5, open_publish: true });
  const good = { as: `Bearer ${dm.token("alice")}` };
  const forged = { as: `Bearer ${dm.token("alice").slice(0, -4)}AAAA` };
  const began = Date.now();
  const { 401: seen, 429: unseen } = await statuses(dm, 40, forged);
  const most = 5 + Math.ceil((5 * (Date.now() - began)) / 1000);
  assert.ok(seen >= 5 && seen <= most, `${seen} of at most ${most} were looked at`);
  assert.equal(seen + unseen, 40);
  for (let barred = false; !barred; ) barred = (await publish(dm, forged)).status === 429;
  const refused = await publish(dm, good);
  assert.equal(refused.status, 429);
  assert.deepEqual(refused.json, { error: "Too many failed authentications from this address", code: "too_many_failures" });
  assert.equal(refused.headers["retry-after"], "1");
  for (let barred = false; !barred; ) barred = (await publish(dm, forged)).status === 429;
  assert.equal((await upgrade(dm, "alice")).code, "too_many_failures");
  assert.equal((await publish(dm)).status, 200, "an API key");
  assert.equal((await publish(dm, { ...good, local: ELSEWHERE })).status, 200, "another address");
  assert.ok((await refusals(dm, "too_many_failures")) >= unseen + 2);
  await sleep(1100);
  assert.equal((await publish(dm, good)).status, 200, "a second later");
});

test("good tokens are never too many, and 401 stays 401 below fifty a second", async (t) => {
  const dm = await serve(t, { open_publish: true });
  assert.deepEqual(await statuses(dm, 120, { as: `Bearer ${dm.token("alice")}` }), { 200: 120 });
  assert.deepEqual(await statuses(dm, 40, { as: null }), { 401: 40 });
  assert.ok((await statuses(dm, 200, { as: null }))[429] > 50);
});

/** Refreshes with a bad token until that is not looked at any more. */
const barByRefresh = (client) =>
  until("the address is barred", async () => (await client.command("refresh", { token: "x.y.z" })).code === "too_many_failures", { every: 0 });

test("a refresh with a bad token is a failure of its address, whose tokens are then not looked at", async (t) => {
  const dm = await serve(t, { rate_unauthenticated: 2, open_publish: true, hibernate_after: "50ms" });
  const [alice, far] = [await Native.connect(dm, "alice"), await Native.connect(dm, "alice", { local: ELSEWHERE })];
  const good = { as: `Bearer ${dm.token("alice")}` };
  await dm.asleep(1);
  assert.equal((await alice.command("refresh", { token: "x.y.z" })).code, "unauthorized");
  await barByRefresh(alice);
  assert.equal((await alice.command("refresh", { token: dm.token("alice") })).code, "too_many_failures", "a good one too");
  await barByRefresh(alice);
  assert.equal((await publish(dm, good)).status, 429, "it is one address over HTTP and on a socket");
  assert.equal((await publish(dm, { ...good, local: ELSEWHERE })).status, 200);
  assert.equal((await far.command("refresh", { token: dm.token("alice") })).type, "ok");
  assert.ok((await refusals(dm, "too_many_failures")) >= 4);
  await sleep(1100);
  assert.equal((await alice.command("refresh", { token: dm.token("alice") })).type, "ok");
  assert.equal((await alice.command("refresh", { token: dm.token("bob") })).code, "forbidden");
});

test("behind a trusted proxy a bad refresh is the client's failure, not the proxy's", async (t) => {
  const dm = await serve(t, { rate_unauthenticated: 1, trusted_proxies: "127.0.0.1" });
  const open = (address) => Native.connect(dm, "alice", { headers: { "x-forwarded-for": address } });
  const alice = await open("203.0.113.7");
  await barByRefresh(alice);
  assert.equal((await publish(dm, from("203.0.113.7", "x.y.z"))).status, 429);
  await barByRefresh(alice);
  const other = await open("203.0.113.8");
  assert.equal((await other.command("refresh", { token: dm.token("alice") })).type, "ok");
  for (const client of [alice, other]) await client.drop();
  /* Their numbers are others' now: what was kept of them must not be. */
  await until("they are gone", async () => (await dm.metric("dormouse_sessions")) === 0);
  const direct = [];
  for (let n = 0; n < 2; n++) direct.push(await Native.connect(dm, "alice", { local: ELSEWHERE }));
  await sleep(1100);
  for (const client of direct) await barByRefresh(client);
  for (const address of ["203.0.113.7", "203.0.113.8"]) assert.equal((await publish(dm, from(address, "x.y.z"))).status, 401);
  await barByRefresh(direct[1]);
  assert.equal((await publish(dm, { as: "x.y.z", local: ELSEWHERE })).status, 429);
});

test("rate_unauthenticated = 0 never answers 429", async (t) => {
  const dm = await serve(t, { rate_unauthenticated: 0 });
  assert.deepEqual(await statuses(dm, 150, { as: "Bearer x.y.z" }), { 401: 150 });
});

// --- trusted_proxies ---

/** Fails until 429 as `options` say; fails the test where that never comes. */
function bar(dm, options) {
  return until("the address is barred", async () => (await publish(dm, options)).status === 429, { every: 0 });
}

test("behind a trusted proxy the last untrusted address of X-Forwarded-For counts", async (t) => {
  const dm = await serve(t, { rate_unauthenticated: 1, trusted_proxies: "127.0.0.1,10.0.0.0/8" });
  const seen = async (address) => (await publish(dm, from(address, "x.y.z"))).status === 401;
  await bar(dm, from("203.0.113.7", "x.y.z"));
  assert.ok(await seen("203.0.113.8"));
  await bar(dm, from("203.0.113.7", "x.y.z"));
  assert.ok(!(await seen("198.51.100.1, 203.0.113.7")), "what the client put in front does not count");
  await bar(dm, from("203.0.113.7", "x.y.z"));
  assert.ok(!(await seen("203.0.113.7,10.1.2.3 , 127.0.0.1")), "trusted ones are passed over");
  await bar(dm, from("2001:db8:1:2::1", "x.y.z"));
  assert.ok(!(await seen("2001:db8:1:2:ffff::9")), "a /64 is one");
  assert.ok(await seen("2001:db8:1:3::1"));
  await bar(dm, from("203.0.113.99", "x.y.z"));
  assert.ok(!(await seen("[::ffff:203.0.113.99]:4711")), "an IPv4 address is one, however it is written");
});

test("from anybody else X-Forwarded-For is not looked at", async (t) => {
  const dm = await serve(t, { rate_unauthenticated: 1, trusted_proxies: "10.0.0.0/8,127.0.0.1" });
  const options = (n) => ({ ...from(`203.0.113.${n}`, "x.y.z"), local: ELSEWHERE });
  let n = 0;
  await until("changing the header does not help", async () => (await publish(dm, options(n++ % 250))).status === 429, { every: 0 });
  assert.equal((await publish(dm, { as: "x.y.z", local: "127.0.0.3" })).status, 401);
});

test("a request that says it was forwarded is not local, trusted proxies or not", async (t) => {
  for (const settings of [{}, { trusted_proxies: "127.0.0.1" }]) {
    const dm = await serve(t, settings);
    assert.equal((await dm.get("/metrics", from("127.0.0.1", null))).status, 401);
    assert.equal((await dm.get("/metrics", { as: null })).status, 200);
  }
});

test("peers of a Unix socket are one address, or a trusted proxy", async (t) => {
  const dir = tempDir(t);
  for (const proxies of ["", "unix"]) {
    const socketPath = path.join(dir, `s${proxies}`);
    const flags = [`--listen=unix:${socketPath}`, `--database=${dir}/d${proxies}.db`, "--rate-unauthenticated=2", `--trusted-proxies=${proxies}`];
    const child = spawn(BIN, ["serve", ...flags], { env: cleanEnv({ DORMOUSE_JWT_SECRET: SECRET }), stdio: "ignore" });
    afterwards(t, () => child.kill("SIGKILL"));
    const status = (address) =>
      new Promise((resolve, reject) => {
        const headers = { authorization: "x.y.z", "x-forwarded-for": address };
        http.get({ socketPath, path: "/users/a/presence", headers }, (answer) => resolve(answer.resume().statusCode)).on("error", reject);
      });
    await until("it serves", () => status("198.51.100.1").then(() => true, () => false), { ms: 20000 });
    await until("the address is barred", async () => (await status("203.0.113.7")) === 429, { every: 0 });
    assert.equal(await status("203.0.113.8"), proxies ? 401 : 429);
  }
});

test("trusted_proxies that are no networks are refused at the start", () => {
  const check = (list) => spawnSync(BIN, ["check-config", `--trusted-proxies=${list}`], { env: cleanEnv(), encoding: "utf8" });
  for (const wrong of ["localhost", "10.0.0.0/33", "unix:/run/x", "::1/129", "10.0.0.1,,::1"]) {
    const { status, stderr } = check(wrong);
    assert.notEqual(status, 0, wrong);
    assert.match(stderr, /trusted[_-]proxies/);
  }
  assert.equal(check("10.0.0.0/8, fd00::/8,unix,127.0.0.1").status, 0);
});

// --- max_connections_per_address ---

const FULL = { status: 429, error: "Maximum connections reached", code: "max_connections_per_address" };

async function isFull(dm, user, options) {
  const { headers, ...rest } = await upgrade(dm, user, options);
  assert.deepEqual(rest, FULL);
  assert.equal(headers["retry-after"], "1");
}

test("beyond max_connections_per_address an upgrade is 429, and just from that address", async (t) => {
  const dm = await serve(t, { max_connections_per_address: 2 });
  await dm.connect("alice");
  await dm.connect("bob");
  await isFull(dm, "carol");
  await dm.connect("carol", { local: ELSEWHERE });
  assert.equal(await refusals(dm, "max_connections_per_address"), 1);
  assert.equal((await publish(dm)).status, 200, "requests are no connections");
});

test("however a socket ends, its address has room for another", async (t) => {
  const dm = await serve(t, { max_connections_per_address: 1, max_message: "1KiB", max_unsent: "64KiB", max_connections_per_user: 1 });
  const again = () => until("there is room again", async () => (await upgrade(dm, "zoe", { local: ELSEWHERE })).status === 101);
  const ends = {
    "a close": (raw) => raw.write(closeFrame(1000)),
    "a cut line": (raw) => raw.destroy(),
    "an error of the protocol": (raw) => raw.write(frame(OPCODE.text, "x".repeat(2000))),
    "a disconnect": () => dm.post("/users/alice/disconnect", {}),
    "slowness": async (raw) => {
      raw.write(text({ type: "subscribe", filters: [MESSAGE] }), text("ping"));
      await raw.text();
      raw.socket.pause();
      for (let closed = 0; !closed; closed = await dm.metric('dormouse_closes_total{by="slow_consumer"}'))
        await dm.publish({ userId: "alice", payload: "x".repeat(500 * 1024), timeoutMs: 0 });
    },
  };
  for (const [what, end] of Object.entries(ends)) {
    const raw = await until(what, () => dm.rawSocket("alice").catch(() => undefined));
    await isFull(dm, "bob");
    await end(raw);
  }
  await until("there is room again", async () => (await upgrade(dm, "alice")).status === 101);
  await isFull(dm, "bob");
  /* A refusal for another reason keeps no place. */
  assert.equal((await upgrade(dm, "alice", { local: ELSEWHERE })).status, 503);
  await again();
});

test("upgrades at once do not slip past max_connections_per_address, over all loops", async (t) => {
  const dm = await serve(t, { max_connections_per_address: 5, shards: 2 });
  const tries = await Promise.all(Array.from({ length: 30 }, (_, n) => upgrade(dm, `user-${n}`)));
  assert.equal(tries.filter(({ status }) => status === 101).length, 5);
  assert.equal(tries.filter(({ status }) => status === 429).length, 25);
});

test("behind a trusted proxy each client address has its own connections, a /64 counting as one", async (t) => {
  const dm = await serve(t, { max_connections_per_address: 1, trusted_proxies: "127.0.0.1" });
  await dm.connect("a", from("203.0.113.7"));
  await isFull(dm, "b", from("203.0.113.7"));
  await dm.connect("b", from("203.0.113.8"));
  await dm.connect("c", from("2001:db8::1"));
  await isFull(dm, "d", from("2001:db8::2"));
  await dm.connect("d", from("2001:db8:0:1::1"));
});

// --- rate_messages ---

test("a session over rate_messages is slowed, and nothing of it is lost", async (t) => {
  const dm = await serve(t, { rate_messages: 10 });
  const alice = await dm.connect("alice");
  alice.send({ type: "subscribe", filters: [MESSAGE] });
  await until("alice is subscribed", async () => (await dm.publish({ userId: "alice", timeoutMs: 0 })).delivered === 1);
  const answer = dm.publish({ userId: "alice", timeoutMs: 10000 });
  await alice.next();
  const envelope = await alice.next();
  const bob = await dm.connect("bob");
  const began = Date.now();
  for (let n = 0; n < 32; n++) alice.send("ping");
  alice.ack(envelope, "late, and here");
  await bob.expectNothing();
  assert.ok(Date.now() - began < 900, "another session is not slowed");
  assert.deepEqual((await answer).results, ["late, and here"]);
  assert.ok(Date.now() - began > 1900, `33 messages took ${Date.now() - began} ms`);
  for (let n = 0; n < 32; n++) assert.equal(await alice.nextText(), "pong");
  assert.ok((await dm.metric("dormouse_messages_slowed_total")) >= 3);
});

test("a native command over rate_messages is refused at once, and nothing comes of it", async (t) => {
  const dm = await serve(t, { rate_messages: 10 });
  const alice = await Native.connect(dm, "alice");
  const began = Date.now();
  assert.equal((await alice.command("attach", { attachment: { kept: true } })).type, "ok");
  for (let n = 1; n < 10; n++) alice.send({ type: "ping" });
  const refused = await alice.command("attach", { attachment: "too much" });
  assert.ok(Date.now() - began < 900, "all of it was within a second");
  assert.deepEqual(refused, { type: "error", ref: "r2", code: "rate_limited", error: "Too many messages in a second" });
  alice.send({ type: "attach", attachment: "without a ref" });
  assert.equal((await alice.next()).code, "rate_limited");
  assert.equal(await refusals(dm, "rate_limited"), 2);
  assert.equal(await dm.metric("dormouse_messages_slowed_total"), 0);
  await sleep(1100);
  assert.equal((await alice.command("ping")).type, "ok");
  await alice.drop();
  assert.deepEqual((await Native.connect(dm, "alice", { resume: alice.welcome.resume })).welcome.attachment, { kept: true });
});

test("a refused ack may be sent again", async (t) => {
  const dm = await serve(t, { rate_messages: 2 });
  const alice = await Native.connect(dm, "alice");
  const answer = dm.publish({ userId: "alice", timeoutMs: 10000 });
  const { envelopeId } = await alice.next();
  for (let n = 0; n < 2; n++) await alice.command("ping");
  assert.equal((await alice.command("ack", { envelopeId, result: 1 })).code, "rate_limited");
  await sleep(1100);
  assert.equal((await alice.command("ack", { envelopeId, result: 2 })).type, "ok");
  assert.deepEqual((await answer).results, [2]);
});

test("a native flood whose answers nobody reads is closed as any slow reader", async (t) => {
  const dm = await serve(t, { rate_messages: 1, max_unsent: "64KiB" });
  const raw = await dm.rawSocket("alice", { headers: { "sec-websocket-protocol": "dormouse.v1" } });
  raw.socket.pause();
  const flood = Buffer.concat(Array.from({ length: 2000 }, () => text("{}")));
  const slow = () => dm.metric('dormouse_closes_total{by="slow_consumer"}');
  await until("it is closed", async () => raw.write(flood) || (await slow()) === 1, { ms: 30000 });
  assert.ok((await dm.metric("dormouse_unsent_bytes")) < 128 * 1024);
  assert.equal((await dm.get("/readyz")).status, 200);
});

test("messages below rate_messages are not slowed, and without it none are", async (t) => {
  for (const [settings, n] of [[{ rate_messages: 100 }, 80], [{}, 5000]]) {
    const dm = await serve(t, settings);
    const alice = await dm.connect("alice");
    const began = Date.now();
    for (let i = 0; i < n; i++) alice.send("ping");
    for (let i = 0; i < n; i++) assert.equal(await alice.nextText(), "pong");
    if (settings.rate_messages) assert.ok(Date.now() - began < 900);
    assert.equal(await dm.metric("dormouse_messages_slowed_total"), 0);
  }
});

test("a flood over rate_messages stays in the sender's socket", async (t) => {
  const dm = await serve(t, { rate_messages: 5 });
  const raw = await dm.rawSocket("alice");
  const flood = Buffer.concat(Array.from({ length: 1000 }, () => text("x".repeat(1000))));
  for (let n = 0; n < 30; n++) raw.write(flood);
  await sleep(1500);
  assert.ok(raw.socket.writableLength > 1024 * 1024, `${raw.socket.writableLength} bytes are left`);
  const taken = await dm.metric("dormouse_frames_received_total");
  assert.ok(taken >= 5 && taken <= 30, `${taken} messages were taken`);
  assert.equal((await dm.post("/users/alice/disconnect", {})).json.disconnected, 1, "it can be closed all the same");
  await dm.connect("alice");
});

test("a slowed session sleeps, wakes and ends like any other", async (t) => {
  const dm = await serve(t, { rate_messages: 2, hibernate_after: "50ms" });
  const alice = await dm.connect("alice");
  alice.send({ type: "subscribe", filters: [MESSAGE] });
  for (let n = 0; n < 3; n++) alice.send("ping");
  alice.send({ type: "subscribe", filters: [{ type: "other" }] });
  assert.equal(await alice.nextText(), "pong");
  await dm.asleep(1);
  assert.equal((await dm.publish({ userId: "alice", timeoutMs: 0 })).delivered, 1);
  for (const expected of ["pong", "pong"]) {
    const seen = await alice.nextText();
    if (seen !== expected) assert.equal(JSON.parse(seen).type, "message");
  }
  await until("the second subscribe counts", async () => (await dm.publish({ userId: "alice", type: "other", timeoutMs: 0 })).delivered === 1);
  for (let n = 0; n < 9; n++) alice.send("ping");
  await alice.drop();
  await until("it is gone", async () => (await dm.metric("dormouse_sessions")) === 0, { ms: 15000 });
});

// --- the other limits: what refuses is counted ---

test("every refusal of a limit is counted under its reason", async (t) => {
  const dm = await serve(t, {
    max_connections: 2, max_connections_per_user: 1, max_body: "1KiB", max_header: "2KiB",
    max_targets: 2, max_filters_per_session: 2, max_message: "4KiB",
  });
  const alice = await dm.connect("alice");
  assert.equal((await upgrade(dm, "alice")).error, "Maximum connections reached");
  assert.equal(await refusals(dm, "max_connections"), 1);
  const bob = await dm.rawSocket("bob");
  assert.equal((await upgrade(dm, "carol")).error, "Maximum connections reached");
  assert.equal(await refusals(dm, "max_connections"), 2);
  bob.write(text("x".repeat(5000)));
  assert.equal((await bob.close()).code, 1009);
  assert.equal(await dm.metric('dormouse_closes_total{by="protocol_error"}'), 1);
  const big = await dm.post("/publish", { userId: "a", payload: "x".repeat(2000), timeoutMs: 0 });
  assert.deepEqual([big.status, await refusals(dm, "too_large")], [413, 1]);
  const head = await dm.get("/users/a/presence", { headers: { "x-large": "x".repeat(3000) } });
  assert.deepEqual([head.status, await refusals(dm, "headers_too_large")], [431, 1]);
  const many = await dm.post("/publish", { userIds: ["a", "b", "c"], timeoutMs: 0 });
  assert.deepEqual([many.status, many.json.code, await refusals(dm, "too_many_targets")], [400, "too_many_targets", 1]);
  await alice.subscribe({ type: "a" }, { type: "b" });
  assert.equal(await refusals(dm, "too_many_filters"), 0);
  await alice.subscribe({ type: "b" }, { type: "c" }, { type: "d" });
  assert.equal(await refusals(dm, "too_many_filters"), 1);
});

test("requests in wait beyond their share are counted", async (t) => {
  const dm = await serve(t, { max_pending_requests: 4, shards: 1 });
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const waiting = [1, 2].map(() => dm.post("/publish", { userId: "alice", timeoutMs: 3000 }));
  const envelopes = [await alice.next(), await alice.next()];
  assert.equal((await dm.post("/publish", { userId: "alice", timeoutMs: 3000 })).status, 429);
  assert.equal(await refusals(dm, "too_many_requests"), 1);
  for (const envelope of envelopes) alice.ack(envelope);
  for (const { status } of await Promise.all(waiting)) assert.equal(status, 200);
});

test("what a timeout closes is counted", async (t) => {
  const dm = await serve(t, { handshake_timeout: "300ms", request_timeout: "600ms", keepalive: "300ms" });
  const count = (name, n) => until(`${n} in ${name}`, async () => (await dm.metric(name)) >= n);
  const silent = await dm.raw();
  await silent.gone();
  await count("dormouse_http_timeouts_total", 1);
  const half = await dm.raw();
  half.write("GET / HTTP/1.1\r\nHost: x\r\nX-Slow:");
  await half.gone();
  await count("dormouse_http_timeouts_total", 2);
  const idle = await dm.raw();
  const before = await dm.metric("dormouse_http_idle_closes_total");
  idle.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  assert.equal((await idle.response()).status, 200);
  await idle.gone();
  await count("dormouse_http_idle_closes_total", before + 1);
  assert.equal(await dm.metric("dormouse_http_timeouts_total"), 2, "an idle connection is not a slow one");
});
