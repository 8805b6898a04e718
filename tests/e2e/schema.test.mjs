// schema/openapi.yaml, schema/hopeflow.json and schema/native.json say what the
// real server does: its routes, its answers, its error codes, its frames. No more
// and no less.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  bodyRef, compileAll, documentedCodes, errorsInSource, fits, frameRef, judgeAnswer, judgeClose, judgeFrame, judgeNative,
  judgeNativeClose, judgeShared, nativeCodes, nativeRef, openapi, operations, routesInSource, tablesServed,
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

const concrete = (target) => target.replace("{id}", "alice").replace("{envelopeId}", PUBLISHED);

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
  raw.write(upgrade({ path: target, ...options }));
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
    const methods = operations().filter(({ path }) => path === target).map(({ method }) => method);
    for (const method of methods) {
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
    const beside = await dm.get(`${target === "/" ? "" : concrete(target)}/x`);
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

test("refusals of requests are as documented", async (t) => {
  const dm = await serve(t, { max_body: "2KiB", max_header: "2KiB", max_targets: 3, max_connections_per_user: 1 });
  const user = `Bearer ${dm.token("alice")}`;
  const far = { "x-forwarded-for": "192.0.2.1" };
  for (const { method, path: target, operation } of operations()) {
    const who = operation["x-who"];
    const body = operation.requestBody ? {} : undefined;
    if (who !== "socket") {
      await refused(401, "unauthorized", call(dm, method, target, { as: null, headers: far, body }));
      await refused(403, "forbidden", call(dm, method, target, { as: user, headers: far, body }));
    }
    if (operation.requestBody) {
      await refused(415, "unsupported_media_type", call(dm, method, target, { body: "{}", headers: { "content-type": "text/plain" } }));
      await refused(400, "invalid_json", call(dm, method, target, { body: "[]" }));
    }
    if (target.includes("{id}")) await refused(400, "invalid_name", call(dm, method, target, { body: { type: "x" }, at: target.replace("{id}", "..") }));
    await refused(413, "too_large", call(dm, method, target, { body: " ".repeat(3000) }));
    await refused(417, "expectation_failed", call(dm, method, target, { headers: { expect: "a miracle" }, body: {} }));
    await refused(431, "headers_too_large", call(dm, method, target, { headers: { "x-long": "x".repeat(3000) } }));
    await refused(400, "bad_framing", twoHosts(dm, method, target));
  }
  await refused(400, "user_id_required", post(dm, "/publish", {}));
  await refused(400, "too_many_targets", post(dm, "/publish", { userIds: ["a", "b", "c", "d"] }));
  await refused(400, "too_many_targets", post(dm, "/users/send", { userIds: ["a", "b", "c", "d"], event: { type: "x" } }));
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
      { userId: null, userIds: ["a"] },
    ],
    bad: [
      [], {}, { userId: "" }, { userId: " " }, { userId: 7 }, { userId: null }, { userId: ".." }, { userId: "x".repeat(129) }, { userId: "a", userIds: ["b"] }, { userIds: [] },
      { userIds: "a" }, { userIds: [7] }, { userIds: ["a", ""] }, { userId: "a", timeoutMs: -1 }, { userId: "a", timeoutMs: 60001 },
      { userId: "a", timeoutMs: "1" }, { userId: "a", type: "$x" }, { userId: "a", type: " __x" },
      { userId: "a", type: "whisper" }, { userId: "a", type: "presence.join " }, { userId: "a", type: "x".repeat(1025) },
      { userId: "a", channel: "c" }, { userId: "a", envelopeId: "" }, { userId: "a", envelopeId: 7 }, { userId: "a", envelopeId: "01a1fe982495710da3cfbdb23555917e" },
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
  "/users/send SendToUsers": {
    good: [{ userIds: ["a"], event: { type: "t" } }, { userIds: [7, ".."], event: { type: "t" } }],
    bad: [{}, { userIds: ["a"] }, { userIds: [], event: { type: "t" } }, { userIds: "a", event: { type: "t" } }, { userIds: ["a"], event: {} }, { userIds: ["a"], event: "t" }],
  },
  "/users/{id}/disconnect Disconnect": {
    good: [{}, { reason: "bye" }, { reason: "" }, { reason: "x".repeat(123) }, { reason: null, more: 1 }],
    bad: [{ reason: 7 }, { reason: "x".repeat(124) }],
  },
};
for (const [what, { good, bad }] of Object.entries(BODIES))
  test(`the server and the schema agree on the bodies of ${what}`, async (t) => {
    const [target, schema] = what.split(" ");
    const dm = await serve(t);
    for (const body of good) {
      assert.ok(fits(bodyRef(schema), body), JSON.stringify(body));
      const answer = await post(dm, target, body);
      assert.equal(answer.status, body.durable ? 202 : 200, `${JSON.stringify(body)}: ${answer.text}`);
    }
    for (const body of bad) {
      assert.ok(!fits(bodyRef(schema), body), JSON.stringify(body));
      assert.equal((await post(dm, target, JSON.stringify(body))).status, 400, JSON.stringify(body));
    }
  });

test("handshakes are answered as documented", async (t) => {
  const dm = await serve(t, { max_connections_per_user: 1 });
  for (const target of ["/", "/connect"]) {
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
    { type: "publish", envelope: { userId: "bob" } },
  ],
  later: ["join", "leave", "whisper", "presence"].map((type) => ({ type, channel: "c" })),
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
  const kinds = (message) => ["clientFrame", "laterFrame"].filter((kind) => fits(nativeRef(kind), message));
  for (const message of NATIVE_MESSAGES.good) {
    assert.deepEqual(kinds(message), ["clientFrame"], JSON.stringify(message));
    const answer = await said(alice, { ref: "r", ...message });
    assert.ok(!["invalid_json", "invalid_field", "not_supported"].includes(answer?.code), JSON.stringify(answer));
  }
  for (const message of NATIVE_MESSAGES.later) {
    assert.deepEqual(kinds(message), ["laterFrame"]);
    assert.equal((await said(alice, message)).code, "not_supported", JSON.stringify(message));
  }
  for (const message of NATIVE_MESSAGES.bad) {
    assert.deepEqual(kinds(message), [], JSON.stringify(message));
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
    assert.deepEqual([answer.type, answer.owed > 0], ["ok", message.envelope.durable === true], JSON.stringify([message, answer]));
    assert.ok(fits(nativeRef("published"), answer));
  }
  for (const message of commands(bad)) {
    assert.ok(!fits(nativeRef("clientFrame"), message), JSON.stringify(message));
    const { code } = await said(bob, message);
    assert.ok(["invalid_field", "invalid_name", "user_id_required", "not_supported"].includes(code), JSON.stringify([message, code]));
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
  const dm = await serve(t, { max_attachment: "16", max_filters_per_session: 1 });
  const alice = await Native.connect(dm, "alice");
  const code = async (message) => (await said(alice, { ref: 1, ...message })).code;
  assert.equal(await code({ type: "ack", envelopeId: UUID }), "not_found");
  assert.equal(await said(alice, { type: "ack", envelopeId: UUID }), undefined);
  assert.equal(await code({ type: "attach", attachment: "x".repeat(16) }), "too_large");
  assert.equal(await code({ type: "subscribe", filters: [{ type: "a" }, { type: "b" }] }), "too_many_filters");
  assert.equal(await code({ type: "refresh", token: "junk" }), "unauthorized");
  assert.equal(await code({ type: "refresh", token: dm.token("bob") }), "forbidden");
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

test("every operation was seen to succeed, and every documented code was seen", () => {
  const all = operations().map(({ method, path }) => `${method} ${path}`);
  assert.deepEqual([...seen.operations].sort(), all.sort());
  assert.deepEqual([...seen.codes, ...UNSEEN].sort(), Object.keys(documentedCodes()).sort());
  assert.deepEqual([...seen.native, ...UNSEEN].sort(), nativeCodes().sort());
});
