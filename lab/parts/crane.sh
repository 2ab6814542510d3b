# crane: a registry client that is not ours.
GO_LDFLAGS="-X github.com/google/go-containerregistry/cmd/crane/cmd.Version=$CRANE"
go_module github.com/google/go-containerregistry "$CRANE"
go_program crane github.com/google/go-containerregistry/cmd/crane
