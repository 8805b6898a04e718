// Bytes on a TCP connection: for what no well-behaved client would send.
import { randomBytes } from "node:crypto";
import net from "node:net";
import nodeTls from "node:tls";
import { until, within } from "./wait.mjs";

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

export class Raw {
  /** `local` is a source address in 127.0.0.0/8; with `tls`, options of its own, the bytes go over TLS. */
  static async open(port, { local, tls } = {}) {
    const to = { host: "127.0.0.1", port, localAddress: local };
    const socket = tls ? nodeTls.connect({ ...to, ...tls }) : net.connect(to);
    const raw = new Raw(socket);
    await within(5000, "connect", new Promise((resolve, reject) => {
      socket.once(tls ? "secureConnect" : "connect", resolve);
      socket.once("error", reject);
    }));
    return raw;
  }

  constructor(socket) {
    this.socket = socket;
    this.input = Buffer.alloc(0);
    this.ended = false;
    socket.setNoDelay(true);
    socket.on("data", (chunk) => {
      this.input = Buffer.concat([this.input, chunk]);
    });
    socket.on("error", () => {});
    this.over = new Promise((resolve) => {
      const end = () => {
        this.ended = true;
        resolve();
      };
      socket.once("end", end);
      socket.once("close", end);
    });
  }

  write(...parts) {
    this.socket.write(Buffer.concat(parts.map((part) => Buffer.from(part))));
    return this;
  }

  /** One write a byte. */
  async drip(bytes) {
    for (const byte of Buffer.from(bytes)) {
      await new Promise((resolve) => this.socket.write(Buffer.from([byte]), resolve));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #need(what, ready, ms = 8000) {
    return until(what, () => {
      const found = ready();
      if (found) return found;
      if (this.ended) throw new Error(`${what}: the server closed; before that: ${this.input.toString("latin1").slice(0, 300)}`);
      return undefined;
    }, { ms, every: 2 });
  }

  take(n) {
    const bytes = this.input.subarray(0, n);
    this.input = this.input.subarray(n);
    return bytes;
  }

  /** The next HTTP response: { status, headers, text }. `head`: it answers a HEAD. */
  async response({ head = false } = {}) {
    const end = await this.#need("an HTTP response", () => {
      const at = this.input.indexOf("\r\n\r\n");
      return at < 0 ? undefined : at + 4;
    });
    const [first, ...lines] = this.take(end).toString("latin1").trimEnd().split("\r\n");
    const status = Number(first.split(" ")[1]);
    const headers = {};
    for (const line of lines) {
      const colon = line.indexOf(":");
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const length = head || status === 101 ? 0 : Number(headers["content-length"] ?? 0);
    await this.#need("the body", () => this.input.length >= length);
    return { status, headers, text: this.take(length).toString() };
  }

  /** The next WebSocket frame: { opcode, fin, rsv, payload }. */
  async frame(ms) {
    await this.#need("a frame", () => frameLength(this.input) <= this.input.length, ms);
    const whole = this.take(frameLength(this.input));
    const short = whole[1] & 0x7f;
    const header = short === 127 ? 10 : short === 126 ? 4 : 2;
    return {
      opcode: whole[0] & 15,
      fin: (whole[0] & 0x80) !== 0,
      rsv: whole[0] & 0x70,
      payload: Buffer.from(whole.subarray(header)),
    };
  }

  /** The next text message. */
  async text() {
    const frame = await this.frame();
    if (frame.opcode !== OPCODE.text) throw new Error(`opcode ${frame.opcode} where text was expected: ${frame.payload}`);
    return frame.payload.toString();
  }

  /** Skips to the Close: { code, reason }; code undefined where it has none. */
  async close() {
    for (;;) {
      const { opcode, payload } = await this.frame();
      if (opcode !== OPCODE.close) continue;
      if (payload.length === 0) return { code: undefined, reason: "" };
      return { code: payload.readUInt16BE(0), reason: payload.subarray(2).toString() };
    }
  }

  /** Waits until the server has closed the connection. */
  async gone(ms = 8000) {
    await within(ms, "the end of the connection", this.over);
    return this;
  }

  destroy() {
    this.socket.destroy();
  }
}

/** Bytes of the first frame in `input`; Infinity while its header is not there. */
function frameLength(input) {
  if (input.length < 2) return Infinity;
  const short = input[1] & 0x7f;
  if (short < 126) return 2 + short;
  if (short === 126) return input.length < 4 ? Infinity : 4 + input.readUInt16BE(2);
  return input.length < 10 ? Infinity : 10 + Number(input.readBigUInt64BE(2));
}

/** A client's frame; masked unless `mask` is false. `length` overrides the true one. */
export function frame(opcode, payload = "", { fin = true, rsv = 0, mask = true, length } = {}) {
  const body = Buffer.from(payload);
  const n = length ?? body.length;
  const header = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  const bit = mask ? 0x80 : 0;
  if (n < 126) header.push(bit | n);
  else if (n < 65536) header.push(bit | 126, n >> 8, n & 255);
  else {
    const wide = Buffer.alloc(8);
    wide.writeBigUInt64BE(BigInt(n));
    header.push(bit | 127, ...wide);
  }
  if (!mask) return Buffer.concat([Buffer.from(header), body]);
  const key = randomBytes(4);
  const masked = Buffer.from(body.map((byte, i) => byte ^ key[i & 3]));
  return Buffer.concat([Buffer.from(header), key, masked]);
}

export const text = (message) => frame(OPCODE.text, typeof message === "string" ? message : JSON.stringify(message));

/** A Close frame of a client. */
export function closeFrame(code, reason = "") {
  if (code === undefined) return frame(OPCODE.close);
  const head = Buffer.alloc(2);
  head.writeUInt16BE(code);
  return frame(OPCODE.close, Buffer.concat([head, Buffer.from(reason)]));
}

export const WS_KEY = "dGhlIHNhbXBsZSBub25jZQ==";
export const WS_ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/** The text of an upgrade; a header that is undefined is left out. */
export function upgrade({ method = "GET", path = "/", token, headers = {} } = {}) {
  const all = {
    Host: "localhost",
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": WS_KEY,
    Authorization: token === undefined ? undefined : `Bearer ${token}`,
    ...headers,
  };
  const lines = Object.entries(all)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
}
