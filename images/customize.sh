#!/usr/bin/env bash
# usage: customize.sh ROOT WHEELHOUSE VERSION     makes a box's root of what root.sh made: our files, the programs, what stays off.
# Run it in a mount namespace of its own (images/build does): nothing of it stays mounted, whatever happens.
set -euo pipefail
root=$1 wheels=$2 version=$3
repo=$(cd "$(dirname "$0")/.." && pwd)

cp -R --preserve=mode "$repo/images/files/." "$root/"
chown -R 0:0 "$root/etc" "$root/usr/lib/lessonbox" "$root/usr/lib/repart.d"
mkdir -p "$root/data" "$root/boot/firmware" "$root"/var/lib/lessonbox{,-tv} "$root/var/log/journal"
echo lesson >"$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 lesson\n::1 localhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"
printf 'lessonbox %s\nnumber %s\n' "$version" "$SOURCE_DATE_EPOCH" >"$root/etc/lessonbox-image"
ln -sf /run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
ln -sf ../usr/share/zoneinfo/Asia/Shanghai "$root/etc/localtime"
: >"$root/etc/machine-id"
install -d -m 700 "$root/var/log/private" "$root/var/lib/private"
ln -sfn /etc/machine-id "$root/var/lib/dbus/machine-id"  # tmpfiles would make it, and cannot
ln -sfn ../../usr/share/doc/systemd/README.logs "$root/var/log/README"
mkdir -p "$root/etc/systemd/system-generators"
ln -sfn /dev/null "$root/etc/systemd/system-generators/systemd-ssh-generator"  # SSH for virtual machines
: >"$root/etc/default/locale"
rm -f "$root"/etc/ssh/ssh_host_* "$root"/etc/.pwd.lock "$root"/etc/*-

# The programs, as on any other machine: install.sh knows how, and bytecode comes after it.
mount -t proc proc "$root/proc"
mkdir -p "$root/tmp/wheels" "$root/tmp/source"
mount --bind "$wheels" "$root/tmp/wheels"
mount --bind "$repo" "$root/tmp/source"
mount -o remount,bind,ro "$root/tmp/source"
inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root "$@"; }
# Its network is the box's own: short names and the own Wi-Fi; its screen too. The programs for both are in images/packages.
more=()
if [ -x "$root/usr/sbin/hostapd" ]; then more+=(--network); fi
if [ -x "$root/usr/bin/cage" ]; then more+=(--tv); fi
inside LESSONBOX_PLACE="$version" PIP_NO_COMPILE=1 PYTHONDONTWRITEBYTECODE=1 /tmp/source/install.sh --wheelhouse /tmp/wheels --yes "${more[@]}"
umount "$root/tmp/wheels" "$root/tmp/source"
rmdir "$root/tmp/wheels" "$root/tmp/source"
# pip is for making the place, never for a box; a wheel's own tests are nobody's.
rm -rf "$root/opt/lessonbox.d/$version"/lib/python3.*/site-packages/pip{,-*} "$root/opt/lessonbox.d/$version"/bin/pip*
find "$root/opt/lessonbox.d" -name direct_url.json -delete
find "$root/opt/lessonbox.d" "$root/usr/lib/python3" "$root/usr/lib/python3."* -depth -name __pycache__ -exec rm -rf {} +
# unchecked-hash: the root is read only, so a source is never newer than its bytecode, and no time of day gets into the files.
for folder in "$root/opt/lessonbox.d/$version/lib" "$root"/usr/lib/python3.*; do
  inside python3 -m compileall -q -j 2 --invalidation-mode unchecked-hash -x '/(test|tests|idlelib|tkinter|lib2to3|ensurepip)/' "${folder#"$root"}"
done

# Off: what writes to the card for nothing, what no box needs, what belongs to another way of doing the same.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service systemd-firstboot.service \
    systemd-networkd-wait-online.service systemd-journal-catalog-update.service ldconfig.service systemd-hwdb-update.service \
    systemd-machine-id-commit.service systemd-update-done.service sshd-keygen.service smartmontools.service smartd.service \
    systemd-networkd-persistent-storage.service wpa_supplicant.service smbd.service nmbd.service samba-ad-dc.service hostapd.service ssh.socket systemd-pcrmachine.service systemd-pcrphase.service \
    systemd-binfmt.service sys-fs-fuse-connections.mount; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
inside systemctl enable --quiet systemd-networkd.service systemd-resolved.service systemd-timesyncd.service lessonbox-data.service ssh.service
inside systemctl add-wants --quiet sysinit.target systemd-repart.service 2>/dev/null ||
  ln -sf /usr/lib/systemd/system/systemd-repart.service "$root/etc/systemd/system/sysinit.target.wants/"
umount "$root/proc"
rm -rf "$root"/var/cache/* "$root"/var/log/apt "$root"/var/log/*.log "$root"/tmp/* "$root"/usr/lib/python3.*/test
find "$root/root" -mindepth 1 -delete
