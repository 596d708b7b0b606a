#!/bin/sh
# Installs PhotoSync from a signed release, upgrades it, or takes it away again. POSIX sh; Linux and macOS.
#
#   sh install.sh --server             a server that starts with the machine (Linux: as root, systemd)
#   sh install.sh --desktop            for the person at this computer, with the icon in the panel
#   sh install.sh --uninstall          removes what this script wrote; photos and settings stay
#   sh install.sh --help
#
# Nothing is unpacked before signature and checksum were found right. Nothing is overwritten or removed that this script
# did not write: it keeps a list of its files with their checksums, and writes that first.
set -eu
# What is installed is for everybody to read, whatever the habits of root are; secrets get their own modes.
umask 022

# Filled in by scripts/package: the project's releases, and the key that signs them (PEM, one line, base64 part only).
repository=''
release_key=''

usage() {
  cat <<'HELP'
Usage: install.sh --server | --desktop | --uninstall  [OPTION...]

  --server            a server for this machine: system service (Linux, as root) or LaunchAgent (macOS)
  --desktop           server, client and tray icon for the person at this computer
  --uninstall         remove the programs and the service; photos, settings and the account stay
  --prefix DIR        where programs go [root: /usr/local, else ~/.local]
  --data DIR          where photos go [/var/lib/photosync]; a disk of your choice
  --version VERSION   this version [the only one of the release source]
  --from DIR|URL      take the release from here [PHOTOSYNC_UPDATE_URL, else the project's releases]
  --key FILE          public key (PEM) that must have signed the release [the project's]
  --from-source       build with cargo, in a checkout (this one, or --from DIR)
  --open-firewall     open TCP port 3000 and UDP port 5353 in ufw or firewalld
  --root DIR          install below DIR, for images: nothing is started, no account is used
  --dry-run           say what would be done, and write nothing
  --help
HELP
}

say() { printf '%s\n' "$*"; }
warn() { printf 'install.sh: %s\n' "$*" >&2; }
# die CODE MESSAGE
die() {
  code=$1
  shift
  warn "$*"
  exit "$code"
}

# did WHAT: one line of what is done; with --dry-run, of what would be.
did() {
  changed=yes
  if [ "$dry_run" = yes ]; then say "would $*"; else say "$*"; fi
}

digest() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1
}

# plain_path NAME VALUE: refuses what cannot be written into a unit file or the list.
plain_path() {
  case $2 in
  /*) ;;
  *) die 64 "$1 must begin with /: $2" ;;
  esac
  case $2 in
  *[!A-Za-z0-9/._@+-]* | *//* | */../* | */.. | */) die 64 "$1 may hold letters, digits and ._@+- only: $2" ;;
  esac
}

parse() {
  what='' prefix='' data='' version='' from='' key_file='' root=''
  from_source=no open_firewall=no dry_run=no changed=no
  while [ $# -gt 0 ]; do
    case $1 in
    --prefix | --data | --version | --from | --key | --root)
      [ $# -ge 2 ] || die 64 "$1 needs a value"
      case $1 in
      --prefix) prefix=$2 ;;
      --data) data=$2 ;;
      --version) version=$2 ;;
      --from) from=$2 ;;
      --key) key_file=$2 ;;
      --root) root=${2%/} ;;
      esac
      shift
      ;;
    --server | --desktop | --uninstall)
      [ -z "$what" ] || die 64 'choose one of --server, --desktop and --uninstall'
      what=${1#--}
      ;;
    --from-source) from_source=yes ;;
    --open-firewall) open_firewall=yes ;;
    --dry-run) dry_run=yes ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) die 64 "unknown option $1; --help lists all" ;;
    esac
    shift
  done
  if [ -z "$what" ]; then
    # Only a person at a terminal can be asked.
    if [ ! -t 0 ] || [ ! -t 1 ]; then die 64 'say --server or --desktop; --help explains both'; fi
    printf 'Install a server that starts with the machine, or for you on this desktop? [server/desktop] '
    read -r what
  fi
  case $what in
  server | desktop | uninstall) ;;
  *) die 64 "neither server nor desktop: $what" ;;
  esac
}

