// User tokens, made here by hand so that the server's own are not their judge.
import { createHmac } from "node:crypto";

export const SECRET = "an-e2e-secret-of-more-than-32-bytes";
export const API_KEY = "an-e2e-api-key-5f0c";

const base64url = (value) => Buffer.from(value).toString("base64url");

/** A JWT over `claims`; `header` and `secret` as a forger would change them. */
export function sign(claims, { header = { alg: "HS256", typ: "JWT" }, secret = SECRET } = {}) {
  const signed = `${base64url(JSON.stringify(header))}.${base64url(
    typeof claims === "string" ? claims : JSON.stringify(claims),
  )}`;
  const digest = header.alg === "HS512" ? "sha512" : "sha256";
  return `${signed}.${createHmac(digest, secret).update(signed).digest("base64url")}`;
}

export const now = () => Math.floor(Date.now() / 1000);

/** A good token of a user. */
export function tokenOf(userId, claims = {}) {
  return sign({ userId, exp: now() + 3600, ...claims });
}
