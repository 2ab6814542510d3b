# The CNI plugins of the release archive that a node needs.
GO_LDFLAGS="-X github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=$CNI_PLUGINS"
go_module github.com/containernetworking/plugins "$CNI_PLUGINS"
for plugin in main/bridge main/loopback main/ptp ipam/host-local meta/portmap; do
  go_program "${plugin#*/}" github.com/containernetworking/plugins/plugins/$plugin
done
