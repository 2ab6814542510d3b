#!/bin/bash
# Installs what the lab needs on this machine and is not there yet. Debian 12 or 13, or Ubuntu 24.04 or newer.
set -euo pipefail

# program:package; further ones may be named as arguments
needed=(
  systemd-nspawn:systemd-container mmdebstrap:mmdebstrap nginx:nginx-light skopeo:skopeo jq:jq openssl:openssl
  ssh:openssh-client ip:iproute2 nft:nftables python3:python3 readelf:binutils dpkg-deb:dpkg curl:curl flock:util-linux xz:xz-utils
  gpg:gnupg
  umoci:umoci strace:strace
  softhsm2-util:softhsm2 pkcs11-tool:opensc
)
needed+=("$@")
missing=()
for pair in "${needed[@]}"; do
  if ! PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" > /dev/null; then missing+=("${pair#*:}"); fi
done

# Kubernetes wants this release of Go or a newer one.
go_at_least=1.26
go_is_new_enough() {
  local have
  have=$(GOTOOLCHAIN=local go env GOVERSION 2> /dev/null | sed 's/^go//') || return 1
  [ -n "$have" ] && [ "$(printf '%s\n%s\n' "$go_at_least" "$have" | sort -V | head -n 1)" = "$go_at_least" ]
}
go_package() {
  apt-cache search --names-only "^golang-$go_at_least-go\$" | cut -d' ' -f1
}

as_root=()
if [ "$(id -u)" != 0 ]; then as_root=(sudo); fi
if [ ${#missing[@]} -gt 0 ] || ! go_is_new_enough; then
  if ! command -v apt-get > /dev/null; then
    echo "lab: this machine lacks ${missing[*]:-Go $go_at_least} and has no apt-get: install them by hand" >&2
    exit 4
  fi
  "${as_root[@]}" apt-get update -qq
fi
if ! go_is_new_enough; then
  package=$(go_package)
  if [ -z "$package" ]; then
    echo "lab: Go $go_at_least or newer is needed to build Kubernetes, and this machine's package sources have none: install it and put it on PATH" >&2
    exit 4
  fi
  missing+=("$package")
fi
if [ ${#missing[@]} -gt 0 ]; then
  echo "lab: installing ${missing[*]}" >&2
  # A packaged nginx or ssh must not start serving on this machine because the lab wants its program.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy > /dev/null
    "${as_root[@]}" chmod 755 $policy
    trap '"${as_root[@]}" rm -f $policy' EXIT
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
fi
