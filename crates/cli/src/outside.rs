//! The bridge to `fetch`: our settings as its settings, its events on our display.

use std::path::PathBuf;
use std::time::Duration;

use sealock_fetch::{Event, Patience, Progress as Told, ProxySettings, Retry, Settings as FetchSettings};

use crate::environment as env;
use crate::error::{CommandError, Result};
use crate::settings::{Setting, Settings};
use crate::ui::Progress;

/// The settings as `fetch` takes them.
///
/// # Errors
/// A mirror or proxy that is not a URL.
pub fn settings(settings: &Settings) -> Result<FetchSettings> {
    let outside = &settings.outside;
    let mirrors = outside.mirrors.value.iter().map(|(host, url)| {
        let parsed = url.parse().map_err(|error| bad_url(&format!("mirrors.{host}"), url, &error, &outside.mirrors))?;
        Ok((host.clone(), parsed))
    });
    let proxy = |name: &str, url: &Option<String>| {
        let url = url.as_ref().map(|url| url.parse().map_err(|error| bad_url(name, url, &error, &outside.proxy)));
        url.transpose()
    };
    let except = &outside.proxy.value.except;
    Ok(FetchSettings {
        mirrors: mirrors.collect::<Result<_>>()?,
        ca_files: outside.ca_files.value.clone(),
        proxy: ProxySettings {
            http: proxy("proxy.http", &outside.proxy.value.http)?,
            https: proxy("proxy.https", &outside.proxy.value.https)?,
            no_proxy: (!except.is_empty()).then(|| except.join(",")),
        },
        // The usual place need not exist; one that was named must.
        docker_config: outside
            .docker_config
            .value
            .clone()
            .filter(|path| outside.docker_config.is_set() || path.exists()),
        retry: Retry { tries: outside.retries.value.saturating_add(1), ..Retry::default() },
        patience: Patience {
            connect: Duration::from_secs(outside.connect_seconds.value),
            stall: Duration::from_secs(outside.idle_seconds.value),
            ..Patience::default()
        },
        helper_folders: Vec::new(),
        program_folders: env::read(&env::PATH).iter().flat_map(std::env::split_paths).collect(),
        scratch: env::read(&env::TMPDIR).map_or_else(|| FetchSettings::default().scratch, PathBuf::from),
        tools: env::cache_dir().map(|folder| folder.join("tools")),
        parallel: outside.parallel.value.max(1),
    })
}

fn bad_url<T>(name: &str, url: &str, error: &dyn std::fmt::Display, setting: &Setting<T>) -> CommandError {
    CommandError::usage(format!("the setting {name} is `{url}`, which is not a URL: {error}"))
        .hint(format!("It comes from: {}.", setting.origin))
}

/// Shows what `fetch` tells on `display`.
pub fn progress(display: &Progress) -> Told {
    let display = display.clone();
    Told::new(move |event| match event {
        Event::Phase(name) => display.begin(name, 0),
        Event::Planned { blobs, bytes } => display.begin(&format!("fetching {blobs} blobs"), *bytes),
        Event::Kept { blobs, bytes } => {
            display.note(&format!("{blobs} blobs ({}) are there from an earlier run", crate::ui::bytes(*bytes)));
        }
        Event::Advanced(bytes) => display.advance(*bytes),
        Event::Rewound(bytes) => display.retreat(*bytes),
        Event::Retrying { name, failure, wait } => {
            display.note(&format!("{name}: {failure}; trying again in {}", crate::ui::took(*wait)));
        }
        Event::Note(text) => display.note(text),
        _ => {}
    })
}
