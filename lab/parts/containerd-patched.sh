# Another patch of containerd, which a bundle brings for the Kubernetes that runs (go_module).
CONTAINERD=$CONTAINERD_PATCHED
. "$here/containerd.sh"
