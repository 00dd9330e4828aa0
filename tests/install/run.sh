#!/usr/bin/env bash
# `make install`: what it puts where, and that other builds find it there. Each program is built outside of the source
# tree, with nothing of it but what was installed.
#
#   tests/install/run.sh                        with what is in target/, which is built if it is not there
#   BPOS_LIB=/elsewhere tests/install/run.sh    with other libraries
#
# The last line is "N passed, M failed".
# shellcheck source=tests/suite.sh
. "$(dirname "$0")/../suite.sh"

need cargo "rustup, see https://rustup.rs"
need make make
need gcc gcc
need g++ g++
need cmake cmake
need pkg-config pkg-config
need readelf binutils
need_go
ready
shown='^ran: '

command=${BPOS_COMMAND:-$target/release/bpos}
version=$(cargo metadata --format-version 1 --no-deps --offline | grep -oP '"name":"bpos","version":"\K[^"]*')
abi=$(sed -n 's/^#define BPOS_ABI_VERSION //p' include/bpos.h)
prefix=$out/prefix
unset DESTDIR PREFIX BINDIR LIBDIR INCLUDEDIR DATADIR MANDIR MAKEFLAGS # each installation here names its own

run_make() { # TARGET VARIABLE...
    make --no-print-directory LIB="$lib" COMMAND="$command" "$@"
}
without_cargo() { # TARGET VARIABLE...: as root has it with sudo, when all is built.
    run_make CARGO=no-cargo-here "$@"
}
listed() { # FOLDER: its files, and its links with where they lead.
    (cd "$1" && find . ! -type d -printf '%P -> %l\n' | sed 's/ -> $//' | LC_ALL=C sort)
}
expected() {
    sed -e "s/VERSION/$version/" -e "s/ABI/$abi/" tests/install/files.txt
}
refused() { # EXPECTED COMMAND...: it fails, and says so.
    local expected=$1 answer
    shift
    if answer=$("$@" 2>&1); then
        echo "it does not fail: $*"
        return 1
    fi
    echo "$answer"
    grep -F -- "$expected" <<<"$answer"
}

# ---- What is put where ----

check "make all" run_make all
check "make install needs no cargo once all is built" without_cargo install PREFIX="$prefix"
check "what is installed is what is listed" same "listed '$prefix'" expected
check "installing again is fine" without_cargo install PREFIX="$prefix"
check "what is installed is still what is listed" same "listed '$prefix'" expected

staged() {
    without_cargo install DESTDIR="$out/stage" PREFIX=/usr &&
        same "listed '$out/stage/usr'" expected && ! grep -r "$out" "$out/stage"
}
check "DESTDIR is where it is put, and nowhere named" staged

named_folders() {
    without_cargo install DESTDIR="$out/named" prefix=/usr libdir=/usr/lib/x86_64-linux-gnu MANDIR=/usr/man &&
        [ -e "$out/named/usr/lib/x86_64-linux-gnu/libbpos.so" ] && [ -e "$out/named/usr/man/man1/bpos.1" ] &&
        grep -Fx "libdir=\${prefix}/lib/x86_64-linux-gnu" "$out/named/usr/lib/x86_64-linux-gnu/pkgconfig/bpos.pc" &&
        without_cargo uninstall DESTDIR="$out/named" prefix=/usr libdir=/usr/lib/x86_64-linux-gnu MANDIR=/usr/man &&
        [ -z "$(listed "$out/named")" ]
}
check "folders have their usual names" named_folders

everybody_may_read() { # though the one who installs keeps files to himself: suite.sh sets the umask 077
    [ -z "$(find "$prefix" ! -type l \( -type d ! -perm 755 -o -type f ! -perm -444 \))" ]
}
check "everybody may read what is installed" everybody_may_read

touch "$out/file"
check "a DESTDIR that is no folder is refused" refused 'Set PREFIX or DESTDIR to a folder that you may write to' \
    without_cargo install DESTDIR="$out/file"
check "a DESTDIR that nobody can write to is refused" \
    refused 'Set PREFIX or DESTDIR to a folder that you may write to' without_cargo install DESTDIR=/proc/bpos
check "a relative PREFIX is refused" refused "'prefix' is no absolute path" without_cargo install PREFIX=prefix
check "a PREFIX with a blank is refused" refused "has a blank" without_cargo install PREFIX="$out/a prefix"
check "what is not built is named" refused "$out/nowhere/libbpos.so.$abi" \
    env PREFIX="$out/other" packaging/install.sh install "$out/nowhere" "$command"

# ---- What it is ----

