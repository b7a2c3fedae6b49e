#!/usr/bin/env bash
# usage: mkimage.sh ROOT VERSION IMAGE ARCH       the disk image of a root. No loop device, no mount; the same ROOT and VERSION give the
# same bytes. Layout: state (which root counts) | FAT "boot" | root_a | root_b | data (ext4, label lessonbox-data).
set -euo pipefail
root=$1 version=$2 image=$3 arch=$4
here=$(cd "$(dirname "$0")" && pwd)
MiB=1048576
state_at=$((4 * MiB)) state_size=$((2 * MiB))
boot_at=$((8 * MiB)) boot_size=$((256 * MiB)) root_size=$((1536 * MiB)) data_size=$((160 * MiB))
a_at=$((boot_at + boot_size)) b_at=$((boot_at + boot_size + root_size)) data_at=$((boot_at + boot_size + 2 * root_size))
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

id() { python3 -c 'import sys, uuid; print(uuid.uuid5(uuid.NAMESPACE_URL, "lessonbox:" + sys.argv[1]))' "$version $1"; }

# A PC's UEFI looks for its own type. A Pi takes any FAT; Windows gives no letter to UEFI's, and a technician is to find lessonbox.conf.
case "$arch" in
  amd64) boot_type=uefi loader=lib64/ld-linux-x86-64.so.2 libraries=x86_64-linux-gnu ;;
  arm64) boot_type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7 loader=lib/ld-linux-aarch64.so.1 libraries=aarch64-linux-gnu ;;
esac
rm -f "$image"
truncate -s $((data_at + data_size + MiB)) "$image"
sectors() { echo $(($1 / 512)); }
sfdisk --quiet "$image" <<TABLE
label: gpt
label-id: $(id disk)
start=$(sectors $boot_at), size=$(sectors $boot_size), type=$boot_type, name=boot, uuid=$(id boot)
start=$(sectors $a_at), size=$(sectors $root_size), type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=root_a, uuid=$(id root_a)
start=$(sectors $b_at), size=$(sectors $root_size), type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=root_b, uuid=$(id root_b)
start=$(sectors $data_at), size=$(sectors $data_size), type=linux, name=data, uuid=$(id data)
start=$(sectors $state_at), size=$(sectors $state_size), type=DA1AE6F7-E2A2-4C4C-A6B2-24D4B1C1B1F2, name=state, uuid=$(id state)
TABLE
# Both copies of the record of the two systems, so that none of an earlier life of the card is believed (docs/formats.md 18).
for serial in 0 1; do
  text="lessonbox-slots/1 $serial a - 0 0 0 0 -"
  printf '%s %s\n' "$text" "$(printf '%s' "$text" | sha256sum | cut -d' ' -f1)" |
    dd of="$image" bs=512 seek=$(($(sectors $state_at) + serial * 2048)) conv=sync,notrunc status=none
done

# FAT: the boot loader, and the kernel of each root in a folder of its own. The root keeps a copy in /boot/slot: an update is a root, and its
# kernel is started from there until it has proved itself.
fat=$work/fat
# gpt_auto: partitions are found beside the root that was booted, never by type. The last console is HDMI's.
options="root=PARTUUID=$(id root_a) ro rootwait systemd.gpt_auto=0 fsck.repair=yes panic=10 loglevel=4 watchdog.stop_on_reboot=0"
mkdir -p "$fat/a"
mv "$root"/boot/vmlinuz-* "$fat/a/vmlinuz"
mv "$root"/boot/initrd.img-* "$fat/a/initrd"
rm -rf "$root"/boot/System.map-* "$root"/vmlinuz* "$root"/initrd.img* "${root:?}"/boot/firmware/*
if [ "$arch" = arm64 ]; then
  "$here/pi/fat.sh" "$root" "$fat" a "$options console=tty0 lessonbox.cpus=all"
  "$here/pi/hybrid.py" "$image"
else
  mkdir -p "$fat/EFI/BOOT" "$fat/loader/entries"
  cp "$root/usr/lib/systemd/boot/efi/systemd-bootx64.efi" "$fat/EFI/BOOT/BOOTX64.EFI"
  printf 'timeout 0\ndefault lessonbox-a.conf\neditor no\n' >"$fat/loader/loader.conf"
  echo "$options console=ttyS0,115200 console=tty0" >"$fat/a/cmdline.txt"
  printf 'title Lesson Box %s\nlinux /a/vmlinuz\ninitrd /a/initrd\noptions %s\n' "$version" "$(cat "$fat/a/cmdline.txt")" >"$fat/loader/entries/lessonbox-a.conf"
fi
mkdir "$root/boot/slot"
cp -R "$fat/a/." "$root/boot/slot/"
find "$fat" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
truncate -s $boot_size "$work/fat.img"
serial=$(id boot)
mkfs.vfat -F 32 -n LESSONBOX -i "${serial:0:8}" --invariant "$work/fat.img" >/dev/null
(cd "$fat" && find . -mindepth 1 -maxdepth 1 | LC_ALL=C sort | MTOOLS_SKIP_CHECK=1 xargs -I{} mcopy -i "$work/fat.img" -s -m -Q {} ::/)
dd if="$work/fat.img" of="$image" bs=$MiB seek=$((boot_at / MiB)) conv=notrunc,sparse status=none

# The image's own mke2fs (1.47.2) sorts folders and keeps to SOURCE_DATE_EPOCH, which Debian 12's does not.
# From a copy, for a program that runs out of the root changes its own times of access, and those are in the image too.
mkdir "$work/tool"
cp -L "$root/$loader" "$root/usr/sbin/mke2fs" "$root/usr/lib/$libraries"/lib{c,ext2fs,com_err,blkid,uuid,e2p}.so.[0-9] "$work/tool"
mkfs() { "$work/tool/${loader##*/}" --library-path "$work/tool" "$work/tool/mke2fs" -q -F -t ext4 "$@"; }
touch -h -d "@$SOURCE_DATE_EPOCH" "$root/usr/lib/clock-epoch" 2>/dev/null || : >"$root/usr/lib/clock-epoch"  # no box's clock is before this
find "$root" -xdev -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
find "$root" -xdev -depth -exec touch -h -a -d "@$SOURCE_DATE_EPOCH" {} +
mkfs -L root_a -m 0 -O '^has_journal' -U "$(id fs_a)" -E "hash_seed=$(id hash_a),offset=$a_at,root_owner=0:0" -d "$root" "$image" $((root_size / 1024))k
# `resize`: room for growing to 1 TiB while mounted. The folder says which version made it, and is what first boot grows.
mkfs -L lessonbox-data -T default -b 4096 -m 1 -J size=32 -U "$(id fs_data)" -E "hash_seed=$(id hash_data),offset=$data_at,root_owner=0:0,resize=268435456" \
  "$image" $((data_size / 1024))k
