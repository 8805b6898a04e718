// Acks: whose counts, once, in which order, with what result.
import assert from "node:assert/strict";
import { serve } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";

const MESSAGE = { type: "message" };

test("results are in the order in which the acks arrived", async (t) => {
  const dm = await serve(t);
  const clients = [];
  for (let i = 0; i < 4; i++) clients.push(await (await dm.connect("alice")).subscribe(MESSAGE));
  const answer = dm.publish({ userId: "alice" });
  const envelopes = await Promise.all(clients.map((client) => client.next()));
  for (const i of [2, 0, 3, 1]) {
    clients[i].ack(envelopes[i], i);
    await clients[i].settle();
  }
  assert.deepEqual((await answer).results, [2, 0, 3, 1]);
});

test("a result may be any JSON, and is null where the ack has none", async (t) => {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  for (const result of [undefined, null, false, 0, "", "text", [], {}, { deep: [{ a: [1.5] }] }, "é\u0000"]) {
    const answer = dm.publish({ userId: "alice" });
    alice.ack(await alice.next(), ...(result === undefined ? [] : [result]));
    assert.deepEqual((await answer).results, [result ?? null]);
  }
});

test("a result comes back byte for byte", async (t) => {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const result = '{"n":12345678901234567890,"e":1e400,"s":"\\u00e9"}';
  const answer = dm.post("/publish", { userId: "alice" });
  const { envelopeId } = await alice.next();
  alice.send(`{"result":${result},"envelopeId":"${envelopeId}","type":"ack"}`);
  assert.ok((await answer).text.includes(`"results":[${result}]`), (await answer).text);
});

test("the second ack of a socket is ignored", async (t) => {
  const dm = await serve(t);
  const one = await (await dm.connect("alice")).subscribe(MESSAGE);
  const two = await (await dm.connect("alice")).subscribe(MESSAGE);
  const answer = dm.publish({ userId: "alice" });
  const envelope = await one.next();
  one.ack(envelope, "first");
  one.ack(envelope, "again");
  await one.settle();
  two.ack(await two.next(), "two");
  assert.deepEqual((await answer).results, ["first", "two"]);
});

test("an ack counts only from a socket that was sent the envelope", async (t) => {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const strangers = [
    await (await dm.connect("alice")).subscribe({ type: "other" }),
    await dm.connect("alice"),
    await (await dm.connect("mallory")).subscribe(MESSAGE),
  ];
  const answer = dm.publish({ userId: "alice" });
  const envelope = await alice.next();
  for (const stranger of strangers) {
    stranger.ack(envelope, "forged");
    await stranger.settle();
  }
  const late = await (await dm.connect("alice")).subscribe(MESSAGE);
  late.ack(envelope, "too late to the party");
  await late.settle();
  alice.ack(envelope, "true");
  const { clientCount, results } = await answer;
  assert.deepEqual([clientCount, results], [1, ["true"]]);
});

test("an ack of another envelope, or of none, does not count", async (t) => {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const answer = dm.publish({ userId: "alice" });
  const envelope = await alice.next();
  alice.send({ type: "ack", envelopeId: "018f0000-0000-7000-8000-000000000000", result: 1 });
  alice.send({ type: "ack", envelopeId: "", result: 2 });
  alice.send({ type: "ack", result: 3 });
  alice.send({ type: "Ack", envelopeId: envelope.envelopeId, result: 4 });
  await alice.settle();
  alice.ack(envelope, 5);
  assert.deepEqual((await answer).results, [5]);
});

test("an ack after the answer is ignored", async (t) => {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const first = await dm.publish({ userId: "alice", timeoutMs: 100 });
  assert.deepEqual(first.results, []);
  alice.ack(await alice.next(), "late");
  await alice.expectNothing();
  const second = dm.publish({ userId: "alice" });
  alice.ack(await alice.next(), "in time");
  assert.deepEqual((await second).results, ["in time"]);
  const samples = await dm.metrics();
  assert.equal(samples['dormouse_acks_total{result="ignored"}'], 1);
  assert.equal(samples['dormouse_acks_total{result="counted"}'], 1);
  assert.equal(samples.dormouse_publish_timeouts_total, 1);
});

test("acks of two publishes at once, answered crosswise, reach their own publishers", async (t) => {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const answers = [0, 1].map((payload) => dm.publish({ userId: "alice", payload }));
  const envelopes = [await alice.next(), await alice.next()];
  for (const envelope of envelopes.reverse()) alice.ack(envelope, `for ${envelope.payload}`);
  assert.deepEqual((await answers[0]).results, ["for 0"]);
  assert.deepEqual((await answers[1]).results, ["for 1"]);
});

test("an unsubscribe after the delivery takes nothing from the ack", async (t) => {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const answer = dm.publish({ userId: "alice" });
  const envelope = await alice.next();
  await alice.unsubscribe(MESSAGE);
  alice.ack(envelope, "had it");
  assert.deepEqual((await answer).results, ["had it"]);
});
