// The wire contract in schema/, and judging real answers and frames by it.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import Ajv from "ajv/dist/2020.js";
import { parse } from "yaml";

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), "../../..");
const read = (name) => readFileSync(path.join(root, name), "utf8");

export const openapi = parse(read("schema/openapi.yaml"));
const hopeflow = JSON.parse(read("schema/hopeflow.json"));
const native = JSON.parse(read("schema/native.json"));
const notifier = JSON.parse(read("schema/notifier.json"));
const broadcast = JSON.parse(read("schema/broadcast.json"));

const ajv = new Ajv.default({ strict: true, strictTypes: false, strictRequired: false, allErrors: true });
ajv.addVocabulary(Object.keys(openapi)); // the document itself is no schema, but holds them
ajv.addSchema(openapi, "openapi", false, false);
for (const dialect of [hopeflow, native, notifier, broadcast]) ajv.addSchema(dialect);

const schemaAt = (ref) => ajv.getSchema(ref) ?? ajv.compile({ $ref: ref });

function judge(ref, value, what) {
  const valid = schemaAt(ref);
  assert.ok(valid(value), `${what} is not ${ref}: ${ajv.errorsText(valid.errors)}\n${JSON.stringify(value)}`);
}

export const fits = (ref, value) => schemaAt(ref)(value);

export const bodyRef = (name) => `openapi#/components/schemas/${name}`;
export const frameRef = (name) => `${hopeflow.$id}#/$defs/${name}`;
export const nativeRef = (name) => `${native.$id}#/$defs/${name}`;
export const notifierRef = (name) => `${notifier.$id}#/$defs/${name}`;
export const broadcastRef = (name) => `${broadcast.$id}#/$defs/${name}`;

/** Every schema there is compiles: a $ref that leads nowhere is an error. */
export function compileAll() {
  for (const name of Object.keys(openapi.components.schemas)) ajv.compile({ $ref: bodyRef(name) });
  for (const name of Object.keys(hopeflow.$defs)) ajv.compile({ $ref: frameRef(name) });
  for (const name of Object.keys(native.$defs)) ajv.compile({ $ref: nativeRef(name) });
  for (const name of Object.keys(notifier.$defs)) ajv.compile({ $ref: notifierRef(name) });
  for (const name of Object.keys(broadcast.$defs)) ajv.compile({ $ref: broadcastRef(name) });
}

/* --- answers --- */

const escaped = (key) => key.replaceAll("~", "~0").replaceAll("/", "~1");
const pointer = (...keys) => `openapi#/${keys.map(escaped).join("/")}`;

/** Follows one $ref inside the document: where it leads, and what is there. */
function follow(at, value) {
  if (!value.$ref) return { at, value };
  const keys = value.$ref.slice(2).split("/");
  return { at: keys, value: keys.reduce((inner, key) => inner[key], openapi) };
}

/** Documented operations: { method, path, operation }. */
export function operations() {
  const methods = ["get", "put", "post", "delete", "patch"];
  return Object.entries(openapi.paths).flatMap(([target, item]) =>
    methods.filter((method) => item[method]).map((method) => ({ method: method.toUpperCase(), path: target, operation: item[method] })),
  );
}

/** The methods that a path has, by all the paths documented that it is one of. */
export function methodsAt(at) {
  const isOf = (target) => new RegExp(`^${target.replace(/\{\w+\}/g, "[^/]+")}$`).test(at);
  return [...new Set(operations().filter(({ path: target }) => isOf(target)).map(({ method }) => method))];
}

function judgeHeaders(at, documented, answer, what) {
  for (const [name, header] of Object.entries(documented ?? {})) {
    const { at: where, value } = follow([...at, "headers", name], header);
    const seen = answer.headers[name.toLowerCase()];
    assert.ok(seen !== undefined || !value.required, `${what}: there is no ${name}`);
    if (seen !== undefined) judge(pointer(...where, "schema"), seen, `${what}: ${name}`);
  }
}

function judgeBody(at, documented, answer, what) {
  if (!documented) {
    assert.equal(answer.text, "", `${what}: a body where none is documented`);
    return;
  }
  const type = answer.headers["content-type"]?.split(";")[0];
  assert.ok(documented[type], `${what}: ${type} is not documented`);
  judge(pointer(...at, "content", type, "schema"), type === "application/json" ? answer.json : answer.text, what);
}

function judgeResponse(at, response, answer, what) {
  judgeHeaders(at, response.headers, answer, what);
  judgeBody(at, response.content, answer, what);
}

