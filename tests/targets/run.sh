#!/usr/bin/env bash
# Other targets than this machine's: bpos compiles for 32 bits, and on Windows its only error says that it needs Unix.
# Nothing is linked or run.
#
#   tests/targets/run.sh
#
# It takes a target's standard library from rustup (`rustup target add i686-unknown-linux-gnu x86_64-pc-windows-msvc`).
# Where rustup has none to give, it compiles that too, with the compiler and the sources of Debian's rustc-web, which
# are fetched into target/tools and not installed.
#
# The last line is "N passed, M failed".
. "$(dirname "$0")/../suite.sh"

need cargo "rustup, see https://rustup.rs"
ready
export CARGO_TARGET_DIR=$target/targets

fetched=$tools/rustc-web
fetch() { # the compiler of rustc-web, what it links, and the sources of its standard library
    local std llvm package
    std=$(depends libstd-rust-web-dev libstd-rust-web) && llvm=$(depends "$std" libllvm) || return 1
    mkdir -p "$out/packages" "$fetched.new"
    (cd "$out/packages" && apt-get download rustc-web rust-web-src libstd-rust-web-dev "$std" "$llvm") || return 1
    for package in "$out"/packages/*.deb; do
        dpkg -x "$package" "$fetched.new" || return 1
    done
    mv "$fetched.new" "$fetched"
}
depends() { # PACKAGE PREFIX: the package that it depends on whose name is the prefix and a version
    apt-cache depends "$1" | grep -oP "Depends: \K$2-?[0-9.]+$"
}
cargo_check() { # TARGET
    if rustup target list --installed 2>/dev/null | grep -qx "$1"; then
        cargo check --locked --lib --features ffi --target "$1"
    else
        RUSTC=$fetched/usr/bin/rustc LD_LIBRARY_PATH=$(echo "$fetched"/usr/lib/*-linux-gnu) RUSTC_BOOTSTRAP=1 \
            cargo check --locked --lib --features ffi -Zbuild-std=std --target "$1"
    fi
}

targets=(i686-unknown-linux-gnu x86_64-pc-windows-msvc)
installed=$(rustup target list --installed 2>/dev/null | grep -cxF "$(printf '%s\n' "${targets[@]}")" || true)
if [ "$installed" != "${#targets[@]}" ] && [ ! -e "$fetched" ]; then
    fetch >"$out/fetch" 2>&1 ||
        lacks "the standard library of ${targets[*]}" "rustup target add ${targets[*]} ($(tail -n 1 "$out/fetch"))"
    ready
fi

check "32 bits: it compiles, with the C ABI" cargo_check i686-unknown-linux-gnu
says_unix_only() {
    local said
    ! said=$(cargo_check x86_64-pc-windows-msvc 2>&1) || return 1
    echo "$said"
    grep -q '^error: bpos runs on Unix only' <<<"$said" && grep -q 'due to 1 previous error$' <<<"$said"
}
check "Windows: the only error says that bpos needs Unix" says_unix_only

finish
