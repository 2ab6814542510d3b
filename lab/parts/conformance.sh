# The official conformance suite of registries, for `cargo xtask conformance`. It says which commit it is of in its report.
GO_LDFLAGS="-X main.Version=$CONFORMANCE"
go_module github.com/opencontainers/distribution-spec/conformance "$CONFORMANCE"
go_program conformance github.com/opencontainers/distribution-spec/conformance
