#!/usr/bin/env bash
# usage: root.sh ARCH FOLDER       Debian 13 with the packages of images/packages, and nothing of ours yet.
# No loop device, no mount of ours.
# shellcheck disable=SC2016  # hooks are read by a shell of their own
set -euo pipefail
arch=$1 out=$2
here=$(cd "$(dirname "$0")" && pwd)
suite=trixie

packages=$(sed -E -e 's/#.*//' -e "s/ *\[$arch\]\$//" -e '/\[/d' -e '/^ *$/d' "$here/packages" | tr '\n' ',')
# Other suites, from which nothing comes but what names them.
mapfile -t others < <(grep -oE '/[^,]+' <<<"$packages" | tr -d / | sort -u)

# The mirror is the one this machine itself uses; it gets no further than this temporary file.
sources=$(mktemp --suffix=.sources)
trap 'rm -f "$sources"' EXIT
[ -r /etc/apt/sources.list.d/debian.sources ] || { echo "error: /etc/apt/sources.list.d/debian.sources is needed" >&2; exit 1; }
# shellcheck source=/dev/null
host=$(. /etc/os-release && echo "$VERSION_CODENAME")
sed -E -e 's/^Components:.*/Components: main non-free-firmware/' -e '/^#/d' -e "s/\b$host/$suite/g" \
  -e "s/^Suites:.* $suite-updates.*/& ${others[*]}/" /etc/apt/sources.list.d/debian.sources >"$sources"

# Drivers that no box has: they would be half of the image. Kept on purpose: USB storage and SCSI (disks), fs/smb (the receiver
# PC's share), rtc and i2c (DS3231 clocks), hwmon and power (temperature, undervoltage), net/usb (4G sticks, USB LAN), USB serial.
# A file's name ends in .ko. What is kept has all that it depends on (tests/image/test_television.py).
dropped=(sound drivers/media drivers/staging drivers/infiniband drivers/isdn drivers/iio drivers/accel drivers/comedi
  drivers/gpu/drm/nouveau drivers/gpu/drm/radeon drivers/gpu/drm/xe drivers/gpu/drm/msm
  drivers/net/ethernet/mellanox drivers/net/ethernet/chelsio drivers/net/ethernet/qlogic drivers/net/ethernet/netronome
  drivers/net/ethernet/broadcom/bnx2x drivers/net/ethernet/cisco drivers/net/ethernet/sfc drivers/net/can
  drivers/platform/chrome drivers/target drivers/nvme/target drivers/ufs drivers/mtd drivers/input/joystick drivers/input/touchscreen
  fs/ocfs2 fs/xfs fs/btrfs fs/gfs2 fs/ceph fs/bcachefs fs/f2fs fs/jfs fs/reiserfs fs/nilfs2 fs/afs fs/dlm fs/orangefs
  fs/jffs2 fs/ubifs fs/romfs net/rds net/smc net/sunrpc/xprtrdma net/9p/9pnet_rdma.ko drivers/scsi/{lpfc,qla2xxx,qedf,qedi,cxgbi}
  drivers/crypto/chelsio drivers/usb/gadget/{function,legacy} drivers/soundwire/soundwire-intel.ko drivers/md/md-cluster.ko
  drivers/rtc/rtc-wilco-ec.ko drivers/power/supply/{cros_usbpd,wilco}-charger.ko drivers/ptp/ptp_ocp.ko drivers/nvme/host/nvme-rdma.ko
  drivers/vhost/vhost_scsi.ko drivers/xen/xen-scsiback.ko)
# Again in: a television's remote, sensors.
again=(drivers/media/cec/core drivers/media/rc/rc-core.ko drivers/iio/industrialio.ko)
# The browser's own drawing by processor alone and its developers' parts, icons and letters that no page of ours shows.
cut=('/usr/lib/chromium/libvk_swiftshader*' '/usr/lib/chromium/libVk*' '/usr/share/icons/Adwaita/*' '/usr/share/fonts/truetype/dejavu/*')
kept=(/usr/share/icons/Adwaita/cursor.theme) modules=''
if [ "$arch" = amd64 ]; then
  # Sound over HDMI, of older Atoms too; the processors' own graphics of Intel and AMD.
  again+=(sound/soundcore.ko sound/core/snd sound/hda/snd sound/pci/hda/snd-hda-{intel,codec,scodec-component} sound/x86)
  cut+=(/usr/lib/firmware/{amdgpu,amdnpu,radeon,r128,xe,intel}/'*')
  for chip in carrizo stoney raven picasso renoir green_sardine yellow_carp gc_10_3_{6,7} gc_11_0_{1,4} gc_11_5 dcn_3_{1_,5} psp_13_0_{4,5,8,11} \
      psp_14_0_{0,1,4} sdma_{5_2,6_0_1,6_1} vcn_3 vcn_4_0_{2,5,6} vpe umsch; do
    kept+=("/usr/lib/firmware/amdgpu/$chip*")
  done
