// Who may do what, and how a token travels.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { Client } from "./lib/client.mjs";
import { serve } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";
import { API_KEY, now, SECRET, sign, tokenOf } from "./lib/token.mjs";

const MESSAGE = { type: "message" };

/** Publishes to bob with that Authorization value and path; the answer. */
const publishAs = (dm, as, target = "/publish") => dm.post(target, { userId: "bob", timeoutMs: 0 }, { as });

/** The status with which an upgrade is answered. */
async function upgradeStatus(dm, authorization, target = "/") {
  try {
    const client = await Client.open(dm.url + target, { headers: authorization ? { authorization } : {} });
    dm.clients.push(client);
    return 101;
  } catch (refused) {
    assert.ok(refused.status, refused.message);
    const body = JSON.parse(await refused.body);
    if (refused.status === 401) assert.deepEqual(body, { error: "Unauthorized", code: "unauthorized" });
    return refused.status;
  }
}

test("without a token a publish is 401 Unauthorized, and so is an upgrade, over plain HTTP", async (t) => {
  const dm = await serve(t);
  const answer = await publishAs(dm, null);
  assert.equal(answer.status, 401);
  assert.deepEqual(answer.json, { error: "Unauthorized", code: "unauthorized" });
  assert.equal(await upgradeStatus(dm), 401);
  assert.equal(await upgradeStatus(dm, "Bearer "), 401);
});

test("a forged, broken or unsigned token is 401", async (t) => {
  const dm = await serve(t, { open_publish: true });
  const good = tokenOf("alice");
  const [head, claims, mac] = good.split(".");
  const none = Buffer.from('{"alg":"none"}').toString("base64url");
  const flipped = `${head}.${claims}.${mac[0] === "A" ? "B" : "A"}${mac.slice(1)}`;
  const bad = {
    "another secret": sign({ userId: "alice" }, { secret: "x".repeat(32) }),
    "no secret": sign({ userId: "alice" }, { secret: "" }),
    "alg none, no signature": `${none}.${claims}.`,
    "alg none, with one": `${none}.${claims}.${mac}`,
    "alg HS512": sign({ userId: "alice" }, { header: { alg: "HS512", typ: "JWT" } }),
    "alg RS256": sign({ userId: "alice" }, { header: { alg: "RS256", typ: "JWT" } }),
    "no alg": sign({ userId: "alice" }, { header: { typ: "JWT" } }),
    "a changed signature": flipped,
    "no signature": `${head}.${claims}`,
    "a cut one": good.slice(0, -5),
    "a fourth part": `${good}.${mac}`,
    "claims that are no JSON": sign("{"),
    "claims that are no object": sign("[]"),
    junk: "x.y.z",
    "a critical extension": sign({ userId: "alice" }, { header: { alg: "HS256", crit: ["x"], x: 1 } }),
  };
  assert.equal((await publishAs(dm, `Bearer ${good}`)).status, 200);
  for (const [what, token] of Object.entries(bad)) {
    assert.equal((await publishAs(dm, `Bearer ${token}`)).status, 401, what);
    assert.equal(await upgradeStatus(dm, `Bearer ${token}`), 401, what);
  }
});

test("exp and nbf are checked, with thirty seconds of leeway", async (t) => {
  const dm = await serve(t, { open_publish: true });
  const status = async (claims) => (await publishAs(dm, `Bearer ${sign({ userId: "alice", ...claims })}`)).status;
  assert.equal(await status({}), 200);
  assert.equal(await status({ exp: now() + 60, nbf: now() - 60 }), 200);
  assert.equal(await status({ exp: now() - 15 }), 200);
  assert.equal(await status({ exp: now() - 60 }), 401);
  assert.equal(await status({ nbf: now() + 15 }), 200);
  assert.equal(await status({ nbf: now() + 60 }), 401);
  assert.equal(await status({ exp: "tomorrow" }), 401);
  assert.equal(await upgradeStatus(dm, `Bearer ${sign({ userId: "alice", exp: now() - 60 })}`), 401);
});

