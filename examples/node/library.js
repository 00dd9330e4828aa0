// libbpos as functions, declared by the header that is installed with it: no struct or prototype is typed here.

import { readFileSync } from "node:fs";
import koffi from "koffi";

/** The BPOS_ABI_VERSION that these files were written for. */
const ABI_VERSION = 0;

/**
 * Why a call failed. Its `code` is the name of the bpos_status, such as "io", or "library". `line` and `column` are the
 * place in the document that is wrong, from 1, or undefined. `inFile` is true on "not_durable" if the file has the change,
 * but may lose it if the machine stops now.
 */
export class BposError extends Error {
  constructor(code, message, { line, column, inFile = false, ...options } = {}) {
    super(message, options);
    this.name = "BposError";
    this.code = code;
    this.line = line;
    this.column = column;
    this.inFile = inFile;
  }
}

let loaded;

/**
 * Loads the library, with the declarations of bpos.ffi.h. Once, before all else.
 *
 * @param {string} library  "libbpos.so.0" is looked for where the system's loader does
 * @param {string} header   such as "/usr/local/include/bpos.ffi.h"
 */
export function load(library, header) {
  if (loaded) {
    throw new BposError("library", `${loaded.path} is loaded already`);
  }
  try {
    const file = koffi.load(library);
    // The version is asked for first: the functions of another ABI may be others.
    const found = file.func("uint32_t bpos_abi_version(void)")();
    if (found !== ABI_VERSION) {
      throw new BposError("library", `the library ${library} has the ABI ${found}, and bpos.js needs ${ABI_VERSION}`);
    }
    loaded = { path: library, ...declare(file, readFileSync(header, "utf8")) };
  } catch (cause) {
    if (cause instanceof BposError) throw cause;
    throw new BposError("library", `cannot load ${library} by ${header}: ${cause.message}`, { cause });
  }
}

/** What load() has loaded: every function of the header by its name, and for each struct its size and offsets. */
export function library() {
  if (!loaded) {
    throw new BposError("library", "libbpos is not loaded: call load() first");
  }
  return loaded;
}

/** The functions of the library, and the layout of the structs. Throws where the library lacks a function. */
function declare(file, header) {
  const text = header.replace(/\/\*.*?\*\//gs, "").replace(/\bstruct (?=\w+ \*)/g, "");
  structs ??= declareTypes(text);
  const functions = {};
  for (const [prototype, name] of text.matchAll(/^(?:const )?\w+ \*?(bpos_\w+)\(.*?\)(?=;)/gms)) {
    functions[name] = file.func(prototype);
  }
  return { functions, structs };
}

let structs; // koffi takes a name only once, also if load() fails after it and is tried again

/** Tells koffi the types of the header. Returns the size and the offsets of each struct. */
function declareTypes(text) {
  for (const [, name] of text.matchAll(/^typedef struct (\w+) \w+;/gm)) {
    koffi.opaque(name);
  }
  for (const [, type, name] of text.matchAll(/^typedef (\w+) (\w+);/gm)) {
    koffi.alias(name, type);
  }
  const found = {};
  for (const [, name, body] of text.matchAll(/^typedef struct (\w+) \{(.*?)\}/gms)) {
    const members = [...body.matchAll(/(\w+(?: \*)?) ?\b(\w+)(?:\[(\d+)\])?;/g)];
    koffi.struct(name, Object.fromEntries(members.map(([, type, member, length]) =>
      [member, length ? koffi.array(type, Number(length)) : type])));
    const offsets = members.map(([, , member]) => [member, koffi.offsetof(name, member)]);
    found[name] = { size: koffi.sizeof(name), offset: Object.fromEntries(offsets) };
  }
  return found;
}
