# The Kubernetes of two minor versions before the newest, made like the others (go_module).
KUBERNETES=$KUBERNETES_BEFORE
. "$here/kubernetes.sh"
