// The auth hook: who somebody is that brings no token, as the user's own backend says.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Client, Refused } from "./lib/client.mjs";
import { env, Hook, HOOK_SECRET, serveWithHook } from "./lib/hook.mjs";
import { upgrade } from "./lib/raw.mjs";
import { BIN, cleanEnv, serve, tempDir } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";
import { certificate } from "./lib/tls.mjs";
import { now } from "./lib/token.mjs";
import { sleep, until, within } from "./lib/wait.mjs";

const MESSAGE = { type: "message" };
const BODY = { userId: "bob", timeoutMs: 0 };
const COOKIE = "session=zoe; theme=dark-and-secret";

const withCookie = (more = {}) => ({ as: null, headers: { cookie: COOKIE, ...more } });
const publish = (dm, headers) => dm.post("/publish", BODY, withCookie(headers));

async function connect(dm, { headers, protocols, target = "/" } = {}) {
  const client = await Client.open(dm.url + target, { headers: { cookie: COOKIE, ...headers }, protocols, tls: dm.tls });
  dm.clients.push(client);
  return client;
}

async function refusedUpgrade(dm, options) {
  const refusal = await connect(dm, options).then(() => assert.fail("it was let in"), (error) => error);
  assert.ok(refusal instanceof Refused, refusal.stack);
  return { status: refusal.status, code: JSON.parse(await refusal.body).code };
}

const outcome = ({ status, json }) => [status, json?.code];

test("a cookie opens a socket and publishes, and the hook is told what was asked", async (t) => {
  const { dm, hook } = await serveWithHook(t);
  dm.secrets.push(COOKIE, "dark-and-secret");
  hook.knowCookies({ scope: "publish" });
  const zoe = await (await connect(dm, { target: "/connect?a=b&c=%20d", headers: { "X-Odd": "caf\u00e9", Host: "rt.example" } })).subscribe(MESSAGE);
  const [asked] = hook.calls;
  const { method, path: target, query, headers } = JSON.parse(asked.text);
  assert.deepEqual([method, target, query], ["GET", "/connect", "a=b&c=%20d"]);
  assert.equal(headers.cookie, COOKIE);
  assert.equal(headers.host, "rt.example");
  assert.equal(headers["x-odd"], "caf\u00e9");
  assert.equal(headers["sec-websocket-version"], "13");
  assert.equal(asked.url, "/hook?x=1");
  const answer = await dm.post("/publish", { userId: "zoe", timeoutMs: 0 }, withCookie());
  assert.deepEqual([answer.status, answer.json.delivered], [200, 1]);
  assert.equal((await zoe.next()).userId, "zoe");
  assert.equal(hook.calls.length, 2);
  const told = JSON.parse(hook.calls[1].text);
  assert.deepEqual([told.method, told.path, told.query], ["POST", "/publish", ""]);
  assert.equal(hook.connections, 1, "the connection is kept");
});

test("headers that come several times are joined", async (t) => {
  const { dm, hook } = await serveWithHook(t);
  const raw = await dm.raw();
  raw.write("GET /users/a/presence HTTP/1.1\r\nHost: x\r\nX-Many: 1\r\nCookie: a=1\r\nx-many: 2\r\nCookie: b=2\r\nx-quote: \"\\\r\n\r\n");
  assert.equal((await raw.response()).status, 401);
  const { headers } = JSON.parse(hook.calls[0].text);
  assert.deepEqual(headers, { host: "x", "x-many": "1, 2", cookie: "a=1; b=2", "x-quote": '"\\' });
});

