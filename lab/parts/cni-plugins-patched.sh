# Other CNI plugins, which a bundle brings for the Kubernetes that runs (go_module).
CNI_PLUGINS=$CNI_PLUGINS_PATCHED
. "$here/cni-plugins.sh"
