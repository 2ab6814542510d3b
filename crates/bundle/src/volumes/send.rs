//! Writes a signed bundle to media: cut into volumes with parity, or as one file.
//!
//! A volume appears under its name when it is whole and durable, so whatever cuts this off, the same call goes on with
//! the volume that was under way. The index comes last, when everything was read back and is the bundle.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sealock_store::failpoint;
use sealock_trust::Digest;

use super::code::Encoder;
use super::error::VolumeError;
use super::geometry::{BLOCK, Geometry, Share};
use super::index::{INDEX_SUFFIX, Index, MAX_INDEX, Volume, block_digest, is_plain_name, volume_name};
use super::new_file::{NewFile, room};
use super::size::{Percent, VolumeSize};
use super::tally::{self, Tally, new_block, pieces};
use super::{Meter, Part, Progress};
use crate::archive::{Archive, IoContext, Medium, open_regular, partial_path};
use crate::verify::{self, Against};

/// How a bundle is written to media.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    /// Folders, each on a medium: volumes are dealt to them in turns. There is at least one.
    pub folders: &'a [PathBuf],
    /// The size of a volume; without one the bundle is copied as one file, to each folder.
    pub size: Option<VolumeSize>,
    /// How much parity there is.
    pub parity: Percent,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The digest of the manifest.
    pub set: Digest,
    /// Everything that is there now, the copies of the index left out.
    pub volumes: Vec<SentVolume>,
    /// The copies of the index.
    pub index: Vec<PathBuf>,
}

/// One file of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentVolume {
    /// Where it is.
    pub path: PathBuf,
    /// Its size, in bytes.
    pub size: u64,
    /// Whether it is made of parity.
    pub is_parity: bool,
    /// Whether it was there before.
    pub was_there: bool,
}

/// What [`send`] would write. Reads nothing but the names in the folders.
///
/// # Errors
/// Where there would be too many volumes.
pub fn plan(archive: &Archive, sending: &Sending<'_>) -> Result<Vec<SentVolume>, VolumeError> {
    let name = name_of(archive.path())?;
    let Some(size) = sending.size else {
        let copy = |folder: &PathBuf| file(folder.join(&name), archive.length(), false);
        return Ok(sending.folders.iter().map(copy).collect());
    };
    let geometry = Geometry::plan(archive.length(), size, sending.parity).ok_or(VolumeError::TooMany)?;
    let volume = |number: usize| {
        let folder = &sending.folders[number % sending.folders.len().max(1)];
        let path = folder.join(volume_name(&name, &geometry, number));
        file(path, geometry.volume_size(number), number >= geometry.data_volumes())
    };
    Ok((0..geometry.volumes()).map(volume).collect())
}

fn file(path: PathBuf, size: u64, is_parity: bool) -> SentVolume {
    let was_there = path.exists();
    SentVolume { path, size, is_parity, was_there }
}

/// Writes the bundle `archive` to media. It must be verifiable, signatures and all, against `against`.
///
/// # Errors
/// A refusal where the bundle is not signed as it should be, or damaged; [`VolumeError::NoRoom`] before anything is
/// written; [`VolumeError::InTheWay`].
pub fn send(
    archive: Archive,
    against: &Against<'_>,
    sending: &Sending<'_>,
    told: &mut dyn FnMut(Progress),
) -> Result<Sent, VolumeError> {
    let header = verify::header(archive, against)?;
    let (archive, set) = (header.archive(), header.digest().clone());
    let volumes = plan(archive, sending)?;
    check_room(&volumes)?;
    let Some(size) = sending.size else {
        volumes.iter().try_for_each(|copy| copy_whole(archive, copy, against, told))?;
        return Ok(Sent { set, volumes, index: Vec::new() });
    };
    let geometry = Geometry::plan(archive.length(), size, sending.parity).ok_or(VolumeError::TooMany)?;
    let name = name_of(archive.path())?;
    let places = sending.folders.iter().map(|folder| folder.join(format!("{name}{INDEX_SUFFIX}"))).collect();
    let mut cut = Cut { archive, geometry, volumes: &volumes, index: places, earlier: None };
    cut.earlier = cut.earlier_index(&set)?;
    let mut described = cut.write_data(told)?;
    described.extend(cut.write_parity(told)?);
    let data = volumes[..geometry.data_volumes()].iter().map(|volume| &volume.path);
    let written = Medium::join(data.map(|path| open_regular(path)).collect::<Result<Vec<_>, _>>()?)?;
    check(Archive::read(written)?, against, told)?;
    let index = Index::new(set.clone(), &name, geometry, described);
    cut.write_index(&index)?;
    Ok(Sent { set, index: cut.index, volumes })
}

