// Clients that stay for a moment, each a session of its own: they are sent what their user is owed,
// native ones at once, HopeFlow's once they subscribe.
import { Line } from "./line.mjs";
import { TYPES } from "./survivor.mjs";
import { sleep, until } from "./wait.mjs";

const ACKED = 0.2;

export class Visitor {
  constructor(dm, userId, random, ledger) {
    Object.assign(this, { dm, userId, random, ledger });
  }

  async #come(acks) {
    const { dm, userId, random, ledger } = this;
    const native = random() < 0.6;
    const line = await Line.call(dm, userId, { ledger, random, acks, native });
    if (!native) line.say({ type: "subscribe", filters: TYPES.map((type) => ({ type })) });
    return line;
  }

  async #visit() {
    const line = await this.#come(true);
    await sleep(this.random() * 60);
    await line.ackSome(ACKED);
    if (this.random() < 0.3) line.ws.terminate();
    else await line.close(1000);
  }

  /** Comes and goes until the server is gone. */
  async live(gone) {
    while (!gone())
      await this.#visit().catch((error) => {
        if (!gone()) throw error;
      });
  }

  /** Takes all that the user is owed, and acks some of it. */
  async collect() {
    const owed = this.ledger.owedTo(this.userId);
    const line = await this.#come(false);
    const missing = () => owed.filter((entry) => !line.got.has(entry));
    await until("all that is owed", () => missing().length === 0, { every: 5 }).catch(() => {
      throw new Error(`${this.userId} is owed, and not sent: ${missing().slice(0, 5)}`);
    });
    await line.ackSome(ACKED);
    await line.close(1000);
    return owed.length;
  }
}
