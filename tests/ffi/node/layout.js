// Where library.js finds the members of the structs of bpos.ffi.h: `node layout.js`.

import { library } from "./library.js";
import { loaded } from "./suite.js";

loaded();
for (const [name, { size, offset }] of Object.entries(library().structs)) {
  console.log(`${name} ${size}`);
  for (const [member, bytes] of Object.entries(offset)) {
    console.log(`${name}.${member} ${bytes}`);
  }
}
