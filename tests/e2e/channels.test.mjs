// Channels: their members, what reaches them, and how often.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import {
  ALL_GRANTS, allAsleep, as, broadcast, each, enc, expel, join, Listener, membersOf, Notifier, OK, pages, presentIn, sendTo, subscribe, unsubscribe,
} from "./lib/channels.mjs";
import { Native } from "./lib/native.mjs";
import { WS_KEY } from "./lib/raw.mjs";
import { serve, UUID_V7 } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";
import { sleep, until } from "./lib/wait.mjs";

const QUICK = { hibernate_after: "100ms" };
const MESSAGE = { type: "message" };
const WAKES = "dormouse_channel_wakes_total";
const AWAKE = "dormouse_channels_awake";
const JOINS = 'dormouse_membership_changes_total{change="join"}';
const LEAVES = 'dormouse_membership_changes_total{change="leave"}';

const users = (n) => Array.from({ length: n }, (_, i) => `u${i}`);
const publishTo = (dm, channel, more = {}) => dm.post("/publish", { channel, timeoutMs: 0, ...more });

// --- names ---

const NAMES = [
  "a b", "a/b", "a%2Fb", "a+b", "zoë ü", "日本 太郎 😀", "a?b#c", "a&b=c;d", "..a", "...", "%", "%zz", 'quo"te\\', "guest:x", "subscribe", "members",
  "privateer", "private", "presence", "my-private-x", "42", "null",
];

test("a name is decoded once, whatever is in it, and comes back as it is", async (t) => {
  const dm = await serve(t);
  const alice = await Notifier.connect(dm, "alice");
  const native = await Native.connect(dm, "bob");
  for (const name of NAMES) {
    assert.equal((await subscribe(dm, "alice", name)).text, OK, name);
    assert.equal((await native.command("join", { channel: name })).type, "ok", name);
    const listener = await Listener.connect(dm, "carol", name);
    assert.deepEqual(await membersOf(dm, name), ["alice", "bob"], name);
    const answer = await sendTo(dm, name, "t");
    assert.deepEqual([answer.members, answer.delivered], [2, 3], name);
    assert.equal((await alice.next()).channel, name);
    assert.equal((await native.next()).channel, name);
    assert.equal(await listener.nextText(), '{"event":"t","data":{}}');
    assert.deepEqual(await presentIn(dm, name), ["alice", "bob", "carol"], name);
    assert.equal((await expel(dm, name, "bob")).text, OK);
    assert.equal((await unsubscribe(dm, "alice", name)).text, OK);
    assert.deepEqual(await membersOf(dm, name), [], name);
    await listener.close(1000);
  }
});

test("+ is a plus in a path and a blank in a query; blanks around a name are cut off", async (t) => {
  const dm = await serve(t);
  await join(dm, "a+b", "u+1", "u 1");
  assert.deepEqual((await dm.get("/channels/a+b/members")).json.members.sort(), ["u 1", "u+1"]);
  assert.deepEqual((await dm.get("/channels/a%20b/members")).json.members, []);
  const [first] = await pages(dm, "/channels/a+b/members", 1);
  assert.equal(first.next, first.members[0]);
  const rest = async (after) => (await dm.get(`/channels/a+b/members?after=${after}`)).json.members;
  assert.deepEqual(await rest("u%201"), await rest("u+1"), "a + in a query is a blank");
  assert.notDeepEqual(await rest("u%2B1"), await rest("u+1"));
  assert.equal((await dm.call("PUT", "/channels/%20trimmed%09/members/%20u1%20")).text, OK);
  assert.equal((await subscribe(dm, "u2", "  trimmed\n")).text, OK);
  assert.deepEqual(await membersOf(dm, "trimmed"), ["u1", "u2"]);
});

/** Every way to name a channel: what answers, in a word. */
async function everywhere(dm, name, native) {
  const path = `/channels/${enc(name)}`;
  const status = async (answer) => (await answer).status;
  const upgrade = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13", "sec-websocket-key": WS_KEY };
  const socket = dm.get(`/ws/channel/${enc(name)}`, { ...as(dm, "x", ALL_GRANTS), headers: upgrade }); // a WebSocket would resolve ".."
  const command = (type, more) => native.command(type, { channel: name, ...more }).then(({ code }) => code ?? "ok");
  return {
    subscribe: await status(subscribe(dm, "x", name, ALL_GRANTS)),
    unsubscribe: await status(unsubscribe(dm, "x", name)),
    put: await status(dm.call("PUT", `${path}/members/x`)),
    members: await status(dm.get(`${path}/members`)),
    presence: await status(dm.get(`${path}/presence`)),
    send: await status(dm.post(`${path}/send`, { type: "t" })),
    broadcast: await status(dm.post(`${path}/broadcast`, { event: "t" })),
    publish: await status(publishTo(dm, name)),
    durable: await status(publishTo(dm, name, { durable: true, ttlSeconds: 1 })).then((seen) => (seen === 202 ? 200 : seen)),
    remove: await status(dm.call("DELETE", `${path}/members/x`)),
    forget: await status(dm.call("DELETE", path)),
    socket: await status(socket),
    join: await command("join"),
    whisper: await command("whisper", { data: 1 }),
    presenceOf: await command("presence"),
    leave: await command("leave"),
  };
}

const GOOD = {
  subscribe: 200, unsubscribe: 200, put: 200, members: 200, presence: 200, send: 200, broadcast: 204, publish: 200, durable: 200, remove: 200,
  forget: 200, socket: 101, join: "ok", whisper: "ok", presenceOf: "ok", leave: "ok",
};
const BAD = {
  ...Object.fromEntries(Object.keys(GOOD).map((key) => [key, 400])),
  join: "invalid_channel", whisper: "invalid_channel", presenceOf: "invalid_channel", leave: "invalid_channel",
};

test("a name of 200 bytes is one everywhere; of 201, or no name, is refused everywhere", async (t) => {
  const dm = await serve(t);
  const native = await Native.connect(dm, "n", { claims: ALL_GRANTS });
  for (const name of ["x".repeat(200), "é".repeat(100), `private-${"x".repeat(192)}`, "😀".repeat(50)])
    assert.deepEqual(await everywhere(dm, name, native), GOOD, name);
  const bad = [
    "x".repeat(201), `${"é".repeat(100)}x`, `presence-${"x".repeat(192)}`, ".", "..", "a\u0000b", "a\nb", "a\u007fb", "a\u200bb", "a\u202eb",
    "Private-x", "PRIVATE-x", "privatE-x", "Presence-x", "pResence-", "PRESENCE-x",
  ];
  for (const name of bad) assert.deepEqual(await everywhere(dm, name, native), BAD, JSON.stringify(name));
  await native.expectNothing();
});

