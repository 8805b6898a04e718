// A hook as a backend would write it, on node's http; it checks each signature, and keeps what it was asked.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import http from "node:http";
import https from "node:https";
import { afterwards } from "./teardown.mjs";
import { serve } from "./server.mjs";

export const HOOK_SECRET = "an-e2e-hook-secret-of-more-than-32-bytes";

/** The time a call was signed at; throws where it was not signed with `secret`. */
function signedAt(header, body, secret) {
  const [, t, v1] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(header);
  assert.equal(v1, createHmac("sha256", secret).update(`${t}.${body}`).digest("hex"));
  assert.ok(Math.abs(Date.now() / 1000 - Number(t)) < 30, `signed at ${t}`);
}

export class Hook {
  constructor() {
    Object.assign(this, { calls: [], faults: [], held: [], secret: HOOK_SECRET, connections: 0, open: 0, atOnce: 0 });
    this.answer = () => ({ status: 401 });
  }

  /** `listen` is what node's listen takes; `tls` makes it https. */
  static async start(t, { listen = { port: 0, host: "127.0.0.1" }, tls } = {}) {
    const hook = new Hook();
    const taking = (request, response) => hook.#take(request, response);
    hook.server = tls ? https.createServer(tls, taking) : http.createServer({ keepAliveTimeout: 60_000 }, taking);
    hook.server.on(tls ? "secureConnection" : "connection", () => hook.connections++);
    await new Promise((resolve) => hook.server.listen(listen, resolve));
    hook.url = listen.path ? `unix:${listen.path}` : `http${tls ? "s" : ""}://127.0.0.1:${hook.server.address().port}/hook?x=1`;
    afterwards(t, async () => {
      await hook.stop();
      assert.deepEqual(hook.faults, []);
    });
    return hook;
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  async #take(request, response) {
    this.atOnce = Math.max(this.atOnce, ++this.open);
    response.on("close", () => this.open--);
    const chunks = [];
    try {
      for await (const chunk of request) chunks.push(chunk);
    } catch {
      return; // it was given up
    }
    this.#judge(request, Buffer.concat(chunks).toString());
    this.#reply(response, await this.answer(this.calls.at(-1)));
  }

  #judge(request, text) {
    const { method, url, headers } = request;
    this.calls.push({ url, text, headers: JSON.parse(text).headers });
    try {
      assert.equal(method, "POST");
      assert.equal(headers["content-type"], "application/json");
      signedAt(headers["dormouse-signature"], text, this.secret);
    } catch (error) {
      this.faults.push(error.message);
    }
  }

  /** { status, json, text, headers }; "hang" keeps it until release(), "cut" cuts the line. */
  #reply(response, answer) {
    if (answer === "hang") return void this.held.push(response);
    if (answer === "cut") return void response.destroy();
    const { status = 200, json, text = json === undefined ? "" : JSON.stringify(json), headers } = answer;
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(text);
  }

  release(answer) {
    for (const response of this.held.splice(0)) this.#reply(response, answer);
  }

  /** What it was asked, as it was said. */
  get questions() {
    return this.calls.map(({ text }) => JSON.parse(text));
  }

  /** Lets the cookies in that name a user: "session=zoe". */
  knowCookies(more = {}) {
    this.answer = ({ headers }) => {
      const [, userId] = /session=(\w+)/.exec(headers.cookie ?? "") ?? [];
      return userId ? { json: { userId, ...more } } : { status: 401 };
    };
    return this;
  }
}

export const env = { DORMOUSE_HOOK_SECRET: HOOK_SECRET };

/** A server with an auth hook. */
export async function serveWithHook(t, settings = {}, options = {}) {
  const hook = await Hook.start(t, options);
  const dm = await serve(t, { auth_url: hook.url, ...settings }, { ...env, ...options.env });
  dm.secrets.push(HOOK_SECRET);
  return { dm, hook };
}

/** A server with an authorize hook, and where `auth` is asked for with an auth hook besides. */
export async function serveWithAuthorize(t, settings = {}, { auth: withAuth = false, ...options } = {}) {
  const hook = await Hook.start(t, options);
  const auth = withAuth ? await Hook.start(t) : undefined;
  const urls = { authorize_url: hook.url, ...(auth && { auth_url: auth.url }) };
  const dm = await serve(t, { ...urls, ...settings }, { ...env, ...options.env });
  dm.secrets.push(HOOK_SECRET);
  return { dm, hook, auth };
}
