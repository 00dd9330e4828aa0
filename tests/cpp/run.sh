#!/usr/bin/env bash
# The C++ API: include/bpos.hpp with g++ and clang++ as C++17, 20 and 23, its behaviour, and what it costs over C.
#
#   tests/cpp/run.sh                        with the library of `make lib`, in target/lib
#   BPOS_LIB=/elsewhere tests/cpp/run.sh    with another
#
# The last line is "N passed, M failed".
# shellcheck source=tests/suite.sh
. "$(dirname "$0")/../suite.sh"

need g++ g++
need clang++ clang
need python3 python3
need valgrind valgrind
need_libraries
ready
shown='^(vectors|registry|instructions|wrong_library): '

warnings=(-Wall -Wextra -pedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Wundef -Werror)
# shellcheck disable=SC2054 # the commas are the linker's
shared=(-L"$lib" -lbpos "-Wl,-rpath,$lib")
# shellcheck disable=SC2034 # named by LINKAGE
static=("$lib/libbpos.a" -lpthread -ldl -lm)
standards=(c++17 c++20 c++2b)

compile() { # COMPILER STANDARD ARGUMENT...
    local compiler=$1 standard=$2
    shift 2
    "$compiler" -std="$standard" "${warnings[@]}" -Iinclude -isystem tests/c -pthread "$@"
}

# ---- The header ----

for compiler in g++ clang++; do
    for standard in "${standards[@]}"; do
        check "bpos.hpp as $standard, $compiler" \
            compile "$compiler" "$standard" -O2 -c tests/cpp/traits.cpp -o "$out/traits.o"
    done
done

refused() { # EXPECTED-IN-THE-COMPILER'S-ANSWER CODE: it does not compile, and for that reason.
    local answer
    printf '%s\n' '#include <bpos.hpp>' '#include <iostream>' 'extern bpos::registry& registry;' \
        'extern bpos::request request;' "void code() { $2 }" >"$out/refused.cpp"
    if answer=$(compile g++ c++17 -fsyntax-only "$out/refused.cpp" 2>&1); then
        echo "it compiles: $2"
        return 1
    fi
    echo "$answer"
    grep -qF -- "$1" <<<"$answer"
}
accepted() { # CODE: the code beside which that was refused is right.
    ! refused '' "$1"
}
check "a registry is not copied" refused 'use of deleted function' 'bpos::registry copy = registry; (void)copy;'
check "a decision is not ignored" refused 'nodiscard' 'registry.authorize(request);'
check "a decision is no bool by accident" refused 'cannot convert' \
    'bool served = registry.authorize(request); (void)served;'
check "a store is not null" refused 'use of deleted function' 'request.store = nullptr;'
check "a store is not a text that vanishes" refused 'use of deleted function' 'request.store = std::string("a store");'
check "a decision that vanishes gives no view" refused 'use of deleted function' \
    'auto id = registry.authorize(request).key_id(); (void)id;'
check "a new key is not printed" refused 'no match for' 'std::cout << registry.create("{}");'
check "new keys of several changes are not printed" refused 'no match for' 'std::cout << registry.edit("[]");'
check "a new key that vanishes is not exposed" refused 'use of deleted function' \
    'auto key = registry.create("{}").expose(); (void)key;'
check "what is refused above would compile otherwise" accepted \
    'bpos::registry moved = std::move(registry); if (moved.authorize(request)) request.store = bpos::any_store;'

# ---- The programs ----

