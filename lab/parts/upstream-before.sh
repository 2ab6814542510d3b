# All that upstream-next serves, and the Kubernetes before it.

. "$here/publish.sh"
# What publish.sh takes, so that another one makes another upstream: $here/mkimage.py $here/closure.py
KUBERNETES=$KUBERNETES_BEFORE
publish_beside "$(path_of upstream-next)" "$(path_of kubernetes-before)" "$(path_of coredns-before)" "$(path_of etcd-before)"
