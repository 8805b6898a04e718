// schema/openapi.yaml and the schemas of the dialects beside it say what the real
// server does: its routes, its answers, its error codes, its frames. No more and
// no less.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  bodyRef, compileAll, documentedCodes, errorsInSource, fits, frameRef, judgeAnswer, judgeClose, judgeFrame, judgeNative,
  judgeNativeClose, judgeShared, nativeCodes, nativeRef, openapi, operations, routesInSource, tablesServed,
  broadcastRef, judgeBroadcast, judgeBroadcastClose, judgeNotifier, judgeNotifierClose, methodsAt, notifierRef,
} from "./lib/contract.mjs";
import { serveWithHook } from "./lib/hook.mjs";
import { Native } from "./lib/native.mjs";
import { closeFrame, frame, OPCODE, upgrade } from "./lib/raw.mjs";
import { serve } from "./lib/server.mjs";
import { afterwards } from "./lib/teardown.mjs";
import { test } from "./lib/test.mjs";
import { until } from "./lib/wait.mjs";

const MESSAGE = { type: "message" };

/** Success statuses by operation, and error codes, that were seen and found to fit. */
const seen = { operations: new Set(), codes: new Set(), native: new Set() };

/** Codes that take a disk which fails in a commit: documented, but not to be had here. */
const UNSEEN = openapi["x-codes-of-broken-disks"];

const soon = (seconds) => ({ exp: Math.floor(Date.now() / 1000) + seconds });

/** A publish that the tests of every path have made before they ask for it. */
const PUBLISHED = "01a1fe98-2495-410d-a3cf-bdb23555917e";

const CONCRETE = { id: "alice", userId: "bob", name: "general", envelopeId: PUBLISHED };
const concrete = (target) => target.replace(/\{(\w+)\}/g, (_, name) => CONCRETE[name]);

const publishNamed = (dm) => dm.publish({ userId: "nobody", envelopeId: PUBLISHED });

/** Judges an answer of a documented operation, and returns it. */
function judged(method, target, answer) {
  judgeAnswer(method, target, answer);
  if (answer.status < 400) seen.operations.add(`${method} ${target}`);
  else seen.codes.add(answer.json.code);
  return answer;
}

async function call(dm, method, target, options) {
  const at = options?.at ?? concrete(target);
  return judged(method, target, await dm.call(method, at, options));
}

const post = (dm, target, body, options) => call(dm, "POST", target, { body, ...options });

/** Expects an error by status and code; its shape is judged besides. */
async function refused(status, code, answer) {
  const { status: got, json, text } = await answer;
  assert.deepEqual([got, json?.code], [status, code], text);
}

/** The answer to an upgrade. */
async function handshake(dm, target, options) {
  const raw = await dm.raw();
  raw.write(upgrade({ path: options?.at ?? concrete(target), ...options }));
  const answer = await raw.response();
  const json = answer.text ? JSON.parse(answer.text) : undefined;
  return judged("GET", target.split("?")[0], { ...answer, json });
}

test("all schemas compile", () => compileAll());

test("the server's route tables and the paths documented are the same", () => {
  const { tables, routes } = routesInSource();
  assert.deepEqual(tables.sort(), tablesServed().sort());
  const inDocument = operations().map(({ method, path, operation }) => {
    const body = operation.requestBody === undefined ? "NONE" : operation.requestBody.required ? "JSON" : "OPTIONAL";
    return `${method} ${path.replace(/\{\w+\}/g, "*")} ${operation["x-who"]} ${body}`;
  });
  assert.deepEqual(inDocument.sort(), routes.map(({ method, path, who, body }) => `${method} ${path} ${who} ${body}`).sort());
});

test("the server's error codes and those documented are the same, with the same status", () => {
  const never = openapi["x-codes-never-answered"];
  const codes = documentedCodes();
  const errors = errorsInSource();
  assert.deepEqual([...Object.keys(codes), ...never].sort(), Object.keys(errors).sort());
  for (const [code, statuses] of Object.entries(codes)) assert.deepEqual([...statuses], [errors[code]], code);
});

test("each documented path answers its methods, and refuses all others with their names", async (t) => {
  const dm = await serve(t);
  await publishNamed(dm);
  for (const target of Object.keys(openapi.paths)) {
    const methods = methodsAt(concrete(target));
    for (const { method } of operations().filter(({ path }) => path === target)) {
      const { status } = await call(dm, method, target);
      assert.ok(![404, 405].includes(status), `${method} ${target}: ${status}`);
    }
    for (const method of ["GET", "PUT", "POST", "DELETE", "PATCH"].filter((one) => !methods.includes(one))) {
      const answer = await dm.call(method, concrete(target));
      assert.equal(answer.status, 405, `${method} ${target}`);
      judgeShared("MethodNotAllowed", answer);
      assert.deepEqual(answer.headers.allow.split(", ").sort(), [...methods, ...(methods.includes("GET") ? ["HEAD"] : []), "OPTIONS"].sort());
      seen.codes.add(answer.json.code);
    }
    const preflight = await dm.call("OPTIONS", concrete(target), { as: null });
    assert.equal(preflight.status, 204);
    judgeShared("Preflight", preflight);
    const beside = await dm.get(`${target === "/" ? "" : concrete(target)}${target.endsWith("/members") ? "/x/x" : "/x"}`);
    assert.equal(beside.status, 404);
    judgeShared("NotFound", beside);
    seen.codes.add(beside.json.code);
  }
});

test("successes are as documented, HEAD without the body", async (t) => {
  const dm = await serve(t);
  const alice = (await (await dm.connect("alice")).subscribe(MESSAGE)).autoAck(() => ({ seen: true }));
  const published = await post(dm, "/publish", { userIds: ["alice", "nobody"], payload: { a: [1] } });
  assert.deepEqual(published.json.results, [{ seen: true }]);
  await post(dm, "/publish", { userId: "nobody", timeoutMs: 0 });
  const named = { userIds: ["alice"], durable: true, ttlSeconds: 7, envelopeId: PUBLISHED };
  assert.equal((await post(dm, "/publish", named)).json.owed, 0);
  assert.deepEqual((await call(dm, "GET", "/publish/{envelopeId}")).json.state, "done");
  const owed = await post(dm, "/publish", { userIds: ["alice", "nobody"], durable: true });
  assert.deepEqual([owed.status, owed.json.owed], [202, 1]);
  const at = `/publish/${owed.json.envelopeId}`;
  assert.equal((await call(dm, "GET", "/publish/{envelopeId}", { at })).json.owed, 1);
  await post(dm, "/users/{id}/send", { type: "message", data: 1, id: "order-7", ts: 1700000000123 });
  await post(dm, "/users/{id}/send", { type: "message" });
  const outcomes = await post(dm, "/users/send", { userIds: ["alice", "..", 7], event: { type: "message" } });
  assert.deepEqual(outcomes.json.map(({ status }) => status), ["fulfilled", "rejected", "rejected"]);
  assert.equal((await call(dm, "GET", "/users/{id}/presence")).json.connections, 1);
  for (const target of ["/healthz", "/readyz", "/metrics"]) {
    await call(dm, "GET", target);
    const head = await dm.call("HEAD", target);
    assert.deepEqual([head.status, head.text], [200, ""]);
  }
  assert.equal((await dm.call("HEAD", at)).text, "");
  assert.equal((await post(dm, "/users/{id}/disconnect", { reason: "bye" })).json.disconnected, 1);
  judgeClose(await alice.closing());
  await call(dm, "POST", "/users/{id}/disconnect");
});

