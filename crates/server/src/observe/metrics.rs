//! Numbers for Prometheus (OpenMetrics 1.0). Every label has a bounded set of values: no name that a client chooses is one.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::route::Route;

/// The methods that registries know; any other counts as `other`.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// By what requests are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: &'static str,
}

impl RequestLabels {
    pub(crate) fn new(method: &str, route: Route, status: u16) -> Self {
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        Self { method, route: route.name(), status }
    }
}

/// What is so at the moment of asking, beside what was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// The number of the release that is served; 0 before the first.
    pub(crate) release: u64,
    /// References of it that cannot be served.
    pub(crate) problems: usize,
    /// References of it that are revoked and blocked.
    pub(crate) blocked: usize,
    /// References of it that are revoked, and pullable since a live cluster uses them.
    pub(crate) alarms: usize,
    /// Bytes that can still be written to the filesystem of the store.
    pub(crate) free: u64,
    /// Whether the current release could be read when that was last tried.
    pub(crate) is_ready: bool,
    /// Whether that is less than the headroom that was asked for.
    pub(crate) is_low: bool,
    /// Lines of the access log that were dropped.
    pub(crate) dropped_lines: u64,
    /// Pushed manifests that are not in the store as they were.
    pub(crate) lost: usize,
    /// Uploads that were begun and not ended.
    pub(crate) uploads: usize,
    /// Bytes of blobs that wait in bundles to be migrated.
    pub(crate) lent: u64,
}

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabel, Histogram, fn() -> Histogram>,
    sent: Family<RouteLabel, Counter>,
    cut_off: Family<RouteLabel, Counter>,
    pub(crate) in_progress: Gauge,
    pub(crate) connections: Gauge,
    standing: StandingGauges,
}

#[derive(Debug, Default)]
struct StandingGauges {
    release: Gauge<u64, AtomicU64>,
    problems: Gauge,
    blocked: Gauge,
    alarms: Gauge,
    free: Gauge<u64, AtomicU64>,
    ready: Gauge,
    low: Gauge,
    dropped_lines: Gauge<u64, AtomicU64>,
    lost: Gauge,
    uploads: Gauge,
    lent: Gauge<u64, AtomicU64>,
}

/// From 100 µs, what a manifest takes, to about 100 s, what a large layer takes.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 4.0, 11))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("sealock"),
            requests: Family::default(),
            durations: Family::new_with_constructor(durations),
            sent: Family::default(),
            cut_off: Family::default(),
            in_progress: Gauge::default(),
            connections: Gauge::default(),
            standing: StandingGauges::default(),
        };
        metrics.register_counted();
        metrics.register_standing();
        metrics
    }
}

impl Metrics {
    fn register_counted(&mut self) {
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        self.registry.register("build", "The version of Sealock", build);
        let registry = self.registry.sub_registry_with_prefix("registry");
        registry.register("requests", "Requests that were answered", self.requests.clone());
        let help = "From the header of a request to the last byte of its answer";
        registry.register_with_unit("request_duration", help, Unit::Seconds, self.durations.clone());
        registry.register_with_unit("sent", "Bodies handed to connections", Unit::Bytes, self.sent.clone());
        registry.register("cut_off", "Answers whose body was not sent to its end", self.cut_off.clone());
        registry.register("requests_in_progress", "Requests being answered", self.in_progress.clone());
        registry.register("connections", "Open connections", self.connections.clone());
    }

    fn register_standing(&mut self) {
        let StandingGauges { release, problems, blocked, alarms, free, ready, low, .. } = &self.standing;
        let StandingGauges { dropped_lines, lost, uploads, lent, .. } = &self.standing;
        let registry = &mut self.registry;
        registry.register("release", "The number of the release that is served", release.clone());
        registry.register("release_problems", "References of the release that cannot be served", problems.clone());
        let help = "References of the release that are revoked, and blocked";
        registry.register("revoked_blocked", help, blocked.clone());
        let help = "References of the release that are revoked, and pullable since a live cluster uses them";
        registry.register("revoked_in_use", help, alarms.clone());
        let help = "What can still be written to the filesystem of the store";
        registry.register_with_unit("store_free", help, Unit::Bytes, free.clone());
        let help = "1 where the current release could be read when that was last tried";
        registry.register("ready", help, ready.clone());
        registry.register("store_low", "1 where less is free than the headroom", low.clone());
        let help = "Lines of the access log that a slow disk cost";
        registry.register("access_log_dropped_lines", help, dropped_lines.clone());
        let help = "Pushed manifests that are not in the store as they were; no garbage is deleted meanwhile";
        registry.register("pushed_lost", help, lost.clone());
        registry.register("uploads_open", "Uploads that were begun and not ended", uploads.clone());
        let help = "Blobs that wait in bundles, imported in place, to be migrated";
        registry.register_with_unit("store_lent", help, Unit::Bytes, lent.clone());
    }

    /// A request was answered.
    pub(crate) fn answered(&self, labels: &RequestLabels, duration: Duration) {
        self.requests.get_or_create(labels).inc();
        self.durations.get_or_create(&RouteLabel { route: labels.route }).observe(duration.as_secs_f64());
    }

    /// `bytes` of a body were sent; all of it, or not.
    pub(crate) fn sent(&self, route: Route, bytes: u64, is_complete: bool) {
        let label = RouteLabel { route: route.name() };
        self.sent.get_or_create(&label).inc_by(bytes);
        if !is_complete {
            self.cut_off.get_or_create(&label).inc();
        }
    }

    /// The text that Prometheus reads.
    pub(crate) fn text(&self, standing: Standing) -> String {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.standing.release.set(standing.release);
        self.standing.problems.set(count(standing.problems));
        self.standing.blocked.set(count(standing.blocked));
        self.standing.alarms.set(count(standing.alarms));
        self.standing.free.set(standing.free);
        self.standing.ready.set(i64::from(standing.is_ready));
        self.standing.low.set(i64::from(standing.is_low));
        self.standing.dropped_lines.set(standing.dropped_lines);
        self.standing.lost.set(count(standing.lost));
        self.standing.uploads.set(count(standing.uploads));
        self.standing.lent.set(standing.lent);
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_as_prometheus_reads_it() {
        let metrics = Metrics::default();
        metrics.answered(&RequestLabels::new("GET", Route::Manifest, 200), Duration::from_micros(300));
        metrics.sent(Route::Manifest, 700, false);
        let standing = Standing {
            release: 7,
            problems: 1,
            blocked: 2,
            alarms: 3,
            free: 1 << 40,
            is_ready: true,
            is_low: false,
            dropped_lines: 4,
            lost: 5,
            uploads: 6,
            lent: 7,
        };
        insta::assert_snapshot!(metrics.text(standing));
    }

    #[test]
    fn no_method_of_a_client_becomes_a_label() {
        let metrics = Metrics::default();
        metrics.answered(&RequestLabels::new("BREW\n", Route::Other, 405), Duration::ZERO);
        let text = metrics.text(Standing::default());
        assert!(text.contains(r#"{method="other",route="other",status="405"} 1"#), "{text}");
    }
}