test("the hook is asked only of those who present nothing, where somebody is needed", async (t) => {
  const { dm, hook } = await serveWithHook(t, { open_publish: true });
  const expectUnasked = async (what, call, ...statuses) => {
    const { status } = await call;
    assert.ok(statuses.includes(status), `${what}: ${status}`);
    assert.equal(hook.calls.length, 0, what);
  };
  await expectUnasked("a bad token", dm.post("/publish", BODY, { as: "Bearer junk" }), 401);
  await expectUnasked("a Basic one", dm.post("/publish", BODY, { as: "Basic eA==" }), 401);
  await expectUnasked("an empty Bearer", dm.post("/publish", BODY, { as: "Bearer" }), 401);
  await expectUnasked("a bad ?token=", dm.post("/publish?token=junk", BODY, { as: null }), 401);
  await expectUnasked("an empty ?token=", dm.post("/publish?token=", BODY, { as: null }), 401);
  await expectUnasked("a broken ?token=", dm.post("/publish?token=%", BODY, { as: null }), 401);
  await expectUnasked("a good token", dm.post("/publish", BODY, { as: `Bearer ${dm.token("zoe")}` }), 200);
  await expectUnasked("a key", dm.post("/publish", BODY), 200);
  for (const target of ["/healthz", "/readyz", "/metrics"]) await expectUnasked(target, dm.get(target, { as: null }), 200);
  await expectUnasked("no such path", dm.get("/nowhere", { as: null }), 404);
  await expectUnasked("no such method", dm.get("/publish", { as: null }), 405);
  await expectUnasked("a preflight", dm.call("OPTIONS", "/publish", { as: null }), 204);
  await expectUnasked("no upgrade", dm.get("/", { as: null }), 426);
  hook.answer = () => ({ json: { userId: "zoe" } });
  const blank = await dm.post("/publish", BODY, { as: "  " });
  assert.deepEqual([blank.status, hook.calls.length], [200, 1]);
  const far = await dm.get("/metrics", { as: null, headers: { "x-forwarded-for": "192.0.2.1" } });
  assert.deepEqual([far.status, hook.calls.length], [403, 2]);
});

const soon = (seconds) => now() + seconds;
const ANSWERS = [
  [{ json: { userId: " zoe " } }, 200],
  [{ json: { userId: "zoe", scope: null, expiresAt: null, channels: 7, attachment: [1], more: { a: 1 } } }, 200],
  [{ json: { userId: "zoe", expiresAt: soon(60) } }, 200],
  [{ json: { userId: "zoe", expiresAt: soon(60) * 1000 } }, 200],
  [{ json: { userId: "zoe", expiresAt: 1e300 } }, 200],
  [{ text: ' {"userId":"a","userId":"zoe"}\n' }, 200],
  [{ json: { userId: "zoe" }, headers: { "content-type": "text/plain" } }, 200],
  [{ json: { userId: "zoe", expiresAt: soon(-1) } }, 401, "unauthorized"],
  [{ json: { userId: "zoe", expiresAt: soon(-1) * 1000 } }, 401, "unauthorized"],
  [{ json: { userId: "zoe", expiresAt: 0 } }, 401, "unauthorized"],
  ...[400, 401, 403, 404, 418, 429, 499].map((status) => [{ status, json: { userId: "zoe" } }, 401, "unauthorized"]),
  ...[201, 202, 204, 300, 304, 500, 502, 503, 599].map((status) => [{ status, json: status === 204 || status === 304 ? undefined : { userId: "zoe" } }, 503, "hook_unavailable"]),
  ...[301, 302, 303, 307, 308].map((status) => [{ status, headers: { location: "/elsewhere" }, json: { userId: "zoe" } }, 503, "hook_unavailable"]),
  ...["", " ", "zoe", '"zoe"', "[]", "null", "{", '{"userId":"zoe"}}', '{"userId":"zoe",}', '{"userId":"z\xff', "{'userId':'zoe'}"].map((text) => [{ text }, 503, "hook_unavailable"]),
  ...[undefined, null, 7, "", " ", ".", "..", "guest:zoe", "x".repeat(129), "a\u200bb", ["zoe"], "\ud800"].map((userId) => [{ json: { userId, sub: "zoe" } }, 503, "hook_unavailable"]),
  ...["soon", true, {}, []].map((expiresAt) => [{ json: { userId: "zoe", expiresAt } }, 503, "hook_unavailable"]),
  ["cut", 503, "hook_unavailable"],
  [{ json: { userId: "zoe", padding: "x".repeat(1 << 20) } }, 503, "hook_unavailable"],
  [{ json: { userId: "zoe", padding: "x".repeat((1 << 20) - 100) } }, 200],
  [{ json: { userId: "zoe" }, headers: { "x-long": "x".repeat(70_000) } }, 503, "hook_unavailable"],
];

