// The authorize hook: whether a user may enter a channel that its token does not grant, by every way into one.
import assert from "node:assert/strict";
import { Client, Refused } from "./lib/client.mjs";
import { serveWithAuthorize } from "./lib/hook.mjs";
import { Native } from "./lib/native.mjs";
import { upgrade } from "./lib/raw.mjs";
import { serve } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";
import { sleep, until, within } from "./lib/wait.mjs";

const YES = { json: { allow: true } };
const NO = { status: 403 };
const COOKIE = "session=zoe; theme=dark-and-secret";

const as = (dm, user, claims) => ({ as: `Bearer ${dm.token(user, claims)}` });
const outcome = ({ status, json }) => [status, json?.code];
const members = async (dm, channel) => (await dm.get(`/channels/${channel}/members`)).json.members;
const isMember = (dm, channel, user) => until(`${user} is in ${channel}`, async () => (await members(dm, channel)).includes(user));

async function knock(dm, target, { as: authorization, headers = {} } = {}) {
  const client = Client.open(dm.url + target, { headers: { ...(authorization && { authorization }), ...headers }, tls: dm.tls });
  try {
    dm.clients.push(await client);
    return [101, undefined];
  } catch (error) {
    assert.ok(error instanceof Refused, error.stack);
    return [error.status, JSON.parse(await error.body).code];
  }
}

async function command(dm, user, claims, type, channel) {
  const native = await Native.connect(dm, user, { claims });
  const answer = await native.command(type, { channel });
  return [answer.type, answer.code];
}

/** Each way in: what is asked of which channel, and what is said to a yes, a no, and where nobody can say. */
const HTTP = { yes: [200, undefined], no: [403, "forbidden"], unknown: [503, "hook_unavailable"] };
const UPGRADE = { ...HTTP, yes: [101, undefined] };
const FRAME = { yes: ["ok", undefined], no: ["error", "forbidden"], unknown: ["error", "hook_unavailable"] };
const WAYS = {
  "POST /channels/subscribe": { ...HTTP, enter: async (dm, user, claims) => outcome(await dm.post("/channels/subscribe", { channel: " private-a " }, as(dm, user, claims))) },
  "GET presence": { ...HTTP, enter: async (dm, user, claims) => outcome(await dm.get("/channels/private-a/presence", as(dm, user, claims))) },
  "GET presence by type": { ...HTTP, enter: async (dm, user, claims) => outcome(await dm.get("/channels/a/presence?type=private", as(dm, user, claims))) },
  "/ws/channel/private-a": { ...UPGRADE, enter: (dm, user, claims) => knock(dm, "/ws/channel/private-a", as(dm, user, claims)) },
  "/ws/channel/a?type=private": { ...UPGRADE, enter: (dm, user, claims) => knock(dm, "/ws/channel/a?type=private", as(dm, user, claims)) },
  join: { ...FRAME, enter: (dm, user, claims) => command(dm, user, claims, "join", "private-a") },
  presence: { ...FRAME, enter: (dm, user, claims) => command(dm, user, claims, "presence", "private-a") },
};

const ANSWERS = [
  [YES, "yes"],
  [{ json: { allow: true, more: [1] }, headers: { "content-type": "text/plain" } }, "yes"],
  [{ json: { allow: false } }, "no"],
  [{ json: { allow: "true" } }, "no"],
  [{ json: { allow: 1 } }, "no"],
  [{ json: { ALLOW: true } }, "no"],
  [{ json: {} }, "no"],
  [{ json: true }, "no"],
  [{ json: [{ allow: true }] }, "no"],
  [{ text: '{"allow":true,"allow":false}' }, "no"],
  [{ ...YES, status: 201 }, "no"],
  [{ ...YES, status: 302, headers: { location: "/elsewhere" } }, "no"],
  [{ ...YES, status: 401 }, "no"],
  [{ ...YES, status: 404 }, "no"],
  [{ text: "" }, "unknown"],
  [{ text: "{allow:true}" }, "unknown"],
  [{ text: '{"allow":true}}' }, "unknown"],
  [{ json: { allow: true, padding: "x".repeat(1 << 20) } }, "unknown"],
  [{ ...YES, status: 500 }, "unknown"],
  [{ ...YES, status: 503 }, "unknown"],
  ["cut", "unknown"],
];

