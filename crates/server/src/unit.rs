//! The systemd unit of `sealock serve`.

use std::path::Path;

/// What differs from station to station.
#[derive(Clone, Copy, Debug)]
pub struct Unit<'a> {
    /// The binary: an absolute path.
    pub binary: &'a Path,
    /// Arguments behind `serve`, quoted as systemd wants them.
    pub arguments: &'a str,
    /// The user that owns the store.
    pub user: &'a str,
    /// The store: an absolute path.
    pub store: &'a Path,
}

/// The text of `sealock-serve.service` (systemd.service(5), systemd.exec(5)), for systemd 252 and newer.
///
/// The server reads the store and its certificate, listens, may write logs below `/var/log/sealock`, and needs nothing else:
/// so it gets nothing else.
pub fn unit(unit: &Unit<'_>) -> String {
    let Unit { binary, arguments, user, store } = unit;
    let (binary, store) = (binary.display(), store.display());
    let command = format!("{binary} serve {arguments}");
    let command = command.trim_end();
    format!(
        "\
[Unit]
Description=Sealock site registry
Documentation=man:sealock-serve(1)
After=network-online.target
Wants=network-online.target
RequiresMountsFor={store}

[Service]
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
User={user}
UnsetEnvironment=HOME
RuntimeDirectory=sealock
RuntimeDirectoryMode=0750
LogsDirectory=sealock
LogsDirectoryMode=0750
Restart=on-failure
RestartSec=2
TimeoutStopSec=30
LimitNOFILE=65536
UMask=0077
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
ProcSubset=pid
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_as_it_is_written() {
        let text = unit(&Unit {
            binary: Path::new("/usr/local/bin/sealock"),
            arguments: "--listen 10.77.0.10:5000",
            user: "sealock",
            store: Path::new("/var/lib/sealock/store"),
        });
        insta::assert_snapshot!(text);
    }
}
