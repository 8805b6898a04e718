// backup, check and inspect, from the command line beside the server that has the database open.
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, readdirSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import { BIN, cleanEnv, serve } from "./lib/server.mjs";
import { afterwards } from "./lib/teardown.mjs";
import { test } from "./lib/test.mjs";
import { API_KEY, SECRET } from "./lib/token.mjs";
import { until } from "./lib/wait.mjs";

const MESSAGE = { type: "message" };
const MIB = 1024 * 1024;

const envOf = (dm, more = {}) => cleanEnv({ DORMOUSE_DATABASE: dm.database, DORMOUSE_LISTEN: `127.0.0.1:${dm.port}`, DORMOUSE_API_KEYS: `test=${API_KEY}`, ...more });

/** Runs a command against the server's database, to its end. */
function run(dm, args, env) {
  const result = spawnSync(BIN, args, { env: envOf(dm, env), encoding: "utf8", timeout: 60000 });
  assert.equal(result.error, undefined);
  assert.ok(!/Sanitizer|runtime error/.test(result.stderr), result.stderr);
  for (const secret of [SECRET, API_KEY]) assert.ok(!(result.stdout + result.stderr).includes(secret));
  return result;
}

/** The same without holding up this process, whose clients go on. */
function runAside(dm, args) {
  const child = spawn(BIN, args, { env: envOf(dm), stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => (stdout += chunk));
  child.stderr.on("data", (chunk) => (stderr += chunk));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status, signal) => resolve({ status, signal, stdout, stderr }));
  });
}

const sql = (file, statement) => execFileSync("sqlite3", [file, statement], { encoding: "utf8" }).trim();
const sizeOf = (file) => (existsSync(file) ? statSync(file).size : 0);
const rows = (file) => Number(sql(file, "select count(*) from session"));

/** A user with a filter, asleep and thus in the database. */
async function sleepers(dm, users) {
  const clients = [];
  for (const user of users) clients.push(await (await dm.connect(user)).subscribe(MESSAGE));
  await dm.asleep(new Set(users).size);
  return clients;
}

/** Rows of 8 KiB beside the server's, so that a copy takes its time. */
const fatten = (dm, count) =>
  sql(dm.database, `pragma busy_timeout=5000; with recursive n(i) as (select 1 union all select i+1 from n limit ${count})
    insert into session (id, slot, user_id, dialect, filters) select randomblob(16), 1208, 'ann', 'hopeflow', '[' || printf('{"type":"%.*c"}', 8000, 'x') || ']' from n`);

/** Users come, are put to sleep, and go, until it is told to end: { stop(), round trips so far }. */
function load(dm) {
  const state = { going: true, rounds: 0 };
  const one = async (name) => {
    while (state.going) {
      const client = await (await dm.connect(name)).subscribe(MESSAGE);
      await new Promise((resolve) => setTimeout(resolve, 120));
      await client.close(1000);
      state.rounds++;
    }
  };
  const all = Promise.all(Array.from({ length: 8 }, (_, i) => one(`load-${i}`)));
  state.stop = () => {
    state.going = false;
    return all;
  };
  return state;
}

test("a backup under load is whole, private, sound, and can be served", async (t) => {
  const dm = await serve(t, { hibernate_after: "50ms" });
  await sleepers(dm, ["u0", "u1", "u2"]);
  fatten(dm, 4000);
  const busy = load(dm);
  await until("the load runs", () => busy.rounds > 8);
  const before = rows(dm.database);
  let logMost = 0;
  const watch = setInterval(() => (logMost = Math.max(logMost, sizeOf(`${dm.database}-wal`))), 5);
  const copies = [];
  for (let i = 0; i < 3; i++) {
    const copy = path.join(dm.dir, `copy-${i}.db`);
    const { status, stdout, stderr } = await runAside(dm, ["backup", copy]);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /copy-\d\.db: \d+ bytes/);
    assert.equal(statSync(copy).mode & 0o7777, 0o600);
    assert.ok(Number(/: (\d+) bytes/.exec(stdout)[1]) === statSync(copy).size);
    copies.push(copy);
  }
  clearInterval(watch);
  const rounds = busy.rounds;
  await until("the load goes on", () => busy.rounds > rounds + 4);
  await busy.stop();
  assert.ok(logMost < 64 * MIB, `the log grew to ${logMost}`);
  assert.deepEqual(readdirSync(dm.dir).filter((name) => name.includes("partial")), []);
  for (const copy of copies) {
    const checked = run(dm, ["check", "--database", copy]);
    assert.equal(checked.status, 0, checked.stdout + checked.stderr);
    assert.ok(rows(copy) >= 4003 && rows(copy) <= before + 16, `${rows(copy)} rows`);
  }

  await dm.stop();
  for (const ending of ["", "-wal", "-shm"]) rmSync(dm.database + ending, { force: true });
  copyFileSync(copies[2], dm.database);
  await dm.start();
  await sleepers(dm, ["again"]);
  assert.equal(run(dm, ["check"]).status, 0);
});