test("each answer of the hook has its consequence", async (t) => {
  const { dm, hook } = await serveWithHook(t, { open_publish: true });
  for (const [answer, status, code] of ANSWERS) {
    const what = JSON.stringify(answer).slice(0, 200);
    hook.answer = () => answer;
    const before = hook.calls.length;
    const got = await publish(dm);
    assert.deepEqual(outcome(got), [status, code], `${what}: ${got.text}`);
    assert.equal(got.headers["retry-after"], status === 503 ? "1" : undefined);
    if (answer !== "cut") assert.equal(hook.calls.length, before + 1, what);
  }
  assert.ok(hook.calls.every(({ url }) => url === "/hook?x=1"), "no redirect is followed");
  hook.answer = () => ({ status: 403 });
  assert.deepEqual(await refusedUpgrade(dm), { status: 401, code: "unauthorized" });
  hook.answer = () => ({ status: 500 });
  assert.deepEqual(await refusedUpgrade(dm), { status: 503, code: "hook_unavailable" });
  const lines = dm.log.match(/event=hook_failed .*/g);
  assert.ok(lines.length >= 1 && lines.length < 30, `${lines.length} lines`);
  for (const line of lines) assert.ok(!/127\.0\.0\.1|zoe|hook\?x/.test(line), line);
});

test("what the hook says of a user counts as a token's claims do", async (t) => {
  const { dm, hook } = await serveWithHook(t);
  hook.answer = () => ({ json: { userId: "zoe" } });
  assert.deepEqual(outcome(await publish(dm)), [403, "forbidden"]);
  hook.answer = () => ({ json: { userId: "zoe", scope: "publish" } });
  assert.equal((await publish(dm)).status, 200);
  assert.equal((await dm.get("/users/a/presence", withCookie())).status, 403);
  hook.answer = () => ({ json: { userId: "zoe", scope: "admin" } });
  assert.equal((await dm.get("/users/a/presence", withCookie())).status, 200);
  for (const scale of [1, 1000]) {
    hook.answer = () => ({ json: { userId: "zoe", expiresAt: soon(2) * scale } });
    const native = await connect(dm, { protocols: ["dormouse.v1"] });
    assert.equal((await native.next()).userId, "zoe");
    assert.deepEqual(await native.closing(), { code: 4401, reason: "The token has expired" });
  }
});

test("a hook that is slow, dead, or gone is 503, and others are not told why", async (t) => {
  const { dm, hook } = await serveWithHook(t, { hook_timeout: "300ms" });
  hook.answer = () => "hang";
  const began = Date.now();
  const slow = await publish(dm);
  assert.deepEqual(outcome(slow), [503, "hook_unavailable"]);
  assert.ok(Date.now() - began >= 250 && Date.now() - began < 5000, `${Date.now() - began} ms`);
  assert.deepEqual(slow.json, { error: "The service that decides on this is unavailable", code: "hook_unavailable" });
  await hook.stop();
  assert.deepEqual(outcome(await publish(dm)), [503, "hook_unavailable"]);
  assert.deepEqual(await refusedUpgrade(dm), { status: 503, code: "hook_unavailable" });
  const metrics = await dm.metrics();
  assert.equal(metrics['dormouse_hook_calls_total{result="timeout"}'], 1);
  assert.equal(metrics['dormouse_hook_calls_total{result="failed"}'], 2);
  assert.equal(metrics.dormouse_hook_calls_open, 0);
});

test("a slow hook delays nobody else", async (t) => {
  const { dm, hook } = await serveWithHook(t, { hook_timeout: "60s" });
  hook.answer = () => "hang";
  const waiting = Array.from({ length: 300 }, () => publish(dm));
  await until("all wait", async () => (await dm.metric("dormouse_hook_calls_open")) === 300, { ms: 20000 });
  const took = [];
  for (let i = 0; i < 200; i++) {
    const began = performance.now();
    assert.equal((await dm.post("/publish", BODY)).status, 200);
    took.push(performance.now() - began);
  }
  took.sort((a, b) => a - b);
  assert.ok(took[197] < 250, `p99 ${took[197]} ms`);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  alice.autoAck(() => 1);
  assert.deepEqual((await dm.publish({ userId: "alice" })).results, [1]);
  assert.ok(hook.atOnce <= 64, `${hook.atOnce} at once`);
  hook.knowCookies({ scope: "publish" });
  hook.release({ json: { userId: "zoe", scope: "publish" } });
  for (const answer of await Promise.all(waiting)) assert.equal(answer.status, 200);
});

