//! Volumes, whatever happens to them: within parity they are rebuilt, beyond it they are named.

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;
use sealock_bundle::volumes::{Verdict, VolumeError, VolumeSet, scan};

use crate::volumes::Media;

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    /// Whatever is lost: within parity it is rebuilt, beyond it is named, and nothing else ever happens.
    #[test]
    fn what_parity_makes_up_for_is_rebuilt(
        size in 1_u64..6, percent in 10_u64..60,
        gone in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6),
    ) {
        let media = Media::new(&format!("{size}MiB"), &format!("{percent}%"));
        let count = media.sent.volumes.len();
        let gone: BTreeSet<usize> = gone.iter().map(|volume| volume.index(count)).collect();
        for (volume, at) in &flips {
            let volume = volume.index(count);
            media.flip(volume, at.index(usize::try_from(media.sent.volumes[volume].size).unwrap()) as u64);
        }
        // A volume of one block that is flipped cannot be recognised any more: then it is as good as gone.
        let unknown = |volume: &usize| matches!(
            VolumeSet::find(&[media.sent.index[0].clone(), media.volume(*volume).to_owned()]),
            Err(VolumeError::Foreign { .. })
        );
        let unknown: BTreeSet<usize> = (0..count).filter(unknown).collect();
        for volume in gone.union(&unknown) {
            fs::remove_file(media.volume(*volume)).unwrap();
        }
        let set = media.find().unwrap();
        let damage = scan(&set, 0, &mut |_| {});
        match damage.verdict() {
            Verdict::Whole => prop_assert!(gone.is_empty() && unknown.is_empty()),
            Verdict::Repairable => {}
            Verdict::BeyondRepair(needs) => {
                let shape = *set.index().geometry().parity().as_ref().unwrap();
                prop_assert!(damage.lost_blocks() > shape.parity && needs.short > 0);
                let is_beyond = matches!(media.repair("joined"), Err(VolumeError::BeyondRepair(_)));
                prop_assert!(is_beyond);
                return Ok(());
            }
        }
        media.assert_repaired("joined");
    }

    #[test]
    fn any_flipped_byte_is_found(volume in any::<prop::sample::Index>(), at in any::<prop::sample::Index>()) {
        let media = Media::new("3MiB", "25%");
        let volume = volume.index(media.sent.volumes.len());
        let at = at.index(usize::try_from(media.sent.volumes[volume].size).unwrap()) as u64;
        media.flip(volume, at);
        let damage = scan(&media.find().unwrap(), 0, &mut |_| {});
        prop_assert_eq!(damage.lost_blocks(), 1);
        prop_assert_eq!(damage.volumes()[volume].lost[0].first, at >> 20);
        if !media.sent.volumes[volume].is_parity {
            media.refusal();
        }
    }
}
