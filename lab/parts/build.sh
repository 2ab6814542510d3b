#!/bin/bash
# build.sh [PART…]      builds what is missing of the lab's parts (all of them but the judges, what is carried, and what clusters are upgraded to, if none is named)
# build.sh --path PART  prints the folder that holds a built part
#
# A part is a recipe beside this file. Its result is kept in $CACHE/PART-KEY, where the key is the SHA-256 of all that
# determines it: the recipe, the files and the other parts that it names, and the versions that it names. A result appears by
# one rename, so an interrupted build leaves nothing that could be mistaken for a part; running this again goes on with the
# part that was cut off.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/sealock/lab
WORK=$CACHE/work
# Kubernetes takes longest. `pause` and `upstream` are made of what stands before them.
ALL=(rootfs runc kubernetes containerd coredns etcd registry cni-plugins helm podinfo node-exporter crane pause upstream)
# For a lab whose cluster is upgraded.
NEXT=(kubernetes-next coredns-next etcd-next upstream-next)
# For one that is upgraded over two minor versions.
BEFORE=(kubernetes-before coredns-before etcd-before upstream-before)
# For one whose cluster gets another containerd and other CNI plugins.
PATCHED=(containerd-patched cni-plugins-patched upstream-patched)
# For one whose bundle has add-ons. Traefik takes longest.
ADD_ONS=(metrics-server local-path-provisioner traefik upstream-add-ons)
# No part of the lab, and long to build: programs that judge what we make.
JUDGES=(oras cosign conformance)
# What is carried to machines by one scenario.
CARRIED=(ansible debian-packages)

set -a
. "$here/../versions.env"
set +a
# Where the distribution's own package puts a Go that is not its default.
if [ -d "/usr/lib/go-$GO_AT_LEAST/bin" ]; then PATH=/usr/lib/go-$GO_AT_LEAST/bin:$PATH; fi

# Prints each distinct match of an extended regular expression in a file.
named_in() { grep -oE "$2" "$1" | sort -u || true; }

key_of() {
  local recipe=$here/$1.sh name value file part
  {
    cat "$recipe"
    if grep -qE 'go_module|go build' "$recipe"; then cat "$here/go.sh"; fi
    for file in $(named_in "$recipe" '\$here/[a-z./-]+'); do cat "$here/${file#\$here/}"; done
    for part in $(named_in "$recipe" 'path_of [a-z-]+' | cut -d' ' -f2); do key_of "$part"; done
    while IFS='=' read -r name value; do
      if grep -qE "\\\$\\{?$name\\b" "$recipe"; then echo "$name=$value"; fi
    done < <(grep -E '^[A-Z_]+=' "$here/../versions.env")
  } | sha256sum | cut -c1-16
}

path_of() { echo "$CACHE/$1-$(key_of "$1")"; }

# In a process of its own, so that its first failing command ends it.
follow_recipe() {
  PART=$1
  OUT=$(path_of "$PART").partial
  rm -rf "$OUT"
  mkdir -p "$OUT/bin"
  . "$here/go.sh"
  . "$here/$PART.sh"
}

build() {
  local part=$1 final started=$SECONDS
  final=$(path_of "$part")
  if [ -d "$final" ]; then return; fi
  echo "$part: building" >&2
  if ! "$here/build.sh" --recipe "$part" > "$WORK/$part.log" 2>&1; then
    echo "$part: failed; the end of $WORK/$part.log:" >&2
    tail -n 15 "$WORK/$part.log" >&2
    return 1
  fi
  mv "$final.partial" "$final"
  echo "$part: built in $((SECONDS - started)) s" >&2
}

forget_superseded() {
  local part folder
  for part in "${ALL[@]}" "${NEXT[@]}" "${BEFORE[@]}" "${PATCHED[@]}" "${ADD_ONS[@]}" "${JUDGES[@]}" "${CARRIED[@]}"; do
    for folder in "$CACHE/$part"-????????????????*; do
      if [[ ${folder##*/} =~ ^$part-[0-9a-f]{16} ]] && [ -d "$folder" ] && [ "$folder" != "$(path_of "$part")" ] && [ -n "$(find "$folder" -maxdepth 0 -mtime +14)" ]; then
        rm -rf "$folder"
      fi
    done
  done
}

all_are_built() {
  local part
  for part in "${@:-${ALL[@]}}"; do
    if [ ! -d "$(path_of "$part")" ]; then return 1; fi
  done
}

main() {
  case ${1:-} in
    --path) path_of "$2"; return ;;
    --recipe) follow_recipe "$2"; return ;;
  esac
  if all_are_built "$@"; then return; fi
  mkdir -p "$CACHE"
  exec 9> "$CACHE/lock"
  if ! flock -n 9; then
    echo "another build of the lab's parts is running: waiting for it" >&2
    flock 9
  fi
  mkdir -p "$WORK/tmp"
  local part failed=0
  for part in "${@:-${ALL[@]}}"; do build "$part" || failed=1; done
  if [ $failed = 0 ]; then
    rm -rf "$WORK"
    forget_superseded
  fi
  return $failed
}

main "$@"