test("what is refused in a body is invalid_channel, in a path invalid_name", async (t) => {
  const dm = await serve(t);
  for (const name of ["Private-x", "x".repeat(201)]) {
    const codes = [];
    for (const answer of [
      await subscribe(dm, "x", name), await publishTo(dm, name), await dm.get(`/channels/${name}/members`), await dm.post(`/channels/${name}/send`, { type: "t" }),
      await dm.post(`/channels/${name}/broadcast`, { event: "t" }), await dm.call("DELETE", `/channels/${name}`), await dm.call("PUT", `/channels/${name}/members/x`),
      await dm.get(`/channels/${name}/presence`),
    ])
      codes.push(`${answer.status} ${answer.json.code}: ${answer.json.error}`);
    assert.deepEqual(codes, [
      ...Array(2).fill("400 invalid_channel: Missing or invalid channel name"), ...Array(6).fill("400 invalid_name: Invalid name"),
    ]);
  }
  for (const path of ["/channels/%zz", "/channels/%", "/channels/%2", "/channels/%FF", "/channels/%C0%AF", "/channels/..", "/channels/%2e%2E", "/channels/"])
    for (const [method, more] of [["GET", "/members"], ["POST", "/send"], ["PUT", "/members/x"], ["DELETE", ""]]) {
      const answer = await dm.call(method, path + more, { body: method === "POST" ? { type: "t" } : undefined });
      assert.deepEqual([answer.status, answer.json.code], [400, "invalid_name"], `${method} ${path}${more}`);
    }
});

test("a member's userId has 128 bytes at most", async (t) => {
  const dm = await serve(t);
  const longest = ["x".repeat(128), "é".repeat(64), "a/b c+d%", "guest:zoe"];
  for (const userId of longest) await join(dm, "room", userId);
  assert.deepEqual(await membersOf(dm, "room"), [...longest].sort());
  for (const userId of ["x".repeat(129), `${"é".repeat(64)}x`, "..", "a\nb", " "])
    for (const method of ["PUT", "DELETE"]) {
      const answer = await dm.call(method, `/channels/room/members/${enc(userId)}`);
      assert.deepEqual([answer.status, answer.json.code], [400, "invalid_name"], userId);
    }
  assert.equal((await dm.get(`/channels/room/members?limit=2&after=${enc("x".repeat(128))}`)).status, 200);
  assert.equal((await subscribe(dm, "x".repeat(129), "room")).status, 401);
});

// --- who may ---

test("who may what: nobody 401, a user 403, publish sends, admin manages, an API key all", async (t) => {
  const dm = await serve(t);
  const calls = [
    ["PUT", "/channels/c/members/x", "admin", 200], ["DELETE", "/channels/c/members/x", "admin", 200], ["GET", "/channels/c/members", "admin", 200],
    ["DELETE", "/channels/c", "admin", 200], ["GET", "/channels/private-c/presence", "admin", 200], ["POST", "/channels/c/send", "publish", 200],
    ["POST", "/channels/c/broadcast", "publish", 204],
  ];
  for (const [method, path, scope, good] of calls) {
    const ask = async (auth) => {
      const body = method === "POST" ? { type: "private", event: "t" } : undefined;
      return (await dm.call(method, path, { body, as: auth })).status;
    };
    const of = (scope) => `Bearer ${dm.token("a-backend", { scope })}`;
    const what = `${method} ${path}`;
    assert.equal(await ask(null), 401, what);
    assert.equal(await ask("Bearer junk"), 401, what);
    assert.equal(await ask(of(undefined)), 403, what);
    assert.equal(await ask(of("publish")), scope === "publish" ? good : 403, `${what} by publish`);
    assert.equal(await ask(of("admin")), good, `${what} by admin`);
    assert.equal(await ask(undefined), good, `${what} by the API key`);
  }
});

test("open_publish lets no plain token publish to a channel", async (t) => {
  const dm = await serve(t, { open_publish: true });
  await join(dm, "news", "alice");
  const alice = await Notifier.connect(dm, "alice");
  const plain = as(dm, "mallory");
  assert.equal((await dm.post("/publish", { userId: "alice", timeoutMs: 0 }, plain)).status, 200);
  assert.equal((await alice.next()).type, "message");
  for (const body of [{ channel: "news" }, { channel: "news", durable: true }, { channel: "news", envelopeId: randomUUID() }])
    assert.deepEqual([(await dm.post("/publish", body, plain)).status], [403]);
  const native = await Native.connect(dm, "mallory");
  assert.equal((await native.command("publish", { envelope: { channel: "news" } })).code, "forbidden");
  assert.equal((await dm.post("/channels/news/send", { type: "t" }, plain)).status, 403);
  assert.equal((await dm.post("/channels/news/broadcast", { event: "t" }, plain)).status, 403);
  await alice.expectNothing();
});

// --- membership ---

test("joining twice and leaving twice is as once, and counted so", async (t) => {
  const dm = await serve(t);
  await Promise.all(Array.from({ length: 20 }, () => join(dm, "room", "alice")));
  assert.deepEqual(await membersOf(dm, "room"), ["alice"]);
  assert.equal(await dm.metric(JOINS), 1);
  const left = await Promise.all(Array.from({ length: 20 }, (_, i) => (i % 2 ? unsubscribe(dm, "alice", "room") : expel(dm, "room", "alice"))));
  for (const { status, text } of left) assert.deepEqual([status, text], [200, OK]);
  assert.equal(await dm.metric(LEAVES), 1);
  assert.equal((await unsubscribe(dm, "nobody", "nowhere")).text, OK);
  assert.deepEqual((await dm.get("/channels/nowhere/members")).text, '{"members":[]}');
  assert.equal((await expel(dm, "room", "alice")).text, OK);
  assert.equal(await dm.metric(LEAVES), 1);
});

for (const end of ["kill", "stop"])
  test(`what was answered lasts over ${end} and start`, async (t) => {
    const dm = await serve(t, { shards: 3 });
    const wanted = new Map();
    await each(users(60), 20, async (user, i) => {
      const channel = `room ${i % 4}`;
      assert.equal((await (i % 2 ? subscribe(dm, user, channel) : dm.call("PUT", `/channels/${enc(channel)}/members/${user}`))).text, OK);
      if (i % 3) return wanted.set(user, channel);
      return assert.equal((await (i % 2 ? expel(dm, channel, user) : unsubscribe(dm, user, channel))).text, OK);
    });
    await dm[end]();
    await dm.start({ shards: 2 });
    for (let n = 0; n < 4; n++) {
      const channel = `room ${n}`;
      const expected = users(60).filter((user) => wanted.get(user) === channel).sort();
      assert.deepEqual(await membersOf(dm, channel), expected);
      assert.equal((await sendTo(dm, channel, "t")).members, expected.length);
    }
    const u1 = await Notifier.connect(dm, "u1");
    assert.equal((await sendTo(dm, "room 1", "t")).delivered, 1);
    assert.equal((await u1.next()).channel, "room 1");
  });

