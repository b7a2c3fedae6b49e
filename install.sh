#!/usr/bin/env bash
# Puts Lesson Box on Debian 12 or 13 or Raspberry Pi OS (arm64, amd64) from a clone, with or without Internet. Run it again to upgrade:
# the new programs are made beside the old ones and take their place at one instant. Data in /var/lib is never touched.
set -euo pipefail
cd "$(dirname "$0")"

usage() {
  cat <<'TEXT'
usage: sudo ./install.sh [OPTION…]              the box's programs: install, or upgrade
       sudo ./install.sh --county [OPTION…]     the county's server

  --enrolment FILE     make this machine the school's box; FILE comes from `county enrol`
  --name NAME --url URL   (with --county, the first time) the county's name, and where boxes reach it
  --tv                 also show the lessons on a television at this machine's HDMI (chromium)
  --network            also answer for http://lesson/ (LLMNR, NetBIOS, SSDP) and make an own Wi-Fi where there is no LAN
  --wheelhouse DIR     Python packages from this folder, none from the Internet; Debian packages too, where DIR/debs is
  --uninstall          take the programs and units away; data stays
  --purge              with --uninstall: the data too (asks first, unless --yes)
  --dry-run            say every change, make none
  --yes                ask nothing
TEXT
}

kind=box enrolment='' name='' url='' wheelhouse='' remove='' purge='' dry='' yes='' network='' tv=''
while [ $# -gt 0 ]; do
  case "$1" in
    --county) kind=county ;;
    --network) network=1 ;;
    --tv) tv=1 ;;
    --uninstall) remove=1 ;;
    --purge) purge=1 ;;
    --dry-run) dry=1 ;;
    --yes) yes=1 ;;
    --enrolment|--name|--url|--wheelhouse)
      [ $# -ge 2 ] || { usage >&2; exit 2; }
      case "$1" in --enrolment) enrolment=$2 ;; --name) name=$2 ;; --url) url=$2 ;; --wheelhouse) wheelhouse=$2 ;; esac
      shift ;;
    -h|--help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
fail() { echo "error: $1" >&2; exit 1; }
# Every change goes through one of these two; a dry run has another pair.
if [ -n "$dry" ]; then
  change() { printf 'would run: %s\n' "$*"; }
  write() { printf 'would write %s:\n' "$1"; sed 's/^/    /'; }
else
  change() { "$@"; }
  write() { local new="$1.new"; cat >"$new"; mv -f "$new" "$1"; }
fi

# What this can't support is said before anything is changed.
command -v apt-get >/dev/null || fail "this needs Debian 12 or 13, or Raspberry Pi OS"
[ -n "$dry" ] || [ "$(id -u)" -eq 0 ] || fail "run it as root (sudo), or with --dry-run"
# shellcheck source=/dev/null
system=$(. /etc/os-release && echo "${ID:-} ${VERSION_ID:-}")
case "$system" in
  'debian 12'|'debian 13'|'raspbian 12'|'raspbian 13') ;;
  *) fail "this is '$system'; Debian 12 or 13, or Raspberry Pi OS of the same age, is needed" ;;
esac
architecture=$(dpkg --print-architecture)
case "$architecture" in
  amd64|arm64) ;;
  *) fail "this system is $architecture; a 64-bit one (arm64 or amd64) is needed: on a Raspberry Pi choose 'Raspberry Pi OS (64-bit)'" ;;
esac
[ -z "$purge" ] || [ -n "$remove" ] || fail "--purge goes with --uninstall"
[ -z "$enrolment" ] || [ -r "$enrolment" ] || fail "cannot read $enrolment"
[ -z "$enrolment" ] || [ "$kind" = box ] || fail "--enrolment is for a box"
[ -z "$network" ] || [ "$kind" = box ] || fail "--network is for a box"
[ -z "$tv" ] || [ "$kind" = box ] || fail "--tv is for a box"
[ -z "$name$url" ] || { [ -n "$name" ] && [ -n "$url" ]; } || fail "--name and --url go together"
[ -z "$wheelhouse" ] || [ -d "$wheelhouse" ] || fail "cannot read $wheelhouse"
[ -z "$wheelhouse" ] || wheelhouse=$(realpath "$wheelhouse")

