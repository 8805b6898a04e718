// TLS on the listener: HTTP and WebSockets over it are as they are without.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import tls from "node:tls";
import { OPCODE, Raw, closeFrame, frame, text, upgrade } from "./lib/raw.mjs";
import { BIN, cleanEnv, serve, tempDir } from "./lib/server.mjs";
import { afterwards } from "./lib/teardown.mjs";
import { test } from "./lib/test.mjs";
import { Wire, certificate } from "./lib/tls.mjs";
import { API_KEY, SECRET } from "./lib/token.mjs";
import { sleep, until, within } from "./lib/wait.mjs";

const MESSAGE = { type: "message" };
const SUBSCRIBE = text({ type: "subscribe", filters: [MESSAGE] });
const READY = "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n";

/** A server with a fresh certificate. */
const secure = (t, settings = {}, pair = certificate(tempDir(t))) => serve(t, { ...pair, ...settings });

/** A TLS connection, or the error that it ended with. */
function shake(port, options) {
  const socket = tls.connect({ host: "127.0.0.1", port, rejectUnauthorized: false, ...options });
  return within(8000, "a handshake", new Promise((resolve) => {
    socket.once("secureConnect", () => resolve({ socket }));
    socket.on("error", (error) => resolve({ error }));
    socket.once("close", () => resolve({ error: new Error("closed") }));
  }));
}

async function wire(t, dm, options) {
  const one = await Wire.open(dm.port, { ...dm.tls, ...options });
  afterwards(t, () => one.destroy());
  return one;
}

/** A WebSocket on a wire. */
async function wireSocket(t, dm, user, options) {
  const one = await wire(t, dm, options);
  one.raw.write(upgrade({ token: dm.token(user) }));
  assert.equal((await one.raw.response()).status, 101);
  return one;
}

async function alive(dm) {
  assert.equal((await dm.get("/readyz")).status, 200);
}

test("https answers as http does", async (t) => {
  const dm = await secure(t);
  assert.deepEqual((await dm.get("/readyz")).json, { status: "ready" });
  assert.equal((await dm.post("/publish", { userId: "nobody" })).json.clientCount, 0);
  assert.equal((await dm.post("/publish", { userId: "nobody" }, { as: null })).status, 401);
  assert.equal((await dm.get("/")).status, 426);
  assert.equal((await dm.get("/nowhere")).status, 404);
  assert.equal((await dm.post("/publish", { userId: "x", payload: "y".repeat(1 << 20) })).status, 413);
});

test("requests on one connection, split at every byte", async (t) => {
  const dm = await secure(t);
  const raw = await dm.raw();
  raw.write(READY, READY);
  for (let i = 0; i < 2; i++) assert.equal((await raw.response()).status, 200);
  await raw.drip(READY);
  assert.equal((await raw.response()).text, '{"status":"ready"}');
});

for (const [version, kind] of [["TLSv1.2", "rsa"], ["TLSv1.2", "ec"], ["TLSv1.3", "rsa"], ["TLSv1.3", "ec"]])
  test(`publish and ack over ${version} with an ${kind} key`, async (t) => {
    const dm = await secure(t, {}, certificate(tempDir(t), { kind }));
    const only = { ...dm.tls, minVersion: version, maxVersion: version };
    const alice = await (await dm.connect("alice", { tls: only })).subscribe(MESSAGE);
    assert.equal(alice.ws._socket.getProtocol(), version);
    assert.match(alice.ws._socket.getCipher().name, /GCM|CHACHA20/);
    alice.autoAck((envelope) => envelope.payload);
    for (let n = 0; n < 3; n++) assert.deepEqual((await dm.publish({ userId: "alice", payload: n })).results, [n]);
    alice.ws.ping();
    await until("a pong", () => alice.pongs === 1);
  });

