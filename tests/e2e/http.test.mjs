// The HTTP edge: every refusal with its status, CORS, and requests that no
// well-behaved client would send.
import assert from "node:assert/strict";
import { upgrade } from "./lib/raw.mjs";
import { serve } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";
import { API_KEY } from "./lib/token.mjs";
import { sleep, until } from "./lib/wait.mjs";

const KEY = `Authorization: Bearer ${API_KEY}\r\n`;
const JSON_TYPE = "Content-Type: application/json\r\n";
const BODY = '{"userId":"alice","timeoutMs":0}';

/** A publish as raw text, with these header lines in place of Host and Content-Length. */
const rawPublish = (lines, body = BODY) => `POST /publish HTTP/1.1\r\n${KEY}${JSON_TYPE}${lines}\r\n${body}`;

test("every answer is JSON with an error, a code, and permissive CORS", async (t) => {
  const dm = await serve(t);
  const cases = [
    ["GET", "/nowhere", 404, "not_found"],
    ["GET", "/publish/", 404, "not_found"],
    ["GET", "/users/alice/x", 404],
    ["GET", "/users/alice/nothing", 404, "not_found"],
    ["GET", "/publish", 405, "method_not_allowed"],
    ["DELETE", "/users/send/x", 404, "not_found"],
    ["PUT", "/users/send", 405, "method_not_allowed"],
    ["GET", "/", 426, "upgrade_required"],
    ["GET", "/connect", 426, "upgrade_required"],
  ];
  for (const [method, target, status, code] of cases) {
    const answer = await dm.call(method, target);
    assert.equal(answer.status, status, `${method} ${target}: ${answer.text}`);
    assert.equal(answer.headers["content-type"], "application/json; charset=utf-8");
    assert.equal(answer.headers["access-control-allow-origin"], "*");
    assert.deepEqual(Object.keys(answer.json), ["error", "code"]);
    if (code) assert.equal(answer.json.code, code);
  }
  const good = await dm.get("/users/alice/presence");
  assert.equal(good.headers["content-type"], "application/json; charset=utf-8");
  assert.equal(good.headers["access-control-allow-origin"], "*");
});

