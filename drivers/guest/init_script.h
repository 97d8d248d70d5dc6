// The guest's /init and its web pages.
#pragma once

#include <string_view>

namespace forkplane::guest {

// clang-format off
// virtio needs virtio_ring, whatever its name suggests; virtio_net needs net_failover, which needs
// failover.
inline constexpr std::string_view kInitScript = R"sh(#!/bin/sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
echo 2 > /proc/sys/kernel/printk
arg() { sed -n "s/.*\b$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
if [ "$(arg fk.bus)" = pci ]; then
  bus="virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci"
else
  bus=virtio_mmio
fi
for m in virtio_ring virtio $bus failover net_failover virtio_net virtio-rng; do
  insmod /lib/modules/$m.ko || echo "insmod $m failed"
done
ip link set lo up
i=0
while [ ! -e /sys/class/net/eth0 ] && [ $i -lt 20 ]; do usleep 50000; i=$((i + 1)); done
mac=none
if [ -e /sys/class/net/eth0 ]; then
  mac=$(cat /sys/class/net/eth0/address)
  a=$(arg fk.ip)
  g=$(arg fk.gw)
  [ -n "$a" ] && ip addr add $a dev eth0
  ip link set eth0 up
  [ -n "$g" ] && ip route add default via $g
fi
echo "forkplane guest mac=$mac ip=$a kernel=$(uname -r)" > /www/index.html
httpd -p 80 -h /www
while :; do nc -l -p 5001 > /dev/null; done &
echo "READY up=$(cut -d' ' -f1 /proc/uptime) mac=$mac"
# The loop above never ends: init sleeps here, and reaps.
while :; do wait; done
)sh";

inline constexpr std::string_view kUploadScript = R"sh(#!/bin/sh
n=${QUERY_STRING:-64}
printf 'Content-Type: application/octet-stream\r\n\r\n'
exec dd if=/dev/zero bs=65536 count=$((n * 16)) 2>/dev/null
)sh";
// clang-format on

}  // namespace forkplane::guest
