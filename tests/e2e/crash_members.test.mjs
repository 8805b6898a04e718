// kill -9 in the middle of joins and leaves: every change that was answered is there after each
// restart, none that was refused is, and of those that the crash cut off each may be.
// DM_CRASH_ROUNDS says how many rounds (half of it), DM_CRASH_SEED what the dice say.
import assert from "node:assert/strict";
import { test } from "node:test";
import { dice } from "./lib/dice.mjs";
import { Native } from "./lib/native.mjs";
import { serve } from "./lib/server.mjs";
import { sleep } from "./lib/wait.mjs";

const ALL_ROUNDS = 50;
const ROUNDS = process.env.DM_CRASH_ROUNDS === undefined ? 8 : Math.ceil(Number(process.env.DM_CRASH_ROUNDS) / 2);
const SEED = Number(process.env.DM_CRASH_SEED ?? Math.floor(Math.random() * 2 ** 31));
const USERS = Array.from({ length: 8 }, (_, i) => `user ${i}`);
const OPEN = ["news", "a/b", "presence-room"]; // the users' tokens grant the last one
const CLOSED = "private-vault"; // and not this one
const claims = { channels: ["presence-*"] };

/** One user's part in one channel: what is known of it, and what the crash may have made of it. */
class Part {
  constructor(dm, userId, channel, random) {
    Object.assign(this, { dm, userId, channel, random, states: [false] });
  }

  get granted() {
    return this.channel !== CLOSED;
  }

  async overHttp(join) {
    const answer = await this.dm.post(`/channels/${join ? "subscribe" : "unsubscribe"}`, { channel: this.channel }, { as: `Bearer ${this.dm.token(this.userId, claims)}` });
    return answer.status === 200 ? "ok" : answer.json.code;
  }

  async asAdmin(join) {
    const [channel, userId] = [this.channel, this.userId].map(encodeURIComponent);
    const answer = await this.dm.call(join ? "PUT" : "DELETE", `/channels/${channel}/members/${userId}`);
    return answer.status === 200 ? "ok" : answer.json.code;
  }

  async onSocket(join) {
    const { type, code } = await this.line.command(join ? "join" : "leave", { channel: this.channel });
    return type === "ok" ? "ok" : code;
  }

  /** In a granted channel by all ways; into the other only by one's own, which is refused. */
  async change(join) {
    const ways = this.granted ? [this.overHttp, this.asAdmin, this.onSocket] : [this.overHttp, this.onSocket];
    return ways[Math.floor(this.random() * ways.length)].call(this, join);
  }

  async live(gone) {
    this.line = await Native.connect(this.dm, this.userId, { claims }).catch(() => undefined);
    while (!gone() && this.line) {
      const join = this.random() < 0.5;
      const before = this.states;
      if (this.granted) this.states = [...new Set([...before, join])];
      const code = await Promise.race([this.change(join), this.line.closed.then(() => undefined)]).catch(() => undefined);
      if (code === undefined) return; // cut off
      if (!this.granted && join) assert.equal(code, "forbidden");
      else assert.equal(code, "ok");
      if (this.granted) this.states = [join];
      this.changes = (this.changes ?? 0) + 1;
    }
  }
}

async function membersOf(dm, channel) {
  const found = [];
  for (let after = ""; ; ) {
    const { members, next } = (await dm.get(`/channels/${encodeURIComponent(channel)}/members?limit=3${after}`)).json;
    found.push(...members);
    if (next === undefined) return found;
    after = `&after=${encodeURIComponent(next)}`;
  }
}

async function round({ dm, parts, random }) {
  let killed = false;
  const lives = parts.map((part) => part.live(() => killed));
  const broken = new Promise((_, reject) => lives.forEach((life) => life.catch(reject)));
  await Promise.race([sleep(40 + random() * 300), broken]);
  killed = true;
  await dm.kill();
  await Promise.all(lives);
  await dm.start();
  for (const channel of [...OPEN, CLOSED]) {
    const members = await membersOf(dm, channel);
    assert.equal(new Set(members).size, members.length, `${channel}: ${members}`);
    for (const part of parts.filter((one) => one.channel === channel)) {
      const is = members.includes(part.userId);
      assert.ok(part.states.includes(is), `${part.userId} ${is ? "is" : "is not"} in ${channel}, of ${part.states}`);
      part.states = [is];
    }
    // who is a member and is there gets what is sent; nobody else does
    const { members: count } = (await dm.post(`/channels/${encodeURIComponent(channel)}/send`, { type: "t" })).json;
    assert.equal(count, members.length, channel);
  }
}

test(`kill -9 during joins and leaves: ${ROUNDS} of ${ALL_ROUNDS} rounds`, { timeout: 60_000 + ROUNDS * 8000 }, async (t) => {
  t.diagnostic(`${ROUNDS} of ${ALL_ROUNDS} rounds, seed ${SEED}`);
  const random = dice(SEED);
  const dm = await serve(t, { shards: 3, hibernate_after: "10ms", resume_window: "2s" });
  const parts = USERS.flatMap((userId) => [...OPEN, CLOSED].map((channel) => new Part(dm, userId, channel, random)));
  for (let number = 1; number <= ROUNDS; number++) {
    try {
      await round({ dm, parts, random });
    } catch (error) {
      throw new Error(`round ${number}, DM_CRASH_SEED=${SEED}: ${error.message}`, { cause: error });
    }
  }
  assert.ok(parts.every(({ changes }) => changes > ROUNDS), "each has changed something in each round");
});
