# shellcheck shell=bash disable=SC2034,SC2154  # images/root.sh reads it for arm64
# Left out: drivers and device trees of other makers' boards, and buses that no Pi has. Patterns are dpkg's: `*` goes over `/` too.
dropped+=(drivers/bluetooth net/bluetooth drivers/soundwire drivers/net/ethernet drivers/gpu/drm drivers/firewire drivers/usb/gadget
  drivers/phy/qualcomm drivers/clk/qcom drivers/pinctrl/qcom drivers/interconnect drivers/remoteproc drivers/xen net/9p drivers/crypto)
cut+=('/usr/lib/modules/*/dtb/*' '/usr/lib/raspi-firmware/*')
kept+=('/usr/lib/modules/*/dtb/broadcom/bcm271[12]-*' '/usr/lib/modules/*/dtb/broadcom/bcm2837-rpi-3-b.dtb'
  /usr/lib/raspi-firmware/start4.elf /usr/lib/raspi-firmware/fixup4.dat)
# Again in: the LAN of a Pi 4, of a Pi 5, of a card in a Pi 5; the television's picture and sound (HDMI).
for path in drivers/net/ethernet/{broadcom/genet,cadence,realtek} drivers/usb/gadget/udc/udc-core.ko \
    drivers/gpu/drm/{drm,vc4,v3d,clients,display,scheduler,virtio} \
    sound/soundcore.ko sound/core/snd sound/soc/snd-soc-core.ko sound/soc/codecs/snd-soc-hdmi-codec.ko; do
  kept+=("/usr/lib/modules/*/kernel/$path*")
done
modules="'$here/pi/initramfs.modules'"
