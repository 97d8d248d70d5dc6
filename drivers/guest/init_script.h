// The guest's /init, and what its DHCP client runs.
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
for m in virtio_ring virtio $bus failover net_failover virtio_net virtio-rng button evdev; do
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
  case " $(cat /proc/cmdline) " in *" ip=dhcp "*) a= ;; esac
  ip link set eth0 up
  if [ -n "$a" ]; then
    ip addr add $a dev eth0
    [ -n "$g" ] && ip route add default via $g
  else
    udhcpc -i eth0 -n -q -s /bin/lease
    a=$(sed -n 's/^address=//p' /run/lease)
  fi
fi
echo "forkplane guest mac=$mac ip=$a kernel=$(uname -r)" > /www/index.html
httpd -p 80 -h /www
[ ! -x /etc/rc.local ] || /etc/rc.local
# Blocks until the first key event of the power button; evdev gives whole events (24 bytes) only.
for e in /sys/class/input/event*; do
  [ "$(cat $e/device/name)" = "Power Button" ] || continue
  (dd if=/dev/input/${e##*/} of=/dev/null bs=24 count=1 2> /dev/null && poweroff -f) &
  break
done
echo "READY up=$(cut -d' ' -f1 /proc/uptime) mac=$mac"
# Opening a pipe that nobody writes to never ends and needs no timer: init sleeps here, and reaps.
mkfifo /run/never
(: < /run/never) &
while :; do wait; done
)sh";

// Run by udhcpc, with what it was told in the environment.
inline constexpr std::string_view kLeaseScript = R"sh(#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/$mask dev $interface
ip link set $interface mtu $mtu
ip route add default via $router
for server in $dns; do echo "nameserver $server"; done > /etc/resolv.conf
for name in router dns mtu lease serverid; do eval echo "$name=\$$name"; done > /run/lease
echo "address=$ip/$mask" >> /run/lease
)sh";
// clang-format on

}  // namespace forkplane::guest
