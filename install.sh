#!/usr/bin/env bash
# Puts Lesson Box on Debian 12 or 13 (Raspberry Pi OS too) from a clone: packages, /opt/lessonbox, a user, systemd units.
# Run it again to upgrade; data in /var/lib is never touched.
set -euo pipefail
cd "$(dirname "$0")"

usage() {
  cat <<'TEXT'
usage: sudo ./install.sh --enrolment FILE              a school's box; FILE comes from `county enrol`
       sudo ./install.sh                               the box's programs, to upgrade or to enrol later
       sudo ./install.sh --county [--name NAME --url URL]   the county's server; NAME and URL the first time
TEXT
}

kind=box enrolment='' name='' url=''
while [ $# -gt 0 ]; do
  case "$1" in
    --county) kind=county ;;
    --enrolment|--name|--url)
      [ $# -ge 2 ] || { usage >&2; exit 2; }
      case "$1" in --enrolment) enrolment=$2 ;; --name) name=$2 ;; --url) url=$2 ;; esac
      shift ;;
    -h|--help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
fail() { echo "error: $1" >&2; exit 1; }
[ "$(id -u)" -eq 0 ] || fail "run it as root (sudo)"
command -v apt-get >/dev/null || fail "this needs Debian 12 or 13, or Raspberry Pi OS"
[ -z "$enrolment" ] || [ -r "$enrolment" ] || fail "cannot read $enrolment"
[ -z "$name$url" ] || { [ -n "$name" ] && [ -n "$url" ]; } || fail "--name and --url go together"

if [ "$kind" = box ]; then
  user=lessonbox units=(lessonbox-web lessonbox-sync lessonbox-agent)
  packages=(python3-venv avahi-daemon)
else
  user=lessonbox-county units=(county)
  packages=(python3-venv ffmpeg poppler-utils libreoffice-impress-nogui libreoffice-writer-nogui fonts-wqy-microhei)
fi
data=/var/lib/$user

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
  apt-get update -qq
  apt-get install -qq -y --no-install-recommends "${missing[@]}"
fi

python=/usr/bin/python3
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
  fail "Python 3.11, 3.12 or 3.13 is needed"
echo "Installing the programs into /opt/lessonbox"
[ -x /opt/lessonbox/bin/python ] || "$python" -m venv /opt/lessonbox
/opt/lessonbox/bin/python -m pip install --quiet --disable-pip-version-check --upgrade .

id -u "$user" >/dev/null 2>&1 ||
  useradd --system --user-group --home-dir "$data" --no-create-home --shell /usr/sbin/nologin "$user"
for unit in "${units[@]}"; do install -m 644 "systemd/$unit.service" /etc/systemd/system/; done

if [ -n "$enrolment" ] && [ ! -e "$data/box.toml" ]; then
  /opt/lessonbox/bin/lessonbox init --data "$data" --enrolment "$enrolment"
elif [ -n "$name" ] && [ ! -e "$data/county.toml" ]; then
  # Root makes the keys, so that the root key beside the data folder is out of the server's reach.
  /opt/lessonbox/bin/county init --data "$data" --name "$name" --url "$url"
fi
if [ -d "$data" ]; then chown -R "$user:$user" "$data"; fi

# avahi owns the host name that boards type; a name that somebody chose stays.
avahi=/etc/avahi/avahi-daemon.conf renamed=
if [ "$kind" = box ] && [ -f "$avahi" ] && ! grep -q '^host-name=' "$avahi"; then
  sed -i 's/^\[server\]/[server]\nhost-name=lesson/' "$avahi"
  renamed=yes
fi

if [ -d /run/systemd/system ]; then
  if [ -n "$renamed" ]; then systemctl restart avahi-daemon; fi
  systemctl daemon-reload
  systemctl enable --quiet "${units[@]}"
  systemctl restart "${units[@]}"
fi
if [ -e "$data/box.toml" ]; then
  echo "The box is ready: http://lesson.local/ and $(hostname -I | awk '{print "http://" $1 "/"}')"
elif [ -e "$data/county.toml" ]; then
  echo "The county is ready: sudo -u $user /opt/lessonbox/bin/county publish FOLDER"
else
  echo "The programs are installed. Next: see --help"
fi
