// One native session that lives through drops and crashes, and what its client
// knows of it: the secrets that it may bring, and every state that the session
// can be in, by what was answered and what was only sent.
import assert from "node:assert/strict";
import { Line } from "./line.mjs";
import { sleep } from "./wait.mjs";

export const TYPES = ["t0", "t1", "t2", "t3"];

/** Of a set of types, given as bits: the filters. */
const filtersOf = (bits) => TYPES.filter((_, i) => bits & (1 << i)).map((type) => ({ type }));

const apply = ({ attachment, filters }, { attach, subscribe = 0, unsubscribe = 0 }) => ({
  attachment: attach ?? attachment,
  filters: (filters | subscribe) & ~unsubscribe,
});

let attached = 0;

export class Survivor {
  constructor(dm, userId, random, ledger) {
    Object.assign(this, { dm, userId, random, ledger, acks: true, faults: [] });
    this.forget();
  }

  /** Begins anew: the next line opens another session. */
  forget() {
    Object.assign(this, { id: undefined, last: undefined, before: undefined, brought: undefined });
    Object.assign(this, { dead: [], unanswered: [], worlds: [{ attachment: undefined, filters: 0 }] });
  }

  // --- states ---

  /** Every state it can be in: commands are carried out in order, those that were answered surely. */
  possible() {
    const found = new Map();
    let worlds = this.worlds;
    for (const change of [{}, ...this.unanswered]) {
      worlds = worlds.map((world) => apply(world, change));
      for (const world of worlds) found.set(JSON.stringify(world), world);
    }
    return [...found.values()];
  }

  /** Keeps the states that agree with what was seen. */
  narrow(what, agrees, seen) {
    const possible = this.possible();
    this.worlds = possible.filter(agrees);
    this.unanswered = [];
    assert.ok(this.worlds.length > 0, `${this.userId} ${this.id}: ${what} ${JSON.stringify(seen)} of ${JSON.stringify(possible)}`);
  }

  /** Its acks are put off, or not any more. */
  mayAck(may) {
    this.acks = may;
    if (this.line) this.line.acks = may;
  }

  /** It has been sent all that its user is owed and that its filters, which are known, take. */
  expectOwed() {
    const [{ filters }] = this.worlds;
    const takes = (type) => filters === 0 || filters & (1 << TYPES.indexOf(type));
    const missing = this.ledger.owedTo(this.userId).filter((entry) => takes(entry.body.type) && !this.line.got.has(entry));
    assert.deepEqual(missing.map(String), [], `${this.userId} ${this.id} is owed that, and not sent it`);
  }

  expectFilters(took) {
    const all = took.has("unheard-of");
    const bits = TYPES.reduce((sum, type, i) => sum | (took.has(type) && !all ? 1 << i : 0), 0);
    assert.ok(!all || TYPES.every((type) => took.has(type)), `it takes what it does not know, and not all: ${[...took]}`);
    assert.ok(all || bits, `${this.userId} ${this.id} takes nothing`);
    this.narrow("filters", ({ filters }) => filters === bits, bits);
  }

  /** Sends a command that changes the session; true once it is answered. */
  async change(change) {
    const { line } = this;
    const { attach, subscribe, unsubscribe } = change;
    this.unanswered.push(change);
    line.steady &&= attach !== undefined;
    const answer = await line.command(
      attach !== undefined
        ? { type: "attach", attachment: attach }
        : { type: subscribe ? "subscribe" : "unsubscribe", filters: filtersOf(subscribe ?? unsubscribe) },
    );
    if (!answer) return false;
    if (answer.type !== "ok") this.faults.push(`${JSON.stringify(change)} is answered ${JSON.stringify(answer)}`);
    const at = this.unanswered.indexOf(change);
    for (const done of this.unanswered.splice(0, at + 1)) this.worlds = this.worlds.map((world) => apply(world, done));
    // Such an answer on the new line says that its first frame is in the store. That of an unsubscribe
    // with nothing to take out does not: there is nothing to commit.
    if (line === this.line && this.before && !unsubscribe) {
      this.dead.push(this.before);
      this.before = undefined;
    }
    return true;
  }

  // --- lines ---

  /** The last secret must always do; the one before as long as the last one's line has said nothing. A
   * choice stands until there is a welcome: each attempt may have cost the other one its life. */
  #choose() {
    const both = this.before && this.line.sent === 0 && this.random() < 0.5;
    this.brought ??= both ? this.before : this.last;
    if (this.brought === this.before) this.line.acks = false; // it must go on saying nothing
    return this.brought;
  }

  /** A line, before its welcome. */
  call() {
    const { dm, userId, ledger, random, acks } = this;
    return Line.call(dm, userId, { ledger, random, acks, resume: this.last && this.#choose() });
  }

  /** A line with a welcome; nothing if the server went. 1013: try again. */
  async #reach(gone) {
    for (;;) {
      let line;
      try {
        line = await this.call();
      } catch (error) {
        if (gone()) return undefined;
        throw error;
      }
      if (await line.welcomed) return line;
      if (gone()) return undefined;
      const { code, reason } = await line.closed;
      assert.equal(code, 1013, `${this.userId}: closed with ${code} ${reason} before the welcome`);
    }
  }

  /** Opens the session, or resumes it; false if the server went meanwhile. */
  async connect(gone = () => false) {
    const line = await this.#reach(gone);
    if (!line) return false;
    const welcome = await line.welcomed;
    if (this.id) {
      const got = { resumed: welcome.resumed, sessionId: welcome.sessionId };
      assert.deepEqual(got, { resumed: true, sessionId: this.id }, `${this.userId}, by its ${this.brought === this.last ? "last secret" : "secret before"}`);
      this.before = this.brought;
    }
    Object.assign(this, { line, id: welcome.sessionId, last: welcome.resume, brought: undefined });
    this.dm.secrets.push(welcome.resume);
    this.narrow("attachment", ({ attachment }) => attachment === welcome.attachment, welcome.attachment);
    return true;
  }

  // --- a life ---

  #someChange() {
    const roll = this.random();
    const bits = 1 + Math.floor(this.random() * 15);
    if (roll < 0.4) return { attach: ++attached };
    return roll < 0.75 ? { subscribe: bits } : { unsubscribe: bits };
  }

  async #step(gone) {
    const roll = this.random();
    if (roll < 0.3) {
      if (this.random() < 0.6) this.line.ws.terminate(); // else the new line takes over from the old
      return this.connect(gone);
    }
    if (roll < 0.33) {
      await this.line.close(1000);
      this.forget();
      return this.connect(gone);
    }
    if (roll < 0.45) return sleep(this.random() * 25); // it may fall asleep
    if (roll < 0.55) return this.line.ackSome(0.2);
    const changes = Array.from({ length: 1 + Math.floor(this.random() * 3) }, () => this.change(this.#someChange()));
    return this.random() < 0.7 ? Promise.all(changes) : undefined;
  }

  /** Changes, drops, resumes and ends until the server is gone. */
  async live(gone) {
    while (!gone()) {
      const { line } = this;
      await this.#step(gone);
      if (line.unasked.length > 0) this.faults.push(`answers to nothing: ${JSON.stringify(line.unasked)}`);
    }
    assert.deepEqual(this.faults, [], this.userId);
  }
}
