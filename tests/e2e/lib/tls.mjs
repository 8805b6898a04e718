// Certificates made while a test runs, and TLS whose records can be tampered with.
import { execFileSync } from "node:child_process";
import net from "node:net";
import path from "node:path";
import { Duplex } from "node:stream";
import tls from "node:tls";
import { Raw } from "./raw.mjs";
import { within } from "./wait.mjs";

const KINDS = { ec: ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], rsa: ["rsa:2048"] };

/** A self-signed pair in `dir`: { tls_cert, tls_key }, as the server's settings name it. */
export function certificate(dir, { name = "tls", kind = "ec", serial = 1, passphrase, names = "DNS:localhost,IP:127.0.0.1" } = {}) {
  const pair = { tls_cert: path.join(dir, `${name}.pem`), tls_key: path.join(dir, `${name}.key`) };
  const secrecy = passphrase ? ["-passout", `pass:${passphrase}`] : ["-nodes"];
  execFileSync("openssl", ["req", "-x509", "-newkey", ...KINDS[kind], ...secrecy, "-days", "2", "-set_serial", `${serial}`,
    "-keyout", pair.tls_key, "-out", pair.tls_cert, "-subj", "/CN=localhost", "-addext", `subjectAltName=${names}`], { stdio: "ignore" });
  return pair;
}

/** TLS over TCP, with the wire in the test's hands. `raw` is what is spoken over it. */
export class Wire {
  static async open(port, options) {
    const wire = new Wire(net.connect({ host: "127.0.0.1", port }));
    wire.raw = new Raw(tls.connect({ socket: wire.#duplex(), servername: "localhost", ...options }));
    await within(5000, "the handshake", new Promise((resolve, reject) => {
      wire.raw.socket.once("secureConnect", resolve);
      wire.raw.socket.once("error", reject);
    }));
    return wire;
  }

  constructor(tcp) {
    this.tcp = tcp;
    this.tcp.setNoDelay(true);
    this.held = undefined; // a list: what TLS writes is kept there
    this.tcp.on("error", () => {});
    this.over = new Promise((resolve) => this.tcp.once("close", resolve));
  }

  #duplex() {
    const { tcp } = this;
    const duplex = new Duplex({
      read: () => tcp.resume(),
      write: (chunk, _, done) => {
        if (this.held) this.held.push(chunk);
        else tcp.write(chunk);
        done();
      },
    });
    tcp.on("data", (chunk) => duplex.push(chunk) || tcp.pause());
    tcp.on("end", () => duplex.push(null));
    return duplex;
  }

  /** The records that `write` makes, which do not go out. */
  async records(write) {
    this.held = [];
    write();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const bytes = Buffer.concat(this.held);
    this.held = undefined;
    return bytes;
  }

  gone(ms = 8000) {
    return within(ms, "the end of the connection", this.over);
  }

  destroy() {
    this.tcp.destroy();
  }
}