test("each answer of the hook has its consequence, by each way", async (t) => {
  const { dm, hook } = await serveWithAuthorize(t);
  let n = 0;
  for (const [answer, means] of ANSWERS)
    for (const [way, { enter, ...said }] of Object.entries(WAYS)) {
      const what = `${way}, ${JSON.stringify(answer).slice(0, 120)}`;
      const before = hook.calls.length;
      hook.answer = () => answer;
      const user = `user${n++}`; // a member would be let in for that
      assert.deepEqual(await enter(dm, user), said[means], what);
      if (answer !== "cut") assert.equal(hook.calls.length, before + 1, what);
      if (way === "join" || way === "POST /channels/subscribe") assert.equal((await members(dm, "private-a")).includes(user), means === "yes", what);
    }
  assert.ok(hook.calls.every(({ url }) => url === "/hook?x=1"), "no redirect is followed");
});

test("a hook that is slow, and one that is dead, is no answer, by each way", async (t) => {
  const { dm, hook } = await serveWithAuthorize(t, { hook_timeout: "300ms" });
  hook.answer = () => "hang";
  for (const state of ["slow", "dead"]) {
    for (const [way, { enter, unknown }] of Object.entries(WAYS)) {
      const began = Date.now();
      assert.deepEqual(await enter(dm, "zoe"), unknown, `${way}: ${state}`);
      const took = Date.now() - began;
      assert.ok(took < 5000 && (state === "dead" || took >= 250), `${way}: ${state}: ${took} ms`);
    }
    if (state === "slow") await hook.stop();
  }
  const refused = await dm.post("/channels/subscribe", { channel: "private-a" }, as(dm, "zoe"));
  assert.deepEqual([refused.json.error, refused.headers["retry-after"]], ["The service that decides on this is unavailable", "1"]);
  assert.deepEqual(await members(dm, "private-a"), []);
  const lines = dm.log.match(/event=hook_failed .*/g);
  assert.ok(lines.length >= 1 && lines.every((line) => line.includes("hook=authorize") && !/private-a|zoe|127\.0\.0\.1|hook\?x/.test(line)), lines.join("\n"));
});

test("what it is shown: who, where, the claims and the headers, and no token", async (t) => {
  const { dm, hook } = await serveWithAuthorize(t);
  hook.answer = () => YES;
  const claims = { tenant: { a: [1, "caf\u00e9"] }, scope: "publish", channels: ["private-b*"] };
  for (const [n, [way, { enter }]] of Object.entries(WAYS).entries()) {
    const user = `z"o\u00eb${n}`;
    hook.calls.length = 0;
    await enter(dm, user, claims);
    const [question] = hook.questions;
    assert.deepEqual(Object.keys(question), ["userId", "channel", "claims", "headers"], way);
    assert.deepEqual([question.userId, question.channel], [user, "private-a"], way);
    const { exp, ...told } = question.claims;
    assert.ok(exp > 0, way);
    assert.deepEqual(told, { userId: user, ...claims }, way);
    if (way === "join" || way === "presence") assert.deepEqual(question.headers, {}, "frames have none");
    else assert.equal(question.headers.host, `127.0.0.1:${dm.port}`, way);
    assert.ok(!hook.calls[0].text.includes(dm.secrets.at(-1)) && !("authorization" in question.headers), way);
  }
  hook.calls.length = 0;
  dm.secrets.push(COOKIE);
  const token = dm.token("zoe");
  const raw = await dm.raw();
  raw.write(`POST /channels/subscribe HTTP/1.1\r\nHost: rt.example\r\nContent-Type: application/json\r\nAUTHORIZATION: Bearer ${token}\r\nCookie: a=1\r\nX-Odd: 1\r\ncookie: b="2;c"\r\nX-ODD: 2\r\nContent-Length: 23\r\n\r\n{"channel":"private-c"}`);
  assert.equal((await raw.response()).status, 200);
  const { headers } = hook.questions[0];
  assert.deepEqual(headers, { host: "rt.example", "content-type": "application/json", cookie: 'a=1; b="2;c"', "x-odd": "1, 2" });
  assert.equal((await dm.post(`/channels/subscribe?token=${token}`, { channel: "private-c" }, { as: null })).status, 200);
  assert.ok(!hook.calls[1].text.includes(token), "nor from the query");
});

