// The sockets of @roostjs/broadcast (/ws/channel/{name}): one channel each, and whispers.
import assert from "node:assert/strict";
import { ALL_GRANTS, allAsleep, as, broadcast, join, Listener, membersOf, Notifier, presentIn, sendTo, subscribe } from "./lib/channels.mjs";
import { Native } from "./lib/native.mjs";
import { closeFrame, frame, OPCODE, text, upgrade, WS_KEY } from "./lib/raw.mjs";
import { serve, UUID_V7 } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";
import { API_KEY } from "./lib/token.mjs";
import { until } from "./lib/wait.mjs";

const QUICK = { hibernate_after: "100ms" };
const GUESTS = { guests: true };
const UPGRADE = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13", "sec-websocket-key": WS_KEY };

/** An upgrade whose answer is looked at, and not used. */
const knock = (dm, target, { headers, ...options } = {}) => dm.get(target, { headers: { ...UPGRADE, ...headers }, ...options });

const codeOf = ({ status, json }) => [status, json?.code];

// --- the upgrade ---

test("first 426, then 400 for the name, then 401, then 403", async (t) => {
  const dm = await serve(t);
  const token = as(dm, "alice");
  for (const name of ["orders", "private-orders", "Private-x", ".."])
    for (const options of [{ as: null }, token]) assert.deepEqual(codeOf(await dm.get(`/ws/channel/${name}`, options)), [426, "upgrade_required"], name);
  for (const name of ["Private-x", "PRESENCE-x", "x".repeat(201), "..", ".", "%00", "%zz", "%FF", ""])
    for (const options of [{ as: null }, { as: "Bearer junk" }, token]) assert.deepEqual(codeOf(await knock(dm, `/ws/channel/${name}`, options)), [400, "invalid_name"], name);
  for (const name of ["orders", "private-orders", "presence-orders", "orders?type=private"])
    for (const options of [{ as: null }, { as: "Bearer junk" }, { as: `Bearer ${API_KEY}` }]) {
      const answer = await knock(dm, `/ws/channel/${name}`, options);
      assert.deepEqual(codeOf(answer), [401, "unauthorized"], name);
    }
  for (const name of ["private-orders", "presence-orders", "orders?type=private", "orders?type=presence", "private-orders?type=public", "private-orders?type=private"]) {
    const answer = await knock(dm, `/ws/channel/${name}`, token);
    assert.deepEqual([answer.status, answer.text], [403, '{"error":"Forbidden","code":"forbidden"}'], name);
  }
  assert.equal((await knock(dm, "/ws/channel/orders", token)).status, 101);
  for (const path of ["/ws/channel", "/ws/channel/a/b", "/ws/channels/a"]) assert.equal((await knock(dm, path, token)).status, 404, path);
});

test("a grant lets in, its token by header or by ?token=", async (t) => {
  const dm = await serve(t);
  const granted = { channels: ["private-orders", "presence-*"] };
  const token = dm.token("alice", granted);
  for (const [target, status] of [["private-orders", 101], ["orders?type=private", 101], ["orders?type=presence", 101], ["presence-x", 101], ["private-x", 403], ["x?type=private", 403], ["anything", 101]]) {
    assert.equal((await knock(dm, `/ws/channel/${target}`, { as: `Bearer ${token}` })).status, status, target);
    assert.equal((await knock(dm, `/ws/channel/${target}${target.includes("?") ? "&" : "?"}token=${token}`, { as: null })).status, status, target);
  }
});

