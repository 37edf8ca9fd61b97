#!/usr/bin/env bash
# Runs the shows of `loadline demo` and the breaker script as users do, and the two ways in which they can end badly.
#
#   .ci/demo.sh target/release/loadline
#
# Everything runs on 127.0.0.1, in a directory that is removed at the end. Only processes that were started here are ended.
set -euo pipefail
exec </dev/null

loadline=$(realpath "$1")
script=$(realpath "$(dirname "$0")/../scripts/demo_breaker.sh")
work=$(mktemp -d)
cd "$work"
api='' upstream='' show=''
clean_up() {
  local pid
  for pid in $api $upstream $show; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap clean_up EXIT

fail() { echo "FAILED: $*"; exit 1; }

# address FILE: where an app says that it listens, once it does.
address() {
  local found tries
  for ((tries = 0; tries < 200; tries++)); do
    found=$(sed -n 's|.*\(http://[0-9.:]*\).*|\1|p' "$1" 2>/dev/null) || true
    [[ -z $found ]] || { echo "$found"; return; }
    sleep 0.1
  done
  fail "$1: nothing listens"
}

for show in '' flash-crowd priorities deadlines herd breaker; do
  # A promise that a pause of the machine broke holds the next time; one that the code breaks never does.
  for ((try = 1; ; try++)); do
    echo "--- loadline demo $show"
    status=0
    # Words on purpose: without a show there is no argument.
    "$loadline" demo $show || status=$?
    ((status == 99 && try < 3)) || break
  done
  ((status == 0)) || fail "loadline demo $show: exit code $status"
done
show=''
[[ -s demo-report.html ]] || fail 'there is no report'

echo '--- an expectation that cannot hold'
status=0
"$loadline" demo --quick --expect 'goodput>120%' || status=$?
((status == 99)) || fail "exit code $status, not 99"

echo '--- a show that is killed leaves nothing behind'
"$loadline" demo 2>show.log &
show=$!
for ((tries = 0; tries < 200; tries++)); do
  grep -q 'with loadline' show.log && break
  sleep 0.1
done
# In words, for the ids are padded with spaces.
read -ra parts <<<"$(ps -o pid= --ppid "$show" | tr '\n' ' ')"
((${#parts[@]} == 3)) || fail "the show has ${#parts[@]} parts, not 3"
kill -KILL "$show"
show=''
for part in "${parts[@]}"; do
  for ((tries = 0; tries < 100; tries++)); do
    # A zombie has ended; whoever adopts it takes it away.
    [[ $(ps -o stat= -p "$part" || true) =~ ^(Z.*)?$ ]] && break
    sleep 0.1
  done
  ((tries < 100)) || fail "part $part outlived its show"
done

echo '--- scripts/demo_breaker.sh'
"$loadline" demo upstream --listen 127.0.0.1:0 2>upstream.log &
upstream=$!
url=$(address upstream.log)
UPSTREAM_BASE_URL=$url "$loadline" demo api --listen 127.0.0.1:0 2>api.log &
api=$!
url=$(address api.log)
BASE_URL=$url PATH_CLIENT='/client?timeout_ms=2000' "$script"

echo '--- apps end with SIGTERM, and say so with 0'
for pid in "$api" "$upstream"; do
  kill -TERM "$pid"
  wait "$pid" || fail "exit code $?"
done
api='' upstream=''
