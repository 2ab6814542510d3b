//! Makes the patch of a layer on its base.

use std::io::{self, BufRead, Read, Write};

use zstd_safe::{CCtx, CParameter};

use super::container::{self, Encoding, MAX_RAW, MAX_RECIPE, Record};
use super::deflate::{Analyser, BitReader};
use super::error::{MakeError, PatchError};
use super::sketch::Sketch;
use super::text::{self, GZIP, Window};
use super::{SEGMENT, WINDOW};

/// Frames refer back as far as the window and the segment reach.
const WINDOW_LOG: u32 = 27;
/// Slower levels save a little more (docs/decisions/0007).
const LEVEL: i32 = 9;
const RECIPE_LEVEL: i32 = 19;

/// Writes to `out` the patch that makes `layer` of `base`, of which `sketch` is known. Both blobs are read once.
///
/// Determined by the two blobs and the version of this library and zstd. That it works out is for the caller to prove.
///
/// # Errors
/// [`MakeError::Unfit`] where the layer has to be carried whole.
pub fn make(base: impl Read, sketch: &Sketch, layer: impl Read, out: &mut dyn Write) -> Result<(), MakeError> {
    let (first, base) = text::peeked(base).map_err(MakeError::Read)?;
    let encoding = text::encoding(&first).ok_or_else(|| unfit("the base is not gzip or plain"))?;
    container::write_head(encoding, out).map_err(MakeError::Write)?;
    let window = Window::new(text::text(base, encoding));
    let mut maker = Maker { window, sketch, from: 0, text: Vec::new(), records: Vec::new(), made: 0, out };
    let (first, layer) = text::peeked(layer).map_err(MakeError::Read)?;
    match text::encoding(&first) {
        None => return Err(unfit("it is packed with zstd")),
        Some(Encoding::Plain) => maker.take_plain(layer)?,
        Some(Encoding::Gzip) => maker.take_members(BitReader::new(layer))?,
    }
    maker.flush()?;
    let made = maker.made;
    maker.put(&Record::End(made))
}

fn unfit(problem: &str) -> MakeError {
    MakeError::Unfit(problem.to_owned())
}

struct Maker<'a> {
    window: Window<'a>,
    sketch: &'a Sketch,
    /// Where the last window began.
    from: u64,
    /// The text of the segment.
    text: Vec<u8>,
    /// What is made of it.
    records: Vec<Record>,
    made: u64,
    out: &'a mut dyn Write,
}

