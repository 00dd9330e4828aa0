#!/usr/bin/env bash
# What each path of a decision costs, in instructions and cache misses: the counts in counts.txt, within 5%.
#
#   tests/cost/run.sh                        with the library of `make lib`, in target/lib
#   BPOS_LIB=/elsewhere tests/cost/run.sh    with another
#   tests/cost/run.sh --update               rewrites counts.txt
#
# The last line is "cost: N counts, all within 5%", or how many are not.
# shellcheck source=tests/suite.sh
. "$(dirname "$0")/../suite.sh"

case ${*-} in
'' | --update) ;;
*) echo "usage: tests/cost/run.sh [--update]" && exit 2 ;;
esac

need gcc gcc
need python3 python3
need valgrind valgrind
need_libraries
ready
echo '#include <valgrind/callgrind.h>' | gcc -fsyntax-only -x c - 2>/dev/null ||
    lacks valgrind/callgrind.h "install valgrind's headers (Debian: apt-get install valgrind)"
ready

# Valgrind shows a program a processor of its own, so the counts do not depend on the machine's: it has no extensions
# for SHA-256, for instance. But it has AVX2 only where the machine does, and memchr and the C library use that.
if [ "$(uname -sm)" != "Linux x86_64" ] || ! grep -qw avx2 /proc/cpuinfo; then
    echo "LEFT OUT: cost: counts.txt is for Linux on x86-64 with AVX2"
    exit 0
fi

python3 tests/cost/document.py >"$out/document.json"
gcc -std=c99 -O2 -Wall -Wextra -pedantic -Werror -Iinclude tests/cost/cost.c -o "$out/cost" -L"$lib" -lbpos \
    "-Wl,-rpath,$lib"

# Only what happens inside of the library's functions is counted, and only once a path is warm: nothing has to be
# subtracted. callgrind simulates caches as cachegrind does, but can begin when the keys are loaded; it begins with empty
# ones. Their sizes are given, so that they are not the machine's, and hardly matter: of 1,000,000 keys, 10,000 are asked
# once, and a last cache of 8 MiB instead of 1 finds 0.2% fewer misses.
# shellcheck disable=SC2054 # the commas are callgrind's
options=(--tool=callgrind --instr-atstart=no --toggle-collect='bpos_authorize*'
    --cache-sim=yes --I1=32768,8,64 --D1=32768,8,64 --LL=1048576,16,64
    --compress-strings=no --callgrind-out-file="$out/counts")
valgrind "${options[@]}" "$out/cost" "$out/document.json" "{\"shared\": {\"dir\": \"$out\"}}" >"$out/said" 2>&1 || { cat "$out/said"; exit 1; }

dumps=()
while [ -e "$out/counts.$((${#dumps[@]} + 1))" ]; do
    dumps+=("$out/counts.$((${#dumps[@]} + 1))")
done
python3 tests/cost/counts.py "$@" "${dumps[@]}"
