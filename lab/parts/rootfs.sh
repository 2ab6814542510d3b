# Two Debian systems, out of this machine's own package sources: what every machine of the lab boots (machine.tar),
# and what the images made of Debian packages are cut from (apps.tar). Kubernetes, containerd, runc and CNI plugins are in
# neither: bringing those is Sealock's job.

machine=(
  systemd systemd-sysv dbus openssh-server openssh-client sudo ca-certificates openssl
  iproute2 nftables iptables ebtables ipset conntrack ethtool socat kmod mount util-linux procps
  curl jq iputils-ping dnsutils netcat-openbsd tcpdump less
)
apps=(nginx-light redis-server nftables conntrack ca-certificates curl dnsutils netcat-openbsd iputils-ping iproute2 openssl procps)

# The distribution's own entries of this machine's package sources, others left out.
own_sources() {
  local suite=$1 folder=$2 file
  for file in /etc/apt/sources.list.d/*.sources; do
    if [ -e "$file" ]; then awk -v RS= -v ORS='\n\n' -v suite="$suite" '$0 ~ "Suites:[^\n]* ?" suite "( |-|\n|$)"' "$file"; fi
  done > "$folder/own.sources"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    if [ -e "$file" ]; then grep -hE "^deb .* $suite(-[a-z]+)? " "$file" || true; fi
  done > "$folder/own.list"
  find "$folder" -name 'own.*' -size +0
}

bootstrap() {
  local tar=$1 packages=$2
  local as_root=()
  if [ "$(id -u)" != 0 ]; then as_root=(sudo); fi
  # shellcheck disable=SC2046 # one argument per file
  "${as_root[@]}" mmdebstrap --quiet --variant=minbase --include="$packages" --format=tar \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/etc/ssh/ssh_host_* "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/sources.list "$1"/etc/resolv.conf; : > "$1"/etc/machine-id' \
    "$suite" "$tar" $(own_sources "$suite" "$WORK/tmp")
}

suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
bootstrap "$OUT/machine.tar" "$(IFS=,; echo "${machine[*]}")"
bootstrap "$OUT/apps.tar" "$(IFS=,; echo "${apps[*]}")"
