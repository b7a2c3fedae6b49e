#!/usr/bin/env bash
# usage: native.sh ROOT ARCH | native.sh --remove ROOT     lends a system of another architecture this machine's own tools while it is being made:
# they lie before its own on the path, and a program that is not emulated is ten times as fast. None of them stays. Only dpkg knows
# an architecture, and is told the other one.
set -euo pipefail
perl=/usr/bin/perl python=/usr/bin/python3.13 mkinitramfs=/usr/sbin/mkinitramfs
tools=(awk b2sum base64 basename bash cat chgrp chmod chown cmp comm cp cpio cut dash date dd depmod df diff dirname dpkg dpkg-deb dpkg-divert dpkg-query
  dpkg-statoverride dpkg-trigger du env expr find fold grep head install join link ln ls md5sum mkdir mkfifo mktemp mv nl od openssl paste perl readlink
  realpath rm rmdir sed seq sha256sum sleep sort split stat sync systemd-hwdb tac tail tar tee touch tr uniq update-alternatives wc xargs zstd)
if [ "$1" = --remove ]; then
  root=$2
  for path in $python $mkinitramfs; do
    rm "$root$path"
    chroot "$root" dpkg-divert --quiet --local --rename --remove "$path"
  done
  mv "$root$perl.own" "$root$perl"
  ln -sfn dash "$root/usr/bin/sh"
  while read -r path; do rm -f "$root$path"; done <"$root/usr/local/lent"
  rm -f "$root/usr/local/lent"
  for folder in usr/lib64 "usr/lib/$(uname -m)-linux-gnu"; do find "$root/$folder" -depth -type d -empty -delete 2>/dev/null || true; done
  [ -d "$root/usr/lib64" ] || rm -f "$root/lib64"
  exit 0
fi
root=$1 arch=$2 second=''
if [ -e "$root/usr/local/lent" ]; then second=yes; fi
mkdir -p "$root/usr/local/bin"  # not there before base-files is set up
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
# The second time, dpkg works. Bytecode that Python's own packages would make, emulated, is made anew by images/customize.sh anyway;
# mkinitramfs has a path of its own; of Perl maintainer scripts ask for nothing but what is in perl-base.
if [ -n "$second" ]; then
  for path in $python $mkinitramfs; do chroot "$root" dpkg-divert --quiet --local --rename --add "$path"; done
  ln -sf /bin/true "$root$python"
  printf '#!/bin/sh\nsed "s|^export PATH=.|&/usr/local/bin:|" %s.distrib >/tmp/mkinitramfs && exec sh /tmp/mkinitramfs "$@"\n' $mkinitramfs >"$root$mkinitramfs"
  chmod 755 "$root$mkinitramfs"
  while read -r path; do [ ! -f "$path" ] || lend "$path" "$path"; done < <(dpkg -L perl-base | grep /perl-base/)
  mv "$root$perl" "$root$perl.own"
  ln -s /usr/local/bin/perl "$root$perl"
fi
# dpkg itself works many times as long when emulated. Which machine it is for is one word in it, as long here as there.
LC_ALL=C sed -i "s/\b$(dpkg --print-architecture)\b/$arch/g" "$root/usr/local/bin/dpkg"
ln -sfn /usr/local/bin/dash "$root/usr/bin/sh"
