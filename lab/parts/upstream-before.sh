# All that upstream-next serves, and the Kubernetes before it.

. "$here/publish.sh"
# What publish.sh takes, so that another one makes another upstream: $here/mkimage.py $here/closure.py
KUBERNETES=$KUBERNETES_BEFORE

kubernetes=$(path_of kubernetes-before)/bin
coredns=$(path_of coredns-before)/bin
etcd=$(path_of etcd-before)/bin
registry=$(path_of registry)/bin
crane=$(path_of crane)/bin
pause=$(path_of pause)/bin
debian=$(path_of rootfs)/apps.tar

cp -r "$(path_of upstream-next)/." "$OUT"
begin_publishing
release_kubernetes
serve_registry
kubernetes_images
end_publishing
sort -u -o "$OUT/images.txt" "$OUT/images.txt"