test("a server killed amid joins and leaves remembers each one that was answered", async (t) => {
  const dm = await serve(t, { shards: 3 });
  const answered = new Set();
  for (let round = 0; round < 3; round++) {
    const asked = users(200).map((user) => `${round}${user}`);
    const work = each(asked, 30, async (user) => {
      const answer = await subscribe(dm, user, "room").catch(() => undefined);
      if (answer?.status === 200) answered.add(user);
    });
    await until("some are answered", () => answered.size > round * 200 + 20, { every: 1 });
    await dm.kill();
    await work;
    await dm.start();
    const seen = new Set(await membersOf(dm, "room"));
    assert.deepEqual([...answered].filter((user) => !seen.has(user)), []);
    await each(asked, 30, async (user) => {
      await join(dm, "room", user);
      answered.add(user);
    });
  }
  assert.equal((await sendTo(dm, "room", "t")).members, 600);
});

test("an idle channel's members leave memory, and its next event reads them again", async (t) => {
  const dm = await serve(t, { ...QUICK, shards: 1 });
  await join(dm, "room", "alice", "bob");
  const alice = await Notifier.connect(dm, "alice");
  const listener = await Listener.connect(dm, "bob", "room");
  for (let round = 0; round < 3; round++) {
    await sendTo(dm, "room", "t");
    assert.equal((await alice.next()).type, "t");
    assert.equal((await listener.next()).event, "t");
    assert.equal((await dm.metric("dormouse_channel_members_awake")) % 2, 0);
    await allAsleep(dm);
    const samples = await dm.metrics();
    assert.deepEqual([samples.dormouse_channel_members_awake, samples.dormouse_channel_listeners], [0, 1]);
    assert.equal(samples[WAKES], round + 1);
    assert.equal(samples.dormouse_channel_evictions_total, round + 1);
  }
  await sendTo(dm, "room", "t");
  const [{ [WAKES]: wakes, [AWAKE]: awake }] = [await dm.metrics()];
  assert.deepEqual([wakes, awake], [4, 1]);
});

test("joins and leaves while the channel sleeps, and while it wakes, are seen by the next send", async (t) => {
  const dm = await serve(t, { ...QUICK, shards: 2 });
  await join(dm, "room", ...users(20));
  const sockets = new Map();
  for (const user of [...users(20), "late"]) sockets.set(user, await Notifier.connect(dm, user));
  for (let round = 0; round < 3; round++) {
    await allAsleep(dm);
    await join(dm, "room", "late");
    await unsubscribe(dm, "u3", "room");
    assert.deepEqual((({ members, delivered }) => [members, delivered])(await sendTo(dm, "room", "t")), [20, 20]);
    await allAsleep(dm);
    const [answer] = await Promise.all([sendTo(dm, "room", "t"), unsubscribe(dm, "late", "room"), subscribe(dm, "u3", "room")]);
    assert.equal(answer.members, answer.delivered);
    const now = await sendTo(dm, "room", "t");
    assert.deepEqual([now.members, now.delivered], [20, 20]);
  }
  assert.equal((await sockets.get("late").settle()).length >= 3, true);
});

test("2,500 members come page by page, each once and always in the same order", async (t) => {
  const dm = await serve(t, { shards: 3 });
  const all = users(2500).map((user) => `${user} é/`);
  await each(all, 64, (user) => join(dm, "crowd", user));
  await join(dm, "crow", "stranger");
  const expected = [...all].sort();
  const path = "/channels/crowd/members";
  const seen = {};
  for (const limit of [10000, 2501, 2500, 2499, 1000, 97]) {
    const got = await pages(dm, path, limit);
    seen[limit] = got.flatMap(({ members }) => members);
    assert.deepEqual([...seen[limit]].sort(), expected, `limit ${limit}`);
    assert.deepEqual(seen[limit], seen[10000], `limit ${limit}`);
    for (const [i, page] of got.entries()) {
      const last = i === got.length - 1;
      assert.equal(page.members.length, last ? 2500 - limit * i : limit);
      assert.deepEqual(Object.keys(page), last ? ["members"] : ["members", "next"]);
      if (!last) assert.equal(page.next, page.members.at(-1));
    }
  }
  const standard = (await dm.get(path)).json;
  assert.deepEqual([standard.members, standard.next], [seen[10000].slice(0, 1000), seen[10000][999]]);
  const [one, two] = seen[10000].slice(499, 501);
  await expel(dm, "crowd", one);
  const rest = (await dm.get(`${path}?after=${enc(one)}&limit=1`)).json;
  assert.deepEqual(rest, { members: [two], next: two }, "behind one who has left");
  assert.equal((await sendTo(dm, "crowd", "t")).members, 2499);
  await dm.kill();
  await dm.start({ shards: 2 });
  const after = (await pages(dm, path, 1000)).flatMap(({ members }) => members);
  assert.deepEqual(after, seen[10000].filter((user) => user !== one), "the order is of the store, not of the shards");
});

test("a page's limit is a number from 1 to 10000, its after a userId", async (t) => {
  const dm = await serve(t);
  for (const what of ["members", "presence"]) {
    for (const query of ["limit=0", "limit=10001", "limit=-1", "limit=1.5", "limit=x", "limit=", "limit=1e2", "limit=99999999999999999999", "after=", "after=..", `after=${"x".repeat(129)}`, "after=%zz"]) {
      const answer = await dm.get(`/channels/room/${what}?${query}`);
      assert.deepEqual([answer.status, answer.json.code], [400, "invalid_field"], `${what} ${query}`);
    }
    for (const query of ["limit=1", "limit=10000", "after=nobody", `after=${"x".repeat(128)}`, "other=1"])
      assert.equal((await dm.get(`/channels/room/${what}?${query}`)).text, '{"members":[]}', query);
  }
});

