# All that upstream serves, and another containerd and other CNI plugins beside what it has of them.

. "$here/publish.sh"
# What publish.sh takes, so that another one makes another upstream: $CONTAINERD_PATCHED $CNI_PLUGINS_PATCHED
CONTAINERD=$CONTAINERD_PATCHED
CNI_PLUGINS=$CNI_PLUGINS_PATCHED
containerd=$(path_of containerd-patched)/bin
cni=$(path_of cni-plugins-patched)/bin
cp -r "$(path_of upstream)/." "$OUT"
release_containerd
release_cni_plugins
