#!/usr/bin/env bash
# The image, as a cluster would run it: built by a real engine from a static binary, read-only, without capabilities, as nobody.
# Healthy within 3 s, and SIGTERM answers what is in flight before it ends with 0.
#
#   .ci/image.sh target/x86_64-unknown-linux-musl/release/loadline
#
# The engine is started here, with directories of its own and without touching the machine's network, and ended again. Where it
# cannot be started (it needs root and a kernel that lets it), the exit code is 77: not checked.
set -euo pipefail
exec </dev/null

loadline=$(realpath "$1")
cd "$(dirname "$0")/.."
readonly NOT_CHECKED=77 MOST_BYTES=10000000
work=$(mktemp -d)
engine='' app='' container=''

say() { printf -- '--- %s\n' "$*"; }
fail() { echo "FAILED: $*"; exit 1; }

# wait_for WHAT TENTHS COMMAND...
wait_for() {
  local what=$1 tries=$2
  shift 2
  for ((; tries > 0; tries--)); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.1
  done
  return 1
}

clean_up() {
  local status=$?
  if [[ -n $container ]]; then
    ((status == 0)) || docker logs "$container" 2>&1 | tail -n 10 || true
    docker rm --force "$container" >/dev/null 2>&1 || true
  fi
  [[ -z $app ]] || kill "$app" 2>/dev/null || true
  if [[ -n $engine ]]; then
    kill "$engine" 2>/dev/null || true
    wait "$engine" || true
  fi
  # The engine leaves one mount behind, the network namespace of the machine.
  umount "$work/exec/netns/default" 2>/dev/null || true
  rm -rf "$work"
  exit "$status"
}
trap clean_up EXIT

not_checked() {
  tail -n 3 "$work/engine.log" 2>/dev/null || true
  echo "NOT CHECKED: $*"
  exit "$NOT_CHECKED"
}

say 'binary'
file=$(LC_ALL=C ldd "$loadline" 2>&1 || true)
[[ $file == *'not a dynamic'* || $file == *'statically linked'* ]] || fail "not static: $file"
size=$(stat --format=%s "$loadline")
((size <= MOST_BYTES)) || fail "$size bytes are more than $MOST_BYTES"
echo "ok  static, $size bytes"

say 'engine'
command -v dockerd docker >/dev/null || not_checked 'there is no docker here'
export DOCKER_HOST=unix://$work/socket DOCKER_BUILDKIT=0 DOCKER_CONFIG=$work/config
dockerd --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" --host "$DOCKER_HOST" \
  --iptables=false --bridge=none >"$work/engine.log" 2>&1 &
engine=$!
wait_for 'the engine' 200 docker info || not_checked 'the engine does not start'

say 'image'
mkdir "$work/context"
cp "$loadline" "$work/context/loadline"
docker build --quiet -f deploy/image/Dockerfile.prebuilt -t loadline:ci "$work/context" >/dev/null || fail 'the image cannot be built'
bytes=$(docker image inspect --format '{{.Size}}' loadline:ci)
((bytes <= MOST_BYTES)) || fail "the image has $bytes bytes, more than $MOST_BYTES"
echo "ok  $bytes bytes"

# An engine may come up and still be unable to run anything: in a container without the rights, say.
docker run --rm --network host loadline:ci version >"$work/version" 2>"$work/engine.log" || not_checked 'the engine cannot run a container'
echo "ok  $(head -n 1 "$work/version")"

say 'health'
python3 .ci/slow_app.py >"$work/app" &
app=$!
wait_for 'the app' 100 test -s "$work/app" || fail 'the app does not start'
read -r port admin < <(python3 -c '
import socket
sockets = [socket.socket() for _ in range(2)]
for each in sockets: each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))')
container=$(docker run --detach --network host --read-only --cap-drop ALL --security-opt no-new-privileges \
  --env "LOADLINE_LISTEN=127.0.0.1:$port" --env "LOADLINE_ADMIN_LISTEN=127.0.0.1:$admin" \
  loadline:ci "127.0.0.1:$(<"$work/app")" 2)
begun=$(date +%s%N)
healthy() { [[ $(docker inspect --format '{{.State.Health.Status}}' "$container") == healthy ]]; }
# The engine looks for the first time when an interval has passed.
wait_for 'health' 200 healthy || fail 'not healthy after 20 s'
took=$((($(date +%s%N) - begun) / 1000000))
echo "ok  healthy after $took ms"
started=$(docker inspect --format '{{.State.StartedAt}}' "$container")
checked=$(docker inspect --format '{{(index .State.Health.Log 0).End.Format "2006-01-02T15:04:05.999999999Z07:00"}} {{(index .State.Health.Log 0).ExitCode}}' "$container")
python3 - "$started" $checked <<'PY' || fail 'the first look found no health within 3 s of the start'
import sys
from datetime import datetime

at = lambda text: datetime.fromisoformat(text.split(".")[0].rstrip("Z") + "+00:00").timestamp() + float("0." + text.split(".")[1].rstrip("Z"))
start, looked, code = sys.argv[1:]
print(f"ok  the first look, {at(looked) - at(start):.1f} s after the start, ended with {code}")
sys.exit(code != "0" or at(looked) - at(start) > 3)
PY

say 'SIGTERM while a request is in flight'
curl --silent --show-error --fail "http://127.0.0.1:$port/2" >"$work/answer" &
request=$!
in_flight() { curl --silent "http://127.0.0.1:$admin/api/v1/status" | grep -q '"in_flight": *1\b'; }
wait_for 'a request in flight' 50 in_flight || fail 'no request is in flight'
docker kill --signal TERM "$container" >/dev/null
wait "$request" || fail 'the request in flight was lost'
[[ $(<"$work/answer") == 'Hello World!' ]] || fail "the answer is not whole: $(<"$work/answer")"
status=$(timeout 20 docker wait "$container") || fail 'it does not end'
[[ $status == 0 ]] || fail "it ended with $status"
echo 'ok  answered whole, ended with 0'
echo 'all good'