test("a user has max_channels_per_user, by whatever way it joins", async (t) => {
  const dm = await serve(t, { max_channels_per_user: 3 });
  const native = await Native.connect(dm, "alice");
  const statuses = await Promise.all(Array.from({ length: 12 }, (_, i) => subscribe(dm, "alice", `room-${i}`)));
  const joined = statuses.flatMap(({ status }, i) => (status === 200 ? [`room-${i}`] : []));
  assert.equal(joined.length, 3);
  for (const { status, json } of statuses) if (status !== 200) assert.deepEqual([status, json.code], [400, "too_many_channels"]);
  const put = await dm.call("PUT", "/channels/one-more/members/alice");
  assert.deepEqual([put.status, put.json.code], [400, "too_many_channels"]);
  const error = await native.command("join", { channel: "one-more" });
  assert.deepEqual([error.type, error.code], ["error", "too_many_channels"]);
  for (const name of joined) assert.equal((await subscribe(dm, "alice", name)).text, OK, "it is a member already");
  assert.equal((await subscribe(dm, "bob", "one-more")).status, 200);
  await unsubscribe(dm, "alice", joined[0]);
  assert.equal((await native.command("join", { channel: "one-more" })).type, "ok");
  assert.equal((await subscribe(dm, "alice", joined[0])).status, 400);
  await dm.call("DELETE", `/channels/${joined[1]}`);
  assert.equal((await subscribe(dm, "alice", joined[0])).status, 200, "a channel that was forgotten counts no more");
});

test("DELETE of a member closes its listeners there with 4403, and nothing else", async (t) => {
  const dm = await serve(t, { shards: 3 });
  await join(dm, "room", "alice", "bob");
  const [one, two, there, other, tab] = [
    await Listener.connect(dm, "alice", "room"), await Listener.connect(dm, "alice", "room"), await Listener.connect(dm, "alice", "hall"),
    await Listener.connect(dm, "bob", "room"), await Notifier.connect(dm, "alice"),
  ];
  assert.equal((await expel(dm, "room", "alice")).text, OK);
  for (const gone of [one, two]) assert.equal((await gone.closing()).code, 4403);
  assert.deepEqual(await membersOf(dm, "room"), ["bob"]);
  for (const stays of [there, other, tab]) await stays.expectNothing();
  assert.deepEqual((({ members, delivered }) => [members, delivered])(await sendTo(dm, "room", "t")), [1, 1]);
  await tab.expectNothing();
  const again = await Listener.connect(dm, "alice", "room");
  await unsubscribe(dm, "alice", "room");
  await again.expectNothing(); // its own leaving closes nothing
  assert.equal((await expel(dm, "room", "alice")).text, OK);
  assert.equal((await again.closing()).code, 4403, "though it was no member");
});

test("DELETE of a channel forgets its members and closes its listeners with 4403", async (t) => {
  const dm = await serve(t, { ...QUICK, shards: 3 });
  await join(dm, "room", ...users(30));
  await join(dm, "hall", ...users(30));
  const listeners = [];
  for (const user of [...users(6), "x", "y"]) listeners.push(await Listener.connect(dm, user, "room"));
  const [hall, tab] = [await Listener.connect(dm, "u1", "hall"), await Notifier.connect(dm, "u1")];
  await allAsleep(dm);
  const answer = await dm.call("DELETE", "/channels/room");
  assert.deepEqual([answer.status, answer.text], [200, OK]);
  for (const listener of listeners) assert.equal((await listener.closing()).code, 4403);
  assert.deepEqual(await membersOf(dm, "room"), []);
  assert.deepEqual(await presentIn(dm, "room"), []);
  const nobody = await sendTo(dm, "room", "t");
  assert.deepEqual([nobody.members, nobody.delivered], [0, 0]);
  assert.equal((await membersOf(dm, "hall")).length, 30);
  assert.deepEqual((({ members, delivered }) => [members, delivered])(await sendTo(dm, "hall", "t")), [30, 2]);
  assert.equal((await hall.next()).event, "t");
  assert.equal((await tab.next()).channel, "hall");
  assert.equal((await dm.call("DELETE", "/channels/room")).text, OK);
  await dm.kill();
  await dm.start();
  assert.deepEqual(await membersOf(dm, "room"), []);
  assert.equal((await membersOf(dm, "hall")).length, 30);
});

test("native sessions join and leave by command, as often as they like", async (t) => {
  const dm = await serve(t);
  const alice = await Native.connect(dm, "alice");
  const tab = await Notifier.connect(dm, "alice");
  alice.send('{"type":"join","channel":" room-42 ","ref":"a\\u0062"}');
  assert.equal(await alice.nextText(), '{"type":"ok","ref":"a\\u0062"}');
  assert.deepEqual(await membersOf(dm, "room-42"), ["alice"]);
  assert.deepEqual(await alice.command("join", { channel: "room-42" }), { type: "ok", ref: "r1" });
  alice.send({ type: "join", channel: "hall" });
  await alice.settle();
  await until("it is a member", async () => (await membersOf(dm, "hall")).length === 1);
  await alice.expectNothing(); // without a ref there is no answer
  await sendTo(dm, "room-42", "t");
  assert.equal((await alice.next()).channel, "room-42");
  assert.equal((await tab.next()).channel, "room-42", "membership is the user's");
  for (let i = 0; i < 2; i++) assert.equal((await alice.command("leave", { channel: "room-42" })).type, "ok");
  assert.deepEqual(await membersOf(dm, "room-42"), []);
  const errors = [
    [{}, "invalid_channel"], [{ channel: 7 }, "invalid_channel"], [{ channel: "" }, "invalid_channel"], [{ channel: "PRIVATE-x" }, "invalid_channel"],
    [{ channel: "private-x" }, "forbidden"], [{ channel: "presence-x" }, "forbidden"],
  ];
  for (const [fields, code] of errors) {
    const answer = await alice.command("join", fields);
    assert.deepEqual([answer.type, answer.code], ["error", code], JSON.stringify(fields));
    assert.equal(typeof answer.error, "string");
  }
  assert.equal((await alice.command("leave", { channel: "private-x" })).type, "ok", "leaving needs no grant");
  const granted = await Native.connect(dm, "alice", { claims: { channels: ["private-x"] } });
  assert.equal((await granted.command("join", { channel: "private-x" })).type, "ok");
  assert.equal((await alice.command("join", { channel: "private-x" })).code, "forbidden");
});

// --- sends ---

