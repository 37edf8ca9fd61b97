#!/usr/bin/env bash
# The demo service's circuit breaker in three steps: warm up, trip, recover. Each step is checked; the exit code tells.
#
#   NS=load-shed SVC=load-shed-api scripts/demo_breaker.sh        in a cluster, through kubectl port-forward
#   BASE_URL=http://127.0.0.1:8080 scripts/demo_breaker.sh        a service that listens there
#
# The rest of the environment, with defaults: UPSTREAM_DEPLOY=load-shed-upstream PATH_CLIENT=/client WARMUP_N=200 TRIP_N=1200
# RECOVER_N=600 FAIL_RATE_TRIP=1.0 FAIL_RATE_RECOVER=0.0. Needs curl, and kubectl without BASE_URL. Exit codes: 0 everything held,
# 1 something did not, 2 usage.
#
# A breaker belongs to a pod, and a port-forward leads to one: the pod that is asked is the pod whose metrics are read.
set -euo pipefail
exec </dev/null

NS=${NS:-load-shed}
SVC=${SVC:-load-shed-api}
UPSTREAM_DEPLOY=${UPSTREAM_DEPLOY:-load-shed-upstream}
PATH_CLIENT=${PATH_CLIENT:-/client}
WARMUP_N=${WARMUP_N:-200}
TRIP_N=${TRIP_N:-1200}
RECOVER_N=${RECOVER_N:-600}
FAIL_RATE_TRIP=${FAIL_RATE_TRIP:-1.0}
FAIL_RATE_RECOVER=${FAIL_RATE_RECOVER:-0.0}
BASE_URL=${BASE_URL:-}

# Longest wait for the service, and for the breaker's open time (10 s by default, longer if it trips again and again).
readonly READY_SECONDS=30 COOLDOWN_SECONDS=150

for name in WARMUP_N TRIP_N RECOVER_N; do
  [[ ${!name} =~ ^[1-9][0-9]{0,6}$ ]] || { echo "$name: '${!name}' is not a number of requests (1 to 9999999)" >&2; exit 2; }
done

forward=
answers=$(mktemp)
clean_up() {
  [[ -z $forward ]] || kill "$forward" 2>/dev/null || true
  rm -f "$answers" "$answers.forward"
}
trap clean_up EXIT

fail() { echo "FAILED: $*" >&2; exit 1; }
# check WHAT LEFT OPERATOR RIGHT
check() { (($2 $3 $4)) || fail "$1: $2 is not $3 $4"; printf '   ok  %s: %s\n' "$1" "$2"; }

# metric SERIES: its value as a whole number; 0 if it is not there.
metric() {
  local page
  page=$(curl -fsS --max-time 10 "$BASE_URL/metrics") || fail 'the service has no metrics'
  awk -v series="$1" '$1 == series { value = $2 } END { printf "%.0f\n", value }' <<<"$page"
}
state() { metric circuit_breaker_state; }

# ask COUNT PARALLEL QUERY: the statuses, one on a line, to $answers. 000 is no answer.
ask() {
  local separator='?'
  [[ $PATH_CLIENT != *\?* ]] || separator='&'
  : >"$answers"
  (($1 == 0)) || seq "$1" | xargs -P "$2" -n 1 sh -c \
    'curl -s -o /dev/null --max-time 30 -w "%{http_code}\n" "$0" || true' "$BASE_URL$PATH_CLIENT$separator$3" >>"$answers"
  sort "$answers" | uniq -c | awk '{ printf "   %s x %s", $1, $2 } END { print "" }'
}
# The number of answers with a status.
count() { grep -c "^$1\$" "$answers" || true; }

if [[ -z $BASE_URL ]]; then
  kubectl -n "$NS" rollout status "deployment/$UPSTREAM_DEPLOY" --timeout=120s
  kubectl -n "$NS" port-forward "service/$SVC" :80 >"$answers.forward" 2>&1 &
  forward=$!
  for ((i = 0; i < READY_SECONDS * 10; i++)); do
    port=$(sed -n 's/^Forwarding from 127\.0\.0\.1:\([0-9]*\) .*/\1/p' "$answers.forward")
    [[ -z $port ]] || break
    kill -0 "$forward" 2>/dev/null || fail "kubectl port-forward: $(cat "$answers.forward")"
    sleep 0.1
  done
  [[ -n $port ]] || fail 'kubectl port-forward did not begin'
  BASE_URL=http://127.0.0.1:$port
fi
BASE_URL=${BASE_URL%/}
curl -fsS --retry "$READY_SECONDS" --retry-delay 1 --retry-connrefused --max-time 10 -o /dev/null "$BASE_URL/healthz" ||
  fail "$BASE_URL is not well"

echo "1  warm up: $WARMUP_N requests, 10 at once, at $BASE_URL$PATH_CLIENT"
ask "$WARMUP_N" 10 "fail_rate=$FAIL_RATE_RECOVER"
check 'percent answered 200' "$(($(count 200) * 100 / WARMUP_N))" '>=' 99

echo "2  trip: $TRIP_N requests, 20 at once, fail_rate=$FAIL_RATE_TRIP"
refused=$(metric 'upstream_requests_total{result="breaker_open"}')
ask "$TRIP_N" 20 "fail_rate=$FAIL_RATE_TRIP"
check 'circuit_breaker_state' "$(state)" '==' 1
check 'refused by the breaker, as clients saw it' "$(count 503)" '>=' 1
more=$(($(metric 'upstream_requests_total{result="breaker_open"}') - refused))
check 'refused by the breaker, as it counted' "$more" '>=' "$(count 503)"

echo '   waiting until the open time is over'
for ((i = 0; i < COOLDOWN_SECONDS; i++)); do
  [[ $(state) != 0 ]] || break
  sleep 1
done
check 'circuit_breaker_state' "$(state)" '==' 0

echo "3  recover: $RECOVER_N requests, 10 at once, fail_rate=$FAIL_RATE_RECOVER"
# The first is the probe, and whatever comes beside it is refused.
ask 1 1 "fail_rate=$FAIL_RATE_RECOVER"
check 'the probe was answered 200' "$(count 200)" '==' 1
rest=$((RECOVER_N - 1))
if ((rest > 0)); then
  ask "$rest" 10 "fail_rate=$FAIL_RATE_RECOVER"
  check 'percent answered 200' "$(($(count 200) * 100 / rest))" '>=' 99
fi
check 'circuit_breaker_state' "$(state)" '==' 0

cat <<'PROMQL'
everything held. In Prometheus:
  max by (pod) (circuit_breaker_state)
  sum by (result) (rate(upstream_requests_total[1m]))
  sum by (status) (rate(http_requests_total{path="/client"}[1m]))
  histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{path="/client"}[1m])))
PROMQL