if [ "$kind" = box ]; then
  user=lessonbox command=lessonbox
  units=(lessonbox-firstboot.service lessonbox-web.socket lessonbox-helper.socket lessonbox-web.service lessonbox-sync.service
    lessonbox-agent.service lessonbox-enrolled.path lessonbox-doctor.timer lessonbox-update-settle.service lessonbox-update.path
    lessonbox-update.timer lessonbox-trial.service)
  # Started by those, by sticks or by the card.
  parts=(lessonbox-helper@.service lessonbox-stick@.service lessonbox-disk@.service lessonbox-enrolled.target lessonbox-lamp.service lessonbox-doctor.service lessonbox-update.service lessonbox-wifi@.service)
  parts+=(lessonbox-hotspot.service lessonbox-hotspot-dhcp.service lessonbox-share.service lessonbox-netbios.socket)
  packages=(python3-venv avahi-daemon)
  # Nothing of the machine's network is taken unasked; what was asked for once stays.
  lan=(lessonbox-network.service lessonbox-lan.service)
  if [ -n "$network$remove" ] || [ -e /etc/systemd/system/multi-user.target.wants/lessonbox-lan.service ]; then
    units+=("${lan[@]}") packages+=(dnsmasq-base hostapd)
  else
    parts+=("${lan[@]}")
  fi
  # Nor its screen.
  if [ -n "$remove" ] || [ -e /etc/systemd/system/multi-user.target.wants/lessonbox-tv.service ]; then tv=1; fi
  if [ -n "$tv" ]; then
    units+=(lessonbox-tv.service) packages+=(chromium cage fonts-wqy-microhei seatd kbd ir-keytable v4l-utils)
  fi
else
  user=lessonbox-county command=county units=(lessonbox-county.service) parts=()
  packages=(python3-venv ffmpeg poppler-utils libreoffice-impress-nogui libreoffice-writer-nogui fonts-wqy-microhei)
fi
data=/var/lib/$user python=/usr/bin/python3
# Where sudo and everybody look for commands; what somebody else has put there stays.
typed=/usr/local/bin/$command target=/opt/lessonbox/bin/$command
running() { [ -d /run/systemd/system ]; }

if [ -n "$remove" ]; then
  if [ -n "$purge" ] && [ -z "$yes$dry" ]; then
    read -rp "Delete $data with all its lessons and reports? Type yes: " answer
    [ "$answer" = yes ] || fail "nothing was changed"
  fi
  for unit in "${units[@]}"; do
    if running && [ -e "/etc/systemd/system/$unit" ]; then change systemctl disable --now --quiet "$unit" || true; fi
  done
  # What those have started may run still, and would make its folder again.
  if running && [ "${#parts[@]}" -gt 0 ]; then change systemctl stop --quiet "${parts[@]/@./@*.}" 2>/dev/null || true; fi
  for unit in "${units[@]}" "${parts[@]}"; do change rm -f "/etc/systemd/system/$unit"; done
  change rm -f "/usr/lib/sysusers.d/$user.conf"
  if [ "$(readlink "$typed")" = "$target" ]; then change rm -f "$typed"; fi
  if [ "$kind" = box ]; then
    change rm -f /usr/lib/tmpfiles.d/lessonbox.conf /etc/systemd/journald.conf.d/lessonbox.conf /etc/udev/rules.d/70-lessonbox-{sticks,tv}.rules \
      /usr/lib/sysusers.d/lessonbox-tv.conf /etc/chromium/policies/managed/lessonbox-tv.json
  fi
  other=lessonbox-county; [ "$kind" = box ] || other=lessonbox-web
  if [ ! -e "/etc/systemd/system/$other.service" ]; then change rm -rf /opt/lessonbox /opt/lessonbox-updater /opt/lessonbox.d; fi
  if [ -n "$purge" ]; then
    change rm -rf "$data"  # a county's root key lies beside it and stays: no box would believe another
    if [ "$kind" = box ]; then change rm -rf /var/lib/lessonbox-update /var/lib/lessonbox-tv; fi
    for owner in "$user" ${tv:+lessonbox-tv}; do
      if id -u "$owner" >/dev/null 2>&1; then change userdel "$owner"; fi
    done
  fi
  if running; then change systemctl daemon-reload; fi
  if [ -n "$purge" ]; then echo "Removed, data too."; else echo "Removed. The data is still in $data."; fi
  exit 0
fi

# An enrolled box stays the box that it is, as `lessonbox init` would say.
if [ -n "$enrolment" ] && [ -e "$data/enrolment.json" ]; then
  "$python" - "$data/enrolment.json" "$enrolment" <<'PYTHON' || fail "$enrolment can't be used here; nothing was changed"
