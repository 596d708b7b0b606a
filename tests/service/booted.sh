#!/bin/sh
# Runs inside tests/service/system: a release is installed, used, upgraded and removed under a real systemd.
# /in holds `first` and `next` (two releases), and `key.pem`, the public key that signed both.
# shellcheck source=tests/service/steps.sh
. /in/steps.sh
client() { photosync --profile /tmp/profile "$@"; }

step 'install'
sh /in/first/install.sh --server --from /in/first
systemctl is-enabled --quiet photosync || fail 'not enabled'
systemctl is-active --quiet photosync || fail 'not active'
healthy || fail 'no answer'
systemctl status --no-pager photosync | grep 'Status: "Ready' || fail 'no status'
grep '^photosync:' /etc/passwd

step 'a second run changes nothing'
before=$(main_pid)
sh /in/first/install.sh --server --from /in/first >/tmp/second
grep 'nothing was changed' /tmp/second || fail "$(cat /tmp/second)"
[ "$(main_pid)" = "$before" ] || fail 'restarted'

step 'a photo goes through it and comes back'
printf 'correct horse 9\n' | as_service photosync-server user add ann@example.org
offer=$(as_service photosync-server pair ann@example.org)
code=$(printf '%s\n' "$offer" | sed -n 's/.*type the code:  *\([A-Z0-9-]*\).*/\1/p')
key=$(printf '%s\n' "$offer" | sed -n 's/^Key of this server: *//p')
mkdir /tmp/photos
head -c 5000000 /dev/urandom >/tmp/photos/IMG_0001.jpg
client pair https://127.0.0.1:3000 "$code" --fingerprint "$key"
client backup /tmp/photos
client verify
client restore /tmp/restored
restored=$(find /tmp/restored -name IMG_0001.jpg)
cmp /tmp/photos/IMG_0001.jpg "$restored" || fail 'other bytes came back'
stored=$(find "$DATA/uploads" -name IMG_0001.jpg)
cmp /tmp/photos/IMG_0001.jpg "$stored" || fail 'other bytes are stored'

step 'the sandbox is real'
pid=$(main_pid)
grep -E '^(NoNewPrivs|Seccomp|CapEff|CapBnd|Uid):' "/proc/$pid/status"
grep -q '^NoNewPrivs:.1$' "/proc/$pid/status" || fail 'new privileges'
grep -q '^Seccomp:.2$' "/proc/$pid/status" || fail 'no filter of system calls'
grep -q '^CapEff:.0000000000000000$' "/proc/$pid/status" || fail 'capabilities'
grep -q '^CapBnd:.0000000000000000$' "/proc/$pid/status" || fail 'capabilities'
for place in / /usr/local/bin /etc/photosync /var /srv; do
  # As root, through the eyes of the server: only its mounts can refuse that.
  if touch "/proc/$pid/root$place/written" 2>/tmp/why; then fail "$place can be written"; fi
  grep -q 'Read-only file system' /tmp/why || fail "$(cat /tmp/why)"
done
touch "/proc/$pid/root$DATA/written" || fail 'its own data cannot be written'
rm "/proc/$pid/root$DATA/written"
if nsenter -t "$pid" -m sh -c : 2>/tmp/why; then fail 'other programs can be started'; fi
grep -q 'Permission denied' /tmp/why || fail "$(cat /tmp/why)"
[ ! -e "/proc/$pid/root/tmp/photos" ] || fail 'it sees the /tmp of others'
[ -z "$(find "$DATA" ! -user photosync)" ] || fail 'data of somebody else'
[ "$(stat -c %a "$DATA")" = 700 ] || fail 'data for everybody'
systemctl show photosync -p NRestarts -p WatchdogUSec
systemd-analyze security photosync --no-pager | tail -n 1

