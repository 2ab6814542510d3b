//! Makes a layer of its base and a patch.

use std::io::{BufReader, Read, Write};

use super::container::{self, MAX_RECIPE, Record};
use super::deflate::Rebuilder;
use super::error::PatchError;
use super::text::{self, Window};

/// Writes to `out` what `patch` makes of `base`: two blobs, each read once from its beginning.
///
/// Nothing of a patch is believed, but its output is: nobody knows what it is before its digest was compared.
///
/// # Errors
/// [`PatchError`]; what was written before it is worthless.
pub fn apply(base: impl Read, patch: impl Read, out: &mut dyn Write) -> Result<(), PatchError> {
    let mut patch = BufReader::new(patch);
    let encoding = container::read_head(&mut patch)?;
    let base = BufReader::with_capacity(256 << 10, base);
    let mut work = Work {
        window: Window::new(text::text(base, encoding)),
        segment: Segment::default(),
        stream: None,
        made: 0,
        out,
    };
    loop {
        match Record::read(&mut patch)? {
            Record::End(size) => return work.end(size),
            record => work.take(record)?,
        }
    }
}

struct Work<'a, 'b> {
    window: Window<'a>,
    segment: Segment,
    stream: Option<Rebuilder>,
    made: u64,
    out: &'b mut dyn Write,
}

/// The text that is at hand.
#[derive(Default)]
struct Segment {
    bytes: Vec<u8>,
    used: usize,
}

impl Segment {
    fn take(&mut self, count: u32) -> Result<&[u8], PatchError> {
        let from = self.used;
        self.used += count as usize;
        self.bytes.get(from..self.used).ok_or_else(|| PatchError::Form("it uses text that is not there".to_owned()))
    }

    fn is_used_up(&self) -> bool {
        self.used == self.bytes.len()
    }
}

impl Work<'_, '_> {
    fn take(&mut self, record: Record) -> Result<(), PatchError> {
        match record {
            Record::Raw(bytes) => self.write(&bytes),
            Record::Text { from, length, size, frame } => self.unpack(from, length, size, &frame),
            Record::Copy(count) => {
                let bytes = self.segment.take(count)?;
                self.made += bytes.len() as u64;
                self.out.write_all(bytes).map_err(PatchError::Write)
            }
            Record::Deflate { rules, size, made, recipe } => self.pack(rules, size, made, &recipe),
            Record::End(_) => Ok(()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PatchError> {
        self.made += bytes.len() as u64;
        self.out.write_all(bytes).map_err(PatchError::Write)
    }

    fn unpack(&mut self, from: u64, length: u32, size: u32, frame: &[u8]) -> Result<(), PatchError> {
        if !self.segment.is_used_up() {
            return Err(PatchError::Form("it leaves text over".to_owned()));
        }
        let prefix = self.window.slide(from, length as usize)?;
        self.segment = Segment { bytes: unpacked(prefix, frame, size as usize)?, used: 0 };
        Ok(())
    }

    fn pack(&mut self, rules: Option<u8>, size: u32, made: u32, recipe: &[u8]) -> Result<(), PatchError> {
        let recipe = unpacked(&[], recipe, content_size(recipe)?)?;
        if let Some(rules) = rules {
            self.stream = Some(Rebuilder::new(rules)?);
        }
        let stream = self.stream.as_mut().ok_or_else(|| PatchError::Form("it goes on with no stream".to_owned()))?;
        let bytes = stream.next(self.segment.take(size)?, &recipe)?;
        if bytes.len() != made as usize {
            return Err(PatchError::Form("a chunk makes more or fewer bytes than it says".to_owned()));
        }
        self.write(&bytes)
    }

    fn end(&self, size: u64) -> Result<(), PatchError> {
        match self.segment.is_used_up() && self.made == size {
            true => Ok(()),
            false => Err(PatchError::Form("it ends before it has made what it says".to_owned())),
        }
    }
}

/// What the frame of a recipe says that it holds.
fn content_size(frame: &[u8]) -> Result<usize, PatchError> {
    let size = zstd_safe::get_frame_content_size(frame).ok().flatten().and_then(|size| usize::try_from(size).ok());
    size.filter(|size| *size <= MAX_RECIPE).ok_or_else(|| PatchError::Form("a recipe does not say its size".to_owned()))
}

/// What one zstd frame makes with a prefix: `size` bytes, neither more nor fewer.
fn unpacked(prefix: &[u8], frame: &[u8], size: usize) -> Result<Vec<u8>, PatchError> {
    let damaged = |code| PatchError::Form(format!("a frame is damaged: {}", zstd_safe::get_error_name(code)));
    let mut context = zstd_safe::DCtx::create();
    context.ref_prefix(prefix).map_err(damaged)?;
    let mut bytes = Vec::with_capacity(size);
    let made = context.decompress(&mut bytes, frame).map_err(damaged)?;
    match made == size && bytes.len() == size {
        true => Ok(bytes),
        false => Err(PatchError::Form("a frame makes more or fewer bytes than it says".to_owned())),
    }
}
