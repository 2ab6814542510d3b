#!/bin/sh
# Makes this machine many hosts: each an address of its own, which the one sshd answers, and a file tree of its own, in which every session
# ends. Programs are this machine's; what no tree can have, an own systemd and an own cable, is in `shims`.
#
#   set-up.sh COUNT SEALOCK VERSION
set -eu
count=$1 sealock=$2 version=$3
here=$(cd "$(dirname "$0")" && pwd)

ip route replace local 10.80.0.0/16 dev lo

# Without PAM no session is one of logind, of which real hosts have one each.
usermod -p '*' ops
printf '%s\n' 'MaxStartups 1000' 'MaxSessions 64' 'UsePAM no' > /etc/ssh/sshd_config.d/fan-out.conf
printf '%s\n' 'Match LocalAddress 10.80.0.0/16' "  ForceCommand $here/session.sh" >> /etc/ssh/sshd_config
systemctl restart ssh.service

etc=/srv/etc
mkdir -p $etc /srv/hosts
for file in passwd group shadow nsswitch.conf os-release resolv.conf; do cp -L "/etc/$file" $etc/; done

n=0
while [ $n -lt "$count" ]; do
  address=10.80.$((n / 250)).$((n % 250 + 1))
  host=/srv/hosts/$address
  mkdir -p $host/usr $host/proc $host/dev $host/sys $host/run $host/tmp $host/root $host/var/lib "$host/opt/sealock/sealock/$version"
  ln -s usr/bin usr/sbin usr/lib usr/lib64 $host/
  cp -r $etc $host/etc
  printf '%032x\n' $((n + 1)) > $host/etc/machine-id
  echo $address > $host/etc/address
  ln "$sealock" "$host/opt/sealock/sealock/$version/sealock"
  mount --bind /usr $host/usr
  mount --bind "$here/shims" $host/usr/local/sbin
  mount --bind /proc $host/proc
  mount --bind /dev $host/dev
  mount --bind /sys $host/sys
  n=$((n + 1))
done