test("/publish checks token, content type, JSON, fields, in that order, with the exact words", async (t) => {
  const dm = await serve(t);
  const publish = (body, type, as) =>
    dm.post("/publish", body, { headers: type ? { "content-type": type } : {}, ...(as === undefined ? {} : { as }) });
  for (const [answer, status, error] of [
    [await publish("{", "text/plain", null), 401, "Unauthorized"],
    [await publish("{", "text/plain"), 415, "Unsupported Media Type"],
    [await publish("{", "application/json"), 400, "Invalid JSON body"],
    [await publish("{}", "application/json"), 400, "userId is required"],
  ]) {
    assert.equal(answer.status, status);
    assert.equal(answer.json.error, error);
    assert.equal(answer.headers["access-control-allow-origin"], "*");
  }
  for (const body of ["", " ", "nul", "{]", '{"userId":"alice",}', '{"userId":"alice"} x', '{"userId":"a\nb"}'])
    assert.equal((await publish(body, "application/json")).json.error, "Invalid JSON body", JSON.stringify(body));
  assert.equal((await publish("\ufeff{}", "application/json")).json.error, "userId is required", "a byte order mark is passed over");
  const broken = Buffer.concat([Buffer.from('{"userId":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]);
  assert.equal((await publish(broken, "application/json")).json.error, "Invalid JSON body");
});

test("a body of another type than JSON is 415 everywhere; parameters and case do not matter", async (t) => {
  const dm = await serve(t);
  const status = async (target, type, body = BODY) =>
    (await dm.post(target, body, { headers: { "content-type": type } })).status;
  for (const type of ["text/plain", "application/jsonp", "application/json2", "application/x-www-form-urlencoded", "", "json"])
    for (const target of ["/publish", "/users/alice/send", "/users/send", "/users/alice/disconnect"])
      assert.equal(await status(target, type), 415, `${target} ${type}`);
  for (const type of ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/json;x=y"])
    assert.equal(await status("/publish", type), 200, type);
});

test("405 names the methods that the path has", async (t) => {
  const dm = await serve(t);
  const allow = async (method, target) => {
    const answer = await dm.call(method, target);
    assert.equal(answer.status, 405, `${method} ${target}`);
    return answer.headers.allow.split(/, */);
  };
  assert.ok((await allow("GET", "/publish")).includes("POST"));
  assert.ok(!(await allow("PUT", "/publish")).includes("PUT"));
  assert.ok((await allow("POST", "/users/alice/presence")).includes("GET"));
  assert.ok((await allow("PATCH", "/users/alice/disconnect")).includes("POST"));
  assert.ok((await allow("POST", "/healthz")).includes("GET"));
  assert.ok((await allow("DELETE", "/")).includes("GET"));
});

test("OPTIONS is a preflight's answer: 204, the route's methods, the headers it asks for", async (t) => {
  const dm = await serve(t);
  const answer = await dm.call("OPTIONS", "/publish", {
    as: null,
    headers: { origin: "https://app.example", "access-control-request-method": "POST", "access-control-request-headers": "authorization, content-type, x-more" },
  });
  assert.equal(answer.status, 204);
  assert.equal(answer.text, "");
  assert.equal(answer.headers["access-control-allow-origin"], "*");
  assert.ok(answer.headers["access-control-allow-methods"].includes("POST"));
  assert.equal(answer.headers["access-control-max-age"], "86400");
  for (const name of ["authorization", "content-type", "x-more"])
    assert.ok(answer.headers["access-control-allow-headers"].toLowerCase().includes(name), name);
  const presence = await dm.call("OPTIONS", "/users/alice/presence", { as: null });
  assert.equal(presence.status, 204);
  assert.ok(presence.headers["access-control-allow-methods"].includes("GET"));
  assert.ok(!presence.headers["access-control-allow-methods"].includes("POST"));
});

test("an origin in cors_origins is echoed with credentials, another is not", async (t) => {
  const dm = await serve(t, { cors_origins: "https://app.example,https://b.example:8443" });
  const ask = (origin, method = "POST") => dm.call(method, "/publish", { headers: { origin }, body: method === "POST" ? BODY : undefined });
  for (const origin of ["https://app.example", "https://b.example:8443"])
    for (const method of ["POST", "OPTIONS", "GET"]) {
      const { headers } = await ask(origin, method);
      assert.equal(headers["access-control-allow-origin"], origin, method);
      assert.equal(headers["access-control-allow-credentials"], "true");
      assert.match(headers.vary ?? "", /origin/i);
    }
  for (const origin of ["https://evil.example", "http://app.example", "https://app.example.evil", "https://app.example:1", "null"]) {
    const { headers } = await ask(origin);
    assert.notEqual(headers["access-control-allow-origin"], origin);
    assert.equal(headers["access-control-allow-credentials"], undefined);
  }
});

test("HEAD answers as GET does, without a body", async (t) => {
  const dm = await serve(t);
  const raw = await dm.raw();
  raw.write(`HEAD /users/alice/presence HTTP/1.1\r\nHost: x\r\n${KEY}\r\n`);
  const head = await raw.response({ head: true });
  assert.equal(head.status, 200);
  raw.write(`GET /users/alice/presence HTTP/1.1\r\nHost: x\r\n${KEY}\r\n`);
  const get = await raw.response();
  assert.deepEqual([get.status, JSON.parse(get.text).online], [200, false]);
  assert.equal((await dm.call("HEAD", "/publish")).status, 405);
  assert.equal((await dm.call("HEAD", "/nowhere")).status, 404);
});

test("a body over max_body is 413, and one of just that size is not", async (t) => {
  const dm = await serve(t, { max_body: "4KiB" });
  const sized = (bytes) => {
    const empty = JSON.stringify({ userId: "alice", timeoutMs: 0, payload: "" });
    return JSON.stringify({ userId: "alice", timeoutMs: 0, payload: "x".repeat(bytes - empty.length) });
  };
  assert.equal((await dm.post("/publish", sized(4096))).status, 200);
  const over = await dm.post("/publish", sized(4097)).catch((error) => error);
  assert.equal(over.status, 413, String(over));
  assert.equal(over.json.code, "too_large");
  assert.equal(over.headers["access-control-allow-origin"], "*");
});

test("an announced body over max_body is 413 before it is sent", async (t) => {
  const dm = await serve(t);
  const raw = await dm.raw();
  raw.write(rawPublish("Host: x\r\nContent-Length: 999999999999\r\n", ""));
  assert.equal((await raw.response()).status, 413);
  await raw.gone();
});

test("a chunked body is read like any other, and bounded like any other", async (t) => {
  const dm = await serve(t, { max_body: "4KiB" });
  const raw = await dm.raw();
  const half = BODY.length >> 1;
  const chunk = (text) => `${text.length.toString(16)}\r\n${text}\r\n`;
  raw.write(rawPublish("Host: x\r\nTransfer-Encoding: chunked\r\n", chunk(BODY.slice(0, half)) + chunk(BODY.slice(half)) + "0\r\n\r\n"));
  assert.equal((await raw.response()).status, 200);
  const big = await dm.raw();
  big.write(rawPublish("Host: x\r\nTransfer-Encoding: chunked\r\n", chunk("x".repeat(3000)) + chunk("x".repeat(3000))));
  assert.equal((await big.response()).status, 413);
});

test("after a chunked request the connection is closed: h2o's reading of chunk sizes is lax", async (t) => {
  const dm = await serve(t);
  const raw = await dm.raw();
  raw.write(rawPublish("Host: x\r\nTransfer-Encoding: chunked\r\n", "0x10\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"));
  assert.equal((await raw.response()).status, 400);
  await raw.gone();
  assert.ok(!raw.input.includes("200 OK"), "what was hidden in the body is no request");
});

test("a target in absolute form is taken", async (t) => {
  const dm = await serve(t);
  for (const target of ["http://example.test/healthz", "https://h/healthz"])
    assert.equal((await dm.get(target)).status, 200, target);
  assert.equal((await dm.get("http://example.test/users/alice/presence?x=1")).status, 200);
  assert.equal((await dm.get("http://example.test")).status, 426, "no path is /");
});

test("what h2o refuses by itself is counted, and has a code", async (t) => {
  const dm = await serve(t);
  const raw = await dm.raw();
  raw.write(rawPublish(`Host: x\r\nExpect: a miracle\r\nContent-Length: ${BODY.length}\r\n`));
  const answer = await raw.response();
  assert.equal(answer.status, 417);
  assert.match(answer.text, /"expectation_failed"/);
  assert.equal(await dm.metric('dormouse_refusals_total{reason="expectation_failed"}'), 1);
});

test("HEAD opens no WebSocket", async (t) => {
  const dm = await serve(t);
  const raw = await dm.raw();
  raw.write(upgrade({ method: "HEAD", token: dm.token("alice") }));
  await until("an answer", () => raw.input.includes("\r\n\r\n"));
  assert.match(raw.input.toString(), /^HTTP\/1.1 426 /);
});

test("what later versions will have is 404 with words that say so", async (t) => {
  const dm = await serve(t);
  for (const target of ["/ws/room/r", "/ws/router", "/rooms/r/info", "/topics/r/t/publish", "/users/a/sessions"]) {
    const answer = await dm.get(target);
    assert.equal(answer.status, 404, target);
    assert.match(answer.json.error, /^This version /, target);
  }
  for (const target of ["/wsx", "/publish/x"]) assert.equal((await dm.get(target)).json.error, "Not found", target);
});

test("fields that are null are not there", async (t) => {
  const dm = await serve(t);
  const nulls = { channel: null, envelopeId: null, durable: null, ttlSeconds: null, userIds: null, timeoutMs: null, type: null };
  assert.equal((await dm.post("/publish", { userId: "alice", ...nulls })).status, 200);
  assert.equal((await dm.post("/publish", { userId: null })).json.error, "userId is required");
  assert.equal((await dm.post("/users/alice/send", { type: "t", id: null, ts: null })).status, 200);
  assert.equal((await dm.post("/users/alice/disconnect", { reason: null })).status, 200);
});

test("requests that do not arrive whole take a bounded amount of memory", async (t) => {
  const dm = await serve(t, { request_timeout: "60s", shards: 2 });
  const raws = [];
  for (let i = 0; i < 400; i++) {
    const raw = await dm.raw();
    raw.write(rawPublish(`Host: x\r\nContent-Length: ${1024 * 1024}\r\n`, "x".repeat(1000 * 1000)));
    raws.push(raw);
  }
  await until("the oldest are ended", () => raws.filter((raw) => raw.ended).length >= 100, { ms: 20000 });
  const open = raws.filter((raw) => !raw.ended).length;
  assert.ok(open > 100, `${open} are still open`);
  assert.equal((await dm.get("/healthz")).status, 200);
});

test("headers that are too large are 431, those of an ordinary large token are not", async (t) => {
  const dm = await serve(t);
  assert.equal((await dm.get("/users/alice/presence", { headers: { "x-large": "x".repeat(6000) } })).status, 200);
  const raw = await dm.raw();
  raw.write(`GET /users/alice/presence HTTP/1.1\r\nHost: x\r\n${KEY}X-Large: ${"x".repeat(40000)}\r\n\r\n`);
  assert.equal((await raw.response()).status, 431);
});

test("headers without end are cut off", async (t) => {
  const dm = await serve(t);
  const raw = await dm.raw();
  raw.write("GET / HTTP/1.1\r\nHost: x\r\nX: ");
  let sent = 0;
  while (!raw.ended && sent < 64) {
    raw.write("x".repeat(1024 * 1024));
    sent++;
    await sleep(20);
  }
  assert.ok(raw.ended, `${sent} MiB were taken`);
  assert.match(raw.input.toString("latin1"), /^(HTTP\/1\.1 4(00|31) |$)/);
});

test("a request that asks for 100-continue gets its answer", async (t) => {
  const dm = await serve(t);
  const raw = await dm.raw();
  raw.write(rawPublish(`Host: x\r\nContent-Length: ${BODY.length}\r\nExpect: 100-continue\r\n`, ""));
  const first = await raw.response();
  if (first.status === 100) {
    raw.write(BODY);
    assert.equal((await raw.response()).status, 200);
  } else assert.ok([200, 417].includes(first.status));
});

test("paths are split raw at / and decoded once; . and .. are no names", async (t) => {
  const dm = await serve(t);
  const status = async (target) => {
    const raw = await dm.raw();
    raw.write(`GET ${target} HTTP/1.1\r\nHost: x\r\n${KEY}\r\n`);
    return (await raw.response()).status;
  };
  assert.equal(await status("/users/a%2Fb/presence"), 200);
  assert.equal(await status("/users/%61lice/presence?x=/y"), 200);
  assert.equal(await status("/users/a/b/presence"), 404);
  assert.equal(await status("/users/..%2F..%2Fhealthz/presence"), 200);
  for (const name of [".", "..", "%2e", "%2E%2e", ".%2E", "a%00b", "a%0Ab", "%ff", "%c3%28", "%zz", "%2", "%", "x".repeat(129), "%E2%80%8B"])
    assert.equal(await status(`/users/${name}/presence`), 400, name);
  for (const target of ["/users//presence", "/users/alice/presence/", "//users/alice/presence", "/users/../healthz", "/./healthz"])
    assert.ok([400, 404].includes(await status(target)), target);
});

// What two parsers could read in two ways is answered once at most, and ends the connection.
const SMUGGLED = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
const AMBIGUOUS = {
  "Content-Length with Transfer-Encoding": rawPublish(`Host: x\r\nContent-Length: ${BODY.length}\r\nTransfer-Encoding: chunked\r\n`, "0\r\n\r\n"),
  "Transfer-Encoding with Content-Length": rawPublish(`Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n`, "0\r\n\r\n"),
  "two Content-Lengths": rawPublish(`Host: x\r\nContent-Length: ${BODY.length}\r\nContent-Length: 3\r\n`),
  "two equal Content-Lengths": rawPublish(`Host: x\r\nContent-Length: ${BODY.length}\r\nContent-Length: ${BODY.length}\r\n`),
  "a list of Content-Lengths": rawPublish(`Host: x\r\nContent-Length: ${BODY.length}, ${BODY.length}\r\n`),
  "a signed Content-Length": rawPublish(`Host: x\r\nContent-Length: +${BODY.length}\r\n`),
  "a Content-Length with a letter": rawPublish(`Host: x\r\nContent-Length: ${BODY.length}x\r\n`),
  "an empty Content-Length": rawPublish("Host: x\r\nContent-Length: \r\n"),
  "two Transfer-Encodings": rawPublish("Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
  "an unknown Transfer-Encoding": rawPublish("Host: x\r\nTransfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
  "no Host": rawPublish(`Content-Length: ${BODY.length}\r\n`),
  "two Hosts": rawPublish(`Host: x\r\nHost: y\r\nContent-Length: ${BODY.length}\r\n`),
  "a bare LF between headers": rawPublish(`Host: x\nContent-Length: ${BODY.length}\r\n`),
  "bare LFs throughout": "GET /healthz HTTP/1.1\nHost: x\n\n",
  "a space before the colon": rawPublish(`Host: x\r\nContent-Length : ${BODY.length}\r\n`),
  "a folded header": rawPublish(`Host: x\r\nX-A: b\r\n Content-Length: 3\r\nContent-Length: ${BODY.length}\r\n`),
};
for (const [what, bytes] of Object.entries(AMBIGUOUS))
  test(`a request with ${what} is 400 and ends the connection`, async (t) => {
    const dm = await serve(t, { request_timeout: "2s", handshake_timeout: "2s" });
    const raw = await dm.raw();
    raw.write(bytes, SMUGGLED);
    await raw.gone();
    const seen = raw.input.toString("latin1");
    assert.equal(seen.match(/^HTTP\/1\.1 \d{3} /gm)?.length ?? 0, seen === "" ? 0 : 1, seen);
    if (seen !== "") assert.match(seen, /^HTTP\/1\.1 400 /);
  });

test("junk on the port is closed, and harms nobody", async (t) => {
  const dm = await serve(t, { handshake_timeout: "1s" });
  const alice = await dm.connect("alice");
  for (const junk of [
    "\u0000".repeat(100), "GET\r\n\r\n", "GET / HTTP/9.9\r\nHost: x\r\n\r\n", "\r\n\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", "\u0016\u0003\u0001\u0002\u0000\u0001\u0000", "x".repeat(50000), "GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
  ]) {
    const raw = await dm.raw();
    raw.write(junk);
    await sleep(20);
    raw.destroy();
  }
  await alice.expectNothing();
  assert.equal((await dm.get("/healthz")).status, 200);
});

test("HTTP/1.0 and Connection: close end the connection after the answer, keep-alive does not", async (t) => {
  const dm = await serve(t);
  for (const request of ["GET /healthz HTTP/1.0\r\n\r\n", "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"]) {
    const raw = await dm.raw();
    raw.write(request);
    assert.equal((await raw.response()).status, 200);
    await raw.gone();
  }
  const raw = await dm.raw();
  for (let i = 0; i < 3; i++) {
    raw.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert.equal((await raw.response()).status, 200);
  }
  assert.equal(raw.ended, false);
});

test("more requests in wait than max_pending_requests are 503, more than its share for one caller 429", async (t) => {
  const dm = await serve(t, { max_pending_requests: 4, shards: 1 });
  const alice = await (await dm.connect("alice")).subscribe({ type: "message" });
  const body = { userId: "alice", timeoutMs: 20000 };
  const publisher = (name) => ({ as: `Bearer ${dm.token(name, { scope: "publish" })}` });
  const envelopes = [];
  const waiting = [];
  const wait = async (options) => {
    waiting.push(dm.post("/publish", body, options));
    envelopes.push(await alice.next());
  };
  await wait();
  await wait();
  const greedy = await dm.post("/publish", body);
  assert.deepEqual([greedy.status, greedy.json], [429, { error: "Too many requests", code: "too_many_requests" }]);
  assert.ok(Number(greedy.headers["retry-after"]) >= 1);
  await wait(publisher("one"));
  await wait(publisher("two"));
  const refused = await dm.post("/publish", body, publisher("three"));
  assert.deepEqual([refused.status, refused.json.code], [503, "overloaded"]);
  for (const envelope of envelopes) alice.ack(envelope, 1);
  for (const answer of await Promise.all(waiting)) assert.deepEqual(answer.json.results, [1]);
  await dm.publish({ userId: "bob" });
});

test("what later versions bring is 400 or 404, with a message", async (t) => {
  const dm = await serve(t);
  for (const [method, target, body] of [
    ["GET", "/rooms/x/info"], ["POST", "/topics/x/y/publish", { type: "x" }], ["GET", "/ws/room/x"],
    ["GET", "/users/alice/sessions"],
  ]) {
    const answer = await dm.call(method, target, { body });
    assert.ok([400, 404].includes(answer.status), `${method} ${target}: ${answer.status}`);
    assert.ok(answer.json.error);
  }
});
