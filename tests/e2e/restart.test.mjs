// The same database again: after SIGTERM, after kill -9, and by two at once.
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Client } from "./lib/client.mjs";
import { BIN, cleanEnv, serve, tempDir } from "./lib/server.mjs";
import { afterwards } from "./lib/teardown.mjs";
import { test } from "./lib/test.mjs";
import { API_KEY, SECRET } from "./lib/token.mjs";
import { sleep, until, within } from "./lib/wait.mjs";

const MESSAGE = { type: "message" };
const QUICK = { hibernate_after: "100ms" };

const sql = (dm, statement) => execFileSync("sqlite3", [dm.database, statement], { encoding: "utf8" }).trim();

/** Rows of all that belongs to sessions. */
const rows = (dm) => Number(sql(dm, "select (select count(*) from session) + (select count(*) from pending_ack)"));

test("SIGTERM closes the sockets with 1012 and ends with 0", async (t) => {
  const dm = await serve(t);
  const clients = [await dm.connect("alice"), await (await dm.connect("bob")).subscribe(MESSAGE)];
  dm.process.kill("SIGTERM");
  for (const client of clients) assert.equal((await client.closing()).code, 1012);
  assert.deepEqual(await dm.exited, { code: 0, signal: null });
});

test("SIGINT does as SIGTERM does", async (t) => {
  const dm = await serve(t);
  const alice = await dm.connect("alice");
  await alice.settle();
  dm.process.kill("SIGINT");
  assert.equal((await alice.closing()).code, 1012);
  assert.deepEqual(await dm.exited, { code: 0, signal: null });
});

test("sockets that open in the moment of the signal are closed with 1012 too", async (t) => {
  const dm = await serve(t);
  const opening = Array.from({ length: 40 }, (_, i) => dm.connect(`u${i}`));
  await Promise.any(opening);
  dm.process.kill("SIGTERM");
  const opened = (await Promise.allSettled(opening)).filter((one) => one.status === "fulfilled");
  for (const { value } of opened) assert.equal((await value.closing()).code, 1012);
  assert.equal((await dm.exited).code, 0);
});

test("a drain finishes the open publishes and takes no new connection", async (t) => {
  const dm = await serve(t, { drain_timeout: "10s" });
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const answer = dm.publish({ userId: "alice", timeoutMs: 20000 });
  const envelope = await alice.next();
  dm.process.kill("SIGTERM");
  await until("no new connection", () =>
    Client.open(dm.url, { headers: { authorization: `Bearer ${dm.token("bob")}` } }).then(() => false, () => true));
  alice.ack(envelope, "in the drain");
  assert.deepEqual((await answer).results, ["in the drain"]);
  assert.equal((await alice.closing()).code, 1012);
  assert.equal((await dm.exited).code, 0);
});

test("a drain closes no session that a publish of another shard still awaits", async (t) => {
  const dm = await serve(t, { drain_timeout: "10s", shards: 2 });
  const userIds = Array.from({ length: 6 }, (_, i) => `u${i}`);
  const clients = await Promise.all(userIds.map(async (user) => (await dm.connect(user)).subscribe(MESSAGE)));
  const answer = dm.publish({ userIds, timeoutMs: 8000 });
  const envelopes = await Promise.all(clients.map((client) => client.next()));
  dm.process.kill("SIGTERM");
  await sleep(500);
  clients.forEach((client, i) => client.ack(envelopes[i], userIds[i]));
  assert.deepEqual((await answer).results.sort(), userIds);
  for (const client of clients) assert.equal((await client.closing()).code, 1012);
  assert.equal((await dm.exited).code, 0);
});

test("a drain that the disk holds up takes no new publish, and ends when the disk does", async (t) => {
  const dm = await serve(t, { drain_timeout: "500ms", hibernate_after: "100ms", shards: 2 });
  await (await dm.connect("u0")).subscribe(MESSAGE);
  await dm.asleep(1);
  const body = JSON.stringify({ userIds: Array.from({ length: 16 }, (_, i) => `u${i}`), timeoutMs: 0 });
  const halves = await Promise.all(Array.from({ length: 6 }, () => dm.raw()));
  for (const raw of halves)
    raw.write(`POST /publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${API_KEY}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 5)}`);
  const held = spawn("sqlite3", [dm.database], { stdio: ["pipe", "pipe", "inherit"] });
  afterwards(t, () => held.kill("SIGKILL"));
  held.stdin.write("begin immediate; select 'held';\n");
  await within(5000, "the lock", new Promise((resolve) => held.stdout.once("data", resolve)));
  dm.process.kill("SIGTERM");
  await sleep(1200);
  for (const raw of halves) raw.write(body.slice(5));
  await sleep(300);
  held.stdin.end("rollback;\n");
  assert.equal((await within(15000, "the end", dm.exited)).code, 0);
});

