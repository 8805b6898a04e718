// The WebSocket edge: the handshake, frames in every shape, and their endings.
import assert from "node:assert/strict";
import { Client } from "./lib/client.mjs";
import { closeFrame, frame, OPCODE, text, upgrade, WS_ACCEPT } from "./lib/raw.mjs";
import { serve } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";
import { sleep, until } from "./lib/wait.mjs";

const MESSAGE = { type: "message" };
const SUBSCRIBE = { type: "subscribe", filters: [MESSAGE] };

test("a handshake is answered 101 with the right accept, on / and /connect", async (t) => {
  const dm = await serve(t);
  for (const target of ["/", "/connect", "/?a=b", "/connect?token=x"]) {
    const raw = await dm.raw();
    raw.write(upgrade({ path: target, token: dm.token("alice") }));
    const answer = await raw.response();
    assert.equal(answer.status, 101, target);
    assert.equal(answer.headers["sec-websocket-accept"], WS_ACCEPT);
    assert.equal(answer.headers.upgrade.toLowerCase(), "websocket");
    assert.match(answer.headers.connection, /upgrade/i);
    assert.equal(answer.headers["sec-websocket-protocol"], undefined);
    assert.equal(answer.headers["sec-websocket-extensions"], undefined);
  }
});

/** The answer to an upgrade made of `options`. */
async function handshake(dm, options) {
  const raw = await dm.raw();
  raw.write(upgrade(options));
  return raw.response();
}

test("the names in Upgrade and Connection are read in any case and among others", async (t) => {
  const dm = await serve(t);
  const token = dm.token("alice");
  for (const headers of [{ Upgrade: "WebSocket" }, { Connection: "keep-alive, Upgrade" }, { Connection: "UPGRADE" }])
    assert.equal((await handshake(dm, { token, headers })).status, 101, JSON.stringify(headers));
});

test("426 comes before 401: no upgrade, another version", async (t) => {
  const dm = await serve(t);
  const plain = await dm.get("/", { as: null });
  assert.deepEqual([plain.status, plain.json.code], [426, "upgrade_required"]);
  for (const version of ["12", "8", "14", "", "x", undefined]) {
    const answer = await handshake(dm, { headers: { "Sec-WebSocket-Version": version } });
    assert.equal(answer.status, 426, version);
    assert.equal(answer.headers["sec-websocket-version"], "13");
  }
  assert.equal((await handshake(dm, {})).status, 401);
});

test("a handshake without a sound key, or by POST, is refused over plain HTTP", async (t) => {
  const dm = await serve(t);
  const token = dm.token("alice");
  for (const key of [undefined, "", "short", "x".repeat(24), "dGhlIHNhbXBsZSBub25jZQ"])
    assert.equal((await handshake(dm, { token, headers: { "Sec-WebSocket-Key": key } })).status, 400, key);
  assert.equal((await handshake(dm, { token, method: "POST", headers: { "Content-Length": "0" } })).status, 405);
});

test("an upgrade on a path that is no socket's is no socket", async (t) => {
  const dm = await serve(t);
  const token = dm.token("alice");
  assert.equal((await handshake(dm, { token, path: "/nowhere" })).status, 404);
  assert.equal((await handshake(dm, { token, path: "/connect/" })).status, 404);
  assert.equal((await handshake(dm, { token, path: "/healthz" })).status, 200);
});

test("of the subprotocols offered, one besides bearer.X is selected", async (t) => {
  const dm = await serve(t);
  const token = dm.token("alice");
  const selected = async (offer) => {
    const answer = await handshake(dm, { token, headers: { "Sec-WebSocket-Protocol": offer } });
    assert.equal(answer.status, 101, offer);
    return answer.headers["sec-websocket-protocol"];
  };
  assert.equal(await selected("chat"), "chat");
  assert.ok(["chat", "superchat"].includes(await selected("chat, superchat")));
  assert.equal(await selected("bearer.x, chat"), "chat");
  const client = await dm.connect("alice", { protocols: ["graphql-ws"] });
  assert.equal(client.ws.protocol, "graphql-ws");
});