test("?type= is public, private or presence, and no prefix is turned into another", async (t) => {
  const dm = await serve(t);
  const token = as(dm, "alice", ALL_GRANTS);
  for (const [target, code] of [
    ["orders?type=secret", "invalid_field"], ["orders?type=", "invalid_field"], ["orders?type=Private", "invalid_field"], ["orders?type=%zz", "invalid_field"],
    ["private-orders?type=presence", "invalid_name"], ["presence-orders?type=private", "invalid_name"],
    [`${"x".repeat(193)}?type=private`, "invalid_name"], [`${"x".repeat(192)}?type=presence`, "invalid_name"],
  ])
    assert.deepEqual(codeOf(await knock(dm, `/ws/channel/${target}`, token)), [400, code], target);
  for (const target of [`${"x".repeat(192)}?type=private`, `${"x".repeat(191)}?type=presence`, "private-orders?type=private", "presence-orders?type=public"])
    assert.equal((await knock(dm, `/ws/channel/${target}`, token)).status, 101, target);
});

test("dormouse.v1 is not spoken here; what else is offered is selected", async (t) => {
  const dm = await serve(t);
  for (const offered of ["dormouse.v1", "other, dormouse.v1", "dormouse.v1.msgpack"])
    assert.deepEqual(codeOf(await knock(dm, "/ws/channel/a", { ...as(dm, "alice"), headers: { "sec-websocket-protocol": offered } })), [400, "bad_request"], offered);
  const raw = await dm.raw();
  raw.write(upgrade({ path: "/ws/channel/a", token: dm.token("alice"), headers: { "Sec-WebSocket-Protocol": "roost, b" } }));
  assert.equal((await raw.response()).headers["sec-websocket-protocol"], "roost");
});

// --- broadcasts ---

test("a broadcast is a frame of event and data and nothing else, at every socket once", async (t) => {
  const dm = await serve(t, { shards: 3 });
  const sockets = [];
  for (const user of ["alice", "alice", "bob", "carol", "dave", "erin"]) sockets.push(await Listener.connect(dm, user, "orders"));
  const elsewhere = [await Listener.connect(dm, "alice", "order"), await Listener.connect(dm, "alice", "orders2"), await Listener.connect(dm, "alice", "private-orders")];
  const bodies = [
    ['{"event":"OrderShipped","data":{ "id" : 7.0, "é":"\\u00e9" }}', '{"event":"OrderShipped","data":{ "id" : 7.0, "é":"\\u00e9" }}'],
    ['{"event":"Bare"}', '{"event":"Bare","data":{}}'],
    ['{"data":[1,2],"event":"App\\\\Events\\\\X","id":"x","ts":1,"channel":"other"}', '{"event":"App\\\\Events\\\\X","data":[1,2]}'],
    ['{"event":"N","data":null}', '{"event":"N","data":null}'],
    ['{"event":"P","type":"public"}', '{"event":"P","data":{}}'],
  ];
  for (const [body, expected] of bodies) {
    const answer = await dm.post("/channels/orders/broadcast", body);
    assert.deepEqual([answer.status, answer.text, answer.headers["content-type"]], [204, "", undefined]);
    for (const socket of sockets) assert.equal(await socket.nextText(), expected);
  }
  for (const socket of [...sockets, ...elsewhere]) await socket.expectNothing();
});

test("type in a broadcast picks the name, as it does in the socket's path", async (t) => {
  const dm = await serve(t);
  const at = {};
  for (const [name, query] of [["orders", ""], ["private-orders", ""], ["orders", "?type=private"], ["presence-orders", ""], ["orders", "?type=presence"], ["private-orders", "?type=public"]])
    at[name + query] = await Listener.connect(dm, "alice", name, { query });
  const reached = async (event) => {
    const seen = [];
    for (const [name, socket] of Object.entries(at)) if ((await socket.settle()).some((text) => text === `{"event":"${event}","data":1}`)) seen.push(name);
    return seen.sort();
  };
  const PRIVATE = ["orders?type=private", "private-orders", "private-orders?type=public"], PRESENCE = ["orders?type=presence", "presence-orders"];
  const cases = [
    ["orders", {}, ["orders"]], ["orders", { type: "public" }, ["orders"]], ["orders", { type: "private" }, PRIVATE], ["private-orders", {}, PRIVATE],
    ["private-orders", { type: "private" }, PRIVATE], ["private-orders", { type: "public" }, PRIVATE], ["orders", { type: "presence" }, PRESENCE],
    ["presence-orders", { type: "presence" }, PRESENCE], ["presence-orders", { type: "public" }, PRESENCE],
  ];
  for (const [i, [name, more, expected]] of cases.entries()) {
    await broadcast(dm, name, `e${i}`, 1, more);
    assert.deepEqual(await reached(`e${i}`), expected, JSON.stringify([name, more]));
  }
  for (const [name, type, code] of [["private-orders", "presence", "invalid_name"], ["presence-orders", "private", "invalid_name"], ["orders", "secret", "invalid_field"], ["orders", 7, "invalid_field"], ["orders", "", "invalid_field"], ["Private-x", "private", "invalid_name"], ["x".repeat(193), "private", "invalid_name"]])
    assert.deepEqual(codeOf(await dm.post(`/channels/${name}/broadcast`, { event: "e", type })), [400, code], JSON.stringify([name, type]));
});