/** Holds an answer to what its operation documents for that status. */
export function judgeAnswer(method, target, answer) {
  const what = `${method} ${target} ${answer.status}`;
  const responses = openapi.paths[target][method.toLowerCase()].responses;
  assert.ok(responses[answer.status], `${what} is not documented: ${answer.text}`);
  const { at, value } = follow(["paths", target, method.toLowerCase(), "responses", `${answer.status}`], responses[answer.status]);
  judgeResponse(at, value, answer, what);
}

/** The same for an answer that belongs to no operation. */
export function judgeShared(name, answer) {
  judgeResponse(["components", "responses", name], openapi.components.responses[name], answer, name);
}

/** Holds what came over a WebSocket to hopeflow.json; text that is no JSON stands for itself. */
export function judgeFrame(text) {
  let frame = text;
  try {
    frame = JSON.parse(text);
  } catch {
    // pong
  }
  judge(frameRef("serverFrame"), frame, "a frame");
  return frame;
}

export const judgeClose = (close) => judge(frameRef("close"), close, "a close");

/** The same by native.json; its frames are all JSON, and come parsed. */
export function judgeNative(frame) {
  judge(nativeRef("serverFrame"), frame, "a native frame");
  return frame;
}

export const judgeNativeClose = (close) => judge(nativeRef("close"), close, "a native close");

/** The same by notifier.json and broadcast.json. */
export function judgeNotifier(frame) {
  judge(notifierRef("serverFrame"), frame, "a notifier frame");
  return frame;
}

export const judgeNotifierClose = (close) => judge(notifierRef("close"), close, "a notifier close");

export function judgeBroadcast(frame) {
  judge(broadcastRef("serverFrame"), frame, "a broadcast frame");
  return frame;
}

export const judgeBroadcastClose = (close) => judge(broadcastRef("close"), close, "a broadcast close");

/** The codes that an error frame may have. */
export const nativeCodes = () => native.$defs.error.properties.code.enum;

/** The error codes that a status may bring somewhere in the document: { code: Set(status) }. */
export function documentedCodes() {
  const codes = {};
  for (const { path: target, method, operation } of operations())
    for (const [status, response] of Object.entries(operation.responses)) addCodes(codes, status, follow([target, method], response).value);
  addCodes(codes, "404", openapi.components.responses.NotFound);
  addCodes(codes, "405", openapi.components.responses.MethodNotAllowed);
  return codes;
}

function addCodes(codes, status, response) {
  for (const code of response.content?.["application/json"]?.schema.properties?.code?.enum ?? [])
    (codes[code] ??= new Set()).add(Number(status));
}

/* --- the source --- */

/** The server's routes, from the tables in its source: { method, path, who, body }, "*" for a segment. */
export function routesInSource() {
  const tables = sources().flatMap(({ name, text }) =>
    [...text.matchAll(/^const struct dm_route (\w+)\[\] = \{\n([^]*?)^\};/gm)].map(([, table, rows]) => ({ name, table, rows })),
  );
  return { tables: tables.map(({ table }) => table), routes: tables.flatMap(routesOf) };
}

const ROW = /^ *\{"([A-Z]+)", "(\/[^"]*)", DM_WHO_(\w+), DM_BODY_(\w+), \w+\},$/;
const END = /^ *\{NULL, NULL, DM_WHO_ANYONE, DM_BODY_NONE, NULL\},$/;

function routesOf({ name, table, rows }) {
  const lines = rows.split("\n").filter((line) => line.trim());
  assert.match(lines.pop() ?? "", END, `${name}: the end of ${table}`);
  return lines.map((line) => {
    const row = ROW.exec(line);
    assert.ok(row, `${name}: a row of ${table} that this test cannot read: ${line}`);
    const [, method, target, who, body] = row;
    return { method, path: target, who: who.toLowerCase(), body };
  });
}

function sources() {
  return ["net", "admin", "cmd"].flatMap((folder) =>
    readdirSync(path.join(root, "src", folder))
      .filter((name) => name.endsWith(".c"))
      .map((name) => ({ name, text: read(`src/${folder}/${name}`) })),
  );
}

/** The tables that the server joins. */
export function tablesServed() {
  const [, list] = /dm_route \*const route_tables\[\] = \{([^}]*)\}/.exec(read("src/cmd/serve.c"));
  return list.match(/dm_\w+/g);
}

/** The table of errors: { code: status }. */
export function errorsInSource() {
  const rows = [...read("src/base/err.def").matchAll(/^DM_ERROR\(\w+, (\d+), \d+, "(\w+)",/gm)];
  assert.equal(rows.length, read("src/base/err.def").match(/^DM_ERROR\(/gm).length);
  return Object.fromEntries(rows.map(([, status, code]) => [code, Number(status)]));
}
