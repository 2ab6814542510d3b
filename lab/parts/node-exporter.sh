# Prometheus node exporter for two platforms: the multi-arch index of the upstream registry.
GO_LDFLAGS="-X github.com/prometheus/common/version.Version=${NODE_EXPORTER#v}"
go_module github.com/prometheus/node_exporter "$NODE_EXPORTER"
for GOARCH in amd64 arm64; do
  export GOARCH
  go_program node_exporter-$GOARCH github.com/prometheus/node_exporter
done
unset GOARCH