fi
# shellcheck source=images/pi/root.sh
[ "$arch" != arm64 ] || . "$here/pi/root.sh"
# A machine whose mirror stands still says so to its own apt, and it holds here too; signatures are checked all the same.
options=("--aptopt=Acquire::Check-Valid-Until \"$(apt-config dump --format '%v' Acquire::Check-Valid-Until)\"")
for path in "${dropped[@]}"; do
  case "$path" in *.ko) ;; *) path=$path/ ;; esac
  options+=("--dpkgopt=path-exclude=/usr/lib/modules/*/kernel/$path*" "--dpkgopt=path-exclude=/lib/modules/*/kernel/$path*")
done
for path in "${again[@]}"; do kept+=("/usr/lib/modules/*/kernel/$path*"); done
for folder in man doc locale i18n info lintian bug; do options+=("--dpkgopt=path-exclude=/usr/share/$folder/*"); done
options+=("--dpkgopt=path-include=/usr/share/doc/*/copyright")
for path in "${cut[@]}"; do options+=("--dpkgopt=path-exclude=$path"); done
for path in "${kept[@]}"; do options+=("--dpkgopt=path-include=$path"); done
for other in "${others[@]}"; do
  options+=("--setup-hook=mkdir -p \"\$1/etc/apt/preferences.d\"; printf 'Package: *\\nPin: release n=$other\\nPin-Priority: 1\\n' >\"\$1/etc/apt/preferences.d/$other\"")
done

if [ "$(dpkg --print-architecture)" != "$arch" ]; then
  options+=('--aptopt=DPkg::Path "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"')
  options+=("--extract-hook=$here/native.sh \"\$1\" $arch" "--essential-hook=$here/native.sh \"\$1\" $arch" "--customize-hook=$here/native.sh --remove \"\$1\"")
fi

# What maintainer scripts would make is either made later, once, or never shipped: bytecode (slow when emulated), host keys.
later='/usr/bin/py3compile /usr/bin/ssh-keygen'
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1700000000} mmdebstrap --quiet --mode=root --variant=apt --arch="$arch" --format=directory \
  --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' --dpkgopt='force-unsafe-io' "${options[@]}" \
  --essential-hook='rm -f "$1/etc/apt/apt.conf.d/70debconf"  # nobody is asked anything, and reading what would be takes minutes when emulated' \
  --essential-hook="for f in $later; do chroot \"\$1\" dpkg-divert --quiet --local --rename --add \$f; ln -sf /bin/true \"\$1\$f\"; done" \
  --essential-hook='cd "$1" && mkdir -p etc/initramfs-tools/conf.d usr/share/initramfs-tools/modules.d usr/share/initramfs-tools/hooks usr/share/initramfs-tools/scripts/local-premount usr/share/initramfs-tools/scripts/local-bottom' \
  --essential-hook="copy-in '$here/initramfs/lessonbox.conf' /etc/initramfs-tools/conf.d" \
  --essential-hook="copy-in '$here/initramfs/lessonbox.modules' $modules /usr/share/initramfs-tools/modules.d" \
  --essential-hook="copy-in '$here/initramfs/lessonbox' /usr/share/initramfs-tools/scripts/local-bottom" \
  --essential-hook="copy-in '$here/initramfs/lessonbox-slots' /usr/share/initramfs-tools/scripts/local-premount" \
  --essential-hook="copy-in '$here/initramfs/lessonbox-kexec' /usr/share/initramfs-tools/hooks" \
  --include="$packages" \
  --customize-hook="for f in $later; do rm -f \"\$1\$f\"; chroot \"\$1\" dpkg-divert --quiet --local --rename --remove \$f; done" \
  --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/cache/debconf/*-old "$1"/var/log/*' \
  "$suite" "$out" "$sources"
# The mirror's name is not the box's business: it has no apt source at all, its updates come as one signed file.
rm -rf "$out"/etc/apt/sources.list "$out"/etc/apt/sources.list.d/* "$out"/etc/apt/preferences.d/* "$out"/var/lib/apt/lists/*
