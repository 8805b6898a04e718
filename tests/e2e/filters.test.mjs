// Filters choose which sockets of a user take an envelope.
import assert from "node:assert/strict";
import { serve } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";

/** Publishes to alice without waiting for acks; how many sockets took it. */
async function reach(dm, type, payload) {
  return (await dm.publish({ userId: "alice", type, payload, timeoutMs: 0 })).delivered;
}

/** One socket of alice with these filters. */
async function withFilters(t, ...filters) {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe(...filters);
  return { dm, alice };
}

test("a filter's type is compared to the envelope's, exactly", async (t) => {
  const { dm } = await withFilters(t, { type: "chat_message" });
  assert.equal(await reach(dm, "chat_message", {}), 1);
  assert.equal(await reach(dm, "chat_message"), 1);
  assert.equal(await reach(dm, "chat_message", "text"), 1);
  assert.equal(await reach(dm, "Chat_message", {}), 0);
  assert.equal(await reach(dm, "chat", {}), 0);
});

test("a filter's other keys are compared to the payload's fields, exactly", async (t) => {
  const { dm } = await withFilters(t, { type: "chat", questId: "q1", nodeId: "n1" });
  assert.equal(await reach(dm, "chat", { questId: "q1", nodeId: "n1" }), 1);
  assert.equal(await reach(dm, "chat", { nodeId: "n1", more: [1], questId: "q1" }), 1);
  assert.equal(await reach(dm, "chat", { questId: "q1", nodeId: "n2" }), 0);
  assert.equal(await reach(dm, "chat", { questId: "q1" }), 0);
  assert.equal(await reach(dm, "chat", { questId: "Q1", nodeId: "n1" }), 0);
  assert.equal(await reach(dm, "chat", { deep: { questId: "q1", nodeId: "n1" } }), 0);
  for (const payload of [undefined, null, "q1", ["q1", "n1"], 1])
    assert.equal(await reach(dm, "chat", payload), 0, JSON.stringify(payload));
});

test("a number in the payload never equals a filter's string", async (t) => {
  const { dm } = await withFilters(t, { type: "score", level: "1" });
  assert.equal(await reach(dm, "score", { level: "1" }), 1);
  assert.equal(await reach(dm, "score", { level: 1 }), 0);
  assert.equal(await reach(dm, "score", { level: true }), 0);
  assert.equal(await reach(dm, "score", { level: ["1"] }), 0);
});

test("strings are compared after unescaping", async (t) => {
  const dm = await serve(t);
  const alice = await dm.connect("alice");
  alice.send('{"type":"subscribe","filters":[{"type":"ch\\u0061t","k\\u0065y":"\\u00e9\\n"}]}');
  await alice.settle();
  assert.equal(await reach(dm, "chat", { key: "é\n" }), 1);
  assert.equal(await reach(dm, "chat", { key: "\\u00e9\\n" }), 0);
});

test("one matching filter of several is enough, and the envelope comes once", async (t) => {
  const { dm, alice } = await withFilters(t, { type: "a" }, { type: "b", k: "1" }, { type: "b", k: "2" }, { type: "b" });
  assert.equal(await reach(dm, "a"), 1);
  assert.equal(await reach(dm, "b", { k: "1" }), 1);
  assert.equal(await reach(dm, "c"), 0);
  assert.equal((await alice.settle()).length, 2);
});

test("each socket has filters of its own", async (t) => {
  const dm = await serve(t);
  const one = await (await dm.connect("alice")).subscribe({ type: "a" });
  const two = await (await dm.connect("alice")).subscribe({ type: "b" });
  const three = await dm.connect("alice");
  assert.equal(await reach(dm, "a"), 1);
  assert.equal(await reach(dm, "b"), 1);
  assert.equal((await one.next()).type, "a");
  assert.equal((await two.next()).type, "b");
  for (const client of [one, two, three]) await client.expectNothing();
});

test("subscribing again adds to what is there", async (t) => {
  const { dm, alice } = await withFilters(t, { type: "a" });
  await alice.subscribe({ type: "b" });
  assert.equal(await reach(dm, "a"), 1);
  assert.equal(await reach(dm, "b"), 1);
});