all_say_the_version() {
    [ "$("$prefix/bin/bpos" --version)" = "bpos $version" ] &&
        grep "#define BPOS_VERSION \"$version\"" "$prefix/include/bpos.h" &&
        [ "$(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --modversion bpos bpos-static | uniq)" = "$version" ]
}
check "command, header and pkg-config name one version" all_say_the_version
mkdir "$out/pages"
check "the command writes its pages" "$command" man "$out/pages"
check "all pages of the command are installed" same "ls '$out/pages'" "ls '$prefix/share/man/man1'"
check "a page is one" grep -q '^\.TH bpos-lint 1' "$prefix/share/man/man1/bpos-lint.1"
completes() {
    bash -c '. "$0" && complete -p bpos' "$prefix/share/bash-completion/completions/bpos" &&
        grep -q '^#compdef bpos' "$prefix/share/zsh/site-functions/_bpos" &&
        grep -q '^complete -c bpos' "$prefix/share/fish/vendor_completions.d/bpos.fish"
}
check "bash, zsh and fish complete the command" completes
of_rustc() { # what an archive of Rust needs, but for what every compiler adds by itself
    echo 'pub fn nothing() {}' | rustc --crate-type staticlib --print native-static-libs - -o "$out/nothing.a" 2>&1 |
        sed -n 's/.*native-static-libs: //p' | sed 's/-lgcc_s //'
}
check "the system's libraries are those that rustc names" same \
    "sed -n 's/Libs.private: //p' '$prefix/lib/pkgconfig/bpos.pc'" of_rustc

where_it_was_built() {
    local file folders=("$root/" "${CARGO_HOME:-$HOME/.cargo}/")
    [ "$HOME" = / ] || folders+=("$HOME/")
    for file in "$lib/libbpos.so.$abi" "$lib/libbpos.a" "$command"; do
        if strings -a "$file" | grep -F "${folders[@]/#/--regexp=}"; then
            echo "$file names these: remove it, and run \`make all\`, which builds it without"
            return 1
        fi
    done
}
check "what is built names no folder of the machine that built it" where_it_was_built

keeps_flags() { # cargo is given the flags of whoever builds, and ours
    local cargo=$out/cargo-that-tells
    printf '#!/bin/sh\nprintf %%s "$CARGO_ENCODED_RUSTFLAGS" | tr "\\037" "\\n"\n' >"$cargo"
    chmod +x "$cargo"
    [ "$(RUSTFLAGS=" -C target-cpu=native  --cfg x" CARGO=$cargo packaging/build.sh cargo | head -n 5 | tr '\n' ' ')" = \
        "-C target-cpu=native --cfg x --remap-path-prefix=$(pwd -P)=/bpos " ] &&
        [ "$(CARGO_ENCODED_RUSTFLAGS=--cfg RUSTFLAGS=x CARGO=$cargo packaging/build.sh cargo | head -n 1)" = --cfg ]
}
check "RUSTFLAGS are kept" keeps_flags

only_static() { # as musl is: cargo itself refuses the shared library; the static one, which needs Rust's musl, is made up
    local folder=$out/musl cargo=$out/cargo-for-musl
    local release=$folder/x86_64-unknown-linux-musl/release
    mkdir -p "$release" "$folder/lib"
    touch "$folder/lib/libbpos.so.$abi" # of another target
    printf '#!/bin/sh\ncase $* in *staticlib*) touch %s/libbpos.a ;; *) exec cargo "$@" ;; esac\n' "$release" >"$cargo"
    chmod +x "$cargo"
    CARGO_TARGET_DIR=$folder CARGO_BUILD_TARGET=x86_64-unknown-linux-musl make lib CARGO="$cargo" >"$out/musl-said" &&
        grep "no shared library for this target, only $folder/lib/libbpos.a" "$out/musl-said" &&
        same "ls '$folder/lib'" "echo libbpos.a"
}
check "a target without shared libraries has its static one, and is told" only_static
check "and is not installed by halves" refused "for a target that has no shared library" \
    env PREFIX="$out/other" packaging/install.sh install "$out/musl/lib" "$command"

# ---- Other builds find it ----

umask 022
key=bpos_example0123456789
keys=$out/keys.json
cat >"$keys" <<JSON
{"version": 1, "keys": [{"id": "key_1", "name": "Website Sync", "store": "yourstore", "scopes": ["products:read"],
  "sha256": "$(printf %s "$key" | sha256sum | cut -d' ' -f1)"}]}
JSON
away=$out/away # outside of the source tree
mkdir "$away" "$away/go"
cp examples/authorize.c examples/authorize.cpp tests/install/CMakeLists.txt "$away"
cp tests/install/main.go "$away/go"
cd "$away"

decides() { # COMMAND...: it admits the key, and nobody without.
    local allowed denied
    allowed=$(API_KEY=$key "$@" "$keys" yourstore GET /api/v1/products 2>&1) || { echo "$allowed"; return 1; }
    denied=$(API_KEY='' "$@" "$keys" yourstore GET /api/v1/products 2>&1)
    echo "ran: $(grep -o 'HTTP/1.1 ...' <<<"$allowed"), without a key $(grep -o 'HTTP/1.1 ...' <<<"$denied")"
    [[ $allowed == *"HTTP/1.1 200"* && $denied == *"HTTP/1.1 401"* ]]
}
finds() { # PREFIX PACKAGE ARGUMENT...: of pkg-config
    local where=$1
    shift
    PKG_CONFIG_PATH=$where/lib/pkgconfig pkg-config --cflags --libs "$@"
}
links_dynamically() { # PROGRAM: it asks for the ABI's name, and for no folder.
    readelf -d "$1" >"$out/dynamic"
    grep -F "Shared library: [libbpos.so.$abi]" "$out/dynamic" && ! grep -E 'RPATH|RUNPATH' "$out/dynamic" &&
        ! readelf -d "$1" | grep -F "$out"
}
links_statically() { # PROGRAM
    ! readelf -d "$1" | grep libbpos
}

