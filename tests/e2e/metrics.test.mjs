// /metrics, /healthz, /readyz.
import assert from "node:assert/strict";
import { serve } from "./lib/server.mjs";
import { test } from "./lib/test.mjs";

const MESSAGE = { type: "message" };

test("/metrics is Prometheus text in which every sample has its HELP and TYPE, once", async (t) => {
  const dm = await serve(t);
  const answer = await dm.get("/metrics", { as: null });
  assert.equal(answer.status, 200);
  assert.match(answer.headers["content-type"], /^text\/plain; version=0\.0\.4/);
  assert.ok(answer.text.endsWith("\n"));
  const help = new Set();
  const type = new Map();
  const samples = new Set();
  for (const line of answer.text.trimEnd().split("\n")) {
    const about = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line);
    if (about?.[1] === "HELP") {
      assert.ok(!help.has(about[2]), line);
      help.add(about[2]);
    } else if (about) {
      assert.ok(!type.has(about[2]), line);
      type.set(about[2], about[3]);
    } else {
      const sample = /^([a-z_]+)(\{[^}]*\})? (-?[0-9.e+]+|\+Inf|NaN)$/.exec(line);
      assert.ok(sample, line);
      assert.ok(!samples.has(sample[1] + (sample[2] ?? "")), line);
      samples.add(sample[1] + (sample[2] ?? ""));
      const name = type.has(sample[1]) ? sample[1] : sample[1].replace(/_(bucket|sum|count)$/, "");
      assert.ok(type.has(name) && help.has(name), line);
      if (type.get(name) === "counter") assert.match(name, /_total$/);
    }
  }
  assert.ok(samples.size > 30, `${samples.size} samples`);
});

test("the metrics count what happens", async (t) => {
  const dm = await serve(t);
  const alice = (await (await dm.connect("alice")).subscribe(MESSAGE)).autoAck();
  await dm.connect("bob");
  for (let i = 0; i < 3; i++) await dm.publish({ userId: "alice" });
  await dm.post("/users/alice/send", { type: "message" });
  await alice.settle();
  const samples = await dm.metrics();
  assert.equal(samples.dormouse_sessions, 2);
  assert.equal(samples['dormouse_objects{kind="user",state="awake"}'], 2);
  assert.equal(samples.dormouse_publishes_total, 4);
  assert.equal(samples.dormouse_publishes_open, 0);
  assert.equal(samples.dormouse_deliveries_total, 4);
  assert.equal(samples['dormouse_acks_total{result="counted"}'], 3);
  assert.ok(samples.dormouse_frames_received_total >= 6);
  assert.ok(samples.dormouse_frames_sent_total >= 6);
  assert.ok(samples.dormouse_http_requests_total >= 6);
});

test("refusals are counted by reason, commits by size and latency", async (t) => {
  const dm = await serve(t, { hibernate_after: "100ms" });
  await dm.post("/publish", {}, { as: null });
  await dm.post("/publish", {});
  await (await dm.connect("alice")).subscribe(MESSAGE);
  await dm.asleep(1);
  const samples = await dm.metrics();
  const refused = Object.entries(samples).filter(([name]) => name.includes('unauthorized"'));
  assert.equal(refused.length, 1, "one counter of refusals named unauthorized");
  assert.equal(refused[0][1], 1);
  assert.ok(samples['dormouse_store_commits_total{result="ok"}'] >= 1);
  assert.equal(samples['dormouse_store_commits_total{result="failed"}'], 0);
});

test("closes are counted by who closed", async (t) => {
  const dm = await serve(t);
  await (await dm.connect("a")).close(1000);
  await (await dm.connect("a")).drop();
  const gone = await dm.connect("a");
  await dm.post("/users/a/disconnect", {});
  await gone.closing();
  await new Promise((resolve) => setTimeout(resolve, 200));
  const samples = await dm.metrics();
  for (const by of ["peer", "drop", "backend"]) assert.equal(samples[`dormouse_closes_total{by="${by}"}`], 1, by);
  assert.equal(samples.dormouse_sessions, 0);
});

test("/healthz and /readyz are 200 while the server serves, without a token on loopback", async (t) => {
  const dm = await serve(t);
  for (const target of ["/healthz", "/readyz"]) {
    const answer = await dm.get(target, { as: null });
    assert.equal(answer.status, 200, target);
    assert.equal((await dm.call("HEAD", target, { as: null })).status, 200);
  }
});

test("no user, token or key shows in the metrics", async (t) => {
  const dm = await serve(t);
  await dm.connect("a-very-secret-user");
  await dm.publish({ userId: "a-very-secret-user" });
  const { text } = await dm.get("/metrics");
  for (const secret of [...dm.secrets, "a-very-secret-user"]) assert.ok(!text.includes(secret));
});
