//! The systemd unit of `sealock serve`.

use std::path::Path;

/// Into how many pools threads put their memory, at most (mallopt(3), `M_ARENA_MAX`). The usual eight for each core keep what was
/// freed in them: the same load that takes 70 MiB then takes 260 on two cores, and more on more.
pub(crate) const ARENAS: u8 = 4;

/// What differs from station to station.
#[derive(Clone, Copy, Debug)]
pub struct Unit<'a> {
    /// The binary: an absolute path.
    pub binary: &'a Path,
    /// Arguments behind `serve`.
    pub arguments: &'a [String],
    /// The user that owns the store.
    pub user: &'a str,
    /// The store: an absolute path.
    pub store: &'a Path,
    /// What the registry keeps for itself: an absolute path.
    pub kept: &'a Path,
}

/// The text of `sealock-serve.service` (systemd.service(5), systemd.exec(5)), for systemd 252 and newer.
///
/// The server reads its certificate, reads and writes the store, listens, may write logs below `/var/log/sealock`, and needs
/// nothing else: so it gets nothing else. The store is one path and not several: a rename from one mount to another is none.
pub fn unit(unit: &Unit<'_>) -> String {
    let Unit { binary, arguments, user, store, kept } = unit;
    let (binary, store, kept) = (binary.display(), store.display(), writable(kept));
    let arguments: String = arguments.iter().map(|argument| format!(" {}", quoted(argument))).collect();
    let command = format!("{binary} serve{arguments}");
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
Environment=MALLOC_ARENA_MAX={ARENAS}
RuntimeDirectory=sealock
RuntimeDirectoryMode=0750
LogsDirectory=sealock
LogsDirectoryMode=0750
{kept}
Restart=on-failure
RestartSec=2
TimeoutStopSec=30
LimitNOFILE=65536
UMask=0077
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={store}
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

/// A word of a command line (systemd.service(5), "Command lines"): `%` and `$` stand for themselves.
fn quoted(word: &str) -> String {
    let word = word.replace('%', "%%").replace('$', "$$");
    let is_plain = |character: char| character.is_alphanumeric() || "-_./:,=+@[]%$".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word;
    }
    format!("\"{}\"", word.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n"))
}

/// What lets the server write a folder. systemd makes it where it is below its own; elsewhere the operator does.
fn writable(folder: &Path) -> String {
    match folder.strip_prefix("/var/lib") {
        Ok(below) => format!("StateDirectory={}\nStateDirectoryMode=0700", below.display()),
        Err(_) => format!("ReadWritePaths=-{}", folder.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_as_it_is_written() {
        let text = unit(&Unit {
            binary: Path::new("/usr/local/bin/sealock"),
            arguments: &["--listen", "[fd00::1]:5000", "--access-log", "/srv/50% \"of\" it/$x"].map(str::to_owned),
            user: "sealock",
            store: Path::new("/var/lib/sealock/store"),
            kept: Path::new("/var/lib/sealock/registry"),
        });
        insta::assert_snapshot!(text);
    }
}