# Where things go, by system and by who runs this.
places() {
  system=$(uname -s)
  machine=$(uname -m)
  case $machine in
  x86_64 | amd64) machine=x86_64 ;;
  aarch64 | arm64) machine=aarch64 ;;
  esac
  case $system in
  Linux) target=$machine-unknown-linux-gnu ;;
  Darwin) target=$machine-apple-darwin ;;
  *) die 1 "there is no release for $system" ;;
  esac
  as_root=no
  if [ "$(id -u)" -eq 0 ]; then as_root=yes; fi
  if [ "$system" = Linux ] && [ "$as_root" = yes ]; then
    list=$root/var/lib/photosync-installer/installed
    usual_prefix=/usr/local usual_data=/var/lib/photosync
  else
    : "${HOME:?}"
    list=$root$HOME/.local/share/photosync-installer/installed
    usual_prefix=$HOME/.local usual_data=
  fi
  old_what=$(recorded what)
  if [ "$what" != uninstall ] && [ -n "$old_what" ] && [ "$old_what" != "$what" ]; then
    die 78 "PhotoSync is installed here with --$old_what: run --uninstall first (photos and settings stay)"
  fi
  # What an earlier run was told counts until this one is told otherwise.
  [ -n "$prefix" ] || prefix=$(recorded prefix)
  [ -n "$prefix" ] || prefix=$usual_prefix
  plain_path --prefix "$prefix"
  old_data=$(recorded data)
  if [ -n "$data" ]; then plain_path --data "$data"; fi
  if [ -n "$old_data" ] && [ -n "$data" ] && [ "$data" != "$old_data" ]; then
    die 78 "the photos lie in $old_data. To move them: stop the server, copy that folder with everything in it to $data, uninstall, and install with --data $data"
  fi
  [ -n "$data" ] || data=$old_data
  [ -n "$data" ] || data=$usual_data
}

# recorded NAME: what an earlier run noted.
recorded() {
  if [ -f "$list" ]; then sed -n "s/^# $1=//p" "$list" | head -n 1; fi
}

# is_recorded SUM PATH: whether this script wrote these bytes there. While an upgrade is under way a path has two sums.
is_recorded() { [ -f "$list" ] && grep -qFx -e "$1 $2" "$list"; }

# Every path of the list once, into $work/recorded.
recorded_paths() {
  : >"$work/recorded"
  if [ -f "$list" ]; then sed -n 's/^[0-9a-f]\{64\} //p' "$list" | sort -u >"$work/recorded"; fi
}

fetch() {
  case $1 in
  http://* | https://*)
    if command -v curl >/dev/null 2>&1; then
      curl --fail --silent --show-error --location --proto-redir =https -o "$2" "$1"
    else
      wget -q -O "$2" "$1"
    fi
    ;;
  *) cp "$1" "$2" ;;
  esac || die 1 "could not get $1"
}