test("successes of channels are as documented", async (t) => {
  const dm = await serve(t);
  const as = `Bearer ${dm.token("alice")}`;
  const members = (query = "") => call(dm, "GET", "/channels/{name}/members", { at: `/channels/general/members${query}` });
  const present = async (query, options) => (await call(dm, "GET", "/channels/{name}/presence", { at: `/channels/general/presence${query}`, ...options })).json;
  for (let i = 0; i < 2; i++) await post(dm, "/channels/subscribe", { channel: "general" }, { as });
  await call(dm, "PUT", "/channels/{name}/members/{userId}");
  assert.deepEqual((await members()).json.members.sort(), ["alice", "bob"]);
  const first = (await members("?limit=1")).json;
  assert.equal(first.next, first.members[0]);
  const last = (await members(`?limit=1&after=${first.next}`)).json;
  assert.deepEqual([...first.members, ...last.members].sort(), ["alice", "bob"]);
  assert.equal(last.next, undefined);
  assert.deepEqual(await present(""), { members: [] });
  await dm.connect("alice");
  await dm.connect("bob", { path: "/ws" });
  await until("they are there", async () => (await present("")).members.length === 2);
  const page = await present("?type=public&limit=1", { as });
  assert.equal(page.next, page.members[0].id);
  const sent = await post(dm, "/channels/{name}/send", { type: "message", data: 1, id: "order-7", ts: 1700000000123 });
  assert.deepEqual([sent.json.members, sent.json.delivered], [2, 1]); // alice has no filter
  await post(dm, "/channels/{name}/broadcast", { event: "message", data: 1 });
  const published = await post(dm, "/publish", { channel: "general", durable: true, timeoutMs: 0 });
  assert.deepEqual([published.status, published.json.owed], [202, 2]);
  await post(dm, "/channels/unsubscribe", { channel: "general" }, { as });
  await call(dm, "DELETE", "/channels/{name}/members/{userId}");
  assert.deepEqual((await members()).json, { members: [] });
  await call(dm, "DELETE", "/channels/{name}");
  await call(dm, "DELETE", "/users/{id}");
});

test("refusals of requests are as documented", async (t) => {
  const dm = await serve(t, { max_body: "2KiB", max_header: "2KiB", max_targets: 3, max_connections_per_user: 1 });
  const user = `Bearer ${dm.token("alice")}`;
  const far = { "x-forwarded-for": "192.0.2.1" };
  for (const { method, path: target, operation } of operations()) {
    const who = operation["x-who"];
    const body = operation.requestBody ? {} : undefined;
    const options = who === "user" ? { as: user } : {};
    if (who !== "socket") await refused(401, "unauthorized", call(dm, method, target, { as: null, headers: far, body }));
    if (who === "user") await refused(401, "unauthorized", call(dm, method, target, { body }));
    else if (who !== "socket") await refused(403, "forbidden", call(dm, method, target, { as: user, headers: far, body, at: concrete(target).replace("general", "private-x") }));
    if (operation.requestBody) {
      await refused(415, "unsupported_media_type", call(dm, method, target, { ...options, body: "{}", headers: { "content-type": "text/plain" } }));
      await refused(400, "invalid_json", call(dm, method, target, { ...options, body: "[]" }));
    }
    for (const [name] of who === "socket" ? [] : target.matchAll(/\{(?!envelopeId)\w+\}/g))
      await refused(400, "invalid_name", call(dm, method, target, { body: { type: "public", event: "x" }, at: concrete(target.replace(name, "..")) }));
    await refused(413, "too_large", call(dm, method, target, { body: " ".repeat(3000) }));
    await refused(417, "expectation_failed", call(dm, method, target, { headers: { expect: "a miracle" }, body: {} }));
    await refused(431, "headers_too_large", call(dm, method, target, { headers: { "x-long": "x".repeat(3000) } }));
    await refused(400, "bad_framing", twoHosts(dm, method, target));
  }
  await refused(400, "user_id_required", post(dm, "/publish", {}));
  await refused(400, "too_many_targets", post(dm, "/publish", { userIds: ["a", "b", "c", "d"] }));
  await refused(400, "too_many_targets", post(dm, "/users/send", { userIds: ["a", "b", "c", "d"], event: { type: "x" } }));
});

test("refusals of channels are as documented", async (t) => {
  const dm = await serve(t, { max_channels_per_user: 1, max_targets: 1 });
  const as = `Bearer ${dm.token("alice", { channels: ["private-a*"] })}`;
  const subscribe = (channel) => post(dm, "/channels/subscribe", { channel }, { as });
  const members = (query) => call(dm, "GET", "/channels/{name}/members", { at: `/channels/private-ab/members${query}` });
  const presence = (at, options) => call(dm, "GET", "/channels/{name}/presence", { at: `/channels/${at}`, ...options });
  await refused(400, "invalid_channel", subscribe("Private-a"));
  await refused(403, "forbidden", subscribe("private-b"));
  await refused(403, "forbidden", subscribe("presence-a"));
  assert.equal((await subscribe("private-ab")).status, 200);
  await refused(400, "too_many_channels", subscribe("general"));
  await refused(400, "too_many_channels", call(dm, "PUT", "/channels/{name}/members/{userId}", { at: "/channels/general/members/alice" }));
  for (const query of ["?limit=0", "?limit=10001", "?limit=x", "?limit=", "?after=.."]) await refused(400, "invalid_field", members(query));
  await refused(400, "invalid_field", presence("orders/presence?type=secret"));
  await refused(400, "invalid_name", presence("private-orders/presence?type=presence"));
  await refused(403, "forbidden", presence("b/presence?type=private", { as }));
  assert.equal((await presence("ab/presence?type=private", { as })).status, 200);
  await refused(400, "invalid_name", post(dm, "/channels/{name}/broadcast", { event: "x", type: "presence" }, { at: "/channels/private-x/broadcast" }));
  assert.equal((await post(dm, "/publish", { channel: "private-ab", durable: true })).json.owed, 1);
  await call(dm, "PUT", "/channels/{name}/members/{userId}", { at: "/channels/private-ab/members/bob" });
  await refused(400, "too_many_targets", post(dm, "/publish", { channel: "private-ab", durable: true }));
  assert.equal((await post(dm, "/publish", { channel: "private-ab" })).status, 200);
  await refused(400, "invalid_channel", post(dm, "/publish", { channel: "PRESENCE-x" }));
});

