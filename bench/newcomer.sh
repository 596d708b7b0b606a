#!/usr/bin/env bash
# What a newcomer pays: sizes of programs and packages, and the time from the one line that installs the server until the
# first photo is on its disk, on a machine that was just started. Called by `scripts/bench newcomer`, in the project's folder
# and with the programs built; $1 is a folder to write in.
set -euo pipefail
work=$1
built=${CARGO_TARGET_DIR:-$PWD/target}
mkdir -p "$work/in" "$work/bin"
key=$work/in/key.pem
openssl genpkey -algorithm ed25519 -out "$key"
for program in photosync-server photosync photosync-tray; do cp "$built/release/$program" "$work/bin/"; done
scripts/package --key "$key" --bin "$work/bin" --signer "$built/release/photosync-release" --out "$work/in/release" --only tar,deb,rpm

printf '\nSizes\n'
size_of() { printf '  %-54s %6.1f MB\n' "$(basename "$1")" "$(stat -c %s "$1" | awk '{print $1 / 1000000}')"; }
for file in "$work"/bin/* "$work"/in/release/*.{tar.gz,deb,rpm}; do size_of "$file"; done

cp tests/service/steps.sh tests/service/first_photo.sh "$work/in/"
code=0
tests/service/system "$work/in" sh /in/first_photo.sh || code=$?
if [ "$code" -ne 0 ]; then
  echo 'bench: no machine of its own can be made here, or something failed on it (see above)' >&2
fi
exit "$code"