test("a broadcast needs an event, a JSON object, and its content type", async (t) => {
  const dm = await serve(t);
  for (const body of ["{}", '{"event":""}', '{"event":" "}', '{"event":7}', '{"event":null}', '{"type":"t"}']) {
    const answer = await dm.post("/channels/orders/broadcast", body);
    assert.deepEqual(codeOf(answer), [400, "invalid_field"], body);
  }
  for (const body of ["{", "[]", "", "1"]) assert.equal((await dm.post("/channels/orders/broadcast", body)).json.error, "Invalid JSON body");
  assert.equal((await dm.post("/channels/orders/broadcast", '{"event":"e"}', { headers: { "content-type": "text/plain" } })).status, 415);
});

test("a broadcast reaches the members' sessions too, in their dialects", async (t) => {
  const dm = await serve(t);
  await join(dm, "private-orders", "alice");
  const [notifier, native] = [await Notifier.connect(dm, "alice"), await Native.connect(dm, "alice")];
  const hopeflow = await (await dm.connect("alice")).subscribe({ type: "OrderShipped", id: "7" });
  const both = await Listener.connect(dm, "alice", "private-orders");
  await broadcast(dm, "orders", "OrderShipped", { id: "7" }, { type: "private" });
  const { envelopeId, timestamp, ...rest } = await native.next();
  assert.match(envelopeId, UUID_V7);
  assert.deepEqual(rest, { type: "OrderShipped", userId: "alice", channel: "private-orders", payload: { id: "7" } });
  assert.equal(await notifier.nextText(), `{"type":"OrderShipped","data":{"id":"7"},"id":"${envelopeId}","ts":${Date.parse(timestamp)},"channel":"private-orders"}`);
  assert.equal((await hopeflow.next()).envelopeId, envelopeId);
  assert.equal(await both.nextText(), '{"event":"OrderShipped","data":{"id":"7"}}');
  for (const each of [notifier, native, hopeflow, both]) await each.expectNothing();
});

test("a socket here takes what goes to its channel, and nothing that goes to its user", async (t) => {
  const dm = await serve(t);
  const listener = await Listener.connect(dm, "alice", "orders");
  await join(dm, "other", "alice");
  assert.equal((await dm.post("/users/alice/send", { type: "t" })).json.delivered, 0);
  assert.equal((await sendTo(dm, "other", "t")).delivered, 0);
  const answer = await dm.publish({ userId: "alice", timeoutMs: 0 });
  assert.deepEqual([answer.clientCount, answer.delivered], [0, 0]);
  const owed = await dm.post("/publish", { userId: "alice", durable: true, timeoutMs: 0 });
  assert.deepEqual([owed.status, owed.json.delivered], [202, 0]);
  await (await Listener.connect(dm, "alice", "orders")).expectNothing();
  await listener.expectNothing();
  assert.deepEqual(await membersOf(dm, "orders"), [], "a listener is no member");
  assert.deepEqual((await dm.get("/users/alice/presence")).json, { online: true, connections: 2 });
});

