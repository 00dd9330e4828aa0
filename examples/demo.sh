#!/usr/bin/env bash
# The documentation of the Developer API, asked sentence by sentence: a made-up shop's server behind bpos, the real
# curl, and a registry whose keys the bpos command creates here; they are gone afterwards. `make demo` builds the server
# and the command, and runs this. Other programs: BPOS_SERVER=path/to/server BPOS_COMMAND=path/to/bpos examples/demo.sh
set -euo pipefail
umask 077

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cargo_target=${CARGO_TARGET_DIR:-target}
case $cargo_target in /*) ;; *) cargo_target=$root/$cargo_target ;; esac
server=${BPOS_SERVER:-$cargo_target/release/examples/server}
command=${BPOS_COMMAND:-$cargo_target/release/bpos}
wait_s=10 # the longest that anything is waited for

# ---- What it needs ----

stop_because() {
  echo "demo: $1" >&2
  exit 2
}

for tool in curl awk grep sed cut sort uniq mktemp mkfifo; do
  command -v "$tool" >/dev/null ||
    stop_because "$tool is missing: install it and run this again (Debian, Ubuntu: apt-get install curl mawk grep sed coreutils)"
done
[ -x "$server" ] ||
  stop_because "there is no server at $server: run 'cargo build --release --example server', or name one in BPOS_SERVER"
[ -x "$command" ] ||
  stop_because "there is no command at $command: run 'cargo build --release --package bpos-cli', or name it in BPOS_COMMAND"

# ---- A place that is gone in the end ----

dir=$(mktemp -d "${TMPDIR:-/tmp}/bpos-demo.XXXXXX")
pid=
clean_up() {
  if [ -n "$pid" ]; then
    kill -TERM "$pid" 2>/dev/null || true
    until_true "$wait_s" gone || kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  fi
  rm -rf "$dir"
}
gone() { ! kill -0 "$pid" 2>/dev/null; }
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# until_true SECONDS COMMAND…: asks again and again until the command succeeds.
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.05
  done
}

# ---- Keys: created here, known to nobody after this run ----

unset BPOS_POLICY
registry=$dir/keys.json
export BPOS_REGISTRY=$registry

# bpos WORDS…: the command, shown as one would type it; its answer is in $dir/answer.
bpos() {
  show bpos "$@"
  "$command" "$@" >"$dir/answer" 2>"$dir/said" || stop_because "bpos failed with $?: $(cat "$dir/said")"
}

keys=()
# create WORDS… and rotate WORDS…: $key and $id of what was made.
create() { take key create "$@"; }
rotate() { take key rotate "$@"; }
take() {
  bpos "$@" --json
  key=$(sed 's/.*"key":"\([A-Za-z0-9_]*\)".*/\1/' "$dir/answer")
  id=$(sed 's/.*"id":"\([A-Za-z0-9_]*\)".*/\1/' "$dir/answer")
  rm "$dir/answer"
  case $key:$id in bpos_*:key_*) ;; *) stop_because "'bpos $*' gave no key" ;; esac
  keys+=("$key")
}

# Prints a command as one would type it, with only the hints of the keys.
show() {
  local line='    $' word
  for word in "$@"; do
    case $word in
      *[!A-Za-z0-9_:/.=-]*) line+=" '$word'" ;;
      *) line+=" $word" ;;
    esac
  done
  local key
  for key in ${keys[@]+"${keys[@]}"}; do
    line=${line//${key#bpos_}/${key:5:4}…}
  done
  printf '%s\n' "${line//"$dir/"/}"
}

printf '== Creating an API key ==\n\n'
bpos init "$dir/other.json"
create --registry "$dir/other.json" --name "Another registry" --store yourstore --scope products:read
wrong=$key # nobody's, in the registry of the demo

