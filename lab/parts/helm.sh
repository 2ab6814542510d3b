# Helm.
GO_LDFLAGS="-X helm.sh/helm/v3/internal/version.version=$HELM -X helm.sh/helm/v3/internal/version.gitTreeState=clean"
go_module helm.sh/helm/v3 "$HELM"
go_program helm helm.sh/helm/v3/cmd/helm
