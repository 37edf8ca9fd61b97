#!/usr/bin/env bash
# Drives the binary with tools that others wrote: promtool, Prometheus, curl, wrk, h2load, nginx, HAProxy, and a Python app.
#
#   .ci/real-tools.sh target/release/loadline
#
# Everything runs on 127.0.0.1, on ports of the system's choice, in a directory that is removed at the end. Only processes that were
# started here are ended. The first expectation that does not hold ends the run, with the logs.
set -euo pipefail
exec </dev/null

loadline=$(realpath "$1")
# What the environment says about loadline is not for the ones started here.
unset MAX_CONNECTIONS QUEUE_TIMEOUT SERVER_TIMEOUT PORT HEALTHCHECK_PATH LOG_ADDRESS LOG_FORMAT
here=$(realpath "$(dirname "$0")")
work=$(mktemp -d)
cd "$work"

# The shell's own table of what still runs: an id in it cannot have become somebody else's. Redirected to a file, because in
# a subshell the table is another.
running() { jobs -pr >running.txt && mapfile -t ours <running.txt && ((${#ours[@]})); }

clean_up() {
  local status=$? signal tries ours
  for signal in TERM KILL; do
    running && kill "-$signal" "${ours[@]}" 2>/dev/null || true
    for ((tries = 0; tries < 50; tries++)); do
      running || break
      pause
    done
  done
  if ((status)); then
    tail -n 10 ./*.log || true
    echo "${failure:-FAILED: a command ended with $status}"
  fi
  rm -rf "$work"
  exit "$status"
}
trap clean_up EXIT

say() { printf -- '--- %s\n' "$*"; }
# In a subshell (`$(…)`) only the status gets out, which is enough to end the run.
fail() { failure="FAILED: $*"; echo "$failure"; exit 1; }
# equal WHAT EXPECTED ACTUAL
equal() { [[ $2 == "$3" ]] || fail "$1: expected '$2', got '$3'"; printf 'ok  %s: %s\n' "$1" "$3"; }
# at_least WHAT LEAST ACTUAL
at_least() { (($3 >= $2)) || fail "$1: expected at least $2, got $3"; printf 'ok  %s: %s\n' "$1" "$3"; }

pause() { sleep 0.1; }

# wait_for WHAT COMMAND...: until it succeeds, at most 20 s.
wait_for() {
  local what=$1 tries
  shift
  for ((tries = 0; tries < 200; tries++)); do
    "$@" >/dev/null 2>&1 && return
    pause
  done
  fail "waited in vain for: $what"
}

# start NAME COMMAND...: in the background; its id is in $child, its output in NAME.log and NAME.out.
start() {
  local name=$1
  shift
  "$@" >"$name.out" 2>"$name.log" &
  child=$!
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# json FILTER: evaluates a Python expression over the document `d` on stdin.
json() { python3 -c 'import json, sys; d = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }

# proxy NAME [ARGUMENTS...]: a loadline on free ports; its addresses are in $url and $admin.
proxy() {
  local name=$1
  shift
  start "$name" "$loadline" "$@" --set listen=127.0.0.1:0 --set admin.listen=127.0.0.1:0
  wait_for "$name to be ready" grep -q '"msg":"ready"' "$name.log"
  url=http://$(head -n 1 "$name.log" | json 'd["listen"]')
  admin=http://$(head -n 1 "$name.log" | json 'd["admin"]')
}

# stop NAME: SIGTERM to $child, which must end with 0.
stop() {
  local status=0
  kill -TERM "$child"
  wait "$child" || status=$?
  equal "$1 ends after SIGTERM" 0 "$status"
}

status() { curl -sS -o /dev/null -m 20 -w '%{http_code}' "$@"; }
sample() { curl -fsS "$admin/metrics" | awk -v name="$1" 'index($0, name) == 1 { sum += $NF } END { print sum + 0 }'; }
in_flight() { [[ $(sample http_requests_active) == "$1" ]]; }

# promtool prints nothing and ends with 0 when the text is right in every respect that it knows.
promtool_is_content() {
  local said
  curl -fsS "$admin/metrics" >metrics.txt
  said=$(promtool check metrics <metrics.txt 2>&1) || fail "promtool check metrics: $said"
  equal "promtool check metrics, $1" '' "$said"
}

# wrk_results FILE: requests, answers that are not 2xx or 3xx, socket errors.
wrk_requests() { awk '/requests in/ { print $1 }' "$1"; }
wrk_refused() { awk '/Non-2xx/ { n = $NF } END { print n + 0 }' "$1"; }
wrk_errors() { awk '/Socket errors/ { gsub(",", ""); n = $4 + $6 + $8 + $10 } END { print n + 0 }' "$1"; }
# h2load_count WORD FILE: "requests: 100 total, …, 100 succeeded, 0 failed, …"
h2load_count() { awk -v word="$1" '/^requests:/ { gsub(",", ""); for (i = 2; i < NF; i += 2) if ($(i + 1) == word) print $i }' "$2"; }

demo_with_curl() {
  say 'curl and the demo app'
  proxy demo --set limit.concurrency=4 --set queue.timeout=500ms
  equal 'GET' 200 "$(status "$url/fast")"
  equal 'HEAD' 200 "$(status -I "$url/fast")"
  equal 'HTTP/1.0' 200 "$(status --http1.0 "$url/fast")"
  equal 'HTTP/2' 200 "$(status --http2-prior-knowledge "$url/fast")"
  equal 'HTTP/2 by Upgrade is answered with HTTP/1.1' 200 "$(status --http2 "$url/fast")"
  equal 'download' 20000000 "$(curl -sS -m 20 "$url/bytes/20000000" | wc -c)"
  head -c 3000000 /dev/urandom >body
  curl -sS -m 20 --data-binary @body "$url/echo" | cmp - body || fail 'an upload comes back'
  curl -sS -m 20 -H 'Expect: 100-continue' --expect100-timeout 10 --data-binary @body "$url/echo" | cmp - body || fail '100-continue'
  curl -sS -m 20 -H 'Transfer-Encoding: chunked' --data-binary @body "$url/echo" | cmp - body || fail 'a chunked upload'
  curl -sS -m 20 --http2-prior-knowledge --data-binary @body "$url/echo" | cmp - body || fail 'an HTTP/2 upload'
  echo 'ok  uploads of 3 MB come back: plain, 100-continue, chunked, HTTP/2'
  equal 'a request with two lengths' 400 "$(status -H 'Content-Length: 1' -H 'Content-Length: 2' --data x "$url/echo")"
}

demo_under_load() {
  say 'wrk and the demo app, twice what it can do; promtool meanwhile'
  promtool_is_content 'idle'
  wrk -c 100 -t 2 -d 6s "$url/" >wrk.txt &
  local wrk=$!
  wait_for 'shedding' grep -q SHEDDING demo.log
  promtool_is_content 'under load'
  equal 'a health check under load' 200 "$(status "$url/healthcheck")"
  equal 'readiness under load' 200 "$(status "$admin/readyz")"
  wait "$wrk"
  cat wrk.txt
  equal 'connections that failed' 0 "$(wrk_errors wrk.txt)"
  at_least 'answers with 503' 1 "$(wrk_refused wrk.txt)"
  # 4 slots and 50 ms allow 80/s; the rest of the machine is busy too.
  at_least 'answers with 200 in 6 s' 250 $(($(wrk_requests wrk.txt) - $(wrk_refused wrk.txt)))
  wait_for 'nothing in flight' in_flight 0
  equal 'offered = admitted + shed + abandoned' "$(sample loadline_requests_offered_total)" \
    $(($(sample loadline_requests_admitted_total) + $(sample http_requests_shed_total) + $(sample loadline_requests_abandoned_total)))
}

prometheus_scrapes() {
  say 'Prometheus'
  local port query target
  port=$(free_port)
  target=${admin#http://}
  printf '%s\n' 'global: { scrape_interval: 1s }' 'scrape_configs:' "- job_name: loadline" \
    "  static_configs: [{ targets: ['$target'] }]" >prometheus.yml
  promtool check config prometheus.yml
  start prometheus prometheus --config.file=prometheus.yml --storage.tsdb.path=tsdb --web.listen-address="127.0.0.1:$port" \
    --enable-feature=exemplar-storage
  local server=$child
  query() { curl -fsS -m 5 --data-urlencode "query=$1" "http://127.0.0.1:$port/api/v1/query" | json 'd["data"]["result"][0]["value"][1]'; }
  up() { [[ $(query up) == 1 ]]; }
  wait_for 'a scrape' up
  equal 'up' 1 "$(query up)"
  at_least 'http_requests_total in Prometheus' 1 "$(query 'sum(http_requests_total)')"
  at_least 'samples in a scrape' 100 "$(query scrape_samples_scraped)"
  equal 'errors of the target' '' "$(curl -fsS "http://127.0.0.1:$port/api/v1/targets" | json 'd["data"]["activeTargets"][0]["lastError"]')"
  # A traced request, and one whose trace nobody records: Prometheus reads the first from both histograms.
  local trace=4bf92f3577b34da6a3ce929d0e0e4736 name
  equal 'a traced request' 200 "$(status -H "traceparent: 00-$trace-00f067aa0ba902b7-01" "$url/fast")"
  equal 'one that is not recorded' 200 "$(status -H "traceparent: 00-${trace//4/5}-00f067aa0ba902b7-00" "$url/fast")"
  exemplars() {
    curl -fsS -m 5 --data-urlencode "query=$1_bucket" -d start="$(($(date +%s) - 600))" -d end="$(($(date +%s) + 60))" \
      "http://127.0.0.1:$port/api/v1/query_exemplars" | json '" ".join(sorted({e["labels"]["trace_id"] for s in d["data"] for e in s["exemplars"]}))'
  }
  has_exemplar() { [[ -n $(exemplars "$1") ]]; }
  for name in http_request_duration_seconds http_queue_latency_seconds; do
    wait_for "an exemplar of $name" has_exemplar "$name"
    equal "traces of $name in Prometheus" "$trace" "$(exemplars "$name")"
  done
  kill -TERM "$server"
}

sigterm_drains() {
  say 'SIGTERM in the middle of a request'
  curl -sS -m 20 -o slow.txt -w '%{http_code}' "$url/1" >slow.status &
  local request=$!
  wait_for 'the request in flight' in_flight 1
  child=$demo
  stop 'the proxy'
  wait "$request"
  equal 'the request in flight' 200 "$(cat slow.status)"
}

nginx_upstream() {
  say 'wrk and h2load, nginx behind'
  local port
  port=$(free_port)
  mkdir nginx
  printf '%s\n' 'daemon off; worker_processes 1; pid nginx/pid; error_log stderr;' 'events {}' \
    'http { access_log off; client_body_temp_path nginx/b; proxy_temp_path nginx/p; fastcgi_temp_path nginx/f; uwsgi_temp_path nginx/u; scgi_temp_path nginx/s;' \
    "server { listen 127.0.0.1:$port; location / { return 200 'hello'; } } }" >nginx.conf
  start nginx nginx -p "$work" -c nginx.conf -e stderr
  wait_for 'nginx' curl -fsS "http://127.0.0.1:$port/"
  proxy before-nginx "127.0.0.1:$port" 8
  wrk -c 32 -t 2 -d 3s "$url/" >wrk.txt
  cat wrk.txt
  equal 'wrk: answers that are not 200' 0 "$(wrk_refused wrk.txt)"
  equal 'wrk: connections that failed' 0 "$(wrk_errors wrk.txt)"
  at_least 'wrk: answers' 1000 "$(wrk_requests wrk.txt)"
  timeout 30 h2load -n 5000 -c 8 -m 10 "$url/" >h2load.txt
  grep '^requests:' h2load.txt
  equal 'h2load: succeeded' 5000 "$(h2load_count succeeded h2load.txt)"
  stop 'the proxy before nginx'
}

python_upstream() {
  say 'curl and h2load, a threaded Python app behind'
  start python python3 "$here/slow_app.py"
  wait_for 'the Python app' test -s python.out
  local app
  app=127.0.0.1:$(cat python.out)
  proxy before-python "$app" 3
  seq 12 | xargs -P 12 -I '{}' curl -sS -m 20 -o /dev/null -w '%{http_code}\n' "$url/request-{}" | sort | uniq -c >statuses.txt
  equal '12 requests at a limit of 3' '12 200' "$(xargs <statuses.txt)"
  equal 'most that the app worked on at once' 3 "$(curl -fsS "http://$app/peak")"
  timeout 30 h2load -n 60 -c 4 -m 10 "$url/" >h2load.txt
  grep '^requests:' h2load.txt
  equal 'h2load: succeeded' 60 "$(h2load_count succeeded h2load.txt)"
  equal 'most that the app worked on at once' 3 "$(curl -fsS "http://$app/peak")"
  stop 'the proxy before Python'
  proxy fail-fast "$app" 3 --set queue.depth=0
  timeout 30 h2load -n 200 -c 4 -m 10 "$url/" >h2load.txt
  grep -E '^(requests|status codes):' h2load.txt
  equal 'h2load: every request has an answer' 200 $(($(h2load_count succeeded h2load.txt) + $(h2load_count failed h2load.txt)))
  equal 'h2load: without one' '0 0' "$(h2load_count errored h2load.txt) $(h2load_count timeout h2load.txt)"
  at_least 'h2load: rejected' 1 "$(h2load_count failed h2load.txt)"
  stop 'the one that fails fast'
}

# four PREFIX URL: four requests at once; their statuses, sorted.
four() { seq 4 | xargs -P 4 -I '{}' curl -sS -m 20 -o /dev/null -w '%{http_code}\n' "$1" | sort | xargs; }

spillway() {
  say 'as Spillway: the name, the seven variables, HAProxy beside it'
  start python-2 python3 "$here/slow_app.py"
  wait_for 'the Python app' test -s python-2.out
  local app port old health
  app=127.0.0.1:$(cat python-2.out)
  port=$(free_port)
  old=$(free_port)
  ln -s "$loadline" spillway
  start spillway env MAX_CONNECTIONS=100 QUEUE_TIMEOUT=700 SERVER_TIMEOUT=1500 PORT="$port" HEALTHCHECK_PATH=/health \
    LOG_ADDRESS=stdout LOG_FORMAT='%b %ST %bq' LOADLINE_LISTEN="127.0.0.1:$port" LOADLINE_ADMIN_LISTEN=127.0.0.1:0 ./spillway "$app" 1
  local ours=$child
  wait_for 'spillway' grep -q '"msg":"ready"' spillway.log

  # What Spillway makes of the same settings.
  printf '%s\n' 'global' ' maxconn 100' 'defaults' ' mode http' ' timeout connect 5s' ' timeout client 30s' ' timeout server 1500' \
    ' timeout queue 700' 'frontend http' " bind 127.0.0.1:$old" ' log stdout format raw local0' ' log-format "%b %ST %bq"' \
    ' acl health path /health' ' use_backend healthcheck if health' ' default_backend app' 'backend app' " server main $app maxconn 1" \
    'backend healthcheck' " server main $app" >haproxy.cfg
  start haproxy haproxy -db -f haproxy.cfg
  local theirs=$child
  wait_for 'HAProxy' curl -fsS -o /dev/null "http://127.0.0.1:$old/0"

  for url in "http://127.0.0.1:$port" "http://127.0.0.1:$old"; do
    equal "four of 0.4 s at a limit of 1, $url" '200 200 503 503' "$(four "$url/0.4")"
    equal "the health check, $url" 200 "$(status "$url/health?from=ci")"
    equal "a path that is not the health check's, $url" 200 "$(status "$url/health/")"
    # Last: the slot is not free before the app is done, where HAProxy gives it away at once.
    equal "longer than SERVER_TIMEOUT, $url" 504 "$(status "$url/2")"
  done
  # HAProxy has logged the request that waited for it.
  wait_for 'the logs' bash -c '(($(wc -l <haproxy.out) == $(wc -l <spillway.out) + 1 && $(wc -l <spillway.out) == 7))'
  sed 1d haproxy.out | sort >theirs.txt
  sort spillway.out >ours.txt
  diff theirs.txt ours.txt || fail 'the log lines differ from those of HAProxy (<)'
  printf 'ok  both logs say: %s\n' "$(uniq -c ours.txt | xargs)"
  kill -TERM "$theirs"
  child=$ours
  stop 'spillway'

  local code=0
  QUEUE_TIMEOUT='5 sec' timeout 5 ./spillway "$app" 1 2>wrong.txt || code=$?
  equal 'a wrong variable ends with' 2 "$code"
  grep -q QUEUE_TIMEOUT wrong.txt || fail 'a wrong variable is named'
  code=0
  timeout 5 ./spillway "$app" abc 2>wrong.txt || code=$?
  equal 'a wrong limit ends with' 2 "$code"
}

demo_with_curl
demo=$child
demo_under_load
prometheus_scrapes
sigterm_drains
nginx_upstream
python_upstream
spillway
say 'all as expected'