test("a publish counts listeners as delivered and waits for none", async (t) => {
  const dm = await serve(t);
  const listener = await Listener.connect(dm, "alice", "orders");
  const began = Date.now();
  const answer = await dm.publish({ channel: "orders", type: "e", payload: 7, timeoutMs: 20000 });
  assert.ok(Date.now() - began < 5000);
  assert.deepEqual([answer.clientCount, answer.delivered, answer.results], [0, 1, []]);
  assert.equal(await listener.nextText(), '{"event":"e","data":7}');
  listener.send({ type: "ack", envelopeId: answer.envelopeId });
  await listener.expectNothing();
});

// --- whispers ---

test("a whisper goes to the channel's other sockets, the sender's other tabs too, its data byte for byte", async (t) => {
  const dm = await serve(t, { shards: 3 });
  const sender = await Listener.connect(dm, "alice", "private-chat");
  const others = [];
  for (const user of ["alice", "bob", "carol", "dave", "erin"]) others.push(await Listener.connect(dm, user, "private-chat"));
  const elsewhere = await Listener.connect(dm, "bob", "chat");
  const datas = ['{ "typing" : true, "n":1.50 }', '"\\u00e9\\/"', "null", "[]", "0", "1e400"];
  for (const data of datas) sender.send(`{"event":"whisper","channel":"chat","data":${data},"from":"bob"}`);
  sender.send('{"event":"\\u0077hisper"}');
  const expected = [...datas, "{}"].map((data) => `{"event":"whisper","data":${data}}`);
  for (const other of others) for (const text of expected) assert.equal(await other.nextText(), text);
  for (const each of [sender, ...others, elsewhere]) await each.expectNothing();
  assert.equal(await dm.metric("dormouse_whispers_total"), 7);
});

test("members' native sessions get it as an envelope with its sender, other dialects do not", async (t) => {
  const dm = await serve(t);
  await join(dm, "chat", "alice", "bob");
  const sender = await Listener.connect(dm, "alice", "chat");
  const [bob, own, stranger] = [await Native.connect(dm, "bob"), await Native.connect(dm, "alice"), await Native.connect(dm, "carol")];
  const filtered = await Native.connect(dm, "bob");
  await filtered.command("subscribe", { filters: [{ type: "other" }] });
  const [notifier, hopeflow] = [await Notifier.connect(dm, "bob"), await (await dm.connect("bob")).subscribe({ type: "whisper" })];
  sender.send('{"event":"whisper","data":{ "typing":true }}');
  for (const native of [bob, own]) {
    const shown = await native.nextText();
    const { envelopeId, timestamp, userId } = JSON.parse(shown);
    assert.match(envelopeId, UUID_V7);
    assert.equal(userId, native.welcome.userId);
    assert.equal(shown, `{"envelopeId":"${envelopeId}","type":"whisper","userId":"${userId}","timestamp":"${timestamp}","channel":"chat","from":"alice","payload":{ "typing":true }}`);
    assert.equal((await native.command("ack", { envelopeId })).code, "not_found", "it wants no ack");
  }
  for (const each of [sender, stranger, filtered, notifier, hopeflow]) await each.expectNothing();
});

