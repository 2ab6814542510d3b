#!/bin/sh
# `enter.sh ADDRESS COMMAND`: as root of that host.
exec env -i HOME=/root PATH=/usr/local/sbin:/usr/sbin:/usr/bin chroot "/srv/hosts/$1" /bin/sh -c "$2"
