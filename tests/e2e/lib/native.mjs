// A client of the native dialect: commands with a ref, and their answers.
import { Client } from "./client.mjs";

export class Native extends Client {
  #ref = 0;

  /** Opens a session of `userId`; `resume` is the secret of an earlier welcome. */
  static async connect(dm, userId, { resume, path = "/", claims, headers: more, local } = {}) {
    const headers = { authorization: `Bearer ${dm.token(userId, claims)}`, ...more };
    const query = resume === undefined ? "" : `?resume=${encodeURIComponent(resume)}`;
    const client = await Client.open(dm.url + path + query, { headers, protocols: ["dormouse.v1"], of: Native, local, tls: dm.tls });
    dm.clients.push(client);
    client.welcome = await client.next();
    dm.secrets.push(client.welcome.resume);
    return client;
  }

  /** Sends a command and returns its answer; what came before it stands in `seen`. */
  async command(type, fields = {}) {
    const ref = `r${++this.#ref}`;
    this.send({ type, ref, ...fields });
    this.seen = [];
    for (;;) {
      const message = await this.next();
      if (message.ref === ref) return message;
      this.seen.push(message);
    }
  }

  async settle() {
    await this.command("ping");
    return this.seen;
  }

  autoAck(result = () => true) {
    this.ws.on("message", (data) => {
      const message = JSON.parse(data.toString());
      if (message.envelopeId) this.ack(message, result(message));
    });
    return this;
  }
}
