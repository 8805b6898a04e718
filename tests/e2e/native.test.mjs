// The native dialect, dormouse.v1: every command and its answer.
import assert from "node:assert/strict";
import { Native } from "./lib/native.mjs";
import { serve, UUID_V7 } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";

const QUICK = { hibernate_after: "50ms" };

test("the subprotocol asks for it, and the welcome says who and which session one is", async (t) => {
  const dm = await serve(t);
  for (const path of ["/", "/connect"]) {
    const alice = await Native.connect(dm, "alice", { path });
    assert.equal(alice.ws.protocol, "dormouse.v1");
    const { type, sessionId, resume, userId, resumed } = alice.welcome;
    assert.deepEqual([type, userId, resumed], ["welcome", "alice", false]);
    assert.match(sessionId, UUID_V7);
    assert.match(resume, /^[A-Za-z0-9_-]{32}$/);
  }
});

test("a session without filters takes everything, one with filters what they match", async (t) => {
  const dm = await serve(t);
  const [all, some] = [await Native.connect(dm, "alice"), await Native.connect(dm, "alice")];
  assert.deepEqual(await some.command("subscribe", { filters: [{ type: "order" }] }), { type: "ok", ref: "r1" });
  all.autoAck(() => "all");
  assert.deepEqual((await dm.publish({ userId: "alice", type: "chat", payload: { a: 1 } })).results, ["all"]);
  const envelope = await all.next();
  assert.deepEqual(Object.keys(envelope), ["envelopeId", "type", "userId", "timestamp", "payload"]);
  some.autoAck(() => "some");
  const answer = await dm.publish({ userId: "alice", type: "order" });
  assert.deepEqual([answer.clientCount, answer.results.sort()], [2, ["all", "some"]]);
  await some.command("unsubscribe", { filters: [{ type: "order" }] });
  assert.equal((await dm.publish({ userId: "alice", type: "chat" })).clientCount, 2);
});

test("filters beyond max_filters_per_session are refused, those before stay", async (t) => {
  const dm = await serve(t, { max_filters_per_session: 2 });
  const alice = await Native.connect(dm, "alice");
  const filters = ["a", "b", "c"].map((type) => ({ type }));
  assert.equal((await alice.command("subscribe", { filters })).code, "too_many_filters");
  for (const [type, count] of [["a", 1], ["b", 1], ["c", 0]])
    assert.equal((await dm.publish({ userId: "alice", type, timeoutMs: 0 })).delivered, count);
});

test("an ack is answered: ok where it was awaited, not_found else", async (t) => {
  const dm = await serve(t);
  const alice = await Native.connect(dm, "alice");
  const answer = dm.publish({ userId: "alice" });
  const { envelopeId } = await alice.next();
  assert.deepEqual(await alice.command("ack", { envelopeId, result: { n: 1 } }), { type: "ok", ref: "r1" });
  assert.deepEqual((await answer).results, [{ n: 1 }]);
  const again = await alice.command("ack", { envelopeId });
  assert.deepEqual([again.type, again.code], ["error", "not_found"]);
});

test("a ref is a string or a number, echoed as it came; without one there is no ok", async (t) => {
  const dm = await serve(t);
  const alice = await Native.connect(dm, "alice");
  for (const ref of ['"x\\u0041"', "7", "1e400", '""']) {
    alice.send(`{"type":"ping","ref":${ref}}`);
    assert.equal(await alice.nextText(), `{"type":"ok","ref":${ref}}`);
  }
  alice.send({ type: "ping" });
  alice.send({ type: "subscribe", filters: [{ type: "a" }] });
  await alice.expectNothing();
  for (const ref of [{}, [], true, "x".repeat(300)]) {
    alice.send({ type: "ping", ref });
    const { type, code, ref: echoed } = await alice.next();
    assert.deepEqual([type, code, echoed], ["error", "invalid_field", undefined]);
  }
});

test("what is no command is an error with a code, and harms nothing", async (t) => {
  const dm = await serve(t);
  const alice = await Native.connect(dm, "alice");
  const cases = [
    ["{", "invalid_json"],
    ["[]", "invalid_json"],
    ['"ping"', "invalid_json"],
    [Buffer.from("{}"), "invalid_json"],
    ["{}", "invalid_field"],
    ['{"type":7}', "invalid_field"],
    ['{"type":"dance"}', "invalid_field"],
    ['{"type":"subscribe"}', "invalid_field"],
    ['{"type":"subscribe","filters":{}}', "invalid_field"],
    ['{"type":"ack","envelopeId":"x"}', "invalid_field"],
    ['{"type":"attach"}', "invalid_field"],
    ['{"type":"join","channel":"private-c"}', "forbidden"],
    ['{"type":"join"}', "invalid_channel"],
    ['{"type":"leave","channel":7}', "invalid_channel"],
    ['{"type":"whisper","channel":"c"}', "forbidden"],
    ['{"type":"presence","channel":"Private-c"}', "invalid_channel"],
    ['{"type":"publish","envelope":{"userId":"bob"}}', "forbidden"],
  ];
  for (const [message, code] of cases) {
    alice.send(message);
    const answer = await alice.next();
    assert.deepEqual([answer.type, answer.code], ["error", code], String(message));
    assert.equal(typeof answer.error, "string");
  }
  await alice.expectNothing();
});

