#!/usr/bin/env bash
# The examples in languages without a binding of their own, PHP (FFI) and Node.js (koffi): the vectors, good and bad
# input, and the layout of the structs, each through the example's own API. And what docs/other-languages.md shows: the programs
# for LuaJIT, Python's cffi, Ruby and Java, and how PHP-FPM and nginx are set up.
#
#   tests/ffi/run.sh                          with the library of `make lib`, in target/lib
#   BPOS_LIB=/elsewhere tests/ffi/run.sh      with another
#
# The last line is "N passed, M failed".
. "$(dirname "$0")/../suite.sh"

export PATH=$PATH:/usr/sbin # where Debian has nginx and PHP-FPM
command=$(realpath -m "${BPOS_COMMAND:-$target/release/bpos}")
jna=/usr/share/java/jna.jar
need gcc gcc
need php php-cli
need node nodejs
need npm npm
need python3 python3
need curl curl
need nginx nginx
need luajit luajit
need ruby ruby
need javac default-jdk-headless
need_libraries
[ -x "$command" ] || lacks "$command" "run \`cargo build --release --package bpos-cli\`, or name it in BPOS_COMMAND"
[ -e "$jna" ] || lacks "$jna" "install it (Debian: apt-get install libjna-java)"
ready
ruby -e 'require "fiddle"' || lacks "Ruby's fiddle" "install it (Debian: apt-get install ruby)"
php -r 'exit(extension_loaded("FFI") && version_compare(PHP_VERSION, "8.1", ">=") ? 0 : 1);' ||
    lacks "PHP 8.1 or later with FFI" "install it (Debian: apt-get install php-cli)"
fpm=php-fpm$(php -r 'echo PHP_MAJOR_VERSION, ".", PHP_MINOR_VERSION;')
php -r 'exit(extension_loaded("Zend OPcache") ? 0 : 1);' ||
    lacks "PHP's opcache" "install it (Debian: apt-get install php-opcache)"
printf '%s\n' v18.15 "$(node --version)" | sort --version-sort --check=quiet ||
    lacks "Node.js 18.15 or later" "install it (Debian: apt-get install nodejs)"
need "$fpm" php-fpm
ready
shown='^(Ran [0-9]+ tests|(# )?[0-9]+ cases, [0-9]+ calls|[0-9]+ passed, |# (tests|pass|fail) )'

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

export BPOS_COMMAND=$command BPOS_ROOT=$root BPOS_LIBRARY=$library BPOS_HEADER=$header NEWER=$out/newer.so OLDER=$out/older.so
check "Node.js: the layout of the structs" same "'$out/layout'" "node '$out/node/layout.js'"
for each in vectors load behaviour server workers; do
    check "Node.js: $each" timeout 120 node --expose-gc --test --test-reporter=tap "$out/node/$each.test.js"
done
check "Node.js: routers" timeout 120 node --test --test-reporter=tap "$out/routers/routers.test.js"

# ---- The programs of docs/other-languages.md ----

page=$out/page
classes=$jna:$out/java
check "the files that the page shows" python3 tests/ffi/page.py docs/other-languages.md "$page"
if [ "$(id -u)" = 0 ]; then
    check "PHP-FPM and nginx, as the page sets them up" python3 tests/ffi/php/fpm.py "$fpm" "$lib" "$command" "$page"
else
    echo "LEFT OUT: PHP-FPM and nginx, as the page sets them up: only root can start what runs as www-data"
fi
check "Java: the program compiles" javac -cp "$jna" -d "$out/java" "$page/Decide.java" tests/ffi/java/*.java
venv "$tools/cffi" cffi==2.1.1
layout() { # PROGRAM...: the structs that it types are those of the compiler. It needs no bpos_buffer.
    same "'$out/layout' | grep -v bpos_buffer" "$*"
}
check "Ruby: the layout of the structs" layout ruby tests/ffi/ruby/layout.rb "$page/decide.rb"
check "Java: the layout of the structs" layout java -cp "$classes" Layout
check "Ruby: from one request to the next" ruby tests/ffi/ruby/behaviour.rb "$page/decide.rb" "$out"
check "Java: from one request to the next" java -cp "$classes" Behaviour "$out"
check "LuaJIT: the program of the page" tests/ffi/decide.sh luajit "$page/decide.lua"
check "Python's cffi: the program of the page" tests/ffi/decide.sh "$tools/cffi/bin/python" "$page/decide.py"
check "Ruby: the program of the page" tests/ffi/decide.sh ruby "$page/decide.rb"
check "Java: the program of the page" tests/ffi/decide.sh java -cp "$classes" Decide

finish
