//! Rebuilds what is lost: into one bundle file, into new volumes, or into the volumes themselves.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sealock_store::failpoint;

use super::code::{Decoder, Encoder};
use super::error::VolumeError;
use super::geometry::{BLOCK, Geometry, Place, Share};
use super::new_file::{NewFile, room};
use super::scan::{Damage, Verdict, scan};
use super::set::VolumeSet;
use super::tally::{self, new_block};
use super::{Meter, Part, Progress};
use crate::archive::{Archive, IoContext, Medium, open_regular};
use crate::verify;

/// Where the result goes.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// One new file: the bundle.
    File(&'a Path),
    /// New volumes in this folder, in the place of those that are damaged or missing.
    Folder(&'a Path),
    /// The damaged volumes themselves; missing ones beside the index.
    InPlace,
}

/// What was repaired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// The files that were written.
    pub files: Vec<PathBuf>,
    /// Blocks that were rebuilt.
    pub rebuilt: u64,
}

/// Rebuilds what is lost of `set`, and checks that every digest of the bundle holds.
///
/// Says that the bundle is whole, not that it is genuine: that is for [`crate::verify`].
///
/// # Errors
/// [`VolumeError::BeyondRepair`] with what is needed; [`VolumeError::NotRestored`], [`VolumeError::OtherBundle`] or the
/// bundle's own refusal where the index lied: then nothing new is left behind.
pub fn repair(set: &VolumeSet, target: Target<'_>, told: &mut dyn FnMut(Progress)) -> Result<Repaired, VolumeError> {
    let damage = scan(set, 0, told);
    if let Verdict::BeyondRepair(needs) = damage.verdict() {
        return Err(VolumeError::BeyondRepair(needs.clone()));
    }
    let mut work = Work { set, damage: &damage, outputs: Outputs::create(set, &damage, target)?, rebuilt: 0 };
    match work.run(told) {
        Ok(()) => Ok(Repaired { rebuilt: work.rebuilt, files: work.outputs.publish()? }),
        Err(error) => {
            if error.is_refusal() {
                work.outputs.discard();
            }
            Err(error)
        }
    }
}

struct Work<'a> {
    set: &'a VolumeSet,
    damage: &'a Damage,
    outputs: Outputs,
    rebuilt: u64,
}

