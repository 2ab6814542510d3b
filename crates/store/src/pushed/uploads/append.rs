//! Writes to an upload: hashed as it is written, and acknowledged only once it is durable.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use sealock_trust::{Digest, Hasher};

use super::direct::{self, Direct, Lanes};
use super::session::Session;
use super::state::State;
use super::{Bounds, UploadId, vectored};
use crate::error::{IoContext, StoreError};
use crate::failpoint;
use crate::pushed::error::PushError;
use crate::pushed::hash::Hash;
use crate::pushed::moment::Moment;

/// What is reserved at once for an upload of unknown length; in bytes.
const STEP: u64 = 16 << 20;

/// After so many bytes the upload is made durable, so that not all is lost with a long request; in bytes.
const ACKNOWLEDGE_EVERY: u64 = 256 << 20;

const READ_AT_ONCE: usize = 256 * 1024;

/// What is at least this long goes to the disk past the page cache; in bytes. Small blobs are likely to be pulled soon.
const LARGE: u64 = 4 << 20;

/// The right to write to one upload. What was not acknowledged when it is dropped is written anew.
#[derive(Debug)]
pub struct Append {
    id: UploadId,
    session: Arc<Session>,
    bounds: Bounds,
    file: File,
    hash: Hash,
    /// What was acknowledged.
    state: State,
    /// Acknowledged or not.
    offset: u64,
    /// Where this request began to write.
    begun: u64,
    /// What goes past the page cache, and is not written yet.
    direct: Option<Direct>,
    lanes: Lanes,
    /// Whether so much is to come that it is large.
    is_large: bool,
    /// Bytes that count in the hash may not be in the file: nothing is acknowledged any more.
    is_broken: bool,
    /// Up to here the disk has room for sure.
    reserved: u64,
    /// Whether room was asked for.
    has_asked: bool,
    /// Whether the upload is over, so that nobody may write to it any more.
    is_over: bool,
}

impl Append {
    pub(super) fn begin(id: UploadId, session: Arc<Session>, bounds: Bounds, lanes: Lanes) -> Result<Self, PushError> {
        if !session.take() {
            return Err(PushError::Busy);
        }
        match Self::open(&session) {
            Ok((file, hash, state)) => {
                let offset = state.offset;
                Ok(Self {
                    id,
                    session,
                    bounds,
                    file,
                    hash,
                    state,
                    offset,
                    begun: offset,
                    direct: None,
                    lanes,
                    is_large: false,
                    is_broken: false,
                    reserved: offset,
                    has_asked: false,
                    is_over: false,
                })
            }
            Err(error) => {
                session.give_back();
                Err(error.into())
            }
        }
    }