test("unsubscribing takes out just the equal filters", async (t) => {
  const { dm, alice } = await withFilters(t, { type: "a" }, { type: "b" }, { type: "b", k: "1" });
  await alice.unsubscribe({ type: "b" }, { type: "never was" });
  assert.equal(await reach(dm, "a"), 1);
  assert.equal(await reach(dm, "b"), 0);
  assert.equal(await reach(dm, "b", { k: "1" }), 1);
  await alice.unsubscribe({ k: "1", type: "b" }, { type: "a" });
  assert.equal(await reach(dm, "a"), 0);
  assert.equal(await reach(dm, "b", { k: "1" }), 0);
});

test("equal filters count once: one unsubscribe takes them out", async (t) => {
  const { dm, alice } = await withFilters(t, { type: "a", k: "1" }, { k: "1", type: "a" }, { type: " a ", k: "1" });
  assert.equal(await reach(dm, "a", { k: "1" }), 1);
  await alice.unsubscribe({ type: "a", k: "1" });
  assert.equal(await reach(dm, "a", { k: "1" }), 0);
});

test("a filter's type is trimmed, its other values are not", async (t) => {
  const { dm } = await withFilters(t, { type: "\t a \n", k: " v " });
  assert.equal(await reach(dm, "a", { k: " v " }), 1);
  assert.equal(await reach(dm, "a", { k: "v" }), 0);
});

test("only the first fifty filters of a message are taken", async (t) => {
  const types = Array.from({ length: 51 }, (_, i) => ({ type: `t${i}` }));
  const { dm, alice } = await withFilters(t, ...types);
  assert.equal(await reach(dm, "t49"), 1);
  assert.equal(await reach(dm, "t50"), 0);
  await alice.subscribe({ type: "t50" });
  await alice.unsubscribe(...types);
  assert.equal(await reach(dm, "t49"), 0);
  assert.equal(await reach(dm, "t50"), 1);
});

test("what is no filter is passed over, and the rest of the message counts", async (t) => {
  const { dm } = await withFilters(
    t,
    null, 7, "a", ["a"], {}, { type: 1 }, { type: "" }, { type: "  " }, { k: "v" }, { type: "n", k: 1 },
    { type: "n", k: null }, { type: "n", k: {} }, { type: "good" },
  );
  assert.equal(await reach(dm, "good"), 1);
  assert.equal(await reach(dm, "n", { k: 1 }), 0);
  assert.equal(await reach(dm, "n"), 0);
  assert.equal(await reach(dm, "a"), 0);
});

test("a session keeps at most max_filters_per_session filters", async (t) => {
  const dm = await serve(t, { max_filters_per_session: 3 });
  const alice = await (await dm.connect("alice")).subscribe({ type: "a" }, { type: "b" });
  await alice.subscribe({ type: "c" }, { type: "d" });
  assert.deepEqual([await reach(dm, "a"), await reach(dm, "b"), await reach(dm, "c")], [1, 1, 1]);
  assert.equal(await reach(dm, "d"), 0);
  await alice.unsubscribe({ type: "a" });
  await alice.subscribe({ type: "d" });
  assert.equal(await reach(dm, "d"), 1);
});

test("messages that make no sense are ignored and harm nothing", async (t) => {
  const { dm, alice } = await withFilters(t, { type: "a" });
  for (const junk of [
    "", " ", "{", "[]", "null", "7", '"ping"', "{}", '{"type":7}', '{"type":"nonsense"}', '{"type":"subscribe"}',
    '{"type":"subscribe","filters":{"type":"b"}}', '{"type":"subscribe","filters":"b"}', '{"type":"unsubscribe"}',
    '{"type":"ack"}', '{"type":"ack","envelopeId":7}', '{"type":"ack","envelopeId":"nobody"}', '{"type":"subscribe","filters":[{"type":"b"}]',
    "[".repeat(100000), '{"a":'.repeat(50000), "pingping", "\u0000", '{"type":"__proto__"}', Buffer.from('{"type":"subscribe","filters":[{"type":"b"}]}'),
  ])
    alice.send(junk);
  await alice.expectNothing();
  assert.equal(await reach(dm, "a"), 1);
  assert.equal(await reach(dm, "b"), 0);
});
