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
# Zeros to send: holes of a tmpfs take no memory, and httpd sends files without copying them.
mkdir /www/files
mount -t tmpfs -o size=64m files /www/files
truncate -s 1G /www/files/zeros
httpd -p 80 -h /www
# dd reads the connection: nc itself does it a kilobyte at a time.
while :; do nc -l -p 5001 -e dd of=/dev/null bs=65536 2> /dev/null; done &
# Blocks until the first key event of the power button; evdev gives whole events (24 bytes) only.
for e in /sys/class/input/event*; do
  [ "$(cat $e/device/name)" = "Power Button" ] || continue
  (dd if=/dev/input/${e##*/} of=/dev/null bs=24 count=1 2> /dev/null && poweroff -f) &
  break
done
echo "READY up=$(cut -d' ' -f1 /proc/uptime) mac=$mac"
# The loops above never end: init sleeps here, and reaps.
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

inline constexpr std::string_view kAskScript = R"sh(#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
rm -f /run/lease
udhcpc -i eth0 -n -q -s /bin/lease > /dev/null 2>&1
cat /run/lease
)sh";

inline constexpr std::string_view kUploadScript = R"sh(#!/bin/sh
n=${QUERY_STRING:-64}
printf 'Content-Type: application/octet-stream\r\n\r\n'
exec dd if=/dev/zero bs=65536 count=$((n * 16)) 2>/dev/null
)sh";
// nc, since wget of a static busybox dies in the resolver of glibc, which it cannot load.
inline constexpr std::string_view kFetchScript = R"sh(#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
page=$(printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 2 "$QUERY_STRING" 80 2>&1)
echo "${page:-unreachable}"
)sh";

// ADDRESS, or ADDRESS,MAC. What is sent under the guest's own names shows a listener that it would
// have heard the rest.
inline constexpr std::string_view kSpoofScript = R"sh(#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
address=${QUERY_STRING%,*}
mac=${QUERY_STRING#"$address"}
gateway=$(ip route | sed -n 's/^default via \([^ ]*\).*/\1/p')
own=$(ip addr show dev eth0 | sed -n 's/.* inet \([^/]*\).*/\1/p')
own_mac=$(cat /sys/class/net/eth0/address)
announce() { arping -U -c $2 -w $2 -I eth0 -s $1 $1; }
ip addr add $address/32 dev eth0
ping -c 3 -W 1 -I $address $gateway
arping -c 3 -w 3 -I eth0 -s $address $gateway
if [ -n "$mac" ]; then
  announce $address 2
  ip link set eth0 address ${mac#,}
  ping -c 1 -W 1 -I $address $gateway
  announce $address 2
  ip link set eth0 address $own_mac
  ping -c 1 -W 1 -I $own $gateway
  announce $own 1
fi
ip addr del $address/32 dev eth0
exit 0
)sh";

inline constexpr std::string_view kKeepScript = R"sh(#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
tee /www/files/kept | sha256sum
)sh";

// Big pings: the kernel cuts each into 41 frames at no work of busybox's, and answers come to none
// of which a frame was dropped.
inline constexpr std::string_view kFloodScript = R"sh(#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
gateway=$(ip route | sed -n 's/^default via \([^ ]*\).*/\1/p')
exec ping -q -i 0.001 -s 60000 -w $QUERY_STRING $gateway
)sh";
// clang-format on

}  // namespace forkplane::guest
