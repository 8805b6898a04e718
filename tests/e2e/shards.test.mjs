// The main flows do not depend on how many shards there are.
import assert from "node:assert/strict";
import { serve } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";
import { until } from "./lib/wait.mjs";

const MESSAGE = { type: "message" };
const USERS = Array.from({ length: 12 }, (_, i) => `user-${i}`);

for (const shards of [1, 2, 5]) {
  const on = `on ${shards} shard${shards > 1 ? "s" : ""}`;

  test(`${on}, publishes to one, to many, and to the sleeping are acked`, async (t) => {
    const dm = await serve(t, { shards, hibernate_after: "150ms" });
    const clients = new Map();
    for (const user of USERS)
      clients.set(user, (await (await dm.connect(user)).subscribe(MESSAGE)).autoAck(() => user));
    for (let round = 0; round < 2; round++) {
      for (const user of USERS) assert.deepEqual((await dm.publish({ userId: user })).results, [user]);
      const all = await dm.publish({ userIds: USERS, payload: round });
      assert.deepEqual([all.clientCount, [...all.results].sort()], [12, [...USERS].sort()]);
      await dm.asleep(USERS.length);
    }
    const asleep = await dm.publish({ userIds: USERS });
    assert.deepEqual([...asleep.results].sort(), [...USERS].sort());
    for (const user of USERS) {
      const seen = [];
      for (let n = 0; n < 5; n++) seen.push((await clients.get(user).next()).userId);
      assert.deepEqual(seen, Array(5).fill(user));
      await clients.get(user).expectNothing();
    }
  });

  test(`${on}, sends, presence and disconnect reach users of every shard`, async (t) => {
    const dm = await serve(t, { shards });
    const clients = [];
    for (const user of USERS) clients.push(await (await dm.connect(user)).subscribe({ type: "note" }));
    const many = await dm.post("/users/send", { userIds: USERS, event: { type: "note" } });
    assert.deepEqual(many.json, USERS.map(() => ({ status: "fulfilled" })));
    for (const [i, user] of USERS.entries()) {
      assert.equal((await dm.post(`/users/${user}/send`, { type: "note" })).json.delivered, 1);
      await clients[i].next();
      await clients[i].next();
      assert.equal((await dm.get(`/users/${user}/presence`)).json.connections, 1);
      assert.deepEqual((await dm.post(`/users/${user}/disconnect`, {})).json, { disconnected: 1 });
      assert.equal((await clients[i].closing()).code, 1000);
    }
    await until("no session is left", async () => (await dm.metric("dormouse_sessions")) === 0);
  });

  test(`${on}, publishes in a row arrive in a row, whichever connection brings them`, async (t) => {
    const dm = await serve(t, { shards });
    const sockets = [];
    for (let i = 0; i < 3; i++) sockets.push(await (await dm.connect("alice")).subscribe(MESSAGE));
    for (let n = 0; n < 60; n++)
      await dm.publish(n % 2 ? { userId: "alice", payload: n, timeoutMs: 0 } : { userIds: ["alice", ...USERS], payload: n, timeoutMs: 0 });
    for (const socket of sockets)
      for (let n = 0; n < 60; n++) assert.equal((await socket.next()).payload, n);
  });

  test(`${on}, acks of many users to one publish come back with drops among them`, async (t) => {
    const dm = await serve(t, { shards });
    const clients = [];
    for (const user of USERS) clients.push(await (await dm.connect(user)).subscribe(MESSAGE));
    const answer = dm.publish({ userIds: USERS, timeoutMs: 15000 });
    const began = Date.now();
    for (const [i, client] of clients.entries()) {
      const envelope = await client.next();
      if (i % 3 === 0) await client.drop();
      else client.ack(envelope, i);
    }
    const { clientCount, results } = await answer;
    assert.equal(clientCount, 12);
    assert.deepEqual(results.sort((a, b) => a - b), [1, 2, 4, 5, 7, 8, 10, 11]);
    assert.ok(Date.now() - began < 10000);
  });
}