test("refusals of publishes that are recorded are as documented", async (t) => {
  const dm = await serve(t, { max_owed_per_user: 1, open_publish: true });
  const as = `Bearer ${dm.token("alice")}`;
  const body = { userId: "bob", envelopeId: PUBLISHED };
  const look = (options) => call(dm, "GET", "/publish/{envelopeId}", options);
  await refused(404, "not_found", look());
  await post(dm, "/publish", body);
  await post(dm, "/publish", body);
  await refused(409, "conflict", post(dm, "/publish", { ...body, payload: 1 }));
  await refused(409, "conflict", post(dm, "/publish", body, { as }));
  await refused(404, "not_found", look({ as }));
  await refused(404, "not_found", look({ at: "/publish/x" }));
  await refused(403, "forbidden", post(dm, "/publish", { userId: "bob", durable: true }, { as }));
  await post(dm, "/publish", { userId: "bob", durable: true });
  await refused(429, "owed_too_much", post(dm, "/publish", { userIds: ["carol", "bob"], durable: true }));
});

async function twoHosts(dm, method, target) {
  const raw = await dm.raw();
  raw.write(`${method} ${concrete(target)} HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n`);
  const answer = await raw.response();
  return judged(method, target, { ...answer, json: JSON.parse(answer.text) });
}

// What the schema takes the server must take, and what the server must refuse the schema refuses.
const BODIES = {
  "/publish Publish": {
    good: [
      { userId: "a" }, { userId: " a " }, { userIds: ["a", "a", "b"] }, { userId: "a", payload: null }, { userId: "a", type: "t", payload: [{}] },
      { userId: "a", type: "" }, { userId: "a", type: "whispers" }, { userId: "a", durable: false, more: 1 },
      { userId: "a", durable: true }, { userIds: ["a", "b"], durable: true, ttlSeconds: 2592000 }, { userId: "a", durable: true, ttlSeconds: 0.5 },
      { userId: "a", ttlSeconds: 1 }, { userId: "a", envelopeId: "01a1fe98-2495-710d-a3cf-bdb23555917e" },
      { userId: "a", envelopeId: " 01A1FE98-2495-410D-A3CF-BDB23555917F\n" }, { userId: "a", envelopeId: "00000000-0000-0000-0000-000000000000", durable: true },
      { userId: "é".repeat(64) }, { userId: "a", userIds: null, type: null, timeoutMs: null, channel: null, envelopeId: null, durable: null, ttlSeconds: null },
      { userId: null, userIds: ["a"] }, { channel: "c" }, { channel: " private-c ", userId: null, userIds: null }, { channel: "c", durable: true },
      { channel: "x".repeat(200), envelopeId: "01a1fe98-2495-710d-a3cf-bdb23555917d" },
    ],
    bad: [
      [], {}, { userId: "" }, { userId: " " }, { userId: 7 }, { userId: null }, { userId: ".." }, { userId: "x".repeat(129) }, { userId: "a", userIds: ["b"] }, { userIds: [] },
      { userIds: "a" }, { userIds: [7] }, { userIds: ["a", ""] }, { userId: "a", timeoutMs: -1 }, { userId: "a", timeoutMs: 60001 },
      { userId: "a", timeoutMs: "1" }, { userId: "a", type: "$x" }, { userId: "a", type: " __x" },
      { userId: "a", type: "whisper" }, { userId: "a", type: "presence.join " }, { userId: "a", type: "x".repeat(1025) },
      { userId: "a", channel: "c" }, { userIds: ["a"], channel: "c" }, { channel: "" }, { channel: 7 }, { channel: "Presence-c" }, { channel: "x".repeat(201) },
      { userId: "a", type: "presence:join" }, { userId: "a", type: "presence:leave " }, { userId: "a", envelopeId: "" }, { userId: "a", envelopeId: 7 }, { userId: "a", envelopeId: "01a1fe982495710da3cfbdb23555917e" },
      { userId: "a", envelopeId: "{01a1fe98-2495-710d-a3cf-bdb23555917e}" }, { userId: "a", durable: "yes" }, { userId: "a", durable: 1 },
      { userId: "a", ttlSeconds: 0 }, { userId: "a", ttlSeconds: -1 }, { userId: "a", ttlSeconds: "60" }, { userId: "a", durable: true, ttlSeconds: 2592001 },
    ],
  },
  "/users/{id}/send Event": {
    good: [{ type: "t" }, { type: " t ", data: null }, { type: "t", id: "x".repeat(200), ts: 0 }, { type: "t", ts: 253402300799999 }, { type: "t", id: null, ts: null, more: 1 }],
    bad: [
      {}, { type: "" }, { type: " " }, { type: 7 }, { type: "$x" }, { type: "t", id: "" }, { type: "t", id: 7 }, { type: "t", id: "x".repeat(201) },
      { type: "t", ts: -1 }, { type: "t", ts: "1" }, { type: "t", ts: 253402300800000 }, { type: null },
    ],
  },
  "/channels/{name}/send Event": {
    good: [{ type: "t" }, { type: " t ", data: null, id: " x " }, { type: "t", ts: 0 }],
    bad: [{}, { type: "" }, { type: "whisper" }, { type: "presence:join" }, { type: "t", id: "" }, { type: "t", ts: -1 }],
  },
  "/channels/{name}/broadcast Broadcast": {
    status: 204,
    good: [{ event: "e" }, { event: " e ", data: null, more: 1 }, { event: "e", type: null }, { event: "e", type: "public" }, { event: "e", type: " private " }, { event: "e", type: "presence" }],
    bad: [
      {}, { event: "" }, { event: 7 }, { event: null }, { event: " " }, { event: "whisper" }, { event: "presence:join" }, { event: "presence.leave" }, { event: "$x" }, { event: "__x" },
      { event: "x".repeat(1025) }, { event: "e", type: "" }, { event: "e", type: "Public" }, { event: "e", type: "secret" }, { event: "e", type: 7 },
    ],
  },
  "/channels/subscribe Subscription": {
    who: "alice",
    good: [{ channel: "a" }, { channel: " a ", more: 1 }, { channel: "é".repeat(100) }, { channel: "private" }, { channel: "Privateer" }, { channel: "x".repeat(200) }, { channel: "..." }],
    bad: [
      {}, { channel: "" }, { channel: " " }, { channel: 7 }, { channel: null }, { channel: ["a"] }, { channel: "." }, { channel: " .. " }, { channel: "x".repeat(201) },
      { channel: "Private-x" }, { channel: " PRESENCE-x" },
    ],
  },
  "/channels/unsubscribe Subscription": {
    who: "alice",
    good: [{ channel: "a" }, { channel: " private-a " }],
    bad: [{}, { channel: "" }, { channel: 7 }, { channel: null }, { channel: "pRivate-x" }],
  },
  "/users/send SendToUsers": {
    good: [{ userIds: ["a"], event: { type: "t" } }, { userIds: [7, ".."], event: { type: "t" } }],
    bad: [{}, { userIds: ["a"] }, { userIds: [], event: { type: "t" } }, { userIds: "a", event: { type: "t" } }, { userIds: ["a"], event: {} }, { userIds: ["a"], event: "t" }],
  },
  "/users/{id}/disconnect Disconnect": {
    good: [{}, { reason: "bye" }, { reason: "" }, { reason: "x".repeat(123) }, { reason: null, more: 1 }],
    bad: [{ reason: 7 }, { reason: "x".repeat(124) }],
  },
};
/** To a channel without members there is nobody to owe it to. */
const isOwed = ({ durable, channel }) => durable === true && !channel;

