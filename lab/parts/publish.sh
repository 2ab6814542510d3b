# How the outside gets what it serves. Sourced by the recipes of the upstreams, which name the folders of the parts.

WWW=$OUT/www
EPOCH='@1767225600'

begin_publishing() {
  end_publishing
  mkdir -p "$WORK/layouts" "$WORK/trees" "$WORK/debian"
  tar -C "$WORK/debian" --no-same-owner --exclude='./dev/*' -xpf "$debian"
}

end_publishing() { rm -rf "$WORK/layouts" "$WORK/trees" "$WORK/debian"; }

# --- release files ---

# publish PATH SOURCE: one file at the path by which the real host offers it.
publish() { install -D -m "$(stat -c %a "$2")" "$2" "$WWW/$1"; }

# pack PATH FOLDER MEMBER…: an archive at that path.
pack() {
  local path=$1 folder=$2
  shift 2
  mkdir -p "$(dirname "$WWW/$path")"
  tar -C "$folder" --sort=name --mtime="$EPOCH" --owner=0 --group=0 --numeric-owner -c "$@" | gzip -n -6 > "$WWW/$path"
}

sum_of() { sha256sum "$WWW/$1" | cut -d' ' -f1; }

# How hosts publish a file's sum: the sum alone, or with the file's name as sha256sum prints it.
sum_alone() { printf '%s' "$(sum_of "$1")" > "$WWW/$1.sha256"; }
sum_named() { printf '%s  %s\n' "$(sum_of "$1")" "$(basename "$1")" > "$WWW/$2"; }

release_kubernetes() {
  local program path
  for program in kubeadm kubelet kubectl; do
    path=dl.k8s.io/release/$KUBERNETES/bin/linux/amd64/$program
    publish "$path" "$kubernetes/$program"
    sum_alone "$path"
  done
}

release_node_parts() {
  release_containerd
  release_runc
  release_cni_plugins
  release_etcd
}

release_containerd() {
  local folder=github.com/containerd/containerd/releases/download/$CONTAINERD path
  path=$folder/containerd-${CONTAINERD#v}-linux-amd64.tar.gz
  pack "$path" "$(dirname "$containerd")" bin/containerd bin/containerd-shim-runc-v2 bin/ctr
  sum_named "$path" "$path.sha256sum"
}

release_runc() {
  local folder
  folder=github.com/opencontainers/runc/releases/download/v$(cat "$runc/version")
  publish "$folder/runc.amd64" "$runc/bin/runc"
  sum_named "$folder/runc.amd64" "$folder/runc.sha256sum"
}

release_cni_plugins() {
  local folder=github.com/containernetworking/plugins/releases/download/$CNI_PLUGINS path
  path=$folder/cni-plugins-linux-amd64-$CNI_PLUGINS.tgz
  pack "$path" "$cni" ./bridge ./host-local ./loopback ./portmap ./ptp
  sum_named "$path" "$path.sha256"
}

release_etcd() {
  local folder=github.com/etcd-io/etcd/releases/download/$ETCD path
  path=$folder/etcd-$ETCD-linux-amd64.tar.gz
  pack "$path" "$etcd" --transform "s|^\.|etcd-$ETCD-linux-amd64|" ./etcd ./etcdctl ./etcdutl
  sum_named "$path" "$folder/SHA256SUMS"
}

release_helm() {
  local path=get.helm.sh/helm-$HELM-linux-amd64.tar.gz
  pack "$path" "$helm" --transform 's|^\.|linux-amd64|' ./helm
  sum_named "$path" "$path.sha256sum"
  sum_alone "$path"
}

# --- images ---

# push NAME:TAG LAYOUT [--index]: into the registry, and into the list.
push() {
  local name=$1
  shift
  echo "$name@$("$crane/crane" push "$@" "127.0.0.1:$port/$name" | sed 's/.*@//')" | tee -a "$OUT/images.txt"
}

# image NAME:TAG OPTION…: assembles and pushes an image.
image() {
  local name=$1 layout
  layout=$WORK/layouts/$(tr '/:' '__' <<< "$1")
  shift
  "$here/mkimage.py" "$layout" "$@" > /dev/null
  push "$name" "$layout"
}

# The images by which kubeadm runs a control plane: their names and tags are kubeadm's own.
kubernetes_images() {
  local name program
  "$here/closure.py" "$WORK/debian" "$WORK/trees/kube-proxy" nft conntrack
  # Without it nft writes `6` where kube-proxy reads `tcp`: a kube-proxy that is started anew would take its own rules for another's.
  mkdir -p "$WORK/trees/kube-proxy/etc"
  printf 'tcp\t6\tTCP\nudp\t17\tUDP\nsctp\t132\tSCTP\n' > "$WORK/trees/kube-proxy/etc/protocols"
  "$kubernetes/kubeadm" config images list --kubernetes-version "$KUBERNETES" > "$WORK/kubeadm-images"
  while read -r name; do
    program=${name##*/}
    program=${program%:*}
    case $program in
      kube-proxy) image "$name" --tree "$WORK/trees/kube-proxy" --file "$kubernetes/kube-proxy:/usr/local/bin/kube-proxy" --cmd '["/usr/local/bin/kube-proxy"]' ;;
      kube-*) image "$name" --file "$kubernetes/$program:/usr/local/bin/$program" --entrypoint "[\"/usr/local/bin/$program\"]" ;;
      etcd) image "$name" --file "$etcd/etcd:/usr/local/bin/etcd" --file "$etcd/etcdctl:/usr/local/bin/etcdctl" --file "$etcd/etcdutl:/usr/local/bin/etcdutl" --cmd '["/usr/local/bin/etcd"]' ;;
      coredns) image "$name" --file "$coredns/coredns:/coredns" --entrypoint '["/coredns"]' ;;
      pause) image "$name" --file "$pause/pause:/pause" --entrypoint '["/pause"]' --user 65535:65535 ;;
      *) echo "kubeadm asks for $name, and the lab has no recipe for it" >&2; return 1 ;;
    esac
  done < "$WORK/kubeadm-images"
}

