# All that upstream serves, and the next Kubernetes beside it.

. "$here/publish.sh"
# What publish.sh takes, so that another one makes another upstream: $here/mkimage.py $here/closure.py
KUBERNETES=$KUBERNETES_NEXT
publish_beside "$(path_of upstream)" "$(path_of kubernetes-next)" "$(path_of coredns-next)" "$(path_of etcd-next)"