fn name_of(path: &Path) -> Result<String, VolumeError> {
    let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_plain_name(name));
    name.map(str::to_owned).ok_or_else(|| VolumeError::Name { path: path.to_owned() })
}

/// Each medium has room for what is to be written to it, or nothing is written at all.
fn check_room(volumes: &[SentVolume]) -> Result<(), VolumeError> {
    let mut needed = BTreeMap::<u64, (PathBuf, u64, u64)>::new();
    for volume in volumes.iter().filter(|volume| !volume.was_there) {
        let folder = volume.path.parent().unwrap_or(Path::new("."));
        let (free, device) = room(folder)?;
        let begun = std::fs::metadata(partial_path(&volume.path)).map_or(0, |begun| begun.len());
        let medium = needed.entry(device).or_insert_with(|| (folder.to_owned(), free, 0));
        medium.1 = medium.1.saturating_add(begun);
        medium.2 += volume.size;
    }
    match needed.into_values().find(|(_, free, needed)| needed > free) {
        Some((path, free, needed)) => Err(VolumeError::NoRoom { path, needed, free }),
        None => Ok(()),
    }
}

/// Reads what was written, and believes it only if it is the bundle.
fn check(written: Archive, against: &Against<'_>, told: &mut dyn FnMut(Progress)) -> Result<(), VolumeError> {
    let header = verify::header(written, against)?;
    let mut meter = Meter::new(told, Part::Checking, header.payload_size());
    header.check_payload(&mut |done| meter.at(done))?;
    Ok(())
}

fn copy_whole(
    archive: &Archive,
    copy: &SentVolume,
    against: &Against<'_>,
    told: &mut dyn FnMut(Progress),
) -> Result<(), VolumeError> {
    let medium = archive.medium();
    let mut meter = Meter::new(told, Part::Cutting, copy.size);
    if copy.was_there {
        let same = compare(medium, 0, copy, &mut meter)?;
        same.ok_or_else(|| VolumeError::InTheWay { path: copy.path.clone() })?;
        return check(Archive::open(&copy.path)?, against, told);
    }
    let (file, _) = write(medium, 0, copy, &mut meter)?;
    file.sync()?;
    let checked = Archive::open(file.partial()).map_err(VolumeError::from);
    match checked.and_then(|written| check(written, against, told)) {
        Err(error) if error.is_refusal() => {
            file.discard();
            Err(error)
        }
        result => result.and_then(|()| file.publish().map(drop)),
    }
}

/// The bytes of `volume`, which begin at `start` of the bundle, are written to a new file.
fn write(
    medium: &Medium,
    start: u64,
    volume: &SentVolume,
    meter: &mut Meter<'_>,
) -> Result<(NewFile, Volume), VolumeError> {
    let file = NewFile::create(&volume.path, volume.size)?;
    let (mut tally, mut buffer) = (Tally::new(), new_block());
    for (position, length) in pieces(volume.size) {
        let block = &mut buffer[..length];
        medium.read(block, start + position)?;
        file.write(block, position)?;
        tally.push(block);
        meter.at(start + position + length as u64);
    }
    Ok((file, tally.finish()))
}

