#!/bin/bash
# What a real machine's kernel and early boot have done before systemd starts services, and a container's have not.
# Nothing here prepares for Kubernetes: that is Sealock's job.
set -eu

# nspawn mounts the version 1 controllers of this machine's own cgroup namespace read-only.
awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts | while read -r mountpoint; do
  mount -o remount,bind,rw "$mountpoint"
done

# These settings belong to the one kernel that all machines of the lab share, and to the computer beneath:
# each machine gets a private file to write to.
mkdir -p /run/private-sysctl
for setting in vm/overcommit_memory vm/panic_on_oom vm/max_map_count vm/swappiness kernel/panic kernel/panic_on_oops kernel/pid_max \
  kernel/keys/root_maxkeys kernel/keys/root_maxbytes fs/inotify/max_user_instances fs/inotify/max_user_watches fs/file-max fs/nr_open; do
  if [ -e "/proc/sys/$setting" ]; then
    copy=/run/private-sysctl/${setting//\//.}
    cat "/proc/sys/$setting" > "$copy"
    mount --bind "$copy" "/proc/sys/$setting"
  fi
done

# systemd does this on a real machine, and leaves it to the container's manager in a container.
mount --make-rshared /
