# cosign: it verifies inside what was signed outside, in `cargo xtask interop`.
GO_LDFLAGS="-X sigs.k8s.io/release-utils/version.gitVersion=$COSIGN"
go_module github.com/sigstore/cosign/v3 "$COSIGN"
go_program cosign github.com/sigstore/cosign/v3/cmd/cosign
