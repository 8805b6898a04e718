// The sockets of durable-notifier (/ws): a user's events in all tabs, and the calls of its client.
import assert from "node:assert/strict";
import { allAsleep, as, enc, expel, join, membersOf, Notifier, OK, sendTo, subscribe, unsubscribe } from "./lib/channels.mjs";
import { Client } from "./lib/client.mjs";
import { Native } from "./lib/native.mjs";
import { closeFrame, frame, OPCODE, text, upgrade } from "./lib/raw.mjs";
import { serve, UUID_V7 } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";
import { API_KEY, sign } from "./lib/token.mjs";
import { until } from "./lib/wait.mjs";

const QUICK = { hibernate_after: "100ms" };
const WAKES = "dormouse_wakes_total";

// --- the upgrade ---

test("what is no upgrade is 426, with a token or without; an upgrade without a user 401", async (t) => {
  const dm = await serve(t);
  for (const options of [{ as: null }, { as: "Bearer junk" }, as(dm, "alice")]) {
    const answer = await dm.get("/ws", options);
    assert.deepEqual([answer.status, answer.json.code], [426, "upgrade_required"], answer.text);
  }
  for (const headers of [{}, { authorization: "Bearer junk" }, { authorization: `Bearer ${sign({ userId: "alice", exp: 1 })}` }, { authorization: `Bearer ${API_KEY}` }]) {
    const refused = await Client.open(`${dm.url}/ws`, { headers, tls: dm.tls }).catch((error) => error);
    assert.deepEqual([refused.status, JSON.parse(await refused.body).code], [401, "unauthorized"], JSON.stringify(headers));
  }
  const raw = await dm.raw();
  raw.write(upgrade({ path: "/ws", headers: { "Sec-WebSocket-Version": "12" } }));
  assert.equal((await raw.response()).status, 426, "401 comes after 426");
});

test("the token comes by header or by ?token=, which a browser's WebSocket has to use", async (t) => {
  const dm = await serve(t);
  const token = dm.token("alice");
  for (const headers of [{ authorization: `Bearer ${token}` }, { authorization: `bearer ${token}` }, { authorization: token }])
    await (await Notifier.connect(dm, undefined, { headers })).expectNothing();
  await (await Notifier.connect(dm, undefined, { path: `/ws?token=${token}` })).expectNothing();
  assert.deepEqual((await dm.get("/users/alice/presence")).json, { online: true, connections: 4 });
});

test("a userId has 128 bytes at most, and none of a token is a guest's", async (t) => {
  const dm = await serve(t);
  const longest = "é".repeat(64);
  await Notifier.connect(dm, longest);
  assert.equal((await dm.get(`/users/${enc(longest)}/presence`)).json.connections, 1);
  for (const userId of [`${longest}x`, "guest:zoe", "..", "a\nb", "  "])
    await assert.rejects(Notifier.connect(dm, userId), { status: 401 }, JSON.stringify(userId));
});

test("what else is offered is selected; dormouse.v1 is the native dialect here too", async (t) => {
  const dm = await serve(t);
  const raw = await dm.raw();
  raw.write(upgrade({ path: "/ws", token: dm.token("alice"), headers: { "Sec-WebSocket-Protocol": "notifier.v9, other" } }));
  const answer = await raw.response();
  assert.deepEqual([answer.status, answer.headers["sec-websocket-protocol"]], [101, "notifier.v9"]);
  const native = await Native.connect(dm, "alice", { path: "/ws" });
  assert.deepEqual([native.ws.protocol, native.welcome.userId], ["dormouse.v1", "alice"]);
});

// --- events ---

test("an event is type, data, id and ts, in that order and with no channel", async (t) => {
  const dm = await serve(t);
  const alice = await Notifier.connect(dm, "alice");
  const { json } = await dm.post("/users/alice/send", { type: "inbox.invalidate", data: { inboxId: "main" } });
  assert.match(json.id, UUID_V7);
  assert.ok(Number.isSafeInteger(json.ts) && Math.abs(json.ts - Date.now()) < 5000);
  assert.equal(json.delivered, 1);
  assert.equal(await alice.nextText(), `{"type":"inbox.invalidate","data":{"inboxId":"main"},"id":"${json.id}","ts":${json.ts}}`);
});

