# metrics-server: what kubelets measure, for `kubectl top` and autoscalers.
GO_LDFLAGS="-X k8s.io/client-go/pkg/version.gitVersion=$METRICS_SERVER"
go_module sigs.k8s.io/metrics-server "$METRICS_SERVER"
go_program metrics-server sigs.k8s.io/metrics-server/cmd/metrics-server