test("calls are bounded: more are refused at once", async (t) => {
  const { dm, hook } = await serveWithHook(t, { hook_timeout: "60s", max_pending_requests: 100000 });
  hook.answer = () => "hang";
  const one = "GET /users/a/presence HTTP/1.1\r\nHost: x\r\n\r\n";
  const raws = [];
  for (let i = 0; i < 1100; i++) raws.push(await dm.raw());
  const answers = raws.map((raw) => (raw.write(one), raw.response()));
  const early = [];
  for (const answer of answers) answer.then((got) => early.push(got));
  await until("those beyond the bound are refused", () => early.length === 76, { ms: 20000 });
  for (const { status, text } of early) assert.deepEqual([status, JSON.parse(text).code], [503, "hook_unavailable"]);
  const metrics = await dm.metrics();
  assert.equal(metrics.dormouse_hook_calls_open, 1024);
  assert.equal(metrics.dormouse_hook_queue_full_total, 76);
  hook.answer = () => ({ status: 401 });
  hook.release({ status: 401 });
  const all = await within(30000, "all answers", Promise.all(answers));
  assert.equal(all.filter(({ status }) => status === 401).length, 1024);
  assert.equal(await dm.metric("dormouse_hook_calls_open"), 0);
});

test("requests that wait for a hook take half of the places at most", async (t) => {
  const { dm, hook } = await serveWithHook(t, { hook_timeout: "60s", max_pending_requests: 10, shards: 1 });
  hook.answer = () => "hang";
  const waiting = Array.from({ length: 5 }, () => publish(dm));
  await until("they wait", () => hook.held.length === 5);
  assert.deepEqual(outcome(await publish(dm)), [503, "overloaded"]);
  assert.equal((await dm.post("/publish", BODY)).status, 200);
  hook.release({ status: 401 });
  for (const answer of waiting) assert.equal((await answer).status, 401);
});

test("the cache knows a yes for a while, and nobody else's", async (t) => {
  const { dm, hook } = await serveWithHook(t, { auth_cache: "2s", shards: 1 });
  hook.knowCookies({ scope: "publish" });
  for (let i = 0; i < 5; i++) assert.equal((await publish(dm)).status, 200);
  assert.equal(hook.calls.length, 1);
  assert.equal(await dm.metric("dormouse_hook_cache_hits_total"), 4);
  const other = { as: null, headers: { cookie: "session=bob; theme=dark" } };
  assert.equal((await dm.post("/publish", BODY, other)).status, 200);
  assert.equal(hook.calls.length, 2, "another cookie");
  for (let i = 0; i < 3; i++) await connect(dm);
  assert.equal(hook.calls.length, 3, "handshakes differ in their key, and in nothing else");
  await sleep(2100);
  assert.equal((await publish(dm)).status, 200);
  assert.equal(hook.calls.length, 4, "it is over");
  hook.answer = () => ({ status: 401 });
  const stranger = { as: null, headers: { cookie: "session=" } };
  for (let i = 0; i < 3; i++) assert.equal((await dm.post("/publish", BODY, stranger)).status, 401);
  assert.equal(hook.calls.length, 7, "a no is not kept");
  assert.deepEqual(outcome(await publish(dm, { origin: "https://evil.example" })), [403, "bad_origin"]);
});

test("the cache forgets at expiresAt, and does not keep what is large; it is off by default", async (t) => {
  const { dm, hook } = await serveWithHook(t, { auth_cache: "60s", shards: 1 });
  hook.answer = () => ({ json: { userId: "zoe", scope: "publish", expiresAt: Date.now() + 1500 } });
  for (let i = 0; i < 2; i++) assert.equal((await publish(dm)).status, 200);
  assert.equal(hook.calls.length, 1);
  await sleep(1600);
  assert.equal((await publish(dm)).status, 200);
  assert.equal(hook.calls.length, 2);
  hook.answer = () => ({ json: { userId: "zoe", scope: "publish", padding: "x".repeat(5000) } });
  for (let i = 0; i < 2; i++) assert.equal((await publish(dm, { "x-other": "1" })).status, 200);
  assert.equal(hook.calls.length, 4);
  const without = await serveWithHook(t);
  without.hook.knowCookies({ scope: "publish" });
  for (let i = 0; i < 2; i++) assert.equal((await publish(without.dm)).status, 200);
  assert.equal(without.hook.calls.length, 2);
});