bpos init "$registry"
create --name "Website Sync" --store yourstore --scope products:write --scope customers:write --scope inventory:write --rate-limit 120
sync=$key sync_id=$id
create --name "BI Dashboard" --store yourstore --scope products:read --scope sales:read
dash=$key
create --name "Trial run" --store yourstore --scope customers:write --test-mode
trial=$key trial_id=$id
create --name "Was leaked" --store yourstore --scope products:read
leaked=$key
bpos key revoke "$id"
create --name "Last season" --store yourstore --scope products:read --expires 90d
old=$key
bpos key update "$id" --expires 2026-01-01
create --name "Website Sync" --store otherstore --scope products:read
foreign=$key

hint() { echo "${1:0:9}"; }

# ---- The server ----

log=$dir/server.log
mkfifo "$dir/stdout"
"$server" --registry "$registry" >"$dir/stdout" 2>"$log" &
pid=$!
exec 3<"$dir/stdout"
line=
IFS= read -r -t "$wait_s" line <&3 || true
address=${line#listening on http://}
if [ "$address" = "$line" ]; then
  cat "$log" >&2
  stop_because "the server did not start: its first line is '$line'"
fi

# ---- Steps, and how they are shown and judged: what the documentation says, what is asked, what comes back ----

passed=0 failed=0 step=0 step_open=
differences=() # of this step
failures=()    # of all

chapter() {
  end_step
  printf '\n\n== %s ==\n' "$1"
}

# step TITLE [SENTENCE]: the sentence is the documentation's.
step() {
  end_step
  step=$((step + 1)) step_open=yes title=$1
  printf '\n%2d. %s\n' "$step" "$1"
  [ -z "${2:-}" ] || printf '    "%s"\n' "$2"
}

end_step() {
  [ -n "$step_open" ] || return 0
  step_open=
  if [ "${#differences[@]}" -eq 0 ]; then
    passed=$((passed + 1))
    echo "    ok"
  else
    failed=$((failed + 1))
    local difference
    for difference in "${differences[@]}"; do
      echo "    FAILED: $difference"
      failures+=("$step. $title: $difference")
    done
  fi
  differences=()
}

# ask KEY METHOD PATH [CURL'S OPTIONS…]: one request to $store, and what came back.
store=yourstore
ask() {
  request "$@"
  show curl "${words[@]}"
  : >"$dir/headers"
  : >"$dir/body"
  status=$(send --dump-header "$dir/headers" --write-out '%{http_code}' "${words[@]}") ||
    status="none, curl failed with $?"
  code=$(sed -n 's/.*"code":"\([a-z_]*\)".*/\1/p' "$dir/body")
  echo "    -> $status${code:+ $code}"
  local name
  for name in WWW-Authenticate Retry-After RateLimit-Policy RateLimit; do
    [ -z "$(header "$name")" ] || echo "       $name: $(header "$name")"
  done
}

# request KEY METHOD PATH [CURL'S OPTIONS…]: what curl is told, in $words.
request() {
  local key=$1 method=$2 path=$3
  shift 3
  words=()
  case $method in
    GET) ;;
    HEAD) words+=(--head) ;;
    *) words+=(-X "$method") ;;
  esac
  [ -z "$key" ] || words+=(-H "X-API-Key: $key")
  words+=("$@" "http://$store.brotherpos.ca$path")
}

# Every connection goes to this demo's server, whatever the host is called; no proxy and no configuration of the user's
# comes between.
send() {
  curl -q --silent --show-error --noproxy '*' --connect-to "::$address" --max-time "$wait_s" --output "$dir/body" "$@"
}

# A header of the last answer, whatever the case of its name.
header() {
  awk -v name="$1" '{
    colon = index($0, ":")
    if (colon && tolower(substr($0, 1, colon - 1)) == tolower(name)) {
      value = substr($0, colon + 1)
      gsub(/^[ \t]+|[ \t\r]+$/, "", value)
      print value
    }
  }' "$dir/headers"
}

# Prints what matters of the last answer's body.
body() { printf '       %s\n' "$(cut -c 1-200 "$dir/body")"; }

