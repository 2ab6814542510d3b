#!/bin/bash
# Lays out an archive of Debian packages in FOLDER, suite `lab`, as the real ones are laid out and signed, with these packages in VERSION:
#   sealock-lab-hello    prints its version, and has a settings file; from 2.0 on it needs sealock-lab-base, which is always 1.0
#   sealock-lab-restart  from 2.0 on it asks for a reboot when it is installed, as kernels do
#   sealock-lab-slow     from 2.0 on its installation says that it has begun (/run/sealock-lab-slow), and waits for /run/sealock-lab-go
# What earlier versions left stays in the pool, and the index names the newest alone. What somebody has put into pool/main/more is named as it is.
# The key is made once: KEY.asc is its public half.
# usage: archive.sh FOLDER VERSION KEY
set -euo pipefail

folder=$1 version=$2 key=$3
architecture=$(dpkg --print-architecture)
export GNUPGHOME=$key.gnupg
work=$(mktemp -d)
trap 'rm -rf "$work"; gpgconf --kill all' EXIT

# package NAME VERSION ARCHITECTURE FURTHER-FIELD...: packs what stands in $work/NAME into the pool.
package() {
  local name=$1 version=$2 of=$3 tree=$work/$1 pool=$folder/pool/main/s/$1
  shift 3
  mkdir -p "$tree/DEBIAN" "$pool"
  {
    printf 'Package: %s\nVersion: %s\nArchitecture: %s\n' "$name" "$version" "$of"
    printf 'Maintainer: Lab <lab@lab.example>\nSection: misc\nPriority: optional\n'
    printf '%s\n' "$@"
  } > "$tree/DEBIAN/control"
  chmod -R go=rX "$tree"
  SOURCE_DATE_EPOCH=1767225600 dpkg-deb --root-owner-group -Zxz --build "$tree" "$pool/${name}_${version}_$of.deb" > /dev/null
}

# stanza FILE: what the index says of a package.
stanza() {
  dpkg-deb --field "$1"
  printf 'Filename: %s\nSize: %s\nSHA256: %s\n\n' "${1#"$folder/"}" "$(stat -c %s "$1")" "$(sha256sum "$1" | cut -d' ' -f1)"
}

# on_install NAME: what its installation does, from 2.0 on, is on standard input.
on_install() {
  local script=$work/$1/DEBIAN/postinst
  mkdir -p "$work/$1/DEBIAN"
  if dpkg --compare-versions "$version" lt 2.0; then cat > /dev/null; return; fi
  { printf '#!/bin/sh\nset -e\n[ "$1" = configure ] || exit 0\n'; cat; } > "$script"
  chmod 755 "$script"
}

hello=$work/sealock-lab-hello
mkdir -p "$hello/usr/bin" "$hello/etc" "$hello/DEBIAN"
printf '#!/bin/sh\necho "hello, this is %s"\n' "$version" > "$hello/usr/bin/sealock-lab-hello"
chmod 755 "$hello/usr/bin/sealock-lab-hello"
echo "# settings of $version" > "$hello/etc/sealock-lab-hello.conf"
echo /etc/sealock-lab-hello.conf > "$hello/DEBIAN/conffiles"
needs=()
if dpkg --compare-versions "$version" ge 2.0; then needs=('Depends: sealock-lab-base (>= 1.0)'); fi
package sealock-lab-hello "$version" "$architecture" "${needs[@]}" 'Description: says hello'

mkdir -p "$work/sealock-lab-base/usr/share/sealock-lab-base"
echo here > "$work/sealock-lab-base/usr/share/sealock-lab-base/base"
package sealock-lab-base 1.0 all 'Description: what hello comes to need'

on_install sealock-lab-restart << 'END'
touch /run/reboot-required
echo sealock-lab-restart >> /run/reboot-required.pkgs
END
package sealock-lab-restart "$version" all 'Description: wants a reboot'

on_install sealock-lab-slow << 'END'
touch /run/sealock-lab-slow
n=0
while [ ! -e /run/sealock-lab-go ]; do
  n=$((n + 1))
  if [ $n -gt 600 ]; then echo 'nobody let it go on: /run/sealock-lab-go' >&2; exit 1; fi
  sleep 0.5
done
END
package sealock-lab-slow "$version" all 'Description: takes its time'

index=$folder/dists/lab/main/binary-$architecture
mkdir -p "$index"
base=$folder/pool/main/s/sealock-lab-base/sealock-lab-base_1.0_all.deb
mkdir -p "$folder/pool/main/more"
more=$(find "$folder/pool/main/more" -name '*.deb' | sort)
for deb in "$base" "$folder"/pool/main/s/sealock-lab-{hello,restart,slow}/*_"$version"_*.deb $more; do stanza "$deb"; done > "$index/Packages"
xz --keep --force "$index/Packages"

cd "$folder/dists/lab"
{
  printf 'Origin: Lab\nLabel: Lab\nSuite: lab\nCodename: lab\nDate: %s\n' "$(LC_ALL=C date --utc '+%a, %d %b %Y %H:%M:%S UTC')"
  printf 'Valid-Until: %s\n' "$(LC_ALL=C date --utc --date '+30 days' '+%a, %d %b %Y %H:%M:%S UTC')"
  printf 'Architectures: %s\nComponents: main\nSHA256:\n' "$architecture"
  for file in main/binary-"$architecture"/Packages*; do
    printf ' %s %s %s\n' "$(sha256sum "$file" | cut -d' ' -f1)" "$(stat -c %s "$file")" "$file"
  done
} > Release

if [ ! -e "$key.asc" ]; then
  rm -rf "$GNUPGHOME"
  mkdir -p -m 700 "$GNUPGHOME"
  gpg --batch --quiet --passphrase '' --quick-generate-key 'Archive of the lab <archive@lab.example>' ed25519 sign never
  gpg --batch --armor --export > "$key.partial"
  mv "$key.partial" "$key.asc"
fi
gpg --batch --quiet --yes --clear-sign --output InRelease Release