python3 tests/c/vectors.py tests/vectors/*.json >"$out/vectors.txt"

run() { # PROGRAM COMMAND...
    local program=$1
    shift
    case $program in
    vectors) "$@" <"$out/vectors.txt" ;;
    registry) "$@" "$(mktemp -d "$out/folder.XXXXXX")" ;;
    *) "$@" ;;
    esac
}
build() { # PROGRAM EXECUTABLE COMPILER STANDARD ARGUMENT...
    local sources=("tests/cpp/$1.cpp") executable=$2 compiler=$3 standard=$4
    [ "$1" != registry ] || sources+=(tests/cpp/traits.cpp)
    shift 4
    compile "$compiler" "$standard" "${sources[@]}" -o "$executable" "$@"
}
build_and_run() { # PROGRAM COMPILER STANDARD LINKAGE
    local -n libraries=$4
    build "$1" "$out/$1-$2-$3-$4" "$2" "$3" -O1 -g "${libraries[@]}" && run "$1" "$out/$1-$2-$3-$4"
}
for program in vectors registry; do
    for linkage in shared static; do
        check "$program as c++17, g++, $linkage" build_and_run "$program" g++ c++17 "$linkage"
    done
    check "$program as c++20, g++" build_and_run "$program" g++ c++20 shared
    check "$program as c++2b, clang++" build_and_run "$program" clang++ c++2b shared
done
check "a library of another ABI is refused" build_and_run other_abi g++ c++17 shared

memcheck() { # PROGRAM
    run "$1" valgrind --quiet --error-exitcode=9 --leak-check=full \
        --errors-for-leak-kinds=definite,indirect,possible "$out/$1-g++-c++17-shared"
}
check "vectors under valgrind" memcheck vectors
check "registry under valgrind" memcheck registry

sanitized() { # PROGRAM
    build "$1" "$out/sanitized" g++ c++17 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all \
        "${shared[@]}" && run "$1" "$out/sanitized"
}
check "vectors under AddressSanitizer" sanitized vectors
check "registry under AddressSanitizer" sanitized registry

# ---- What a decision costs over C, in instructions: time would depend on the machine ----

instructions() { # LANGUAGE WHAT TIMES
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$out/cost" "$@" 2>&1 | sed -n 's/.*Collected : //p'
}
costs_what_c_costs() { # WHAT
    local c cpp
    c=$(($(instructions c "$1" 1000) - $(instructions c "$1" 0)))
    cpp=$(($(instructions c++ "$1" 1000) - $(instructions c++ "$1" 0)))
    echo "instructions: $((c / 1000)) a call in C, $((cpp / 1000)) in C++"
    [ "$c" -gt 100000 ] && [ $((cpp - c)) -lt 5000 ]
}
for compiler in g++ clang++; do
    check "cost compiles, $compiler" build cost "$out/cost" "$compiler" c++17 -O2 "${shared[@]}"
    for what in allowed missing_key; do
        check "$what costs at most 5 instructions over C, $compiler" costs_what_c_costs "$what"
    done
done

# ---- The example ----

key=bpos_example0123456789
cat >"$out/example.json" <<JSON
{"version": 1, "keys": [{"id": "key_1", "name": "Website Sync", "store": "yourstore", "scopes": ["products:read"],
  "sha256": "$(printf %s "$key" | sha256sum | cut -d' ' -f1)"}]}
JSON
example() { # KEY METHOD TARGET EXPECTED...: what it prints has each of these.
    local answer expected
    answer=$(API_KEY=$1 "$out/authorize" "$out/example.json" yourstore "$2" "$3" 2>&1)
    shift 3
    echo "$answer"
    for expected in "$@"; do
        grep -qF -- "$expected" <<<"$answer" || { echo "expected: $expected"; return 1; }
    done
}
answers_as_in_c() { # KEY METHOD TARGET: each with a file of its own, or the second would count on from the first
    local program folder
    folder=$(mktemp -d "$out/folder.XXXXXX")
    for program in authorize authorize-c; do
        cp "$out/example.json" "$folder/$program.json"
    done
    same "API_KEY=$1 '$out/authorize' '$folder/authorize.json' yourstore $2 $3 2>&1" \
        "API_KEY=$1 '$out/authorize-c' '$folder/authorize-c.json' yourstore $2 $3 2>&1"
}
says_what_is_wrong() {
    ! "$out/authorize" "$out/missing.json" yourstore GET / 2>"$out/said" && grep 'io: .*missing.json' "$out/said"
}
check "examples/authorize.cpp compiles" compile g++ c++17 examples/authorize.cpp -o "$out/authorize" "${shared[@]}"
check "examples/authorize.cpp allows" example "$key" GET /api/v1/products \
    'serve yourstore, to the key key_1' 'HTTP/1.1 200' 'RateLimit-Policy: "default";q=60;w=60'
check "examples/authorize.cpp denies" example "$key" PATCH /api/v1/products/bulk \
    'deny: insufficient_scope' 'HTTP/1.1 403' '"required_scope":"products:write"'
check "examples/authorize.c compiles" gcc -Iinclude examples/authorize.c -o "$out/authorize-c" "${shared[@]}"
check "examples/authorize.cpp allows as examples/authorize.c does" answers_as_in_c "$key" GET /api/v1/products
check "examples/authorize.cpp denies as examples/authorize.c does" answers_as_in_c "$key" GET /api/v1/sales
check "examples/authorize.cpp says what is wrong" says_what_is_wrong

finish