# expect WHAT EXPECTED FOUND
expect() { [ "$2" = "$3" ] || differences+=("$1: expected '$2', found '$3'"); }

# expect_in WHAT TEXT FILE
expect_in() { grep -qF -- "$2" "$3" || differences+=("$1: expected '$2' in it, found '$(cut -c 1-200 "$3")'"); }

# admitted STATUS LIMIT: a request that counts, and whose client is told what is left.
admitted() {
  expect status "$1" "$status"
  expect RateLimit-Policy "\"default\";q=$2;w=60" "$(header RateLimit-Policy)"
  expect "RateLimit (its form)" '"default";r=N;t=N' "$(header RateLimit | sed 's/=[0-9][0-9]*/=N/g')"
}

# denied STATUS CODE: a request that is refused, in the form of RFC 9457.
denied() {
  expect status "$1" "$status"
  expect code "$2" "$code"
  expect Content-Type application/problem+json "$(header Content-Type)"
  case $1 in 401) expect WWW-Authenticate 'ApiKey realm="bpos"' "$(header WWW-Authenticate)" ;; esac
  case $1 in 429) ;; *) expect Retry-After "" "$(header Retry-After)" ;; esac
}

# logged PATTERN: waits for such a line in the server's log.
logged() {
  if until_true "$wait_s" grep -q "$1" "$log"; then
    echo "    -> $(grep "$1" "$log" | sed -e "s|$dir/||" -e '$!d')"
  else
    differences+=("the server's log: expected '$1'; its last line is '$(sed '$!d' "$log")'")
  fi
}

# What the registry's revision is now: one more with every change.
revision() { sed -n 's/^ *"revision": \([0-9]*\),$/\1/p' "$registry"; }

# ---- The walk ----

json=(-H 'Content-Type: application/json')

cat <<END

