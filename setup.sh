#!/usr/bin/env bash
# What `make` needs on a fresh Debian 12 or 13: packages of the system, then .venv with this project in it.
# usage: setup.sh demo|test|bench|image      (bench and image hold test, test holds demo)
# A second call changes nothing and takes a tenth of a second.
set -euo pipefail
cd "$(dirname "$0")"

want=${1:-demo}
# One entry a line; a|b is satisfied by either, and the first is installed.
demo_packages=(python3-venv ffmpeg espeak-ng fontconfig fonts-wqy-microhei fonts-dejavu-core poppler-utils
               'libreoffice-impress-nogui|libreoffice-impress')
test_packages=(chromium systemd iproute2 nftables avahi-daemon avahi-utils dbus git procps shellcheck bindfs faketime qbittorrent-nox
               dosfstools mtools fdisk bmap-tools util-linux systemd-container mmdebstrap xvfb xdotool libzbar0
               dnsmasq-base hostapd busybox samba smbclient)
bench_packages=(nginx-light fonts-arphic-ukai)
image_packages=(mmdebstrap fdisk dosfstools mtools e2fsprogs bmap-tools xz-utils unzip zstd qemu-system-x86 ovmf openssh-client
                qemu-system-arm qemu-user-static binfmt-support arch-test device-tree-compiler
                libeatmydata1)

packages=("${demo_packages[@]}")
extras=samples
case "$want" in
  demo) ;;
  test) packages+=("${test_packages[@]}"); extras=samples,test ;;
  bench) packages+=("${test_packages[@]}" "${bench_packages[@]}"); extras=samples,test ;;
  image) packages+=("${test_packages[@]}" "${image_packages[@]}"); extras=samples,test ;;
  *) echo "usage: setup.sh demo|test|bench|image" >&2; exit 2 ;;
esac

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=()
for entry in "${packages[@]}"; do
  found=
  IFS='|' read -ra choices <<<"$entry"
  for choice in "${choices[@]}"; do
    if installed "$choice"; then found=yes; fi
  done
  [ -n "$found" ] || missing+=("${choices[0]}")
done

if [ "${#missing[@]}" -gt 0 ]; then
  if ! command -v apt-get >/dev/null; then
    echo "This needs Debian 12 or 13. Elsewhere install what these packages hold: ${missing[*]}" >&2
    exit 1
  fi
  if [ "$(id -u)" -ne 0 ]; then
    echo "Some Debian packages are missing. Run this, then the same make command again:" >&2
    echo "  sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  echo "Installing Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -qq -y --no-install-recommends "${missing[@]}"
fi

python=${PYTHON:-}
if [ -z "$python" ]; then
  for candidate in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
        2>/dev/null; then
      python=$candidate
      break
    fi
  done
fi
if [ -z "$python" ]; then
  echo "Python 3.11, 3.12 or 3.13 with its venv module is needed (Debian 12 and 13 have it)." >&2
  exit 1
fi

state="$extras $("$python" -c 'import sys; print(sys.version)' | tr '\n' ' ') $(cat pyproject.toml setup.sh | sha256sum)"
held=$(cat .venv/ready 2>/dev/null || true)
# What `test` installed serves `demo` too.
if [ "$held" = "$state" ] || [ "$held" = "${state/#samples /samples,test }" ]; then exit 0; fi

echo "Making .venv with $("$python" --version)"
if ! .venv/bin/python -c '' 2>/dev/null; then "$python" -m venv --clear .venv; fi
.venv/bin/python -m pip install -qq --disable-pip-version-check --upgrade pip
.venv/bin/python -m pip install -qq --disable-pip-version-check --editable ".[$extras]"
printf '%s\n' "$state" >.venv/ready
