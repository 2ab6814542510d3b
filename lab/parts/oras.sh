# oras: a client for any artifact; it reads our bundles and the site registry in `cargo xtask interop`.
go_module oras.land/oras "$ORAS"
go_program oras oras.land/oras/cmd/oras
