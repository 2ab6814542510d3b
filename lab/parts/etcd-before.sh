# The etcd that the oldest Kubernetes asks for (go_module).
ETCD=$ETCD_BEFORE
. "$here/etcd.sh"
