#!/bin/sh
# Runs inside tests/service/system: a service is updated, to a version that dies at its first start and to one that is good.
# /in holds `first` (a release, 0.1.0), `bad` and `good` (folders of the updater with 0.2.0 and 0.3.0), and `public`, the key.
# shellcheck source=tests/service/steps.sh
. /in/steps.sh
PHOTOSYNC_FAULT_RELEASE_KEY=$(cat /in/public)
export PHOTOSYNC_FAULT_RELEASE_KEY

runs() { curl -fsS --max-time 5 http://127.0.0.1:3000/api/v2/server | grep -q "\"$1\""; }
said() { journalctl -u photosync -o cat --no-pager | grep -q "$1"; }
installer() { sh /in/first/install.sh "$@"; }

step 'install'
mkdir -p /etc/systemd/system/photosync.service.d
printf '[Service]\nRestartSec=1s\nEnvironment=PHOTOSYNC_UPDATE_CHECK=off\n' >/etc/systemd/system/photosync.service.d/quick.conf
installer --server --from /in/first
runs 0.1.0 || fail 'another version'
printf 'correct horse 9\n' | runuser -u photosync -- photosync-server user add ann@example.org --data "$DATA"

step 'the service cannot update itself'
if runuser -u photosync -- env PHOTOSYNC_UPDATE_URL=/in/good photosync-server update 2>/tmp/why; then fail 'it did'; fi
grep 'could not write beside the programs' /tmp/why || fail "$(cat /tmp/why)"

step 'a version that dies at its first start goes by itself'
PHOTOSYNC_UPDATE_URL=/in/bad photosync-server update
[ -x /usr/local/bin/photosync-server.previous ] || fail 'nothing was kept'
runs 0.1.0 || fail 'something was restarted'
installer --server --from /in/bad 2>/dev/null && fail 'a folder without install.sh was installed'
systemctl restart photosync || true
wait_for 60 runs 0.1.0
said '0.1.0 is back' || fail 'nobody said so'
said 'the database is back as it was before' || fail 'the database was not put back'
[ ! -e /usr/local/bin/photosync-server.previous ] || fail 'something is left'
runuser -u photosync -- photosync-server user list --data "$DATA" | grep 'ann@example.org' || fail 'the account is gone'
runuser -u photosync -- photosync-server check --data "$DATA"
installer --server --from /in/first | grep 'nothing was changed' || fail 'the list of the installer is wrong'

step 'a good version stays, also after a restart'
PHOTOSYNC_UPDATE_URL=/in/good photosync-server update
systemctl restart photosync
wait_for 60 said 'has proved itself'
runs 0.3.0 || fail 'another version'
grep '"started"' /usr/local/bin/photosync-server.update.json || fail 'the start was not seen'
systemctl restart photosync
wait_for 20 runs 0.3.0
grep '"proven"' /usr/local/bin/photosync-server.update.json || fail 'the proof was not seen'
# From now on nothing that the service writes takes it back.
runuser -u photosync -- sed -i 's/"proven"/"failed"/' "$DATA/update-trial.json"
systemctl restart photosync
wait_for 20 runs 0.3.0
runuser -u photosync -- photosync-server user list --data "$DATA" | grep 'ann@example.org' || fail 'the account is gone'
[ -z "$(find "$DATA" ! -user photosync)" ] || fail "data of root: $(find "$DATA" ! -user photosync)"

step 'uninstall leaves nothing of updates'
installer --uninstall
rm -r /etc/systemd/system/photosync.service.d
[ -z "$(find /usr/local /etc/systemd /var/lib -name '*photosync*' ! -path "$DATA*")" ] || fail "$(find /usr/local /etc/systemd /var/lib -name '*photosync*')"
echo 'all is well'