test("data comes byte for byte, null as null, and where there is none there is no key", async (t) => {
  const dm = await serve(t);
  const alice = await Notifier.connect(dm, "alice");
  for (const data of ['{ "a" : 1.0, "b":[ 1e3,-0 ],\t"c":"\\u00e9\\/" }', "null", "0", '""', "[]", "false", "12345678901234567890"]) {
    const { json } = await dm.post("/users/alice/send", `{"type":"t","data":${data}}`);
    assert.equal(await alice.nextText(), `{"type":"t","data":${data},"id":"${json.id}","ts":${json.ts}}`);
  }
  const { json } = await dm.post("/users/alice/send", { type: "t" });
  assert.equal(await alice.nextText(), `{"type":"t","id":"${json.id}","ts":${json.ts}}`);
});

test("id and ts are the caller's where they are given", async (t) => {
  const dm = await serve(t);
  const alice = await Notifier.connect(dm, "alice");
  const answer = await dm.post("/users/alice/send", { type: "ü\n\"", data: 1, id: 'order "7"', ts: 0 });
  assert.deepEqual(answer.json, { id: 'order "7"', ts: 0, delivered: 1 });
  assert.equal(await alice.nextText(), '{"type":"ü\\n\\"","data":1,"id":"order \\"7\\"","ts":0}');
});

test("every tab of a user gets an event once, and nobody else does", async (t) => {
  const dm = await serve(t, { shards: 3 });
  const tabs = [];
  for (let i = 0; i < 3; i++) tabs.push(await Notifier.connect(dm, "alice"));
  const bob = await Notifier.connect(dm, "bob");
  const { json } = await dm.post("/users/alice/send", { type: "chat.message", data: "hello" });
  assert.equal(json.delivered, 3);
  for (const tab of tabs) assert.deepEqual((await tab.settle()).map((e) => JSON.parse(e).id), [json.id]);
  await bob.expectNothing();
});

