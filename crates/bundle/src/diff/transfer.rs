//! What has to travel.

use super::model::{Amount, Layer, Transfer};
use super::side::Side;
use crate::lock::BlobRole;
use crate::plain::Plain;

/// New layers that are named one by one.
const MAX_LAYERS: usize = 100;

/// Compares the blobs of both sides.
pub(super) fn of(old: &Side, new: &Side, notes: &mut Vec<Plain>) -> Transfer {
    let mut transfer = Transfer::default();
    let mut layers = Vec::new();
    for (digest, facts) in &new.blobs {
        if old.blobs.contains_key(digest) {
            transfer.shared.add(facts.size);
            continue;
        }
        transfer.new.add(facts.size);
        if facts.role == BlobRole::Layer {
            transfer.new_layers.add(facts.size);
            layers.push((facts.size, digest, &facts.media_type));
        }
    }
    for (_, facts) in old.blobs.iter().filter(|(digest, _)| !new.blobs.contains_key(digest)) {
        transfer.gone.add(facts.size);
        if facts.role == BlobRole::Layer {
            transfer.gone_layers.add(facts.size);
        }
    }
    layers.sort_by(|a, b| (b.0, a.1).cmp(&(a.0, b.1)));
    if layers.len() > MAX_LAYERS {
        notes.push(Plain::of(format_args!("of {} new layers the {MAX_LAYERS} heaviest are named", layers.len())));
    }
    let layer = |(bytes, digest, media_type): &(u64, &sealock_trust::Digest, &String)| Layer {
        digest: Plain::of(digest),
        bytes: *bytes,
        media_type: Plain::of(media_type),
    };
    transfer.heaviest = layers.iter().take(MAX_LAYERS).map(layer).collect();
    transfer
}

impl Side {
    /// Says in the summary what the blobs weigh, where they had to be found by reading.
    pub(super) fn weigh(&mut self) {
        if !self.lists_blobs {
            let mut amount = Amount::default();
            self.blobs.values().for_each(|facts| amount.add(facts.size));
            self.summary.content = amount;
        }
    }
}
