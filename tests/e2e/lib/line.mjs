// A line to the server, of either dialect: its welcome, the answers to its commands by ref, and
// what it was sent, which goes into the ledger.
import { Client } from "./client.mjs";

const ACKS_AT_ONCE = 0.15, ACKS_TWICE = 0.1, ACKS_UNHEARD = 0.1;

/** Some publishes hardly anybody acks, so that they are owed for many lives. */
const shareOf = (entry, share) => (entry.number % 3 === 0 ? share / 40 : share);

export class Line extends Client {
  #ref = 0;
  #waiting = new Map();

  /** Opens one of `userId`; `acks` false: it says none by itself. */
  static async call(dm, userId, { ledger, random, acks = true, native = true, resume }) {
    const settings = { ledger, random, acks, native, userId, life: ledger.life, calledAt: ledger.now() };
    class Its extends Line {
      constructor(ws) {
        super(ws, settings);
      }
    }
    const query = resume ? `?resume=${resume}` : "";
    const headers = { authorization: `Bearer ${dm.token(userId)}` };
    const protocols = native ? ["dormouse.v1"] : [];
    const line = await Client.open(`${dm.url}/${query}`, { headers, protocols, of: Its, tls: dm.tls });
    dm.clients.push(line);
    ledger.lines.push(line);
    return line;
  }

  /** `steady`: it has had the same filters all the time. */
  constructor(ws, settings) {
    super(ws);
    Object.assign(this, settings, { sent: 0, took: new Set(), unasked: [], session: this, steady: true });
    Object.assign(this, { got: new Set(), lastAsked: 0, unacked: [] });
    this.welcomed = new Promise((resolve) => {
      this.onWelcome = resolve;
    });
    ws.on("message", (data) => this.#read(JSON.parse(data)));
    ws.on("close", () => {
      for (const settle of [this.onWelcome, ...this.#waiting.values()]) settle(undefined);
    });
  }

  #read(message) {
    if (message.type === "welcome") {
      this.session = message.sessionId;
      return this.onWelcome(message);
    }
    if (message.envelopeId) return this.#take(message);
    const settle = this.#waiting.get(message.ref);
    if (!settle) this.unasked.push(message);
    this.#waiting.delete(message.ref);
    settle?.(message);
  }

  #take(message) {
    if (message.payload.probe === this.ledger.probe) this.took.add(message.type);
    if (message.payload.n === undefined) return;
    const entry = this.ledger.received(this, message);
    const later = !this.acks || (entry.durable && this.random() > shareOf(entry, ACKS_AT_ONCE));
    if (later) this.unacked.push(entry);
    else this.ack(entry);
  }

  say(message) {
    this.sent++;
    this.send(message);
  }

  get isOpen() {
    return this.ws.readyState === this.ws.OPEN;
  }

  /** The answer, or nothing where the line ended before. Every line counts its refs from 1. */
  command(message) {
    const ref = `r${++this.#ref}`;
    if (!this.isOpen) return Promise.resolve(undefined);
    this.say({ ...message, ref });
    return new Promise((resolve) => this.#waiting.set(ref, resolve));
  }

  async #ackOnce(entry) {
    if (!this.isOpen) return undefined;
    const number = this.ledger.acking(entry, this);
    const message = { type: "ack", envelopeId: entry.envelopeId, result: number };
    if (!this.native || this.random() < ACKS_UNHEARD) return this.say(message);
    const answer = await this.command(message);
    if (answer) this.ledger.ackAnswered(number, answer);
    return answer;
  }

  /** Now and then a client says it twice. */
  ack(entry) {
    const twice = this.random() < ACKS_TWICE;
    return Promise.all([this.#ackOnce(entry), twice && this.#ackOnce(entry)]);
  }

  /** Acks some of what it has not. */
  ackSome(share) {
    const some = this.unacked.filter((entry) => this.random() < shareOf(entry, share));
    this.unacked = this.unacked.filter((entry) => !some.includes(entry));
    return Promise.all(some.map((entry) => this.ack(entry)));
  }
}
