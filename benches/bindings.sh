#!/usr/bin/env bash
# What a call costs from each language: the tables of docs/go.md, cpp.md, python.md, rust.md and other-languages.md. After
# `make all` and the suites, which fetch the toolchains. Close other programs: it takes some minutes.
. "$(dirname "$0")/../tests/suite.sh"

need g++ g++
need pkg-config pkg-config
need php php-cli
need node nodejs
need_go
need_libraries
[ -e "$tools/python/bin/python" ] || lacks "Python's environment" "run bindings/python/test.sh first"
ready

make install PREFIX="$out/prefix" >/dev/null
export PKG_CONFIG_PATH=$out/prefix/lib/pkgconfig LD_LIBRARY_PATH=$out/prefix/lib CGO_CPPFLAGS=-DPREFIX=$out/prefix

echo "== C and C++"
# shellcheck disable=SC2046
g++ -std=c++17 -O2 tests/cpp/cost.cpp $(pkg-config --cflags --libs bpos) -o "$out/cost"
"$out/cost"

printf '\n== Python\n'
(cd "$out" && BPOS_LIBRARY=$lib/libbpos.so.0 PYTHONPATH=$root/bindings/python/src "$tools/python/bin/python" "$root/bindings/python/bench.py")

printf '\n== PHP and Node.js\n'
tests/ffi/bench.sh

printf '\n== Rust, the tower layer\n'
cargo bench --quiet --package bpos-tower --bench layer

printf '\n== Go\n'
cd bindings/go/bench && go run .