for (const [what, { good, bad, who, status = 200 }] of Object.entries(BODIES))
  test(`the server and the schema agree on the bodies of ${what}`, async (t) => {
    const [target, schema] = what.split(" ");
    const dm = await serve(t);
    const options = who ? { as: `Bearer ${dm.token(who)}` } : {};
    for (const body of good) {
      assert.ok(fits(bodyRef(schema), body), JSON.stringify(body));
      const answer = await post(dm, target, body, options);
      assert.equal(answer.status, isOwed(body) ? 202 : status, `${JSON.stringify(body)}: ${answer.text}`);
    }
    for (const body of bad) {
      assert.ok(!fits(bodyRef(schema), body), JSON.stringify(body));
      assert.equal((await post(dm, target, JSON.stringify(body), options)).status, 400, JSON.stringify(body));
    }
  });

test("handshakes are answered as documented", async (t) => {
  const dm = await serve(t, { max_connections_per_user: 1 });
  for (const target of ["/", "/connect", "/ws"]) {
    const token = dm.token(`user of ${target}`);
    await refused(426, "upgrade_required", call(dm, "GET", target));
    await refused(400, "bad_request", handshake(dm, target, { token, headers: { "Sec-WebSocket-Key": "short" } }));
    await refused(401, "unauthorized", handshake(dm, target, {}));
    await refused(400, "not_supported", handshake(dm, target, { token, headers: { "Sec-WebSocket-Protocol": "dormouse.v1.msgpack" } }));
    const open = await handshake(dm, `${target}?token=${token}`, { headers: { "Sec-WebSocket-Protocol": "chat" } });
    assert.equal(open.status, 101);
    await refused(503, "max_connections", handshake(dm, target, { token }));
    const native = { token: dm.token(`native of ${target}`), headers: { "Sec-WebSocket-Protocol": "chat, dormouse.v1" } };
    const { status, headers } = await handshake(dm, `${target}?resume=none`, native);
    assert.deepEqual([status, headers["sec-websocket-protocol"]], [101, "dormouse.v1"]);
  }
});

test("handshakes of broadcast sockets are answered as documented", async (t) => {
  const target = "/ws/channel/{name}";
  const dm = await serve(t);
  const token = dm.token("alice", { channels: ["private-x"] });
  const open = (at, options) => handshake(dm, target, { at: `/ws/channel/${at}`, ...options });
  await refused(426, "upgrade_required", call(dm, "GET", target, { at: "/ws/channel/.." }));
  await refused(400, "bad_request", open("x", { token, headers: { "Sec-WebSocket-Key": "short" } }));
  for (const offered of ["dormouse.v1", "chat, dormouse.v1.msgpack"]) await refused(400, "bad_request", open("x", { token, headers: { "Sec-WebSocket-Protocol": offered } }));
  await refused(400, "invalid_name", open(".."));
  await refused(400, "invalid_name", open("private-x?type=presence"));
  await refused(400, "invalid_field", open("x?type=secret"));
  await refused(401, "unauthorized", open("x"));
  await refused(401, "unauthorized", open("x", { headers: { Authorization: "Bearer junk" } }));
  await refused(403, "forbidden", open("private-y", { token }));
  await refused(403, "forbidden", open("x?type=presence", { token }));
  for (const at of ["x", "private-x?type=public", "x?type=private"]) assert.equal((await open(at, { token, headers: { "Sec-WebSocket-Protocol": "chat" } })).status, 101);
  const guests = await serve(t, { guests: true });
  const visit = (at) => handshake(guests, target, { at: `/ws/channel/${at}` });
  assert.equal((await visit("x")).status, 101);
  assert.equal((await visit("x?userId=zoe")).status, 101);
  await refused(400, "invalid_name", visit(`x?userId=${"x".repeat(123)}`));
  await refused(401, "unauthorized", visit("x?type=private"));
});

test("refusals of too much at once are as documented", async (t) => {
  const dm = await serve(t, { max_pending_requests: 4, shards: 1 });
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const as = (name) => ({ as: `Bearer ${dm.token(name, { scope: "publish" })}` });
  const body = { userId: "alice", timeoutMs: 20000 };
  const waiting = [];
  for (const options of [{}, {}, as("one"), as("two")]) {
    waiting.push(post(dm, "/publish", body, options));
    await alice.next();
    if (waiting.length === 2) await refused(429, "too_many_requests", post(dm, "/publish", body));
  }
  await refused(503, "overloaded", post(dm, "/publish", body, as("three")));
  await alice.close(1000);
  for (const { status } of await Promise.all(waiting)) assert.equal(status, 200);
});

test("refusals of what comes too often are as documented", async (t) => {
  const often = await serve(t, { rate_requests: 1 });
  await until("too often", async () => {
    const answer = await call(often, "GET", "/users/{id}/presence");
    return answer.status === 429 && refused(429, "rate_limited", Promise.resolve(answer)).then(() => true);
  });
  const failing = await serve(t, { rate_unauthenticated: 1 });
  await until("failed too often", async () => {
    const answer = await post(failing, "/publish", {}, { as: "Bearer junk" });
    return answer.status === 429 && refused(429, "too_many_failures", Promise.resolve(answer)).then(() => true);
  });
  const crowded = await serve(t, { max_connections_per_address: 1 });
  await crowded.connect("alice");
  await refused(429, "max_connections_per_address", handshake(crowded, "/", { token: crowded.token("bob") }));
});

