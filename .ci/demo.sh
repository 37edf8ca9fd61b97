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
stand_in=$(realpath "$(dirname "$0")/kubectl.py")
work=$(mktemp -d)
cd "$work"
api='' upstream='' killed=''
clean_up() {
  local pid
  for pid in $api $upstream $killed; do kill "$pid" 2>/dev/null || true; done
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

# show EXIT-CODE ARGUMENT...: runs it, up to three times: a promise that a pause of the machine broke holds the next time; one that the
# code breaks never does. A machine on which no run can be judged is no failure, and is told of.
show() {
  local expected=$1 status try
  shift
  for ((try = 0; try < 3; try++)); do
    echo "--- loadline demo $*"
    status=0
    "$loadline" demo "$@" 2>&1 | tee show.txt || status=$?
    ((status != expected)) || return 0
  done
  grep -q 'too busy' show.txt || fail "loadline demo $*: exit code $status, not $expected"
  echo "NOT JUDGED: loadline demo $*"
}

show 0
for name in flash-crowd priorities deadlines herd breaker; do
  show 0 "$name"
done
[[ -s demo-report.html ]] || fail 'there is no report'

echo '--- an expectation that cannot hold'
show 99 --quick --expect 'goodput>120%'

echo '--- a show that is killed leaves nothing behind'
"$loadline" demo 2>show.log &
killed=$!
for ((tries = 0; tries < 200; tries++)); do
  grep -q 'with loadline' show.log && break
  sleep 0.1
done
# In words, for the ids are padded with spaces.
read -ra parts <<<"$(ps -o pid= --ppid "$killed" | tr '\n' ' ')"
((${#parts[@]} == 3)) || fail "the show has ${#parts[@]} parts, not 3"
kill -KILL "$killed"
killed=''
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
UPSTREAM_BASE_URL=$url BREAKER_COOLDOWN_SECONDS=5 "$loadline" demo api --listen 127.0.0.1:0 2>api.log &
api=$!
url=$(address api.log)
patient=(PATH_CLIENT='/client?timeout_ms=2000')
env "${patient[@]}" BASE_URL="$url" WARMUP_N=100 TRIP_N=200 RECOVER_N=100 "$script"

echo '--- scripts/demo_breaker.sh in a cluster, with a stand-in for kubectl'
mkdir bin
ln -s "$stand_in" bin/kubectl
in_cluster() {
  env PATH="$work/bin:$PATH" LOCAL_SERVICE="${url#http://}" "${patient[@]}" \
    NS=somewhere SVC=some-api UPSTREAM_DEPLOY=some-upstream "$@" "$script"
}
in_cluster WARMUP_N=50 TRIP_N=100 RECOVER_N=50 FAIL_RATE_TRIP=0.999 FAIL_RATE_RECOVER=0 2>&1 | tee cluster.txt ||
  fail 'the demo in a cluster'
for line in 'deployment "some-upstream" successfully rolled out' '1  warm up: 50 requests' \
  '2  trip: 100 requests, 20 at once, fail_rate=0.999' '3  recover: 50 requests' 'max by (pod) (circuit_breaker_state)'; do
  grep -qF -- "$line" cluster.txt || fail "the demo in a cluster does not say: $line"
done
# refuses EXIT-CODE WORDS SETTING...: with these settings it ends at once, with this exit code and these words.
refuses() {
  local expected=$1 words=$2 status=0
  shift 2
  in_cluster "$@" >refused.txt 2>&1 || status=$?
  { ((status == expected)) && grep -qF -- "$words" refused.txt; } || { cat refused.txt; fail "$*: exit code $status, not $expected"; }
}
refuses 1 'namespaces "nowhere" not found' NS=nowhere
refuses 1 'deployments.apps "deployment/none" not found' UPSTREAM_DEPLOY=none
refuses 1 'services "service/none" not found' SVC=none
refuses 1 'FAILED: percent answered 200: 0 is not >= 99' WARMUP_N=10 FAIL_RATE_RECOVER=1.0
refuses 2 "TRIP_N: 'many' is not a number" TRIP_N=many
for ((tries = 0; tries < 100; tries++)); do
  pgrep -f "$work/bin/kubectl" >/dev/null || break
  sleep 0.1
done
((tries < 100)) || fail 'a port-forward outlived its script'

echo '--- apps end with SIGTERM, and say so with 0'
for pid in "$api" "$upstream"; do
  kill -TERM "$pid"
  wait "$pid" || fail "exit code $?"
done
api='' upstream=''
