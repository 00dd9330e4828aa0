#!/usr/bin/env bash
# The C ABI, from the side of C: every program as C99, C11, C17 and C++17, linked to the shared and the static library.
#
#   tests/c/run.sh                          with the library of `make lib`, in target/lib
#   BPOS_LIB=/elsewhere tests/c/run.sh      with another
#
# The last line is "N passed, M failed".
. "$(dirname "$0")/../suite.sh"

need gcc gcc
need g++ g++
need nm binutils
need readelf binutils
need python3 python3
need valgrind valgrind
need_libraries
ready
shown='^(memory|file|vectors): '

warnings=(-Wall -Wextra -pedantic -Wundef -Werror)
c_warnings=("${warnings[@]}" -Wstrict-prototypes)
shared=(-L"$lib" -lbpos -Wl,-rpath,"$lib")
static=("$lib/libbpos.a" -lpthread -ldl -lm)

compile() { # STANDARD SOURCE ARGUMENT...
    local standard=$1 source=$2
    shift 2
    case $standard in
    c++*) g++ -std="$standard" "${warnings[@]}" -x c++ -Iinclude -O1 -g "$source" -x none "$@" -pthread ;;
    *) gcc -std="$standard" "${c_warnings[@]}" -Iinclude -O1 -g "$source" "$@" -pthread ;;
    esac
}

# ---- The headers ----

echo '#include "bpos.h"' >"$out/bpos.c"
printf '#include <stddef.h>\n#include <stdint.h>\n#include "bpos.ffi.h"\n' >"$out/ffi.c"
for standard in c99 c11 c17 c++11 c++17 c++20; do
    check "bpos.h as $standard" compile "$standard" "$out/bpos.c" -c -o "$out/bpos.o"
done
for standard in c99 c11 c17; do
    check "bpos.ffi.h as $standard" compile "$standard" "$out/ffi.c" -c -o "$out/ffi.o"
done

without_comments() {
    sed -e '/^ *\/\*/,/\*\//d' "$1"
}
without_preprocessor() {
    ! grep -n '^ *#' include/bpos.ffi.h
}
check "bpos.ffi.h has no preprocessor line" without_preprocessor
for header in bpos.h bpos.ffi.h; do
    check "$header declares the exported symbols" same \
        "without_comments include/$header | grep -oE '\bbpos_[a-z_]+\(' | tr -d '(' | sort" 'cat tests/c/symbols.txt'
done

# ---- The library ----

check "the exported symbols are the committed ones" same \
    "nm -D --defined-only '$lib/libbpos.so' | awk '{print \$3}' | sort" 'cat tests/c/symbols.txt'
check "the SONAME carries the ABI version" same \
    "readelf -d '$lib/libbpos.so' | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p'" \
    "sed -n 's/^#define BPOS_ABI_VERSION /libbpos.so./p' include/bpos.h"

# ---- The programs ----

