# CoreDNS: the cluster's DNS, and the lab's site DNS.
GO_LDFLAGS='-X github.com/coredns/coredns/coremain.GitCommit=lab'
go_module github.com/coredns/coredns "$COREDNS"
go_program coredns github.com/coredns/coredns