# publish_beside UPSTREAM KUBERNETES COREDNS ETCD: all that another upstream serves, and one more Kubernetes, from the folders of these parts.
publish_beside() {
  kubernetes=$2/bin coredns=$3/bin etcd=$4/bin
  registry=$(path_of registry)/bin crane=$(path_of crane)/bin pause=$(path_of pause)/bin
  debian=$(path_of rootfs)/apps.tar
  cp -r "$1/." "$OUT"
  begin_publishing
  release_kubernetes
  serve_registry
  kubernetes_images
  end_publishing
  sort -u -o "$OUT/images.txt" "$OUT/images.txt"
}

application_images() {
  local architecture base tag
  base=$WORK/layouts/node_exporter
  for architecture in amd64 arm64; do
    "$here/mkimage.py" "$base-$architecture" --platform linux/$architecture --file "$exporter/node_exporter-$architecture:/bin/node_exporter" \
      --entrypoint '["/bin/node_exporter"]' --user 65534 > /dev/null
  done
  "$here/mkimage.py" "$base" --index "$base-amd64" "$base-arm64" > /dev/null
  push "quay.io/prometheus/node-exporter:$NODE_EXPORTER" "$base" --index

  tag=$(sed -n 's/^appVersion: *"\{0,1\}\([^"]*\).*/\1/p' "$podinfo/charts/podinfo/Chart.yaml")
  rm -rf "$WORK/trees/podinfo"
  mkdir -p "$WORK/trees/podinfo/home/app" "$WORK/trees/podinfo/data"
  cp -r "$podinfo/ui" "$WORK/trees/podinfo/home/app/"
  image "ghcr.io/stefanprodan/podinfo:$tag" --tree "$WORK/trees/podinfo" --file "$podinfo/bin/podinfo:/home/app/podinfo" \
    --file "$podinfo/bin/podcli:/usr/local/bin/podcli" --cmd '["./podinfo"]' --workdir /home/app --user 100:101
}

# What every image cut out of Debian has beside its programs.
debian_tree() {
  local tree=$WORK/trees/$1 file
  shift
  "$here/closure.py" "$WORK/debian" "$tree" "$@"
  for file in passwd group nsswitch.conf os-release ssl/certs/ca-certificates.crt; do
    install -D -m 644 "$WORK/debian/etc/$file" "$tree/etc/$file"
  done
}

debian_version_of() { awk -v package="$1" '$1 == "Package:" { here = $2 == package } here && $1 == "Version:" { print $2 }' "$WORK/debian/var/lib/dpkg/status" | sed 's/^[0-9]*://; s/[-+].*//'; }

