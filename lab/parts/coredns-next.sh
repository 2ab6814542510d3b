# The CoreDNS that the next Kubernetes asks for (go_module).
COREDNS=$COREDNS_NEXT
. "$here/coredns.sh"