test("native sessions whisper by command: members only, and not to themselves", async (t) => {
  const dm = await serve(t, { shards: 2 });
  await join(dm, "chat", "alice", "bob");
  await join(dm, "private-chat", "alice");
  const [alice, tab, bob] = [await Native.connect(dm, "alice"), await Native.connect(dm, "alice"), await Native.connect(dm, "bob", { claims: ALL_GRANTS })];
  const listener = await Listener.connect(dm, "carol", "chat");
  assert.deepEqual(await alice.command("whisper", { channel: "chat", data: { x: 1 } }), { type: "ok", ref: "r1" });
  alice.send('{"type":"whisper","channel":" chat ","data":[ 1 ]}');
  for (const native of [tab, bob])
    for (const payload of [{ x: 1 }, [1]]) {
      const whisper = await native.next();
      assert.deepEqual([whisper.type, whisper.channel, whisper.from, whisper.payload], ["whisper", "chat", "alice", payload]);
    }
  assert.equal(await listener.nextText(), '{"event":"whisper","data":{"x":1}}');
  assert.equal(await listener.nextText(), '{"event":"whisper","data":[ 1 ]}');
  for (const [fields, code] of [[{ channel: "private-chat" }, "forbidden"], [{ channel: "hall" }, "forbidden"], [{}, "invalid_channel"], [{ channel: "PRIVATE-x" }, "invalid_channel"]]) {
    const answer = await bob.command("whisper", { data: 1, ...fields });
    assert.deepEqual([answer.type, answer.code], ["error", code], JSON.stringify(fields));
  }
  for (const each of [alice, tab, bob, listener]) await each.expectNothing();
});

const JUNK = [
  "", "whisper", "{", "[]", "null", '{"event":"ping"}', '{"type":"ping"}', '{"event":"Whisper","data":1}', '{"event":"client-whisper","data":1}', '{"event":["whisper"]}',
  '{"event":"OrderShipped","data":{}}', '{"event":"presence:join","data":{"member":{"id":"eve"}}}', '{"type":"whisper","channel":"chat","data":1}', '{"data":{"event":"whisper"}}',
  '{"type":"join","channel":"chat","ref":1}', "ping", Buffer.from('{"event":"whisper","data":1}'), Buffer.from([0xc1]),
];

test("all else that a client says is ignored, binary too", async (t) => {
  const dm = await serve(t);
  const [sender, other] = [await Listener.connect(dm, "alice", "chat"), await Listener.connect(dm, "bob", "chat")];
  for (const junk of JUNK) {
    sender.send(junk);
    assert.deepEqual(await sender.settle(), [], String(junk));
  }
  sender.whisper("last");
  assert.equal(await other.nextText(), '{"event":"whisper","data":"last"}');
  await other.expectNothing();
  await sender.expectNothing();
  assert.deepEqual(await membersOf(dm, "chat"), []);
});

test("whispers come in the order in which they were said, those before a Close too", async (t) => {
  const dm = await serve(t, { ...QUICK, shards: 3 });
  const others = [];
  for (const user of ["bob", "carol", "dave"]) others.push(await Listener.connect(dm, user, "chat"));
  for (let round = 0; round < 2; round++) {
    const raw = await dm.rawSocket("alice", { path: "/ws/channel/chat" });
    await allAsleep(dm);
    const frames = Array.from({ length: 100 }, (_, n) => text({ event: "whisper", data: n }));
    raw.write(...frames, frame(OPCODE.text, '{"event":"whis', { fin: false }), frame(OPCODE.continuation, 'per","data":100}'), closeFrame(1000, "bye"));
    assert.equal((await raw.close()).code, 1000);
    for (const other of others) for (let n = 0; n <= 100; n++) assert.equal(await other.nextText(), `{"event":"whisper","data":${n}}`);
  }
  for (const other of others) await other.expectNothing();
});

test("a whisper of max_message is passed on, a longer one closes with 1009", async (t) => {
  const dm = await serve(t, { max_message: "64KiB" });
  const [sender, other] = [await Listener.connect(dm, "alice", "chat"), await Listener.connect(dm, "bob", "chat")];
  const exactly = `{"event":"whisper","data":"${"x".repeat(65536 - 29)}"}`;
  assert.equal(exactly.length, 65536);
  sender.send(exactly);
  assert.equal(await other.nextText(), exactly);
  sender.send(exactly.replace("xx", "xxx"));
  assert.equal((await sender.closing()).code, 1009);
  await other.expectNothing();
});