test("nobody is asked about a name that is open or granted, or of a caller that has no need", async (t) => {
  const { dm, hook } = await serveWithAuthorize(t);
  hook.answer = () => NO;
  const granted = { channels: ["private-a", "presence-*"] };
  for (const [way, { enter, yes }] of Object.entries(WAYS)) assert.deepEqual(await enter(dm, "zoe", granted), yes, way);
  for (const channel of ["a", "presence-x", "privates"]) {
    assert.equal((await dm.post("/channels/subscribe", { channel }, as(dm, "zoe", granted))).status, 200);
    assert.deepEqual(await knock(dm, `/ws/channel/${channel}`, as(dm, "zoe", granted)), [101, undefined]);
    assert.deepEqual(await command(dm, "zoe", granted, "join", channel), ["ok", undefined]);
  }
  assert.equal((await dm.get("/channels/private-z/presence")).status, 200, "an API key");
  assert.equal((await dm.get("/channels/private-z/presence", as(dm, "zoe", { scope: "admin" }))).status, 200, "an admin");
  assert.equal((await dm.call("PUT", "/channels/private-z/members/zoe")).status, 200, "a backend");
  assert.deepEqual(await command(dm, "zoe", {}, "presence", "private-z"), ["ok", undefined], "a member may see who is there");
  for (const call of ["/channels/subscribe", "/channels/unsubscribe"]) {
    assert.deepEqual(outcome(await dm.post(call, { channel: "Private-z" }, as(dm, "zoe"))), [400, "invalid_channel"]);
    assert.deepEqual(outcome(await dm.post(call, { channel: "private-z" }, { as: "Bearer junk" })), [401, "unauthorized"]);
    assert.deepEqual(outcome(await dm.post(call, { channel: "private-z" })), [401, "unauthorized"], "a key is nobody");
  }
  assert.equal((await dm.post("/channels/unsubscribe", { channel: "private-z" }, as(dm, "zoe"))).status, 200, "to leave needs no grant");
  assert.deepEqual(await command(dm, "zoe", {}, "leave", "private-z"), ["ok", undefined]);
  assert.deepEqual(await command(dm, "zoe", {}, "whisper", "private-z"), ["error", "forbidden"]);
  assert.equal(hook.calls.length, 0);
});

test("a refresh changes what is granted, and what the hook is told", async (t) => {
  const { dm, hook } = await serveWithAuthorize(t);
  hook.answer = () => NO;
  const zoe = await Native.connect(dm, "zoe", { claims: { channels: ["private-a"] } });
  await zoe.command("refresh", { token: dm.token("zoe", { step: 2 }) });
  assert.equal((await zoe.command("join", { channel: "private-a" })).code, "forbidden");
  assert.equal(hook.questions[0].claims.step, 2);
  await zoe.command("refresh", { token: dm.token("zoe", { channels: ["private-a"] }) });
  assert.equal((await zoe.command("join", { channel: "private-a" })).type, "ok");
  assert.equal(hook.calls.length, 1);
});