    /// At the end of what was acknowledged; whatever is behind it is cut off.
    fn open(session: &Session) -> Result<(File, Hash, State), StoreError> {
        let (state, path) = (session.state(), session.data());
        let file = session.open_data()?;
        if file.metadata().during("look at", &path)?.len() != state.offset {
            failpoint::hit("cut upload").and_then(|()| file.set_len(state.offset)).during("write", &path)?;
        }
        let hash = state.hash().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData)).during("read", &path)?;
        Ok((file, hash, state))
    }

    /// Which upload this is.
    pub fn id(&self) -> &UploadId {
        &self.id
    }

    /// The bytes that are there, acknowledged or not.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reserves room for `length` bytes that are about to come, so that a full disk shows before the first of them.
    ///
    /// # Errors
    /// [`PushError::TooLong`]; [`StoreError::DiskFull`].
    pub fn expect(&mut self, length: u64) -> Result<(), PushError> {
        let end = self.offset.saturating_add(length);
        if end > self.bounds.blob {
            return Err(PushError::TooLong { limit: self.bounds.blob });
        }
        self.is_large = length >= LARGE;
        Ok(self.reserve(end)?)
    }

    /// Writes `bytes`, which come next.
    ///
    /// # Errors
    /// As [`Self::write_pieces`].
    pub fn write(&mut self, bytes: &[u8], now: Moment) -> Result<(), PushError> {
        self.write_pieces(&[bytes], now)
    }

    /// Writes `pieces`, which come next, as if they were one.
    ///
    /// # Errors
    /// [`PushError::TooLong`]; [`StoreError::DiskFull`], [`StoreError::Io`]: then only what was acknowledged is there.
    pub fn write_pieces(&mut self, pieces: &[impl AsRef<[u8]>], now: Moment) -> Result<(), PushError> {
        let length: usize = pieces.iter().map(|piece| piece.as_ref().len()).sum();
        let end = self.offset.saturating_add(length as u64);
        if end > self.bounds.blob {
            return Err(PushError::TooLong { limit: self.bounds.blob });
        }
        if end > self.reserved {
            // Where so much does not fit, it may be that no more comes.
            self.reserve((end + STEP).min(self.bounds.blob)).or_else(|_| self.reserve(end))?;
        }
        self.check_whole()?;
        let written = failpoint::hit("write upload").and_then(|()| self.put(pieces));
        self.is_broken |= written.is_err();
        written.during("write", &self.session.data())?;
        self.offset = end;
        if self.offset - self.state.offset >= ACKNOWLEDGE_EVERY {
            self.acknowledge(now)?;
        }
        Ok(())
    }

    /// Hashes `pieces`, and writes them. What is large goes past the page cache, from the first whole block on.
    fn put(&mut self, pieces: &[impl AsRef<[u8]>]) -> io::Result<()> {
        let is_large = self.is_large || self.offset - self.begun >= LARGE;
        if !is_large {
            pieces.iter().for_each(|piece| self.hash.update(piece.as_ref()));
            return vectored::write_all_at(&self.file, pieces, self.offset);
        }
        let mut offset = self.offset;
        for piece in pieces.iter().map(AsRef::as_ref) {
            self.put_large(piece, offset)?;
            // While it is in the processor's own cache.
            self.hash.update(piece);
            offset += piece.len() as u64;
        }
        Ok(())
    }

    fn put_large(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (mut bytes, mut offset) = (bytes, offset);
        if self.direct.is_none() {
            let (head, rest) = bytes.split_at(direct::up_to_a_block(offset).min(bytes.len()));
            self.file.write_all_at(head, offset)?;
            (bytes, offset) = (rest, offset + head.len() as u64);
            self.direct = Direct::begin(&self.session.data(), offset, &self.lanes);
        }
        match &mut self.direct {
            Some(direct) => direct.push(bytes, &self.file),
            None => self.file.write_all_at(bytes, offset),
        }
    }

    /// The file has every byte from here on.
    fn flush(&mut self) -> Result<(), StoreError> {
        self.check_whole()?;
        let Some(direct) = self.direct.take() else { return Ok(()) };
        let written = failpoint::hit("write upload").and_then(|()| direct.end(&self.file));
        self.is_broken |= written.is_err();
        written.during("write", &self.session.data())
    }

    fn check_whole(&self) -> Result<(), StoreError> {
        let lost = || io::Error::other("an earlier write of this request failed");
        if self.is_broken { Err(lost()).during("write", &self.session.data()) } else { Ok(()) }
    }

    /// Makes durable what was written. From here on it is there, also after a restart.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::Io`]; where the bytes could not be made durable the upload is over.
    pub fn acknowledge(&mut self, now: Moment) -> Result<u64, PushError> {
        if self.offset > self.state.offset {
            self.flush()?;
            let synced = failpoint::hit("sync upload").and_then(|()| self.file.sync_data());
            // After a failed sync the page cache may look whole while the disk is not.
            self.is_over |= synced.is_err();
            synced.during("sync", &self.session.data())?;
            let state = self.state.after(&self.hash, self.offset, now.wall);
            self.session.acknowledge(state.clone(), now.ticks)?;
            self.state = state;
        }
        Ok(self.offset)
    }

    /// Compares what came with `digest`. Bytes that were hashed under another algorithm are read again.
    ///
    /// # Errors
    /// [`StoreError::WrongDigest`]: then the upload is over.
    pub(crate) fn check(&mut self, digest: &Digest) -> Result<(), PushError> {
        self.flush()?;
        let actual = match self.hash.algorithm() == digest.algorithm() {
            true => self.hash.clone().finish(),
            false => self.hash_again(digest).during("read", &self.session.data())?,
        };
        if actual != *digest {
            self.is_over = true;
            return Err(StoreError::WrongDigest { expected: digest.clone(), actual }.into());
        }
        Ok(())
    }

    /// The upload ends here, whatever comes of it.
    pub(crate) fn end(&mut self) {
        self.is_over = true;
    }

    /// Whether there is nothing more to write to.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.session.data()
    }

    fn hash_again(&mut self, digest: &Digest) -> io::Result<Digest> {
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer = vec![0; READ_AT_ONCE];
        self.file.rewind()?;
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(length) => hasher.update(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Leaves the headroom alone: logs and releases need it.
    fn reserve(&mut self, end: u64) -> Result<(), StoreError> {
        if end <= self.reserved {
            return Ok(());
        }
        self.has_asked = true;
        let (from, length) = (self.reserved, end - self.reserved);
        let reserve = || {
            let status = fstatvfs(&self.file)?;
            let free = status.f_bavail.saturating_mul(status.f_frsize);
            if length.saturating_add(self.bounds.headroom) > free {
                return Err(rustix::io::Errno::NOSPC.into());
            }
            match fallocate(&self.file, FallocateFlags::KEEP_SIZE, from, length) {
                // Not every filesystem can; there the writes themselves find out.
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
                result => result.map_err(io::Error::from),
            }
        };
        failpoint::hit("reserve upload").and_then(|()| reserve()).during("reserve room for", &self.session.data())?;
        self.reserved = end;
        Ok(())
    }
}

impl Drop for Append {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // What was reserved for bytes that did not come is given back, also what a disk that ran full over it granted: else somebody
        // who breaks off again and again fills the disk.
        // Nothing behind what was acknowledged counts; a file that gets longer would give nothing back.
        if self.has_asked && self.file.set_len(self.state.offset).is_err() {
            tracing::debug!(upload = %self.id, "what was reserved for it cannot be given back");
        }
        self.session.give_back();
    }
}