c_shared() {
    # shellcheck disable=SC2046 # words
    gcc -Wall -Werror authorize.c $(finds "$prefix" bpos) -o c-shared && links_dynamically c-shared &&
        LD_LIBRARY_PATH=$prefix/lib decides ./c-shared
}
c_static() {
    # shellcheck disable=SC2046
    gcc -Wall -Werror authorize.c $(finds "$prefix" bpos-static) -o c-static && links_statically c-static &&
        decides ./c-static
}
c_all_static() {
    # shellcheck disable=SC2046
    gcc -static -Wall -Werror authorize.c $(finds "$prefix" --static bpos) -o c-all-static &&
        ! readelf -d c-all-static | grep NEEDED && decides ./c-all-static
}
check "a C program with pkg-config, shared" c_shared
check "a C program with pkg-config, the archive" c_static
check "a C program with pkg-config, static to the last" c_all_static

cmake_builds() { # PREFIX FOLDER ARGUMENT...
    local where=$1 folder=$2
    shift 2
    cmake -S . -B "$folder" -DCMAKE_PREFIX_PATH="$where" "$@" && cmake --build "$folder"
}
cmake_program() { # NAME LINKAGE
    "links_$2" "build/$1" && decides "build/$1"
}
links_with_cmake() { # as above, but that CMake names the folder until the program is installed
    readelf -d "$1" | grep -F "Shared library: [libbpos.so.$abi]"
}
check "a project with CMake" cmake_builds "$prefix" build -DWANTED="${version%.*}"
check "a C++ program with CMake, bpos::bpos" cmake_program cpp-bpos with_cmake
check "a C++ program with CMake, bpos::bpos_static" cmake_program cpp-bpos_static statically
check "a C program with CMake, bpos::bpos" cmake_program c-bpos with_cmake
check "a C program with CMake, bpos::bpos_static" cmake_program c-bpos_static statically
check "CMake refuses a newer version" refused "version: $version" cmake_builds "$prefix" newer -DWANTED=99.0
check "CMake refuses a version of another series" refused "version: $version" \
    cmake_builds "$prefix" older -DWANTED=0.0.1

cat >go/go.mod <<MOD
module somebodys.example/server

go 1.24

require github.com/brotherpos/bpos/bindings/go v0.0.0

replace github.com/brotherpos/bpos/bindings/go => $root/bindings/go
MOD
# Go's cache does not ask pkg-config again, and would go by the prefix of the run before: a flag that names this one
# tells it that something is new.
go_builds() { # PROGRAM ARGUMENT...
    PKG_CONFIG_PATH=$prefix/lib/pkgconfig CGO_ENABLED=1 CGO_CPPFLAGS="-DPREFIX=$prefix" \
        go build -C go -o "../$1" "${@:2}" .
}
go_shared() {
    go_builds go-shared && links_dynamically go-shared && LD_LIBRARY_PATH=$prefix/lib decides ./go-shared
}
go_static() {
    go_builds go-static -tags bpos_static && links_statically go-static && decides ./go-static
}
check "a Go program with pkg-config, shared" go_shared
check "a Go program with pkg-config, -tags bpos_static" go_static

# ---- The prefix moves, and goes ----

mv "$prefix" "$out/moved"
moved_pkg_config() {
    # shellcheck disable=SC2046
    gcc authorize.c $(finds "$out/moved" --define-prefix bpos) -o c-moved &&
        LD_LIBRARY_PATH=$out/moved/lib decides ./c-moved
}
moved_cmake() {
    cmake_builds "$out/moved" moved && decides moved/cpp-bpos && decides moved/c-bpos_static
}
check "a moved prefix is found with pkg-config --define-prefix" moved_pkg_config
check "a moved prefix is found with CMake" moved_cmake
mv "$out/moved" "$prefix"

cd "$root"
touch "$prefix/lib/cmake/bpos/somebody-elses.cmake" "$prefix/bin/somebody-elses"
check "make uninstall" without_cargo uninstall PREFIX="$prefix"
check "it leaves what is somebody else's" same "listed '$prefix'" \
    "printf '%s\n' bin/somebody-elses lib/cmake/bpos/somebody-elses.cmake"
rm "$prefix/lib/cmake/bpos/somebody-elses.cmake" "$prefix/bin/somebody-elses"
leaves_nothing() {
    without_cargo install PREFIX="$prefix" && without_cargo uninstall PREFIX="$prefix" &&
        without_cargo uninstall PREFIX="$prefix" && [ -z "$(listed "$prefix")" ] && [ ! -e "$prefix/lib/cmake/bpos" ]
}
check "it leaves nothing of its own, and a second time finds nothing" leaves_nothing

finish