impl Maker<'_> {
    fn take_plain(&mut self, mut layer: impl Read) -> Result<(), MakeError> {
        loop {
            let read = (&mut layer).take(SEGMENT as u64).read_to_end(&mut self.text).map_err(MakeError::Read)?;
            if read == 0 {
                return Ok(());
            }
            self.made += read as u64;
            self.records.push(Record::Copy(count(read)));
            self.flush()?;
        }
    }

    /// A gzip file: members one after the other (RFC 1952), and what may stand behind them.
    fn take_members<R: BufRead>(&mut self, mut layer: BitReader<R>) -> Result<(), MakeError> {
        let mut likely = None;
        let mut head = Vec::new();
        loop {
            head.clear();
            while head.len() < GZIP.len() {
                match layer.byte().map_err(MakeError::Read)? {
                    Some(byte) => head.push(byte),
                    None => return self.raw(&head),
                }
            }
            if head != GZIP {
                return self.take_rest(head, &mut layer);
            }
            read_head(&mut layer, &mut head)?;
            self.raw(&head)?;
            self.take_stream(&mut layer, &mut likely)?;
            let mut tail = Vec::new();
            take(&mut layer, 8, &mut tail)?;
            self.raw(&tail)?;
        }
    }

    fn take_rest<R: BufRead>(&mut self, mut rest: Vec<u8>, layer: &mut BitReader<R>) -> Result<(), MakeError> {
        while let Some(byte) = layer.byte().map_err(MakeError::Read)? {
            rest.push(byte);
            if rest.len() > MAX_RAW {
                return Err(unfit("there is too much behind its gzip members"));
            }
        }
        self.raw(&rest)
    }

    fn take_stream<R: BufRead>(&mut self, layer: &mut BitReader<R>, likely: &mut Option<u8>) -> Result<(), MakeError> {
        let mut stream = Analyser::default();
        let mut is_first = true;
        loop {
            let chunk = stream.next(layer, *likely)?;
            let text = stream.text();
            if self.text.len() + text.len() > SEGMENT {
                self.flush()?;
            }
            if chunk.recipe.len() > MAX_RECIPE {
                return Err(unfit("its recipe is too long"));
            }
            *likely = Some(chunk.rules);
            self.text.extend_from_slice(text);
            self.made += chunk.made as u64;
            self.records.push(Record::Deflate {
                rules: is_first.then_some(chunk.rules),
                size: count(text.len()),
                made: count(chunk.made),
                recipe: packed(&[], &chunk.recipe, RECIPE_LEVEL)?,
            });
            is_first = false;
            if chunk.ends {
                return Ok(());
            }
        }
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), MakeError> {
        self.made += bytes.len() as u64;
        match self.records.last_mut() {
            Some(Record::Raw(before)) if before.len() + bytes.len() <= MAX_RAW => before.extend_from_slice(bytes),
            _ if bytes.len() <= MAX_RAW => self.records.push(Record::Raw(bytes.to_vec())),
            _ => return Err(unfit("a gzip member has too long a header")),
        }
        Ok(())
    }

    /// Writes the segment, and begins the next one.
    fn flush(&mut self) -> Result<(), MakeError> {
        if !self.text.is_empty() {
            let (from, length) = self.stretch();
            self.from = from;
            let prefix = self.window.slide(from, length).map_err(|error| match error {
                PatchError::ReadBase(error) => MakeError::Read(error),
                other => MakeError::Unfit(other.to_string()),
            })?;
            let frame = packed(prefix, &self.text, LEVEL)?;
            self.put(&Record::Text { from, length: count(length), size: count(self.text.len()), frame })?;
        }
        for record in std::mem::take(&mut self.records) {
            self.put(&record)?;
        }
        self.text.clear();
        Ok(())
    }

    /// The stretch of the base's text that is most like the segment: all of it, where it fits.
    fn stretch(&self) -> (u64, usize) {
        let all = self.sketch.length();
        let room = all.saturating_sub(WINDOW as u64);
        let found = if room == 0 { None } else { self.sketch.stretch(&self.text, self.from, WINDOW as u64) };
        let from = found.unwrap_or(self.from).min(room).max(self.from);
        (from, usize::try_from(all - from).unwrap_or(usize::MAX).min(WINDOW))
    }

    fn put(&mut self, record: &Record) -> Result<(), MakeError> {
        record.write(self.out).map_err(MakeError::Write)
    }
}

/// Reads the rest of a member's header (RFC 1952, 2.3).
fn read_head<R: BufRead>(layer: &mut BitReader<R>, head: &mut Vec<u8>) -> Result<(), MakeError> {
    take(layer, 8, head)?;
    let [_, _, method, flags, ..] = head[..] else { return Err(unfit("it ends early")) };
    if method != 8 || flags & 0xe0 != 0 {
        return Err(unfit("a gzip member is of an unknown kind"));
    }
    if flags & 4 != 0 {
        take(layer, 2, head)?;
        let length = head.last_chunk::<2>().map_or(0, |length| u16::from_le_bytes(*length));
        take(layer, usize::from(length), head)?;
    }
    for _ in [8, 16].into_iter().filter(|flag| flags & flag != 0) {
        take(layer, 1, head)?;
        while head.last() != Some(&0) {
            take(layer, 1, head)?;
        }
    }
    take(layer, if flags & 2 != 0 { 2 } else { 0 }, head)
}

fn take<R: BufRead>(layer: &mut BitReader<R>, count: usize, to: &mut Vec<u8>) -> Result<(), MakeError> {
    for _ in 0..count {
        let byte = layer.byte().map_err(MakeError::Read)?;
        to.push(byte.ok_or_else(|| unfit("it ends early"))?);
        if to.len() > MAX_RAW {
            return Err(unfit("a gzip member has too long a header"));
        }
    }
    Ok(())
}

/// Lengths here are those of segments and frames, far below 4 GiB.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// One zstd frame. One thread makes it, so it is the same each time.
fn packed(prefix: &[u8], bytes: &[u8], level: i32) -> Result<Vec<u8>, MakeError> {
    let failed = |code| MakeError::Write(io::Error::other(zstd_safe::get_error_name(code)));
    let mut context = CCtx::create();
    context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
    if !prefix.is_empty() {
        context.set_parameter(CParameter::EnableLongDistanceMatching(true)).map_err(failed)?;
        context.set_parameter(CParameter::WindowLog(WINDOW_LOG)).map_err(failed)?;
        context.ref_prefix(prefix).map_err(failed)?;
    }
    let mut frame = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
    context.compress2(&mut frame, bytes).map_err(failed)?;
    Ok(frame)
}
