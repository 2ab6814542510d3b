# The etcd that the next Kubernetes asks for (go_module).
ETCD=$ETCD_NEXT
. "$here/etcd.sh"
