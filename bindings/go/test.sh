#!/usr/bin/env bash
# The Go binding: its tests in every way of running and linking them, its benchmark, and the example against the demo.
#
#   bindings/go/test.sh                          with the libraries of `make lib`, in target/lib
#   BPOS_LIB=/elsewhere bindings/go/test.sh      with others
#
# The last line is "N passed, M failed".
. "$(dirname "$0")/../../tests/suite.sh"

need gcc gcc
need pkg-config pkg-config
need readelf binutils
need ldd libc-bin
need curl curl
need_go
need_libraries
[ -d /usr/share/gocode/src/golang.org/x/time/rate ] ||
    lacks "golang.org/x/time" "install it (Debian: apt-get install golang-golang-x-time-dev)"
[ -d /usr/share/gocode/src/github.com/go-chi/chi/middleware ] ||
    lacks "chi" "install it (Debian: apt-get install golang-github-go-chi-chi-dev)"
command=$(realpath -m "${BPOS_COMMAND:-$target/release/bpos}")
[ -x "$command" ] || lacks "$command" "run \`cargo build --release --package bpos-cli\`, or name it in BPOS_COMMAND"
ready
export BPOS_COMMAND=$command
shown='^ok |vectors: |passed, '

# What `make install` would put into a prefix, so that pkg-config finds the libraries wherever they are.
cat >"$out/bpos.pc" <<PC
libdir=$lib
includedir=$root/include
Name: bpos
Description: An embedded authority for API keys
Version: 0
Cflags: -I\${includedir}
Libs: -L\${libdir} -lbpos
PC
sed 's|^Libs: .*|Libs: ${libdir}/libbpos.a -lutil -lrt -lpthread -lm -ldl -lc|' "$out/bpos.pc" >"$out/bpos-static.pc"
export PKG_CONFIG_PATH=$out LD_LIBRARY_PATH=$lib BPOS_VECTORS=$root/tests/vectors
export GOCACHE=$tools/go-cache$lib # Go's cache takes no notice of what pkg-config says: one for each place

binding=$root/bindings/go
in_folder() { # FOLDER COMMAND...
    (cd "$1" && shift && "$@")
}
tested() { # ARGUMENT...: of go test. Nothing is taken from a cache.
    in_folder "$binding" go test -count=1 "$@" ./...
}

# ---- Form ----

formatted() {
    local badly
    badly=$("$(go env GOROOT)/bin/gofmt" -l bindings/go examples/go)
    echo "$badly"
    [ -z "$badly" ]
}
check "gofmt" formatted
for folder in bindings/go bindings/go/bench bindings/go/routers examples/go; do
    check "go vet $folder" in_folder "$folder" go vet ./...
done

# ---- Tests ----

check "go test" tested -v
check "go test -race" tested -race
check "go test, the collector always running" env GOGC=1 GODEBUG=cgocheck=1 bash -c \
    "cd '$binding' && go test -count=1 ./..."
check "go test, every pointer that crosses checked" env GOEXPERIMENT=cgocheck2 bash -c \
    "cd '$binding' && go test -count=1 ./..."

check "go test, behind chi" in_folder bindings/go/routers go test -count=1 ./...

# ---- Linking ----

static_tested() {
    in_folder "$binding" go test -c -tags bpos_static -o "$out/static.test" || return 1
    if ldd "$out/static.test" | grep libbpos; then
        return 1
    fi
    in_folder "$binding" env -u LD_LIBRARY_PATH "$out/static.test"
}
check "go test -tags bpos_static needs no library" static_tested

# A source tree of its own, since the libraries may be elsewhere than in this one's target/lib.
source_tested() {
    mkdir -p "$out/tree/bindings" "$out/tree/target"
    cp -r bindings/go "$out/tree/bindings/go"
    ln -s "$root/include" "$out/tree/include"
    ln -s "$lib" "$out/tree/target/lib"
    in_folder "$out/tree/bindings/go" env -u LD_LIBRARY_PATH -u PKG_CONFIG_PATH go test -count=1 -tags bpos_source .
}
check "go test -tags bpos_source needs no pkg-config" source_tested

check "examples/go builds" in_folder examples/go go build -o "$out/server" .

# loads FOLDER EXPECTED: with the libraries of a folder, the server does not start, and says why.
loads() {
    local said loader
    loader=$(readelf -l "$out/server" | sed -n 's/.*program interpreter: \(.*\)\]/\1/p')
    # Not the libraries that are installed on this machine: they are in the loader's cache.
    if said=$("$loader" --inhibit-cache --library-path "$1" "$out/server" --registry "$out/none.json" 2>&1); then
        return 1
    fi
    echo "$said"
    grep -qE "$2" <<<"$said"
}
mkdir "$out/missing" "$out/wrong" "$out/newer"
echo "this is no library" >"$out/wrong/libbpos.so.0"
{
    grep -vE '^bpos_(abi_)?version$' tests/c/symbols.txt | sed 's/.*/void &(void) { __builtin_trap(); }/'
    echo 'unsigned bpos_abi_version(void) { return 7; } const char *bpos_version(void) { return "9.8.7"; }'
} >"$out/newer.c"
gcc -shared -fPIC -Wl,-soname,libbpos.so.0 "$out/newer.c" -o "$out/newer/libbpos.so.0"
check "a library that is missing is named" loads "$out/missing" 'libbpos\.so\.0'
check "a library that is none is named" loads "$out/wrong" 'wrong/libbpos\.so\.0'
check "a library of another ABI is refused" loads "$out/newer" 'library 9\.8\.7 has the ABI 7, .* built for the ABI 0'
check "the right library opens files" loads "$lib" 'none\.json": cannot open'

# ---- The benchmark and the example ----

check "the benchmark runs" in_folder bindings/go/bench go run . -once
# The example finds the store in the host, and looks at the file before each request, in case somebody has edited it.
asks() { # HOST EXPECTED-STATUS: of the server at $address
    curl -s -o "$out/answer" -w '%{http_code}\n' -H "Host: $1" -H "X-API-Key: $key" \
        "$address/api/v1/products" | tee "$out/status"
    grep -q "^$2" "$out/status"
}
follows() (
    "$command" init "$out/keys.json"
    key=$("$command" key create --registry "$out/keys.json" --name Sync --store yourstore --scope products:read)
    "$out/server" --registry "$out/keys.json" >"$out/address" 2>"$out/server.log" &
    trap 'kill %1' EXIT
    until address=$(sed -n 's/^listening on //p' "$out/address") && [ -n "$address" ]; do kill -0 %1 || exit 1; done
    asks YourStore.brotherpos.ca:443 200 && asks yourstore.example.com 401 && asks eu.yourstore.brotherpos.ca 401 || exit 1
    "$command" key revoke --registry "$out/keys.json" "$(grep -o 'key_[0-9A-Za-z]*' "$out/keys.json")"
    asks yourstore.brotherpos.ca. 401 && grep revoked_key "$out/answer" || exit 1
    echo '{' >"$out/keys.json"
    asks yourstore.brotherpos.ca 401 && grep 'not reloaded, the old keys stay in force: .*keys.json' "$out/server.log"
)
check "examples/go finds the store in the host, and follows the file" follows
check "examples/go passes the demo" env BPOS_SERVER="$out/server" BPOS_COMMAND="$command" examples/demo.sh

finish