test("a slow hook delays nobody else", async (t) => {
  const { dm, hook } = await serveWithAuthorize(t, { hook_timeout: "60s", shards: 1 });
  hook.answer = () => "hang";
  const natives = [];
  for (let i = 0; i < 60; i++) natives.push(await Native.connect(dm, `native${i}`));
  const waiting = natives.map((native) => native.command("join", { channel: "private-a" }));
  const calls = Array.from({ length: 140 }, (_, i) => dm.post("/channels/subscribe", { channel: "private-a" }, as(dm, `caller${i}`)));
  await until("all wait", async () => (await dm.metric("dormouse_hook_calls_open")) === 200, { ms: 20000 });
  const alice = await Native.connect(dm, "alice", { claims: { scope: "publish", channels: ["private-a"] } });
  alice.ws.on("message", (data) => data.includes('"envelopeId"') && alice.ack(JSON.parse(data.toString()), 1));
  const took = [];
  const timed = async (what) => {
    const began = performance.now();
    const answer = await what();
    took.push(performance.now() - began);
    return answer;
  };
  for (let i = 0; i < 70; i++) {
    assert.equal((await timed(() => dm.post("/publish", { userId: "alice" }))).json.results.length, 1);
    assert.equal((await timed(() => dm.post("/channels/subscribe", { channel: `c${i % 9}` }, as(dm, "bob")))).status, 200);
    assert.equal((await timed(() => alice.command("join", { channel: "private-a" }))).type, "ok");
  }
  took.sort((a, b) => a - b);
  assert.ok(took[Math.floor(took.length * 0.99)] < 250, `p99 ${took[Math.floor(took.length * 0.99)]} ms`);
  hook.answer = () => YES;
  await until("all are released", async () => (hook.release(YES), (await dm.metric("dormouse_hook_calls_open")) === 0));
  for (const answer of await Promise.all(waiting)) assert.equal(answer.type, "ok");
  for (const answer of await Promise.all(calls)) assert.equal(answer.status, 200);
});

test("a session goes on while its join is decided, but for its later joins and leaves", async (t) => {
  const { dm, hook } = await serveWithAuthorize(t, { hook_timeout: "60s" });
  hook.answer = () => "hang";
  const zoe = await Native.connect(dm, "zoe", { claims: { scope: "publish" } });
  const say = (type, ref, more) => zoe.send({ type, ref, ...more });
  const refs = async (n) => {
    const seen = [];
    while (seen.length < n) seen.push((await zoe.next()).ref);
    return seen;
  };
  say("join", 1, { channel: "private-a" });
  say("ping", 2);
  say("publish", 3, { envelope: { userId: "nobody", timeoutMs: 0 } });
  say("subscribe", 4, { filters: [{ type: "x" }] });
  assert.deepEqual((await refs(3)).sort(), [2, 3, 4]);
  say("leave", 5, { channel: "private-a" });
  say("join", 6, { channel: "private-b" });
  say("leave", 7, { channel: "private-b" });
  say("join", 8, { channel: "private-b" });
  await until("the first is asked about", () => hook.held.length === 1);
  await sleep(100);
  assert.equal(hook.calls.length, 1, "one at a time");
  hook.release(YES);
  assert.deepEqual(await refs(2), [1, 5]);
  await until("the next is", () => hook.held.length === 1);
  hook.release(YES);
  assert.deepEqual(await refs(2), [6, 7]);
  await until("and the last", () => hook.held.length === 1);
  hook.release(NO);
  const last = await zoe.next();
  assert.deepEqual([last.ref, last.code], [8, "forbidden"]);
  assert.deepEqual(hook.questions.map(({ channel }) => channel), ["private-a", "private-b", "private-b"]);
  assert.deepEqual([await members(dm, "private-a"), await members(dm, "private-b")], [[], []]);
});

const ENDS = {
  "says goodbye": (_, zoe) => zoe.close(1000),
  drops: (_, zoe) => zoe.drop(),
  "is disconnected": (dm) => dm.post("/users/zoe/disconnect"),
};

for (const [how, end] of Object.entries(ENDS))
  test(`a session that ${how} while its join is decided holds up no other`, async (t) => {
    const { dm, hook } = await serveWithAuthorize(t, { hook_timeout: "60s", shards: 1 });
    hook.answer = ({ text }) => (JSON.parse(text).userId === "zoe" ? "hang" : YES);
    for (const answer of [YES, NO]) {
      const channel = answer === YES ? "private-yes" : "private-no";
      const zoe = await Native.connect(dm, "zoe");
      zoe.send({ type: "join", channel, ref: 1 });
      await until("it is asked about", () => hook.held.length === 1);
      await end(dm, zoe);
      await until("it is gone", async () => (await dm.metric("dormouse_sessions")) === 0);
      const other = await Native.connect(dm, "other"); // whose record may be where the first one's was
      for (const name of ["private-a", "a"]) {
        assert.equal((await other.command("join", { channel: name })).type, "ok", name);
        assert.equal((await other.command("presence", { channel: name })).type, "ok", name);
        assert.equal((await other.command("leave", { channel: name })).type, "ok", name);
      }
      hook.release(answer);
      if (answer === YES) await isMember(dm, channel, "zoe"); // it had asked; membership outlives sockets
      await until("the call is over", async () => (await dm.metric("dormouse_hook_calls_open")) === 0);
      assert.deepEqual(await members(dm, "private-no"), []);
      await other.close();
    }
  });