test("the native dialect in msgpack is not there yet, and says so", async (t) => {
  const dm = await serve(t);
  for (const offer of ["dormouse.v1.msgpack", "dormouse.v1.msgpack, dormouse.v1", "chat, dormouse.v1.msgpack"]) {
    const answer = await handshake(dm, { token: dm.token("alice"), headers: { "Sec-WebSocket-Protocol": offer } });
    assert.equal(answer.status, 400, offer);
    assert.ok(JSON.parse(answer.text).error);
  }
});

test("ping in any case, trimmed, is answered pong", async (t) => {
  const dm = await serve(t);
  const alice = await dm.connect("alice");
  for (const ping of ["ping", "PING", "Ping", "pInG", " ping ", "\tping\r\n", "\u00a0ping\ufeff"]) {
    alice.send(ping);
    assert.equal(await alice.nextText(), "pong", JSON.stringify(ping));
  }
  for (const other of ["pingg", "p ing", '"ping"', '{"type":"ping"}', "pong"]) alice.send(other);
  alice.send(Buffer.from("ping"));
  await alice.expectNothing();
});

test("a WebSocket ping is answered with its payload", async (t) => {
  const dm = await serve(t);
  const raw = await dm.rawSocket("alice");
  for (const payload of ["", "x", "y".repeat(125)]) {
    raw.write(frame(OPCODE.ping, payload));
    const pong = await raw.frame();
    assert.deepEqual([pong.opcode, pong.payload.toString()], [OPCODE.pong, payload]);
  }
  raw.write(frame(OPCODE.pong, "unasked"), text("ping"));
  assert.equal(await raw.text(), "pong");
});

test("frames that come in the same packet as the handshake are handled", async (t) => {
  const dm = await serve(t);
  for (let i = 0; i < 10; i++) {
    const user = `user-${i}`;
    const raw = await dm.raw();
    raw.write(upgrade({ token: dm.token(user) }), text(SUBSCRIBE), text("ping"), frame(OPCODE.ping, "z"));
    assert.equal((await raw.response()).status, 101);
    assert.equal(await raw.text(), "pong");
    assert.equal((await raw.frame()).opcode, OPCODE.pong);
    assert.equal((await dm.publish({ userId: user, timeoutMs: 0 })).delivered, 1);
  }
});

test("half a frame may come with the handshake, and the rest later", async (t) => {
  const dm = await serve(t);
  const whole = Buffer.concat([text(SUBSCRIBE), text("ping")]);
  for (let cut = 1; cut < whole.length; cut += 7) {
    const raw = await dm.raw();
    raw.write(upgrade({ token: dm.token("alice") }), whole.subarray(0, cut));
    assert.equal((await raw.response()).status, 101);
    raw.write(whole.subarray(cut));
    assert.equal(await raw.text(), "pong");
    raw.destroy();
  }
});

test("the handshake and the frames may come byte by byte", async (t) => {
  const dm = await serve(t);
  const raw = await dm.raw();
  await raw.drip(upgrade({ token: dm.token("alice") }));
  assert.equal((await raw.response()).status, 101);
  await raw.drip(text(SUBSCRIBE));
  await raw.drip(text("ping"));
  assert.equal(await raw.text(), "pong");
  assert.equal((await dm.publish({ userId: "alice", timeoutMs: 0 })).delivered, 1);
});

