//! systemd units: of containerd and kubelet as their projects publish them but for the paths, and the local proxy's.

/// `containerd.service`.
pub(crate) const CONTAINERD: &str = "\
[Unit]
Description=containerd container runtime
Documentation=https://containerd.io
After=network.target local-fs.target

[Service]
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/local/bin/containerd
Type=notify
Delegate=yes
KillMode=process
Restart=always
RestartSec=5
TasksMax=infinity

[Install]
WantedBy=multi-user.target
";

/// `kubelet.service`.
pub(crate) const KUBELET: &str = "\
[Unit]
Description=kubelet: The Kubernetes Node Agent
Documentation=https://kubernetes.io/docs/
Wants=network-online.target
After=network-online.target containerd.service

[Service]
ExecStart=/usr/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=10

[Install]
WantedBy=multi-user.target
";

/// `kubelet.service.d/10-kubeadm.conf`: what kubeadm writes is what kubelet reads.
pub(crate) const KUBEADM_DROP_IN: &str = "\
[Service]
Environment=\"KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf\"
Environment=\"KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml\"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
";

/// The drop-in of what a unit of others said, and goes on to say.
pub(crate) const KEPT: &str = "/20-kept.conf";

/// Where the local proxy listens: an address of loopback that nobody else's lines in `/etc/hosts` name.
pub(crate) const LOCAL_PROXY_ADDRESS: &str = "127.0.0.64";

/// `sealock-local-proxy.service`: `program` forwards from `port` to the API servers at `servers`.
pub(crate) fn local_proxy(program: &str, port: u16, servers: &[String]) -> String {
    let servers: String = servers.iter().map(|server| format!(" --server {server}")).collect();
    format!(
        "\
[Unit]
Description=Sealock local proxy: the API servers of the cluster at one address
After=network.target
Before=kubelet.service

[Service]
ExecStart={program} node local-proxy --listen {LOCAL_PROXY_ADDRESS}:{port}{servers}
Restart=always
RestartSec=1
DynamicUser=yes
CapabilityBoundingSet=
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
RestrictAddressFamilies=AF_INET AF_UNIX
RestrictNamespaces=yes
MemoryDenyWriteExecute=yes
LimitNOFILE=8192
TasksMax=4096

[Install]
WantedBy=multi-user.target
"
    )
}
