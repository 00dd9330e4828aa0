#!/bin/sh
# Installs what is built, or takes away what it installed. `make install` and `make uninstall` call it:
#
#   packaging/install.sh install LIBRARIES COMMAND     the folder of `make lib`, and the built command
#   packaging/install.sh uninstall
#
# PREFIX, DESTDIR and the folders below come from the environment, into which make puts what its command line says.
# The GNU names, in lower case, do as well.
set -eu
umask 022
cd "$(dirname "$0")/.."

DESTDIR=${DESTDIR:-}
PREFIX=${PREFIX:-${prefix:-/usr/local}}
BINDIR=${BINDIR:-${bindir:-$PREFIX/bin}}
LIBDIR=${LIBDIR:-${libdir:-$PREFIX/lib}}
INCLUDEDIR=${INCLUDEDIR:-${includedir:-$PREFIX/include}}
DATADIR=${DATADIR:-${datadir:-$PREFIX/share}}
MANDIR=${MANDIR:-${mandir:-$DATADIR/man}}

version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
abi=$(sed -n 's/^#define BPOS_ABI_VERSION //p' include/bpos.h)
pages="bpos bpos-check bpos-completions bpos-init bpos-key bpos-key-create bpos-key-disable bpos-key-enable
  bpos-key-list bpos-key-remove bpos-key-revoke bpos-key-rotate bpos-key-show bpos-key-update bpos-lint bpos-man
  bpos-redact bpos-scopes"

# What rustc names for the archive (--print native-static-libs) on Linux with glibc, but for gcc_s: compilers add that
# by themselves, or what stands in its place under -static, where there is no gcc_s.
system_libraries="-lutil -lrt -lpthread -lm -ldl -lc"

main() {
    for folder in "$PREFIX" "$BINDIR" "$LIBDIR" "$INCLUDEDIR" "$DATADIR" "$MANDIR"; do
        check_name "$folder"
    done
    libraries=${2:-} program=${3:-}
    made=$(mktemp -d)
    trap 'rm -rf "$made"' EXIT
    case "${1:-} $#" in
    'install 3') install_all ;;
    'uninstall 1') uninstall_all ;;
    *) fail "usage: install LIBRARIES COMMAND | uninstall" ;;
    esac
}

install_all() {
    [ -e "$libraries/libbpos.so.$abi" ] ||
        fail "there is no $libraries/libbpos.so.$abi. Build it with \`make all\`; for a target that has no shared library, \
link libbpos.a from where it was built."
    make_files
    each_file make_folder # all of them first: where one cannot be made, nothing is installed
    each_file put
    each_link put_link
    if [ -z "$DESTDIR" ]; then
        echo "bpos $version is installed in $PREFIX. If programs do not find libbpos.so.$abi there, run ldconfig."
    fi
}

uninstall_all() {
    each_link take
    each_file take
    for folder in "$LIBDIR/cmake/bpos" "$DATADIR/doc/bpos"; do
        rmdir "$DESTDIR$folder" 2>/dev/null || true # folders of our own, unless others use them
    done
}

check_name() { # FOLDER
    case $1 in
    *[[:space:]\"\'\\\$\&\|\;\#]*) fail "'$1' has a blank, a quote or a \`#\` in it: pkg-config would not read it" ;;
    /*) ;;
    *) fail "'$1' is no absolute path: the installed files name it, wherever they are read" ;;
    esac
}

# ---- What is installed ----

each_file() { # DO: is called with each file's destination, source and mode
    "$1" "$LIBDIR/libbpos.so.$version" "$libraries/libbpos.so.$abi" 755
    "$1" "$LIBDIR/libbpos.a" "$libraries/libbpos.a" 644
    for file in bpos.h bpos.ffi.h bpos.hpp; do
        "$1" "$INCLUDEDIR/$file" "include/$file" 644
    done
    for file in bpos.pc bpos-static.pc; do
        "$1" "$LIBDIR/pkgconfig/$file" "$made/$file" 644
    done
    for file in bpos-config.cmake bpos-config-version.cmake; do
        "$1" "$LIBDIR/cmake/bpos/$file" "$made/$file" 644
    done
    "$1" "$BINDIR/bpos" "$program" 755
    for page in $pages; do
        "$1" "$MANDIR/man1/$page.1" "$made/$page.1" 644
    done
    for file in LICENSE-APACHE LICENSE-MIT; do
        "$1" "$DATADIR/doc/bpos/$file" "$file" 644
    done
    "$1" "$DATADIR/bash-completion/completions/bpos" "$made/bash" 644
    "$1" "$DATADIR/zsh/site-functions/_bpos" "$made/zsh" 644
    "$1" "$DATADIR/fish/vendor_completions.d/bpos.fish" "$made/fish" 644
}

each_link() { # DO: is called with each link's place and text
    "$1" "$LIBDIR/libbpos.so.$abi" "libbpos.so.$version"
    "$1" "$LIBDIR/libbpos.so" "libbpos.so.$abi"
}

make_files() { # what depends on the folders, and what the command generates
    for template in packaging/*.in; do
        fill_in "$template" >"$made/$(basename "$template" .in)"
    done
    for shell in bash zsh fish; do
        "$program" completions "$shell" >"$made/$shell"
    done
    "$program" man "$made" 2>"$made/said" || fail "$program man: $(cat "$made/said")"
}

fill_in() { # TEMPLATE: what is below the prefix is written relative to it, so that the prefix can be moved
    sed -e "s|@PREFIX@|$PREFIX|" -e "s|@VERSION@|$version|" -e "s|@ABI@|$abi|" \
        -e "s|@SERIES@|$(series)|" -e "s|@SYSTEM_LIBRARIES@|$system_libraries|" \
        -e "s|@CMAKE_SYSTEM_LIBRARIES@|$(echo "$system_libraries" | tr ' ' ';')|" \
        -e "s|@LIBDIR@|$(below_prefix "$LIBDIR")|" -e "s|@INCLUDEDIR@|$(below_prefix "$INCLUDEDIR")|" \
        -e "s|@CMAKE_TO_INCLUDEDIR@|$(realpath -m --relative-to="$LIBDIR/cmake/bpos" "$INCLUDEDIR")|" \
        "$1"
}

series() { # the part of the version that stays as long as nothing breaks
    case $version in
    0.*) echo "${version%.*}" ;;
    *) echo "${version%%.*}" ;;
    esac
}

below_prefix() { # FOLDER
    case $1 in
    "$PREFIX"/*) echo "\${prefix}${1#"$PREFIX"}" ;;
    *) echo "$1" ;;
    esac
}

# ---- One file ----

make_folder() { # DESTINATION
    install -d "$DESTDIR${1%/*}" 2>"$made/said" ||
        fail "$(cat "$made/said"). Set PREFIX or DESTDIR to a folder that you may write to, or ask as root (sudo)."
}

put() { # DESTINATION SOURCE MODE
    install -m "$3" "$2" "$DESTDIR$1"
}

put_link() { # PLACE TEXT
    ln -sf "$2" "$DESTDIR$1"
}

take() { # DESTINATION
    rm -f "$DESTDIR$1"
}

fail() { # MESSAGE
    echo "packaging/install.sh: $1" >&2
    exit 1
}

main "$@"