test("a second signal ends a drain at once", async (t) => {
  const dm = await serve(t, { drain_timeout: "60s" });
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  dm.post("/publish", { userId: "alice", timeoutMs: 60000 }).catch(() => {});
  await alice.next();
  dm.process.kill("SIGTERM");
  await until("it drains", () => dm.log.includes("draining"));
  dm.process.kill("SIGTERM");
  dm.endsBy = "SIGTERM";
  assert.equal((await within(5000, "the end", dm.exited)).signal, "SIGTERM");
});

test("a database with a second name is refused: the lock would not hold there", async (t) => {
  const dm = await serve(t);
  const other = path.join(tempDir(t), "other.db");
  linkSync(dm.database, other);
  const child = spawnSync(BIN, ["serve", "--listen=127.0.0.1:1", `--database=${other}`], { env: cleanEnv({ DORMOUSE_JWT_SECRET: SECRET }), encoding: "utf8" });
  assert.equal(child.status, 1);
  assert.match(child.stderr + child.stdout, /hard links/);
  rmSync(other);
});

test("a drain ends at drain_timeout though a publish is open", async (t) => {
  const dm = await serve(t, { drain_timeout: "500ms" });
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const answer = dm.post("/publish", { userId: "alice", timeoutMs: 60000 }).catch((error) => error);
  await alice.next();
  const began = Date.now();
  dm.process.kill("SIGTERM");
  assert.equal((await alice.closing()).code, 1012);
  assert.equal((await dm.exited).code, 0);
  assert.ok(Date.now() - began < 5000);
  await answer;
});

test("after a restart old sockets are gone and never match, and new ones work", async (t) => {
  const dm = await serve(t, QUICK);
  await (await dm.connect("alice")).subscribe(MESSAGE);
  await dm.asleep(1);
  await dm.stop();
  await dm.start();
  assert.deepEqual((await dm.get("/users/alice/presence")).json, { online: false, connections: 0 });
  assert.equal((await dm.publish({ userId: "alice" })).clientCount, 0);
  const alice = await dm.connect("alice");
  assert.equal((await dm.publish({ userId: "alice" })).clientCount, 0);
  await alice.subscribe(MESSAGE);
  alice.autoAck(() => "new");
  assert.deepEqual((await dm.publish({ userId: "alice" })).results, ["new"]);
});

test("after kill -9 the rows of sessions that cannot come back are swept and never match", async (t) => {
  const dm = await serve(t, QUICK);
  const answers = [];
  for (const user of ["alice", "bob", "carol"]) {
    const client = await (await dm.connect(user)).subscribe(MESSAGE, { type: "other", k: "v" });
    answers.push(dm.post("/publish", { userId: user, timeoutMs: 30000 }).then((answer) => answer, (error) => error));
    await client.next();
  }
  await dm.asleep(3);
  assert.ok(rows(dm) >= 3, "sleeping sessions with filters are rows");
  await dm.kill();
  for (const answer of await Promise.all(answers)) assert.ok(answer instanceof Error, "no answer, a broken connection");
  assert.equal(sql(dm, "pragma integrity_check"), "ok");
  await dm.start();
  await until("the old rows are swept", () => rows(dm) === 0);
  const alice = await dm.connect("alice");
  for (const type of ["message", "other"])
    assert.equal((await dm.publish({ userId: "alice", type, payload: { k: "v" } })).clientCount, 0);
  await dm.asleep(1);
  assert.equal((await dm.publish({ userId: "alice" })).clientCount, 0);
  await alice.expectNothing();
});

test("rows go with their sockets", async (t) => {
  const dm = await serve(t, QUICK);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  await dm.connect("plain");
  await dm.asleep(2);
  assert.ok(rows(dm) > 0);
  await alice.close(1000);
  await until("no row is left", () => rows(dm) === 0);
});

test("kill -9 in the middle of traffic leaves a database that starts again", async (t) => {
  const dm = await serve(t, { hibernate_after: "20ms" });
  for (let round = 0; round < 3; round++) {
    const clients = [];
    for (let i = 0; i < 10; i++) clients.push((await (await dm.connect(`u${i}`)).subscribe(MESSAGE)).autoAck());
    const traffic = Promise.allSettled(
      Array.from({ length: 60 }, (_, n) => dm.post("/publish", { userId: `u${n % 10}`, timeoutMs: 1000 })),
    );
    await dm.kill();
    await traffic;
    await dm.start();
    assert.equal(sql(dm, "pragma integrity_check"), "ok");
    assert.equal((await dm.publish({ userId: "u1" })).clientCount, 0);
  }
});

