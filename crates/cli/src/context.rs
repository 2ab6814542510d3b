//! What every command gets: how to talk, the settings, the places.

use crate::args::Global;
use crate::environment;
use crate::error::Result;
use crate::keys::Secrets;
use crate::paths::Paths;
use crate::settings::Settings;
use crate::ui::Ui;

/// What every command gets.
#[derive(Debug)]
pub struct Context {
    pub ui: Ui,
    pub settings: Settings,
    pub paths: Paths,
    /// Show what would be done, and change nothing.
    pub dry_run: bool,
    /// Passphrases and PINs that were given.
    pub secrets: Secrets,
}

impl Context {
    /// # Errors
    /// A settings file that cannot be read or understood.
    pub fn new(global: &Global) -> Result<Self> {
        start_logging(global.verbose);
        let settings = Settings::load(global.config.as_deref(), global.state_dir.as_deref())?;
        let paths = Paths::new(settings.state_dir.value.clone());
        Ok(Self { ui: Ui::new(global), settings, paths, dry_run: global.dry_run, secrets: Secrets::default() })
    }

    /// A runtime for the commands that wait for many sockets at once; the others have none.
    ///
    /// # Errors
    /// The machine gives no threads.
    pub fn runtime(&self) -> Result<tokio::runtime::Runtime> {
        Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
    }
}

fn start_logging(verbose: u8) {
    use tracing_subscriber::EnvFilter;

    let asked = environment::read_text(&environment::SEALOCK_LOG);
    let filter = asked.unwrap_or_else(|| match verbose {
        0 => "error".into(),
        1 => "warn,sealock=info".into(),
        _ => "info,sealock=debug".into(),
    });
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(anstream::stderr).without_time().init();
}