test("pages of strangers may not use a cookie", async (t) => {
  const { dm, hook } = await serveWithHook(t, { cors_origins: "https://app.example" });
  hook.knowCookies({ scope: "publish admin" });
  const host = { host: "rt.example:8443" };
  const own = ["https://rt.example:8443", "http://rt.example:8443", "https://RT.example:8443", "https://app.example"];
  for (const origin of own) {
    assert.equal((await publish(dm, { ...host, origin })).status, 200, origin);
    await connect(dm, { headers: { ...host, origin } });
  }
  assert.equal((await publish(dm, { host: "rt.example:443", origin: "https://rt.example" })).status, 200);
  assert.equal((await publish(dm, { host: "rt.example" })).status, 200, "no Origin");
  const calls = hook.calls.length;
  const strange = ["https://evil.example", "null", "https://rt.example", "https://rt.example:8444", "https://xrt.example:8443",
    "https://rt.example:8443.evil.example", "rt.example:8443", "https://app.example:8443", "https://"];
  for (const origin of strange) {
    assert.deepEqual(outcome(await publish(dm, { ...host, origin })), [403, "bad_origin"], origin);
    assert.deepEqual(await refusedUpgrade(dm, { headers: { ...host, origin } }), { status: 403, code: "bad_origin" }, origin);
  }
  assert.equal(hook.calls.length, calls, "the hook is not asked");
  const read = await dm.get("/users/a/presence", withCookie({ ...host, origin: "https://evil.example" }));
  assert.equal(read.status, 200, "what changes nothing may be asked: the page cannot read it");
  const token = { as: `Bearer ${dm.token("zoe", { scope: "publish" })}`, headers: { origin: "https://evil.example" } };
  assert.equal((await dm.post("/publish", BODY, token)).status, 200, "a token is no cookie");
});

test("clients that leave before the hook answers harm nothing", async (t) => {
  const { dm, hook } = await serveWithHook(t, { hook_timeout: "2s" });
  hook.answer = () => "hang";
  for (let round = 0; round < 3; round++) {
    const raws = [];
    for (let i = 0; i < 20; i++) {
      const raw = await dm.raw();
      raw.write(i % 2 ? upgrade({ headers: { cookie: COOKIE } }) : "GET /users/a/presence HTTP/1.1\r\nHost: x\r\n\r\nGET /users/b/presence HTTP/1.1\r\nHost: x\r\n\r\n");
      raws.push(raw);
    }
    await until("they wait", () => hook.held.length >= 20); // some of the last round may still come
    for (const raw of raws) raw.destroy();
    await sleep(50);
    const over = async () => {
      if (round < 2) hook.release({ json: { userId: "zoe", scope: "admin" } }); // and what was behind the first request
      const samples = await dm.metrics();
      return samples.dormouse_hook_calls_open === 0 && samples.dormouse_http_pending === 0;
    };
    await until("all is over", over);
    hook.held = [];
  }
  await until("no request waits", async () => (await dm.metric("dormouse_http_pending")) === 0);
  await until("no session is left", async () => (await dm.metric("dormouse_sessions")) === 0);
});

test("a drain lets hooks answer", async (t) => {
  const { dm, hook } = await serveWithHook(t, { hook_timeout: "30s" });
  hook.answer = () => "hang";
  const answer = publish(dm);
  await until("it waits", () => hook.held.length === 1);
  dm.process.kill("SIGTERM");
  await until("it drains", () => dm.log.includes("event=draining"));
  await sleep(100);
  hook.release({ status: 401 });
  assert.equal((await answer).status, 401);
  assert.equal((await within(8000, "the end", dm.exited)).code, 0);
});

test("a drain does not wait for a hook that hangs", async (t) => {
  const { dm, hook } = await serveWithHook(t, { hook_timeout: "60s", drain_timeout: "500ms" });
  hook.answer = () => "hang";
  const answers = Array.from({ length: 100 }, () => publish(dm).then(outcome, () => "cut"));
  await until("they wait", async () => (await dm.metric("dormouse_hook_calls_open")) === 100);
  dm.process.kill("SIGTERM");
  assert.equal((await within(8000, "the end", dm.exited)).code, 0);
  for (const answer of await Promise.all(answers)) if (answer !== "cut") assert.deepEqual(answer, [503, "hook_unavailable"]);
});