test("asleep, a socket whispers and is whispered to, and no user is woken", async (t) => {
  const dm = await serve(t, { ...QUICK, shards: 2 });
  const [alice, bob] = [await Listener.connect(dm, "alice", "chat"), await Listener.connect(dm, "bob", "chat")];
  await alice.expectNothing();
  await dm.asleep(2);
  const wakes = await dm.metric("dormouse_wakes_total");
  alice.whisper(1);
  assert.equal(await bob.nextText(), '{"event":"whisper","data":1}');
  for (const junk of JUNK) alice.send(junk);
  await broadcast(dm, "chat", "e");
  for (const each of [alice, bob]) assert.equal(await each.nextText(), '{"event":"e","data":{}}');
  for (const each of [alice, bob]) await each.expectNothing();
  assert.equal(await dm.metric("dormouse_wakes_total"), wakes);
  assert.equal(await dm.metric("dormouse_channel_listeners"), 2);
  await alice.drop();
  await until("one listener", async () => (await dm.metric("dormouse_channel_listeners")) === 1);
  bob.whisper(2);
  await bob.expectNothing();
});

// --- guests ---

test("guests are off unless they are let in", async (t) => {
  const dm = await serve(t);
  for (const query of ["", "?userId=zoe", "?token=", "?userId=zoe&type=public"]) assert.equal((await knock(dm, `/ws/channel/lobby${query}`, { as: null })).status, 401, query);
});

test("a guest is guest: and its ?userId=, or a fresh name; a token's user is the token's", async (t) => {
  const dm = await serve(t, GUESTS);
  const zoe = await Listener.connect(dm, undefined, "lobby", { query: "?userId=zoe" });
  await Listener.connect(dm, undefined, "lobby", { query: "?userId=zo%C3%AB+a/b" });
  const nameless = [await Listener.connect(dm, undefined, "lobby"), await Listener.connect(dm, undefined, "lobby")];
  const alice = await Listener.connect(dm, "alice", "lobby", { query: "?userId=zoe" });
  const present = await presentIn(dm, "lobby");
  assert.equal(present.length, 5);
  assert.deepEqual(present.filter((id) => !/^[0-9a-f]{8}-/.test(id)), ["alice", "zoe", "zoë a/b"]);
  assert.ok(!present.some((id) => id.startsWith("guest:")));
  assert.deepEqual((await dm.get("/users/guest:zoe/presence")).json, { online: true, connections: 1 });
  assert.deepEqual((await dm.get("/users/zoe/presence")).json, { online: false, connections: 0 });
  await broadcast(dm, "lobby", "hello");
  for (const each of [zoe, alice, ...nameless]) assert.equal(await each.nextText(), '{"event":"hello","data":{}}');
  zoe.whisper(1);
  for (const each of [alice, ...nameless]) assert.equal(await each.nextText(), '{"event":"whisper","data":1}');
  await join(dm, "lobby", "alice");
  const native = await Native.connect(dm, "alice");
  zoe.whisper(2);
  assert.equal((await native.next()).from, "guest:zoe", "and not some user zoe");
  await dm.post("/users/guest:zoe/disconnect");
  assert.equal((await zoe.closing()).code, 1000);
});

test("guests enter public names only, by this path only, and never with a bad token", async (t) => {
  const dm = await serve(t, GUESTS);
  for (const target of ["private-lobby?userId=zoe", "presence-lobby?userId=zoe", "lobby?type=private&userId=zoe", "lobby?type=presence", "private-lobby?type=public"])
    assert.equal((await knock(dm, `/ws/channel/${target}`, { as: null })).status, 401, target);
  assert.equal((await knock(dm, "/ws/channel/Private-lobby?userId=zoe", { as: null })).status, 400);
  for (const target of ["/ws?userId=zoe", "/?userId=zoe", "/connect"]) assert.equal((await knock(dm, target, { as: null })).status, 401, target);
  for (const options of [{ as: "Bearer junk" }, as(dm, "alice", { exp: 1 })]) assert.equal((await knock(dm, "/ws/channel/lobby?userId=zoe", options)).status, 401);
  assert.equal((await knock(dm, "/ws/channel/lobby?token=junk&userId=zoe", { as: null })).status, 401);
  for (const userId of ["x".repeat(129), "x".repeat(123), "a%0Ab", "%FF", "%zz"]) {
    assert.deepEqual(codeOf(await knock(dm, `/ws/channel/lobby?userId=${userId}`, { as: null })), [400, "invalid_name"], userId);
  }
  assert.equal((await dm.post("/channels/subscribe", { channel: "lobby" }, { as: null })).status, 401);
  assert.equal((await dm.get("/channels/lobby/presence", { as: null })).status, 401);
  assert.equal((await subscribe(dm, "guest:zoe", "lobby")).status, 401);
});