debian_images() {
  local tree
  tree=$WORK/trees/nginx
  debian_tree nginx nginx
  install -D -m 644 "$WORK/debian/etc/nginx/mime.types" "$tree/etc/nginx/mime.types"
  install -D -m 644 "$WORK/debian/usr/share/nginx/html/index.html" "$tree/usr/share/nginx/html/index.html"
  install -D -m 644 "$here/nginx-image.conf" "$tree/etc/nginx/nginx.conf"
  mkdir -p "$tree/var/lib/nginx" "$tree/var/log/nginx"
  image "docker.io/library/nginx:$(debian_version_of nginx-light)" --tree "$tree" --cmd '["/usr/sbin/nginx","-g","daemon off;"]'

  debian_tree redis redis-server redis-cli
  mkdir -p "$WORK/trees/redis/data"
  image "docker.io/library/redis:$(debian_version_of redis-server)" --tree "$WORK/trees/redis" --cmd '["/usr/bin/redis-server","--protected-mode","no"]'

  debian_tree debian-tools bash sh cat ls sleep env id hostname date head tail grep sed awk seq timeout wc tr cut dirname stat \
    curl dig nc ping ip ss getent openssl ps
  mkdir -p "$WORK/trees/debian-tools/root"
  image docker.io/library/debian-tools:12 --tree "$WORK/trees/debian-tools" --cmd '["/usr/bin/sleep","infinity"]'
}

# Signed as cosign does: the application's image, and the index of two platforms.
sign() {
  local line name digest repository
  openssl ecparam -name prime256v1 -genkey -noout -out "$OUT/cosign.key"
  openssl ec -in "$OUT/cosign.key" -pubout -out "$OUT/cosign.pub"
  grep -E '^(ghcr.io/stefanprodan/podinfo|quay.io/prometheus/node-exporter):' "$OUT/images.txt" > "$WORK/signed-images"
  while read -r line; do
    name=${line%@*} digest=${line#*@}
    repository=${name%:*}
    "$here/mkimage.py" "$WORK/layouts/signature-${digest#*:}" --signature "$OUT/cosign.key" --reference "$repository" --digest "$digest" > /dev/null
    "$crane/crane" push "$WORK/layouts/signature-${digest#*:}" "127.0.0.1:$port/$repository:${digest/:/-}.sig"
  done < "$WORK/signed-images"
}

# --- charts ---

# The real chart, in a chart repository and in a registry.
charts() {
  local folder=$WWW/stefanprodan.github.io/podinfo package
  mkdir -p "$folder"
  "$helm/helm" package "$podinfo/charts/podinfo" --destination "$folder"
  "$helm/helm" repo index "$folder" --url https://stefanprodan.github.io/podinfo
  package=$(find "$folder" -name 'podinfo-*.tgz')
  "$helm/helm" push "$package" "oci://127.0.0.1:$port/ghcr.io/stefanprodan/charts" --plain-http
}

# A chart of the lab's own: published ones that have hooks need more than the lab has. What its hook does stands in its values.
hooks_chart() {
  local chart=$WORK/charts/hooks folder=$WWW/charts.example/hooks
  mkdir -p "$chart/templates" "$folder"
  printf 'apiVersion: v2\nname: hooks\nversion: 1.0.0\n' > "$chart/Chart.yaml"
  printf 'word: one\ncheck: "true"\n' > "$chart/values.yaml"
  cat > "$chart/templates/all.yaml" <<'END'
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}"}
data: {word: "{{ .Values.word }}"}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: "{{ .Release.Name }}-check"
  annotations:
    helm.sh/hook: pre-install,pre-upgrade,pre-rollback
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: check, image: "docker.io/library/debian-tools:12", command: [sh, -c, {{ .Values.check | quote }}]}]
END
  "$helm/helm" package "$chart" --destination "$folder"
  "$helm/helm" repo index "$folder" --url https://charts.example/hooks
}

serve_registry() {
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  printf 'version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "127.0.0.1:%s"}\n' "$OUT/registry" "$port" > "$WORK/registry.yml"
  # It ends with this recipe however that ends, and does not hold the lock of the build.
  OTEL_TRACES_EXPORTER=none setpriv --pdeathsig KILL "$registry/registry" serve "$WORK/registry.yml" 2> "$WORK/registry.log" 9>&- &
  trap "kill $!" EXIT
  curl --silent --fail --noproxy '*' --retry 50 --retry-connrefused --retry-delay 1 --output /dev/null "http://127.0.0.1:$port/v2/"
}
