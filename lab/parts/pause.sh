# pause: ours, because upstream's is not published as a Go module. The version is the one that kubeadm asks for.
pause_version=$("$(path_of kubernetes)/bin/kubeadm" config images list --kubernetes-version "$KUBERNETES" | sed -n 's|.*/pause:||p')
go build -tags "$GO_TAGS" -ldflags "-s -w -X main.version=$pause_version" -o "$OUT/bin/pause" "$here/pause/pause.go"
