# runc, out of the distribution's package: the lab's stand-in for upstream's release. It needs the machine's libseccomp.
cd "$WORK/tmp"
rm -f runc_*.deb
apt-get download -qq runc
dpkg-deb --extract runc_*.deb runc.extracted
install -m 755 runc.extracted/usr/sbin/runc "$OUT/bin/runc"
"$OUT/bin/runc" --version | awk 'NR == 1 { print $3 }' | sed 's/+.*//' > "$OUT/version"