# Gets a release into $work/release; dies unless it is signed, listed and whole.
get_release() {
  if [ -z "$from" ]; then from=${PHOTOSYNC_UPDATE_URL:-}; fi
  if [ -z "$from" ]; then
    [ -n "$repository" ] || die 78 'this build has no release source: name one with --from DIR or --from URL, or build with --from-source'
    from=$repository/releases/latest/download
    if [ -n "$version" ]; then from=$repository/releases/download/v$version; fi
  fi
  from=${from%/}
  command -v openssl >/dev/null 2>&1 || die 1 'openssl is needed to check the signature; install it, then try again'
  # OpenSSL 3 or later; the LibreSSL of macOS and OpenSSL 1.1 cannot.
  if ! openssl pkeyutl -help 2>&1 | grep -q -- -rawin; then
    die 1 "$(openssl version) cannot check Ed25519 signatures; install OpenSSL 3 and put it first in PATH"
  fi
  if [ -n "$key_file" ]; then
    cp "$key_file" "$work/key" || die 66 "could not read the key $key_file"
  elif [ -n "$release_key" ]; then
    printf -- '-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n' "$release_key" >"$work/key"
  else
    die 78 'this build knows no release key: name one with --key FILE'
  fi
  fetch "$from/SHA256SUMS" "$work/SHA256SUMS"
  fetch "$from/SHA256SUMS.sig" "$work/SHA256SUMS.sig"
  if ! openssl pkeyutl -verify -pubin -inkey "$work/key" -rawin -in "$work/SHA256SUMS" \
    -sigfile "$work/SHA256SUMS.sig" >/dev/null 2>&1; then
    die 65 "the signature of $from/SHA256SUMS is not of the release key; nothing was installed"
  fi
  names=$(sed -n "s/^[0-9a-f]\{64\}  \(photosync-[0-9][0-9A-Za-z.+-]*-$target\.tar\.gz\)\$/\1/p" "$work/SHA256SUMS")
  if [ -n "$version" ]; then
    names=$(printf '%s\n' "$names" | grep -Fx "photosync-$version-$target.tar.gz" || true)
  fi
  case $names in
  '') die 1 "$from has no release ${version:+$version }for $target" ;;
  *"
"*) die 64 "$from has several releases; choose with --version: $(printf '%s' "$names" | tr '\n' ' ')" ;;
  esac
  fetch "$from/$names" "$work/$names"
  wanted=$(sed -n "s/^\([0-9a-f]\{64\}\)  $names\$/\1/p" "$work/SHA256SUMS")
  [ "$(digest "$work/$names")" = "$wanted" ] || die 65 "$names is damaged or was changed: its checksum is not the signed one; nothing was installed"
  mkdir "$work/release"
  tar -xzf "$work/$names" -C "$work/release" --strip-components=1
  rm -f "$work/$names"
}

# Makes $work/release out of a checkout.
build_release() {
  if [ -z "$from" ]; then from=$(cd "$(dirname "$0")" && pwd); fi
  [ -f "$from/Cargo.toml" ] || die 66 "$from is no checkout of PhotoSync"
  command -v cargo >/dev/null 2>&1 || die 1 'cargo is needed to build; install Rust with rustup, then try again'
  if [ "$dry_run" = yes ]; then
    did "build $from with cargo"
    exit 0
  fi
  say "building (this takes some minutes)"
  set -- -p photosync-server -p photosync-client
  if [ "$what" = desktop ]; then set -- "$@" -p photosync-tray; fi
  # The library in the browser is built with Node; the server works without it.
  if [ -f "$from/web/package.json" ] && ! { command -v bash >/dev/null 2>&1 && (cd "$from" && bash scripts/web); }; then
    say 'the library in the browser could not be built (Node 20.19 or newer is needed): the server comes without it'
  fi
  (cd "$from" && cargo build --quiet --release --locked "$@")
  built=${CARGO_TARGET_DIR:-$from/target}/release
  mkdir -p "$work/release/bin" "$work/release/doc"
  for program in photosync-server photosync photosync-tray; do
    if [ -x "$built/$program" ]; then cp "$built/$program" "$work/release/bin/"; fi
  done
  cp -R "$from/systemd" "$work/release/systemd"
  cp "$from/LICENSE" "$from/README.md" "$from/docs/OPERATIONS.md" "$from/systemd/low-ports.conf" "$from/installers/proxies/"* "$work/release/doc/"
  "$work/release/bin/photosync-server" config example >"$work/release/doc/photosync.toml"
}

# want MODE SOURCE PATH: plans a file; nothing is written yet.
want() {
  printf '%s %s %s\n' "$1" "$2" "$3" >>"$work/plan"
}