test("refusals because of the auth hook are as documented", async (t) => {
  const { dm, hook } = await serveWithHook(t);
  const headers = { "x-forwarded-for": "192.0.2.1" };
  for (const { method, path: target, operation } of operations()) {
    const body = operation.requestBody ? {} : undefined;
    const opens = operation["x-who"] === "socket";
    const ask = (more) => (opens ? handshake(dm, target, { headers: { ...headers, ...more } }) : call(dm, method, target, { as: null, headers: { ...headers, ...more }, body }));
    hook.answer = () => ({ status: 500 });
    await refused(503, "hook_unavailable", ask());
    hook.answer = () => ({ status: 404 });
    await refused(401, "unauthorized", ask());
    if (method !== "GET" || opens) await refused(403, "bad_origin", ask({ origin: "https://evil.example" }));
  }
  hook.answer = () => ({ json: { userId: "zoe", scope: "publish" } });
  assert.equal((await post(dm, "/publish", { userId: "zoe" }, { as: null })).json.clientCount, 0);
  assert.equal((await handshake(dm, "/", {})).status, 101);
});

test("a store that takes no writes is answered as documented", async (t) => {
  const dm = await serve(t, { hibernate_after: "50ms" });
  const native = await Native.connect(dm, "bob");
  const holder = spawn("sqlite3", [dm.database], { stdio: ["pipe", "pipe", "inherit"] });
  afterwards(t, () => holder.kill("SIGKILL"));
  holder.stdin.write("begin immediate;\nselect 'held';\n");
  assert.match(`${(await once(holder.stdout, "data"))[0]}`, /held/);
  await (await dm.connect("alice")).subscribe(MESSAGE);
  await until("the store is down", async () => (await dm.get("/readyz")).status === 503, { ms: 30000 });
  await refused(503, "unavailable", call(dm, "GET", "/readyz"));
  await refused(503, "unavailable", handshake(dm, "/", { token: dm.token("bob"), headers: { "Sec-WebSocket-Protocol": "dormouse.v1" } }));
  assert.equal((await said(native, { type: "attach", attachment: 1, ref: 1 })).code, "unavailable");
  await refused(503, "unavailable", post(dm, "/publish", { userId: "alice", durable: true }));
  holder.stdin.end("rollback;\n");
  await until("the store is back", async () => (await dm.get("/readyz")).status === 200, { ms: 30000 });
});

test("a drain is answered as documented", async (t) => {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const answer = dm.publish({ userId: "alice", timeoutMs: 20000 });
  const envelope = await alice.next();
  const raw = await dm.raw();
  raw.write("GET /readyz HTTP/1.1\r\nHost: x\r\nX-Half:");
  await until("the connection is taken", async () => (await dm.metric("dormouse_http_connections")) >= 2);
  dm.process.kill("SIGTERM");
  await until("it drains", () => dm.log.includes("event=draining"));
  await until("it takes no more", () => dm.get("/healthz").then(() => false, () => true));
  raw.write(" way\r\n\r\n");
  const ready = await raw.response();
  await refused(503, "shutting_down", judged("GET", "/readyz", { ...ready, json: JSON.parse(ready.text) }));
  alice.ack(envelope);
  await answer;
  judgeClose(await alice.closing());
  assert.equal((await dm.exited).code, 0);
});

test("the frames that come are as documented", async (t) => {
  const dm = await serve(t);
  const alice = await dm.connect("zoë ü");
  alice.send("Ping");
  assert.equal(judgeFrame(await alice.nextText()), "pong");
  await alice.subscribe(MESSAGE, { type: "note" });
  for (const body of [{}, { payload: null }, { payload: { a: "é" } }, { payload: "pong" }, { type: "note", payload: [1e3] }]) {
    await dm.publish({ userId: "zoë ü", timeoutMs: 0, ...body });
    const envelope = judgeFrame(await alice.nextText());
    assert.deepEqual(["payload" in envelope, envelope.userId], ["payload" in body, "zoë ü"]);
  }
  for (const ts of [0, 1700000000123, 253402300799999]) {
    await dm.post("/users/zo%C3%AB%20%C3%BC/send", { type: "note", data: {}, ts });
    judgeFrame(await alice.nextText());
  }
  await dm.publish({ userId: "zoë ü", timeoutMs: 0, envelopeId: PUBLISHED.toUpperCase() });
  assert.equal(judgeFrame(await alice.nextText()).envelopeId, PUBLISHED);
  await dm.post("/publish", { userId: "zoë ü", timeoutMs: 0, type: "later", durable: true });
  await alice.subscribe({ type: "later" });
  const owed = judgeFrame(await alice.nextText());
  assert.equal(owed.redelivered, true);
  assert.ok(!fits(frameRef("serverFrame"), { ...owed, redelivered: false }));
});

test("the server and the schema agree on what is a filter", async (t) => {
  const dm = await serve(t);
  const fields = { k: "1", l: "2" };
  const filters = [
    { type: "t" }, { type: " t " }, { type: "t", k: "1" }, { type: "t", k: "1", l: "2" }, {}, { k: "1" }, { type: "" }, { type: " " }, { type: 7 },
    { type: "t", k: 1 }, { type: "t", k: null }, { type: "t", k: ["1"] }, "t", 7, null, ["t"], [{ type: "t" }],
  ];
  for (const filter of filters) {
    const client = await (await dm.connect("alice")).subscribe(filter);
    const { delivered } = await dm.publish({ userId: "alice", type: "t", payload: fields, timeoutMs: 0 });
    assert.equal(delivered === 1, fits(frameRef("filter"), filter), JSON.stringify(filter));
    await client.close(1000);
    await until("it is gone", async () => (await dm.get("/users/alice/presence")).json.connections === 0);
  }
});

test("the server and the schema agree on what a client may say", async (t) => {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  for (const text of ["ping", "PING", " pInG\n", "pingg", '"ping"', "pong", ""]) {
    alice.send(text);
    await alice.settle(); // ends at the first pong: the text's, or else that of its own ping
    if (fits(frameRef("clientFrame"), text)) assert.equal(await alice.nextText(), "pong", text);
    await alice.expectNothing();
  }
  for (const make of [
    (id) => ({ type: "ack", envelopeId: id }), (id) => ({ type: "ack", envelopeId: ` ${id} `, result: 1 }),
    (id) => ({ result: {}, envelopeId: id.toUpperCase(), type: "ack" }), (id) => ({ type: "ack", envelopeId: `{${id}}` }),
    (id) => ({ type: "ack", envelopeId: id.replaceAll("-", "") }), () => ({ type: "ack" }), () => ({ type: "ack", envelopeId: 7 }),
    (id) => ({ type: "Ack", envelopeId: id }), (id) => ({ type: "acknowledge", envelopeId: id }), (id) => ({ envelopeId: id }), (id) => [{ type: "ack", envelopeId: id }],
  ]) {
    const answer = dm.publish({ userId: "alice", timeoutMs: 300 });
    const { envelopeId } = await alice.next();
    const said = make(envelopeId);
    alice.send(said);
    assert.equal((await answer).results.length === 1, fits(frameRef("clientFrame"), said), JSON.stringify(said));
  }
  await alice.unsubscribe(MESSAGE);
  for (const said of [
    { type: "subscribe", filters: [MESSAGE] }, { type: "subscribe", filters: [7, MESSAGE], more: 1 }, { type: "subscribe", filters: MESSAGE },
    { type: "subscribe" }, { type: "Subscribe", filters: [MESSAGE] }, { filters: [MESSAGE] }, [{ type: "subscribe", filters: [MESSAGE] }],
  ]) {
    alice.send(said);
    await alice.settle();
    const { delivered } = await dm.publish({ userId: "alice", timeoutMs: 0 });
    assert.equal(delivered === 1, fits(frameRef("clientFrame"), said), JSON.stringify(said));
    await alice.unsubscribe(MESSAGE);
  }
});

