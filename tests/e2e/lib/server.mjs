// The real server, one for each test: its own port, its own database, and a
// check at the end that it went in peace and told nobody a secret.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Client } from "./client.mjs";
import { request } from "./http.mjs";
import { Raw, upgrade } from "./raw.mjs";
import { API_KEY, SECRET, tokenOf } from "./token.mjs";
import { afterwards } from "./teardown.mjs";
import { certificate } from "./tls.mjs";
import { until, within } from "./wait.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
export const BIN = path.resolve(process.env.DORMOUSE_BIN ?? path.join(here, "../../../build-asan/dormouse"));

const suppressions = (sanitizer) => `suppressions=${path.join(here, "../..", sanitizer)}.supp`;
const SANITIZERS = {
  LSAN_OPTIONS: `${suppressions("lsan")}:print_suppressions=0`,
  UBSAN_OPTIONS: "print_stacktrace=1",
};

/** The environment of a child: ours without what is not the server's. */
export function cleanEnv(more = {}) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("DORMOUSE_")));
  return { ...SANITIZERS, ...env, ...more };
}

/** A port below the ephemeral ones, which nobody listens on. */
async function freePort() {
  for (;;) {
    const port = 10000 + Math.floor(Math.random() * 20000);
    const free = await new Promise((resolve) => {
      const probe = net.createServer();
      probe.once("error", () => resolve(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

export function tempDir(t) {
  const dir = mkdtempSync(path.join(os.tmpdir(), "dormouse-e2e-"));
  afterwards(t, () => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const flagsOf = (settings) =>
  Object.entries(settings).map(([key, value]) => `--${key.replaceAll("_", "-")}=${value}`);

/** What a sanitizer prints when it has found something. */
const SANITIZER = /AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|check failed/i;

class Server {
  constructor(port, dir, settings, env) {
    Object.assign(this, { port, dir, settings, env, clients: [], raws: [], log: "", secrets: [SECRET, API_KEY] });
    this.tls = settings.tls_cert && { ca: readFileSync(settings.tls_cert) }; // how a client asks for TLS
    this.url = `${this.tls ? "wss" : "ws"}://127.0.0.1:${port}`;
    this.database = path.join(dir, "dormouse.db");
  }

  async start(more = {}) {
    Object.assign(this.settings, more);
    const flags = flagsOf({ listen: `127.0.0.1:${this.port}`, database: this.database, ...this.settings });
    const env = cleanEnv({ DORMOUSE_JWT_SECRET: SECRET, DORMOUSE_API_KEYS: `test=${API_KEY}`, ...this.env });
    this.process = spawn(BIN, ["serve", ...flags], { env, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.process.stdout, this.process.stderr])
      stream.on("data", (chunk) => {
        this.log += chunk;
      });
    this.exited = new Promise((resolve, reject) => {
      this.process.once("error", reject);
      this.process.once("close", (code, signal) => resolve({ code, signal }));
    });
    await Promise.race([
      this.exited.then(({ code }) => {
        throw new Error(`the server ended with ${code}: ${this.log}`);
      }),
      until("the server is ready", () => this.get("/readyz").then((a) => a.status === 200, () => false), { ms: 20000 }),
    ]);
    this.exited.catch(() => {});
    return this;
  }

  token(userId, claims) {
    const token = tokenOf(userId, claims);
    this.secrets.push(token);
    return token;
  }

  /** A request; `as` is an Authorization value, the API key unless given, null for none. */
  call(method, target, { body, headers = {}, as = `Bearer ${API_KEY}`, ...rest } = {}) {
    const auth = as === null ? {} : { authorization: as };
    return request(this.port, { method, path: target, headers: { ...auth, ...headers }, body, tls: this.tls, ...rest });
  }

  get(target, options) {
    return this.call("GET", target, options);
  }

  post(target, body, options) {
    return this.call("POST", target, { body, ...options });
  }

  /** Publishes as the backend, and insists on 200. */
  async publish(body) {
    const answer = await this.post("/publish", body);
    assert.equal(answer.status, 200, answer.text);
    return answer.json;
  }

  async connect(userId, { path: target = "/", headers, protocols, claims, local, tls = this.tls } = {}) {
    const auth = { authorization: `Bearer ${this.token(userId, claims)}` };
    const client = await Client.open(this.url + target, { headers: { ...auth, ...headers }, protocols, local, tls });
    this.clients.push(client);
    return client;
  }

  /** A connection of bare bytes. */
  async raw(options) {
    const raw = await Raw.open(this.port, { tls: this.tls, ...options });
    this.raws.push(raw);
    return raw;
  }

  /** A connection of bare bytes that is a WebSocket already. */
  async rawSocket(userId, { path: target = "/", headers, ...options } = {}) {
    const raw = await this.raw(options);
    raw.write(upgrade({ path: target, token: this.token(userId), headers }));
    const answer = await raw.response();
    assert.equal(answer.status, 101, answer.text);
    return raw;
  }

  /** The metrics as { "name{labels}": number }. */
  async metrics() {
    const answer = await this.get("/metrics");
    assert.equal(answer.status, 200);
    const samples = {};
    for (const line of answer.text.split("\n")) {
      const sample = /^([a-zA-Z_:][^ ]*(?:\{.*\})?) (\S+)$/.exec(line);
      if (sample && !line.startsWith("#")) samples[sample[1]] = Number(sample[2]);
    }
    return samples;
  }

  async metric(name) {
    const samples = await this.metrics();
    assert.ok(name in samples, `there is no metric ${name}`);
    return samples[name];
  }

  /** Waits until n users with open sockets are asleep, and none is awake. */
  asleep(n) {
    return until(`${n} users asleep`, async () => {
      const samples = await this.metrics();
      return (
        samples['dormouse_objects{kind="user",state="asleep"}'] === n &&
        samples['dormouse_objects{kind="user",state="awake"}'] === 0
      );
    });
  }

  async kill() {
    this.process.kill("SIGKILL");
    await this.exited;
  }

  /** SIGTERM, and insists on a clean end. */
  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill("SIGTERM");
    const { code, signal } = await within(20000, "the server's end", this.exited);
    assert.ok(!SANITIZER.test(this.log), this.log);
    assert.ok(code === 0 || signal === "SIGKILL" || signal === this.endsBy, `the server ended with ${code ?? signal}: ${this.log}`);
    for (const secret of this.secrets)
      assert.ok(!this.log.includes(secret), `the log has a secret:\n${this.log}`);
  }

  async dispose() {
    for (const client of this.clients) client.ws.terminate();
    for (const raw of this.raws) raw.destroy();
    try {
      await this.stop();
    } finally {
      this.process.kill("SIGKILL");
    }
  }
}

/** With DM_E2E_TLS set, tests that know nothing of TLS run over it. */
function overTls(t, settings) {
  if (!process.env.DM_E2E_TLS || settings.tls_cert) return settings;
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
  return { ...certificate(tempDir(t)), ...settings };
}

/**
 * Starts a server for a test. `settings` are configuration keys, given as
 * flags; `env` more of its environment. Two shards unless said otherwise.
 */
export async function serve(t, settings = {}, env = {}) {
  settings = overTls(t, settings);
  const dir = tempDir(t);
  const server = new Server(await freePort(), dir, { shards: 2, ...settings }, env);
  afterwards(t, () => server.dispose());
  return server.start();
}

export const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