test("sendToUsers: one id and ts for all, one failure blocks nobody", async (t) => {
  const dm = await serve(t, { shards: 3 });
  const users = ["user-1", "user-2", "user-3"];
  const tabs = [];
  for (const user of users) tabs.push(await Notifier.connect(dm, user));
  const event = { type: "announcement", data: { text: "Server maintenance at 2am" } };
  const { json } = await dm.post("/users/send", { userIds: ["user-1", "..", "user-2", "user-3"], event });
  assert.deepEqual(json.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled", "fulfilled"]);
  const texts = new Set();
  for (const tab of tabs) texts.add(await tab.nextText());
  assert.equal(texts.size, 1, "the frame names nobody, and is the same for all");
  assert.match([...texts][0], /^\{"type":"announcement","data":\{"text":"Server maintenance at 2am"\},"id":"[-0-9a-f]{36}","ts":\d{13}\}$/);
});

test("a publish counts notifiers as delivered and waits for none; an ack of theirs is nothing", async (t) => {
  const dm = await serve(t);
  const tabs = [await Notifier.connect(dm, "alice"), await Notifier.connect(dm, "alice")];
  const began = Date.now();
  const answer = await dm.publish({ userId: "alice", type: "t", payload: [1], timeoutMs: 20000 });
  assert.ok(Date.now() - began < 5000, "it waited");
  assert.deepEqual([answer.clientCount, answer.delivered, answer.results], [0, 2, []]);
  for (const tab of tabs) {
    const event = await tab.next();
    assert.deepEqual(Object.keys(event), ["type", "data", "id", "ts"]);
    assert.deepEqual([event.type, event.data, event.id], ["t", [1], answer.envelopeId]);
  }
  const native = await Native.connect(dm, "alice");
  const open = dm.publish({ userId: "alice", timeoutMs: 800 });
  const { envelopeId } = await native.next();
  for (const tab of tabs) tab.send({ type: "ack", envelopeId, result: "forged" });
  assert.deepEqual((await open).results, []);
});

test("what was sent while the line was cut is gone; the new line gets what comes", async (t) => {
  const dm = await serve(t);
  const first = await Notifier.connect(dm, "alice");
  await first.drop();
  await until("it is away", async () => (await dm.get("/users/alice/presence")).json.connections === 0);
  assert.equal((await dm.post("/users/alice/send", { type: "missed" })).json.delivered, 0);
  const second = await Notifier.connect(dm, "alice");
  await second.expectNothing();
  assert.equal((await dm.post("/users/alice/send", { type: "seen" })).json.delivered, 1);
  assert.equal((await second.next()).type, "seen");
});

test("a durable one reaches a tab live, and stays owed: no tab acks", async (t) => {
  const dm = await serve(t);
  const tab = await Notifier.connect(dm, "alice");
  const answer = await dm.post("/publish", { userId: "alice", type: "order", durable: true });
  assert.deepEqual([answer.status, answer.json.owed, answer.json.clientCount, answer.json.delivered], [202, 1, 0, 1]);
  assert.equal((await tab.next()).id, answer.json.envelopeId);
  await (await Notifier.connect(dm, "alice")).expectNothing();
  const native = await Native.connect(dm, "alice");
  const owed = await native.next();
  assert.deepEqual([owed.envelopeId, owed.redelivered], [answer.json.envelopeId, true]);
});

// --- what a client says ---

test("a ping is answered by exactly a pong, in a frame of its own, however it comes", async (t) => {
  const dm = await serve(t);
  const raw = await dm.rawSocket("alice", { path: "/ws" });
  const ping = '{"type":"ping"}';
  raw.write(text(ping), text(ping), text(' {"type" : "ping", "t": 7}\n'), text('{"type":"p\\u0069ng"}'));
  raw.write(frame(OPCODE.text, '{"type":', { fin: false }), frame(OPCODE.ping, "!"), frame(OPCODE.continuation, '"ping"}'));
  for (let i = 0; i < 4; i++)
    assert.deepEqual(await raw.frame(), { opcode: OPCODE.text, fin: true, rsv: 0, payload: Buffer.from('{"type":"pong"}') });
  assert.deepEqual(await raw.frame(), { opcode: OPCODE.pong, fin: true, rsv: 0, payload: Buffer.from("!") });
  assert.equal(await raw.text(), '{"type":"pong"}');
  raw.write(closeFrame(1000));
  assert.equal((await raw.close()).code, 1000);
});

const JUNK = [
  "ping", '"ping"', "", " ", "null", "7", "[]", "{", "{}", '{"type":"PING"}', '{"type":" ping"}', '{"type":["ping"]}', '{"type":"pong"}',
  '{"Type":"ping"}', '{"data":{"type":"ping"}}', '{"type":"subscribe","channel":"room-42","filters":[{"type":"t"}]}',
  '{"type":"join","channel":"room-42","ref":1}', '{"type":"publish","userId":"alice"}', '{"event":"whisper","data":1}',
  '{"type":"attach","attachment":1,"ref":"x"}', Buffer.from('{"type":"ping"}'), Buffer.from([0xc1, 0x00]),
];

test("all else is ignored, binary too: no answer, no close, no member, no filter", async (t) => {
  const dm = await serve(t);
  const [alice, other] = [await Notifier.connect(dm, "alice"), await Notifier.connect(dm, "alice")];
  for (const junk of JUNK) {
    alice.send(junk);
    assert.deepEqual(await alice.settle(), [], String(junk));
  }
  await other.expectNothing();
  assert.deepEqual(await membersOf(dm, "room-42"), []);
  assert.equal((await dm.post("/users/alice/send", { type: "other" })).json.delivered, 2, "a filter would have kept it out");
});

test("text that is no UTF-8 closes with 1007, an unmasked frame with 1002, too long a one with 1009", async (t) => {
  const dm = await serve(t, { max_message: "1KiB" });
  const cases = [
    [frame(OPCODE.text, Buffer.from([0x22, 0xff, 0x22])), 1007],
    [frame(OPCODE.text, '{"type":"ping"}', { mask: false }), 1002],
    [frame(OPCODE.text, "x".repeat(1025)), 1009],
    [closeFrame(4321, "mine"), 4321],
  ];
  for (const [bytes, code] of cases) {
    const raw = await dm.rawSocket("alice", { path: "/ws" });
    raw.write(bytes);
    assert.equal((await raw.close()).code, code);
    await raw.gone();
  }
});

test("asleep, a ping is answered and an event delivered, and neither wakes anything", async (t) => {
  const dm = await serve(t, QUICK);
  const tabs = [await Notifier.connect(dm, "alice"), await Notifier.connect(dm, "alice")];
  for (const tab of tabs) await tab.expectNothing();
  await dm.asleep(1);
  const before = await dm.metrics();
  for (const tab of tabs) await tab.expectNothing();
  for (const junk of JUNK) tabs[0].send(junk);
  await tabs[0].expectNothing();
  assert.equal((await dm.post("/users/alice/send", { type: "news" })).json.delivered, 2);
  for (const tab of tabs) assert.equal((await tab.next()).type, "news");
  const after = await dm.metrics();
  assert.equal(after[WAKES], before[WAKES], "somebody was woken");
  assert.equal(after["dormouse_fixed_answers_total"], before["dormouse_fixed_answers_total"] + 3);
  await dm.asleep(1);
});

// --- disconnectUser, getPresence ---

test("disconnectUser closes every tab with 1000 and the reason, and memberships stay", async (t) => {
  const dm = await serve(t);
  await join(dm, "room-42", "alice");
  const tabs = [await Notifier.connect(dm, "alice"), await Notifier.connect(dm, "alice")];
  const answer = await dm.post("/users/alice/disconnect", { reason: "Session expired" });
  assert.deepEqual([answer.status, answer.text], [200, '{"disconnected":2}']);
  for (const tab of tabs) assert.deepEqual(await tab.closing(), { code: 1000, reason: "Session expired" });
  assert.deepEqual((await dm.get("/users/alice/presence")).json, { online: false, connections: 0 });
  assert.deepEqual(await membersOf(dm, "room-42"), ["alice"]);
  const back = await Notifier.connect(dm, "alice");
  assert.deepEqual((await dm.post("/users/alice/disconnect")).json, { disconnected: 1 });
  assert.deepEqual(await back.closing(), { code: 1000, reason: "Disconnected by server" });
});

// --- subscribe and unsubscribe ---

test("subscribe makes the user a member: its tabs get the channel's events, with the channel", async (t) => {
  const dm = await serve(t);
  const alice = await Notifier.connect(dm, "alice");
  const answer = await subscribe(dm, "alice", "room-42");
  assert.deepEqual([answer.status, answer.text, answer.headers["content-type"]], [200, OK, "application/json; charset=utf-8"]);
  const { id, ts, ...counts } = await sendTo(dm, "room-42", { type: "chat.message", data: { from: "bob", text: "hi" } });
  assert.deepEqual(counts, { members: 1, delivered: 1 });
  assert.equal(
    await alice.nextText(),
    `{"type":"chat.message","data":{"from":"bob","text":"hi"},"id":"${id}","ts":${ts},"channel":"room-42"}`,
  );
  const left = await unsubscribe(dm, "alice", "room-42");
  assert.deepEqual([left.status, left.text], [200, OK]);
  const none = await sendTo(dm, "room-42", "chat.message");
  assert.deepEqual([none.members, none.delivered], [0, 0]);
  await alice.expectNothing();
});

test("membership is the user's: it outlives sockets, begins without one, ends without one", async (t) => {
  const dm = await serve(t);
  await subscribe(dm, "alice", "room-42");
  for (let i = 0; i < 3; i++) {
    const alice = await Notifier.connect(dm, "alice");
    assert.equal((await sendTo(dm, "room-42", "t")).delivered, 1);
    assert.equal((await alice.next()).channel, "room-42");
    await subscribe(dm, "alice", "room-42"); // as useChannel does after every reconnect
    await (i % 2 ? alice.close(1001) : alice.drop());
    await until("it is away", async () => (await dm.get("/users/alice/presence")).json.connections === 0);
  }
  assert.deepEqual(await membersOf(dm, "room-42"), ["alice"]);
  await unsubscribe(dm, "alice", "room-42");
  const alice = await Notifier.connect(dm, "alice");
  assert.deepEqual(await membersOf(dm, "room-42"), []);
  assert.equal((await sendTo(dm, "room-42", "t")).delivered, 0);
  await alice.expectNothing();
});

test("fifty channels come over the one socket, each event with its own", async (t) => {
  const dm = await serve(t, { shards: 3 });
  const alice = await Notifier.connect(dm, "alice");
  const names = Array.from({ length: 50 }, (_, i) => `room ${i}`);
  for (const answer of await Promise.all(names.map((name) => subscribe(dm, "alice", name)))) assert.equal(answer.text, OK);
  for (const name of names) assert.deepEqual((({ members, delivered }) => [members, delivered])(await sendTo(dm, name, { type: "t", data: name })), [1, 1]);
  for (const name of names) {
    const { channel, data } = await alice.next();
    assert.deepEqual([channel, data], [name, name]);
  }
  for (const name of names.slice(0, 25)) await unsubscribe(dm, "alice", name);
  for (const [i, name] of names.entries()) assert.equal((await sendTo(dm, name, "t")).delivered, i < 25 ? 0 : 1, name);
});

test("the texts of what is wrong are the seed's", async (t) => {
  const dm = await serve(t);
  const alice = as(dm, "alice");
  const cases = [
    [400, "Invalid JSON body", "invalid_json", "{", alice],
    [400, "Invalid JSON body", "invalid_json", "[]", alice],
    [400, "Invalid JSON body", "invalid_json", '"room-42"', alice],
    [400, "Invalid JSON body", "invalid_json", "", alice],
    [400, "Missing or invalid channel name", "invalid_channel", "{}", alice],
    [400, "Missing or invalid channel name", "invalid_channel", '{"channel":""}', alice],
    [400, "Missing or invalid channel name", "invalid_channel", '{"channel":" "}', alice],
    [400, "Missing or invalid channel name", "invalid_channel", '{"channel":42}', alice],
    [400, "Missing or invalid channel name", "invalid_channel", '{"channel":null}', alice],
    [400, "Missing or invalid channel name", "invalid_channel", '{"channel":["room-42"]}', alice],
    [400, "Missing or invalid channel name", "invalid_channel", '{"channel":".."}', alice],
    [400, "Missing or invalid channel name", "invalid_channel", '{"channel":"Private-x"}', alice],
    [401, "Unauthorized", "unauthorized", '{"channel":"room-42"}', { as: null }],
    [401, "Unauthorized", "unauthorized", "{", { as: "Bearer junk" }],
    [401, "Unauthorized", "unauthorized", '{"channel":"room-42"}', {}],
    [415, "Unsupported Media Type", "unsupported_media_type", '{"channel":"room-42"}', { ...alice, headers: { "content-type": "text/plain" } }],
    [415, "Unsupported Media Type", "unsupported_media_type", "channel=room-42", { ...alice, headers: { "content-type": "application/x-www-form-urlencoded" } }],
  ];
  for (const call of ["/channels/subscribe", "/channels/unsubscribe"])
    for (const [status, error, code, body, options] of cases) {
      const answer = await dm.post(call, body, options);
      assert.deepEqual([answer.status, answer.json], [status, { error, code }], `${call} ${body}`);
    }
  for (const [call, status] of [["/channels/subscribe", 403], ["/channels/unsubscribe", 200]])
    for (const channel of ["private-org-42", "presence-lobby", "private-", "presence-"]) {
      const answer = await dm.post(call, { channel }, alice);
      assert.equal(answer.status, status, `${call} ${channel}: unsubscribing needs no grant`);
      assert.equal(answer.text, status === 200 ? OK : '{"error":"Forbidden","code":"forbidden"}');
    }
  const get = await dm.get("/channels/subscribe", alice);
  assert.equal(get.status, 405);
  assert.deepEqual(await membersOf(dm, "room-42"), []);
});

test("private- and presence- names need a grant: a name, or a pattern's beginning", async (t) => {
  const dm = await serve(t);
  const cases = [
    [["private-org-42"], "private-org-42", 200], [["private-org-42"], "private-org-421", 403], [["private-org-42"], "private-org-4", 403],
    [["private-org-*"], "private-org-7", 200], [["private-org-*"], "private-org-", 200], [["private-org-*"], "private-or", 403],
    [["private-*"], "presence-x", 403], [["*"], "presence-x", 200], [[], "private-x", 403], [["room-*"], "private-room-1", 403],
    [["private-*-x"], "private-a-x", 403], [["private-x"], "room-42", 200],
  ];
  for (const [channels, channel, status] of cases)
    assert.equal((await subscribe(dm, "alice", channel, { channels })).status, status, `${channels} for ${channel}`);
});

test("a member of a private channel stays one when its grant is gone", async (t) => {
  const dm = await serve(t);
  await subscribe(dm, "alice", "private-org-42", { channels: ["private-org-*"] });
  const alice = await Notifier.connect(dm, "alice");
  assert.equal((await sendTo(dm, "private-org-42", "t")).delivered, 1);
  assert.equal((await alice.next()).channel, "private-org-42");
  assert.equal((await unsubscribe(dm, "alice", "private-org-42")).text, OK);
  assert.equal((await sendTo(dm, "private-org-42", "t")).members, 0);
});

test("the client's calls come with credentials: the origin is echoed where it is known", async (t) => {
  const dm = await serve(t, { cors_origins: "https://app.example" });
  const call = (method, origin, more = {}) =>
    dm.call(method, "/channels/subscribe", { ...as(dm, "alice"), headers: { origin, ...more.headers }, ...(more.body && { body: more.body }) });
  const known = await call("POST", "https://app.example", { body: { channel: "room-42" } });
  assert.deepEqual(
    [known.status, known.headers["access-control-allow-origin"], known.headers["access-control-allow-credentials"]],
    [200, "https://app.example", "true"],
  );
  assert.match(known.headers.vary, /origin/i);
  const stranger = await call("POST", "https://evil.example", { body: "{" });
  assert.deepEqual([stranger.status, stranger.headers["access-control-allow-origin"], stranger.headers["access-control-allow-credentials"]], [400, "*", undefined]);
  const preflight = await dm.call("OPTIONS", "/channels/subscribe", {
    as: null,
    headers: { origin: "https://app.example", "access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type" },
  });
  assert.equal(preflight.status, 204);
  assert.match(preflight.headers["access-control-allow-methods"], /\bPOST\b/);
  assert.equal(preflight.headers["access-control-allow-headers"], "authorization,content-type");
  assert.equal(preflight.headers["access-control-allow-credentials"], "true");
});

test("a channel's event to tabs that sleep wakes the channel and no user", async (t) => {
  const dm = await serve(t, { ...QUICK, shards: 1 });
  await join(dm, "room-42", "alice");
  const tabs = [await Notifier.connect(dm, "alice"), await Notifier.connect(dm, "alice")];
  await allAsleep(dm);
  const before = await dm.metrics();
  assert.equal((await sendTo(dm, "room-42", "t")).delivered, 2);
  for (const tab of tabs) assert.equal((await tab.next()).channel, "room-42");
  const after = await dm.metrics();
  assert.equal(after[WAKES], before[WAKES]);
  assert.equal(after.dormouse_channel_wakes_total, before.dormouse_channel_wakes_total + 1);
  await allAsleep(dm);
});

test("what is sent to a user or its channel after a 101 reaches that socket, whichever shard it is on its way to", async (t) => {
  const dm = await serve(t, { shards: 5 });
  const missed = { user: 0, channel: 0 };
  for (let i = 0; i < 300; i++) {
    const user = `u${i}`;
    await join(dm, "room", user);
    await Notifier.connect(dm, user, { settled: false });
    if (i % 2) missed.user += 1 - (await dm.post(`/users/${user}/send`, { type: "t" })).json.delivered;
    else missed.channel += 1 - (await sendTo(dm, "room", "t")).delivered;
    await dm.clients.pop().close(1000);
    await expel(dm, "room", user);
  }
  assert.deepEqual(missed, { user: 0, channel: 0 });
});