test("a message may be in fragments, with control frames between them", async (t) => {
  const dm = await serve(t);
  const raw = await dm.rawSocket("alice");
  const bytes = Buffer.from(JSON.stringify({ type: "subscribe", filters: [{ type: "message", k: "é日😀" }] }));
  for (const [i, byte] of bytes.entries()) {
    raw.write(frame(i === 0 ? OPCODE.text : OPCODE.continuation, Buffer.from([byte]), { fin: i === bytes.length - 1 }));
    if (i % 20 === 0) {
      raw.write(frame(OPCODE.ping, `${i}`));
      assert.equal((await raw.frame()).payload.toString(), `${i}`);
    }
  }
  raw.write(frame(OPCODE.text, "pi", { fin: false }), frame(OPCODE.continuation, "", { fin: false }), frame(OPCODE.continuation, "ng"));
  assert.equal(await raw.text(), "pong");
  assert.equal((await dm.publish({ userId: "alice", payload: { k: "é日😀" }, timeoutMs: 0 })).delivered, 1);
});

test("frames of every length class go both ways", async (t) => {
  const dm = await serve(t);
  const raw = await dm.rawSocket("alice");
  raw.write(text(SUBSCRIBE));
  for (const length of [0, 125, 126, 127, 65535, 65536, 200000]) {
    raw.write(text(" ".repeat(length) + "ping"));
    assert.equal(await raw.text(), "pong", `${length}`);
    await dm.publish({ userId: "alice", payload: "x".repeat(length), timeoutMs: 0 });
    assert.equal(JSON.parse(await raw.text()).payload.length, length);
  }
});

/** Sends frames on a fresh socket and returns the Close that they bring. */
async function closeOf(dm, ...frames) {
  const raw = await dm.rawSocket("alice");
  raw.write(...frames);
  const { code } = await raw.close();
  await raw.gone();
  return code;
}

test("text that is not UTF-8 closes with 1007", async (t) => {
  const dm = await serve(t);
  for (const bytes of [[0xff], [0xc3, 0x28], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]])
    assert.equal(await closeOf(dm, frame(OPCODE.text, Buffer.from(bytes))), 1007, Buffer.from(bytes).toString("hex"));
  assert.equal(await closeOf(dm, frame(OPCODE.text, Buffer.from([0xc3]), { fin: false }), frame(OPCODE.continuation, "x")), 1007);
  const raw = await dm.rawSocket("alice");
  raw.write(frame(OPCODE.binary, Buffer.from([0xff, 0xfe])), text("ping"));
  assert.equal(await raw.text(), "pong");
});

test("a message over max_message closes with 1009, whole, announced or in fragments", async (t) => {
  const dm = await serve(t, { max_message: "1KiB" });
  const raw = await dm.rawSocket("alice");
  raw.write(text("x".repeat(1024)), text("ping"));
  assert.equal(await raw.text(), "pong");
  assert.equal(await closeOf(dm, text("x".repeat(1025))), 1009);
  assert.equal(await closeOf(dm, frame(OPCODE.binary, "", { length: 1 << 30 })), 1009);
  const piece = "x".repeat(500);
  assert.equal(
    await closeOf(dm, frame(OPCODE.text, piece, { fin: false }), frame(OPCODE.continuation, piece, { fin: false }), frame(OPCODE.continuation, piece)),
    1009,
  );
});

test("what breaks the protocol closes with 1002", async (t) => {
  const dm = await serve(t);
  const broken = {
    "RSV1": frame(OPCODE.text, "x", { rsv: 4 }),
    "RSV2": frame(OPCODE.text, "x", { rsv: 2 }),
    "RSV3": frame(OPCODE.ping, "x", { rsv: 1 }),
    "an unmasked frame": frame(OPCODE.text, "ping", { mask: false }),
    "an unmasked ping": frame(OPCODE.ping, "", { mask: false }),
    "opcode 3": frame(3, "x"),
    "opcode 7": frame(7, "x"),
    "opcode 11": frame(11, ""),
    "opcode 15": frame(15, ""),
    "a ping of 126 bytes": frame(OPCODE.ping, "x".repeat(126)),
    "a ping in fragments": frame(OPCODE.ping, "x", { fin: false }),
    "a Close in fragments": frame(OPCODE.close, "", { fin: false }),
    "a continuation of nothing": frame(OPCODE.continuation, "x"),
    "a new message inside another": Buffer.concat([frame(OPCODE.text, "x", { fin: false }), frame(OPCODE.text, "y")]),
    "a length with its highest bit": Buffer.from([0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]),
  };
  for (const [what, bytes] of Object.entries(broken)) {
    const code = await closeOf(dm, bytes);
    if (what === "a length with its highest bit") assert.ok([1002, 1009].includes(code), what);
    else assert.equal(code, 1002, what);
  }
});

