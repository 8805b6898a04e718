// A hopeflow client as an application would write it, on the `ws` package.
import assert from "node:assert/strict";
import WebSocket from "ws";
import { within } from "./wait.mjs";

export class Client {
  #queue = [];
  #waiting = [];

  /** Opens a socket; rejects with `error.status` and `error.body` if it is refused. */
  static async open(url, { headers, protocols = [], of = Client, local, tls } = {}) {
    const client = new of(new WebSocket(url, protocols, { headers, localAddress: local, perMessageDeflate: false, ...tls }));
    await within(8000, `connect ${url}`, client.opened);
    return client;
  }

  constructor(ws) {
    this.ws = ws;
    this.pongs = 0;
    this.opened = new Promise((resolve, reject) => {
      ws.once("open", resolve);
      ws.once("error", reject);
      ws.once("unexpected-response", (_, answer) => reject(new Refused(answer)));
    });
    this.closed = new Promise((resolve) => {
      ws.once("close", (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    ws.on("error", () => {});
    ws.on("pong", () => this.pongs++);
    ws.on("message", (data, binary) => this.#take(binary ? data : data.toString()));
  }

  #take(message) {
    const taken = this.#waiting.shift();
    if (taken) taken(message);
    else this.#queue.push(message);
  }

  send(message) {
    this.ws.send(typeof message === "string" || Buffer.isBuffer(message) ? message : JSON.stringify(message));
  }

  /** The next message as text. */
  nextText(ms = 8000) {
    if (this.#queue.length > 0) return Promise.resolve(this.#queue.shift());
    return within(ms, "a message", new Promise((resolve) => this.#waiting.push(resolve)));
  }

  async next(ms) {
    return JSON.parse(await this.nextText(ms));
  }

  /** What has come and was not taken. */
  taken() {
    return this.#queue.splice(0);
  }

  /** Puts back what was taken, before all else. */
  putBack(messages) {
    this.#queue.unshift(...messages);
  }

  /** All that had arrived when the server answered a ping sent now. */
  async settle() {
    this.send("ping");
    const seen = [];
    for (;;) {
      const message = await this.nextText();
      if (message === "pong") return seen;
      seen.push(message);
    }
  }

  async expectNothing() {
    assert.deepEqual(await this.settle(), []);
  }

  /** Subscribes, and waits until the server has read it. What comes meanwhile (it may be owed) stays to be taken. */
  async subscribe(...filters) {
    return this.#say({ type: "subscribe", filters });
  }

  async unsubscribe(...filters) {
    return this.#say({ type: "unsubscribe", filters });
  }

  async #say(message) {
    this.send(message);
    const seen = await this.settle();
    this.#queue.unshift(...seen);
    return this;
  }

  ack(envelope, ...result) {
    const message = { type: "ack", envelopeId: envelope.envelopeId };
    if (result.length > 0) message.result = result[0];
    this.send(message);
  }

  /** Acknowledges every envelope from now on with what `result` makes of it. */
  autoAck(result = () => true) {
    this.ws.on("message", (data) => {
      const text = data.toString();
      if (text === "pong") return;
      const envelope = JSON.parse(text);
      this.ack(envelope, result(envelope));
    });
    return this;
  }

  closing(ms = 8000) {
    return within(ms, "a close", this.closed);
  }

  close(code, reason) {
    this.ws.close(code, reason);
    return this.closing();
  }

  /** Cuts the line without a Close. */
  drop() {
    this.ws.terminate();
    return this.closing();
  }
}

/** An upgrade that was answered by plain HTTP. */
export class Refused extends Error {
  constructor(answer) {
    super(`the upgrade was answered ${answer.statusCode}`);
    this.status = answer.statusCode;
    this.headers = answer.headers;
    const body = new Promise((resolve, reject) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("error", reject);
      answer.on("end", () => resolve(Buffer.concat(chunks).toString()));
    });
    this.body = within(5000, "the refusal's body", body);
    this.body.catch(() => {}).finally(() => answer.destroy());
  }
}
