// A client that does not stop asking, in a process of its own so that it is nobody else's delay.
// usage: flood.mjs '{"port","connections","ahead","request","tls"}'; says "<answers> <refusals>" once its input ends
import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";
import { fileURLToPath } from "node:url";
import { afterwards } from "./teardown.mjs";
import { within } from "./wait.mjs";

const self = fileURLToPath(import.meta.url);

/** Keeps `ahead` requests unanswered on a connection; seen.answers counts. */
function askOn({ port, request, ahead, tls: secure }, seen) {
  const to = { host: "127.0.0.1", port };
  const socket = secure ? tls.connect({ ...to, rejectUnauthorized: false }) : net.connect(to);
  socket.setNoDelay(true);
  socket.on(secure ? "secureConnect" : "connect", () => socket.write(request.repeat(ahead)));
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    const heads = chunk.toString("latin1").match(/HTTP\/1\.1 (\d+)/g) ?? [];
    seen.answers += heads.length;
    seen.refusals += heads.filter((head) => !head.endsWith("200")).length;
    socket.write(request.repeat(heads.length));
  });
}

/** A publish of `user` as bytes. */
export function publishBytes(dm, user, body) {
  const text = JSON.stringify(body);
  return (
    `POST /publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${dm.token(user, { scope: "publish" })}\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`
  );
}

/** Begins a flood of one request, `ahead` at once on each connection; resolves once it is answered. */
export async function flood(t, dm, request, { connections, ahead = 1 }) {
  const options = JSON.stringify({ port: dm.port, connections, ahead, request, tls: Boolean(dm.tls) });
  const child = spawn(process.execPath, [self, options], { stdio: ["pipe", "pipe", "inherit"] });
  afterwards(t, () => child.kill("SIGKILL"));
  await within(20_000, "the flood's first answers", once(child.stdout, "data"));
  return {
    /** Ends it: { answers, refusals }. */
    async stop() {
      const said = once(child.stdout, "data");
      child.stdin.end();
      const [answers, refusals] = (await within(10_000, "the flood's end", said)).toString().split(" ").map(Number);
      return { answers, refusals };
    },
  };
}

if (process.argv[1] === self) {
  const options = JSON.parse(process.argv[2]);
  const seen = { answers: 0, refusals: 0 };
  for (let i = 0; i < options.connections; i++) askOn(options, seen);
  const waiting = setInterval(() => {
    if (!seen.answers) return;
    clearInterval(waiting);
    process.stdout.write("it has begun\n");
  }, 20);
  process.stdin.resume();
  process.stdin.on("end", () => process.stdout.write(`${seen.answers} ${seen.refusals}`, () => process.exit()));
}