test("the user is the token's userId, or sub where there is none; an invalid userId is 401", async (t) => {
  const dm = await serve(t);
  const good = async (claims, user) => {
    const client = await Client.open(dm.url, { headers: { authorization: `Bearer ${sign(claims)}` } });
    dm.clients.push(client);
    await client.subscribe(MESSAGE);
    assert.equal((await dm.publish({ userId: user, timeoutMs: 0 })).delivered, 1, JSON.stringify(claims));
  };
  await good({ userId: "u1" }, "u1");
  await good({ sub: "u2" }, "u2");
  await good({ userId: "u3", sub: "nobody" }, "u3");
  await good({ userId: "  u4 " }, "u4");
  for (const claims of [
    {}, { userId: "" }, { userId: "   " }, { userId: 7 }, { userId: null, sub: "a" }, { userId: ["a"] }, { userId: {} },
    { userId: "", sub: "alice" }, { userId: 7, sub: "alice" }, { sub: 7 }, { sub: "" }, { userId: "x".repeat(129) },
    { userId: "a\u0000b" }, { userId: "." }, { userId: ".." }, { userId: "guest:zoe" }, { sub: "guest:zoe" }, { user_id: "alice" },
  ])
    assert.equal(await upgradeStatus(dm, `Bearer ${sign(claims)}`), 401, JSON.stringify(claims));
});

test("Bearer may be in any case, and a bare token does too", async (t) => {
  const dm = await serve(t);
  const token = dm.token("alice", { scope: "publish" });
  for (const value of [`Bearer ${token}`, `bearer ${token}`, `BEARER ${token}`, `Bearer   ${token}`, token]) {
    assert.equal((await publishAs(dm, value)).status, 200, value.slice(0, 8));
    assert.equal(await upgradeStatus(dm, value), 101, value.slice(0, 8));
  }
  assert.equal((await publishAs(dm, `Basic ${token}`)).status, 401);
  assert.equal((await publishAs(dm, API_KEY)).status, 200);
});

test("browsers may bring the token as ?token=", async (t) => {
  const dm = await serve(t);
  const token = dm.token("alice", { scope: "publish" });
  assert.equal((await publishAs(dm, null, `/publish?token=${token}`)).status, 200);
  assert.equal((await publishAs(dm, null, `/publish?a=b&token=${token}&c`)).status, 200);
  assert.equal((await publishAs(dm, null, `/publish?token=${token.replaceAll(".", "%2E")}`)).status, 200);
  assert.equal((await publishAs(dm, null, `/publish?xtoken=${token}`)).status, 401);
  assert.equal((await publishAs(dm, null, "/publish?token=")).status, 401);
  assert.equal(await upgradeStatus(dm, undefined, `/?token=${token}`), 101);
  assert.equal(await upgradeStatus(dm, undefined, `/connect?token=${token}`), 101);
});

test("the header counts before ?token=, also when it is bad", async (t) => {
  const dm = await serve(t);
  const token = dm.token("alice", { scope: "publish" });
  assert.equal((await publishAs(dm, "Bearer bad", `/publish?token=${token}`)).status, 401);
  assert.equal((await publishAs(dm, `Bearer ${token}`, "/publish?token=bad")).status, 200);
  assert.equal(await upgradeStatus(dm, "Bearer bad", `/?token=${token}`), 401);
});

test("an API key counts in the header alone", async (t) => {
  const dm = await serve(t);
  assert.equal((await publishAs(dm, `Bearer ${API_KEY}`)).status, 200);
  assert.equal((await publishAs(dm, `Bearer ${API_KEY}x`)).status, 401);
  assert.equal((await publishAs(dm, `Bearer ${API_KEY.slice(0, -1)}`)).status, 401);
  assert.equal((await publishAs(dm, "Bearer test")).status, 401);
  assert.equal((await publishAs(dm, null, `/publish?token=${API_KEY}`)).status, 401);
});

