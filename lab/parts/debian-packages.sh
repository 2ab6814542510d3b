# Packages of the distribution that a machine of the lab lacks, for whoever administers one: debs/*.deb. What they depend on it has.

mkdir -p "$OUT/debs"
cd "$OUT/debs"
apt-get download chrony nftables
