// A backend that publishes in all ways, asks again for what it has asked, and looks what has become
// of it. What it is answered goes into the ledger.
import { randomUUID } from "node:crypto";
import { TYPES } from "./survivor.mjs";
import { sleep } from "./wait.mjs";

const AT_ONCE = 8;

export class Publisher {
  constructor(dm, users, random, ledger) {
    Object.assign(this, { dm, users, random, ledger });
  }

  #one(list) {
    return list[Math.floor(this.random() * list.length)];
  }

  #targets() {
    if (this.random() < 0.4) return { userId: this.#one(this.users) };
    return { userIds: this.users.filter((userId) => userId === "u0" || this.random() < 0.3) };
  }

  #plan() {
    const body = { ...this.#targets(), type: this.#one(TYPES), timeoutMs: this.#one([0, 50, 50, 300]) };
    if (this.random() < 0.5) body.durable = true;
    if (this.random() < 0.5) body.envelopeId = randomUUID();
    return this.ledger.plan(body);
  }

  async #ask(entry, gone = () => false) {
    const askedAt = this.ledger.ask(entry);
    try {
      const answer = await this.dm.post("/publish", entry.body);
      if (answer.json || !gone()) this.ledger.answered(entry, askedAt, answer);
    } catch (error) {
      if (!gone()) throw error;
    }
  }

  /** Publishes, and waits for acks, until the server is gone. */
  async live(gone) {
    const calls = [];
    while (!gone()) {
      const last = this.ledger.publishes.slice(-40).filter((entry) => entry.repeatable);
      const entry = last.length > 0 && this.random() < 0.15 ? this.#one(last) : this.#plan();
      const call = this.#ask(entry, gone);
      calls.push(call);
      await Promise.race([call, sleep(60)]); // a long one need not hold up all others
    }
    await Promise.all(calls);
  }

  async #each(entries, what) {
    const queue = [...entries];
    const work = async () => {
      for (let entry = queue.shift(); entry; entry = queue.shift()) await what(entry);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  /** Asks again for those that can be, as they were asked. */
  repeat(entries) {
    return this.#each(entries.filter((entry) => entry.repeatable), (entry) => this.#ask(entry));
  }

  look(entries) {
    const known = entries.filter((entry) => entry.recorded && entry.envelopeId);
    return this.#each(known, async (entry) => {
      const askedAt = this.ledger.now();
      this.ledger.looked(entry, askedAt, await this.dm.get(`/publish/${entry.envelopeId}`));
    });
  }
}