test("the same envelope in each dialect: a hopeflow, a notifier, a native and a broadcast socket", async (t) => {
  const dm = await serve(t);
  await join(dm, "room-42", "alice");
  const hopeflow = await (await dm.connect("alice")).subscribe({ type: "order" });
  const [notifier, native] = [await Notifier.connect(dm, "alice"), await Native.connect(dm, "alice")];
  const listeners = [await Listener.connect(dm, "alice", "room-42"), await Listener.connect(dm, "zoe", "room-42")];
  const data = '{ "total" : 12.50, "n":[1e2,"\\u00e9\\/"] }';

  const expectAll = async (id, ts, inHopeflow, data) => {
    const iso = new Date(ts).toISOString();
    const payload = data === undefined ? "" : `,"payload":${data}`;
    assert.equal(await hopeflow.nextText(), `{"envelopeId":"${inHopeflow}","type":"order","userId":"alice","timestamp":"${iso}"${payload}}`);
    assert.equal(await native.nextText(), `{"envelopeId":"${inHopeflow}","type":"order","userId":"alice","timestamp":"${iso}","channel":"room-42"${payload}}`);
    const dataOf = data === undefined ? "" : `,"data":${data}`;
    assert.equal(await notifier.nextText(), `{"type":"order"${dataOf},"id":"${id}","ts":${ts},"channel":"room-42"}`);
    for (const listener of listeners) assert.equal(await listener.nextText(), `{"event":"order","data":${data ?? "{}"}}`);
    for (const each of [hopeflow, native, notifier, ...listeners]) await each.expectNothing();
  };

  const sent = await dm.post("/channels/room-42/send", `{"type":"order","data":${data}}`);
  assert.deepEqual(Object.keys(sent.json), ["id", "ts", "members", "delivered"]);
  assert.match(sent.json.id, UUID_V7);
  assert.deepEqual([sent.status, sent.json.members, sent.json.delivered], [200, 1, 5]);
  await expectAll(sent.json.id, sent.json.ts, sent.json.id, data);

  const published = (await dm.post("/publish", `{"channel":"room-42","type":"order","payload":${data},"timeoutMs":0}`)).json;
  assert.deepEqual([published.clientCount, published.delivered], [2, 5]);
  const shown = await notifier.nextText();
  notifier.putBack([shown]);
  const { ts } = JSON.parse(shown);
  await expectAll(published.envelopeId, ts, published.envelopeId, data);

  await dm.post("/channels/room-42/send", { type: "order" });
  const bare = await notifier.next();
  assert.deepEqual(Object.keys(bare), ["type", "id", "ts", "channel"]);
  notifier.putBack([JSON.stringify(bare)]); // which has no payload, and so nothing that could be written in two ways
  await expectAll(bare.id, bare.ts, bare.id);
});

test("a send's id and ts are the caller's where given, the id a label only", async (t) => {
  const dm = await serve(t);
  await join(dm, "room", "alice");
  const [notifier, native] = [await Notifier.connect(dm, "alice"), await Native.connect(dm, "alice")];
  const ts = 1700000000123;
  for (let i = 0; i < 2; i++)
    assert.deepEqual(await sendTo(dm, "room", { type: "t", id: "order-7", ts }), { id: "order-7", ts, members: 1, delivered: 2 });
  const [one, two] = [await native.next(), await native.next()];
  assert.match(one.envelopeId, UUID_V7);
  assert.notEqual(one.envelopeId, two.envelopeId);
  assert.equal(one.timestamp, new Date(ts).toISOString());
  assert.equal(await notifier.nextText(), `{"type":"t","id":"order-7","ts":${ts},"channel":"room"}`);
});

for (const shards of [1, 2, 5])
  test(`${shards} shards: a send, a broadcast and a publish reach every member and listener once, under one id`, async (t) => {
    const dm = await serve(t, { shards });
    const members = users(15);
    await join(dm, "room", ...members, "nobody");
    const hopeflow = [], native = [], notifier = [], listeners = [];
    await each(members, 5, async (user) => {
      hopeflow.push((await (await dm.connect(user)).subscribe({ type: "order" })).autoAck((e) => e.userId));
      native.push((await Native.connect(dm, user)).autoAck((e) => `${e.userId} too`));
      notifier.push(await Notifier.connect(dm, user), await Notifier.connect(dm, user));
      listeners.push(await Listener.connect(dm, user, "room"), await Listener.connect(dm, `guest of ${user}`, "room"));
    });
    const stranger = await Notifier.connect(dm, "stranger");
    await join(dm, "hall", "stranger");
    const ids = async (clients) => new Set(await Promise.all(clients.map(async (c) => ((e) => e.envelopeId ?? e.id)(await c.next()))));

    const sent = await sendTo(dm, "room", { type: "order" });
    assert.deepEqual([sent.members, sent.delivered], [16, 90]);
    assert.deepEqual(await ids([...hopeflow, ...native, ...notifier]), new Set([sent.id]));

    const answer = await dm.publish({ channel: "room", type: "order", timeoutMs: 20000 });
    assert.deepEqual([answer.clientCount, answer.delivered], [30, 90]);
    assert.deepEqual([...answer.results].sort(), members.flatMap((user) => [user, `${user} too`]).sort());
    assert.deepEqual(await ids([...hopeflow, ...native, ...notifier]), new Set([answer.envelopeId]));

    await broadcast(dm, "room", "order", { n: 1 });
    assert.equal((await ids([...hopeflow, ...native, ...notifier])).size, 1);
    for (const listener of listeners)
      assert.deepEqual(await listener.settle(), ['{"event":"order","data":{}}', '{"event":"order","data":{}}', '{"event":"order","data":{"n":1}}']);
    for (const client of [...hopeflow, ...native, ...notifier, stranger]) await client.expectNothing();
  });

test("a member with three tabs gets it three times, a tab in three channels once for each", async (t) => {
  const dm = await serve(t);
  const tabs = [];
  for (let i = 0; i < 3; i++) tabs.push(await Notifier.connect(dm, "alice"));
  for (const channel of ["a", "b", "c"]) await join(dm, channel, "alice");
  for (const channel of ["a", "b", "c"]) assert.deepEqual((({ members, delivered }) => [members, delivered])(await sendTo(dm, channel, "t")), [1, 3]);
  for (const tab of tabs) assert.deepEqual((await tab.settle()).map((e) => JSON.parse(e).channel), ["a", "b", "c"]);
});

test("hopeflow sessions of members take only what their filters match", async (t) => {
  const dm = await serve(t);
  await join(dm, "room", "alice");
  await dm.connect("alice");
  const red = await (await dm.connect("alice")).subscribe({ type: "paint", color: "red" });
  const any = await (await dm.connect("alice")).subscribe({ type: "paint" });
  const filtered = await Native.connect(dm, "alice");
  await filtered.command("subscribe", { filters: [{ type: "other" }] });
  for (const [event, delivered] of [[{ type: "paint", data: { color: "red" } }, 2], [{ type: "paint", data: { color: "blue" } }, 1], [{ type: "other" }, 1], [{ type: "none" }, 0]])
    assert.equal((await sendTo(dm, "room", event)).delivered, delivered, JSON.stringify(event));
  assert.deepEqual([(await red.settle()).length, (await any.settle()).length, (await filtered.settle()).length], [1, 2, 1]);
  assert.equal((await dm.publish({ channel: "room", type: "paint", payload: { color: "red" }, timeoutMs: 0 })).clientCount, 2);
});