test("a backup replaces nothing, and says so", async (t) => {
  const dm = await serve(t);
  const copy = path.join(dm.dir, "copy.db");
  assert.equal(run(dm, ["backup", copy]).status, 0);
  const again = run(dm, ["backup", copy]);
  assert.equal(again.status, 1);
  assert.match(again.stderr, /copy\.db: is there already/);
  assert.equal(run(dm, ["backup", dm.database]).status, 1);
  assert.match(run(dm, ["backup", path.join(dm.dir, "not", "there.db")]).stderr, /its folder does not exist/);
  assert.equal(run(dm, ["backup"]).status, 2);
  assert.equal(run(dm, ["check"]).status, 0);
});

test("a backup that is stopped leaves nothing behind", async (t) => {
  const dm = await serve(t);
  fatten(dm, 20000);
  const copy = path.join(dm.dir, "copy.db");
  const child = spawn(BIN, ["backup", copy], { env: envOf(dm), stdio: "ignore" });
  const ended = new Promise((resolve) => child.once("close", (code, signal) => resolve({ code, signal })));
  await until("it has begun", () => sizeOf(`${copy}.partial`) > 0, { every: 1 });
  child.kill("SIGTERM");
  assert.deepEqual(await ended, { code: 1, signal: null });
  assert.deepEqual(readdirSync(dm.dir).filter((name) => name.includes("copy")), []);
});

test("check finds planted damage, while the server serves and without it", async (t) => {
  const dm = await serve(t, { hibernate_after: "50ms" });
  await sleepers(dm, ["alice"]);
  const sound = run(dm, ["check"]);
  assert.equal(sound.status, 0, sound.stdout + sound.stderr);
  assert.match(sound.stdout, /: sound\n$/);
  sql(dm.database, `pragma busy_timeout=5000; insert into pending_ack values (x'${"0a".repeat(16)}', x'${"0b".repeat(16)}');
    update session set slot = (slot + 1) % 4096, filters = '[{' where user_id = 'alice'`);
  const found = run(dm, ["check"]);
  assert.equal(found.status, 1);
  assert.match(found.stdout, /^pending_ack_session: pending_ack of envelope 0b0b0b0b-0b0b-/m);
  assert.match(found.stdout, /^session_slot: session /m);
  assert.match(found.stdout, /^session_filters: session /m);
  assert.match(found.stderr, /3 things are wrong/);
  await dm.kill();
  assert.equal(run(dm, ["check"]).stdout, found.stdout);
  assert.equal((await dm.get("/readyz").catch(() => ({ status: 0 }))).status, 0);
});

test("inspect counts what is in the file and what is awake", async (t) => {
  const dm = await serve(t, { hibernate_after: "300ms" });
  await sleepers(dm, ["a", "b", "b", "c"]);
  const answer = dm.post("/publish", { userId: "b", timeoutMs: 60000 });
  answer.catch(() => {});
  const seen = await until("two acks are owed", () => {
    const { status, stdout, stderr } = run(dm, ["inspect", "--json"]);
    assert.equal(status, 0, stderr);
    const found = JSON.parse(stdout);
    return found.database.pendingAcks === 2 && found.server.asleep === 3 && found;
  });
  assert.equal(seen.database.users, 3);
  assert.equal(seen.database.sessions, 4);
  assert.equal(seen.database.bytes % 4096, 0);
  assert.deepEqual(seen.server, { url: `http://127.0.0.1:${dm.port}`, answers: true, sessions: 4, awake: 0, asleep: 3 });
  assert.match(run(dm, ["inspect"]).stdout, /^ {2}users asleep +3$/m);
  await dm.kill();
  const dead = run(dm, ["inspect", "--json"]);
  assert.equal(dead.status, 0);
  assert.equal(JSON.parse(dead.stdout).server.answers, false);
  assert.equal(JSON.parse(dead.stdout).database.sessions, 4);
});

test("a lock that another process holds shows in /readyz and the metrics, and is over when it is let go", async (t) => {
  const dm = await serve(t, { hibernate_after: "50ms" });
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  await dm.asleep(1);
  const shell = spawn("sqlite3", [dm.database], { stdio: ["pipe", "pipe", "inherit"] });
  afterwards(t, () => shell.kill("SIGKILL"));
  shell.stdin.write("begin immediate; select 'held';\n");
  await new Promise((resolve) => shell.stdout.once("data", resolve));
  const bob = await (await dm.connect("bob")).subscribe(MESSAGE); // what he wants is to be written
  await until("it shows", async () => (await dm.get("/readyz")).status === 503, { ms: 15000 });
  assert.equal((await dm.get("/healthz")).status, 200);
  assert.equal(await dm.metric('dormouse_store_down{kind="write"}'), 1);
  assert.equal(await dm.metric('dormouse_store_down{kind="read"}'), 0);
  const both = dm.publish({ userIds: ["alice", "bob"], timeoutMs: 5000 }); // live delivery goes on
  for (const client of [alice, bob]) client.ack(await client.next(), "here");
  assert.deepEqual((await both).results, ["here", "here"]);
  shell.stdin.end("rollback;\n");
  await until("it is over", async () => (await dm.get("/readyz")).status === 200);
  await dm.asleep(2);
  assert.equal(await dm.metric('dormouse_store_down{kind="write"}'), 0);
  assert.equal(run(dm, ["check"]).status, 0);
});
