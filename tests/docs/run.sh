#!/usr/bin/env bash
# The documentation: its programs and commands are run, and its links are followed.
#
#   tests/docs/run.sh                            everything, installed by `make install` for this run
#   tests/docs/run.sh docs/go.md                 one page
#   BPOS_PREFIX=/elsewhere tests/docs/run.sh     with what is installed there
#
# literate.py says what a page may hold. Its commands have
#
#   BPOS      the checkout
#   PREFIX    where bpos is installed: its bin is on PATH, and pkg-config, CMake and the loader look there
#   python    of a virtual environment with the web frameworks, in which they may install
#   go, node, php, luajit, ruby, java, cargo and C compilers
#
# The last line is "N passed, M failed".
. "$(dirname "$0")/../suite.sh"

pages=(docs/{install,c,cpp,go,python,rust,other-languages}.md)
asked=("$@")

need gcc gcc
need g++ g++
need make make
need cmake cmake
need pkg-config pkg-config
need curl curl
need php php-cli
need node nodejs
need npm npm
need luajit luajit
need ruby ruby
need javac default-jdk-headless
need python3 python3
need_go
need_libraries
command -v cargo >/dev/null || lacks cargo "install it by rustup"
[ -e /usr/share/java/jna.jar ] || lacks JNA "install it (Debian: apt-get install libjna-java)"
ready
php -r 'exit(extension_loaded("FFI") ? 0 : 1);' || lacks "PHP's FFI" "install it (Debian: apt-get install php-common)"
ready
shown='^([0-9]+ (files|links|names)|Ran [0-9]+ tests|OK)'

# ---- What judges the pages ----

if [ "${#asked[@]}" = 0 ]; then
    check "what judges the pages finds what is wrong" python3 tests/docs/test_docs.py
    check "every language has the functions that docs/keys.md says it has" python3 tests/docs/names.py .
    check "every test that docs/threats.md names is there" python3 tests/docs/threats.py .
    check "every link leads somewhere" python3 tests/docs/links.py .
fi

# ---- What the pages' commands have ----

export BPOS=$root PREFIX=${BPOS_PREFIX:-$out/prefix}
if [ -z "${BPOS_PREFIX:-}" ]; then
    check "make install PREFIX=$PREFIX" make install PREFIX="$PREFIX"
fi
export PATH=$PREFIX/bin:$PATH
export PKG_CONFIG_PATH=$PREFIX/lib/pkgconfig CMAKE_PREFIX_PATH=$PREFIX LD_LIBRARY_PATH=$PREFIX/lib
export CGO_CPPFLAGS=-DPREFIX=$PREFIX # Go's cache of what it built does not ask pkg-config where that was
export CARGO_TARGET_DIR=$target/docs # what it compiles is used again by the next run

# The frameworks are fetched but once. What a page installs beside them is gone afterwards.
frameworks=$tools/frameworks
venv "$frameworks" starlette==0.49.3 fastapi==0.121.3 flask==3.1.2 httpx==0.28.1 uvicorn==0.38.0 Django==5.2.19 pytest==8.4.2 \
    cffi==2.1.1
packages() { # ENVIRONMENT: its folder of packages
    "$1/bin/python" -c 'import site; print(site.getsitepackages()[0])'
}
python3 -m venv "$out/python"
packages "$frameworks" >"$(packages "$out/python")/frameworks.pth"

# ---- The pages ----

page() { # PAGE
    local folder=$out/pages/$1
    mkdir -p "$folder"
    PATH=$out/python/bin:$PATH python3 tests/docs/literate.py "$1" "$folder"
}
for each in "${asked[@]:-${pages[@]}}"; do
    check "$each" page "$each"
done

# ---- The README ----

# It shows, and does not say to run, so its quickstart, its program in C and the commands that build it are taken out, and
# from the pages their first programs in C++, Go and Python: the keys that the commands make are the ones that the
# programs decide on. The checkout is in the folder itself, and bpos is installed in ~/.local.
block() { # PAGE LANGUAGE [FILE]: the page's blocks of that language, in order; or the one with that file
    awk -v fence="\`\`\`$2${3:+ $3}" '$0 == fence { inside = 1; next } /^```$/ { inside = 0 } inside' "$1"
}
commands() { # PAGE FIRST LAST: of its shell, from the line that begins with the one to that with the other
    local lines
    lines=$(block "$1" sh | sed -n "\|^$2|,\|^$3|p")
    [[ $lines == *"$3"* ]] || { echo "$1 has no commands from \`$2\` to \`$3\`" >&2; return 1; }
    echo "$lines"
}
quickstart() {
    mkdir -p "$out/readme/go" "$out/readme/home"
    ln -s "$PREFIX" "$out/readme/home/.local"
    ln -s "$BPOS/examples" "$out/readme/examples"
    block README.md c >"$out/readme/first.c"
    block docs/cpp.md cpp first.cpp >"$out/readme/first.cpp"
    block docs/go.md go first.go >"$out/readme/go/first.go"
    block docs/python.md python first.py >"$out/readme/first.py"
    commands README.md 'bpos init ' 'bpos key list' >"$out/readme/quickstart.sh"
    block README.md sh | grep '^export PKG_CONFIG_PATH=' >"$out/readme/home.sh"
    commands docs/go.md 'go mod init' 'go mod edit' >"$out/readme/go.sh"
    commands README.md 'cc examples' './authorize' >"$out/readme/c.sh"
    cd "$out/readme"
    unset PKG_CONFIG_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH # what the README says to do has to be enough
    local home=$HOME
    HOME=$out/readme/home
    . ./home.sh
    HOME=$home
    # shellcheck disable=SC2046
    gcc -std=c99 -Wall -Wextra -pedantic -Werror first.c -o first-c $(pkg-config --cflags --libs bpos)
    # shellcheck disable=SC2046
    g++ -std=c++17 -Wall -Wextra -pedantic -Werror first.cpp -o first-cpp $(pkg-config --cflags --libs bpos)
    (cd go && . ../go.sh && go mod tidy && go build -o ../first-go)
    printf '#!/bin/sh\nPYTHONPATH=%s exec python3 first.py\n' "$BPOS/bindings/python/src" >first-python
    chmod +x first-python
    . ./quickstart.sh
    (. ./c.sh) 2>&1 | grep '^serve yourstore, to the key key_'
    for program in c cpp go python; do
        API_KEY=$API_KEY "./first-$program" 2>&1 | tee answer
        grep -q '^serve yourstore, to the key key_' answer
        API_KEY= "./first-$program" 2>&1 | grep '^deny: missing_key$'
    done
    bpos key revoke "$(sed -n 's/^serve .* to the key \(key_[0-9A-Za-z]*\).*/\1/p' answer)"
    for program in c cpp go python; do
        API_KEY=$API_KEY "./first-$program" 2>&1 | grep '^deny: revoked_key$'
    done
}
if [ "${#asked[@]}" = 0 ]; then
    check "README.md, its quickstart and the first programs" bash -c "$(declare -f block commands quickstart); set -euo pipefail
        out='$out'; quickstart"
fi

finish