for (const shards of [1, 2, 5])
  test(`on ${shards} shard${shards > 1 ? "s" : ""}, sessions find their users' shards, sleep and wake`, async (t) => {
    const dm = await secure(t, { shards, hibernate_after: "150ms" });
    const users = Array.from({ length: 10 }, (_, i) => `user-${i}`);
    const clients = new Map();
    for (const user of users) clients.set(user, (await (await dm.connect(user)).subscribe(MESSAGE)).autoAck(() => user));
    for (let round = 0; round < 3; round++) {
      await dm.asleep(users.length);
      for (const user of users) {
        assert.deepEqual((await dm.publish({ userId: user, payload: round })).results, [user]);
        assert.equal((await clients.get(user).next()).payload, round);
      }
      assert.deepEqual([...(await dm.publish({ userIds: users })).results].sort(), users);
      for (const user of users) await clients.get(user).next();
    }
    assert.ok((await dm.metric("dormouse_wakes_total")) >= 3 * users.length);
    for (const user of users) await clients.get(user).expectNothing();
  });

test("frames in the same record as the handshake are handled first", async (t) => {
  const dm = await secure(t, { shards: 3 });
  for (let i = 0; i < 12; i++) {
    const one = await wire(t, dm);
    const half = text("ping");
    const bytes = await one.records(() =>
      one.raw.write(upgrade({ token: dm.token(`u${i}`) }), SUBSCRIBE, text("ping"), frame(OPCODE.ping, "early"), half.subarray(0, 3)));
    assert.equal(bytes.length - 5, bytes.readUInt16BE(3), "it is one record");
    one.tcp.write(bytes);
    assert.equal((await one.raw.response()).status, 101);
    assert.equal(await one.raw.text(), "pong");
    const { opcode, payload } = await one.raw.frame();
    assert.deepEqual([opcode, payload.toString()], [OPCODE.pong, "early"]);
    one.raw.write(half.subarray(3));
    assert.equal(await one.raw.text(), "pong");
    assert.equal((await dm.publish({ userId: `u${i}`, timeoutMs: 0 })).delivered, 1);
    assert.equal(JSON.parse(await one.raw.text()).userId, `u${i}`);
  }
});

