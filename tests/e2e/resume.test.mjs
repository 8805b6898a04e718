// Sessions of the native dialect outlive their sockets, and the process.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { Native } from "./lib/native.mjs";
import { serve } from "./lib/server.mjs";
import { afterwards } from "./lib/teardown.mjs";
import { test } from "./lib/test.mjs";
import { sleep, until, within } from "./lib/wait.mjs";

const rows = (dm) => Number(execFileSync("sqlite3", [dm.database, "select count(*) from session"], { encoding: "utf8" }));

/** A session of alice with a filter and an attachment. */
async function equipped(dm) {
  const alice = await Native.connect(dm, "alice");
  await alice.command("subscribe", { filters: [{ type: "order", shop: "s" }] });
  await alice.command("attach", { attachment: { name: "Alice" } });
  return alice;
}

async function expectEquipped(dm, client, sessionId) {
  assert.deepEqual([client.welcome.resumed, client.welcome.sessionId], [true, sessionId]);
  assert.deepEqual(client.welcome.attachment, { name: "Alice" });
  client.autoAck(() => client.welcome.resume);
  assert.deepEqual((await dm.publish({ userId: "alice", type: "order", payload: { shop: "s" } })).results, [client.welcome.resume]);
  assert.equal((await dm.publish({ userId: "alice", type: "order", payload: { shop: "t" } })).clientCount, 0);
}

for (const [how, settings] of [["awake", {}], ["asleep", { hibernate_after: "20ms" }]])
  test(`after a drop the same session comes back, its user ${how}`, async (t) => {
    const dm = await serve(t, settings);
    const other = await dm.connect("alice"); // keeps the user's object there
    let alice = await equipped(dm);
    const { sessionId } = alice.welcome;
    for (let i = 0; i < 5; i++) {
      if (how === "asleep") await dm.asleep(1);
      await alice.drop();
      await until("the drop is noticed", async () => (await dm.get("/users/alice/presence")).json.connections === 1);
      const back = await Native.connect(dm, "alice", { resume: alice.welcome.resume });
      assert.notEqual(back.welcome.resume, alice.welcome.resume);
      await expectEquipped(dm, back, sessionId);
      alice = back;
    }
    await other.close();
  });

test("after kill -9, and after a restart, the same session comes back", async (t) => {
  const dm = await serve(t);
  let alice = await equipped(dm);
  const { sessionId } = alice.welcome;
  for (const end of ["kill", "stop"]) {
    await dm[end]();
    await alice.closing();
    await dm.start();
    const back = await Native.connect(dm, "alice", { resume: alice.welcome.resume });
    await expectEquipped(dm, back, sessionId);
    alice = back;
  }
});

test("a secret counts once: the old one dies at the first frame on the new socket", async (t) => {
  const dm = await serve(t);
  const alice = await equipped(dm);
  const { sessionId, resume } = alice.welcome;
  await alice.drop();
  const lost = await Native.connect(dm, "alice", { resume }); // its welcome may have been lost
  await lost.drop();
  const back = await Native.connect(dm, "alice", { resume });
  assert.equal(back.welcome.sessionId, sessionId);
  await back.command("ping");
  await back.drop();
  const stale = await Native.connect(dm, "alice", { resume });
  assert.equal(stale.welcome.resumed, false);
  assert.notEqual(stale.welcome.sessionId, sessionId);
  assert.equal((await Native.connect(dm, "alice", { resume: back.welcome.resume })).welcome.sessionId, sessionId);
});

test("a secret is bound to its user; a wrong one opens a new session", async (t) => {
  const dm = await serve(t);
  const alice = await equipped(dm);
  await alice.drop();
  for (const [user, resume] of [["bob", alice.welcome.resume], ["alice", "x".repeat(32)], ["alice", ""], ["alice", "y".repeat(500)]]) {
    const other = await Native.connect(dm, user, { resume });
    assert.deepEqual([other.welcome.resumed, other.welcome.userId], [false, user]);
    assert.notEqual(other.welcome.sessionId, alice.welcome.sessionId);
  }
  assert.equal((await Native.connect(dm, "alice", { resume: alice.welcome.resume })).welcome.resumed, true);
});

test("past the window the session is gone, and its row too", async (t) => {
  const dm = await serve(t, { resume_window: "1s" });
  const alice = await equipped(dm);
  await alice.drop();
  await sleep(1300);
  assert.equal((await Native.connect(dm, "alice", { resume: alice.welcome.resume })).welcome.resumed, false);
  await until("the row is swept", () => rows(dm) === 1);
});

