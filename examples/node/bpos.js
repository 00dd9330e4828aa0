// bpos for Node.js 18.15 or later, over koffi: the keys of a platform, ready to decide.
//
//     import { load, Registry } from "./bpos.js";
//
//     load("libbpos.so.0", "/usr/local/include/bpos.ffi.h");
//     const registry = Registry.open("keys.json");
//     const decision = registry.authorize({ apiKey, store: "yourstore", method: "GET", target: "/api/v1/products" });
//     if (decision.status !== 200) { … }
//
// Cold calls throw a BposError. To authorize never does: what cannot be decided is denied, with 500.

import { inspect } from "node:util";
import koffi from "koffi";
import { BposError, library } from "./library.js";

export { BposError, load } from "./library.js";

/** The store of a request whose store is not to be checked. A store that was not found, null, matches no key. */
export const ANY_STORE = Symbol("bpos.ANY_STORE");

/**
 * The keys of a platform. All processes and threads that open a file count together, and a change by one is in force in all.
 *
 * Texts are strings, or bytes: a path, or what a client sent, need not be UTF-8.
 */
export class Registry {
  #pointer;

  /**
   * Opens a registry file. Options are {policy, read_only, shared}, all optional. A policy that is there and null or
   * undefined, since it was not found for instance, is an error, and not the built-in policy.
   *
   * {shared: false} counts here alone, and sees changes by others on reload(); {shared: {dir: "/a/folder/in/memory"}}
   * shares there.
   */
  static open(path, options = {}) {
    return new Registry("bpos_registry_open", path, options);
  }

  /** Makes a registry file without keys, which must not exist yet, and opens it. Options are those of open(). */
  static init(path, options = {}) {
    return new Registry("bpos_registry_init", path, options);
  }

  /** Makes a memory registry from a document, which is JSON. */
  static fromJson(document, options = {}) {
    return new Registry("bpos_registry_from_json", document, options);
  }

