# What the outside serves: a registry's storage with all images, and the release files, both under the real names.

. "$here/publish.sh"
# What publish.sh takes, so that another one makes another upstream: $here/mkimage.py $here/closure.py $here/nginx-image.conf $KUBERNETES $ETCD
# $CONTAINERD $CNI_PLUGINS $HELM $NODE_EXPORTER

kubernetes=$(path_of kubernetes)/bin
containerd=$(path_of containerd)/bin
coredns=$(path_of coredns)/bin
etcd=$(path_of etcd)/bin
registry=$(path_of registry)/bin
cni=$(path_of cni-plugins)/bin
helm=$(path_of helm)/bin
podinfo=$(path_of podinfo)
exporter=$(path_of node-exporter)/bin
crane=$(path_of crane)/bin
pause=$(path_of pause)/bin
runc=$(path_of runc)
debian=$(path_of rootfs)/apps.tar

mkdir -p "$OUT/registry" "$WWW"
begin_publishing
release_kubernetes
release_node_parts
release_helm
serve_registry
kubernetes_images
application_images
debian_images
sign
charts
hooks_chart
end_publishing