test("a record that comes byte by byte, half with the handshake, half later", async (t) => {
  const dm = await secure(t);
  const one = await wire(t, dm);
  const first = await one.records(() => one.raw.write(upgrade({ token: dm.token("alice") })));
  const second = await one.records(() => one.raw.write(SUBSCRIBE, text("ping")));
  one.tcp.write(Buffer.concat([first, second.subarray(0, 9)]));
  assert.equal((await one.raw.response()).status, 101);
  for (const byte of second.subarray(9)) {
    one.tcp.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(await one.raw.text(), "pong");
  assert.equal((await dm.publish({ userId: "alice", timeoutMs: 0 })).delivered, 1);
});

test("fragments, with a ping between them, in records of their own", async (t) => {
  const dm = await secure(t);
  const raw = await dm.rawSocket("alice");
  const whole = JSON.stringify({ type: "subscribe", filters: [MESSAGE] });
  raw.write(frame(OPCODE.text, whole.slice(0, 9), { fin: false }));
  raw.write(frame(OPCODE.ping, "between"));
  assert.equal((await raw.frame()).payload.toString(), "between");
  raw.write(frame(OPCODE.continuation, whole.slice(9)));
  raw.write(text("ping"));
  assert.equal(await raw.text(), "pong");
  assert.equal((await dm.publish({ userId: "alice", timeoutMs: 0 })).delivered, 1);
});

test("a MiB both ways, while others talk", async (t) => {
  const dm = await secure(t, { max_message: "3MiB", max_body: "3MiB", max_unsent: "16MiB" });
  const big = Array.from({ length: 1 << 17 }, (_, i) => String(i).padStart(8, "-")).join("");
  const alice = (await (await dm.connect("alice")).subscribe(MESSAGE)).autoAck((envelope) => `${envelope.payload}!`);
  const bob = (await (await dm.connect("bob")).subscribe(MESSAGE)).autoAck(() => "quick");
  const answers = await Promise.all([
    ...[1, 2, 3].map(() => dm.publish({ userId: "alice", payload: big, timeoutMs: 30000 })),
    ...[1, 2, 3].map(() => dm.publish({ userId: "bob" })),
  ]);
  for (const { results } of answers.slice(0, 3)) assert.ok(results[0] === `${big}!`, "byte for byte");
  for (const { results } of answers.slice(3)) assert.deepEqual(results, ["quick"]);
  await bob.next();
});

test("a message over max_message closes with 1009", async (t) => {
  const dm = await secure(t, { max_message: "64KiB" });
  const raw = await dm.rawSocket("alice");
  raw.write(text("x".repeat(70 * 1024)));
  assert.equal((await raw.close()).code, 1009);
  await raw.gone();
});

test("a reader that never reads is closed with 4008, after whole frames", async (t) => {
  const dm = await secure(t, { max_unsent: "64KiB" });
  const good = await (await dm.connect("alice")).subscribe(MESSAGE);
  for (const size of [40000, 100 * 1024]) {
    const slow = await dm.rawSocket("alice");
    slow.write(SUBSCRIBE, text("ping"));
    await slow.text();
    slow.socket.pause();
    const payload = "x".repeat(size);
    const before = await dm.metric('dormouse_closes_total{by="slow_consumer"}');
    for (let closed = false; !closed; ) {
      const burst = Array.from({ length: Math.ceil(400000 / size) }, (_, n) =>
        dm.publish({ userId: "alice", payload: { n, payload }, timeoutMs: 0 }));
      await Promise.all(burst);
      for (let i = 0; i < burst.length; i++) await good.next();
      closed = (await dm.metric('dormouse_closes_total{by="slow_consumer"}')) > before;
    }
    slow.socket.resume();
    for (;;) {
      const { opcode, payload: bytes } = await slow.frame();
      if (opcode === OPCODE.close) {
        assert.equal(bytes.readUInt16BE(0), 4008);
        break;
      }
      assert.equal(JSON.parse(bytes).payload.payload, payload);
    }
  }
  await good.expectNothing();
  await until("nothing is unsent", async () => (await dm.metric("dormouse_unsent_bytes")) === 0);
});

test("a reader that is slow for a while gets all of it, in order", async (t) => {
  const dm = await secure(t, { max_unsent: "64MiB" });
  const raw = await dm.rawSocket("alice");
  raw.write(SUBSCRIBE, text("ping"));
  await raw.text();
  raw.socket.pause();
  const filler = "x".repeat(200 * 1024);
  for (let n = 0; n < 60; n++) await dm.publish({ userId: "alice", payload: { n, filler }, timeoutMs: 0 });
  assert.ok((await dm.metric("dormouse_unsent_bytes")) > 0);
  raw.socket.resume();
  for (let n = 0; n < 60; n++) assert.equal(JSON.parse(await raw.text()).payload.n, n);
  await until("nothing is unsent", async () => (await dm.metric("dormouse_unsent_bytes")) === 0);
});

test("a Close is answered, ours is waited for, and TLS ends in peace", async (t) => {
  const dm = await secure(t);
  const raw = await dm.rawSocket("alice");
  let error;
  raw.socket.on("error", (seen) => (error = seen));
  raw.write(closeFrame(4321, "mine"));
  assert.equal((await raw.close()).code, 4321);
  await raw.gone();
  const bob = await dm.connect("bob");
  await dm.post("/users/bob/disconnect", { reason: "go" });
  assert.deepEqual(await bob.closing(), { code: 1000, reason: "go" });
  await until("no session is left", async () => (await dm.metric("dormouse_sessions")) === 0);
  assert.equal(error, undefined);
});

test("a cut line ends its session: with close_notify, without, and in the middle of a record", async (t) => {
  const dm = await secure(t);
  const gone = () => until("no session is left", async () => (await dm.metric("dormouse_sessions")) === 0);
  await (await dm.connect("alice")).drop();
  await gone();
  (await wireSocket(t, dm, "alice")).raw.socket.end(); // its close_notify; the connection stays
  await gone();
  (await wireSocket(t, dm, "alice")).tcp.end();
  await gone();
  const one = await wireSocket(t, dm, "alice");
  const record = await one.records(() => one.raw.write(text("x".repeat(500))));
  one.tcp.write(record.subarray(0, 300));
  await sleep(50);
  one.tcp.resetAndDestroy();
  await gone();
});

test("a frame and a close_notify right behind the handshake", async (t) => {
  const dm = await secure(t);
  for (let i = 0; i < 5; i++) {
    const one = await wire(t, dm);
    const bytes = await one.records(() => {
      one.raw.write(upgrade({ token: dm.token("alice") }), text("ping"));
      one.raw.socket.end();
    });
    one.tcp.write(bytes);
    await one.gone();
    assert.match(one.raw.input.toString("latin1"), /101 Switching Protocols[^]*pong/);
  }
  await until("no session is left", async () => (await dm.metric("dormouse_sessions")) === 0);
});

test("a record that was tampered with ends its session, and no other", async (t) => {
  const dm = await secure(t);
  const alice = (await (await dm.connect("alice")).subscribe(MESSAGE)).autoAck();
  const one = await wireSocket(t, dm, "alice");
  const record = await one.records(() => one.raw.write(SUBSCRIBE));
  record[record.length - 1] ^= 1;
  one.tcp.write(record);
  await one.gone();
  assert.deepEqual((await dm.publish({ userId: "alice" })).results, [true]);
  await alice.next();
  assert.equal((await dm.get("/users/alice/presence")).json.connections, 1);
});

test("a renegotiation is not had, and does no harm", async (t) => {
  const dm = await secure(t);
  const { socket } = await shake(dm.port, { maxVersion: "TLSv1.2" });
  const refused = await within(5000, "the refusal", new Promise((resolve) => {
    socket.once("close", () => resolve("closed"));
    socket.renegotiate({ rejectUnauthorized: false }, (error) => error && resolve(error.message));
  }));
  assert.ok(refused);
  const raw = await dm.rawSocket("alice", { tls: { ...dm.tls, maxVersion: "TLSv1.2" } });
  raw.socket.renegotiate({ rejectUnauthorized: false }, () => {});
  await raw.gone();
  await alive(dm);
});

test("a drain closes with 1012, and ends with 0", async (t) => {
  const dm = await secure(t, { shards: 3, hibernate_after: "100ms" });
  const users = ["alice", "bob", "carol", "dave"];
  const clients = await Promise.all(users.map(async (user) => (await dm.connect(user)).subscribe(MESSAGE)));
  await dm.asleep(users.length);
  const answer = dm.publish({ userId: "alice", timeoutMs: 20000 });
  const envelope = await clients[0].next();
  const idle = await dm.raw();
  dm.process.kill("SIGTERM");
  await sleep(200);
  clients[0].ack(envelope, "in the drain");
  assert.deepEqual((await answer).results, ["in the drain"]);
  for (const client of clients) assert.equal((await client.closing()).code, 1012);
  await idle.gone();
  assert.deepEqual(await dm.exited, { code: 0, signal: null });
});

const serialOf = async (dm) => {
  const { socket } = await shake(dm.port);
  const serial = Number.parseInt(socket.getPeerCertificate().serialNumber, 16);
  socket.destroy();
  return serial;
};

test("SIGHUP swaps the certificate, and no connection notices", async (t) => {
  const dir = tempDir(t);
  const pair = certificate(dir, { serial: 7 });
  const dm = await secure(t, { shards: 2 }, pair);
  const alice = (await (await dm.connect("alice")).subscribe(MESSAGE)).autoAck();
  const kept = await dm.raw();
  assert.equal(await serialOf(dm), 7);

  certificate(dir, { serial: 8, kind: "rsa" });
  dm.tls.ca = [dm.tls.ca, readFileSync(pair.tls_cert)];
  dm.process.kill("SIGHUP");
  await until("it is read", () => /reloaded.*certificate/.test(dm.log));
  await until("the new one is shown", async () => (await serialOf(dm)) === 8);
  assert.deepEqual((await dm.publish({ userId: "alice" })).results, [true]);
  kept.write(READY);
  assert.equal((await kept.response()).status, 200);

  const key = readFileSync(pair.tls_key, "utf8");
  writeFileSync(pair.tls_key, readFileSync(certificate(dir, { name: "other" }).tls_key));
  dm.process.kill("SIGHUP");
  await until("the refusal is logged", () => /reload_failed.*tls_key: is not the key/.test(dm.log));
  assert.equal(await serialOf(dm), 8, "what was, stays");
  writeFileSync(pair.tls_key, key);
  writeFileSync(pair.tls_cert, "this is a letter");
  dm.process.kill("SIGHUP");
  await until("that too", () => /reload_failed.*tls_cert: /.test(dm.log));
  assert.equal(await serialOf(dm), 8);
  for (const line of key.split("\n").filter((one) => one.length > 20 && !one.startsWith("-"))) assert.ok(!dm.log.includes(line), "no key in the log");
  assert.deepEqual((await dm.publish({ userId: "alice" })).results, [true]);
});

test("a connection that was accepted before a SIGHUP may shake hands after it", async (t) => {
  const dir = tempDir(t);
  const dm = await secure(t, { shards: 1 }, certificate(dir, { serial: 7 }));
  const change = async (serial) => {
    certificate(dir, { serial });
    dm.process.kill("SIGHUP");
    await until(`${serial} is shown`, async () => (await serialOf(dm)) === serial);
  };
  await change(8);
  dm.tls = { rejectUnauthorized: false };
  const silent = net.connect({ host: "127.0.0.1", port: dm.port });
  await new Promise((resolve) => silent.once("connect", resolve));
  await until("it is accepted", async () => (await dm.metric("dormouse_http_connections")) >= 2);
  await change(9);
  const late = tls.connect({ socket: silent, rejectUnauthorized: false });
  await within(5000, "its handshake", new Promise((resolve, reject) => late.once("secureConnect", resolve).once("error", reject)));
  assert.equal(late.getPeerCertificate().serialNumber, "08");
  late.destroy();
  await until("it is gone", async () => (await dm.metric("dormouse_http_connections")) === 1);
});

test("a certificate with its chain is sent whole", async (t) => {
  const dir = tempDir(t);
  const pair = certificate(dir);
  appendFileSync(pair.tls_cert, readFileSync(certificate(dir, { name: "upper", serial: 99 }).tls_cert));
  const dm = await secure(t, {}, pair);
  const shown = spawnSync("openssl", ["s_client", "-connect", `127.0.0.1:${dm.port}`, "-showcerts"], { input: "", encoding: "utf8", timeout: 10000 });
  assert.equal(shown.stdout.match(/BEGIN CERTIFICATE/g).length, 2);
});

test("TLS 1.1 is refused", async (t) => {
  const dm = await secure(t);
  const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "ALL:@SECLEVEL=0" };
  const lax = tls.createServer({ cert: readFileSync(dm.settings.tls_cert), key: readFileSync(dm.settings.tls_key), ...old });
  afterwards(t, () => lax.close());
  await new Promise((resolve) => lax.listen(0, "127.0.0.1", resolve));
  const control = await shake(lax.address().port, old);
  assert.equal(control.socket?.getProtocol(), "TLSv1.1", `this client can: ${control.error}`);
  control.socket.destroy();
  assert.ok((await shake(dm.port, old)).error);
  await alive(dm);
});