const soon = (seconds) => ({ exp: Math.floor(Date.now() / 1000) + seconds });

test("at its token's end a native session closes with 4401 and cannot be resumed, unless refreshed", async (t) => {
  const dm = await serve(t);
  const [alice, fresh] = [await Native.connect(dm, "alice", { claims: soon(2) }), await Native.connect(dm, "alice", { claims: soon(2) })];
  assert.equal((await fresh.command("refresh", { token: dm.token("alice", soon(60)) })).type, "ok");
  assert.equal((await alice.closing()).code, 4401);
  await fresh.command("ping");
  assert.equal((await Native.connect(dm, "alice", { resume: alice.welcome.resume })).welcome.resumed, false);
  assert.equal(await dm.metric('dormouse_closes_total{by="expiry"}'), 1);
});

test("refresh takes only a good token of the same user", async (t) => {
  const dm = await serve(t);
  const alice = await Native.connect(dm, "alice");
  for (const [token, code] of [[dm.token("bob"), "forbidden"], ["junk", "unauthorized"], [dm.token("alice", soon(-100)), "unauthorized"]])
    assert.equal((await alice.command("refresh", { token })).code, code);
  alice.send({ type: "refresh" });
  assert.equal((await alice.next()).code, "invalid_field");
  assert.equal((await alice.command("refresh", { token: dm.token("alice", soon(1)) })).type, "ok");
  assert.equal((await alice.closing()).code, 4401);
});

test("hopeflow sessions end with their token only where expire_sessions is set", async (t) => {
  const [off, on] = [await serve(t), await serve(t, { expire_sessions: true })];
  const stays = await off.connect("alice", { claims: soon(1) });
  const ends = await on.connect("alice", { claims: soon(1) });
  assert.equal((await ends.closing()).code, 4401);
  await stays.expectNothing();
});

test("an attachment over max_attachment is refused, and the one before stays", async (t) => {
  const dm = await serve(t, { max_attachment: "1KiB" });
  const alice = await Native.connect(dm, "alice");
  assert.equal((await alice.command("attach", { attachment: { name: "Alice" } })).type, "ok");
  const refused = await alice.command("attach", { attachment: "x".repeat(1024) });
  assert.deepEqual([refused.type, refused.code], ["error", "too_large"]);
  await alice.drop();
  const back = await Native.connect(dm, "alice", { resume: alice.welcome.resume });
  assert.deepEqual(back.welcome.attachment, { name: "Alice" });
});

test("null takes the attachment away, from memory and from the store", async (t) => {
  const dm = await serve(t);
  let alice = await Native.connect(dm, "alice");
  const back = async () => (alice = await Native.connect(dm, "alice", { resume: alice.welcome.resume })).welcome;
  for (const nothing of ["null", " null\t"]) {
    await alice.command("attach", { attachment: { seat: 7 } });
    assert.deepEqual((await back()).attachment, { seat: 7 });
    alice.send(`{"type":"attach","ref":"x","attachment":${nothing}}`);
    assert.deepEqual(await alice.next(), { type: "ok", ref: "x" });
    for (const away of [() => {}, () => alice.drop(), () => dm.kill().then(() => dm.start())]) {
      await away();
      const { resumed, ...welcome } = await back();
      assert.deepEqual([resumed, "attachment" in welcome], [true, false]);
    }
  }
});

test("filters and attachment survive sleep; a ping wakes nobody", async (t) => {
  const dm = await serve(t, QUICK);
  const alice = await Native.connect(dm, "alice");
  await alice.command("subscribe", { filters: [{ type: "a" }] });
  await alice.command("attach", { attachment: [1, 2] });
  await dm.asleep(1);
  const wakes = await dm.metric("dormouse_wakes_total");
  await alice.command("ping");
  assert.equal((await dm.publish({ userId: "bob" })).clientCount, 0);
  assert.equal(await dm.metric("dormouse_wakes_total"), wakes);
  alice.autoAck(() => "awake");
  assert.deepEqual((await dm.publish({ userId: "alice", type: "a" })).results, ["awake"]);
  assert.equal((await dm.publish({ userId: "alice", type: "b" })).clientCount, 0);
});

test("one envelope reaches hopeflow and native sessions, each in its form", async (t) => {
  const dm = await serve(t);
  const hopeflow = (await (await dm.connect("alice")).subscribe({ type: "message" })).autoAck(() => "hopeflow");
  const native = (await Native.connect(dm, "alice")).autoAck(() => "native");
  const answer = await dm.publish({ userId: "alice", payload: { n: 1 } });
  assert.deepEqual(answer.results.sort(), ["hopeflow", "native"]);
  assert.deepEqual(await hopeflow.next(), await native.next());
});