test("refusals by the hook count as failed authentications", async (t) => {
  const { dm, hook } = await serveWithHook(t, { rate_unauthenticated: 2 });
  await until("it is barred", async () => (await publish(dm)).status === 429);
  const { length } = hook.calls;
  assert.equal((await publish(dm)).status, 429);
  assert.ok(hook.calls.length <= length + 1, "barred ones are not asked of");
});

test("a hook behind a unix socket, and one behind TLS", async (t) => {
  const dir = tempDir(t);
  const socket = path.join(dir, "hook.sock");
  const local = await serveWithHook(t, {}, { listen: { path: socket } });
  local.hook.knowCookies({ scope: "publish" });
  assert.equal((await publish(local.dm)).status, 200);
  assert.equal(local.hook.calls[0].url, "/");
  const deeper = await serve(t, { auth_url: `unix:${socket}:/a/b?c` }, env);
  assert.equal((await publish(deeper)).status, 200);
  assert.equal(local.hook.calls[1].url, "/a/b?c");
  const { tls_cert, tls_key } = certificate(dir);
  const tls = { cert: readFileSync(tls_cert), key: readFileSync(tls_key) };
  const secure = await serveWithHook(t, {}, { tls, env: { SSL_CERT_FILE: tls_cert } });
  secure.hook.knowCookies({ scope: "publish" });
  assert.equal((await publish(secure.dm)).status, 200);
  const doubting = await serveWithHook(t, {}, { tls });
  doubting.hook.knowCookies({ scope: "publish" });
  assert.deepEqual(outcome(await publish(doubting.dm)), [503, "hook_unavailable"]);
  assert.equal(doubting.hook.calls.length, 0);
});

test("the environment's proxy is not asked", async (t) => {
  const { dm, hook } = await serveWithHook(t, {}, { env: { http_proxy: "http://127.0.0.1:9", all_proxy: "http://127.0.0.1:9" } });
  hook.knowCookies({ scope: "publish" });
  assert.equal((await publish(dm)).status, 200);
});

test("SIGHUP brings a new secret", async (t) => {
  const file = path.join(tempDir(t), "secret");
  writeFileSync(file, `${HOOK_SECRET}\n`, { mode: 0o600 });
  const hook = await Hook.start(t);
  const dm = await serve(t, { auth_url: hook.url, hook_secret_file: file });
  hook.knowCookies({ scope: "publish" });
  assert.equal((await publish(dm)).status, 200);
  hook.secret = "another-hook-secret-of-more-than-32-bytes";
  writeFileSync(file, `${hook.secret}\n${HOOK_SECRET}\n`, { mode: 0o600 });
  dm.process.kill("SIGHUP");
  await until("it has reloaded", () => dm.log.includes("event=reloaded"));
  assert.equal((await publish(dm)).status, 200);
  assert.deepEqual(hook.faults, []);
});

test("URLs that are not safe, and secrets that are weak, are refused at the start", (t) => {
  const check = (settings, more = env) =>
    spawnSync(BIN, ["check-config", ...Object.entries(settings).map(([key, value]) => `--${key.replaceAll("_", "-")}=${value}`)], { env: cleanEnv(more), encoding: "utf8" });
  for (const url of ["https://hooks.example/a", "http://127.0.0.1:1", "http://[::1]:1/x", "http://localhost/", "unix:/run/x.sock", ""]) {
    const { status, stderr } = check({ auth_url: url, authorize_url: url });
    assert.equal(status, 0, `${url}: ${stderr}`);
  }
  for (const [url, why] of [
    ["http://hooks.example/", /--authorize-url: authorize_url: must be https/],
    ["ftp://127.0.0.1/", /must be an https:/],
    ["hooks.example", /must be an https:/],
  ]) {
    const { status, stderr } = check({ authorize_url: url });
    assert.equal(status, 1);
    assert.match(stderr, why);
  }
  assert.equal(check({ auth_url: "http://hooks.example/", hook_insecure: true }).status, 0);
  assert.match(check({ auth_url: "https://a.example" }, {}).stderr, /auth_url: needs hook_secret/);
  assert.match(check({}, { DORMOUSE_HOOK_SECRET: "short" }).stderr, /hook_secret: entry 1 is shorter than 32 bytes/);
});
