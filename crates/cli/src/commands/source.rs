//! A bundle as a person gives it: one file, or the volumes that it was cut into, in files and folders.

use std::path::{Path, PathBuf};

use sealock_bundle::Archive;
use sealock_bundle::volumes::{
    self, Damage, INDEX_SUFFIX, Part, Progress, Verdict, VolumeError, VolumeSet, is_volume_name,
};
use sealock_trust::reason::Code;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::ui;

/// What was given.
#[derive(Debug)]
pub enum Source {
    /// One file.
    File(PathBuf),
    /// Volumes.
    Volumes(Box<VolumeSet>),
}

impl Source {
    /// Finds out what `paths` are: one that is a file and not called like a volume is a bundle.
    ///
    /// # Errors
    /// Volumes that do not belong together.
    pub fn find(paths: &[PathBuf], context: &Context) -> Result<Self> {
        if let [path] = paths {
            let is_index = path.to_string_lossy().ends_with(INDEX_SUFFIX);
            if !path.is_dir() && !is_volume_name(path) && !is_index {
                return Ok(Self::File(path.clone()));
            }
        }
        let set = VolumeSet::find(paths)?;
        for path in set.ignored() {
            context.ui.detail(format_args!("{} has nothing to do with it", path.display()));
        }
        Ok(Self::Volumes(Box::new(set)))
    }

    /// What it is called.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Volumes(set) => {
                format!("{} in {} volumes", set.index().name(), set.index().geometry().data_volumes())
            }
        }
    }

    /// The bundle, its header read.
    ///
    /// # Errors
    /// A damaged header; missing volumes.
    pub fn open(&self) -> Result<Archive> {
        match self {
            Self::File(path) => open(path),
            Self::Volumes(set) => Ok(set.archive()?),
        }
    }

    /// The volumes, if it is in volumes.
    pub fn volumes(&self) -> Option<&VolumeSet> {
        match self {
            Self::File(_) => None,
            Self::Volumes(set) => Some(set),
        }
    }
}

/// A bundle in one file, its header read; what is wrong with it is said with its path.
///
/// # Errors
/// It cannot be read; a damaged header.
pub fn open(path: &Path) -> Result<Archive> {
    Archive::open(path).map_err(|error| CommandError::from(error).context(format!("reading {}", path.display())))
}

/// Compares the volumes with their index, from the volume `first` on.
pub fn scan(set: &VolumeSet, first: usize, context: &Context) -> Damage {
    let progress = context.ui.progress();
    let damage = volumes::scan(set, first, &mut show(&progress));
    progress.end();
    damage
}

/// Shows how far a part is.
pub fn show(progress: &ui::Progress) -> impl FnMut(Progress) {
    let mut part = None;
    move |at| {
        if part != Some(at.part) {
            part = Some(at.part);
            progress.begin(words(at.part), at.total);
        }
        progress.at(at.done);
    }
}

fn words(part: Part) -> &'static str {
    match part {
        Part::Cutting => "writing",
        Part::Parity => "making parity",
        Part::Scanning => "comparing volumes with their index",
        Part::Rebuilding => "rebuilding",
        Part::Checking => "reading back and checking every digest",
    }
}

/// `1 block`, `2 blocks`.
pub fn blocks(count: u64) -> String {
    if count == 1 { "1 block".to_owned() } else { format!("{count} blocks") }
}

/// Whether a refusal for this reason may come from damage on the way.
pub fn may_be_damage(code: Code) -> bool {
    matches!(
        code,
        Code::Digest
            | Code::Size
            | Code::Format
            | Code::Ambiguous
            | Code::Undeclared
            | Code::Incomplete
            | Code::Trailing
            | Code::VolumeSet
            | Code::Sig
            | Code::Path
            | Code::Link
            | Code::Type
            | Code::Limit
    )
}

/// What there is to say of volumes that are not whole, if that is why `error` happened.
pub fn explain(error: CommandError, damage: &Damage) -> CommandError {
    let is_missing = error.code() == Some(Code::VolumeSet);
    match damage.verdict() {
        Verdict::Whole => error,
        Verdict::BeyondRepair(needs) => CommandError::from(VolumeError::BeyondRepair(needs.clone())),
        Verdict::Repairable if is_missing => {
            error.hint("Repair suffices: `sealock repair … --to FILE` rebuilds the bundle.")
        }
        Verdict::Repairable => {
            CommandError::from(VolumeError::Damaged { count: damage.lost_blocks(), repairable: true })
        }
    }
}
