// What the tests in JavaScript share. They run in a copy of examples/node, beside its files.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { after } from "node:test";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { BposError, load, Registry } from "./bpos.js";

export const { BPOS_ROOT, BPOS_LIBRARY, BPOS_HEADER } = process.env;
export const DOCUMENT = '{"version": 1, "keys": []}';
export const SPEC = { name: "Website Sync", store: "yourstore", scopes: ["products:read"] };
export const TARGET = "/api/v1/products";

export const loaded = () => load(BPOS_LIBRARY, BPOS_HEADER);
export const registry = () => Registry.fromJson(DOCUMENT);
export const ask = (of, apiKey, store = "yourstore", at = undefined) =>
  of.authorize({ apiKey, store, method: "GET", target: TARGET }, at);

/** The call throws a BposError with this code and, somewhere in its message, this text. */
export function fails(code, text, call) {
  assert.throws(call, (error) => {
    assert.ok(error instanceof BposError, `${error}`);
    assert.equal(error.code, code);
    assert.ok(error.message.includes(text), `"${error.message}" has "${text}"`);
    return true;
  });
}

/** An empty folder, which is gone afterwards. */
export function folder() {
  const path = mkdtempSync(join(tmpdir(), "bpos-"));
  after(() => rmSync(path, { recursive: true }));
  return path;
}
