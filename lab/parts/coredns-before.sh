# The CoreDNS that the oldest Kubernetes asks for (go_module).
COREDNS=$COREDNS_BEFORE
. "$here/coredns.sh"
