// The command line: what a person types, and what it says when they mistype.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { BIN, cleanEnv, serve, tempDir } from "./lib/server.mjs";
import { afterwards } from "./lib/teardown.mjs";
import { test } from "./lib/test.mjs";
import { API_KEY, SECRET } from "./lib/token.mjs";
import { until } from "./lib/wait.mjs";

const COMMANDS = ["serve", "check-config", "token", "connect", "publish", "backup", "check", "inspect"];
const WITH_SECRET = { DORMOUSE_JWT_SECRET: SECRET };

// Where a command would leave a database, were one begun by mistake.
const scratch = mkdtempSync(path.join(os.tmpdir(), "dormouse-cli-"));
process.once("exit", () => rmSync(scratch, { recursive: true, force: true }));

/** Runs the command to its end: { status, stdout, stderr }. */
function run(args, env = WITH_SECRET, cwd = scratch) {
  const result = spawnSync(BIN, args, { env: cleanEnv(env), encoding: "utf8", timeout: 15000, cwd });
  assert.equal(result.error, undefined);
  assert.ok(!/Sanitizer|runtime error/.test(result.stderr), result.stderr);
  return result;
}

/** Writes a config file and checks it. */
function check(t, yaml, args = [], env = WITH_SECRET) {
  const file = path.join(tempDir(t), "dormouse.yaml");
  writeFileSync(file, yaml);
  return run(["check-config", "--config", file, ...args], env);
}

test("--version says the version, --help what there is to do", () => {
  const version = run(["--version"], {});
  assert.equal(version.status, 0);
  assert.match(version.stdout, /^dormouse \d+\.\d+\.\d+\n$/);
  const help = run(["--help"], {});
  assert.equal(help.status, 0);
  for (const word of COMMANDS) assert.match(help.stdout, new RegExp(`\\b${word}\\b`));
  for (const command of COMMANDS) {
    const { status, stdout } = run([command, "--help"], {});
    assert.equal(status, 0, command);
    assert.ok(stdout.includes(`dormouse ${command}`), command);
  }
  assert.match(run(["serve", "--help"], {}).stdout, /--hibernate-after/);
});

test("misuse exits with 2, says what is wrong on stderr, and points to --help", () => {
  for (const args of [[], ["fly"], ["serve", "--no-such-flag"], ["serve", "surprise"], ["token"], ["connect"]]) {
    const { status, stdout, stderr } = run(args);
    assert.equal(status, 2, `${args}: ${stderr}`);
    assert.equal(stdout, "", `${args}`);
    assert.notEqual(stderr, "", `${args}`);
  }
  assert.match(run(["fly"]).stderr, /fly/);
  assert.match(run(["serve", "--no-such-flag"]).stderr, /--no-such-flag/);
});

test("check-config accepts a sound file and shows no secret", (t) => {
  const good = check(t, "listen: 127.0.0.1:9000\nhibernate_after: 2m\nmax_body: 64KiB\nopen_publish: true\ncors_origins:\n  - https://a.example\n");
  assert.equal(good.status, 0, good.stderr);
  assert.match(good.stdout, /hibernate_after/);
  assert.ok(!(good.stdout + good.stderr).includes(SECRET));
});

test("check-config names the file and the line of each kind of mistake", (t) => {
  const mistakes = [
    ["# a comment\nlisten: 127.0.0.1:9000\nhibernate_afer: 1s\n", 3, /hibernate_afer/],
    ["hibernate_after: soon\n", 1, /hibernate_after/],
    ["\n\nmax_body: 12 parsecs\n", 3, /max_body/],
    ["shards: -1\n", 1, /shards/],
    ["shards: 1000\n", 1, /shards/],
    ["open_publish: perhaps\n", 1, /open_publish/],
    ["listen: nowhere\n", 1, /listen/],
    ["log_level: loud\n", 1, /log_level/],
    ["listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n", 2, /listen/],
    ["listen: [unclosed\n", undefined, /./],
    ["- a list\n", 1, /./],
    ["jwt_secret: too-short\n", 1, /jwt_secret/],
    ["shards: {a: b}\n", 1, /shards/],
  ];
  for (const [yaml, line, what] of mistakes) {
    const { status, stderr, stdout } = check(t, yaml, [], yaml.includes("jwt_secret") ? {} : WITH_SECRET);
    assert.ok(status > 0, yaml);
    assert.match(stderr + stdout, what, yaml);
    assert.match(stderr + stdout, new RegExp(`dormouse\\.yaml:${line ?? "\\d+"}`), yaml);
    assert.ok(!(stderr + stdout).includes("too-short"));
  }
});