impl Work<'_> {
    fn run(&mut self, told: &mut dyn FnMut(Progress)) -> Result<(), VolumeError> {
        let geometry = self.geometry();
        let mut meter = Meter::new(told, Part::Rebuilding, geometry.size());
        self.copy(&mut meter)?;
        self.restore_data(&mut meter)?;
        self.restore_parity(&mut meter)?;
        self.outputs.sync()?;
        self.check(told)
    }

    fn geometry(&self) -> Geometry {
        *self.set.index().geometry()
    }

    /// What is left goes over as it is.
    fn copy(&self, meter: &mut Meter<'_>) -> Result<(), VolumeError> {
        let (geometry, mut buffer) = (self.geometry(), new_block());
        for volume in (0..geometry.volumes()).filter(|volume| self.outputs.takes_copies(*volume, &geometry)) {
            for block in 0..geometry.volume_blocks(volume) {
                let place = Place { volume, block };
                let content = &mut buffer[..geometry.block_size(place)];
                if !self.damage.is_lost(place) {
                    self.read(place, content)?;
                    self.outputs.write(place, content, &geometry)?;
                    meter.advance(content.len() as u64);
                }
            }
        }
        Ok(())
    }

    fn restore_data(&mut self, meter: &mut Meter<'_>) -> Result<(), VolumeError> {
        let geometry = self.geometry();
        let Some(shape) = geometry.parity() else { return Ok(()) };
        let is_data = |share: &Share| share.shard < shape.data;
        let is_hurt =
            |stripe: &u64| geometry.stripe(*stripe).any(|(share, place)| is_data(&share) && self.damage.is_lost(place));
        let hurt: Vec<u64> = (0..shape.stripes).filter(is_hurt).collect();
        let Some(mut decoder) = (!hurt.is_empty()).then(|| Decoder::new(shape)).transpose()? else { return Ok(()) };
        for stripe in hurt {
            let mut buffer = new_block();
            let mut there = 0;
            for shard in 0..shape.data + shape.parity {
                // A block that is only counted as zeros is always there.
                let place = geometry.place(Share { stripe, shard });
                if there == shape.data || place.is_some_and(|place| self.damage.is_lost(place)) {
                    continue;
                }
                let content = place.map_or(0, |place| geometry.block_size(place));
                if let Some(place) = place {
                    self.read(place, &mut buffer[..content])?;
                }
                buffer[content..].fill(0);
                decoder.add(shard, &buffer)?;
                there += 1;
            }
            let mut restored = 0;
            decoder.finish(|shard, block| {
                let Some(place) = geometry.place(Share { stripe, shard }) else { return Ok(()) };
                restored += 1;
                meter.advance(geometry.block_size(place) as u64);
                self.put(place, &block[..geometry.block_size(place)])
            })?;
            self.rebuilt += restored;
        }
        Ok(())
    }

    /// Lost parity is made anew where parity volumes are written at all. All data is there by now.
    fn restore_parity(&mut self, meter: &mut Meter<'_>) -> Result<(), VolumeError> {
        let geometry = self.geometry();
        let Some(shape) = geometry.parity().filter(|_| self.outputs.keeps_parity()) else { return Ok(()) };
        let is_lost = |share: &Share, place: Place| share.shard >= shape.data && self.damage.is_lost(place);
        let is_hurt = |stripe: &u64| geometry.stripe(*stripe).any(|(share, place)| is_lost(&share, place));
        let hurt: Vec<u64> = (0..shape.stripes).filter(is_hurt).collect();
        let Some(mut encoder) = (!hurt.is_empty()).then(|| Encoder::new(shape)).transpose()? else { return Ok(()) };
        for stripe in hurt {
            let mut buffer = new_block();
            for shard in 0..shape.data {
                let Some(place) = geometry.place(Share { stripe, shard }) else { break };
                let content = geometry.block_size(place);
                match self.damage.is_lost(place) {
                    true => self.outputs.read(place, &mut buffer[..content], &geometry)?,
                    false => self.read(place, &mut buffer[..content])?,
                }
                buffer[content..].fill(0);
                encoder.add(&buffer)?;
            }
            let mut restored = 0;
            encoder.finish(|row, block| {
                let share = Share { stripe, shard: shape.data + row };
                match geometry.place(share).filter(|place| self.damage.is_lost(*place)) {
                    Some(place) => {
                        restored += 1;
                        self.put(place, block)
                    }
                    None => Ok(()),
                }
            })?;
            self.rebuilt += restored;
            meter.advance(0);
        }
        Ok(())
    }

    fn put(&self, place: Place, block: &[u8]) -> Result<(), VolumeError> {
        if !self.set.index().is_block(place, block) {
            let name = self.set.index().volume_name(place.volume);
            return Err(VolumeError::NotRestored { name, block: place.block });
        }
        self.outputs.write(place, block, &self.geometry())
    }

    /// A block that was found good. Judged again, since a medium may say something else the second time.
    fn read(&self, place: Place, buffer: &mut [u8]) -> Result<(), VolumeError> {
        let index = self.set.index();
        let Some(found) = self.set.found(place.volume) else {
            return Err(VolumeError::Missing { names: vec![index.volume_name(place.volume)] });
        };
        found.file.read_exact_at(buffer, place.block * BLOCK).during("read", &found.path)?;
        match index.is_block(place, buffer) {
            true => Ok(()),
            false => Err(VolumeError::Damaged { count: 1, repairable: true }),
        }
    }

    /// The index is only a hint: what counts is what the bundle says of itself.
    fn check(&self, told: &mut dyn FnMut(Progress)) -> Result<(), VolumeError> {
        let files = match &self.outputs {
            Outputs::Bundle(file) => vec![open_regular(file.partial())?],
            Outputs::Volumes { .. } => {
                let data = 0..self.geometry().data_volumes();
                data.map(|volume| self.current(volume)).collect::<Result<_, _>>()?
            }
        };
        let archive = Archive::read(Medium::join(files)?)?;
        if archive.manifest_digest() != *self.set.index().set() {
            return Err(VolumeError::OtherBundle);
        }
        let mut meter = Meter::new(told, Part::Checking, archive.length() - archive.header_size());
        Ok(verify::integrity(&archive, &mut |done| meter.at(done))?)
    }

    /// The file that holds a data volume now.
    fn current(&self, volume: usize) -> Result<(File, PathBuf), VolumeError> {
        if let Some(path) = self.outputs.path(volume) {
            return Ok(open_regular(path)?);
        }
        match self.set.found(volume) {
            Some(found) => Ok(open_regular(&found.path)?),
            None => Err(VolumeError::Missing { names: vec![self.set.index().volume_name(volume)] }),
        }
    }
}

