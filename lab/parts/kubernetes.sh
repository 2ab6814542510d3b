# Kubernetes: the programs of a control plane and of a node.

# Every staging module is published on its own as v0.MINOR.PATCH; the main module only names folders.
staging_modules() {
  grep -ohE '^\s+k8s\.io/[a-z0-9-]+ (=> \./staging|v0\.0\.0$)' "$1/go.mod" | awk '{print $1}' | sort -u |
    while read -r module; do echo "replace $module => $module v0.${KUBERNETES#v1.}"; done
}
GO_REPLACE=staging_modules
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  GO_LDFLAGS+=" -X $package.gitVersion=$KUBERNETES -X $package.gitMajor=1 -X $package.gitMinor=$(cut -d. -f2 <<< "$KUBERNETES")"
  GO_LDFLAGS+=" -X $package.gitTreeState=clean -X $package.gitCommit=0000000000000000000000000000000000000000"
  GO_LDFLAGS+=" -X $package.buildDate=2026-01-01T00:00:00Z"
done
go_module k8s.io/kubernetes "$KUBERNETES"
for program in kubeadm kubelet kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubectl; do
  go_program $program k8s.io/kubernetes/cmd/$program
done