step 'the journal knows how bad a line is'
journalctl -u photosync -p warning -o cat --no-pager >/tmp/warnings
grep -q 'no network address' /tmp/warnings || fail 'no warning'
if grep -q 'is ready' /tmp/warnings; then fail 'everything is a warning'; fi
if journalctl -u photosync -o cat --no-pager | grep -E '^(<[0-9]>|[0-9]{4}-|\{"timestamp)'; then fail 'a date or a priority in the text'; fi

step 'reload keeps the process'
systemctl reload photosync
[ "$(main_pid)" = "$pid" ] || fail 'restarted'
journalctl -u photosync -o cat --no-pager | grep 'read the certificates again' || fail 'nothing was read'

step 'it comes back after being killed'
kill -KILL "$pid"
wait_for 20 healthy
[ "$(main_pid)" != "$pid" ] || fail 'not killed'
cmp /tmp/photos/IMG_0001.jpg "$stored"

step 'a disk that goes away costs a restart, one that comes back is enough'
mkdir -p /etc/systemd/system/photosync.service.d
printf '[Service]\nWatchdogSec=1s\nRestartSec=3s\n' >/etc/systemd/system/photosync.service.d/quick.conf
systemctl daemon-reload
systemctl restart photosync
# The watchdog was answered: what a start does in the folders is done.
looked() {
  [ "$(systemctl show photosync -p WatchdogTimestampMonotonic --value)" -gt "$(systemctl show photosync -p ActiveEnterTimestampMonotonic --value)" ]
}
wait_for 10 looked
mv "$DATA/uploads" "$DATA/away"
# The watchdog ends it; the next start says that the disk is missing (74), and is tried again.
missing() { [ "$(systemctl show photosync -p ExecMainStatus --value)" = 74 ]; }
wait_for 20 missing
journalctl -u photosync -o cat --no-pager -n 3
# Nothing but the lock of a try was written where the disk should be.
find "$DATA/uploads" -mindepth 1 -printf "left: %P %y\n"
[ "$(find "$DATA/uploads" -type f)" = "$DATA/uploads/.lock" ] || fail "$(find "$DATA/uploads" -ls)"
rm -r "$DATA/uploads"
mv "$DATA/away" "$DATA/uploads"
wait_for 20 healthy
cmp /tmp/photos/IMG_0001.jpg "$stored"
rm /etc/systemd/system/photosync.service.d/quick.conf
systemctl daemon-reload

step 'root does not touch the data of the service'
photosync-server user list --data "$DATA" | grep 'ann@example.org' || fail 'the server was not asked'
systemctl stop photosync
rm "$DATA/.lock" "$DATA/uploads/.lock"
code=0
photosync-server check --data "$DATA" >/tmp/root 2>&1 || code=$?
cat /tmp/root
[ "$code" -eq 64 ] || fail "exit $code"
[ -z "$(find "$DATA" ! -user photosync)" ] || fail 'data of root'
[ ! -e "$DATA/.lock" ] || fail 'a lock was made'
as_service photosync-server check --read

step 'a secret of the credential store reaches the service and nobody else'
mkdir -p /etc/credstore
echo 'a signing secret of more than 32 bytes' >/etc/credstore/photosync.auth.jwt_secret
systemctl start photosync
handed=/run/credentials/photosync.service/photosync.auth.jwt_secret
[ "$(stat -c '%U %a' "$handed")" = 'photosync 400' ] || fail "$(ls -la "$handed")"
client backup /tmp/photos
if runuser -u nobody -- cat "$handed" 2>/dev/null; then fail 'everybody can read it'; fi
rm -r /etc/credstore

step 'a mistake in the settings is told, and not tried again and again'
sed -i 's/^# port = 3000$/prot = 3000/' /etc/photosync/photosync.toml
if systemctl restart photosync 2>/dev/null; then fail 'it starts'; fi
systemctl show photosync -p NRestarts -p StatusText -p ExecMainStatus
[ "$(systemctl show photosync -p ActiveState --value)" = failed ] || fail 'it is tried again'
systemctl show photosync -p StatusText --value | grep -q 'listen.port' || fail 'the reason is missing'
sed -i 's/^prot = 3000$/# port = 3000/' /etc/photosync/photosync.toml
echo '# a remark of the owner' >>/etc/photosync/photosync.toml
systemctl start photosync