test("ciphers without forward secrecy are refused", async (t) => {
  const dm = await secure(t, {}, certificate(tempDir(t), { kind: "rsa" }));
  const only = (ciphers) => shake(dm.port, { maxVersion: "TLSv1.2", ciphers });
  const good = await only("ECDHE-RSA-AES128-GCM-SHA256");
  assert.ok(good.socket);
  good.socket.destroy();
  for (const ciphers of ["AES128-GCM-SHA256", "AES256-SHA", "ECDHE-RSA-AES128-SHA"]) assert.ok((await only(ciphers)).error, ciphers);
});

test("HTTP/1.1 is what is agreed on, and h2 alone is refused", async (t) => {
  const dm = await secure(t);
  for (const [offered, agreed] of [[["h2", "http/1.1"], "http/1.1"], [["http/1.1"], "http/1.1"], [undefined, false]]) {
    const { socket } = await shake(dm.port, { ALPNProtocols: offered });
    assert.equal(socket.alpnProtocol, agreed);
    const raw = new Raw(socket);
    raw.write(READY);
    assert.equal((await raw.response()).status, 200);
    raw.destroy();
  }
  assert.ok((await shake(dm.port, { ALPNProtocols: ["h2"] })).error);
});

test("plain HTTP, junk and half a record on a TLS port are closed", async (t) => {
  const dm = await secure(t, { handshake_timeout: "500ms" });
  const hello = Buffer.from([0x16, 3, 1, 0x02, 0, 1, 0, 1, 0xfc, 3, 3]);
  for (const bytes of [READY, upgrade({ token: "x" }), "\x00".repeat(3000), "\x16\x03\x01\xff\xff" + "x".repeat(70000), hello]) {
    const raw = await dm.raw({ tls: undefined });
    raw.write(bytes);
    await raw.gone();
    assert.ok(!raw.input.includes("200 OK"));
  }
  await alive(dm);
});

