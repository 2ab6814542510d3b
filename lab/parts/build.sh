#!/bin/bash
# build.sh [PART…]      builds what is missing of the lab's parts (all of them, if none is named)
# build.sh --path PART  prints the folder that holds a built part
#
# A part is a recipe beside this file. Its result is kept in $CACHE/PART-KEY, where the key is the SHA-256 of all that
# determines it: the recipe, what the recipe sources, and the versions it names. A result appears by one rename,
# so an interrupted build leaves nothing that could be mistaken for a part; running this again goes on with the part that was cut off.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/sealock/lab
WORK=$CACHE/work
# Kubernetes first: it takes longest. Everything below `rootfs` is made of what stands above it.
ALL=(rootfs kubernetes containerd coredns etcd registry cni-plugins helm podinfo node-exporter crane)

set -a
. "$here/../versions.env"
set +a

key_of() {
  local recipe=$here/$1.sh name value
  {
    cat "$recipe"
    if grep -q 'go_module' "$recipe"; then cat "$here/go.sh"; fi
    while IFS='=' read -r name value; do
      if grep -qE "\\\$\\{?$name\\b" "$recipe"; then echo "$name=$value"; fi
    done < <(grep -E '^[A-Z_]+=' "$here/../versions.env")
  } | sha256sum | cut -c1-16
}

path_of() { echo "$CACHE/$1-$(key_of "$1")"; }

build() {
  PART=$1
  local final started=$SECONDS
  final=$(path_of "$PART")
  if [ -d "$final" ]; then return; fi
  echo "$PART: building" >&2
  OUT=$final.partial
  rm -rf "$OUT" && mkdir -p "$OUT/bin"
  if ! (set -e; . "$here/go.sh"; . "$here/$PART.sh") > "$WORK/$PART.log" 2>&1; then
    echo "$PART: failed; the end of $WORK/$PART.log:" >&2
    tail -n 15 "$WORK/$PART.log" >&2
    return 1
  fi
  mv "$OUT" "$final"
  echo "$PART: built in $((SECONDS - started)) s" >&2
}

forget_superseded() {
  local part folder
  for part in "${ALL[@]}"; do
    for folder in "$CACHE/$part"-????????????????; do
      if [ -d "$folder" ] && [ "$folder" != "$(path_of "$part")" ] && [ -n "$(find "$folder" -maxdepth 0 -mtime +14)" ]; then rm -rf "$folder"; fi
    done
  done
}

main() {
  if [ "${1:-}" = --path ]; then path_of "$2"; return; fi
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