test("the window goes on over a restart", async (t) => {
  const dm = await serve(t, { resume_window: "1s" });
  const alice = await equipped(dm);
  await dm.kill();
  await dm.start();
  await sleep(1300);
  assert.equal((await Native.connect(dm, "alice", { resume: alice.welcome.resume })).welcome.resumed, false);
});

for (const [what, code] of [["1000", 1000], ["1001", 1001], ["no code", undefined]])
  test(`a Close with ${what} ends the session for good`, async (t) => {
    const dm = await serve(t);
    const alice = await equipped(dm);
    if (code === 1001) alice.ws._sender.close(1001, "", true, () => {});
    else alice.ws.close(code);
    await alice.closing();
    await until("its row is gone", () => rows(dm) === 0);
    assert.equal((await Native.connect(dm, "alice", { resume: alice.welcome.resume })).welcome.resumed, false);
  });

test("a disconnect ends the sessions that are connected, and those that have dropped", async (t) => {
  const dm = await serve(t);
  const [dropped, connected] = [await equipped(dm), await equipped(dm)];
  await dropped.drop();
  await until("the drop is noticed", async () => (await dm.get("/users/alice/presence")).json.connections === 1);
  assert.deepEqual((await dm.post("/users/alice/disconnect")).json, { disconnected: 1 });
  await connected.closing();
  for (const { welcome } of [dropped, connected])
    assert.equal((await Native.connect(dm, "alice", { resume: welcome.resume })).welcome.resumed, false);
});

test("a disconnect is answered once no crash can bring the sessions back", async (t) => {
  const dm = await serve(t);
  const [dropped, connected] = [await equipped(dm), await equipped(dm)];
  await dropped.drop();
  await until("the drop is noticed", async () => (await dm.get("/users/alice/presence")).json.connections === 1);
  const held = spawn("sqlite3", [dm.database], { stdio: ["pipe", "pipe", "inherit"] });
  afterwards(t, () => held.kill("SIGKILL"));
  held.stdin.write("begin immediate; select 'held';\n");
  await within(5000, "the lock", new Promise((resolve) => held.stdout.once("data", resolve)));
  const answer = dm.post("/users/alice/disconnect").then(({ status }) => status, () => "killed");
  assert.equal((await connected.closing()).code, 1000, "at once");
  assert.equal(await Promise.race([answer, sleep(300)]), undefined, "answered before it is in the store");
  held.stdin.end("rollback;\n");
  assert.equal(await answer, 200);
  await dm.kill();
  await dm.start();
  for (const { welcome } of [dropped, connected])
    assert.equal((await Native.connect(dm, "alice", { resume: welcome.resume })).welcome.resumed, false);
});

test("of two sockets for one session the later wins, and the earlier closes with 4009", async (t) => {
  for (const settings of [{}, { hibernate_after: "20ms" }]) {
    const dm = await serve(t, settings);
    const alice = await equipped(dm);
    if (settings.hibernate_after) await dm.asleep(1);
    const later = await Native.connect(dm, "alice", { resume: alice.welcome.resume });
    assert.equal((await alice.closing()).code, 4009);
    await expectEquipped(dm, later, alice.welcome.sessionId);
    assert.deepEqual((await dm.get("/users/alice/presence")).json, { online: true, connections: 1 });
  }
});

test("dropped sessions do not count against the user's limit, and match nothing", async (t) => {
  const dm = await serve(t, { max_connections_per_user: 2 });
  const secrets = [];
  for (let i = 0; i < 4; i++) {
    const alice = await Native.connect(dm, "alice");
    secrets.push(alice.welcome.resume);
    await alice.drop();
    await until("the drop is noticed", async () => (await dm.get("/users/alice/presence")).json.connections === 0);
  }
  assert.equal((await dm.publish({ userId: "alice" })).clientCount, 0);
  await Native.connect(dm, "alice", { resume: secrets[0] });
  await Native.connect(dm, "alice", { resume: secrets[1] });
  await assert.rejects(Native.connect(dm, "alice", { resume: secrets[2] }), { status: 503 });
});

test("at the user's limit a session that is still connected can be resumed, and no other", async (t) => {
  const dm = await serve(t, { max_connections_per_user: 1 });
  const dropped = await Native.connect(dm, "alice");
  await dropped.drop();
  await until("the drop is noticed", async () => (await dm.get("/users/alice/presence")).json.connections === 0);
  const alice = await Native.connect(dm, "alice");
  for (const resume of [undefined, "junk", dropped.welcome.resume])
    await assert.rejects(Native.connect(dm, "alice", { resume }), { status: 503 });
  const back = await Native.connect(dm, "alice", { resume: alice.welcome.resume });
  assert.equal(back.welcome.sessionId, alice.welcome.sessionId);
  assert.equal((await alice.closing()).code, 4009);
  assert.equal(rows(dm), 2, "what was refused has left no row");
  await back.close(1000);
  assert.equal((await Native.connect(dm, "alice", { resume: dropped.welcome.resume })).welcome.resumed, true);
});

