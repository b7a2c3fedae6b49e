#!/usr/bin/env bash
# usage: native.sh ROOT | native.sh --remove ROOT     lends a system of another architecture this machine's own tools while it is being made:
# they lie before its own on the path, and a program that is not emulated is ten times as fast. None of them stays. None packs and none knows
# an architecture: what is kept is made by the system's own.
set -euo pipefail
python=/usr/bin/python3.13
tools=(awk b2sum base64 basename bash cat chgrp chmod chown cmp comm cp cut dash date dd df diff dirname dpkg-deb dpkg-divert dpkg-query
  dpkg-statoverride dpkg-trigger du env expr find fold grep head install join link ln ls md5sum mkdir mkfifo mktemp mv nl od openssl paste readlink
  realpath rm rmdir run-parts sed seq sha256sum sleep sort split stat sync tac tail tar tee touch tr uniq update-alternatives wc xargs)
if [ "$1" = --remove ]; then
  root=$2
  if [ -L "$root$python" ]; then
    rm "$root$python"
    chroot "$root" dpkg-divert --quiet --local --rename --remove "$python"
  fi
  ln -sfn dash "$root/usr/bin/sh"
  while read -r path; do rm -f "$root$path"; done <"$root/usr/local/lent"
  rm -f "$root/usr/local/lent"
  for folder in usr/lib64 "usr/lib/$(uname -m)-linux-gnu"; do rmdir "$root/$folder" 2>/dev/null || true; done
  [ -d "$root/usr/lib64" ] || rm -f "$root/lib64"
  exit 0
fi
root=$1
# The second time, dpkg works: bytecode that Python's own packages would make, emulated, is made anew by images/customize.sh anyway.
if [ -e "$root/usr/local/lent" ]; then
  chroot "$root" dpkg-divert --quiet --local --rename --add "$python"
  ln -sf /bin/true "$root$python"
fi
if [ ! -e "$root/lib64" ]; then mkdir -p "$root/usr/lib64"; ln -s usr/lib64 "$root/lib64"; fi
lend() {
  if [ ! -e "$root$2" ]; then
    install -D "$1" "$root$2"
    echo "$2" >>"$root/usr/local/lent"
  fi
}
for tool in "${tools[@]}"; do
  path=$(readlink -f "$(type -P "$tool")") || continue
  case "$(head -c 4 "$path" | tr -d '\0')" in $'\x7fELF') ;; *) continue ;; esac
  for library in $(ldd "$path" | grep -oE '/[^ ]+'); do lend "$(readlink -f "$library")" "$library"; done
  lend "$path" "/usr/local/bin/$tool"
done
ln -sfn /usr/local/bin/dash "$root/usr/bin/sh"