test("half a handshake, and one without a request, end at handshake_timeout", async (t) => {
  const dm = await secure(t, { handshake_timeout: "600ms", request_timeout: "20s", keepalive: "20s" });
  const timeouts = await dm.metric("dormouse_http_timeouts_total");
  const began = Date.now();
  const silent = await dm.raw({ tls: undefined });
  const half = await dm.raw({ tls: undefined });
  half.write(Buffer.from([0x16, 3, 1, 0x02, 0, 1, 0, 1, 0xfc, 3, 3]));
  const dripping = await dm.raw({ tls: undefined });
  const drip = (async () => {
    dripping.write(Buffer.from([0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3]));
    while (!dripping.ended) {
      dripping.write("x");
      await sleep(50);
    }
  })();
  const shaken = await dm.raw();
  await Promise.all([silent, half, dripping, shaken].map((raw) => raw.gone()));
  await drip;
  const took = Date.now() - began;
  assert.ok(took > 500 && took < 6000, `${took} ms`);
  assert.equal(await dm.metric("dormouse_http_timeouts_total"), timeouts + 4);
});

test("a client that ends its TLS is answered, and what it sends behind that is not kept", async (t) => {
  const dm = await secure(t, { handshake_timeout: "30s", request_timeout: "30s", keepalive: "30s" });
  const asking = await wire(t, dm);
  asking.tcp.write(await asking.records(() => {
    asking.raw.write(READY, READY);
    asking.raw.socket.end();
  }));
  await asking.gone();
  assert.equal(asking.raw.input.toString().match(/200 OK/g).length, 2);
  for (const before of ["", "GET / HTTP/1.1\r\n"]) {
    const one = await wire(t, dm);
    one.raw.write(before);
    await sleep(100);
    one.raw.socket.end();
    await one.gone(3000);
  }
});