bpos: the documentation of the Developer API, sentence by sentence, asked of a server on $address.
Every host below stands for that server (curl's --connect-to), and of every key only its hint is shown.
END

chapter "Keys are shown once"

step "The registry holds no key" "It is displayed only once and cannot be retrieved later"
bpos key list
sed 's/^/    /' "$dir/answer"
for key in "${keys[@]}"; do
  expect "lines with the key $(hint "$key")…" 0 "$(grep -cF "${key#bpos_}" "$registry" || true)"
done

chapter "Using your API key"

step "A good key" "Include the key in the X-API-Key header on every request"
ask "$sync" GET /api/v1/products
body
admitted 200 120
expect_in body '"name":"Espresso"' "$dir/body"

step "HEAD asks the same, without a body"
ask "$sync" HEAD /api/v1/products
admitted 200 120

step "No key" "401 Unauthorized: Missing, invalid, or revoked API key"
ask "" GET /api/v1/products
body
denied 401 missing_key

step "A key that nobody has" "401 Unauthorized: Missing, invalid, or revoked API key"
ask "$wrong" GET /api/v1/products
denied 401 invalid_key
cp "$dir/body" "$dir/unknown"

step "Two keys: neither is picked"
ask "$sync" GET /api/v1/products -H "X-API-Key: $dash"
denied 401 invalid_key

step "The key in the URL" "Never pass your API key as a query parameter"
ask "" GET "/api/v1/products?api_key=$sync"
denied 401 key_in_url

step "The key in the URL, percent-encoded, even beside the header" "Never pass your API key as a query parameter"
ask "$sync" GET "/api/v1/products?api_key=bpos%5F${sync#bpos_}"
denied 401 key_in_url

step "What the server's own log has of these two" "… to prevent the key from being logged in server access logs"
grep key_in_url "$log" | sed 's/^/    /' || true
expect "lines in the log" 2 "$(grep -c key_in_url "$log" || true)"

chapter "Each key is scoped to a single store"

step "A key of another store" "Each key is scoped to a single store"
ask "$foreign" GET /api/v1/products
denied 401 invalid_key
expect "the body, beside that for an unknown key" "$(cat "$dir/unknown")" "$(cat "$dir/body")"

step "The same key in its own store" "Each key is scoped to a single store"
store=otherstore
ask "$foreign" GET /api/v1/products
store=yourstore
admitted 200 60

chapter "Revoked and expired keys"

step "A revoked key" "All requests using that key will receive a 401 Unauthorized response"
ask "$leaked" GET /api/v1/products
denied 401 revoked_key

step "An expired key" "Expires At: Optional expiration date"
ask "$old" GET /api/v1/products
denied 401 expired_key

chapter "Scopes"

step "A scope that the key lacks" "403 Forbidden: Valid key but insufficient scope for this endpoint"
ask "$sync" GET /api/v1/sales
body
denied 403 insufficient_scope
expect_in body '"required_scope":"sales:read"' "$dir/body"

step "A read scope does not write" "products:write: Bulk-update product prices and stock"
ask "$dash" PATCH /api/v1/products/bulk "${json[@]}" -d '{"products": [{"id": 1, "price_cents": 1}]}'
denied 403 insufficient_scope
expect_in body '"required_scope":"products:write"' "$dir/body"

step "A write scope reads" "Write scopes include read: A key with customers:write can also read customers"
ask "$sync" GET /api/v1/customers/1
body
admitted 200 120

step "A write" "customers:write: Create and update customer records"
ask "$sync" POST /api/v1/customers "${json[@]}" -d '{"name": "Grace Example", "email": "grace@example.com"}'
body
admitted 201 120

step "The new customer is there"
ask "$sync" GET /api/v1/customers/3
body
admitted 200 120
expect_in body '"name":"Grace Example"' "$dir/body"

step "Another write" "inventory:write: Create stock adjustments"
ask "$sync" POST /api/v1/inventory/adjustments "${json[@]}" -d '{"product_id": 2, "change": -4, "reason": "Breakage"}'
admitted 201 120

step "The stock went from 24 to 20" "inventory:read: Stock levels, inventory adjustments"
ask "$sync" GET /api/v1/inventory/2
body
admitted 200 120
expect_in body '"stock":20' "$dir/body"

step "A bulk update" "products:write: Bulk-update product prices and stock"
ask "$sync" PATCH /api/v1/products/bulk "${json[@]}" -d '{"products": [{"id": 1, "price_cents": 375, "stock": 390}]}'
admitted 200 120

step "The price went from 350 to 375"
ask "$sync" GET /api/v1/products/1
body
admitted 200 120
expect_in body '"price_cents":375' "$dir/body"

step "An endpoint that no scope names: what is not allowed is denied"
ask "$sync" GET /api/v1/employees
denied 403 unmapped_route

chapter "Test mode"

step "A test-mode key reads" "the key can only read data"
ask "$trial" GET /api/v1/customers
admitted 200 60

step "A test-mode key does not write, although it has customers:write" "all write operations are blocked"
ask "$trial" POST /api/v1/customers "${json[@]}" -d '{"name": "Nobody"}'
denied 403 test_mode

chapter "Rate limit"

step "The first request of a key without a limit of its own; the one denied above did not count" \
  "Rate Limit: Requests per minute (default: 60, max: 1,000)"
ask "$dash" GET /api/v1/sales
admitted 200 60
expect "RateLimit, what is left" 59 "$(header RateLimit | sed 's/.*r=\([0-9]*\).*/\1/')"

step "59 more"
request "$dash" GET '/api/v1/sales?page=[2-60]'
show curl "${words[@]}"
send --write-out '%{http_code}\n' "${words[@]}" >"$dir/statuses" || differences+=("curl failed")
expect statuses "59 200" "$(sort "$dir/statuses" | uniq -c | awk '{ print $1, $2 }')"
echo "    -> 59 times 200"

step "The 61st in a minute" "429 Too Many Requests: Rate limit exceeded — check Retry-After header"
ask "$dash" GET '/api/v1/sales?page=61'
body
denied 429 rate_limited
retry_after=$(header Retry-After)
expect RateLimit "\"default\";r=0;t=$retry_after" "$(header RateLimit)"
expect RateLimit-Policy '"default";q=60;w=60' "$(header RateLimit-Policy)"

step "Retry-After is a number of seconds, 1 to 61" "check Retry-After header"
echo "    -> $retry_after"
case $retry_after in
  '' | *[!0-9]*) differences+=("Retry-After: expected a whole number, found '$retry_after'") ;;
  *)
    if [ "$retry_after" -lt 1 ] || [ "$retry_after" -gt 61 ]; then
      differences+=("Retry-After: expected 1 to 61, found $retry_after")
    fi
    ;;