test("the closes are as documented", async (t) => {
  const dm = await serve(t, { max_message: "1KiB" });
  for (const [code, bytes] of [
    [1002, frame(3, "x")], [1002, closeFrame(1005)], [1007, frame(OPCODE.text, Buffer.from([0xff]))], [1009, frame(OPCODE.text, "x".repeat(1025))],
  ]) {
    const raw = await dm.rawSocket("alice");
    raw.write(bytes);
    const close = await raw.close();
    assert.equal(close.code, code);
    judgeClose(close);
  }
  const alice = await dm.connect("alice");
  await alice.settle(); // her 101 may come before her shard has her socket
  await dm.post("/users/alice/disconnect");
  judgeClose(await alice.closing());
  const expiring = await serve(t, { expire_sessions: true });
  const bob = await expiring.connect("bob", { claims: soon(2) });
  judgeClose(await bob.closing());
  const unknown = [{ code: 1001, reason: "" }, { code: 1000, reason: "" }, { code: 1002, reason: "why" }];
  for (const close of unknown) for (const ref of [frameRef("close"), nativeRef("close")]) assert.ok(!fits(ref, close));
  assert.ok(!fits(frameRef("close"), { code: 4009, reason: "Resumed on another socket" }));
});

/** Says something on a native session; its answer, or undefined where there is none. An answer that waits for the store may come behind that of a later ping. */
async function said(client, message) {
  const awaited = fits(nativeRef("ref"), message?.ref) ? [message.ref, "behind"] : ["behind"];
  client.send(JSON.stringify(message));
  client.send({ type: "ping", ref: "behind" });
  const answers = [];
  while (!awaited.every((ref) => answers.some((answer) => answer.ref === ref))) answers.push(judgeNative(await client.next(20000)));
  const [answer, ...more] = answers.filter(({ ref }) => ref !== "behind");
  assert.deepEqual(more, []);
  if (answer?.type === "error") seen.native.add(answer.code);
  return answer;
}

test("the native frames that come are as documented", async (t) => {
  const dm = await serve(t);
  let alice = await Native.connect(dm, "zoë ü");
  judgeNative(alice.welcome);
  for (const type of ["message", "ok", "error", "welcome"])
    for (const more of [{}, { payload: null }, { payload: { a: "é" } }]) {
      await dm.publish({ userId: "zoë ü", type, timeoutMs: 0, ...more });
      const envelope = judgeNative(await alice.next());
      assert.deepEqual([envelope.type, "payload" in envelope], [type, "payload" in more]);
    }
  for (const attachment of [null, { seat: 7 }]) {
    assert.deepEqual(await said(alice, { type: "attach", ref: 1, attachment }), { type: "ok", ref: 1 });
    alice = await Native.connect(dm, "zoë ü", { resume: alice.welcome.resume });
    assert.deepEqual(judgeNative(alice.welcome).attachment, attachment ?? undefined);
  }
  const { envelopeId } = (await dm.post("/publish", { userId: "zoë ü", durable: true, timeoutMs: 0 })).json;
  assert.equal(judgeNative(await alice.next()).redelivered, undefined);
  alice = await Native.connect(dm, "zoë ü", { resume: alice.welcome.resume });
  const again = judgeNative(await alice.next());
  assert.deepEqual([again.envelopeId, again.redelivered], [envelopeId, true]);
  for (const wrong of [{ resume: "short" }, { resumed: false, attachment: 1 }, { attachment: null }, { resumed: undefined }, { more: 1 }])
    assert.ok(!fits(nativeRef("serverFrame"), JSON.parse(JSON.stringify({ ...alice.welcome, ...wrong }))), JSON.stringify(wrong));
});

const UUID = "01a1fe98-2495-710d-a3cf-bdb23555917e";
const NATIVE_MESSAGES = {
  good: [
    { type: "ping" }, { type: "ping", ref: "" }, { type: "ping", ref: 7.5 }, { type: "ping", ref: "x".repeat(198) }, { type: "ping", ref: null, more: 1 },
    { type: "subscribe", filters: [] }, { type: "subscribe", filters: [7, { type: "t" }] }, { type: "unsubscribe", filters: [{ type: "t" }] },
    { type: "ack", envelopeId: UUID }, { type: "ack", envelopeId: ` ${UUID.toUpperCase()} `, result: null },
    { type: "attach", attachment: null }, { type: "attach", attachment: [1] }, { type: "refresh", token: "" }, { type: "refresh", token: "x.y.z" },
    { type: "publish", envelope: { userId: "bob" } }, { type: "presence", channel: "c" }, { type: "join", channel: "c" }, { type: "join", channel: " c ", more: 1 },
    { type: "whisper", channel: "c" }, { type: "whisper", channel: "c", data: null }, { type: "presence", channel: "c" }, { type: "leave", channel: "c" },
    { type: "leave", channel: "x".repeat(200) },
  ],
  nameless: ["join", "leave", "whisper", "presence"].flatMap((type) => [{ type }, ...["", " ", 7, null, "..", "Private-c", "x".repeat(201)].map((channel) => ({ type, channel }))]),
  bad: [
    [], "ping", 7, null, {}, { type: 7 }, { type: "Ping" }, { type: " ping" }, { type: "dance" }, { type: "subscribe" }, { type: "subscribe", filters: {} },
    { type: "unsubscribe", filters: "t" }, { type: "ack" }, { type: "ack", envelopeId: 7 }, { type: "ack", envelopeId: `{${UUID}}` },
    { type: "ack", envelopeId: UUID.replaceAll("-", "") }, { type: "attach" }, { type: "refresh" }, { type: "refresh", token: null },
    { type: "publish" }, { type: "publish", userId: "bob" }, { type: "publish", envelope: ["bob"] },
    { type: "ping", ref: {} }, { type: "ping", ref: true }, { type: "ping", ref: ["r"] }, { type: "ping", ref: "x".repeat(199) }, { type: "join", ref: [] },
  ],
};

