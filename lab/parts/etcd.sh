# etcd: the server's main package is the root of its module.
go_module go.etcd.io/etcd/server/v3 "$ETCD"
go_program etcd go.etcd.io/etcd/server/v3
go_module go.etcd.io/etcd/etcdctl/v3 "$ETCD"
go_program etcdctl go.etcd.io/etcd/etcdctl/v3
go_module go.etcd.io/etcd/etcdutl/v3 "$ETCD"
go_program etcdutl go.etcd.io/etcd/etcdutl/v3
