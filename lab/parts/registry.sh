# distribution's registry: the upstream registry of the outside.
GO_LDFLAGS="-X github.com/distribution/distribution/v3/version.version=$REGISTRY"
go_module github.com/distribution/distribution/v3 "$REGISTRY"
go_program registry github.com/distribution/distribution/v3/cmd/registry