test("the server and the schema agree on what a native client may say", async (t) => {
  const dm = await serve(t);
  const alice = await Native.connect(dm, "alice");
  const isCommand = (message) => fits(nativeRef("clientFrame"), message);
  for (const message of NATIVE_MESSAGES.good) {
    assert.ok(isCommand(message), JSON.stringify(message));
    const answer = await said(alice, { ref: "r", ...message });
    assert.ok(!["invalid_json", "invalid_field", "invalid_channel", "forbidden"].includes(answer?.code) || message.type === "publish", JSON.stringify(answer));
  }
  for (const message of NATIVE_MESSAGES.nameless) {
    assert.ok(!isCommand(message), JSON.stringify(message));
    assert.equal((await said(alice, message)).code, "invalid_channel", JSON.stringify(message));
  }
  for (const message of NATIVE_MESSAGES.bad) {
    assert.ok(!isCommand(message), JSON.stringify(message));
    const isObject = message !== null && typeof message === "object" && !Array.isArray(message);
    assert.equal((await said(alice, message)).code, isObject ? "invalid_field" : "invalid_json", JSON.stringify(message));
  }
});

test("the server and the schema agree on what a native client may publish", async (t) => {
  const dm = await serve(t);
  const bob = await Native.connect(dm, "bob", { claims: { scope: "publish" } });
  const { good, bad } = BODIES["/publish Publish"];
  const commands = (bodies) => bodies.map((envelope) => ({ type: "publish", ref: 1, envelope }));
  for (const message of commands(good)) {
    assert.ok(fits(nativeRef("clientFrame"), message), JSON.stringify(message));
    const answer = await said(bob, message);
    assert.deepEqual([answer.type, answer.owed > 0], ["ok", isOwed(message.envelope)], JSON.stringify([message, answer]));
    assert.ok(fits(nativeRef("published"), answer));
  }
  for (const message of commands(bad)) {
    assert.ok(!fits(nativeRef("clientFrame"), message), JSON.stringify(message));
    const { code } = await said(bob, message);
    assert.ok(["invalid_field", "invalid_name", "invalid_channel", "user_id_required"].includes(code), JSON.stringify([message, code]));
  }
});

test("the answers to native publishes that cannot be carried out are as documented", async (t) => {
  const dm = await serve(t, { max_targets: 1, max_owed_per_user: 1, max_pending_requests: 1, shards: 1, open_publish: true });
  const alice = await Native.connect(dm, "alice");
  const bob = await Native.connect(dm, "bob", { claims: { scope: "publish" } });
  const code = async (fields, from = bob) => (await said(from, { type: "publish", ref: 1, envelope: fields })).code;
  assert.equal(await code({ userId: "bob" }, alice), "forbidden");
  assert.equal(await code({}), "user_id_required");
  assert.equal(await code({ userId: ".." }), "invalid_name");
  assert.equal(await code({ userIds: ["a", "b"] }), "too_many_targets");
  assert.equal(await code({ userId: "a", envelopeId: UUID }), undefined);
  assert.equal(await code({ userId: "b", envelopeId: UUID }), "conflict");
  assert.equal(await code({ userId: "a", durable: true }), undefined);
  assert.equal(await code({ userId: "a", durable: true }), "owed_too_much");
  for (const ref of ["one", "two"]) {
    bob.send({ type: "publish", ref, envelope: { userId: "alice", timeoutMs: 60000 } });
    judgeNative(await alice.next());
  }
  assert.equal(await code({ userId: "a" }), "overloaded");
  await alice.close(1000);
  const ended = [judgeNative(await bob.next()), judgeNative(await bob.next())];
  assert.deepEqual(ended.map(({ ref }) => ref).sort(), ["one", "two"]);
});

test("the answers to native commands that cannot be carried out are as documented", async (t) => {
  const dm = await serve(t, { max_attachment: "16", max_filters_per_session: 1, max_channels_per_user: 1 });
  const alice = await Native.connect(dm, "alice", { claims: { channels: ["private-a"] } });
  const code = async (message) => (await said(alice, { ref: 1, ...message })).code;
  assert.equal(await code({ type: "ack", envelopeId: UUID }), "not_found");
  assert.equal(await said(alice, { type: "ack", envelopeId: UUID }), undefined);
  assert.equal(await code({ type: "attach", attachment: "x".repeat(16) }), "too_large");
  assert.equal(await code({ type: "subscribe", filters: [{ type: "a" }, { type: "b" }] }), "too_many_filters");
  assert.equal(await code({ type: "refresh", token: "junk" }), "unauthorized");
  assert.equal(await code({ type: "refresh", token: dm.token("bob") }), "forbidden");
  for (const type of ["join", "presence"]) assert.equal(await code({ type, channel: "private-b" }), "forbidden");
  assert.equal(await code({ type: "whisper", channel: "private-a" }), "forbidden");
  assert.equal(await code({ type: "join", channel: "private-a" }), undefined);
  assert.equal(await code({ type: "join", channel: "c" }), "too_many_channels");
  const failing = await Native.connect(await serve(t, { rate_unauthenticated: 1 }), "alice");
  await until("its address is barred", async () => (await said(failing, { type: "refresh", ref: 1, token: "junk" })).code === "too_many_failures");
  const paced = await Native.connect(await serve(t, { rate_messages: 1 }), "alice");
  for (const expected of [{ type: "ok", ref: 1 }, "rate_limited"]) {
    const answer = await said(paced, { type: "ping", ref: 1 });
    assert.deepEqual(answer.code ?? answer, expected);
  }
});

test("the closes of native sessions are as documented", async (t) => {
  const dm = await serve(t, { max_message: "1KiB" });
  const alice = await Native.connect(dm, "alice");
  const later = await Native.connect(dm, "alice", { resume: alice.welcome.resume });
  const expiring = await Native.connect(dm, "alice", { claims: soon(2) });
  const loud = await Native.connect(dm, "alice");
  loud.send("x".repeat(1025));
  const codes = [];
  const judged = async (client) => {
    const close = await client.closing();
    judgeNativeClose(close);
    codes.push(close.code);
  };
  for (const client of [alice, loud, expiring]) await judged(client);
  await dm.post("/users/alice/disconnect");
  await judged(later);
  const last = await Native.connect(dm, "alice");
  await dm.stop();
  await judged(last);
  assert.deepEqual(codes, [4009, 1009, 4401, 1000, 1012]);
});

const GRANTED = { claims: { channels: ["presence-*"] } };

