# All that upstream and the next one serve, and the images of the add-ons.

. "$here/publish.sh"
# What publish.sh takes, so that another one makes another upstream: $here/mkimage.py $here/closure.py
registry=$(path_of registry)/bin
crane=$(path_of crane)/bin
debian=$(path_of rootfs)/apps.tar
metrics_server=$(path_of metrics-server)/bin/metrics-server
provisioner=$(path_of local-path-provisioner)/bin/local-path-provisioner
traefik=$(path_of traefik)/bin/traefik

cp -r "$(path_of upstream-next)/." "$OUT"
begin_publishing
serve_registry
image "registry.k8s.io/metrics-server/metrics-server:$METRICS_SERVER" --file "$metrics_server:/metrics-server" \
  --entrypoint '["/metrics-server"]' --user 65534
# With a shell, as the project's has: the pods that make and remove folders are of this image, too.
"$here/closure.py" "$WORK/debian" "$WORK/trees/provisioner" sh mkdir rm
image "docker.io/rancher/local-path-provisioner:$LOCAL_PATH_PROVISIONER" --tree "$WORK/trees/provisioner" \
  --file "$provisioner:/usr/bin/local-path-provisioner" --cmd '["local-path-provisioner"]'
image "docker.io/library/traefik:$TRAEFIK" --file "$traefik:/usr/local/bin/traefik" --entrypoint '["/usr/local/bin/traefik"]'
end_publishing
sort -u -o "$OUT/images.txt" "$OUT/images.txt"