test("a pair that cannot be used is refused at the start, and nobody is asked for a passphrase", async (t) => {
  const dir = tempDir(t);
  const good = certificate(dir);
  const locked = certificate(dir, { name: "locked", passphrase: "a passphrase" });
  const empty = path.join(dir, "empty");
  writeFileSync(empty, "");
  const cases = [
    [{ tls_cert: good.tls_cert }, /tls_cert: needs tls_key/],
    [{ tls_key: good.tls_key }, /tls_key: needs tls_cert/],
    [{ ...good, tls_key: locked.tls_key }, /tls_key: .*passphrase/],
    [locked, /tls_key: .*passphrase/],
    [{ ...good, tls_cert: empty }, /tls_cert: holds no certificate/],
    [{ ...good, tls_key: path.join(dir, "nothing") }, /tls_key: cannot open/],
  ];
  for (const [pair, message] of cases) {
    const flags = Object.entries(pair).map(([key, file]) => `--${key.replace("_", "-")}=${file}`);
    const env = cleanEnv({ DORMOUSE_JWT_SECRET: SECRET });
    const served = spawnSync(BIN, ["serve", "--listen=127.0.0.1:1", `--database=${dir}/x.db`, ...flags], { env, encoding: "utf8", timeout: 15000 });
    assert.equal(served.status, 1, served.stderr);
    assert.match(served.stderr, message);
    const checked = spawnSync(BIN, ["check-config", ...flags], { env, encoding: "utf8", timeout: 15000 });
    assert.equal(checked.status, 1);
    assert.match(checked.stderr, message);
  }
});