test("a session that is resumed while its join is decided is not stuck behind it", async (t) => {
  const { dm, hook } = await serveWithAuthorize(t, { hook_timeout: "60s", shards: 1 });
  hook.answer = () => "hang";
  for (const drops of [true, false]) {
    const first = await Native.connect(dm, "zoe");
    first.send({ type: "join", channel: "private-a", ref: 1 });
    await until("it is asked about", () => hook.held.length === 1);
    if (drops) await first.drop(); // else the second socket takes its place
    const second = await Native.connect(dm, "zoe", { resume: first.welcome.resume });
    assert.equal(second.welcome.resumed, true);
    const leaving = second.command("leave", { channel: "private-a" });
    await sleep(100);
    hook.release(YES);
    assert.equal((await leaving).type, "ok", `drops: ${drops}`);
    assert.equal((await second.command("ping")).type, "ok");
    await second.close();
  }
});

test("requests whose client leaves while the hook decides harm nothing", async (t) => {
  const { dm, hook } = await serveWithAuthorize(t, { hook_timeout: "60s" });
  hook.answer = () => "hang";
  const body = '{"channel":"private-a"}';
  for (const answer of [YES, NO, { status: 500 }]) {
    const raws = [];
    for (let i = 0; i < 12; i++) {
      const raw = await dm.raw();
      const token = dm.token(`u${i}`);
      const post = `POST /channels/subscribe HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      raw.write([upgrade({ path: "/ws/channel/private-a", token }), post, post + post][i % 3]);
      raws.push(raw);
    }
    await until("they wait", () => hook.held.length >= 12);
    for (const raw of raws) raw.destroy();
    await sleep(50);
    await until("all is over", async () => {
      hook.release(answer); // and what was behind the first request
      const samples = await dm.metrics();
      return samples.dormouse_hook_calls_open === 0 && samples.dormouse_http_pending === 0;
    });
    hook.held = [];
  }
  await until("no session is left", async () => (await dm.metric("dormouse_sessions")) === 0);
});

test("a drain lets the hook answer, or does without", async (t) => {
  for (const answers of [true, false]) {
    const { dm, hook } = await serveWithAuthorize(t, { hook_timeout: "60s", drain_timeout: answers ? "10s" : "500ms" });
    hook.answer = () => "hang";
    const zoe = await Native.connect(dm, "zoe");
    zoe.send({ type: "join", channel: "private-a", ref: 1 });
    zoe.send({ type: "leave", channel: "private-b", ref: 2 });
    const call = dm.post("/channels/subscribe", { channel: "private-a" }, as(dm, "bob")).then(outcome, () => "cut");
    const socket = knock(dm, "/ws/channel/private-a", as(dm, "ben")).catch(() => "cut");
    await until("they wait", () => hook.held.length === 3);
    dm.process.kill("SIGTERM");
    await until("it drains", () => dm.log.includes("event=draining"));
    await sleep(100);
    if (answers) hook.release(NO);
    assert.equal((await within(8000, "the end", dm.exited)).code, 0);
    assert.deepEqual(await call, answers ? HTTP.no : HTTP.unknown);
    assert.deepEqual(await socket, answers ? HTTP.no : HTTP.unknown);
    const { code } = await zoe.closing();
    assert.equal(code, 1012);
  }
});

test("where both hooks are there, a cookie user's call asks both, one after the other", async (t) => {
  const { dm, hook, auth } = await serveWithAuthorize(t, { cors_origins: "https://app.example" }, { auth: true });
  dm.secrets.push(COOKIE, "dark-and-secret");
  auth.knowCookies({ tenant: "t1" });
  hook.answer = ({ text }) => (JSON.parse(text).channel === "private-a" ? YES : NO);
  const cookie = (more = {}) => ({ as: null, headers: { cookie: COOKIE, ...more } });
  const subscribe = async (channel, options) => outcome(await dm.post("/channels/subscribe", { channel }, options));
  assert.deepEqual(await subscribe("private-a", cookie()), HTTP.yes);
  assert.deepEqual([auth.calls.length, hook.calls.length], [1, 1]);
  const [{ userId, channel, claims, headers }] = hook.questions;
  assert.deepEqual([userId, channel, claims, headers.cookie], ["zoe", "private-a", { userId: "zoe", tenant: "t1" }, COOKIE]);
  assert.deepEqual(await members(dm, "private-a"), ["zoe"]);
  assert.deepEqual(await subscribe("private-b", cookie()), HTTP.no);
  assert.deepEqual(await knock(dm, "/ws/channel/a?type=private", { headers: { cookie: COOKIE } }), UPGRADE.yes);
  assert.deepEqual(await knock(dm, "/ws/channel/private-b", { headers: { cookie: COOKIE } }), UPGRADE.no);
  assert.deepEqual(outcome(await dm.get("/channels/private-a/presence", cookie())), HTTP.yes);
  assert.deepEqual([auth.calls.length, hook.calls.length], [5, 5]);
  const native = await Client.open(dm.url, { headers: { cookie: COOKIE }, protocols: ["dormouse.v1"], of: Native, tls: dm.tls });
  dm.clients.push(native);
  await native.next();
  assert.equal((await native.command("join", { channel: "private-b" })).code, "forbidden");
  assert.deepEqual(hook.questions.at(-1).claims, { userId: "zoe", tenant: "t1" });
  const asked = [auth.calls.length, hook.calls.length];
  assert.deepEqual(await subscribe("private-a", cookie({ origin: "https://evil.example" })), [403, "bad_origin"]);
  assert.deepEqual(await knock(dm, "/ws/channel/private-a", { headers: { cookie: COOKIE, origin: "https://evil.example" } }), [403, "bad_origin"]);
  assert.deepEqual([auth.calls.length, hook.calls.length], asked, "a stranger's page asks neither");
  assert.deepEqual(await subscribe("private-a", cookie({ origin: "https://app.example" })), HTTP.yes);
  auth.answer = () => NO;
  const { length } = hook.calls;
  assert.deepEqual(await subscribe("private-a", cookie()), [401, "unauthorized"]);
  assert.equal(hook.calls.length, length, "of nobody nothing is asked");
  auth.knowCookies();
  hook.answer = () => "cut";
  assert.deepEqual(await subscribe("private-a", cookie()), HTTP.unknown);
});

test("what the auth hook grants is granted", async (t) => {
  const { dm, hook, auth } = await serveWithAuthorize(t, {}, { auth: true });
  hook.answer = () => NO;
  auth.knowCookies({ channels: ["private-a", "presence-*", 7, null] });
  const cookie = { as: null, headers: { cookie: COOKIE } };
  for (const channel of ["private-a", "presence-b", "c"]) {
    assert.equal((await dm.post("/channels/subscribe", { channel }, cookie)).status, 200, channel);
    assert.equal((await dm.get(`/channels/${channel}/presence`, cookie)).status, 200, channel);
    assert.deepEqual(await knock(dm, `/ws/channel/${channel}`, cookie), UPGRADE.yes, channel);
  }
  assert.equal(hook.calls.length, 0);
  assert.equal((await dm.post("/channels/subscribe", { channel: "private-ab" }, cookie)).status, 403);
  assert.equal(hook.calls.length, 1);
});

test("guests are not asked of the authorize hook, nor let in by it where a grant is needed", async (t) => {
  const { dm, hook } = await serveWithAuthorize(t, { guests: true });
  hook.answer = () => YES;
  assert.deepEqual(await knock(dm, "/ws/channel/a?userId=zoe"), UPGRADE.yes);
  assert.deepEqual(await knock(dm, "/ws/channel/private-a?userId=zoe"), [401, "unauthorized"]);
  assert.equal(hook.calls.length, 0);
});

test("without a hook what is not granted is forbidden", async (t) => {
  const dm = await serve(t);
  for (const [way, { enter, yes, no }] of Object.entries(WAYS)) {
    assert.deepEqual(await enter(dm, "zoe"), no, way);
    assert.deepEqual(await enter(dm, "yan", { channels: ["private-*"] }), yes, way);
  }
});