# Every file that is in the way is looked at before the first one is written.
require_ours() {
  while read -r _ source path; do
    if [ -e "$root$path" ] || [ -h "$root$path" ]; then
      now=$(digest "$root$path" 2>/dev/null || true)
      if ! is_recorded "$now" "$path" && [ "$now" != "$(digest "$source")" ]; then
        die 73 "$root$path was not written by this script, or was changed since. Move it away, then try again; nothing was changed"
      fi
    fi
  done <"$work/plan"
}

write_plan() {
  while read -r mode source path; do
    if [ -f "$root$path" ] && [ "$(digest "$root$path")" = "$(digest "$source")" ]; then continue; fi
    did "write $root$path"
    if [ "$dry_run" = yes ]; then continue; fi
    mkdir -p "$(dirname "$root$path")"
    # Beside its place first: a program that runs cannot be written to, and a half one must never be started.
    # Always the same name, so that what a run leaves that is cut off here is found by the next one, or by --uninstall.
    half=$root$path.photosync-new
    rm -f "$half"
    cp "$source" "$half"
    chmod "$mode" "$half"
    mv -f "$half" "$root$path"
    half=
  done <"$work/plan"
}

# Files of the earlier version that this one does not have: removed if they are still as they were written.
remove_dropped() {
  recorded_paths
  while read -r path; do
    if ! grep -q " $path\$" "$work/plan"; then remove_own "$path"; fi
  done <"$work/recorded"
}

# remove_own PATH: with what a run that was cut off left beside it.
remove_own() {
  if [ "$dry_run" = no ]; then rm -f "$root$1.photosync-new"; fi
  [ -e "$root$1" ] || return 0
  if ! is_recorded "$(digest "$root$1" 2>/dev/null || true)" "$1"; then
    warn "$root$1 was changed since it was installed: left alone"
    return 0
  fi
  did "remove $root$1"
  if [ "$dry_run" = no ]; then rm -f "$root$1"; fi
}

# Before the first file is written: what is there may be ours as the list says, or as the plan does.
announce_list() {
  if [ "$dry_run" = yes ]; then return 0; fi
  planned_list >"$work/list"
  if [ -f "$list" ]; then
    sed -n '/^[0-9a-f]\{64\} /p' "$list" | grep -vFx -f "$work/list" >"$work/older" || true
    cat "$work/older" >>"$work/list"
  fi
  keep_list
}

# When all is done: only what the plan says.
write_list() {
  if [ "$dry_run" = yes ]; then return 0; fi
  planned_list >"$work/list"
  keep_list
}

planned_list() {
  printf '# Files written by install.sh, for the next upgrade or --uninstall.\n'
  printf '# what=%s\n# prefix=%s\n# data=%s\n' "$what" "$prefix" "$data"
  while read -r _ source path; do printf '%s %s\n' "$(digest "$source")" "$path"; done <"$work/plan"
}

# Puts $work/list in place.
keep_list() {
  if cmp -s "$work/list" "$list"; then return 0; fi
  mkdir -p "$(dirname "$list")"
  cp "$work/list" "$list.new"
  mv -f "$list.new" "$list"
}

has_systemd() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

plan_programs() {
  for program in photosync-server photosync; do
    [ -f "$work/release/bin/$program" ] || die 1 "the release has no $program"
    want 755 "$work/release/bin/$program" "$prefix/bin/$program"
  done
  for file in "$work/release/doc/"*; do
    want 644 "$file" "$prefix/share/doc/photosync/${file##*/}"
  done
}

