// node:test's test, with an end: one that hangs fails, and the others go on.
import { test as nodeTest } from "node:test";

const TIMEOUT_MS = 60_000;

export const test = (name, body) => nodeTest(name, { timeout: TIMEOUT_MS }, body);