  /** @private */
  constructor(open, source, options) {
    const out = Buffer.alloc(8);
    run(open, ...text(source), ...json(options), out);
    this.#pointer = koffi.decode(out, "void *");
    forgotten.register(this, this.#pointer, this);
  }

  /**
   * Decides on a request by its method and target, now.
   *
   * @param request  {apiKey, store, method, target}: the value of the X-API-Key header, or null; the store that the
   *   request is for, of which null and "" match no key; the target as it was received, path and query, not decoded
   * @param at  {unixMs, monotonicUs}, two integers, in a test
   */
  authorize(request, at) {
    const { apiKey, store, method, target } = request ?? {};
    return this.#decide("bpos_authorize", apiKey, store, [...text(method), ...text(target)], at);
  }

  /**
   * Decides on a request whose scope the host names: {apiKey, store, scope}, by its name or the number from scopeId().
   * A key in the URL is the host's to refuse.
   */
  authorizeScope(request, at) {
    const { apiKey, store, scope } = request ?? {};
    const id = typeof scope === "number" ? scope : this.scopeId(scope);
    // koffi would cut what is no 32-bit number, to another scope's. 0 is no scope.
    return this.#decide("bpos_authorize_scope", apiKey, store, [id >>> 0 === id ? id : 0], at);
  }

  /** The number of a scope, or 0 if there is no such one. */
  scopeId(name) {
    return library().functions.bpos_scope_id(this.#pointer, ...text(name));
  }

  /** Creates a key: {name, store, scopes} and more. Returns {key, record}. */
  create(spec) {
    return withSecret(this.#answer("bpos_key_create", ...json(spec)));
  }

  /** Gives a key another secret. The one before works for so many seconds more. Returns {key, record}. */
  rotate(id, graceS) {
    if (!Number.isSafeInteger(graceS)) {
      throw new BposError("invalid_argument", `${inspect(graceS)} seconds are no grace period: give an integer`);
    }
    return withSecret(this.#answer("bpos_key_rotate", ...text(id), graceS));
  }

  /** Changes parts of a key: {rate_limit: 300}. Returns its record. */
  update(id, patch) {
    return this.#answer("bpos_key_update", ...text(id), ...json(patch));
  }

  /** Takes a key out of use until enable(). */
  disable(id) {
    this.#call("bpos_key_disable", ...text(id));
  }

  /** Puts a disabled key back into use. */
  enable(id) {
    this.#call("bpos_key_enable", ...text(id));
  }

  /**
   * Makes several changes together, all or none: [{revoke: id}, {create: spec}, {rotate: {id, grace_s: 60}}], and
   * likewise update {id, patch}, disable, enable and remove.
   *
   * Returns an answer for each: {key, record} for create and rotate, the record for update, null for the others.
   */
  edit(changes) {
    const answers = this.#answer("bpos_registry_edit", ...json(changes));
    return answers.map((answer) => (answer?.key ? withSecret(answer) : answer));
  }

  /** Revokes a key, permanently. */
  revoke(id) {
    this.#call("bpos_key_revoke", ...text(id));
  }

  /** A key's record, without its secret. */
  get(id) {
    return this.#answer("bpos_key_get", ...text(id));
  }

  /**
   * The records of a store's keys; of all for ANY_STORE. Many keys are read in pages: at most so many, behind the key
   * with the id `after`. Behind the last key the page is empty.
   */
  list(store, { after, limit = Number.MAX_SAFE_INTEGER } = {}) {
    if (!Number.isSafeInteger(limit) || limit < 0) {
      throw new BposError("invalid_argument", `${inspect(limit)} is no limit: give an integer that is not negative`);
    }
    return this.#answer("bpos_key_list_page", ...storeText(store), ...text(after), limit);
  }

  /**
   * Reads the registry file again, where it is not shared, or for an edit by hand to be in force here. A bad or older one
   * throws, and the old keys stay in force.
   */
  reload() {
    this.#call("bpos_registry_reload");
  }

  /** The same, if the file has changed. Returns whether it had. */
  reloadIfChanged() {
    const changed = Buffer.alloc(1);
    this.#call("bpos_registry_reload_if_changed", changed);
    return changed[0] === 1;
  }

  /** Frees the registry. Again does nothing. */
  close() {
    if (this.#pointer) {
      forgotten.unregister(this);
      library().functions.bpos_registry_close(this.#pointer);
      this.#pointer = null;
    }
  }

  // A registry that is closed is NULL, which is misuse: the answer is 500. So is what is no text, and what is no time.
  #decide(name, apiKey, store, operation, at) {
    const { functions, structs } = library();
    const memory = Buffer.allocUnsafe(structs.bpos_decision.size).fill(0);
    memory.writeUInt32LE(memory.length, structs.bpos_decision.offset.size);
    const now = at === undefined || at === null;
    const call = now ? functions[name] : functions[`${name}_at`];
    const times = now ? [] : [at.unixMs, at.monotonicUs];
    const sound = times.every(Number.isSafeInteger);
    const facts = [...text(apiKey), ...storeText(store), ...operation];
    call(sound ? this.#pointer : null, ...facts, ...(sound ? times : [0, 0]), memory);
    return new Decision(memory);
  }

  #call(name, ...values) {
    if (!this.#pointer) {
      throw new BposError("invalid_argument", "the registry is closed");
    }
    run(name, this.#pointer, ...values);
  }

  /** Calls a function that answers with JSON, which is wiped and freed once it is read. */
  #answer(name, ...values) {
    const { functions, structs } = library();
    const { size, offset } = structs.bpos_buffer;
    const buffer = Buffer.alloc(size);
    this.#call(name, ...values, buffer);
    try {
      const data = koffi.decode(buffer, offset.data, "void *");
      return JSON.parse(koffi.decode(data, "char", koffi.decode(buffer, offset.len, "size_t")));
    } finally {
      functions.bpos_buffer_free(buffer);
    }
  }
}

// A net for registries that nobody closed. It runs between turns of the event loop, so never during a call.
const forgotten = new FinalizationRegistry((pointer) => library().functions.bpos_registry_close(pointer));

/** The answer to one request. 200 is the only yes. It stays valid without its registry. */
export class Decision {
  #memory;

  /** @private */
  constructor(memory) {
    this.#memory = memory;
  }

  /** 200, 401, 403 or 429; 500 if bpos could not decide. */
  get status() { return this.#number("status"); }
  get allowed() { return this.status === 200; }
  /** Exactly why, for the host: "rate_limited". A client is told what body() says. */
  get reason() { return library().functions.bpos_reason_name(this.#number("reason")); }
  /** What a client may be told of the reason, for a body of your own: the `code` of body(); "allowed" on 200. */
  get code() { return library().functions.bpos_reason_code(this.#number("reason")); }
  /** The number of the scope that the operation needs, or 0. */
  get requiredScope() { return this.#number("required_scope"); }
  get limit() { return this.#number("limit"); }
  get remaining() { return this.#number("remaining"); }
  get retryAfterS() { return this.#number("retry_after_s"); }
  get resetS() { return this.#number("reset_s"); }
  get testMode() { return this.#memory[offsets().test_mode] !== 0; }
  /** Of the key, once the client proved that it holds the secret; otherwise "". */
  get keyId() { return this.#name("key_id"); }
  get store() { return this.#name("store"); }

  /** The headers for the answer, as [name, value] each. */
  headers() {
    const lines = this.#text("bpos_decision_headers").split("\r\n").slice(0, -1);
    return lines.map((line) => /^(.*?): (.*)$/.exec(line).slice(1));
  }

  /** The body for the answer: a problem in JSON, or "" when the request is allowed. */
  body() {
    return this.#text("bpos_decision_body");
  }

  #number(member) {
    return this.#memory.readInt32LE(offsets()[member]);
  }

  #name(member) {
    const start = offsets()[member];
    return this.#memory.toString("utf8", start, this.#memory.indexOf(0, start));
  }

  #text(name) {
    const write = library().functions[name];
    const bytes = Buffer.alloc(write(this.#memory, null, 0) + 1);
    const length = write(this.#memory, bytes, bytes.length);
    return bytes.toString("utf8", 0, length);
  }
}

const offsets = () => library().structs.bpos_decision.offset;

/** A secret that shows itself when asked to, and not in logs and dumps. It cannot be wiped: let go of it soon. */
export class Secret {
  #secret;

  constructor(secret) {
    this.#secret = secret;
  }

  expose() { return this.#secret; }
  toString() { return redact(this.#secret); }
  toJSON() { return this.toString(); }
  [inspect.custom]() { return this.toString(); }
}

/** Masks every API key in a text, for logs. */
export function redact(text) {
  const bytes = Buffer.from(text);
  library().functions.bpos_redact(bytes, bytes.length);
  return bytes.toString();
}

const withSecret = ({ key, record }) => ({ key: new Secret(key), record });

// ---- Texts, as a pointer and a length ----

const ABSENT = [null, 0];
const EMPTY = ["", 0];
const NO_TEXT = [null, 1]; // which the library answers as misuse

/** koffi makes NULL of an empty Buffer, and NULL means absent: an empty text is always passed as "". */
function text(value) {
  if (value === null || value === undefined) return ABSENT;
  if (typeof value === "string") return [value, Buffer.byteLength(value)];
  if (value instanceof Uint8Array) return value.length === 0 ? EMPTY : [value, value.length];
  return NO_TEXT;
}

/** No store leaves its check out, so nothing but ANY_STORE may become NULL. */
function storeText(store) {
  if (store === ANY_STORE) return ABSENT;
  return text(store ?? "");
}

/** JSON drops some values and makes null of others: a policy or an expiry that is lost would be none. */
function json(object) {
  return text(JSON.stringify(object, function (name, value) {
    const kept = ["string", "boolean", "object"].includes(typeof value) || Number.isFinite(value);
    if (!kept || (value === null && this[name] !== null)) {
      throw new BposError("invalid_argument", `the member "${name}" is ${inspect(this[name])}, which JSON cannot hold`);
    }
    return value;
  }));
}

/** Calls a cold function, whose last argument is where it puts its error. */
function run(name, ...values) {
  const { functions, structs } = library();
  const { size, offset } = structs.bpos_error;
  const error = Buffer.alloc(size);
  error.writeUInt32LE(size, offset.size);
  const status = functions[name](...values, error);
  if (status !== 0) {
    const message = error.toString("utf8", offset.message, error.indexOf(0, offset.message));
    throw new BposError(functions.bpos_status_name(status), message, {
      line: error.readUInt32LE(offset.line) || undefined,
      column: error.readUInt32LE(offset.column) || undefined,
      inFile: error.readUInt32LE(offset.in_file) !== 0,
    });
  }
}