for (const [how, settings] of [["awake", {}], ["asleep", { hibernate_after: "20ms" }]])
  test(`the late ack of a session that dropped and came back counts until the answer, its user ${how}`, async (t) => {
    const dm = await serve(t, { shards: 2, ...settings });
    const [alice, other] = [await Native.connect(dm, "alice"), await Native.connect(dm, "bob")];
    const answer = dm.publish({ userIds: ["alice", "bob"], timeoutMs: 8000 });
    const envelope = await alice.next();
    const hers = await other.next();
    if (how === "asleep") await dm.asleep(2);
    await alice.drop();
    await until("the drop is noticed", async () => (await dm.get("/users/alice/presence")).json.connections === 0);
    const back = await Native.connect(dm, "alice", { resume: alice.welcome.resume });
    assert.equal((await back.command("ack", { envelopeId: envelope.envelopeId, result: "late" })).type, "ok");
    assert.equal((await back.command("ack", { envelopeId: envelope.envelopeId, result: "twice" })).code, "not_found");
    other.ack(hers, "in time");
    const { clientCount, results } = await answer;
    assert.deepEqual([clientCount, results], [2, ["late", "in time"]]);
  });

test("a publish does not wait for a session that dropped", async (t) => {
  const dm = await serve(t);
  const alice = await Native.connect(dm, "alice");
  const answer = dm.publish({ userId: "alice", timeoutMs: 8000 });
  const { envelopeId } = await alice.next();
  const began = Date.now();
  await alice.drop();
  assert.deepEqual((await answer).results, []);
  assert.ok(Date.now() - began < 4000);
  const back = await Native.connect(dm, "alice", { resume: alice.welcome.resume });
  assert.equal((await back.command("ack", { envelopeId })).code, "not_found", "after the answer it counts no more");
});

test("no secret reaches the database or the log", async (t) => {
  const dm = await serve(t, { log_level: "debug" });
  const alice = await equipped(dm);
  await alice.drop();
  const back = await Native.connect(dm, "alice", { resume: alice.welcome.resume });
  for (const suffix of ["", "-wal"])
    for (const { resume } of [alice.welcome, back.welcome])
      assert.ok(!readFileSync(dm.database + suffix).includes(resume));
});

test("many drops and resumes, with publishes in between, on several shards", async (t) => {
  const dm = await serve(t, { shards: 3, hibernate_after: "10ms" });
  const users = await Promise.all(
    Array.from({ length: 8 }, async (_, i) => ({ id: `u${i}`, client: await Native.connect(dm, `u${i}`) })),
  );
  for (const user of users) await user.client.command("attach", { attachment: user.id });
  for (let round = 0; round < 12; round++)
    await Promise.all(
      users.map(async (user, i) => {
        if ((round + i) % 3 === 0) await sleep(15);
        await user.client.drop();
        const sessionId = user.client.welcome.sessionId;
        user.client = await Native.connect(dm, user.id, { resume: user.client.welcome.resume });
        assert.deepEqual([user.client.welcome.sessionId, user.client.welcome.attachment], [sessionId, user.id]);
        user.client.autoAck(() => round);
        await until("its own ack", async () => (await dm.publish({ userId: user.id, timeoutMs: 3000 })).results.includes(round));
      }),
    );
});

test("a late ack counts though another session of the user has acked and ended meanwhile", async (t) => {
  const dm = await serve(t, { hibernate_after: "20ms" });
  const [back, gone, bob] = [await Native.connect(dm, "alice"), await Native.connect(dm, "alice"), await Native.connect(dm, "bob")];
  const answer = dm.publish({ userIds: ["alice", "bob"], timeoutMs: 8000 });
  const { envelopeId } = await back.next();
  await bob.next();
  await dm.asleep(2); // the acks that are awaited are rows
  assert.equal((await gone.command("ack", { envelopeId, result: "gone" })).type, "ok");
  await back.drop();
  await gone.close(1000);
  await until("both are gone", async () => (await dm.get("/users/alice/presence")).json.connections === 0);
  const again = await Native.connect(dm, "alice", { resume: back.welcome.resume }); // in the place of the one that ended
  assert.equal((await again.command("ack", { envelopeId, result: "late" })).type, "ok");
  await bob.command("ack", { envelopeId, result: "bob" });
  assert.deepEqual((await answer).results, ["gone", "late", "bob"]);
});
