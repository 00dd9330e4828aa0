#!/usr/bin/env bash
# What a call costs in PHP and in Node.js: the tables of docs/other-languages.md. After `make lib` and tests/ffi/run.sh,
# which fetches koffi.
. "$(dirname "$0")/../suite.sh"

need php php-cli
need node nodejs
need_libraries
[ -e "$tools/node/ready" ] || lacks koffi "run tests/ffi/run.sh first"
ready

php tests/ffi/php/bench.php "$lib/libbpos.so.0"
echo
mkdir "$out/node"
cp examples/node/*.js examples/node/package.json tests/ffi/node/*.js "$out/node"
ln -s "$tools/node/node_modules" "$out/node/node_modules"
BPOS_ROOT=$root BPOS_LIBRARY=$lib/libbpos.so.0 BPOS_HEADER=$root/include/bpos.ffi.h node "$out/node/bench.js"
