//! What is asked of every registry.

use std::time::Duration;

use bytes::Bytes;
use http::Method;

use super::content::{Image, REPOSITORY, TAG, TAGGED, noise};
use crate::bench::load::{Job, Load, Until};
use crate::registries::upload::Form;

/// The unit in which the server's processor time is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds a request.
    Request,
    /// Seconds a gigabyte.
    Gigabyte,
}

/// What a registry must have for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The image.
    Image,
    /// A side that takes pushes.
    Push,
    /// Thousands of tags and repositories, which are pushed.
    Many,
}

/// One line of the table.
pub struct Row {
    pub name: String,
    pub load: Load,
    pub unit: Unit,
    pub needs: Needs,
    /// What DESIGN §11 allows, in the row's unit.
    pub bound: Option<f64>,
}

/// How many tags and repositories, and for how long each row is measured.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    pub tags: usize,
    pub repositories: usize,
    pub time: Duration,
    /// Bytes that one measurement of a push moves at least.
    pub push: u64,
}

/// The name of one of many repositories.
pub fn repository(number: usize) -> String {
    format!("bench.example/many/{number:05}")
}

/// All rows.
pub fn rows(image: &Image, extent: Extent) -> Vec<Row> {
    let mut rows = manifests(image, extent);
    rows.extend(blobs(image, extent));
    rows.extend(pushes(extent));
    rows.extend(many(extent));
    rows
}

fn ask(method: Method, paths: Vec<String>, connections: usize, bytes: Option<u64>, extent: Extent) -> Load {
    Load { job: Job::Ask { method, paths, bytes }, connections, until: Until::Time(extent.time) }
}

fn manifests(image: &Image, extent: Extent) -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, reference) in [("tag", TAG), ("digest", image.manifest.digest.as_str())] {
        for method in [Method::GET, Method::HEAD] {
            for connections in [1, 16, 256] {
                let path = format!("/v2/{REPOSITORY}/manifests/{reference}");
                let bytes = if method == Method::GET { image.manifest.bytes.len() } else { 0 };
                rows.push(Row {
                    name: format!("manifest {method} by {what}, c={connections}"),
                    load: ask(method.clone(), vec![path], connections, Some(bytes as u64), extent),
                    unit: Unit::Request,
                    needs: Needs::Image,
                    // One that sleeps between any two requests pays for waking up (decision 0028).
                    bound: (connections > 1).then_some(25.0),
                });
            }
        }
    }
    rows
}

fn blobs(image: &Image, extent: Extent) -> Vec<Row> {
    let path = |digest: &str| format!("/v2/{REPOSITORY}/blobs/{digest}");
    let mut rows = Vec::new();
    for layer in &image.layers {
        let size = layer.bytes.len() as u64;
        let tiny = size < 1000;
        let name =
            if tiny { format!("blob of {size} bytes, c=16") } else { format!("blob of {} MB, c=4", size / 1_000_000) };
        rows.push(Row {
            name,
            load: ask(Method::GET, vec![path(&layer.digest)], if tiny { 16 } else { 4 }, Some(size), extent),
            unit: if tiny { Unit::Request } else { Unit::Gigabyte },
            needs: Needs::Image,
            bound: Some(if tiny { 30.0 } else { 0.5 }),
        });
    }
    if let Some(layer) = image.layers.last() {
        let job = Job::OpenRange { path: path(&layer.digest), size: layer.bytes.len() as u64 };
        rows.push(Row {
            name: "open-ended ranges of 100 MB, c=4".to_owned(),
            load: Load { job, connections: 4, until: Until::Time(extent.time) },
            unit: Unit::Gigabyte,
            needs: Needs::Image,
            bound: Some(0.5),
        });
    }
    rows
}

fn pushes(extent: Extent) -> Vec<Row> {
    const MEGABYTE: usize = 1_000_000;
    const BLOB: u64 = 32;
    let piece = Bytes::from(noise(99, MEGABYTE));
    let row = |name: &str, form, connections, times: u64, count, unit, bound| Row {
        name: format!("{name}, c={connections}"),
        load: Load {
            job: Job::Push { repository: REPOSITORY.to_owned(), form, piece: piece.clone(), times },
            connections,
            until: Until::Times(count),
        },
        unit,
        needs: Needs::Push,
        bound,
    };
    let count = extent.push.div_ceil(BLOB * MEGABYTE as u64);
    vec![
        row("push of 32 MB, monolithic", Form::Monolithic, 1, BLOB, count, Unit::Gigabyte, Some(1.2)),
        row("push of 32 MB, streamed", Form::Streamed, 1, BLOB, count, Unit::Gigabyte, Some(1.2)),
        row("push of 32 MB, chunks of 8 MB", Form::Chunked(8), 1, BLOB, count, Unit::Gigabyte, Some(1.2)),
        row("push of a few bytes, monolithic", Form::Monolithic, 16, 0, 500, Unit::Request, None),
    ]
}

fn many(extent: Extent) -> Vec<Row> {
    let Extent { tags, repositories, .. } = extent;
    let row = |name: String, paths: Vec<String>, connections| Row {
        name,
        load: ask(Method::GET, paths, connections, None, extent),
        unit: Unit::Request,
        needs: Needs::Many,
        bound: None,
    };
    let manifests = (0..repositories).map(|number| format!("/v2/{}/manifests/{TAG}", repository(number))).collect();
    let of_tags = (0..tags).map(|number| format!("/v2/{TAGGED}/manifests/t{number}")).collect();
    vec![
        row(format!("all {tags} tags in one list"), vec![format!("/v2/{TAGGED}/tags/list")], 1),
        row("100 tags of them".to_owned(), vec![format!("/v2/{TAGGED}/tags/list?n=100&last=t5")], 16),
        row(format!("manifest GET by one of {tags} tags, c=16"), of_tags, 16),
        row(format!("manifest GET in one of {repositories} repositories, c=16"), manifests, 16),
        row("100 repositories of the catalog".to_owned(), vec!["/v2/_catalog?n=100".to_owned()], 1),
    ]
}