/// The files that are written.
enum Outputs {
    Bundle(NewFile),
    Volumes(Vec<Option<Output>>),
}

/// The file that one volume is written to.
enum Output {
    New(NewFile),
    InPlace(File, PathBuf),
    /// An earlier repair has written it.
    Done(PathBuf),
}

impl Outputs {
    fn create(set: &VolumeSet, damage: &Damage, target: Target<'_>) -> Result<Self, VolumeError> {
        let geometry = set.index().geometry();
        let folder = match target {
            Target::File(path) => {
                check_room(
                    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")),
                    geometry.size(),
                )?;
                return match path.exists() {
                    true => Err(VolumeError::InTheWay { path: path.to_owned() }),
                    false => Ok(Self::Bundle(NewFile::create(path, geometry.size())?)),
                };
            }
            Target::Folder(folder) => folder,
            Target::InPlace => set.folder(),
        };
        let is_patched = |volume: usize| matches!(target, Target::InPlace) && set.found(volume).is_some();
        let damaged = || (0..geometry.volumes()).filter(|volume| damage.is_damaged(*volume));
        let is_new = |volume: &usize| !is_patched(*volume) && !folder.join(set.index().volume_name(*volume)).exists();
        check_room(folder, damaged().filter(is_new).map(|volume| geometry.volume_size(volume)).sum())?;
        let mut outputs: Vec<Option<Output>> = (0..geometry.volumes()).map(|_| None).collect();
        for volume in damaged() {
            outputs[volume] = Some(match is_patched(volume) {
                true => Output::patch(set, volume)?,
                false => Output::new(set, volume, folder)?,
            });
        }
        Ok(Self::Volumes(outputs))
    }

    fn takes_copies(&self, volume: usize, geometry: &Geometry) -> bool {
        match self {
            Self::Bundle(_) => volume < geometry.data_volumes(),
            Self::Volumes(outputs) => matches!(outputs.get(volume), Some(Some(Output::New(_)))),
        }
    }

    fn keeps_parity(&self) -> bool {
        matches!(self, Self::Volumes(_))
    }

    fn output(&self, volume: usize) -> Option<&Output> {
        match self {
            Self::Bundle(_) => None,
            Self::Volumes(outputs) => outputs.get(volume)?.as_ref(),
        }
    }

    fn path(&self, volume: usize) -> Option<&Path> {
        Some(match self.output(volume)? {
            Output::New(file) => file.partial(),
            Output::InPlace(_, path) | Output::Done(path) => path,
        })
    }