step 'ports below 1024, and an authority that is out of reach'
install -D -m 644 /usr/local/share/doc/photosync/low-ports.conf /etc/systemd/system/photosync.service.d/low-ports.conf
systemctl daemon-reload
cp -p /etc/photosync/photosync.toml /tmp/settings
sed -i -e 's/^# acme_domains = .*/acme_domains = "photos.example.org"/' \
  -e 's/^# acme_accept_terms = .*/acme_accept_terms = true/' \
  -e 's/^# acme_directory = .*/acme_directory = "https:\/\/localhost:1\/directory"/' \
  -e 's/^# https_listener = .*/https_listener = true/' \
  -e 's/^# https_port = .*/https_port = 443/' \
  -e 's/^# redirect_port = .*/redirect_port = 80/' /etc/photosync/photosync.toml
systemctl restart photosync
healthy || fail 'no answer'
# Without a certificate the server shows its own key, and leads nobody of this network there.
curl -fsS --max-time 5 --insecure https://127.0.0.1/health || fail 'no answer on 443'
curl -fsS --max-time 5 http://127.0.0.1/health || fail 'no answer on 80'
grep '^CapEff' "/proc/$(main_pid)/status" | grep -q '0000000000000400$' || fail 'other capabilities'
told() { journalctl -u photosync -o cat --no-pager | grep 'no new certificate for photos.example.org: could not read the directory'; }
wait_for 20 told
before=$(main_pid)
systemctl reload photosync
[ "$(main_pid)" = "$before" ] || fail 'restarted'
client backup /tmp/photos
systemd-analyze security photosync --no-pager | tail -n 1
rm /etc/systemd/system/photosync.service.d/low-ports.conf
systemctl daemon-reload
if systemctl restart photosync 2>/dev/null; then fail 'it may listen on 443'; fi
systemctl show photosync -p StatusText --value | grep 'ports below 1024 need a permission' || fail 'no hint'
systemctl stop photosync
mkdir -p /etc/systemd/system/photosync.socket.d
printf '[Socket]\nListenStream=0.0.0.0:443\nListenStream=[::]:443\n' >/etc/systemd/system/photosync.socket.d/https.conf
systemctl daemon-reload
systemctl disable --quiet --now photosync.service
systemctl enable --quiet --now photosync.socket
curl -fsS --max-time 20 --insecure https://127.0.0.1/health || fail 'no answer on 443'
grep '^CapEff' "/proc/$(main_pid)/status" | grep -q '0000000000000000$' || fail 'capabilities'
systemctl disable --quiet --now photosync.socket
systemctl stop photosync.service
rm -r /etc/systemd/system/photosync.socket.d
cp -p /tmp/settings /etc/photosync/photosync.toml
systemctl daemon-reload
systemctl enable --quiet --now photosync.service

step 'sockets of systemd'
systemctl disable --quiet --now photosync.service
systemctl enable --quiet --now photosync.socket
if systemctl is-active --quiet photosync.service; then fail 'started before anybody asked'; fi
healthy || fail 'no answer'
curl -fsS --max-time 5 'http://[::1]:3000/health' || fail 'no answer on IPv6'
# It answers a moment before it has said that it is ready.
wait_for 20 systemctl is-active --quiet photosync.service || fail 'not started'
sh /in/first/install.sh --server --from /in/first | grep 'nothing was changed' || fail 'changed'
if systemctl is-enabled --quiet photosync.service; then fail 'socket activation was undone'; fi
systemctl disable --quiet --now photosync.socket
systemctl stop photosync.service
systemctl enable --quiet --now photosync.service