test("the types of the server's own are nobody else's", async (t) => {
  const dm = await serve(t);
  await join(dm, "room", "alice");
  const [tab, listener] = [await Notifier.connect(dm, "alice"), await Listener.connect(dm, "bob", "room")];
  for (const type of ["$x", "$", "__x", "__heartbeat", "presence.join", "presence.leave", "presence:join", "presence:leave", "whisper", " whisper "]) {
    const answers = [
      await dm.post("/channels/room/send", { type }), await dm.post("/channels/room/broadcast", { event: type }), await publishTo(dm, "room", { type }),
      await dm.post("/users/alice/send", { type }), await dm.post("/users/send", { userIds: ["alice"], event: { type } }),
    ];
    for (const [i, { status, json }] of answers.entries()) assert.deepEqual([status, json.code], [400, "invalid_field"], `${type} ${i}`);
  }
  for (const type of ["presence.joined", "_x", "Whisper", "presence"]) assert.equal((await sendTo(dm, "room", type)).delivered, 2);
  for (const client of [tab, listener]) assert.equal((await client.settle()).length, 4);
});

test("what is wrong with a send or a publish to a channel is said", async (t) => {
  const dm = await serve(t);
  const send = "/channels/room/send";
  for (const body of ["{}", '{"type":""}', '{"type":7}', '{"type":"t","ts":-1}', '{"type":"t","ts":"now"}', '{"type":"t","id":7}', `{"type":"t","id":"${"x".repeat(201)}"}`])
    assert.deepEqual((({ status, json }) => [status, json.code])(await dm.post(send, body)), [400, "invalid_field"], body);
  for (const body of ["{", "[]", ""]) assert.deepEqual((({ status, json }) => [status, json.error])(await dm.post(send, body)), [400, "Invalid JSON body"], body);
  assert.equal((await dm.post(send, '{"type":"t"}', { headers: { "content-type": "text/plain" } })).status, 415);
  assert.deepEqual((({ status, headers }) => [status, headers.allow?.includes("POST")])(await dm.get(send)), [405, true]);
  for (const both of [{ userId: "alice" }, { userIds: ["alice"] }, { userIds: [] }])
    assert.deepEqual((({ status, json }) => [status, json.code])(await publishTo(dm, "room", both)), [400, "invalid_field"], JSON.stringify(both));
  for (const channel of [7, "", " ", {}, []]) assert.deepEqual((({ status, json }) => [status, json.code])(await publishTo(dm, channel)), [400, "invalid_channel"], JSON.stringify(channel));
  assert.equal((await dm.post("/publish", { channel: null })).json.error, "userId is required", "null is as if it were not there");
});

// --- acks ---

test("a publish to a channel waits for its members' acks, and for nobody else's", async (t) => {
  const dm = await serve(t, QUICK);
  await join(dm, "room", "alice", "bob");
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const bob = await Native.connect(dm, "bob");
  const [stranger, tab, listener] = [await Native.connect(dm, "carol"), await Notifier.connect(dm, "bob"), await Listener.connect(dm, "carol", "room")];
  const open = dm.publish({ channel: "room", payload: 1, timeoutMs: 20000 });
  const envelope = await alice.next();
  await Promise.all([bob.next(), tab.next(), listener.next()]);
  await allAsleep(dm);
  assert.equal((await stranger.command("ack", { envelopeId: envelope.envelopeId })).code, "not_found");
  alice.ack(envelope, "alice");
  await unsubscribe(dm, "bob", "room");
  assert.equal((await bob.command("ack", { envelopeId: envelope.envelopeId, result: { b: 1 } })).type, "ok", "it was sent it, though it is no member now");
  const { clientCount, delivered, results } = await open;
  assert.deepEqual([clientCount, delivered, results], [2, 4, ["alice", { b: 1 }]]);
  await stranger.expectNothing();
});

test("a channel of nobody, or of members who are away, is answered at once", async (t) => {
  const dm = await serve(t);
  await join(dm, "away", "alice");
  const began = Date.now();
  for (const channel of ["nowhere", "away"]) {
    const { clientCount, delivered, results } = await dm.publish({ channel, timeoutMs: 20000 });
    assert.deepEqual([clientCount, delivered, results], [0, 0, []]);
  }
  assert.ok(Date.now() - began < 5000);
});

test("disconnect, and a cut line, end the wait for a member's ack", async (t) => {
  const dm = await serve(t);
  await join(dm, "room", "alice", "bob", "carol");
  const [alice, bob, carol] = [await Native.connect(dm, "alice"), await Native.connect(dm, "bob"), await Native.connect(dm, "carol")];
  const open = dm.publish({ channel: "room", timeoutMs: 20000 });
  for (const each of [alice, bob, carol]) await each.next();
  await dm.post("/users/alice/disconnect");
  await bob.close(1000);
  await carol.drop();
  const { clientCount, results } = await open;
  assert.deepEqual([clientCount, results], [3, []]);
});

// --- durable ---

const durable = (dm, more = {}) => publishTo(dm, "room", { type: "order", durable: true, ...more });

/** All that a user is owed: what a new session of its is sent before a mark that is owed last. */
async function owedTo(dm, userId) {
  const mark = await dm.post("/publish", { userId, type: "mark", durable: true, timeoutMs: 0 });
  assert.ok(mark.status < 300, mark.text);
  const client = await Native.connect(dm, userId);
  const seen = [];
  for (;;) {
    const envelope = await client.next();
    if (envelope.envelopeId !== mark.json.envelopeId) {
      seen.push(envelope);
      continue;
    }
    await client.command("ack", { envelopeId: envelope.envelopeId });
    await client.close(1000);
    return seen;
  }
}

const look = async (dm, id) => (await dm.get(`/publish/${id}`)).json;

test("a durable publish is owed to those who were members when it was committed, and to nobody else", async (t) => {
  const dm = await serve(t, { shards: 3 });
  await join(dm, "room", ...users(6));
  const here = await Native.connect(dm, "u0");
  const answer = await durable(dm, { payload: { n: 7 } });
  assert.deepEqual([answer.status, answer.json.owed, answer.json.clientCount, answer.json.delivered], [202, 6, 1, 1]);
  const { envelopeId } = answer.json;
  assert.match(envelopeId, UUID_V7);
  await join(dm, "room", "late");
  await unsubscribe(dm, "u1", "room");
  const live = await here.next();
  assert.deepEqual([live.channel, live.redelivered], ["room", undefined]);
  assert.equal((await here.command("ack", { envelopeId, result: 0 })).type, "ok");
  await until("one less", async () => (await look(dm, envelopeId)).owed === 5);
  assert.deepEqual(await owedTo(dm, "late"), []);
  assert.deepEqual(await owedTo(dm, "u0"), [], "it has acked");
  const u1 = await Native.connect(dm, "u1");
  const { timestamp, ...owed } = await u1.next();
  assert.deepEqual(owed, { envelopeId, type: "order", userId: "u1", channel: "room", payload: { n: 7 }, redelivered: true });
  assert.equal(timestamp, live.timestamp);
  const u2 = await (await dm.connect("u2")).subscribe({ type: "order" });
  const inHopeflow = await u2.next();
  assert.deepEqual([inHopeflow.envelopeId, inHopeflow.userId, inHopeflow.channel, inHopeflow.redelivered], [envelopeId, "u2", undefined, true]);
  for (const user of ["u3", "u4", "u5"]) {
    const client = await Native.connect(dm, user);
    assert.equal((await client.command("ack", { envelopeId: (await client.next()).envelopeId, result: user })).type, "ok");
  }
  u2.ack(inHopeflow, "u2");
  await u1.command("ack", { envelopeId, result: "u1" });
  const done = await until("all have acked", async () => ((seen) => seen.owed === 0 && seen)(await look(dm, envelopeId)));
  assert.deepEqual([done.state, done.results.slice(0, 1)], ["done", [0]]);
  assert.deepEqual([...done.results.slice(1)].sort(), ["u1", "u2", "u3", "u4", "u5"]);
});

