// What a call costs: `node bench.js` prints the rows of the table of docs/other-languages.md.

import assert from "node:assert/strict";
import { library } from "./library.js";
import { ask, loaded, registry, SPEC } from "./suite.js";

const CALLS = 200_000;

/** Prints the best of five, in microseconds a call: what else the machine does only adds. */
function measure(what, call) {
  let best = Infinity;
  for (let round = 0; round < 5; round += 1) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < CALLS; i += 1) call();
    best = Math.min(best, Number(process.hrtime.bigint() - start) / CALLS / 1000);
  }
  console.log(`| ${what} | ${best.toFixed(2)} |`);
}

loaded();
const { bpos_abi_version } = library().functions;
const of = registry();
const key = of.create({ ...SPEC, rate_limit: 1000 }).key.expose();
const now = { unixMs: 0, monotonicUs: 0 };
const allowed = () => {
  now.monotonicUs += 60_100; // so that the limit admits each
  return ask(of, key, "yourstore", now);
};

console.log(`Node.js ${process.version}, the best of five\n\n| | µs |\n|---|---|`);
measure("a bare koffi call (`bpos_abi_version`)", bpos_abi_version);
measure("`authorize`, allowed", allowed);
measure("`authorize`, allowed, and its headers", () => allowed().headers());
measure("`authorize`, denied, its headers and body", () => {
  const decision = ask(of, "bpos_0123456789abcdef");
  decision.headers();
  decision.body();
});
assert.equal(allowed().status, 200);
