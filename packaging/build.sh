#!/bin/sh
# Builds what is installed, with the cargo in $CARGO. make calls it:
#
#   packaging/build.sh libraries RELEASE LIBRARIES   from cargo's folder for release builds to that of the libraries
#   packaging/build.sh cargo ARGUMENT...             something else, in the same way
#
# What it builds names no folder of this machine, though a panic tells its place in the source: the folders have other
# names in there. RUSTFLAGS and cargo's build.rustflags are kept.
set -eu
cd "$(dirname "$0")/.."
separator=$(printf '\037') # of CARGO_ENCODED_RUSTFLAGS: folders may have blanks in their names

libraries() { # RELEASE LIBRARIES
    mkdir -p "$2"
    # Apart: rustc sets no SONAME, and drops lto where one list of crate types has several.
    build rustc --locked --release --lib --features ffi --crate-type staticlib
    cp "$1/libbpos.a" "$2/libbpos.a"
    echo "    Building libbpos.so"
    if said=$(build rustc --locked --release --lib --features ffi --crate-type cdylib \
        -- -C link-arg=-Wl,-soname,libbpos.so.0 2>&1); then
        cp "$1/libbpos.so" "$2/libbpos.so.0"
        ln -sf libbpos.so.0 "$2/libbpos.so"
        return
    fi
    case $said in
    *"does not support these crate types"*)
        rm -f "$2/libbpos.so" "$2/libbpos.so.0" # another target's
        echo "There is no shared library for this target, only $2/libbpos.a: Rust links musl's C library statically." \
            "Where musl is the system's own (Alpine), RUSTFLAGS='-C target-feature=-crt-static' builds both."
        ;;
    *)
        echo "$said" >&2
        return 1
        ;;
    esac
}

build() { # ARGUMENT...: of cargo
    renamed=$(
        rename "$(pwd -P)" /bpos
        rename "${CARGO_HOME:-${HOME:-}/.cargo}" /cargo
        rename "$(${RUSTC:-rustc} --print sysroot 2>/dev/null)/lib/rustlib/src/rust" /rust
    )
    if [ -n "${CARGO_ENCODED_RUSTFLAGS+set}${RUSTFLAGS+set}" ]; then
        set -f # the flags are words, and no patterns
        # shellcheck disable=SC2086 # words
        flags=${CARGO_ENCODED_RUSTFLAGS-$(printf '%s\n' ${RUSTFLAGS:-} | joined)}
        CARGO_ENCODED_RUSTFLAGS=${flags:+$flags$separator}$(echo "$renamed" | joined) ${CARGO:-cargo} "$@"
    else
        listed=$(echo "$renamed" | sed 's/["\\]/\\&/g; s/.*/"&",/')
        ${CARGO:-cargo} --config "build.rustflags=[$listed]" "$@" # cargo adds them to those of its configuration
    fi
}

joined() {
    paste -s -d "$separator" -
}

rename() { # FOLDER NAME
    printf '%s\n' "--remap-path-prefix=$1=$2"
}

case ${1:-} in
libraries) libraries "$2" "$3" ;;
cargo) shift && build "$@" ;;
*) echo "usage: libraries RELEASE LIBRARIES | cargo ARGUMENT..." >&2 && exit 2 ;;
esac