test("a flag wins over a variable, a variable over the file", (t) => {
  const yaml = "hibernate_after: 1s\n";
  const shown = (args, env) => check(t, yaml, args, { ...WITH_SECRET, ...env }).stdout;
  assert.match(shown([], {}), /hibernate_after.*\b1s\b/);
  assert.match(shown([], { DORMOUSE_HIBERNATE_AFTER: "2s" }), /hibernate_after.*\b2s\b/);
  assert.match(shown(["--hibernate-after", "3s"], { DORMOUSE_HIBERNATE_AFTER: "2s" }), /hibernate_after.*\b3s\b/);
  assert.match(shown(["--hibernate-after=3s"], {}), /hibernate_after.*\b3s\b/);
});

test("unknown flags and variables are errors, and secrets are no flags", (t) => {
  const unknown = check(t, "", [], { ...WITH_SECRET, DORMOUSE_HIBERNATE_AFER: "1s" });
  assert.ok(unknown.status > 0);
  assert.match(unknown.stderr, /DORMOUSE_HIBERNATE_AFER/);
  const flag = check(t, "", ["--jwt-secret", SECRET]);
  assert.ok(flag.status > 0);
  assert.ok(!flag.stderr.includes(SECRET));
});

test("secrets may come from files, with or without a newline at the end", async (t) => {
  const dir = tempDir(t);
  const secret = path.join(dir, "secret");
  const keys = path.join(dir, "keys");
  writeFileSync(secret, `${SECRET}\n`);
  writeFileSync(keys, `file=${API_KEY}`);
  for (const file of [secret, keys]) chmodSync(file, 0o600);
  const dm = await serve(t, { jwt_secret_file: secret, api_keys_file: keys }, { DORMOUSE_JWT_SECRET: undefined, DORMOUSE_API_KEYS: undefined });
  await dm.publish({ userId: "alice" });
  await dm.connect("alice");
});

test("serve refuses to start without a way to know anybody, or with a secret that is short", () => {
  const short = run(["serve", "--listen=127.0.0.1:1"], { DORMOUSE_JWT_SECRET: "short" });
  assert.ok(short.status > 0);
  assert.match(short.stderr, /32 bytes/);
});

test("serve says clearly that its port is taken", async (t) => {
  const dm = await serve(t);
  const { status, stderr, stdout } = run(["serve", `--listen=127.0.0.1:${dm.port}`, `--database=${tempDir(t)}/x.db`]);
  assert.equal(status, 1);
  assert.match(stderr + stdout, new RegExp(`127\\.0\\.0\\.1:${dm.port}`));
  assert.match(stderr + stdout, /in use/i);
});

test("serve listens on a unix socket", async (t) => {
  const dir = tempDir(t);
  const socket = path.join(dir, "s");
  const child = spawn(BIN, ["serve", `--listen=unix:${socket}`, `--database=${dir}/d.db`], { env: cleanEnv(WITH_SECRET), stdio: "ignore" });
  afterwards(t, () => child.kill("SIGKILL"));
  const http = await import("node:http");
  await until("it answers", () => new Promise((resolve) => {
    http.get({ socketPath: socket, path: "/healthz" }, (answer) => resolve(answer.resume().statusCode === 200)).on("error", () => resolve(false));
  }));
  child.kill("SIGTERM");
  assert.equal(await new Promise((resolve) => child.once("exit", resolve)), 0);
});