test("one that all members ack is answered 200, and is owed no more", async (t) => {
  const dm = await serve(t);
  await join(dm, "room", ...users(4));
  const clients = [];
  for (const user of users(4)) clients.push((await Native.connect(dm, user)).autoAck((e) => e.userId));
  const listener = await Listener.connect(dm, "zoe", "room");
  const answer = await durable(dm, { timeoutMs: 20000 });
  assert.deepEqual([answer.status, answer.json.owed, answer.json.clientCount, answer.json.delivered], [200, 0, 4, 5]);
  assert.deepEqual([...answer.json.results].sort(), users(4));
  assert.equal((await listener.next()).event, "order");
  for (const client of clients) await client.close(1000);
  for (const user of users(4)) assert.deepEqual(await owedTo(dm, user), []);
});

test("to a channel without members it is 200, owed to nobody, and listeners get it", async (t) => {
  const dm = await serve(t);
  const listener = await Listener.connect(dm, "zoe", "room");
  const answer = await durable(dm, { payload: [1] });
  assert.deepEqual([answer.status, answer.json.owed, answer.json.delivered], [200, 0, 1]);
  assert.equal(await listener.nextText(), '{"event":"order","data":[1]}');
});

test("what a channel's members are owed survives kill, in its order", async (t) => {
  const dm = await serve(t, { shards: 3 });
  await join(dm, "room", ...users(5));
  const ids = [];
  for (let n = 0; n < 6; n++) {
    const answer = n % 3 === 2 ? await dm.post("/publish", { userId: "u0", type: "order", durable: true, timeoutMs: 0, payload: n }) : await durable(dm, { payload: n });
    assert.equal(answer.status, 202);
    ids.push(answer.json.envelopeId);
  }
  await dm.kill();
  await dm.start({ shards: 2 });
  for (const user of users(5)) {
    const expected = user === "u0" ? [0, 1, 2, 3, 4, 5] : [0, 1, 3, 4];
    const got = await owedTo(dm, user);
    assert.deepEqual(got.map((e) => e.payload), expected, user);
    for (const e of got) assert.deepEqual([e.redelivered, e.channel, e.envelopeId], [true, e.payload % 3 === 2 ? undefined : "room", ids[e.payload]]);
  }
});

test("more members than max_targets: only what must be recorded is refused, and reaches nobody", async (t) => {
  const dm = await serve(t, { max_targets: 3, shards: 3 });
  await join(dm, "room", "u0", "u1", "u2");
  const tab = await Notifier.connect(dm, "u0");
  assert.equal((await durable(dm)).json.owed, 3);
  await join(dm, "room", "u3");
  for (const more of [{}, { durable: false, envelopeId: randomUUID() }]) {
    const answer = await durable(dm, more);
    assert.deepEqual([answer.status, answer.json.code], [400, "too_many_targets"], answer.text);
  }
  assert.equal((await publishTo(dm, "room", { type: "plain" })).json.delivered, 1);
  assert.deepEqual((await tab.settle()).map((e) => JSON.parse(e).type), ["order", "plain"]);
  await unsubscribe(dm, "u3", "room");
  assert.equal((await durable(dm)).json.owed, 3);
  assert.deepEqual(await owedTo(dm, "u3"), []);
});

test("max_owed_per_user bounds what each member is owed", async (t) => {
  const dm = await serve(t, { max_owed_per_user: 2 });
  await join(dm, "room", "u0", "u1");
  for (let i = 0; i < 2; i++) assert.equal((await durable(dm)).status, 202);
  const answer = await durable(dm);
  assert.deepEqual([answer.status, answer.json.code], [429, "owed_too_much"]);
  const u1 = await Native.connect(dm, "u1");
  for (let i = 0; i < 2; i++) assert.equal((await u1.next()).channel, "room");
  await sleep(100);
  assert.deepEqual(await u1.settle(), []);
});

for (const kind of ["durable", "plain"])
  test(`the same envelopeId again is the same ${kind} publish, whoever has joined since`, async (t) => {
    const dm = await serve(t, { shards: 3 });
    await join(dm, "room", "u0", "u1");
    const u0 = (await Native.connect(dm, "u0")).autoAck(() => "acked");
    const tab = await Notifier.connect(dm, "u1");
    const body = { channel: "room", type: "order", payload: { n: 1 }, envelopeId: randomUUID(), timeoutMs: 500, durable: kind === "durable" };
    const first = await dm.post("/publish", body);
    assert.equal(first.status, kind === "durable" ? 202 : 200, first.text);
    assert.deepEqual([first.json.envelopeId, first.json.clientCount, first.json.delivered, first.json.results], [body.envelopeId, 1, 2, ["acked"]]);
    await join(dm, "room", "u2");
    const u2 = await Native.connect(dm, "u2");
    const again = async (more) => dm.post("/publish", { ...body, ...more });
    assert.deepEqual((({ status, text }) => [status, text])(await again()), [first.status, first.text]);
    for (const more of [{ payload: { n: 2 } }, { channel: "hall" }, { type: "other" }]) assert.equal((await again(more)).status, 409, JSON.stringify(more));
    const { channel, ...toUsers } = body;
    assert.equal(channel, "room");
    assert.equal((await dm.post("/publish", { ...toUsers, userIds: ["u0", "u1"] })).status, 409);
    assert.equal((await u0.settle()).length, 1);
    assert.equal((await tab.settle()).length, 1);
    await u2.expectNothing();
    await dm.kill();
    await dm.start();
    assert.deepEqual((({ status, text }) => [status, text])(await again()), [first.status, first.text]);
    assert.equal((await look(dm, body.envelopeId)).state, "done");
  });