    fn write(&self, place: Place, bytes: &[u8], geometry: &Geometry) -> Result<(), VolumeError> {
        let position = place.block * BLOCK;
        match self {
            Self::Bundle(_) if place.volume >= geometry.data_volumes() => Ok(()),
            Self::Bundle(file) => file.write(bytes, place.volume as u64 * geometry.cut() + position),
            Self::Volumes(_) => match self.output(place.volume) {
                Some(Output::New(file)) => file.write(bytes, position),
                Some(Output::InPlace(file, path)) => {
                    let written = failpoint::hit("patch").and_then(|()| file.write_all_at(bytes, position));
                    Ok(written.during("write", path)?)
                }
                Some(Output::Done(_)) | None => Ok(()),
            },
        }
    }

    /// A block that was rebuilt before.
    fn read(&self, place: Place, buffer: &mut [u8], geometry: &Geometry) -> Result<(), VolumeError> {
        let position = place.block * BLOCK;
        match (self, self.output(place.volume)) {
            (Self::Bundle(file), _) => file.read(buffer, place.volume as u64 * geometry.cut() + position),
            (_, Some(Output::New(file))) => file.read(buffer, position),
            (_, Some(Output::InPlace(file, path))) => Ok(file.read_exact_at(buffer, position).during("read", path)?),
            (_, Some(Output::Done(path))) => Ok(Medium::open(path)?.read(buffer, position)?),
            (_, None) => Err(VolumeError::Damaged { count: 1, repairable: true }),
        }
    }

    fn sync(&self) -> Result<(), VolumeError> {
        match self {
            Self::Bundle(file) => file.sync(),
            Self::Volumes(outputs) => outputs.iter().flatten().try_for_each(|output| match output {
                Output::New(file) => file.sync(),
                Output::InPlace(file, path) => {
                    Ok(failpoint::hit("sync").and_then(|()| file.sync_all()).during("sync", path)?)
                }
                Output::Done(_) => Ok(()),
            }),
        }
    }

    fn publish(self) -> Result<Vec<PathBuf>, VolumeError> {
        match self {
            Self::Bundle(file) => Ok(vec![file.publish()?]),
            Self::Volumes(outputs) => {
                let publish = |output: Output| match output {
                    Output::New(file) => file.publish(),
                    Output::InPlace(_, path) | Output::Done(path) => Ok(path),
                };
                outputs.into_iter().flatten().map(publish).collect()
            }
        }
    }

    fn discard(self) {
        let outputs = match self {
            Self::Bundle(file) => return file.discard(),
            Self::Volumes(outputs) => outputs,
        };
        for output in outputs.into_iter().flatten() {
            if let Output::New(file) = output {
                file.discard();
            }
        }
    }
}

impl Output {
    fn new(set: &VolumeSet, volume: usize, folder: &Path) -> Result<Self, VolumeError> {
        let (path, size) = (folder.join(set.index().volume_name(volume)), set.index().geometry().volume_size(volume));
        if !path.exists() {
            return Ok(Self::New(NewFile::create(&path, size)?));
        }
        let (file, path) = open_regular(&path)?;
        let is_whole = file.metadata().during("look at", &path)?.len() == size;
        match is_whole && tally::of_file(&file, &path, size)? == set.index().volumes()[volume] {
            true => Ok(Self::Done(path)),
            false => Err(VolumeError::InTheWay { path }),
        }
    }

    fn patch(set: &VolumeSet, volume: usize) -> Result<Self, VolumeError> {
        let Some(found) = set.found(volume) else {
            return Err(VolumeError::Missing { names: vec![set.index().volume_name(volume)] });
        };
        let path = found.path.clone();
        let file = OpenOptions::new().read(true).write(true).open(&path).during("open", &path)?;
        file.set_len(set.index().geometry().volume_size(volume)).during("resize", &path)?;
        Ok(Self::InPlace(file, path))
    }
}

fn check_room(folder: &Path, needed: u64) -> Result<(), VolumeError> {
    let (free, _) = room(folder)?;
    match needed > free {
        true => Err(VolumeError::NoRoom { path: folder.to_owned(), needed, free }),
        false => Ok(()),
    }
}
