#!/usr/bin/env bash
# `loadline top` in a real terminal (tmux): what it shows under load, that it survives a restart of the proxy, and that the
# terminal is as it was afterwards.
#
#   .ci/top.sh target/release/loadline
set -euo pipefail
exec </dev/null

loadline=$(realpath "$1")
work=$(mktemp -d)
cd "$work"
server=$work/tmux
proxy='' load=''

clean_up() {
  local status=$?
  ((status == 0)) || { screen || true; tail -n 5 ./*.log || true; }
  tmux -S "$server" kill-server 2>/dev/null || true
  for child in $proxy $load; do kill -KILL "$child" 2>/dev/null || true; done
  rm -rf "$work"
  exit "$status"
}
trap clean_up EXIT

screen() { tmux -S "$server" capture-pane -p; }
shows() { screen >screen.txt && grep -q -- "$1" screen.txt; }
# wait_for WHAT COMMAND...: at most 30 s.
wait_for() {
  local what=$1 tries
  shift
  for ((tries = 0; tries < 300; tries++)); do
    "$@" >/dev/null 2>&1 && { echo "ok  $what"; return; }
    sleep 0.1
  done
  echo "FAILED: waited in vain for: $what"
  return 1
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

port=$(free_port) admin=127.0.0.1:$(free_port)
start_proxy() {
  "$loadline" --set "listen=127.0.0.1:$port" --set "admin.listen=$admin" >proxy.out 2>proxy.log &
  proxy=$!
  wait_for 'the proxy' grep -q '"msg":"ready"' proxy.log
}
stop_proxy() {
  kill -TERM "$proxy"
  wait "$proxy"
  proxy=''
}

# Where nobody listens it says so and ends.
! "$loadline" top --admin "$admin" >refused.txt 2>&1 || { echo 'FAILED: it found a loadline where there is none'; exit 1; }
grep -q 'is loadline running' refused.txt
start_proxy
# Without a terminal: a line per second.
timeout 20 "$loadline" top --admin "$admin" | head -n 2 >lines.txt
[[ $(grep -c 'OK  .*offered 0/s' lines.txt) == 2 ]] || { cat lines.txt; exit 1; }
echo 'ok  two lines without a terminal'

tmux -S "$server" -f /dev/null new-session -d -x 80 -y 24 "stty -g >before; '$loadline' top --admin $admin; echo \$? >ended; stty -g >after; sleep 100"
wait_for 'OK on the screen' shows '● OK'
"$loadline" load "http://127.0.0.1:$port/" --rate 160/s --duration 120s --timeout 2s -q >load.txt 2>load.log &
load=$!
wait_for 'SHEDDING on the screen' shows '▲ SHEDDING'
wait_for 'a reason with counts' shows 'queue_timeout  *0  *0  *[1-9]'
screen
stop_proxy
wait_for 'NO ANSWER on the screen' shows '× NO ANSWER'
start_proxy
wait_for 'the proxy again, restarted' shows 'restarted .* ago'
wait_for 'SHEDDING again' shows '▲ SHEDDING'
tmux -S "$server" send-keys q
wait_for 'its end after q' test -s ended
[[ $(cat ended) == 0 ]]
wait_for 'the shell again' test -s after
cmp before after
echo 'ok  the terminal is as it was'