test("dormouse connect and publish speak TLS, to a server that they can trust", async (t) => {
  const dm = await secure(t);
  const env = (more) => cleanEnv({ DORMOUSE_JWT_SECRET: SECRET, SSL_CERT_FILE: dm.settings.tls_cert, ...more });
  const args = ["connect", "--url", `wss://localhost:${dm.port}/`, "--user", "alice", "--ack", '"seen"'];
  const alice = spawn(BIN, args, { env: env(), stdio: ["ignore", "pipe", "pipe"] });
  afterwards(t, () => alice.kill("SIGKILL"));
  const ended = new Promise((resolve) => alice.once("exit", resolve));
  let printed = "";
  for (const stream of [alice.stdout, alice.stderr]) stream.on("data", (chunk) => (printed += chunk));
  await until("her filter is there", async () => (await dm.publish({ userId: "alice", payload: "first" })).clientCount === 1);
  const publish = (url, more) =>
    spawnSync(BIN, ["publish", "--url", url, "--user", "alice", "--payload", '"from the command line"'], { env: env(more), encoding: "utf8", timeout: 15000 });
  const answer = publish(`https://127.0.0.1:${dm.port}`);
  assert.equal(answer.status, 0, answer.stderr);
  assert.deepEqual(JSON.parse(answer.stdout).results, ["seen"]);
  const big = (await dm.publish({ userId: "alice", payload: "x".repeat(300000) })).results;
  assert.deepEqual(big, ["seen"]);
  await until("she prints it all", () => printed.includes("from the command line") && printed.includes("x".repeat(300000)));
  await dm.post("/users/alice/disconnect", {});
  await within(8000, "her end", ended);

  const elsewhere = certificate(dm.dir, { name: "elsewhere", names: "DNS:elsewhere,IP:127.0.0.9" });
  const other = await secure(t, {}, certificate(tempDir(t)));
  Object.assign(other.settings, elsewhere);
  other.process.kill("SIGTERM");
  await other.exited;
  other.tls = { rejectUnauthorized: false };
  await other.start();
  for (const [url, SSL_CERT_FILE, message] of [
    [`https://127.0.0.1:${dm.port}`, "", /TLS: self.signed certificate/],
    [`https://127.0.0.1:${other.port}`, elsewhere.tls_cert, /TLS: IP address mismatch/],
    [`https://localhost:${other.port}`, elsewhere.tls_cert, /TLS: hostname mismatch/],
    [`http://127.0.0.1:${dm.port}`, "", /the connection ended/],
  ]) {
    const failed = publish(url, { SSL_CERT_FILE });
    assert.equal(failed.status, 1);
    assert.match(failed.stderr, message);
  }
});

test("dormouse inspect asks over TLS, a server that it can trust", async (t) => {
  const dm = await secure(t);
  await (await dm.connect("alice")).settle();
  const inspect = (SSL_CERT_FILE) => {
    const env = cleanEnv({ DORMOUSE_JWT_SECRET: SECRET, SSL_CERT_FILE });
    const args = ["inspect", "--json", "--url", `https://localhost:${dm.port}`, `--database=${dm.database}`];
    const { status, stdout, stderr } = spawnSync(BIN, args, { env, encoding: "utf8", timeout: 15000 });
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout).server;
  };
  const { answers, sessions } = inspect(dm.settings.tls_cert);
  assert.deepEqual([answers, sessions], [true, 1]);
  const stranger = inspect("");
  assert.deepEqual([stranger.answers, /^TLS: self.signed certificate/.test(stranger.why)], [false, true], stranger.why);
});

test("an API key and a token stay out of the log over TLS too", async (t) => {
  const dm = await secure(t, { log_level: "debug" });
  await (await dm.connect("alice", { path: `/?token=${dm.token("alice")}` })).settle();
  assert.equal((await dm.get("/users/alice/presence", { as: `Bearer ${API_KEY}` })).status, 200);
});
