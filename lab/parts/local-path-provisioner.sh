# The provisioner of local volumes.
GO_LDFLAGS="-X main.VERSION=$LOCAL_PATH_PROVISIONER"
go_module github.com/rancher/local-path-provisioner "$LOCAL_PATH_PROVISIONER"
go_program local-path-provisioner github.com/rancher/local-path-provisioner
