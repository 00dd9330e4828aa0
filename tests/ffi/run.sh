#!/usr/bin/env bash
# The examples in languages without a binding of their own, PHP (FFI) and Node.js (koffi): the vectors, good and bad
# input, and the layout of the structs, each through the example's own API.
#
#   tests/ffi/run.sh                          with the library of `make lib`, in target/lib
#   BPOS_LIB=/elsewhere tests/ffi/run.sh      with another
#
# The last line is "N passed, M failed".
. "$(dirname "$0")/../suite.sh"

need gcc gcc
need php php-cli
need node nodejs
need npm npm
need_libraries
ready
php -r 'exit(extension_loaded("FFI") && version_compare(PHP_VERSION, "8.1", ">=") ? 0 : 1);' ||
    lacks "PHP 8.1 or later with FFI" "install it (Debian: apt-get install php-cli)"
php -r 'exit(extension_loaded("Zend OPcache") ? 0 : 1);' ||
    lacks "PHP's opcache" "install it (Debian: apt-get install php-opcache)"
printf '%s\n' v18.15 "$(node --version)" | sort --version-sort --check=quiet ||
    lacks "Node.js 18.15 or later" "install it (Debian: apt-get install nodejs)"
ready
shown='^((# )?[0-9]+ cases, [0-9]+ calls|[0-9]+ passed, |# (tests|pass|fail) )'

library=$lib/libbpos.so.0
header=$root/include/bpos.ffi.h

# ---- What the C compiler says ----

gcc -std=c99 -Wall -Wextra -Werror -Iinclude tests/ffi/layout.c -o "$out/layout"
gcc -shared -fPIC -DNEWER_ABI=7 tests/ffi/newer.c -o "$out/newer.so"
gcc -shared -fPIC -DNEWER_ABI=0 tests/ffi/newer.c -o "$out/older.so" # of our ABI, but without its functions

# ---- PHP ----

scope() { # What docs/other-languages.md has a host make for php.ini.
    gcc -shared -fPIC -Iinclude examples/php/keep.c -L"$lib" -Wl,--no-as-needed -lbpos -Wl,-rpath,"$lib" \
        -o "$out/libbpos-php.so" &&
        printf '#define FFI_SCOPE "bpos"\n#define FFI_LIB "%s"\n' "$out/libbpos-php.so" >"$out/bpos.scope.h" &&
        cat "$header" >>"$out/bpos.scope.h" &&
        echo 'extern bpos_registry *bpos_kept; extern char bpos_kept_as[65];' >>"$out/bpos.scope.h"
}
check "PHP: the layout of the structs" same "'$out/layout'" "php tests/ffi/php/layout.php '$header' '$library'"
check "PHP: the vectors" php tests/ffi/php/vectors.php "$library"
check "PHP: behaviour" php tests/ffi/php/behaviour.php "$library" "$out/newer.so" "$out/older.so"
check "PHP: keep.c and the header for ffi.preload" scope
check "PHP: a registry that the process keeps" php -d ffi.enable=1 -d ffi.preload="$out/bpos.scope.h" \
    tests/ffi/php/kept.php
check "PHP: a server, with preloaded FFI" timeout 60 php tests/ffi/php/server.php "$library" "$out/bpos.scope.h"

# ---- Node.js ----

node_modules() { # FOLDER PLACE: the packages of a lock file, in a place
    if ! cmp --silent "$1/package-lock.json" "$2/package-lock.json" || [ ! -e "$2/ready" ]; then
        rm -rf "$2"
        mkdir -p "$2"
        cp "$1/package.json" "$1/package-lock.json" "$2"
        npm ci --prefix "$2" --no-audit --no-fund --loglevel=error && touch "$2/ready"
    fi
}
check "Node.js: koffi by npm ci" node_modules examples/node "$tools/node"
check "Node.js: Express by npm ci" node_modules tests/ffi/node/routers "$tools/node-routers"
mkdir "$out/node" "$out/routers"
cp examples/node/*.js examples/node/package.json tests/ffi/node/*.js "$out/node"
ln -s "$tools/node/node_modules" "$out/node/node_modules"
cp tests/ffi/node/routers/{package.json,routers.test.js} "$out/routers"
ln -s "$tools/node-routers/node_modules" "$out/routers/node_modules"

export BPOS_ROOT=$root BPOS_LIBRARY=$library BPOS_HEADER=$header NEWER=$out/newer.so OLDER=$out/older.so
check "Node.js: the layout of the structs" same "'$out/layout'" "node '$out/node/layout.js'"
for each in vectors load behaviour server; do
    check "Node.js: $each" timeout 120 node --expose-gc --test --test-reporter=tap "$out/node/$each.test.js"
done
check "Node.js: routers" timeout 120 node --test --test-reporter=tap "$out/routers/routers.test.js"

finish
