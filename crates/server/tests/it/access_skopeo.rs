//! A client that others wrote, logging in: skopeo, over TLS, with the site's authority.

use std::process::{Command, Output};

use crate::access::Guarded;
use crate::site::Running;

async fn inspect(guarded: &Guarded, server: &Running, repository: &str, arguments: &[&str]) -> Output {
    let certificates = guarded.site.path("certificates");
    std::fs::create_dir_all(&certificates).unwrap();
    std::fs::copy(guarded.site.path("ca.crt"), certificates.join("ca.crt")).unwrap();
    let mut command = Command::new("skopeo");
    let logins = guarded.site.path("logins.json");
    std::fs::write(&logins, "{}").unwrap();
    command.args(["inspect", "--raw", "--authfile"]).arg(logins).arg("--cert-dir").arg(certificates);
    command.args(arguments).arg(format!("docker://{}/{repository}:1", server.address));
    tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .expect("this test needs skopeo (Debian: apt-get install skopeo)")
}

async fn a_robot_logs_in(challenge: &str) {
    let guarded = Guarded::new(&format!("  login: {{challenge: {challenge}}}\n"));
    let server = guarded.site.serve().await;
    let credentials = format!("robot+ci:{}", guarded.secret);
    let seen = inspect(&guarded, &server, "team/app", &["--creds", &credentials]).await;
    assert!(seen.status.success(), "{}", String::from_utf8_lossy(&seen.stderr));
    for arguments in [&["--creds", "robot+ci:wrong"][..], &[]] {
        let seen = inspect(&guarded, &server, "team/app", arguments).await;
        assert!(!seen.status.success());
        assert!(String::from_utf8_lossy(&seen.stderr).contains("authentication is required"), "{seen:?}");
    }
    // Without a name too.
    let seen = inspect(&guarded, &server, "public/app", &[]).await;
    assert!(seen.status.success(), "{}", String::from_utf8_lossy(&seen.stderr));
}

#[tokio::test]
async fn skopeo_logs_in_for_a_token() {
    a_robot_logs_in("bearer").await;
}

#[tokio::test]
async fn skopeo_logs_in_with_a_password() {
    a_robot_logs_in("basic").await;
}