plan_systemd() {
  case $prefix in
  /home/* | /root/* | /tmp/*) die 78 "the service cannot see programs in $prefix; choose a --prefix outside of homes" ;;
  esac
  unit=$work/photosync.service
  sed -e "s|/usr/bin/photosync-server|$prefix/bin/photosync-server|g" \
    -e "s|/usr/share/doc/photosync|$prefix/share/doc/photosync|g" \
    "$work/release/systemd/photosync.service" >"$unit"
  if [ "$data" != "$usual_data" ]; then
    case $data in
    /tmp | /tmp/* | /var/tmp | /var/tmp/* | /dev/* | /proc/* | /sys/* | /run/*) die 78 "$data is no place for photos" ;;
    /home/* | /root/*)
      # The unit hides all homes; of this one, only the folder is shown.
      sed -i.orig -e 's|^ProtectHome=.*|ProtectHome=tmpfs|' "$unit"
      printf '# The folder of the photos, as --data said.\n[Service]\nBindPaths=%s\n' "$data" >"$work/data.conf"
      ;;
    *) printf '# The folder of the photos, as --data said.\n[Service]\nReadWritePaths=%s\n' "$data" >"$work/data.conf" ;;
    esac
    {
      printf 'ExecStart=\nExecStart=%s/bin/photosync-server serve --data %s\nExecStartPre=\n' "$prefix" "$data"
      sed -n "/^ExecStartPre=/s|/var/lib/photosync|$data|gp" "$unit"
      printf '[Unit]\nRequiresMountsFor=%s\n' "$data"
    } >>"$work/data.conf"
    want 644 "$work/data.conf" /etc/systemd/system/photosync.service.d/data.conf
  fi
  want 644 "$unit" /usr/local/lib/systemd/system/photosync.service
  want 644 "$work/release/systemd/photosync.socket" /usr/local/lib/systemd/system/photosync.socket
  want 644 "$work/release/systemd/photosync.sysusers" /usr/local/lib/sysusers.d/photosync.conf
  want 644 "$work/release/systemd/photosync.tmpfiles" /usr/local/lib/tmpfiles.d/photosync.conf
}

# The account that the service runs as.
make_account() {
  if grep -q '^photosync:' "$root/etc/passwd" 2>/dev/null; then return 0; fi
  did "make the system account photosync"
  if [ "$dry_run" = yes ]; then return 0; fi
  mkdir -p "$root/etc"
  if command -v systemd-sysusers >/dev/null 2>&1; then
    systemd-sysusers ${root:+"--root=$root"} photosync.conf >/dev/null ||
      die 1 'systemd-sysusers could not make the account photosync'
  else
    useradd --system --user-group --no-create-home --home-dir /var/lib/photosync --shell /usr/sbin/nologin \
      ${root:+--root "$root"} photosync
  fi
}

# A folder for the photos must be new, empty, or the server's own already.
require_data() {
  if [ "$data" = "$usual_data" ] || [ -n "$root" ] || [ ! -d "$data" ] || [ -f "$data/volume.json" ]; then return 0; fi
  if [ -n "$(find "$data" -mindepth 1 -maxdepth 1 ! -name lost+found | head -n 1)" ]; then
    die 73 "$data holds something else: choose a new or an empty folder; nothing was changed"
  fi
}

# The usual folder is systemd's to make and to give to the account.
make_data() {
  if [ "$data" = "$usual_data" ] || [ -n "$root" ]; then return 0; fi
  if [ -d "$data" ] && [ "$(find "$data" -prune -user photosync 2>/dev/null)" = "$data" ]; then return 0; fi
  # An empty folder of root, as a new disk is, may be taken. Anything else is somebody's.
  if [ -d "$data" ] && { [ -f "$data/volume.json" ] || [ "$(find "$data" -prune -user root)" != "$data" ]; }; then
    # A dry run makes no account that it could belong to.
    if [ "$dry_run" = yes ] && ! grep -q '^photosync:' /etc/passwd; then return 0; fi
    die 73 "$data belongs to another account than photosync, and the server could not open it. If it is PhotoSync's, or to be: chown -R photosync:photosync $data; then run this again"
  fi
  did "make the folder $data for the account photosync"
  if [ "$dry_run" = yes ]; then return 0; fi
  mkdir -p "$data"
  chown photosync:photosync "$data"
  chmod 700 "$data"
}

make_settings() {
  settings=/etc/photosync/photosync.toml
  if [ -e "$root$settings" ] || [ ! -f "$work/release/doc/photosync.toml" ]; then return 0; fi
  did "write $root$settings (yours from now on)"
  if [ "$dry_run" = yes ]; then return 0; fi
  mkdir -p "$root/etc/photosync"
  cp "$work/release/doc/photosync.toml" "$root$settings"
  chmod 644 "$root$settings"
}

start_service() {
  if ! has_systemd; then
    if [ -z "$root" ]; then warn 'systemd does not run here: start the server yourself'; fi
    return 0
  fi
  if [ "$dry_run" = yes ]; then
    did 'start the service photosync, now and with the machine'
    return 0
  fi
  systemctl daemon-reload
  # Whoever chose socket activation keeps it.
  if ! systemctl is-enabled --quiet photosync.socket 2>/dev/null; then systemctl enable --quiet photosync.service; fi
  if [ "$changed" = yes ] || ! systemctl is-active --quiet photosync.service; then
    if ! systemctl restart photosync.service; then
      systemctl status --no-pager --lines=20 photosync.service >&2 || true
      die 1 'the server was installed, but does not start; the lines above say why'
    fi
  fi
}

open_ports() {
  [ "$open_firewall" = yes ] || return 0
  if command -v ufw >/dev/null 2>&1; then
    did 'open TCP 3000 and UDP 5353 in ufw'
    if [ "$dry_run" = no ]; then ufw allow 3000/tcp >/dev/null && ufw allow 5353/udp >/dev/null; fi
  elif command -v firewall-cmd >/dev/null 2>&1; then
    did 'open TCP 3000 and UDP 5353 in firewalld'
    if [ "$dry_run" = no ]; then
      firewall-cmd --quiet --permanent --add-port=3000/tcp --add-port=5353/udp && firewall-cmd --quiet --reload
    fi
  else
    warn 'neither ufw nor firewalld is here: open TCP port 3000 yourself if something blocks it'
  fi
}

plan_agent() {
  sed -e "s|@PREFIX@|$prefix|g" -e "s|@HOME@|$HOME|g" >"$work/agent.plist" <<'PLIST'
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key><string>photosync</string>
  <key>ProgramArguments</key>
  <array><string>@PREFIX@/bin/photosync-server</string><string>serve</string></array>
  <key>RunAtLoad</key><true/>
  <key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>
  <key>StandardErrorPath</key><string>@HOME@/Library/Logs/photosync.log</string>
</dict>
</plist>
PLIST
  if [ -n "$data" ]; then
    sed -i.orig -e "s|<string>serve</string>|<string>serve</string><string>--data</string><string>$data</string>|" "$work/agent.plist"
  fi
  want 644 "$work/agent.plist" "$HOME/Library/LaunchAgents/photosync.plist"
}

start_agent() {
  if [ -n "$root" ]; then return 0; fi
  if [ "$dry_run" = yes ]; then
    did 'start the LaunchAgent photosync'
    return 0
  fi
  if [ "$changed" = yes ]; then launchctl bootout "gui/$(id -u)/photosync" 2>/dev/null || true; fi
  launchctl bootstrap "gui/$(id -u)" "$HOME/Library/LaunchAgents/photosync.plist" 2>/dev/null ||
    launchctl print "gui/$(id -u)/photosync" >/dev/null || die 1 'the LaunchAgent does not start'
}

install() {
  if [ "$what" = server ] && [ -f "$root/usr/lib/photosync/installed-by" ]; then
    die 78 "PhotoSync was installed here as a package ($(cat "$root/usr/lib/photosync/installed-by")): it is upgraded and removed the same way; nothing was changed"
  fi
  if [ "$from_source" = yes ]; then build_release; else get_release; fi
  : >"$work/plan"
  plan_programs
  if [ "$what" = desktop ]; then
    [ -f "$work/release/bin/photosync-tray" ] || die 1 "the release for $target has no tray program; --server needs none"
    want 755 "$work/release/bin/photosync-tray" "$prefix/bin/photosync-tray"
  elif [ "$system" = Darwin ]; then
    plan_agent
  else
    [ "$as_root" = yes ] || die 77 'a system service needs root: run this with sudo'
    plan_systemd
  fi
  require_ours
  if [ "$what" = server ] && [ "$system" = Linux ]; then require_data; fi
  announce_list
  write_plan
  remove_dropped
  write_list
  if [ "$what" = desktop ]; then
    if [ "$changed" = no ]; then say 'everything is as it should be; nothing was changed'; fi
    say "Next: start $prefix/bin/photosync-tray; its menu shows the addresses for the phone."
    return 0
  fi
  if [ "$system" = Darwin ]; then
    start_agent
    say 'Next: type http://THIS-MAC:3000 into the phone app (Local Network, then Create Account).'
    return 0
  fi
  make_account
  make_data
  make_settings
  open_ports
  if [ "$changed" = no ]; then say 'everything is as it should be; nothing was changed'; fi
  start_service
  if has_systemd && [ "$dry_run" = no ]; then
    say "PhotoSync: $(systemctl show photosync.service -p StatusText --value)"
  fi
  say "Photos: $data    Settings: /etc/photosync/photosync.toml"
  say 'Next: type one of the addresses into the phone app (Local Network, then Create Account).'
  say "      Without a phone: sudo -u photosync $prefix/bin/photosync-server user add you@example.org --admin --data $data"
}

uninstall() {
  [ -f "$list" ] || die 66 "there is nothing to remove: no $list"
  if has_systemd && [ "$(recorded what)" = server ] && [ "$as_root" = yes ]; then
    did 'stop the service photosync'
    if [ "$dry_run" = no ]; then
      systemctl disable --quiet --now photosync.socket photosync.service 2>/dev/null ||
        systemctl stop photosync.service || die 1 'the service could not be stopped; nothing was removed'
    fi
  fi
  if [ "$system" = Darwin ] && [ -z "$root" ] && [ "$dry_run" = no ]; then
    launchctl bootout "gui/$(id -u)/photosync" 2>/dev/null || true
  fi
  recorded_paths
  while read -r path; do remove_own "$path"; done <"$work/recorded"
  if [ "$dry_run" = yes ]; then return 0; fi
  # What `photosync-server update` notes beside the programs; the versions it keeps are in the list.
  for note in photosync-server.update.json photosync-server.update.lock; do rm -f "$root$prefix/bin/$note"; done
  rm -rf "$root$prefix/bin/.photosync-server.update"
  # Folders only where they are ours by name, and only if they are empty.
  for folder in "$prefix/share/doc/photosync" /etc/systemd/system/photosync.service.d; do
    if [ -d "$root$folder" ]; then rmdir "$root$folder" 2>/dev/null || true; fi
  done
  rm -f "$list" "$list.new"
  rmdir "$(dirname "$list")" 2>/dev/null || true
  if has_systemd && [ "$as_root" = yes ]; then systemctl daemon-reload; fi
  say "PhotoSync is removed. Photos${data:+ ($data)}, settings and the account photosync stay."
}

main() {
  parse "$@"
  places
  work=$(mktemp -d "${TMPDIR:-/tmp}/photosync-install.XXXXXX")
  half=
  trap 'rm -rf "$work"; if [ -n "$half" ]; then rm -f "$half"; fi' EXIT
  trap 'exit 130' INT TERM
  case $what in
  uninstall) uninstall ;;
  *) install ;;
  esac
}

# The last line: a download that was cut off does nothing.
main "$@"
