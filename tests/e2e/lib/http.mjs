// One HTTP request on a connection of its own, with nothing normalised.
import http from "node:http";
import https from "node:https";

/**
 * Resolves to { status, headers, text, json }. `body` may be a value (sent as JSON) or raw text;
 * `local` is a source address, `tls` is for https.
 */
export function request(port, { method = "GET", path = "/", headers = {}, body, local, timeout = 20000, tls }) {
  const text = body === undefined || typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  const sent = { ...headers };
  if (text !== undefined && !hasHeader(sent, "content-type")) sent["content-type"] = "application/json";
  if (text !== undefined) sent["content-length"] = Buffer.byteLength(text);
  return new Promise((resolve, reject) => {
    const call = (tls ? https : http).request(
      { host: "127.0.0.1", port, localAddress: local, method, path, headers: sent, agent: false, timeout, ...tls },
      (answer) => {
        const chunks = [];
        answer.on("data", (chunk) => chunks.push(chunk));
        answer.on("error", reject);
        answer.on("end", () => resolve(answerOf(answer, Buffer.concat(chunks).toString())));
      },
    );
    call.on("timeout", () => call.destroy(new Error(`${method} ${path}: no answer`)));
    call.on("upgrade", (answer, socket) => {
      socket.destroy();
      resolve(answerOf(answer, ""));
    });
    call.on("error", reject);
    call.end(text);
  });
}

function hasHeader(headers, name) {
  return Object.keys(headers).some((key) => key.toLowerCase() === name);
}

function answerOf(answer, text) {
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: answer.statusCode, headers: answer.headers, text, json };
}
