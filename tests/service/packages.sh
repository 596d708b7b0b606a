#!/bin/sh
# Runs inside tests/service/system: the packages are installed, used, upgraded, removed and purged under a real systemd,
# and the container is run. /in holds `first` and `next` (two versions).
# shellcheck source=tests/service/steps.sh
. /in/steps.sh
SETTINGS=/etc/photosync/photosync.toml
export DEBIAN_FRONTEND=noninteractive
# What images of containers have, so that no package starts a service.
rm -f /usr/sbin/policy-rc.d
# The index of all manual pages, made anew each time.
rm -f /var/lib/man-db/auto-update

is_active() { systemctl is-active --quiet photosync; }
same_state() {
  state "$DATA" >/tmp/after
  diff /tmp/before /tmp/after || fail 'the data changed'
}

step 'a package for Debian is installed, and the server runs'
# Without lists of packages and without a network: what it depends on is here.
apt-get install -y --no-install-recommends /in/first/photosync-server_*.deb
systemctl is-enabled --quiet photosync || fail 'not enabled'
is_active || fail 'not active'
healthy || fail 'no answer'
grep '^photosync:' /etc/passwd
[ "$(stat -c '%U %a' "$DATA")" = 'photosync 700' ] || fail "$(ls -ld "$DATA")"
[ "$(cat /usr/lib/photosync/installed-by)" = apt ] || fail 'nobody knows where updates come from'
[ -z "$(dpkg --verify photosync-server)" ] || fail "$(dpkg --verify photosync-server)"
[ "$(as_service photosync-server health)" = ready ] || fail 'not well'
gzip -dc /usr/share/man/man1/photosync-server.1.gz | grep -q 'verify\\-backup' || fail 'no manual page'

step 'a photo goes through it and comes back'
printf 'correct horse 9\n' | as_service photosync-server user add ann@example.org
offer=$(as_service photosync-server pair ann@example.org)
code=$(printf '%s\n' "$offer" | sed -n 's/.*type the code:  *\([A-Z0-9-]*\).*/\1/p')
key=$(printf '%s\n' "$offer" | sed -n 's/^Key of this server: *//p')
mkdir /tmp/photos
head -c 3000000 /dev/urandom >/tmp/photos/IMG_0001.jpg
photosync --profile /tmp/profile pair https://127.0.0.1:3000 "$code" --fingerprint "$key"
photosync --profile /tmp/profile backup /tmp/photos
photosync --profile /tmp/profile restore /tmp/restored
cmp /tmp/photos/IMG_0001.jpg "$(find /tmp/restored -name IMG_0001.jpg)" || fail 'other bytes came back'

step 'an upgrade keeps data and settings and starts the new program'
echo '# a remark of the owner' >>"$SETTINGS"
state "$DATA" >/tmp/before
before=$(main_pid)
dpkg -i /in/next/photosync-server_*.deb
[ "$(main_pid)" != "$before" ] || fail 'the old program runs on'
wait_for 20 healthy
same_state
grep -q 'a remark of the owner' "$SETTINGS" || fail 'settings'

step 'who chose the sockets keeps them in an upgrade'
systemctl disable --quiet --now photosync.service
systemctl enable --quiet --now photosync.socket
dpkg -i /in/next/photosync-server_*.deb
if systemctl is-enabled --quiet photosync.service; then fail 'socket activation was undone'; fi
healthy || fail 'no answer'
systemctl disable --quiet --now photosync.socket
systemctl stop photosync.service
systemctl enable --quiet --now photosync.service

step 'neither install.sh nor the other package gets beside it'
code=0
sh /in/install.sh --server --from /in/first >/tmp/refused 2>&1 || code=$?
cat /tmp/refused
[ "$code" -eq 78 ] || fail "exit $code"
[ ! -e /usr/local/bin/photosync-server ] || fail 'two of them'
if dpkg -i /in/first/photosync-desktop_*.deb >/tmp/refused 2>&1; then fail 'service and desktop'; fi
grep -q 'conflict' /tmp/refused || fail "$(cat /tmp/refused)"

step 'removed, everything but the program stays'
state "$DATA" >/tmp/before
dpkg -r photosync-server
if is_active || pgrep -x photosync-serve; then fail 'it runs'; fi
[ ! -e /usr/bin/photosync-server ] || fail 'still there'
grep -q 'a remark of the owner' "$SETTINGS" || fail 'settings'
same_state

step 'a desktop has no service'
dpkg -i /in/first/photosync-desktop_*.deb
photosync-tray --version
[ ! -e /usr/lib/systemd/system/photosync.service ] || fail 'a unit'
if pgrep -x photosync-serve; then fail 'it runs'; fi
dpkg -P photosync-desktop
same_state

