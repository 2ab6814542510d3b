# containerd, its runc shim and ctr. Without the version, the kubelet would report "unknown" as its runtime.
GO_TAGS=no_btrfs,no_zfs,no_devmapper,netgo,osusergo,static_build
GO_LDFLAGS="-X github.com/containerd/containerd/v2/version.Version=$CONTAINERD"
go_module github.com/containerd/containerd/v2 "$CONTAINERD"
for program in containerd containerd-shim-runc-v2 ctr; do
  go_program $program github.com/containerd/containerd/v2/cmd/$program
done
