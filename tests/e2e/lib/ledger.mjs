// What publishers and clients remember of each publish, in every life of the server: what was
// asked, delivered, acked, and answered. From this it says what must be owed and what may be told;
// what does not fit is a fault, told by expectSound.
import assert from "node:assert/strict";

const SHOWN = 5;

/** "sent": it may count; "ok": it does; "not": it does not, and never will. */
class Ack {
  constructor(number, entry, { userId, session, life }) {
    Object.assign(this, { number, entry, userId, session, life, state: "sent", okAt: Infinity });
  }
}

class Entry {
  constructor(number, body) {
    const { userId, userIds, durable = false, envelopeId } = body;
    Object.assign(this, { number, body, durable, envelopeId, repeatable: envelopeId !== undefined });
    Object.assign(this, { users: userIds ?? [userId], acks: [], told: [], toldAt: 0 });
    Object.assign(this, { askedAt: Infinity, answeredAt: Infinity, answer: undefined });
    Object.assign(this, { seen: false, lives: new Set(), sessions: new Set() });
    this.recorded = this.durable || this.repeatable;
  }

  toString() {
    const { number, envelopeId, durable, repeatable } = this;
    return `publish ${number} (${envelopeId}${durable ? ", durable" : ""}${repeatable ? ", repeatable" : ""})`;
  }

  ackedIn(life) {
    return this.acks.some((ack) => ack.life === life);
  }

  maySettle(userId) {
    return this.acks.some((ack) => ack.userId === userId && ack.state !== "not");
  }

  settledBefore(userId, at) {
    return this.acks.some((ack) => ack.userId === userId && ack.okAt < at);
  }

  /** The store has it, for sure: it is recorded before anybody is sent it. */
  surelyThere(at) {
    return this.recorded && (this.seen || this.answeredAt < at);
  }
}

export class Ledger {
  #tick = 0;
  #acks = [];

  constructor() {
    Object.assign(this, { life: 1, publishes: [], lines: [], faults: [], probe: 0 });
  }

  /** Orders what the test sees: of two of these the lower was earlier. */
  now() {
    return ++this.#tick;
  }