esac

step "Another key has its own limit"
ask "$sync" GET /api/v1/products
admitted 200 120

chapter "Another secret for a key"

step "Rotated with grace: the new secret works, and for another hour the one before it"
before=$trial
rotate "$trial_id" --grace 1h
trial=$key
ask "$trial" GET /api/v1/customers
admitted 200 60
ask "$before" GET /api/v1/customers
admitted 200 60

step "Rotated without grace: what was known before works no more"
between=$trial
rotate "$trial_id" --grace 0
trial=$key
ask "$before" GET /api/v1/customers
denied 401 invalid_key
ask "$between" GET /api/v1/customers
denied 401 invalid_key
ask "$trial" GET /api/v1/customers
admitted 200 60

chapter "Revoking a key"
cp "$registry" "$dir/backup.json"
backup=$(revision)

step "A document with a mistake changes nothing"
sed -e "s/\"revision\": $backup/\"revision\": $((backup + 1))/" -e 's/"sales:read"/"sale:read"/' "$dir/backup.json" >"$registry"
show bpos lint keys.json
"$command" lint "$registry" >"$dir/mistakes" 2>/dev/null || true
sed -e "s|$dir/||" -e 's/; expected.*//' -e 's/^/    -> /' "$dir/mistakes"
expect "lines of mistakes" 1 "$(grep -c . "$dir/mistakes" || true)"
ask "$sync" GET /api/v1/products
admitted 200 120
logged 'not reloaded.*sale:read'
cp "$dir/backup.json" "$registry"

step "Revoked" "Revocation is immediate"
bpos key revoke "$sync_id"
sed 's/^/    -> /' "$dir/answer"
ask "$sync" GET /api/v1/products
denied 401 revoked_key

step "The other keys go on, and what they used up stays used up"
ask "$dash" GET /api/v1/sales
denied 429 rate_limited
ask "$trial" GET /api/v1/customers
admitted 200 60

step "An old copy of the document cannot bring the key back" "Revocation is immediate"
echo "    \$ cp backup.json keys.json"
cp "$dir/backup.json" "$registry"
ask "$sync" GET /api/v1/products
denied 401 revoked_key
logged "not reloaded.*revision $backup"

chapter "Afterwards"

step "The server's log holds no key" "treat it like a password"
echo "    -> $(grep -c . "$log") lines, such as"
sed -n '1p;/insufficient_scope/{p;q;}' "$log" | sed 's/^/       /'
for key in "${keys[@]}"; do
  expect "lines with the key $(hint "$key")…" 0 "$(grep -cF "${key#bpos_}" "$log" || true)"
done

step "SIGTERM ends the server"
kill -TERM "$pid"
until_true "$wait_s" gone || differences+=("the server: expected to be gone, found running")
if gone; then
  wait "$pid" && exit_status=0 || exit_status=$?
  pid=
  expect "exit status" 0 "$exit_status"
fi
end_step

printf '\n'
if [ "$failed" -gt 0 ]; then
  printf 'Not as expected:\n'
  printf '  %s\n' "${failures[@]}"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