test("two that ask under one envelopeId at once get one answer, and it goes out once", async (t) => {
  const dm = await serve(t, { ...QUICK, shards: 3 });
  await join(dm, "room", ...users(9));
  const tabs = [];
  for (const user of users(9)) tabs.push(await Notifier.connect(dm, user));
  await allAsleep(dm);
  const body = { channel: "room", envelopeId: randomUUID(), durable: true, timeoutMs: 300 };
  const answers = await Promise.all(Array.from({ length: 8 }, () => dm.post("/publish", body)));
  assert.deepEqual([...new Set(answers.map(({ status, text }) => `${status} ${text}`))].length, 1);
  assert.equal(answers[0].json.delivered, 9);
  for (const tab of tabs) assert.equal((await tab.settle()).length, 1);
});

// --- order ---

test("a channel's publishes come in one order at all sockets: durable and plain, asleep and awake", async (t) => {
  const dm = await serve(t, { ...QUICK, shards: 5 });
  await join(dm, "room", ...users(8));
  const clients = [];
  for (const user of users(8)) {
    const filtered = await Native.connect(dm, user);
    await filtered.command("subscribe", { filters: [{ type: "t" }] });
    clients.push(await (await dm.connect(user)).subscribe({ type: "t" }), await Native.connect(dm, user), filtered);
    clients.push(await Notifier.connect(dm, user), await Listener.connect(dm, user, "room"));
  }
  const numberOf = (text) => ((e) => (e.payload ?? e.data).n)(JSON.parse(text));
  const ways = [
    (n) => durable(dm, { type: "t", payload: { n } }),
    (n) => publishTo(dm, "room", { type: "t", payload: { n } }),
    (n) => dm.post("/channels/room/send", { type: "t", data: { n } }),
    (n) => dm.post("/channels/room/broadcast", { event: "t", data: { n } }),
    (n) => publishTo(dm, "room", { type: "t", payload: { n }, envelopeId: randomUUID() }),
  ];
  for (let round = 0; round < 3; round++) {
    await allAsleep(dm);
    const numbers = Array.from({ length: 40 }, (_, i) => i);
    await each(numbers, round === 1 ? 40 : 6, async (n) => assert.ok((await ways[n % ways.length](n)).status < 300));
    const orders = [];
    for (const client of clients) orders.push((await client.settle()).map((e) => numberOf(typeof e === "string" ? e : JSON.stringify(e))));
    assert.deepEqual([...orders[0]].sort((a, b) => a - b), numbers);
    for (const [i, order] of orders.entries()) assert.deepEqual(order, orders[0], `round ${round}, socket ${i}`);
  }
});

test("what waits for a channel to wake is overtaken by nothing that need not", async (t) => {
  const dm = await serve(t, { hibernate_after: "20ms", shards: 5 });
  await each(users(300), 40, (user) => join(dm, "room", user));
  const clients = [];
  for (const user of users(10)) clients.push(await Notifier.connect(dm, user), await Listener.connect(dm, user, "room"));
  const orders = clients.map(() => []);
  for (let round = 0; round < 60; round++) {
    await until("the channel sleeps", async () => (await dm.metric(AWAKE)) === 0, { every: 5 });
    const recorded = [0, 1, 2, 3].map((n) => durable(dm, { payload: `${round} ${n}`, ttlSeconds: 1 }));
    await sleep((round % 30) * 1.3);
    await Promise.all([...recorded, sendTo(dm, "room", { type: "t", data: `${round} plain` })]);
    for (const [i, client] of clients.entries()) orders[i].push(...(await client.settle()).map((e) => JSON.parse(e).data));
  }
  assert.equal(orders[0].length, 300);
  for (const [i, order] of orders.entries()) assert.deepEqual(order, orders[0], `socket ${i}`);
});

test("a publish that began after another was answered follows it, whichever ways they took", async (t) => {
  const dm = await serve(t, { ...QUICK, shards: 3 });
  await join(dm, "room", ...users(4));
  const clients = [];
  for (const user of users(4)) clients.push(await Notifier.connect(dm, user), await Listener.connect(dm, user, "room"));
  for (let round = 0; round < 3; round++) {
    await allAsleep(dm);
    const expected = [];
    for (let n = 0; n < 12; n++) {
      if (n % 3 === 0) await durable(dm, { payload: n });
      else if (n % 3 === 1) await sendTo(dm, "room", { type: "t", data: n });
      else await broadcast(dm, "room", "t", n);
      expected.push(n);
    }
    for (const client of clients) assert.deepEqual((await client.settle()).map((e) => JSON.parse(e).data), expected);
  }
});

test("a send beside joins and leaves is wholly before or after each of them", async (t) => {
  const dm = await serve(t, { hibernate_after: "30ms", shards: 3 });
  const togglers = users(6), TABS = 3;
  const tabs = new Map();
  for (const user of togglers) tabs.set(user, await Promise.all(Array.from({ length: TABS }, () => Notifier.connect(dm, user))));
  const changes = new Map(togglers.map((user) => [user, []])); // [joins, asked, answered]
  const sends = [];
  let over = false, clock = 0;
  const toggle = async (user) => {
    for (let joins = true; !over; joins = !joins) {
      const change = { joins, asked: ++clock };
      changes.get(user).push(change);
      assert.equal((await (joins ? subscribe : unsubscribe)(dm, user, "room")).text, OK);
      change.answered = ++clock;
      if (Math.random() < 0.3) await sleep(Math.random() * 80);
    }
  };
  const work = togglers.map(toggle);
  for (let n = 0; n < 120; n++) {
    const send = { n, asked: ++clock };
    const { members, delivered } = await sendTo(dm, "room", { type: "t", data: n });
    send.answered = ++clock;
    assert.equal(delivered, TABS * members, "each member's tabs are all there");
    sends.push(Object.assign(send, { members }));
    if (n % 20 === 19) await sleep(60);
  }
  over = true;
  await Promise.all(work);
  const reached = new Map(sends.map(({ n }) => [n, 0]));
  for (const [user, its] of tabs) {
    const seen = [];
    for (const tab of its) seen.push((await tab.settle()).map((e) => JSON.parse(e).data));
    for (const other of seen) assert.deepEqual(other, seen[0], `the tabs of ${user} differ`);
    const got = new Set(seen[0]);
    for (const n of got) reached.set(n, reached.get(n) + 1);
    for (const { n, asked, answered } of sends) {
      const before = changes.get(user).filter((change) => change.answered < asked).at(-1);
      const beside = changes.get(user).some((change) => change.asked < answered && change.answered > asked);
      if (!beside) assert.equal(got.has(n), before?.joins ?? false, `${user} and the send ${n}`);
    }
  }
  for (const { n, members } of sends) assert.equal(reached.get(n), members, `the send ${n} counted ${members} members`);
});
