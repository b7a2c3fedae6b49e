#!/usr/bin/env bash
# usage: fat.sh ROOT FOLDER SLOT OPTIONS     what a Raspberry Pi 4 or 5 reads at power on. FOLDER is the FAT partition with kernel and
# initrd of the system in ROOT in its folder SLOT; there come also device trees, overlays and the kernel's OPTIONS.
set -euo pipefail
root=$1 fat=$2 slot=$3 options=$4
here=$(cd "$(dirname "$0")" && pwd)

mkdir -p "$fat/$slot/overlays"
cp "$root"/usr/lib/modules/*/dtb/broadcom/bcm271[12]-rpi-*.dtb "$fat/$slot/"
rm -f "$root"/usr/lib/modules/*/vmlinuz  # Debian's second copy of it
for source in "$here"/*.dts; do
  dtc -q -I dts -O dtb -o "$fat/$slot/overlays/$(basename "$source" .dts).dtbo" "$source"
done
# The firmware takes overlays from there only where this file is.
echo "Overlays of this system: images/pi in the sources of Lesson Box." >"$fat/$slot/overlays/README"
echo "$options" >"$fat/$slot/cmdline.txt"

# Of both systems: the firmware of a Pi 4 (a Pi 5 has its own on the board), and the choice of the system.
cp "$root"/usr/lib/raspi-firmware/{start4.elf,fixup4.dat} "$fat/"
sed "s|^os_prefix=.*|os_prefix=$slot/|" "$here/config.txt" >"$fat/config.txt"
