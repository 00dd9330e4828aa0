// A shop's API behind bpos, on node:http.
//
//     BPOS_REGISTRY=keys.json STORE=yourstore node server.js 8080

import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { load, redact, Registry } from "./bpos.js";

/**
 * Lets a request through to `handler(request, response, decision)`, or answers it with its denial. A registry that is not
 * shared is the caller's to reload.
 *
 * @param storeOf  the store that a request is for, at once; null, "", a promise or an exception deny
 */
export function guarded(registry, storeOf, handler) {
  return (request, response) => {
    const { method, url } = request; // `url` is the target as it was received, path and query, not decoded
    let store = NaN; // which is no text: if it stays so, bpos answers 500
    try {
      store = storeOf(request);
    } catch (error) { // which may be anything, null too
      log(`the store was not found: ${inspect(error?.message ?? error)}`);
    }
    const decision = registry.authorize({ apiKey: apiKey(request), store, method, target: url });
    log(`${method} ${url} ${decision.status} ${decision.reason} ${decision.keyId}`);

    // A shared cache does not know X-API-Key: it would hand one client's answer to the next.
    response.setHeader("Cache-Control", "no-store");
    for (const [name, value] of decision.headers()) {
      response.setHeader(name, value);
    }
    if (decision.allowed) {
      removeKey(request);
      handler(request, response, decision);
    } else {
      response.statusCode = decision.status;
      response.end(decision.body()); // which Node leaves out where HEAD was asked
    }
  };
}

/**
 * The key that the client presents. Several headers are none: one could be checked here and another be used elsewhere.
 * "," stands for them, and is malformed. Node reads a header's bytes as Latin-1.
 */
function apiKey(request) {
  const values = request.headersDistinct["x-api-key"] ?? [];
  if (values.length === 0) return null;
  return Buffer.from(values.length === 1 ? values[0] : ",", "latin1");
}

/** The shop learns whose request it is from the decision, and never sees the key. */
function removeKey(request) {
  delete request.headers["x-api-key"];
  delete request.headersDistinct["x-api-key"];
  const { rawHeaders } = request; // name, value, name, value
  for (let i = rawHeaders.length - 2; i >= 0; i -= 2) {
    if (rawHeaders[i].toLowerCase() === "x-api-key") rawHeaders.splice(i, 2);
  }
}

const log = (line) => console.error(redact(line).replace(/\p{Cc}/gu, "\u{FFFD}"));

function main(registryPath, store, port) {
  load(process.env.BPOS_LIBRARY ?? "libbpos.so.0", process.env.BPOS_HEADER ?? "/usr/local/include/bpos.ffi.h");
  const registry = Registry.open(registryPath, { read_only: true });
  const server = createServer(guarded(registry, () => store, shop));
  server.listen(port, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
  process.on("SIGTERM", () => server.close(() => registry.close()));
}

function shop(request, response, decision) {
  response.setHeader("Content-Type", "application/json");
  response.end(`${JSON.stringify({ store: decision.store, target: request.url })}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main(process.env.BPOS_REGISTRY ?? "keys.json", process.env.STORE, Number(process.argv[2] ?? 8080));
}
