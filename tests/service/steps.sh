# What the scripts inside tests/service/system have in common; read by them, not run.
# shellcheck shell=sh
set -eu
PATH=$PATH:/usr/local/bin
DATA=/var/lib/photosync

step() { printf '== %s  [%s]\n' "$*" "$(date +%T)"; }
fail() {
  printf 'FAILED: %s\n' "$*"
  systemctl status --no-pager --lines=5 photosync 2>&1 || true
  journalctl --no-pager -n 40 -o short-precise 2>&1 || true
  exit 1
}
# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
  left=$(($1 * 20))
  shift
  until "$@" >/dev/null 2>&1; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || fail "not within the time: $*"
    sleep 0.05
  done
}
main_pid() { systemctl show photosync -p MainPID --value; }
healthy() { curl -fsS --max-time 5 http://127.0.0.1:3000/health >/dev/null; }
as_service() { runuser -u photosync -- "$@" --data "$DATA"; }
# state FOLDER...: names, owners, modes and bytes of everything that must not be lost.
state() {
  (cd / && find "$@" \( -name run.json -o -name 'photosync.db*' \) -prune -o -type f -printf '%p %u %m ' -exec sha256sum {} \; | sort)
}