/// The digests of `volume`, if it holds the bytes of the bundle from `start`.
fn compare(
    medium: &Medium,
    start: u64,
    volume: &SentVolume,
    meter: &mut Meter<'_>,
) -> Result<Option<Volume>, VolumeError> {
    let there = Medium::open(&volume.path)?;
    if there.length() != volume.size {
        return Ok(None);
    }
    let (mut tally, mut wanted, mut found) = (Tally::new(), new_block(), new_block());
    for (position, length) in pieces(volume.size) {
        let (wanted, found) = (&mut wanted[..length], &mut found[..length]);
        medium.read(wanted, start + position)?;
        there.read(found, position)?;
        if wanted != found {
            return Ok(None);
        }
        tally.push(wanted);
        meter.at(start + position + length as u64);
    }
    Ok(Some(tally.finish()))
}

/// One bundle on its way into volumes.
struct Cut<'a> {
    archive: &'a Archive,
    geometry: Geometry,
    volumes: &'a [SentVolume],
    index: Vec<PathBuf>,
    /// The index that an earlier run has left: then the files of these names are ours.
    earlier: Option<Index>,
}

impl Cut<'_> {
    fn earlier_index(&self, set: &Digest) -> Result<Option<Index>, VolumeError> {
        let mut earlier = None;
        for path in self.index.iter().filter(|path| path.exists()) {
            let bytes = read_bounded(path)?;
            let index = Index::from_bytes(&bytes).ok();
            let is_ours = |index: &Index| index.set() == set && *index.geometry() == self.geometry;
            let ours = index.filter(is_ours).ok_or_else(|| VolumeError::InTheWay { path: path.clone() })?;
            earlier = Some(ours);
        }
        Ok(earlier)
    }

    fn write_data(&self, told: &mut dyn FnMut(Progress)) -> Result<Vec<Volume>, VolumeError> {
        let medium = self.archive.medium();
        let mut meter = Meter::new(told, Part::Cutting, self.geometry.size());
        let mut described = Vec::new();
        for (number, volume) in self.volumes[..self.geometry.data_volumes()].iter().enumerate() {
            let start = number as u64 * self.geometry.cut();
            let there = if volume.was_there { compare(medium, start, volume, &mut meter)? } else { None };
            let digests = match there {
                Some(digests) => digests,
                None => {
                    self.may_write(volume)?;
                    let (file, digests) = write(medium, start, volume, &mut meter)?;
                    file.publish()?;
                    digests
                }
            };
            described.push(digests);
        }
        Ok(described)
    }

    /// Nothing of somebody else's is replaced.
    fn may_write(&self, volume: &SentVolume) -> Result<(), VolumeError> {
        match volume.was_there && self.earlier.is_none() {
            true => Err(VolumeError::InTheWay { path: volume.path.clone() }),
            false => Ok(()),
        }
    }

    fn write_parity(&self, told: &mut dyn FnMut(Progress)) -> Result<Vec<Volume>, VolumeError> {
        let Some(shape) = self.geometry.parity() else { return Ok(Vec::new()) };
        let mut meter = Meter::new(told, Part::Parity, self.geometry.blocks() * BLOCK);
        let mut encoder = Encoder::new(shape)?;
        let mut described = Vec::new();
        for (stripes, volumes) in self.geometry.parity_groups() {
            let first = volumes.start;
            let mut columns = volumes.map(|number| self.column(number)).collect::<Result<Vec<_>, _>>()?;
            if columns.iter().all(|column| matches!(column, Column::Right(_))) {
                meter.advance((stripes.end - stripes.start) * shape.data * BLOCK);
            } else {
                for stripe in stripes {
                    self.encode(stripe, &mut encoder, &mut columns, first)?;
                    meter.advance(shape.data * BLOCK);
                }
            }
            described.extend(columns.into_iter().map(Column::finish).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(described)
    }

    /// What is to be done for one parity volume.
    fn column(&self, number: usize) -> Result<Column, VolumeError> {
        let volume = &self.volumes[number];
        if !volume.was_there {
            return Ok(Column::New(NewFile::create(&volume.path, volume.size)?, Tally::new()));
        }
        let (file, path) = open_regular(&volume.path)?;
        let is_whole = file.metadata().during("look at", &path)?.len() == volume.size;
        match self.earlier.as_ref() {
            None if is_whole => Ok(Column::Compared(Medium::join([(file, path)])?, Tally::new())),
            None => Err(VolumeError::InTheWay { path }),
            Some(earlier) => {
                let found = if is_whole { Some(tally::of_file(&file, &path, volume.size)?) } else { None };
                match found.filter(|found| *found == earlier.volumes()[number]) {
                    Some(found) if self.is_current(earlier)? => Ok(Column::Right(found)),
                    _ => Ok(Column::New(NewFile::create(&path, volume.size)?, Tally::new())),
                }
            }
        }
    }

    /// Whether `earlier` is about this very header: signing changes it, and with it the parity.
    fn is_current(&self, earlier: &Index) -> Result<bool, VolumeError> {
        let (mut block, mut position) = (new_block(), 0);
        let described = earlier.volumes().iter().flat_map(|volume| &volume.blocks);
        for expected in described.take(usize::try_from(self.archive.header_size() / BLOCK).unwrap_or(usize::MAX)) {
            self.archive.medium().read(&mut block, position)?;
            if block_digest(&block) != *expected {
                return Ok(false);
            }
            position += BLOCK;
        }
        Ok(true)
    }

    fn encode(
        &self,
        stripe: u64,
        encoder: &mut Encoder,
        columns: &mut [Column],
        first: usize,
    ) -> Result<(), VolumeError> {
        let Some(shape) = self.geometry.parity() else { return Ok(()) };
        let mut block = new_block();
        for shard in 0..shape.data {
            let Some(place) = self.geometry.place(Share { stripe, shard }) else { break };
            let length = self.geometry.block_size(place);
            let (content, rest) = block.split_at_mut(length);
            self.archive.medium().read(content, place.volume as u64 * self.geometry.cut() + place.block * BLOCK)?;
            rest.fill(0);
            encoder.add(&block)?;
        }
        encoder.finish(|row, parity| {
            let Some(place) = self.geometry.place(Share { stripe, shard: shape.data + row }) else { return Ok(()) };
            match columns.get_mut(place.volume - first) {
                Some(column) => column.take(parity, place.block * BLOCK, &self.volumes[place.volume].path),
                None => Ok(()),
            }
        })
    }

    fn write_index(&self, index: &Index) -> Result<(), VolumeError> {
        let bytes = index.to_bytes().map_err(|source| VolumeError::Index { path: self.index[0].clone(), source })?;
        for path in &self.index {
            if path.exists() && read_bounded(path)? == bytes {
                continue;
            }
            failpoint::hit("index").during("write", path)?;
            let file = NewFile::create(path, bytes.len() as u64)?;
            file.write(&bytes, 0)?;
            file.publish()?;
        }
        Ok(())
    }
}

/// What is done for one parity volume.
enum Column {
    /// It is there and right.
    Right(Volume),
    /// It is there; whether it is right shows when its content is known.
    Compared(Medium, Tally),
    /// It is written.
    New(NewFile, Tally),
}

impl Column {
    fn take(&mut self, block: &[u8], position: u64, path: &Path) -> Result<(), VolumeError> {
        match self {
            Self::Right(_) => Ok(()),
            Self::New(file, tally) => {
                tally.push(block);
                file.write(block, position)
            }
            Self::Compared(there, tally) => {
                let mut found = new_block();
                there.read(&mut found, position)?;
                tally.push(block);
                if found == block { Ok(()) } else { Err(VolumeError::InTheWay { path: path.to_owned() }) }
            }
        }
    }

    fn finish(self) -> Result<Volume, VolumeError> {
        match self {
            Self::Right(volume) => Ok(volume),
            Self::Compared(_, tally) => Ok(tally.finish()),
            Self::New(file, tally) => {
                file.publish()?;
                Ok(tally.finish())
            }
        }
    }
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, VolumeError> {
    let medium = Medium::open(path)?;
    if medium.length() > MAX_INDEX {
        return Err(VolumeError::InTheWay { path: path.to_owned() });
    }
    let mut bytes = vec![0; usize::try_from(medium.length()).unwrap_or(0)];
    medium.read(&mut bytes, 0)?;
    Ok(bytes)
}
