# Ansible for the station: the distribution's Python with what it needs and a machine of the lab lacks (python.tar, to be unpacked
# over a machine), and ansible-core from its published packages (ansible/, whose programs start with that Python).

machine=$(path_of rootfs)/machine.tar
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
tree=$WORK/tmp/python
as_root=()
if [ "$(id -u)" != 0 ]; then as_root=(sudo); fi

# Extracted and not configured: a machine of the same release has all else.
"${as_root[@]}" rm -rf "$tree"
"${as_root[@]}" mmdebstrap --quiet --variant=extract --include=python3 --format=directory "$suite" "$tree"
(cd "$tree" && find usr/bin usr/lib lib \( -type f -o -type l \) | sort) > "$WORK/tmp/has"
tar -tf "$machine" | sed 's|^\./||' | sort > "$WORK/tmp/machine"
comm -23 "$WORK/tmp/has" "$WORK/tmp/machine" > "$WORK/tmp/lacks"
tar -C "$tree" --owner=0 --group=0 --verbatim-files-from -T "$WORK/tmp/lacks" -cf "$OUT/python.tar"

# For that Python, whatever this computer's is.
version=$(cd "$tree/usr/bin" && ls python3.[0-9]* | sed -n 's/^python\(3\.[0-9]*\)$/\1/p')
python3 -m pip install --quiet --target "$OUT/ansible" --python-version "$version" --only-binary=:all: "ansible-core==$ANSIBLE_CORE"
sed -i '1s|.*|#!/usr/bin/python3|' "$OUT"/ansible/bin/*
"${as_root[@]}" rm -rf "$tree"