test("token prints a token that the server takes, with scope and end as asked", async (t) => {
  const dm = await serve(t);
  const { status, stdout } = run(["token", "--user", "alice", "--scope", "publish", "--ttl", "1h"]);
  assert.equal(status, 0);
  const token = stdout.trim();
  assert.equal(stdout, `${token}\n`);
  const [head, claims, mac] = token.split(".");
  assert.equal(mac, createHmac("sha256", SECRET).update(`${head}.${claims}`).digest("base64url"));
  const payload = JSON.parse(Buffer.from(claims, "base64url"));
  assert.equal(payload.userId ?? payload.sub, "alice");
  assert.equal(payload.scope, "publish");
  assert.ok(Math.abs(payload.exp - Date.now() / 1000 - 3600) < 60);
  assert.equal((await dm.post("/publish", { userId: "bob" }, { as: `Bearer ${token}` })).status, 200);
  assert.ok(run(["token", "--user", ""]).status > 0);
  assert.ok(run(["token", "--user", "alice"], {}).status > 0, "without a secret");
});

/** Starts a command that runs on; { process, output() }. */
function start(t, args, env) {
  const child = spawn(BIN, args, { env: cleanEnv(env), stdio: ["pipe", "pipe", "pipe"] });
  afterwards(t, () => child.kill("SIGKILL"));
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  return { process: child, output: () => output };
}

test("connect prints what arrives and acknowledges it; publish shows the ack", async (t) => {
  const dm = await serve(t);
  const alice = start(t, ["connect", "--url", `${dm.url}/`, "--user", "alice", "--filter", "type=message", "--ack", '{"seen":true}'], WITH_SECRET);
  await until("alice is there", async () => (await dm.get("/users/alice/presence")).json.connections === 1);
  await until("her filter is there", async () => (await dm.publish({ userId: "alice", payload: "first" })).clientCount === 1);
  const answer = await dm.publish({ userId: "alice", payload: { hello: "world" } });
  assert.deepEqual(answer.results, [{ seen: true }]);
  await until("she prints it", () => alice.output().includes('{"hello":"world"}'));
  const published = run(
    ["publish", "--url", `http://127.0.0.1:${dm.port}`, "--user", "alice", "--payload", '{"from":"the command line"}'],
    { ...WITH_SECRET, DORMOUSE_API_KEYS: `test=${API_KEY}` },
  );
  assert.equal(published.status, 0, published.stderr);
  assert.deepEqual(JSON.parse(published.stdout).results, [{ seen: true }]);
  await until("she prints that too", () => alice.output().includes("the command line"));
  assert.ok(!alice.output().includes(SECRET));
  alice.process.kill("SIGINT");
  await new Promise((resolve) => alice.process.once("exit", resolve));
  await until("she is gone", async () => (await dm.get("/users/alice/presence")).json.connections === 0);
});

test("connect ends with 1 where it is refused, and when the server closes", async (t) => {
  const dm = await serve(t);
  const refused = run(["connect", "--url", `${dm.url}/`, "--user", "alice"], { DORMOUSE_JWT_SECRET: "x".repeat(40) });
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /401/);
  assert.equal(run(["connect", "--url", "ws://127.0.0.1:1/", "--user", "alice"]).status, 1);
  const alice = start(t, ["connect", "--url", `${dm.url}/`, "--user", "alice"], WITH_SECRET);
  await until("alice is there", async () => (await dm.get("/users/alice/presence")).json.connections === 1);
  await dm.post("/users/alice/disconnect", { reason: "Enough" });
  await new Promise((resolve) => alice.process.once("exit", resolve));
  assert.match(alice.output(), /1000.*Enough|Enough.*1000/);
});

test("it runs from any folder, also one with spaces", (t) => {
  const dir = path.join(tempDir(t), "a folder with spaces");
  mkdirSync(dir);
  assert.equal(run(["check-config"], WITH_SECRET, dir).status, 0);
});
