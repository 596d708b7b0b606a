#!/bin/sh
# Runs inside tests/service/system: how long a newcomer waits for the first stored photo. /in holds `release`.
# shellcheck source=tests/service/steps.sh
. /in/steps.sh

began=$(date +%s%N)
since() { printf '  %-54s %6.2f s\n' "$1" "$(awk "BEGIN { print ($(date +%s%N) - $began) / 1e9 }")"; }
mkdir /tmp/photos
head -c 5000000 /dev/urandom >/tmp/photos/IMG_0001.jpg

printf '\nFrom the one line until the first photo\n'
sh /in/release/install.sh --server --from /in/release >/tmp/installed 2>&1 || fail "$(cat /tmp/installed)"
wait_for 60 healthy
since 'the server is installed, started, and answers'
printf 'correct horse 9\n' | as_service photosync-server user add ann@example.org >/dev/null
offer=$(as_service photosync-server pair ann@example.org)
code=$(printf '%s\n' "$offer" | sed -n 's/.*type the code:  *\([A-Z0-9-]*\).*/\1/p')
key=$(printf '%s\n' "$offer" | sed -n 's/^Key of this server: *//p')
photosync --profile /tmp/profile pair https://127.0.0.1:3000 "$code" --fingerprint "$key" >/dev/null
since 'an account is made and a device paired'
photosync --profile /tmp/profile backup /tmp/photos >/dev/null
stored=$(find "$DATA/uploads" -name IMG_0001.jpg)
cmp /tmp/photos/IMG_0001.jpg "$stored" || fail 'other bytes are stored'
since 'the first photo is on its disk'