step 'a backup of the stopped service, restored for it'
systemctl stop photosync.service
install -d -o photosync -g photosync -m 700 /srv/backups /srv/new
as_service photosync-server backup /srv/backups
runuser -u photosync -- photosync-server restore-backup /srv/backups --data /srv/new
diff -r -x .staging -x .lock "$DATA/uploads" /srv/new/uploads || fail 'photos'
rm -r /srv/backups /srv/new
systemctl start photosync.service

step 'an upgrade keeps everything'
state "$DATA" /etc/photosync >/tmp/before
before=$(main_pid)
sh /in/next/install.sh --server --from /in/next
[ "$(main_pid)" != "$before" ] || fail 'the old program runs on'
healthy || fail 'no answer'
state "$DATA" /etc/photosync >/tmp/after
diff /tmp/before /tmp/after || fail 'something changed'
grep -q 'a remark of the owner' /etc/photosync/photosync.toml || fail 'settings'

step 'uninstall keeps photos and settings, and nothing else'
sh /in/next/install.sh --uninstall
state "$DATA" /etc/photosync >/tmp/after
diff /tmp/before /tmp/after || fail 'something changed'
if systemctl is-active --quiet photosync; then fail 'it runs'; fi
[ -z "$(find /usr/local /etc/systemd /var/lib -name '*photosync*' ! -path "$DATA*")" ] || fail "$(find /usr/local /etc/systemd /var/lib -name '*photosync*')"

step 'installed again, the photos are there'
sh /in/first/install.sh --server --from /in/first
as_service photosync-server user list | grep 'ann@example.org' || fail 'the account is gone'
sh /in/first/install.sh --uninstall

step 'a disk of choice'
rm -rf "$DATA"
mkdir -p /srv/full/something
if sh /in/first/install.sh --server --from /in/first --data /srv/full 2>/tmp/refused; then fail 'a folder of others'; fi
cat /tmp/refused
[ ! -e /usr/local/bin/photosync-server ] || fail 'something was written'
sh /in/first/install.sh --server --from /in/first --data /srv/photos
healthy || fail 'no answer'
[ -f /srv/photos/photosync.db ] || fail 'not there'
if [ -f "$DATA/photosync.db" ]; then fail 'also there'; fi
if touch "/proc/$(main_pid)/root/srv/full/written" 2>/dev/null; then fail 'more than the folder can be written'; fi
sh /in/first/install.sh --server --from /in/first | grep 'nothing was changed' || fail 'the folder was forgotten'
if sh /in/first/install.sh --server --from /in/first --data /srv/other 2>/tmp/refused; then fail 'photos left behind'; fi
cat /tmp/refused
systemctl stop photosync
chown -R root: /srv/photos
if sh /in/first/install.sh --server --from /in/first 2>/tmp/refused; then fail 'it starts on data of root'; fi
grep 'chown -R photosync:photosync /srv/photos' /tmp/refused || fail "$(cat /tmp/refused)"
chown -R photosync:photosync /srv/photos
sh /in/first/install.sh --server --from /in/first
healthy || fail 'no answer'
sh /in/first/install.sh --uninstall

step 'one line for a server far away, and a folder in a home'
rm -rf /srv/photos
(cd /in/first && exec python3 -m http.server 8000 --bind 127.0.0.1 >/dev/null 2>&1) &
wait_for 10 curl -fsS -o /dev/null http://127.0.0.1:8000/SHA256SUMS
curl -fsSL http://127.0.0.1:8000/install.sh | sh -s -- --server --from http://127.0.0.1:8000 --data /home/photos
healthy || fail 'no answer'
[ -f /home/photos/photosync.db ] || fail 'not there'
[ "$(ls "/proc/$(main_pid)/root/home")" = photos ] || fail 'other homes can be seen'
sh /in/first/install.sh --uninstall
echo 'all is well'
