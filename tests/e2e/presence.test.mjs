// Who is there: joins and leaves on presence channels, and the lists of all channels.
import assert from "node:assert/strict";
import { ALL_GRANTS, allAsleep, as, broadcast, each, enc, expel, join, Listener, Notifier, OK, pages, presentIn, subscribe, unsubscribe } from "./lib/channels.mjs";
import { Native } from "./lib/native.mjs";
import { upgrade } from "./lib/raw.mjs";
import { serve, UUID_V7 } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";
import { sleep, until } from "./lib/wait.mjs";

const QUICK = { hibernate_after: "100ms" };
const LOBBY = "presence-lobby";
const WINDOW_MS = 2000, WINDOW = { resume_window: "2s" };
const EVENTS = "dormouse_presence_events_total";

const listed = async (dm, channel = LOBBY, query = "") => (await dm.get(`/channels/${enc(channel)}/presence${query}`)).json.members;

const JOIN = /^\{"event":"presence:join","data":\{"member":\{"id":("(?:[^"\\]|\\.)*"),"joinedAt":(\d{13})\}\}\}$/;
const LEAVE = /^\{"event":"presence:leave","data":\{"member":\{"id":("(?:[^"\\]|\\.)*")\}\}\}$/;

/** Of the frames of a broadcast socket: "+alice", "-alice", each in exactly its form. */
function told(frames) {
  return frames.map((frame) => {
    const [joined, left] = [JOIN.exec(frame), LEAVE.exec(frame)];
    assert.ok(joined || left, `neither a join nor a leave: ${frame}`);
    return joined ? `+${JSON.parse(joined[1])}` : `-${JSON.parse(left[1])}`;
  });
}

const next = async (listener, ms) => told([await listener.nextText(ms)])[0];

/** What had come some time later, when all that is on its way must be there. */
async function later(listener, ms = 300) {
  await sleep(ms);
  return told(await listener.settle());
}

// --- broadcast sockets ---

test("a member's first socket sends the others a join, its last one leaving a leave", async (t) => {
  const dm = await serve(t, { shards: 3 });
  const before = Date.now();
  const bob = await Listener.connect(dm, "bob", LOBBY);
  const one = await Listener.connect(dm, "alice", LOBBY);
  const frame = await bob.nextText();
  const [, id, joinedAt] = JOIN.exec(frame);
  assert.equal(id, '"alice"');
  assert.ok(Number(joinedAt) >= before && Number(joinedAt) <= Date.now(), joinedAt);
  const two = await Listener.connect(dm, "alice", LOBBY);
  const three = await Listener.connect(dm, "alice", "lobby", { query: "?type=presence" });
  assert.deepEqual(await later(bob), []);
  assert.deepEqual(await listed(dm, LOBBY).then((all) => all.map((m) => m.id).sort()), ["alice", "bob"]);
  await one.close(1000);
  await three.close(1000);
  assert.deepEqual(await later(bob), []);
  await two.close(1000);
  assert.equal(await bob.nextText(), '{"event":"presence:leave","data":{"member":{"id":"alice"}}}');
  assert.deepEqual(await later(bob), []);
  assert.equal(await dm.metric(EVENTS), 3, "bob's join, alice's, her leave");
});

test("nobody is told of itself, and who comes is not told of those who were there", async (t) => {
  const dm = await serve(t, { shards: 3 });
  const sockets = {};
  for (const user of ["a", "b", "c", "d"]) {
    sockets[user] = [await Listener.connect(dm, user, LOBBY), await Listener.connect(dm, user, LOBBY)];
    await sleep(100); // what is told of it is told by then
  }
  for (const [user, events] of Object.entries({ a: ["+b", "+c", "+d"], b: ["+c", "+d"], c: ["+d"], d: [] }))
    for (const socket of sockets[user]) assert.deepEqual(told(await socket.settle()), events, user);
  for (const socket of sockets.a) await socket.close(1000);
  for (const user of ["b", "c", "d"]) for (const socket of sockets[user]) assert.equal(await next(socket), "-a");
  for (const user of ["b", "c", "d"]) for (const socket of sockets[user]) assert.deepEqual(await later(socket, 50), []);
});

test("only presence- channels tell: public and private ones do not", async (t) => {
  const dm = await serve(t);
  await join(dm, "private-lobby", "alice");
  for (const channel of ["lobby", "private-lobby", "presence", "presence_x"]) {
    const bob = await Listener.connect(dm, "bob", channel);
    const alice = await Listener.connect(dm, "alice", channel);
    const native = await Native.connect(dm, "alice");
    await join(dm, channel, "carol", "alice");
    await alice.close(1000);
    await native.close(1000);
    await expel(dm, channel, "alice");
    assert.deepEqual(await later(bob, 150), [], channel);
    await bob.close(1000);
  }
  assert.equal(await dm.metric(EVENTS), 0);
});

test("a cut line is a leave at once, though asleep", async (t) => {
  const dm = await serve(t, { ...QUICK, shards: 2 });
  const bob = await Listener.connect(dm, "bob", LOBBY);
  for (const asleep of [false, true]) {
    const raw = await dm.rawSocket("alice", { path: `/ws/channel/${LOBBY}?token=x`, headers: { Authorization: `Bearer ${dm.token("alice", ALL_GRANTS)}` } });
    assert.equal(await next(bob), "+alice");
    if (asleep) await allAsleep(dm);
    raw.socket.resetAndDestroy();
    assert.equal(await next(bob, 2000), "-alice");
  }
  const raw = await dm.raw();
  raw.write(upgrade({ path: `/ws/channel/${LOBBY}`, token: dm.token("alice", ALL_GRANTS) }));
  assert.equal((await raw.response()).status, 101);
  assert.equal(await next(bob), "+alice");
  raw.socket.end();
  assert.equal(await next(bob, 2000), "-alice");
});

test("comings and goings are told in order, however fast", async (t) => {
  const dm = await serve(t, { shards: 3 });
  const bob = await Listener.connect(dm, "bob", LOBBY);
  for (let i = 0; i < 25; i++) await (await Listener.connect(dm, "alice", LOBBY)).close(i % 2 ? 1000 : 1001);
  const seen = [];
  while (seen.length < 50) seen.push(await next(bob));
  assert.deepEqual(seen, Array.from({ length: 50 }, (_, i) => (i % 2 ? "-alice" : "+alice")));
  assert.deepEqual(await later(bob), []);
});

test("ids are escaped as JSON wants it", async (t) => {
  const dm = await serve(t);
  const bob = await Listener.connect(dm, "bob", LOBBY);
  for (const user of ['quo"te\\', "zoë 日本 😀", "x".repeat(128)]) {
    const socket = await Listener.connect(dm, user, LOBBY);
    assert.equal(await next(bob), `+${user}`);
    await socket.close(1000);
    assert.equal(await next(bob), `-${user}`);
  }
});

// --- members ---

test("a member is there while it has a session of any dialect; its own sessions hear nothing of it", async (t) => {
  const dm = await serve(t, { shards: 2, ...WINDOW });
  await join(dm, LOBBY, "alice", "bob");
  const listener = await Listener.connect(dm, "carol", LOBBY);
  await sleep(100);
  const bob = await Native.connect(dm, "bob");
  assert.equal(await next(listener), "+bob");
  assert.deepEqual((await bob.settle()).map((e) => e.type), [], "carol came before");
  const kinds = {
    notifier: () => Notifier.connect(dm, "alice"),
    hopeflow: () => dm.connect("alice"),
    broadcast: () => Listener.connect(dm, "alice", "elsewhere"),
    native: () => Native.connect(dm, "alice"),
  };
  for (const [kind, connect] of Object.entries(kinds)) {
    const session = await connect();
    const frame = await listener.nextText();
    const [, , joinedAt] = JOIN.exec(frame);
    const shown = await bob.nextText();
    const { envelopeId, timestamp } = JSON.parse(shown);
    assert.match(envelopeId, UUID_V7);
    assert.equal(
      shown,
      `{"envelopeId":"${envelopeId}","type":"presence.join","userId":"bob","timestamp":"${timestamp}","channel":"${LOBBY}","payload":{"member":{"id":"alice","joinedAt":${joinedAt}}}}`,
      kind,
    );
    assert.equal((await bob.command("ack", { envelopeId })).code, "not_found", "it wants no ack");
    assert.equal((await listed(dm)).find(({ id }) => id === "alice").joinedAt, Number(joinedAt), kind);
    await (kind === "notifier" ? session.drop() : session.close(1000));
    assert.equal(await listener.nextText(1500), '{"event":"presence:leave","data":{"member":{"id":"alice"}}}', kind);
    const left = await bob.next();
    assert.deepEqual([left.type, left.channel, left.payload], ["presence.leave", LOBBY, { member: { id: "alice" } }]);
    assert.deepEqual(await presentIn(dm, LOBBY), ["bob", "carol"]);
  }
  assert.deepEqual(await later(listener), []);
});

test("notifiers and hopeflow sessions are told of nobody, native ones with filters what these match", async (t) => {
  const dm = await serve(t);
  await join(dm, LOBBY, "bob");
  const [notifier, hopeflow] = [await Notifier.connect(dm, "bob"), await (await dm.connect("bob")).subscribe({ type: "presence.join" }, { type: "presence:join" })];
  const [all, joins, other] = [await Native.connect(dm, "bob"), await Native.connect(dm, "bob"), await Native.connect(dm, "bob")];
  await joins.command("subscribe", { filters: [{ type: "presence.join" }] });
  await other.command("subscribe", { filters: [{ type: "other" }] });
  const alice = await Listener.connect(dm, "alice", LOBBY);
  await alice.close(1000);
  assert.deepEqual([(await all.next()).type, (await all.next()).type], ["presence.join", "presence.leave"]);
  assert.equal((await joins.next()).type, "presence.join");
  for (const client of [all, joins, other, notifier, hopeflow]) await client.expectNothing();
});

test("once a member and not once a socket, as member and as listener together", async (t) => {
  const dm = await serve(t, { shards: 2 });
  await join(dm, LOBBY, "alice");
  const bob = await Listener.connect(dm, "bob", LOBBY);
  const native = await Native.connect(dm, "alice");
  assert.equal(await next(bob), "+alice");
  const listener = await Listener.connect(dm, "alice", LOBBY);
  const tab = await Notifier.connect(dm, "alice");
  assert.deepEqual(await later(bob), []);
  assert.deepEqual(await presentIn(dm, LOBBY), ["alice", "bob"]);
  await listener.close(1000);
  await native.close(1000);
  assert.deepEqual(await later(bob), []);
  const again = await Listener.connect(dm, "alice", LOBBY);
  await tab.close(1000);
  assert.deepEqual(await later(bob), [], "it listens");
  await unsubscribe(dm, "alice", LOBBY);
  assert.deepEqual(await later(bob), [], "it listens, though it is no member");
  assert.deepEqual(await presentIn(dm, LOBBY), ["alice", "bob"]);
  await again.close(1000);
  assert.equal(await next(bob), "-alice");
});

test("who joins while it has a session is there at once, who leaves or is removed is gone", async (t) => {
  const dm = await serve(t, { shards: 2 });
  const bob = await Listener.connect(dm, "bob", LOBBY);
  await join(dm, LOBBY, "offline");
  const alice = await Native.connect(dm, "alice", { claims: ALL_GRANTS });
  const ways = [
    [() => subscribe(dm, "alice", LOBBY, ALL_GRANTS), () => unsubscribe(dm, "alice", LOBBY)],
    [() => dm.call("PUT", `/channels/${LOBBY}/members/alice`), () => expel(dm, LOBBY, "alice")],
  ];
  for (const [come, go] of ways) {
    for (let twice = 0; twice < 2; twice++) assert.equal((await come()).text, OK);
    assert.equal(await next(bob), "+alice");
    assert.deepEqual(await presentIn(dm, LOBBY), ["alice", "bob"]);
    for (let twice = 0; twice < 2; twice++) assert.equal((await go()).text, OK);
    assert.equal(await next(bob), "-alice");
    assert.deepEqual(await presentIn(dm, LOBBY), ["bob"]);
  }
  assert.equal((await alice.command("join", { channel: LOBBY })).type, "ok");
  assert.equal(await next(bob), "+alice");
  assert.equal((await alice.command("leave", { channel: LOBBY })).type, "ok");
  assert.equal(await next(bob), "-alice");
  await expel(dm, LOBBY, "offline");
  assert.deepEqual(await later(bob), []);
  await alice.expectNothing();
});

// --- native sessions that may come back ---

test("a member whose native session dropped leaves when its window is over, and not before", async (t) => {
  const dm = await serve(t, { ...QUICK, ...WINDOW, shards: 2 });
  await join(dm, LOBBY, "alice");
  const bob = await Listener.connect(dm, "bob", LOBBY);
  const alice = await Native.connect(dm, "alice");
  assert.equal(await next(bob), "+alice");
  const joinedAt = (await listed(dm)).find(({ id }) => id === "alice").joinedAt;
  const dropped = Date.now();
  await alice.drop();
  assert.deepEqual(await later(bob, WINDOW_MS / 2), []);
  assert.deepEqual((await listed(dm)).find(({ id }) => id === "alice"), { id: "alice", joinedAt }, "it can still be resumed");
  assert.equal(await next(bob, 6000), "-alice");
  const took = Date.now() - dropped;
  assert.ok(took >= WINDOW_MS - 50 && took < WINDOW_MS + 2500, `${took} ms`);
  assert.deepEqual(await presentIn(dm, LOBBY), ["bob"]);
  assert.deepEqual(await later(bob), []);
});

test("one that resumes in time never left", async (t) => {
  const dm = await serve(t, { ...QUICK, ...WINDOW, shards: 2 });
  await join(dm, LOBBY, "alice");
  const bob = await Listener.connect(dm, "bob", LOBBY);
  let alice = await Native.connect(dm, "alice");
  assert.equal(await next(bob), "+alice");
  for (let i = 0; i < 3; i++) {
    await alice.drop();
    await sleep(WINDOW_MS / 2);
    alice = await Native.connect(dm, "alice", { resume: alice.welcome.resume });
    assert.equal(alice.welcome.resumed, true);
    await alice.command("ping");
  }
  alice = await Native.connect(dm, "alice", { resume: alice.welcome.resume }); // takes over from an open one
  await alice.command("ping");
  assert.deepEqual(await later(bob, WINDOW_MS + 1500), []);
  assert.deepEqual(await presentIn(dm, LOBBY), ["alice", "bob"]);
  await alice.close(1000);
  assert.equal(await next(bob, 1000), "-alice", "a clean end is one at once");
});

test("a dropped session does not leave while another one of its user is there", async (t) => {
  const dm = await serve(t, { resume_window: "1s", shards: 2 });
  await join(dm, LOBBY, "alice");
  const bob = await Listener.connect(dm, "bob", LOBBY);
  const [one, tab] = [await Native.connect(dm, "alice"), await Notifier.connect(dm, "alice")];
  assert.equal(await next(bob), "+alice");
  await one.drop();
  assert.deepEqual(await later(bob, 2500), []);
  const two = await Native.connect(dm, "alice");
  await two.drop();
  await tab.close(1000);
  assert.deepEqual(await later(bob, 300), [], "the second may still come back");
  assert.equal(await next(bob, 4000), "-alice");
  assert.deepEqual(await later(bob), []);
});

test("a new session while the old one may come back is no second join", async (t) => {
  const dm = await serve(t, { resume_window: "1s", shards: 2 });
  await join(dm, LOBBY, "alice");
  const bob = await Listener.connect(dm, "bob", LOBBY);
  await (await Native.connect(dm, "alice")).drop();
  assert.equal(await next(bob), "+alice");
  const tab = await Notifier.connect(dm, "alice");
  assert.deepEqual(await later(bob, 2500), []);
  await tab.close(1000);
  assert.equal(await next(bob, 1000), "-alice");
});

test("disconnect is a leave at once, for sessions that may come back too", async (t) => {
  const dm = await serve(t, { ...QUICK, shards: 2 }); // the window is two minutes
  await join(dm, LOBBY, "alice", "carol", "dave");
  const bob = await Listener.connect(dm, "bob", LOBBY);
  const alice = await Native.connect(dm, "alice");
  const listener = await Listener.connect(dm, "alice", LOBBY);
  assert.equal(await next(bob), "+alice");
  await allAsleep(dm);
  assert.deepEqual((await dm.post("/users/alice/disconnect")).json, { disconnected: 2 });
  assert.equal((await alice.closing()).code, 1000);
  assert.equal((await listener.closing()).code, 1000);
  assert.equal(await next(bob, 1500), "-alice");
  const carol = await Native.connect(dm, "carol");
  assert.equal(await next(bob), "+carol");
  await carol.drop();
  assert.deepEqual(await later(bob), []);
  assert.deepEqual((await dm.post("/users/carol/disconnect")).json, { disconnected: 0 });
  assert.equal(await next(bob, 1500), "-carol", "it had no socket, but might have come back");
  assert.deepEqual(await presentIn(dm, LOBBY), ["bob"]);
  assert.equal((await Native.connect(dm, "carol", { resume: carol.welcome.resume })).welcome.resumed, false);
  assert.equal(await next(bob), "+carol");
  assert.deepEqual(await later(bob), []);
});

for (const end of ["kill", "stop"])
  test(`after ${end} and start those who do not come back leave when the window is over, who does stays`, async (t) => {
    const dm = await serve(t, { ...WINDOW, shards: 3 });
    const gone = ["alice", "bea", "cleo", "dora"];
    await join(dm, LOBBY, ...gone, "eve", "offline");
    const natives = [];
    for (const user of gone) natives.push(await Native.connect(dm, user));
    const eve = await Native.connect(dm, "eve");
    await Listener.connect(dm, "frank", LOBBY); // has but a socket: is gone with it
    await until("all are there", async () => (await listed(dm)).length === 6);
    const before = new Map((await listed(dm)).map(({ id, joinedAt }) => [id, joinedAt]));
    await natives[1].drop(); // had dropped already
    await dm[end]();
    const ended = Date.now();
    await dm.start({ shards: 2 });
    const bob = await Listener.connect(dm, "bob", LOBBY);
    const there = await listed(dm);
    assert.deepEqual(there.map(({ id }) => id).sort(), [...gone, "bob", "eve"].sort(), "they may still come back");
    for (const { id, joinedAt } of there) if (id !== "bob") assert.equal(joinedAt, before.get(id), id);
    const back = await Native.connect(dm, "eve", { resume: eve.welcome.resume });
    assert.equal(back.welcome.resumed, true);
    const seen = [];
    while (seen.length < 4) seen.push(await next(bob, 8000));
    assert.ok(Date.now() - ended < WINDOW_MS + 6000);
    assert.deepEqual(seen.sort(), gone.map((user) => `-${user}`));
    assert.deepEqual(await later(bob, 1500), []);
    assert.deepEqual(await presentIn(dm, LOBBY), ["bob", "eve"]);
  });

test("who is away when the server dies, and comes again as another session, is there again once", async (t) => {
  const dm = await serve(t, { resume_window: "1s", shards: 2 });
  await join(dm, LOBBY, "alice");
  await Native.connect(dm, "alice");
  await dm.kill();
  await dm.start();
  const bob = await Listener.connect(dm, "bob", LOBBY);
  const alice = await Native.connect(dm, "alice");
  assert.deepEqual(await later(bob, 2500), [], "it had not left yet: no join, and the old session's end is no leave");
  assert.deepEqual(await presentIn(dm, LOBBY), ["alice", "bob"]);
  await alice.close(1000);
  assert.equal(await next(bob, 1500), "-alice");
});

// --- lists ---

test("a list has each user once, with the time since when it is there", async (t) => {
  const dm = await serve(t, { shards: 3 });
  const before = Date.now();
  await join(dm, "room", "member", "offline");
  for (let i = 0; i < 2; i++) await Listener.connect(dm, "listener", "room");
  for (let i = 0; i < 2; i++) await Notifier.connect(dm, "member");
  await Listener.connect(dm, "member", "room");
  await Notifier.connect(dm, "stranger");
  const answer = await dm.get("/channels/room/presence");
  assert.deepEqual([answer.status, Object.keys(answer.json)], [200, ["members"]]);
  assert.match(answer.text, /^\{"members":\[\{"id":"(member|listener)","joinedAt":\d{13}\},\{"id":"(member|listener)","joinedAt":\d{13}\}\]\}$/);
  assert.deepEqual(await presentIn(dm, "room"), ["listener", "member"]);
  for (const { joinedAt } of answer.json.members) assert.ok(joinedAt >= before && joinedAt <= Date.now());
});

test("a list needs a grant for the name, or admin; a public one any user", async (t) => {
  const dm = await serve(t);
  await Listener.connect(dm, "zoe", "presence-x");
  const ask = async (target, options) => (await dm.get(`/channels/${target}/presence`.replace(/(\?.*)\/presence/, "/presence$1"), options)).status;
  for (const target of ["room", "presence-x", "room?type=private"]) {
    assert.equal(await ask(target, { as: null }), 401, target);
    assert.equal(await ask(target, { as: "Bearer junk" }), 401, target);
    assert.equal(await ask(target, as(dm, "b", { scope: "admin" })), 200, target);
    assert.equal(await ask(target, {}), 200, target);
    for (const scope of [undefined, "publish"]) {
      assert.equal(await ask(target, as(dm, "alice", { scope })), target === "room" ? 200 : 403, `${target} ${scope}`);
      assert.equal(await ask(target, as(dm, "alice", { scope, ...ALL_GRANTS })), 200, target);
    }
  }
  assert.deepEqual(await presentIn(dm, "x", "?type=presence"), ["zoe"]);
  assert.deepEqual(await presentIn(dm, "presence-x", "?type=public"), ["zoe"]);
  assert.deepEqual(await presentIn(dm, "x"), []);
  for (const [target, code] of [["x?type=secret", "invalid_field"], ["x?type=", "invalid_field"], ["private-x?type=presence", "invalid_name"], ["Presence-x", "invalid_name"]]) {
    const answer = await dm.get(`/channels/${target.replace("?", "/presence?")}${target.includes("?") ? "" : "/presence"}`);
    assert.deepEqual([answer.status, answer.json.code], [400, code], target);
  }
});

test("lists come page by page, of members and listeners, asleep or to be resumed", async (t) => {
  const dm = await serve(t, { ...QUICK, shards: 3 });
  const users = Array.from({ length: 120 }, (_, i) => `u${i} é`);
  await each(users, 20, async (user, i) => {
    if (i % 3) await join(dm, LOBBY, user);
    if (i % 3 === 0) await Listener.connect(dm, user, LOBBY);
    else if (i % 3 === 1) await Notifier.connect(dm, user);
    else await (await Native.connect(dm, user)).drop();
  });
  await join(dm, LOBBY, "offline");
  await allAsleep(dm);
  const all = await listed(dm);
  assert.deepEqual(all.map(({ id }) => id).sort(), [...users].sort());
  for (const limit of [1, 7, 119, 120, 10000]) {
    const got = await pages(dm, `/channels/${LOBBY}/presence`, limit);
    assert.deepEqual(got.flatMap(({ members }) => members), all, `limit ${limit}`);
    assert.equal(got.length, Math.ceil(120 / limit));
    for (const page of got.slice(0, -1)) assert.equal(page.next, page.members.at(-1).id);
  }
});

test("a native session asks who is there: members, who may read, and nobody else", async (t) => {
  const dm = await serve(t, { shards: 2 });
  await join(dm, LOBBY, "alice");
  const alice = await Native.connect(dm, "alice");
  await Listener.connect(dm, "bob", LOBBY);
  assert.equal((await alice.next()).type, "presence.join");
  const over = (await listed(dm)).sort((a, b) => (a.id < b.id ? -1 : 1));
  const answer = await alice.command("presence", { channel: ` ${LOBBY}` });
  assert.deepEqual(Object.keys(answer), ["type", "ref", "members"]);
  assert.deepEqual([answer.type, answer.members.sort((a, b) => (a.id < b.id ? -1 : 1))], ["ok", over]);
  assert.deepEqual(over.map(({ id }) => id), ["alice", "bob"]);
  const stranger = await Native.connect(dm, "carol");
  for (const channel of [LOBBY, "private-x"]) assert.equal((await stranger.command("presence", { channel })).code, "forbidden");
  assert.deepEqual((await stranger.command("presence", { channel: "public" })).members, []);
  const granted = await Native.connect(dm, "carol", { claims: ALL_GRANTS });
  assert.equal((await granted.command("presence", { channel: LOBBY })).members.length, 2);
  for (const fields of [{}, { channel: "" }, { channel: 7 }, { channel: "PRESENCE-x" }, { channel: "x".repeat(201) }])
    assert.deepEqual((({ type, code }) => [type, code])(await stranger.command("presence", fields)), ["error", "invalid_channel"], JSON.stringify(fields));
  await expel(dm, LOBBY, "alice");
  assert.equal((await alice.command("presence", { channel: LOBBY })).code, "forbidden");
});

test("presence events and broadcasts come in one order at all sockets", async (t) => {
  const dm = await serve(t, { ...QUICK, shards: 5 });
  const watchers = [];
  for (let i = 0; i < 6; i++) watchers.push(await Listener.connect(dm, `w${i}`, LOBBY));
  for (let n = 1; n < 6; n++) assert.equal(await next(watchers[0]), `+w${n}`);
  await allAsleep(dm);
  for (const watcher of watchers) await watcher.settle(); // one that came may be told of one just before it
  await Promise.all([
    each(Array.from({ length: 20 }, (_, i) => `u${i}`), 4, async (user) => (await Listener.connect(dm, user, LOBBY)).close(1000)),
    each(Array.from({ length: 30 }, (_, n) => n), 3, (n) => broadcast(dm, LOBBY, "e", n)),
  ]);
  const seen = [];
  for (const watcher of watchers) {
    const frames = [];
    while (frames.length < 70) frames.push(await watcher.nextText());
    seen.push(frames.map((frame) => (frame.startsWith('{"event":"e"') ? frame : told([frame])[0])));
    assert.deepEqual(await later(watcher, 20), []);
  }
  for (const frames of seen) assert.deepEqual(frames, seen[0]);
  for (let i = 0; i < 20; i++) assert.ok(seen[0].indexOf(`+u${i}`) >= 0 && seen[0].indexOf(`+u${i}`) < seen[0].indexOf(`-u${i}`));
});

for (const [kind, connect] of [["listener", (dm) => Listener.connect(dm, "alice", LOBBY, { settled: false })], ["member", (dm) => Notifier.connect(dm, "alice", { settled: false })]])
  test(`a ${kind} is there from its 101 on: who closes its old socket then has not left`, async (t) => {
    const dm = await serve(t, { shards: 5 });
    if (kind === "member") await join(dm, LOBBY, "alice");
    const bob = await Listener.connect(dm, "bob", LOBBY);
    let old = await connect(dm);
    assert.equal(await next(bob), "+alice");
    for (let i = 0; i < 300; i++) {
      const fresh = await connect(dm);
      old.ws.terminate();
      old = fresh;
    }
    assert.deepEqual(await later(bob), []);
  });

test("what is of peers harms nobody asleep who cannot hear it", async (t) => {
  const dm = await serve(t, { hibernate_after: "50ms" });
  const claims = { channels: ["presence-*"] };
  const alice = await Native.connect(dm, "alice", { claims });
  const bob = await (await dm.connect("bob")).subscribe({ type: "note" }); // hopeflow: hears no peers
  for (const user of ["alice", "bob"]) await dm.call("PUT", `/channels/presence-lobby/members/${user}`);
  await alice.command("subscribe", { filters: [{ type: "note" }] });
  await dm.asleep(2);
  const wakes = await dm.metric("dormouse_wakes_total");
  assert.equal((await alice.command("whisper", { channel: "presence-lobby", data: 1 })).type, "ok");
  await dm.call("PUT", "/channels/presence-lobby/members/carol");
  await dm.connect("carol"); // is seen to come, by whoever takes presence.join: nobody
  await until("she was", async () => (await dm.metric("dormouse_presence_events_total")) >= 3);
  assert.equal((await dm.metric("dormouse_wakes_total")) - wakes, 1, "alice's own filters are looked at, for carol");
  await dm.post("/channels/presence-lobby/send", { type: "note" });
  assert.deepEqual([(await alice.next()).type, (await bob.next()).type], ["note", "note"]);
});