test("the native frames that tell of channels are as documented", async (t) => {
  const dm = await serve(t);
  const [alice, bob] = [await Native.connect(dm, "alice", GRANTED), await Native.connect(dm, "bob", GRANTED)];
  for (const client of [alice, bob]) assert.deepEqual(await said(client, { type: "join", ref: 1, channel: "presence-x" }), { type: "ok", ref: 1 });
  const joined = judgeNative(await alice.next());
  assert.deepEqual([joined.type, joined.channel, joined.payload.member.id], ["presence.join", "presence-x", "bob"]);
  const asked = await said(alice, { type: "presence", ref: 2, channel: "presence-x" });
  assert.ok(fits(nativeRef("present"), asked));
  assert.deepEqual(asked.members.map(({ id }) => id).sort(), ["alice", "bob"]);
  assert.deepEqual((await said(alice, { type: "presence", ref: 3, channel: "nobody" })).members, []);
  bob.send({ type: "whisper", channel: "presence-x", data: { typing: true } });
  const whisper = judgeNative(await alice.next());
  assert.deepEqual([whisper.type, whisper.channel, whisper.from, whisper.userId, whisper.payload], ["whisper", "presence-x", "bob", "alice", { typing: true }]);
  await dm.post("/channels/presence-x/send", { type: "note" });
  const note = judgeNative(await alice.next());
  assert.deepEqual([note.channel, "from" in note, "payload" in note], ["presence-x", false, false]);
  assert.equal(judgeNative(await bob.next()).userId, "bob");
  assert.deepEqual(await said(bob, { type: "leave", ref: 4, channel: "presence-x" }), { type: "ok", ref: 4 });
  const left = judgeNative(await alice.next());
  assert.deepEqual([left.type, left.payload], ["presence.leave", { member: { id: "bob" } }]);
  for (const wrong of [{ ...whisper, from: undefined }, { ...note, from: "bob" }, { ...joined, channel: undefined }, { ...left, payload: joined.payload }])
    assert.ok(!fits(nativeRef("serverFrame"), JSON.parse(JSON.stringify(wrong))), JSON.stringify(wrong));
});

test("the notifier frames are as documented, both ways", async (t) => {
  const dm = await serve(t);
  const alice = await dm.connect("alice", { path: "/ws" });
  await dm.call("PUT", "/channels/general/members/alice");
  const pong = { type: "pong" };
  for (const text of ['{"type":"ping"}', '{"more":1,"type":"ping"}', '{"type":"Ping"}', '{"type":" ping"}', "ping", "[]", '[{"type":"ping"}]', "{}", '{"type":7}', '{"type":"subscribe","channel":"x"}']) {
    alice.send(text);
    alice.send({ type: "ping" });
    if (text !== "ping" && fits(notifierRef("clientFrame"), JSON.parse(text))) assert.equal(await alice.nextText(), '{"type":"pong"}', text);
    assert.deepEqual(judgeNotifier(await alice.next()), pong, text);
  }
  alice.send(Buffer.from('{"type":"ping"}'));
  for (const body of [{}, { data: null }, { data: { a: "é" }, id: "order-7", ts: 1700000000123 }, { data: "x", ts: 0 }, { type: "pong" }])
    for (const target of ["/users/alice/send", "/channels/general/send"]) {
      const { id, ts } = (await dm.post(target, { type: "note", ...body })).json;
      const event = judgeNotifier(await alice.next());
      assert.deepEqual(event, { type: "note", ...body, id, ts, ...(target.includes("general") ? { channel: "general" } : {}) });
    }
  const published = await dm.publish({ channel: "general", payload: [1] });
  assert.deepEqual([published.clientCount, published.delivered], [0, 1]);
  assert.equal(judgeNotifier(await alice.next()).id, published.envelopeId);
  await dm.post("/users/alice/disconnect");
  judgeNotifierClose(await alice.closing());
});

test("the broadcast frames are as documented, both ways", async (t) => {
  const dm = await serve(t, { guests: true });
  const path = "/ws/channel/presence-x";
  const alice = await dm.connect("alice", { path, ...GRANTED });
  await until("alice is there", async () => (await dm.get("/channels/presence-x/presence")).json.members.length === 1);
  const bob = await dm.connect("bob", { path, ...GRANTED });
  const joined = judgeBroadcast(await alice.next());
  assert.deepEqual([joined.event, joined.data.member.id], ["presence:join", "bob"]);
  for (const message of [
    { event: "whisper", data: { a: "é" } }, { event: "whisper", data: null }, { event: "whisper", channel: "y", more: 1 }, { event: "Whisper", data: 1 }, { event: 7 }, {}, [], "x",
    { event: "presence:join", data: {} }, { type: "whisper", data: 1 }, { event: "message", data: 1 }, [{ event: "whisper" }],
  ]) {
    bob.send(JSON.stringify(message));
    bob.send({ event: "whisper", data: "end" });
    const heard = [];
    while (heard.at(-1)?.data !== "end") heard.push(judgeBroadcast(await alice.next()));
    const whispered = { event: "whisper", data: message.data === undefined ? {} : message.data };
    assert.deepEqual(heard.slice(0, -1), fits(broadcastRef("clientFrame"), message) ? [whispered] : [], JSON.stringify(message));
  }
  for (const body of [{}, { data: null }, { data: { a: 1 } }]) {
    await dm.post("/channels/x/broadcast", { event: "note", type: "presence", ...body });
    assert.deepEqual(judgeBroadcast(await alice.next()), { event: "note", data: {}, ...body });
  }
  await bob.close(1000);
  assert.deepEqual(judgeBroadcast(await alice.next()), { event: "presence:leave", data: { member: { id: "bob" } } });
  for (const wrong of [{ event: "x" }, { ...joined, data: { member: { id: "bob" } } }, { event: "whisper", data: 1, channel: "x" }]) assert.ok(!fits(broadcastRef("serverFrame"), wrong));
  const again = await dm.connect("alice", { path, ...GRANTED });
  await until("it listens", async () => (await dm.metric("dormouse_channel_listeners")) === 2);
  await dm.call("DELETE", "/channels/presence-x/members/alice");
  const closes = [await alice.closing(), await again.closing()];
  const last = await dm.connect("alice", { path, ...GRANTED });
  await until("it listens", async () => (await dm.metric("dormouse_channel_listeners")) === 1);
  await dm.call("DELETE", "/channels/presence-x");
  for (const close of [...closes, await last.closing()]) {
    judgeBroadcastClose(close);
    assert.equal(close.code, 4403);
  }
});

test("every operation was seen to succeed, and every documented code was seen", () => {
  const all = operations().map(({ method, path }) => `${method} ${path}`);
  assert.deepEqual([...seen.operations].sort(), all.sort());
  assert.deepEqual([...seen.codes, ...UNSEEN].sort(), Object.keys(documentedCodes()).sort());
  assert.deepEqual([...seen.native, ...UNSEEN].sort(), nativeCodes().sort());
});