step 'installed again, the photos are there; after a purge still'
dpkg -i /in/first/photosync-server_*.deb
wait_for 20 healthy
as_service photosync-server user list | grep 'ann@example.org' || fail 'the account is gone'
state "$DATA" >/tmp/before
dpkg -P photosync-server >/tmp/purged 2>&1
cat /tmp/purged
grep -q "The photos stay in $DATA" /tmp/purged || fail 'nothing said'
[ ! -e /etc/photosync ] || fail 'settings'
same_state
[ -z "$(find /usr /etc /var/lib/systemd -name '*photosync*' ! -path '/usr/local/*' ! -path '/usr/share/doc/*')" ] ||
  fail "$(find /usr /etc /var/lib/systemd -name '*photosync*')"

step 'beside an installation of install.sh it refuses'
mkdir -p /var/lib/photosync-installer
: >/var/lib/photosync-installer/installed
if dpkg -i /in/first/photosync-server_*.deb >/tmp/refused 2>&1; then fail 'two of them'; fi
grep -q 'uninstall' /tmp/refused || fail "$(cat /tmp/refused)"
dpkg -P photosync-server >/dev/null 2>&1 || true
if rpm --dbpath /tmp/rpm -i --nodeps /in/first/photosync-server-*.rpm 2>/tmp/refused; then fail 'two of them'; fi
rm -r /var/lib/photosync-installer

step 'the package for Fedora and its like: installed, upgraded, removed'
rpm --dbpath /tmp/rpm -i --nodeps /in/first/photosync-server-*.rpm
[ "$(cat /usr/lib/photosync/installed-by)" = rpm ] || fail 'nobody knows where updates come from'
systemctl enable --quiet --now photosync
wait_for 20 healthy
as_service photosync-server user list | grep 'ann@example.org' || fail 'the account is gone'
echo '# a remark of the owner' >>"$SETTINGS"
before=$(main_pid)
rpm --dbpath /tmp/rpm -U --nodeps /in/next/photosync-server-*.rpm
wait_for 20 healthy
[ "$(main_pid)" != "$before" ] || fail 'the old program runs on'
grep -q 'a remark of the owner' "$SETTINGS" || fail 'settings'
rpm --dbpath /tmp/rpm -e photosync-server
if is_active; then fail 'it runs'; fi
[ ! -e /usr/bin/photosync-server ] || fail 'still there'
grep -q 'a remark of the owner' "$SETTINGS.rpmsave" || fail 'settings'
same_state

step 'the container runs without a privilege and keeps photos on its volume'
# Options of this nested machine only: no cgroup of its own, no limits above those it has.
podman() { command podman --root /tmp/storage --runroot /tmp/run-podman --storage-driver vfs --cgroup-manager cgroupfs --events-backend none --network-config-dir /tmp/net "$@"; }
podman load -q -i /in/first/photosync-container-*.tar
image=$(sed -n 's/^ *image: //p' /in/compose.yaml)
run_container() {
  podman run -d --name photos --network host --cgroups=disabled --pids-limit=-1 --ulimit nofile=1024:4096 --ulimit nproc=1024:1024 \
    --read-only --read-only-tmpfs=false --cap-drop all --security-opt no-new-privileges -v photos:/data "$image" >/dev/null
}
run_container
wait_for 20 healthy
wait_for 20 podman healthcheck run photos
pid=$(podman inspect photos --format '{{.State.Pid}}')
grep -E '^(NoNewPrivs|CapEff|CapBnd|Uid):' "/proc/$pid/status"
grep -q '^Uid:.10001' "/proc/$pid/status" || fail 'another account'
grep -q '^NoNewPrivs:.1$' "/proc/$pid/status" || fail 'new privileges'
grep -q '^CapBnd:.0000000000000000$' "/proc/$pid/status" || fail 'capabilities'
for place in / /etc /usr/bin /tmp; do
  if touch "/proc/$pid/root$place/written" 2>/dev/null; then fail "$place can be written"; fi
done
podman exec photos /usr/bin/photosync-server user invite bob@example.org
printf 'correct horse 9\n' | podman exec -i photos /usr/bin/photosync-server user add bob@example.org
offer=$(podman exec photos /usr/bin/photosync-server pair bob@example.org)
code=$(printf '%s\n' "$offer" | sed -n 's/.*type the code:  *\([A-Z0-9-]*\).*/\1/p')
key=$(printf '%s\n' "$offer" | sed -n 's/^Key of this server: *//p')
# The client comes with the packages, which are gone by now.
dpkg --fsys-tarfile /in/first/photosync-server_*.deb | tar -xf - -C /tmp ./usr/bin/photosync
client() { /tmp/usr/bin/photosync --profile /tmp/profile-of-bob "$@"; }
client pair https://127.0.0.1:3000 "$code" --fingerprint "$key"
client backup /tmp/photos
podman stop -t 20 photos >/dev/null
[ "$(podman inspect photos --format '{{.State.ExitCode}}')" = 0 ] || fail 'it did not stop by itself'
podman rm photos >/dev/null
run_container
wait_for 20 healthy
client restore /tmp/restored-of-bob
cmp /tmp/photos/IMG_0001.jpg "$(find /tmp/restored-of-bob -name IMG_0001.jpg)" || fail 'other bytes came back'
podman stop -t 20 photos >/dev/null
echo 'all is well'
