#!/usr/bin/env bash
# A program of docs/other-languages.md that decides on one request: `decide.sh PROGRAM...`, such as `decide.sh ruby decide.rb`.
# It must admit what is allowed, and deny everything else, failures too.
#
#   BPOS_COMMAND                   the `bpos` command
#   BPOS_LIBRARY and BPOS_HEADER   what the program loads
#   NEWER                          a library of another ABI
set -euo pipefail
umask 077
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0

says() { # TEXT: the program ended as it should, and must have said this
    if ! grep -qF -- "$1" "$scratch/out" "$scratch/err"; then
        broken "\"$1\" is not there:"
    fi
    passed=$((passed + 1))
}
broken() {
    echo "FAILED  $1"
    cat "$scratch/out" "$scratch/err"
    exit 1
}
allowed() { # PROGRAM...
    "$@" >"$scratch/out" 2>"$scratch/err" || broken "denied by $*:"
    says '200 allowed'
}
denied() { # TEXT PROGRAM...
    local text=$1
    shift
    if "$@" >"$scratch/out" 2>"$scratch/err" || grep -q '^200' "$scratch/out"; then
        broken "allowed by $*:"
    fi
    says "$text"
}

keys=$scratch/keys.json
export BPOS_REGISTRY=$keys
"$BPOS_COMMAND" init "$keys" >"$scratch/out" 2>&1
API_KEY=$("$BPOS_COMMAND" key create --name A --store yourstore --scope products:read 2>"$scratch/err")
export API_KEY
id=$(grep -o 'key_[0-9A-Za-z]*' "$scratch/err" | head -n 1)
target=/api/v1/products

allowed "$@" "$keys" yourstore GET $target
says 'RateLimit: "default";r=59;t='
denied '401 wrong_store' "$@" "$keys" another GET $target
says 'WWW-Authenticate: ApiKey realm="bpos"'
says '"code":"invalid_key"}'
denied '401 wrong_store' "$@" "$keys" '' GET $target
denied '403 unmapped_route' "$@" "$keys" yourstore '' $target
denied '403 unmapped_route' "$@" "$keys" yourstore GET ''
denied '401 missing_key' env API_KEY= "$@" "$keys" yourstore GET $target
denied '401 missing_key' env -u API_KEY "$@" "$keys" yourstore GET $target
denied '401 malformed_key' env API_KEY="${API_KEY}é" "$@" "$keys" yourstore GET $target
for too_few in '' "$keys" "$keys yourstore" "$keys yourstore GET"; do
    # shellcheck disable=SC2086
    denied '' "$@" $too_few
done
denied 'No such file' "$@" "$scratch/nowhere.json" yourstore GET $target
denied '/nowhere.so' env BPOS_LIBRARY=/nowhere.so "$@" "$keys" yourstore GET $target
denied 'another ABI' env BPOS_LIBRARY="$NEWER" "$@" "$keys" yourstore GET $target
denied 'bpos_' env BPOS_LIBRARY=libm.so.6 "$@" "$keys" yourstore GET $target
"$BPOS_COMMAND" key revoke "$id" >"$scratch/out" 2>&1
denied '401 revoked_key' "$@" "$keys" yourstore GET $target
echo "$passed passed, 0 failed"
