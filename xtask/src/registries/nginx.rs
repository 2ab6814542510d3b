//! nginx over files: as much as a server can do, as it decides nothing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::tls::Files;
use super::{Endpoint, Launch};

pub(super) fn prepare(files: &Path, folder: &Path, endpoint: &Endpoint, tls: Option<&Files>) -> Result<Launch> {
    let config = folder.join("nginx.conf");
    fs::write(&config, configuration(files, folder, endpoint, tls))?;
    // `/v2/` must answer.
    fs::create_dir_all(files.join("v2"))?;
    fs::write(files.join("v2/index.html"), "{}")?;
    Ok(Launch {
        program: PathBuf::from("/usr/sbin/nginx"),
        args: ["-p", &folder.display().to_string(), "-c", &config.display().to_string(), "-e", "stderr"]
            .map(str::to_owned)
            .to_vec(),
        envs: Vec::new(),
    })
}

/// One process that stays in the foreground, so that its accounts are the server's.
fn configuration(files: &Path, folder: &Path, endpoint: &Endpoint, tls: Option<&Files>) -> String {
    let (listen, certificate) = match tls {
        Some(files) => (
            format!("{} ssl", endpoint.address),
            format!("ssl_certificate {}; ssl_certificate_key {};", files.certificate.display(), files.key.display()),
        ),
        None => (endpoint.address.clone(), String::new()),
    };
    let folder = folder.display();
    format!(
        "daemon off; master_process off; pid {folder}/nginx.pid;\nevents {{ worker_connections 4096; }}\n\
         http {{\n  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; open_file_cache max=10000;\n  \
         default_type application/vnd.oci.image.manifest.v1+json;\n  \
         client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;\n  \
         uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n  \
         server {{ listen {listen}; {certificate} root {}; }}\n}}\n",
        files.display()
    )
}
