# The Kubernetes to upgrade to, made like the other one (go_module).
KUBERNETES=$KUBERNETES_NEXT
. "$here/kubernetes.sh"
