// Libraries that are none, or another one. What fails loads nothing, so that a later load() can do better.

import { test } from "node:test";
import { load, Registry } from "./bpos.js";
import { BPOS_HEADER, BPOS_LIBRARY, DOCUMENT, fails, loaded } from "./suite.js";

const { NEWER, OLDER } = process.env;

test("nothing works before the library is loaded, and says so", () => {
  fails("library", "call load() first", () => Registry.fromJson(DOCUMENT));
});
test("a missing library is named", () => {
  fails("library", "/nowhere/libbpos.so.0", () => load("/nowhere/libbpos.so.0", BPOS_HEADER));
});
test("another library is named, and what it lacks", () => {
  fails("library", "libm.so.6", () => load("libm.so.6", BPOS_HEADER));
  fails("library", "bpos_abi_version", () => load("libm.so.6", BPOS_HEADER));
});
test("a file that is no library is named", () => {
  fails("library", "bpos.ffi.h", () => load(BPOS_HEADER, BPOS_HEADER));
});
test("a newer ABI is told, with both numbers", () => {
  fails("library", "has the ABI 7, and bpos.js needs 0", () => load(NEWER, BPOS_HEADER));
});
test("a missing header is named", () => {
  fails("library", "/nowhere/bpos.ffi.h", () => load(BPOS_LIBRARY, "/nowhere/bpos.ffi.h"));
});
test("an older library is told by the function that it lacks", () => {
  fails("library", "bpos_version", () => load(OLDER, BPOS_HEADER));
});
test("after all that the right library can be loaded, once", () => {
  loaded();
  fails("library", "already", loaded);
});