test("the peer's Close is answered with its code, and the connection ends", async (t) => {
  const dm = await serve(t);
  for (const code of [1000, 1001, 1003, 1007, 1011, 3000, 4000, 4999])
    assert.equal(await closeOf(dm, closeFrame(code, "bye é")), code);
  assert.equal(await closeOf(dm, closeFrame(undefined)), undefined);
  const alice = await dm.connect("alice");
  assert.equal((await alice.close(4321, "mine")).code, 4321);
});

test("a Close that may not be sent is answered with 1002", async (t) => {
  const dm = await serve(t);
  for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
    assert.equal(await closeOf(dm, closeFrame(code)), 1002, `${code}`);
  assert.equal(await closeOf(dm, frame(OPCODE.close, "x")), 1002);
  const reason = await closeOf(dm, Buffer.from(frame(OPCODE.close, Buffer.from([0x03, 0xe8, 0xff, 0xff]))));
  assert.ok([1002, 1007].includes(reason), `${reason}`);
});

test("what follows a Close is not handled", async (t) => {
  const dm = await serve(t);
  const raw = await dm.rawSocket("alice");
  raw.write(closeFrame(1000), text("ping"), frame(OPCODE.ping, "x"));
  assert.equal((await raw.frame()).opcode, OPCODE.close);
  await raw.gone();
  assert.equal(raw.input.length, 0);
});

test("what came before a Close, in the same packet, is handled", async (t) => {
  const dm = await serve(t);
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  const raw = await dm.rawSocket("alice");
  raw.write(text(SUBSCRIBE), text("ping"));
  assert.equal(await raw.text(), "pong");
  const answer = dm.publish({ userId: "alice" });
  const { envelopeId } = JSON.parse(await raw.text());
  raw.write(text({ type: "ack", envelopeId, result: "bye" }), closeFrame(1000));
  alice.ack(await alice.next(), "hi");
  assert.deepEqual((await answer).results.sort(), ["bye", "hi"]);
});

test("a client that offers compression is served without", async (t) => {
  const dm = await serve(t);
  const client = await Client.open(dm.url, {
    headers: { authorization: `Bearer ${dm.token("alice")}`, "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits" },
  });
  dm.clients.push(client);
  assert.equal(client.ws.extensions, "");
  await client.expectNothing();
});

test("ping_interval sends WebSocket pings that wake nobody", async (t) => {
  const dm = await serve(t, { ping_interval: "200ms", hibernate_after: "100ms" });
  const alice = await (await dm.connect("alice")).subscribe(MESSAGE);
  await dm.asleep(1);
  const before = await dm.metric("dormouse_wakes_total");
  let pings = 0;
  alice.ws.on("ping", () => pings++);
  await until("three pings", () => pings >= 3);
  assert.equal(await dm.metric("dormouse_wakes_total"), before);
});

test("five hundred sockets come and go", async (t) => {
  const dm = await serve(t, { max_connections_per_user: 1000 });
  const all = [];
  for (let batch = 0; batch < 10; batch++)
    all.push(...(await Promise.all(Array.from({ length: 50 }, (_, i) => dm.connect(`u${i % 7}`)))));
  await until("all are counted", async () => (await dm.metric("dormouse_sessions")) === 500);
  await Promise.all(all.map((client, i) => (i % 2 ? client.close(1000) : client.drop())));
  await until("all are gone", async () => (await dm.metric("dormouse_sessions")) === 0);
  await sleep(10);
});