import json, sys

try:
    here, there = (json.load(open(path, encoding="utf-8")) for path in sys.argv[1:])
    same = all(here[key] == there[key] for key in ("box", "county", "root"))
except (OSError, ValueError, LookupError, TypeError) as error:
    sys.exit(f"no enrolment file: {error}")
if not same:
    sys.exit(f"this machine is already box {here['box']} of {here['county']}, and stays it")
if here.get("claim") not in (None, there.get("claim")):
    sys.exit(f"box {here['box']} was enrolled with another claim")
PYTHON
fi

free=$(df --output=avail -BM /opt 2>/dev/null | tail -1 | tr -dc 0-9)
[ "${free:-0}" -ge 400 ] || fail "400 MB are needed in /opt, ${free:-0} are free"

missing=()
for package in "${packages[@]}"; do
  for held in "$package" "${package%-nogui}"; do
    if [ "$(dpkg-query -W -f '${db:Status-Status}' "$held" 2>/dev/null)" = installed ]; then continue 2; fi
  done
  missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
  echo "Installing Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  if [ -n "$wheelhouse" ] && [ -d "$wheelhouse/debs" ]; then
    change dpkg -i "$wheelhouse"/debs/*.deb
  elif [ -n "$wheelhouse" ]; then
    needed=$(apt-get install -qq -y --no-install-recommends --print-uris "${missing[@]}" 2>/dev/null) || needed=all
    [ -z "$needed" ] ||
      fail "without Internet these Debian packages must be here first: ${missing[*]} (or their .deb files in $wheelhouse/debs)"
    change apt-get install -qq -y --no-install-recommends --no-download "${missing[@]}"
  else
    change apt-get update -qq
    change apt-get install -qq -y --no-install-recommends "${missing[@]}"
  fi
fi

"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
  fail "Python 3.11, 3.12 or 3.13 is needed"
# An image names the folder itself, so that it can be made again byte for byte.
place=/opt/lessonbox.d/${LESSONBOX_PLACE:-$(date +%Y%m%d-%H%M%S)-$$}
echo "Installing the programs into $place"
change mkdir -p /opt/lessonbox.d
change "$python" -m venv "$place"
trap '[ -z "$place" ] || rm -rf "$place"' EXIT
options=(--quiet --disable-pip-version-check)
if [ -n "$wheelhouse" ]; then
  wheel=$(find "$wheelhouse" -maxdepth 1 -name 'lessonbox-*.whl' | sort -V | tail -1)
  options+=(--no-index --find-links "$wheelhouse")
  pins=$wheelhouse/requirements.txt  # images/wheelhouse made it then: nothing else is let in
else
  wheel='' pins=images/requirements.txt
fi
if [ -r "$pins" ]; then
  change "$place/bin/python" -m pip install "${options[@]}" --only-binary=:all: --require-hashes -r "$pins"
fi
change "$place/bin/python" -m pip install "${options[@]}" "${wheel:-.}"
# Updates that are older than these programs leave them as they are (docs/formats.md 18).
if [ -n "$wheelhouse" ]; then
  number=$(cat "$wheelhouse/update-number" 2>/dev/null || true)
else
  number=$(git -c safe.directory="$PWD" log -1 --format=%ct 2>/dev/null || stat -c %Y pyproject.toml)
fi
if [ -n "$number" ]; then echo "$number" | write "$place/update-number"; fi
change "$place/bin/lessonbox" --help >/dev/null  # it runs here: only then it takes the old one's place
before=$(readlink -f /opt/lessonbox || true)
if [ -d /opt/lessonbox ] && [ ! -L /opt/lessonbox ]; then
  before=/opt/lessonbox.d/before
  change mv -T /opt/lessonbox "$before"
fi
change ln -sfn "$place" /opt/lessonbox.new
change mv -T /opt/lessonbox.new /opt/lessonbox
change ln -sfn "$place" /opt/lessonbox-updater.new  # what installs updates: never a place that is being tried
change mv -T /opt/lessonbox-updater.new /opt/lessonbox-updater
if [ ! -e "$typed" ] && [ ! -L "$typed" ]; then
  change mkdir -p "${typed%/*}"
  change ln -s "$target" "$typed"
elif [ "$(readlink "$typed")" != "$target" ]; then
  echo "$typed is not of Lesson Box and stays; the command is $target"
fi
kept=$place place=''

change install -D -m 644 "systemd/$user.sysusers" "/usr/lib/sysusers.d/$user.conf"
change systemd-sysusers "/usr/lib/sysusers.d/$user.conf"
if [ "$kind" = county ] && [ -e /etc/systemd/system/county.service ]; then  # its name until 2026-11
  if running; then change systemctl disable --now --quiet county.service; fi
  change rm -f /etc/systemd/system/county.service
fi
again=()  # a socket that is as it was is left open: a board that asks meanwhile waits, and is not refused
for unit in "${units[@]}"; do
  case "$unit" in
    lessonbox-firstboot.service) ;;  # once in a start of the machine
    *.socket) cmp -s "systemd/$unit" "/etc/systemd/system/$unit" || again+=("$unit") ;;
    *) again+=("$unit") ;;
  esac
done
for unit in "${units[@]}" "${parts[@]}"; do change install -m 644 "systemd/$unit" "/etc/systemd/system/$unit"; done
if [ "$kind" = box ]; then
  change install -D -m 644 systemd/70-lessonbox-sticks.rules /etc/udev/rules.d/70-lessonbox-sticks.rules
  change install -D -m 644 systemd/lessonbox.tmpfiles /usr/lib/tmpfiles.d/lessonbox.conf
  change install -D -m 644 systemd/lessonbox.journald /etc/systemd/journald.conf.d/lessonbox.conf
  change systemd-tmpfiles --create /usr/lib/tmpfiles.d/lessonbox.conf
fi
if [ -n "$tv" ]; then
  change install -D -m 644 systemd/lessonbox-tv.sysusers /usr/lib/sysusers.d/lessonbox-tv.conf
  change systemd-sysusers /usr/lib/sysusers.d/lessonbox-tv.conf
  change install -D -m 644 systemd/70-lessonbox-tv.rules /etc/udev/rules.d/70-lessonbox-tv.rules
  change install -D -m 644 systemd/lessonbox-tv.policy /etc/chromium/policies/managed/lessonbox-tv.json
fi

if [ -n "$enrolment" ] && [ ! -e "$data/enrolment.json" ]; then
  change /opt/lessonbox/bin/lessonbox init --data "$data" --enrolment "$enrolment"
elif [ -n "$name" ] && [ ! -e "$data/county.toml" ]; then
  # Root makes the keys, so that the root key beside the data folder is out of the server's reach.
  change /opt/lessonbox/bin/county init --data "$data" --name "$name" --url "$url"
elif [ -n "$name" ]; then
  echo "There is a county already: its name and address stay as $data/county.toml has them."
fi
if [ -d "$data" ]; then change chown -R "$user:$user" "$data"; fi

# avahi owns the host name that boards type; a name that somebody chose stays.
avahi=/etc/avahi/avahi-daemon.conf renamed=''
if [ "$kind" = box ] && [ -f "$avahi" ] && ! grep -q '^host-name=' "$avahi"; then
  sed 's/^\[server\]/[server]\nhost-name=lesson/' "$avahi" | write "$avahi"
  renamed=yes
fi

if running; then
  if [ -n "$renamed" ]; then change systemctl restart avahi-daemon; fi
  change systemctl daemon-reload
  change systemctl enable --quiet "${units[@]}"
  change systemctl restart "${again[@]}"
  change systemctl start "${units[@]}"
  if [ "$kind" = box ]; then
    change systemctl restart systemd-journald
    if [ -e /run/udev/control ]; then change udevadm control --reload; fi
  fi
else
  for unit in "${units[@]}"; do change systemctl enable --quiet "$unit"; done  # in an image that is being made
fi
# The one before stays, for going back; older ones go.
for other in /opt/lessonbox.d/*; do
  if [ -d "$other" ] && [ "$other" != "$kept" ] && [ "$other" != "$before" ]; then change rm -rf "$other"; fi
done
if [ -n "$dry" ]; then
  echo "Nothing was changed."
elif [ -e "$data/box.toml" ]; then
  echo "The box is ready: http://lesson.local/ $(hostname -I | awk '$1 {print "and http://" $1 "/"}')"
elif [ -e "$data/county.toml" ]; then
  echo "The county is ready: sudo -u $user $target publish FOLDER"
else
  echo "The programs are installed. Next: see --help"
fi
