#!/usr/bin/env bash
# The Python package, as pip installs it: from a wheel with the library in it, tried outside of the source tree.
#
#   bindings/python/test.sh                          with the library of `make lib`, and the command in target/release
#   BPOS_LIB=… BPOS_COMMAND=… bindings/python/test.sh     with others
#
# The last line is "N passed, M failed".
. "$(dirname "$0")/../../tests/suite.sh"

command=${BPOS_COMMAND:-$target/release/bpos}
need python3 python3
need gcc gcc
need curl curl
need make make
command -v cargo >/dev/null || lacks cargo "install Rust 1.95 or later by rustup, https://rustup.rs"
need_libraries
named=$(realpath "$command")
[ -x "$command" ] || lacks "$command" "run \`cargo build --release --package bpos-cli\`, or name one in BPOS_COMMAND"
ready

packages=(pytest==8.4.2 mypy==1.18.2 fastapi==0.121.3 starlette==0.49.3 httpx==0.28.1 uvicorn==0.38.0 Flask==3.1.2)
packages+=(gunicorn==27.0.1 hypercorn==0.18.0 Django==5.2.19 djangorestframework==3.18.3)
venv "$tools/python" "${packages[@]}"
python=$tools/python/bin/python
export PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
unset BPOS_LIBRARY PYTHONPATH
shown='^[0-9]+ passed|^Success: |^[0-9]+ passed, [0-9]+ failed|^bpos .* Python '

# ---- The wheel ----

fresh() { # NAME: an empty environment, and where it is.
    python3 -m venv "$out/$1" && echo "$out/$1"
}
works() { # PYTHON: the package in it decides, far from the checkout, with a library of its own.
    cd "$out"
    "$1" - <<'PYTHON'
import bpos, pathlib
registry = bpos.Registry.from_json('{"version": 1, "keys": []}')
new = registry.create(name="A test", store="yourstore", scopes=["products:read"])
assert registry.authorize("GET", "/api/v1/products", api_key=new.key.expose(), store="yourstore")
with open("/proc/self/maps") as maps:
    loaded = {line.split()[-1] for line in maps if "libbpos" in line}
assert loaded == {str(pathlib.Path(bpos.__file__).with_name("libbpos.so.0"))}, loaded
PYTHON
}
of_the_checkout() { # The library is built in the checkout, as `make lib` does it.
    local environment
    environment=$(fresh checkout)
    "$environment/bin/pip" install --quiet ./bindings/python && (works "$environment/bin/python")
}
of_a_library() {
    BPOS_LIBRARY=$lib/libbpos.so.0 "$python" -m pip wheel --quiet --no-deps --wheel-dir "$out/wheel" ./bindings/python
    "$python" -m pip install --quiet --no-deps --force-reinstall "$out"/wheel/bpos-*-py3-none-linux_*.whl
    (works "$python") && cmp "$lib/libbpos.so.0" "$(installed)/libbpos.so.0"
}
installed() { # The package's folder.
    (cd "$out" && "$python" -c 'import bpos, os; print(os.path.dirname(bpos.__file__))')
}
refused() { # EXPECTED COMMAND...: the command fails, and says so.
    local expected=$1 answer
    shift
    if answer=$("$@" 2>&1); then
        return 1
    fi
    echo "$answer"
    grep -F -- "$expected" <<<"$answer"
}
nothing_left() { # by the builds above, in the checkout
    [ -z "$(find bindings/python -name build -o -name '*.egg-info' -o -name 'libbpos*')" ]
}
check "pip install ./bindings/python, in an empty environment" of_the_checkout
check "a wheel with the library that BPOS_LIBRARY names" of_a_library
check "a build with a library that is not there says so" refused 'names /nowhere/libbpos.so.0, which is no file' \
    env BPOS_LIBRARY=/nowhere/libbpos.so.0 "$python" -m pip wheel --no-deps --wheel-dir "$out/none" ./bindings/python
without_a_checkout() {
    cp -r bindings/python "$out/alone"
    refused 'is not in a checkout of bpos' "$python" -m pip wheel --no-deps --wheel-dir "$out/none" "$out/alone"
}
check "a build outside of a checkout says what to set" without_a_checkout
check "a build leaves nothing in the checkout" nothing_left

# ---- The package ----

tested() { # PYTEST-ARGUMENT...: run against the installed package.
    (cd bindings/python && BPOS_COMMAND=$named "$python" -m pytest --quiet -p no:cacheprovider "$@")
}
examples() { # Django's settings, which doctest looks into, must be there.
    DJANGO_SETTINGS_MODULE=django.conf.global_settings tested --doctest-modules "$(installed)"
}
typed() {
    (cd bindings/python && "$python" -m mypy --cache-dir="$out/mypy" --strict src tests bench.py &&
        cd ../../examples/python && "$python" -m mypy --cache-dir="$out/mypy" --strict server.py)
}
benchmark() {
    (cd "$out" && "$python" "$root/bindings/python/bench.py" --quick)
}
check "pytest" tested tests
check "the examples in the documentation strings" examples
check "mypy --strict" typed
check "bench.py" benchmark

# ---- The example ----

demo() {
    PATH="$tools/python/bin:$PATH" BPOS_COMMAND=$command BPOS_SERVER=examples/python/server.py examples/demo.sh
}
check "examples/python/server.py passes examples/demo.sh" demo

finish