python3 tests/c/vectors.py tests/vectors/*.json >"$out/vectors"

run() { # PROGRAM COMMAND...
    local program=$1
    shift
    case $program in
    vectors) "$@" <"$out/vectors" ;;
    threads) "$@" "$(mktemp -d "$out/folder.XXXXXX")/keys.json" ;;
    keys) "$@" "$(mktemp -d "$out/folder.XXXXXX")" ;;
    *) "$@" ;;
    esac
}
build_and_run() { # PROGRAM STANDARD LINKAGE
    local executable="$out/$1-$2-$3"
    local -n libraries=$3
    compile "$2" "tests/c/$1.c" -o "$executable" "${libraries[@]}" && run "$1" "$executable"
}
for program in header hostile vectors threads keys; do
    for standard in c99 c11 c17 c++17; do
        for linkage in shared static; do
            check "$program as $standard, $linkage" build_and_run "$program" "$standard" "$linkage"
        done
    done
done

for linkage in shared static; do
    check "wiped as c11, $linkage" build_and_run wiped c11 "$linkage"
done

memcheck() { # PROGRAM
    run "$1" valgrind --quiet --error-exitcode=9 --leak-check=full \
        --errors-for-leak-kinds=definite,indirect,possible "$out/$1-c11-shared"
}
check "hostile under valgrind" memcheck hostile
check "vectors under valgrind" memcheck vectors
check "keys under valgrind" memcheck keys

sanitized() { # PROGRAM
    compile c11 "tests/c/$1.c" -fsanitize=address,undefined -fno-sanitize-recover=all -o "$out/sanitized" \
        "${shared[@]}" && run "$1" "$out/sanitized"
}
check "hostile under AddressSanitizer" sanitized hostile
check "keys under AddressSanitizer" sanitized keys

# ---- The examples ----

key=bpos_example0123456789
cat >"$out/example.json" <<JSON
{"version": 1, "keys": [{"id": "key_1", "name": "Website Sync", "store": "yourstore", "scopes": ["products:read"],
  "sha256": "$(printf %s "$key" | sha256sum | cut -d' ' -f1)"}]}
JSON
example() { # KEY METHOD TARGET EXPECTED...: what it prints has each of these.
    local answer
    answer=$(API_KEY=$1 "$out/authorize" "$out/example.json" yourstore "$2" "$3" 2>&1)
    shift 3
    echo "$answer"
    for expected in "$@"; do
        grep -qF -- "$expected" <<<"$answer" || { echo "expected: $expected"; return 1; }
    done
}
check "examples/authorize.c compiles" compile c99 examples/authorize.c -o "$out/authorize" "${shared[@]}"
check "examples/authorize.c allows" example "$key" GET /api/v1/products \
    'serve yourstore, to the key key_1' 'HTTP/1.1 200' 'RateLimit-Policy: "default";q=60;w=60'
check "examples/authorize.c denies" example "$key" PATCH /api/v1/products/bulk \
    'deny: insufficient_scope' 'HTTP/1.1 403' '"required_scope":"products:write"'
check "examples/authorize.c says what is wrong" example '' GET / 'deny: missing_key' 'HTTP/1.1 401' 'WWW-Authenticate'

echo '{"version": 1, "keys": []}' >"$out/managed.json"
manage() { # ARGUMENT...: of the example.
    "$out/keys" "$out/managed.json" "$@"
}
text_of() { # PYTHON-EXPRESSION: what it gives for the JSON on the standard input.
    python3 -c "import json, sys; it = json.load(sys.stdin); print($1)"
}
asks() { # KEY EXPECTED: what the registry says to it.
    API_KEY=$1 "$out/authorize" "$out/managed.json" yourstore GET /api/v1/products 2>&1 | grep -F -- "$2"
}
managed() {
    local created rotated key rotated_key id
    created=$(manage create '{"name": "Website Sync", "store": "yourstore", "scopes": ["products:read"]}')
    key=$(text_of 'it["key"]' <<<"$created")
    id=$(text_of 'it["record"]["id"]' <<<"$created")
    asks "$key" "serve yourstore, to the key $id" || return 1
    [ "$(manage list | text_of '[key["id"] for key in it]')" = "['$id']" ] || return 1
    rotated=$(manage rotate "$id" 3600)
    rotated_key=$(text_of 'it["key"]' <<<"$rotated")
    [ "$rotated_key" != "$key" ] || return 1
    asks "$key" 'HTTP/1.1 200' && asks "$rotated_key" 'HTTP/1.1 200' || return 1
    [ -z "$(manage revoke "$id")" ] || return 1
    asks "$key" 'deny: revoked_key' && asks "$rotated_key" 'deny: revoked_key' || return 1
    [ "$(manage list | text_of 'it[0]["revoked_at"] is not None')" = True ]
}
refused() { # EXPECTED ARGUMENT...: the example fails, and says so.
    local expected=$1 answer
    shift
    if answer=$(manage "$@" 2>&1); then
        return 1
    fi
    echo "$answer"
    grep -F -- "$expected" <<<"$answer"
}
check "examples/keys.c compiles" compile c99 examples/keys.c -o "$out/keys" "${shared[@]}"
check "examples/keys.c creates, lists, rotates and revokes" managed
check "examples/keys.c says what is wrong" refused 'format: the key'"'"'s spec: missing member `name`' create '{}'
check "examples/keys.c knows its keys" refused 'not_found: no key has the id "key_none"' revoke key_none
check "examples/keys.c wants seconds" refused 'usage: ' rotate key_none 1h

finish
