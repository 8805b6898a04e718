// Clients of the dialects that know channels, and what one asks of channels over HTTP.
import assert from "node:assert/strict";
import { Client } from "./client.mjs";
import { until } from "./wait.mjs";

export const enc = encodeURIComponent;

export const OK = '{"ok":true}';
export const ALL_GRANTS = { channels: ["private-*", "presence-*"] };

const PONG = '{"type":"pong"}';

/** Opens a socket; `settled`: and waits until it is where its user is, so that all that is sent now reaches it. */
async function open(dm, of, userId, target, { claims, headers, token, settled = true, ...more } = {}) {
  const auth = userId === undefined ? {} : { authorization: `Bearer ${token ?? dm.token(userId, claims)}` };
  const client = await Client.open(dm.url + target, { headers: { ...auth, ...headers }, of, tls: dm.tls, ...more });
  dm.clients.push(client);
  if (settled) client.putBack(await client.settle());
  return client;
}

/** A tab of durable-notifier: it is sent events, and says nothing but pings. */
export class Notifier extends Client {
  static connect(dm, userId, { path = "/ws", ...more } = {}) {
    return open(dm, Notifier, userId, path, more);
  }

  async settle() {
    this.send('{"type":"ping"}');
    const seen = [];
    for (;;) {
      const message = await this.nextText();
      if (message === PONG) return seen;
      seen.push(message);
    }
  }
}

/** A socket of @roostjs/broadcast; without a userId nobody's. */
export class Listener extends Client {
  static connect(dm, userId, channel, { query = "", ...more } = {}) {
    return open(dm, Listener, userId, `/ws/channel/${enc(channel)}${query}`, { claims: ALL_GRANTS, ...more });
  }

  /** There is no ping that it could send but WebSocket's own. */
  async settle() {
    const { pongs } = this;
    this.ws.ping();
    await until("a pong", () => this.pongs > pongs, { every: 2 });
    return this.taken();
  }

  whisper(data) {
    this.send(data === undefined ? { event: "whisper" } : { event: "whisper", data });
  }
}

export const as = (dm, userId, claims) => ({ as: `Bearer ${dm.token(userId, claims)}` });

export const subscribe = (dm, userId, channel, claims) => dm.post("/channels/subscribe", { channel }, as(dm, userId, claims));
export const unsubscribe = (dm, userId, channel) => dm.post("/channels/unsubscribe", { channel }, as(dm, userId));

/** Becomes a member, and insists on it. */
export async function join(dm, channel, ...userIds) {
  for (const userId of userIds) {
    const answer = await dm.call("PUT", `/channels/${enc(channel)}/members/${enc(userId)}`);
    assert.deepEqual([answer.status, answer.text], [200, OK]);
  }
}

export const expel = (dm, channel, userId) => dm.call("DELETE", `/channels/${enc(channel)}/members/${enc(userId)}`);

/** The members that a backend is told, sorted. */
export async function membersOf(dm, channel, query = "") {
  const answer = await dm.get(`/channels/${enc(channel)}/members${query}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.json.members.sort();
}

/** Who is there, sorted. */
export async function presentIn(dm, channel, query = "") {
  const answer = await dm.get(`/channels/${enc(channel)}/presence${query}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.json.members.map(({ id }) => id).sort();
}

/** Sends an event to a channel, and insists on 200: { id, ts, members, delivered }. */
export async function sendTo(dm, channel, event) {
  const answer = await dm.post(`/channels/${enc(channel)}/send`, typeof event === "string" ? { type: event } : event);
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

/** Broadcasts, and insists on 204 with nothing in it. */
export async function broadcast(dm, channel, event, data, more = {}) {
  const answer = await dm.post(`/channels/${enc(channel)}/broadcast`, { event, data, ...more });
  assert.deepEqual([answer.status, answer.text], [204, ""]);
}

/** All pages, one after the other. */
export async function pages(dm, target, limit) {
  const seen = [];
  let after = "";
  for (;;) {
    const answer = await dm.get(`${target}?limit=${limit}${after}`);
    assert.equal(answer.status, 200, answer.text);
    seen.push(answer.json);
    if (answer.json.next === undefined) return seen;
    after = `&after=${enc(answer.json.next)}`;
  }
}

/** Waits until no channel is awake, and no user. */
export async function allAsleep(dm) {
  await until("all are asleep", async () => {
    const samples = await dm.metrics();
    return samples.dormouse_channels_awake === 0 && samples['dormouse_objects{kind="user",state="awake"}'] === 0;
  });
}

/** Runs `work` for each, so many at a time. */
export async function each(list, atOnce, work) {
  const queue = [...list.entries()];
  const run = async () => {
    for (let entry = queue.shift(); entry; entry = queue.shift()) await work(entry[1], entry[0]);
  };
  await Promise.all(Array.from({ length: atOnce }, run));
}