test("guests are limited per address, and as one user under one name", async (t) => {
  const dm = await serve(t, { ...GUESTS, max_connections_per_address: 3, max_connections_per_user: 2 });
  const come = (query, local) => Listener.connect(dm, undefined, "lobby", { query, local });
  for (let i = 0; i < 3; i++) await come(`?userId=g${i}`, "127.0.0.2");
  await assert.rejects(come("?userId=g3", "127.0.0.2"), { status: 429 });
  for (let i = 0; i < 2; i++) await come("?userId=zoe", "127.0.0.3");
  await assert.rejects(come("?userId=zoe", "127.0.0.4"), { status: 503 });
});

// --- ends ---

test("disconnect closes a user's sockets in every channel, with the reason", async (t) => {
  const dm = await serve(t);
  const sockets = [await Listener.connect(dm, "alice", "a"), await Listener.connect(dm, "alice", "b"), await Notifier.connect(dm, "alice")];
  const bob = await Listener.connect(dm, "bob", "a");
  assert.deepEqual((await dm.post("/users/alice/disconnect", { reason: "Moved" })).json, { disconnected: 3 });
  for (const socket of sockets) assert.deepEqual(await socket.closing(), { code: 1000, reason: "Moved" });
  await bob.expectNothing();
  assert.equal(await dm.metric("dormouse_channel_listeners"), 1);
});

test("what a client does wrong closes its own socket only", async (t) => {
  const dm = await serve(t);
  const other = await Listener.connect(dm, "bob", "chat");
  const cases = [[frame(OPCODE.text, Buffer.from([0xff])), 1007], [frame(3, "x"), 1002], [frame(OPCODE.text, "x", { mask: false }), 1002], [closeFrame(3999, "x"), 3999]];
  for (const [bytes, code] of cases) {
    const raw = await dm.rawSocket("alice", { path: "/ws/channel/chat" });
    raw.write(bytes);
    assert.equal((await raw.close()).code, code);
  }
  await other.expectNothing();
  await broadcast(dm, "chat", "e");
  assert.equal((await other.next()).event, "e");
});

test("a socket's channel survives a restart only as its client's: it connects again", async (t) => {
  const dm = await serve(t);
  const listener = await Listener.connect(dm, "alice", "orders");
  await dm.stop();
  assert.equal((await listener.closing()).code, 1012);
  await dm.start();
  assert.deepEqual(await presentIn(dm, "orders"), []);
  const again = await Listener.connect(dm, "alice", "orders");
  await broadcast(dm, "orders", "e");
  assert.equal((await again.next()).event, "e");
});

test("the names that a URL has to encode are one and the same in path and broadcast", async (t) => {
  const dm = await serve(t);
  for (const name of ["a b", "a/b", "a%2Fb", "a+b", "zoë", "日本 😀", "?type=private", "#", "x".repeat(200)]) {
    const listener = await Listener.connect(dm, "alice", name);
    await broadcast(dm, name, "e", name);
    assert.deepEqual(await listener.next(), { event: "e", data: name }, name);
    assert.deepEqual(await presentIn(dm, name), ["alice"], name);
    await listener.close(1000);
  }
});