  #fault(text) {
    this.faults.push(text);
  }

  expectSound() {
    assert.deepEqual(this.faults.slice(0, SHOWN), [], `${this.faults.length} faults`);
  }

  // --- publishers ---

  plan(body) {
    const number = this.publishes.length;
    const entry = new Entry(number, { ...body, payload: { n: number } });
    this.publishes.push(entry);
    return entry;
  }

  /** When it was asked, this time. */
  ask(entry) {
    const at = this.now();
    entry.askedAt = Math.min(entry.askedAt, at);
    return at;
  }

  answered(entry, askedAt, { status, json, text }) {
    const expected = entry.durable && json?.owed > 0 ? 202 : 200;
    if (status !== expected || !json) return this.#fault(`${entry} is answered ${status} ${text}`);
    this.#name(entry, json.envelopeId);
    this.#told(entry, askedAt, json);
    if (("owed" in json) !== entry.durable) this.#fault(`${entry} is answered ${text}`);
    entry.answer ??= json;
    entry.answeredAt = Math.min(entry.answeredAt, this.now());
  }

  looked(entry, askedAt, { status, json, text }) {
    if (status === 404 && !entry.surelyThere(askedAt)) return;
    if (status !== 200) return this.#fault(`${entry} is looked at: ${status} ${text}`);
    this.#told(entry, askedAt, json);
    if (entry.answeredAt < askedAt && json.state !== "done") this.#fault(`${entry} was answered and is ${json.state}`);
  }

  #name(entry, envelopeId) {
    entry.envelopeId ??= envelopeId;
    if (entry.envelopeId !== envelopeId) this.#fault(`${entry} has the id ${envelopeId}`);
  }

  /** An answer, or a look: what it tells did happen, and of what had been answered nothing is missing. */
  #told(entry, askedAt, { results, owed, clientCount, delivered }) {
    const tell = (what) => this.#fault(`${entry}: ${what} in ${JSON.stringify(results)}`);
    for (const [i, number] of results.entries()) {
      const ack = this.#acks[number];
      if (ack?.entry !== entry) tell(`${JSON.stringify(number)} is nobody's ack`);
      else if (ack.state === "not") tell(`ack ${number} did not count before, and is`);
      else this.#counts(ack);
      if (results.indexOf(number) !== i) tell(`ack ${number} is twice`);
    }
    if (!entry.recorded) return;
    for (const ack of entry.acks.filter(({ number }) => !results.includes(number))) {
      if (ack.okAt < askedAt) tell(`ack ${ack.number} of ${ack.userId} was answered ok, and is not`);
      if (ack.life < this.life && ack.state === "sent") ack.state = "not"; // the crash has lost it
    }
    this.#expectSame(entry, askedAt, { results, clientCount, delivered });
    if (entry.durable) this.#expectOwed(entry, askedAt, owed);
  }

  #expectSame(entry, askedAt, { results, clientCount, delivered }) {
    const { told, answer } = entry;
    const shrinks = results.length < told.length; // as it may where it was asked before the other was told
    const [less, more] = shrinks ? [results, told] : [told, results];
    if (less.some((number, i) => more[i] !== number) || (shrinks && entry.toldAt < askedAt))
      this.#fault(`${entry} was told ${JSON.stringify(told)}, and now ${JSON.stringify(results)}`);
    if (results.length > told.length) Object.assign(entry, { told: results, toldAt: this.now() });
    if (entry.answeredAt > askedAt) return;
    const before = { clientCount: answer.clientCount, delivered: answer.delivered };
    const same = before.clientCount === clientCount && before.delivered === delivered;
    if (!same) this.#fault(`${entry} was answered ${JSON.stringify(before)}, and now ${clientCount}, ${delivered}`);
    if (!entry.durable && results.length !== answer.results.length) this.#fault(`${entry} was answered ${answer.results}, and now ${results}`);
  }

  #expectOwed(entry, askedAt, owed) {
    const most = entry.users.filter((userId) => !entry.settledBefore(userId, askedAt)).length;
    const least = entry.users.filter((userId) => !entry.maySettle(userId)).length;
    if (owed < least || owed > most) this.#fault(`${entry} is owed to ${owed}, and not to ${least} to ${most}`);
  }

  // --- clients ---

  /** `line` was called at `line.calledAt` and in `line.life`; its `got` and `lastAsked` are kept here. */
  received(line, { envelopeId, type, payload, redelivered = false }) {
    const entry = this.publishes[payload.n];
    const tell = (what) => this.#fault(`${line.userId} is sent ${entry}, ${what}`);
    this.#name(entry, envelopeId);
    if (!entry.users.includes(line.userId)) tell("which is for others");
    if (type !== entry.body.type) tell(`as ${type}`);
    if (entry.durable ? line.steady && line.got.has(entry) : entry.sessions.has(line.session)) tell("once more");
    if (redelivered) this.#redelivered(entry, line, tell);
    else this.#live(entry, line, tell);
    if (line.steady && entry.answeredAt < line.lastAsked) tell("after one that was asked once this was answered");
    line.lastAsked = Math.max(line.lastAsked, entry.askedAt);
    line.got.add(entry);
    entry.sessions.add(line.session);
    entry.seen = true;
    return entry;
  }

  #live(entry, line, tell) {
    entry.lives.add(line.life);
    if (entry.lives.size > 1) tell(`in the lives ${[...entry.lives]}`);
    if (entry.answeredAt < line.calledAt) tell("which was answered before, without a mark");
  }

  #redelivered(entry, line, tell) {
    if (!entry.durable) tell("which is not durable, marked");
    if (entry.settledBefore(line.userId, line.calledAt)) tell("marked, after its ack was answered ok");
  }

  /** The number of an ack that is to be sent now: its result. */
  acking(entry, line) {
    const ack = new Ack(this.#acks.length, entry, line);
    this.#acks.push(ack);
    entry.acks.push(ack);
    return ack.number;
  }

  ackAnswered(number, answer) {
    const ack = this.#acks[number];
    const { entry, userId } = ack;
    const tell = (what) => this.#fault(`ack ${number} of ${userId} to ${entry} ${what}`);
    if (answer.type === "ok") return this.#counts(ack);
    if (answer.code !== "not_found") tell(`is answered ${JSON.stringify(answer)}`);
    ack.state = "not";
    if (entry.durable && !entry.maySettle(userId)) tell("is answered not_found, though nobody else acked");
  }

  #counts(ack) {
    const { number, entry, session, state } = ack;
    if (state === "ok") return;
    if (entry.acks.some((other) => other.state === "ok" && other.session === session))
      this.#fault(`ack ${number} to ${entry} is its session's second`);
    Object.assign(ack, { state: "ok", okAt: this.now() });
  }

  /** What a user is owed for sure. */
  owedTo(userId) {
    return this.publishes.filter(
      (entry) => entry.durable && entry.answeredAt < Infinity && entry.users.includes(userId) && !entry.maySettle(userId),
    );
  }
}