test("several API keys and several token secrets count at once, so that they can be rotated", async (t) => {
  const other = "another-secret-of-more-than-32-bytes";
  const dm = await serve(t, { open_publish: true }, {
    DORMOUSE_JWT_SECRET: `${SECRET},${other}`,
    DORMOUSE_API_KEYS: `test=${API_KEY},next=the-next-api-key-9a1b`,
  });
  assert.equal((await publishAs(dm, `Bearer ${API_KEY}`)).status, 200);
  assert.equal((await publishAs(dm, "Bearer the-next-api-key-9a1b")).status, 200);
  assert.equal((await publishAs(dm, `Bearer ${tokenOf("alice")}`)).status, 200);
  assert.equal((await publishAs(dm, `Bearer ${sign({ userId: "a" }, { secret: other })}`)).status, 200);
  assert.equal((await publishAs(dm, `Bearer ${sign({ userId: "a" }, { secret: `${SECRET},${other}` })}`)).status, 401);
});

test("a user token without scope may not publish, unless open_publish lets it", async (t) => {
  const strict = await serve(t);
  const refused = await publishAs(strict, `Bearer ${strict.token("alice")}`);
  assert.deepEqual([refused.status, refused.json.code], [403, "forbidden"]);
  const open = await serve(t, { open_publish: true });
  const bob = (await (await open.connect("bob")).subscribe(MESSAGE)).autoAck();
  const as = `Bearer ${open.token("alice")}`;
  const answer = await open.post("/publish", { userId: "bob" }, { as });
  assert.deepEqual([answer.status, answer.json.results], [200, [true]]);
  await bob.next();
  assert.equal((await open.post("/publish", { userIds: ["bob"], timeoutMs: 0 }, { as })).status, 200);
  for (const target of ["/users/bob/send", "/users/send"])
    assert.equal((await open.post(target, { type: "x" }, { as })).status, 403, target);
  for (const body of [{ userId: "bob", durable: true }, { channel: "news" }]) {
    const more = await open.post("/publish", body, { as });
    assert.ok([400, 403].includes(more.status), more.text);
  }
});

test("the scopes publish and admin let a token do their own, and nothing else does", async (t) => {
  const dm = await serve(t);
  const calls = {
    publish: (as) => publishAs(dm, as),
    send: (as) => dm.post("/users/bob/send", { type: "x" }, { as }),
    sendMany: (as) => dm.post("/users/send", { userIds: ["bob"], event: { type: "x" } }, { as }),
    presence: (as) => dm.get("/users/bob/presence", { as }),
    disconnect: (as) => dm.post("/users/bob/disconnect", {}, { as }),
  };
  const allowed = {
    publish: ["publish", "send", "sendMany"],
    admin: Object.keys(calls),
    "x publish y": ["publish", "send", "sendMany"],
    "publish admin": Object.keys(calls),
    "": [],
    publisher: [],
    "admin2 Publish": [],
  };
  for (const [scope, can] of Object.entries(allowed))
    for (const [name, call] of Object.entries(calls)) {
      const { status } = await call(`Bearer ${dm.token("carol", { scope })}`);
      assert.equal(status, can.includes(name) ? 200 : 403, `${name} with scope "${scope}"`);
    }
  for (const scope of [7, ["publish"], null, { publish: true }]) {
    const { status } = await calls.publish(`Bearer ${dm.token("carol", { scope })}`);
    assert.ok([401, 403].includes(status), JSON.stringify(scope));
  }
});

test("a token signed with the wrong kind of key is 401, whatever its header says", async (t) => {
  const dm = await serve(t, { open_publish: true });
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const secret = publicKey.export({ type: "spki", format: "pem" });
  assert.equal((await publishAs(dm, `Bearer ${sign({ userId: "alice" }, { secret })}`)).status, 401);
});

test("no error message repeats what was presented", async (t) => {
  const dm = await serve(t, { log_level: "debug" });
  const token = sign({ userId: "alice" }, { secret: "x".repeat(40) });
  const answer = await publishAs(dm, `Bearer ${token}`, `/publish?token=${token}`);
  assert.ok(!answer.text.includes(token.slice(-20)));
  await upgradeStatus(dm, undefined, `/?token=${token}`);
  dm.secrets.push(token);
});