test("another number of shards serves the same database", async (t) => {
  const dm = await serve(t, { ...QUICK, shards: 2 });
  await (await dm.connect("alice")).subscribe(MESSAGE);
  await dm.asleep(1);
  await dm.stop();
  await dm.start({ shards: 5 });
  const alice = (await (await dm.connect("alice")).subscribe(MESSAGE)).autoAck();
  await dm.asleep(1);
  assert.deepEqual((await dm.publish({ userId: "alice" })).results, [true]);
  await alice.next();
});

/** So often in a row that each shard has said so: each takes what is new for itself, and a call is
 * answered by any of them. */
async function everywhere(what, check) {
  let inARow = 0;
  const enough = async () => (inARow = (await check()) ? inARow + 1 : 0) === 20;
  await until(what, enough, { every: 2 });
}

test("SIGHUP reads secrets and keys again, and no socket notices", async (t) => {
  const files = tempDir(t);
  const [secretFile, keysFile] = [path.join(files, "secret"), path.join(files, "keys")];
  const put = (secret, key) => {
    writeFileSync(secretFile, secret, { mode: 0o600 });
    writeFileSync(keysFile, `test=${key}\n`, { mode: 0o600 });
  };
  put(SECRET, API_KEY);
  const dm = await serve(t, { jwt_secret_file: secretFile, api_keys_file: keysFile }, { DORMOUSE_JWT_SECRET: undefined, DORMOUSE_API_KEYS: undefined });
  const alice = (await (await dm.connect("alice")).subscribe(MESSAGE)).autoAck();
  assert.deepEqual((await dm.publish({ userId: "alice" })).results, [true]);
  const next = { secret: "the-next-secret-of-more-than-32-bytes", key: "the-next-api-key-77aa" };
  dm.secrets.push(next.secret, next.key);
  put(next.secret, next.key);
  dm.process.kill("SIGHUP");
  const as = `Bearer ${next.key}`;
  await everywhere("the new key counts", async () => (await dm.post("/publish", { userId: "bob" }, { as })).status === 200);
  assert.equal((await dm.post("/publish", { userId: "bob" })).status, 401);
  assert.deepEqual((await dm.post("/publish", { userId: "alice" }, { as })).json.results, [true]);
  await assert.rejects(dm.connect("carol"), { status: 401 });
  put("short", next.key);
  dm.process.kill("SIGHUP");
  await until("the refusal is logged", () => /32 bytes/.test(dm.log));
  assert.equal((await dm.post("/publish", { userId: "bob" }, { as })).status, 200, "what was, stays");
  await alice.settle();
});

/** Starts a second server beside `dm`, on its database; how that ends. */
function second(dm) {
  return spawnSync(BIN, ["serve", "--listen=127.0.0.1:1", `--database=${dm.database}`], {
    env: cleanEnv({ DORMOUSE_JWT_SECRET: SECRET }), encoding: "utf8", timeout: 15000,
  });
}

test("a database that another process serves is refused with a clear message", async (t) => {
  const dm = await serve(t);
  const { status, stdout, stderr } = second(dm);
  assert.ok(status > 0, `${status}`);
  assert.match(stdout + stderr, /dormouse\.db/);
  assert.match(stdout + stderr, /another|in use|lock|served/i);
  await dm.publish({ userId: "alice" });
});

test("a database of a newer version is refused with a clear message", async (t) => {
  const dm = await serve(t);
  await dm.stop();
  sql(dm, "pragma user_version = 9999");
  const { status, stdout, stderr } = second(dm);
  assert.ok(status > 0, `${status}`);
  assert.match(stdout + stderr, /newer/i);
});

test("a file that is no database is refused, and left as it is", async (t) => {
  const dm = await serve(t);
  await dm.stop();
  const text = "this is a letter, not a database\n".repeat(200);
  for (const suffix of ["-wal", "-shm"]) rmSync(dm.database + suffix, { force: true });
  writeFileSync(dm.database, text);
  const { status, stdout, stderr } = second(dm);
  assert.ok(status > 0, `${status}`);
  assert.match(stdout + stderr, /dormouse\.db/);
  assert.equal(readFileSync(dm.database, "utf8"), text);
});
