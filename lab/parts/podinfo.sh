# podinfo: the application, and its own Helm chart.
GO_LDFLAGS='-X github.com/stefanprodan/podinfo/pkg/version.REVISION=lab'
go_module github.com/stefanprodan/podinfo "$PODINFO"
go_program podinfo github.com/stefanprodan/podinfo/cmd/podinfo
go_program podcli github.com/stefanprodan/podinfo/cmd/podcli
source=$(go_source github.com/stefanprodan/podinfo "$PODINFO")
cp -r "$source/charts" "$source/ui" "$OUT/"
