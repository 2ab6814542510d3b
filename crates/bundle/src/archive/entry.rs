//! Judges one tar header that somebody else wrote.

use super::error::ArchiveError;
use super::tar;

/// What a header in canonical form says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) size: u64,
}

/// Reads a header block that stands at `offset` in the file. It has to be, byte for byte, the one that we would write.
///
/// # Errors
/// The named variant for whatever else it is.
pub(super) fn parse(block: &[u8; 512], offset: u64) -> Result<Entry, ArchiveError> {
    check_sum(block, offset)?;
    let raw_name = full_name(block);
    check_kind(block[156], &raw_name, offset)?;
    let name = checked_name(&raw_name, offset)?;
    let size = octal(&block[124..135]).ok_or_else(|| damaged(offset, "the size of an entry is no octal number"))?;
    if tar::file_header(&name, size) != *block {
        let problem = format!("the header of the entry {name:?} has unusual fields");
        return Err(ArchiveError::Ambiguous { offset, problem });
    }
    Ok(Entry { name, size })
}

/// Says why `block`, which stands at `offset`, is not the header of `expected` with `size` bytes.
pub(super) fn explain(block: &[u8; 512], offset: u64, expected: &str, size: u64) -> ArchiveError {
    let entry = match parse(block, offset) {
        Ok(entry) => entry,
        Err(error) => return error,
    };
    if entry.name == expected {
        return ArchiveError::WrongSize { name: entry.name, actual: entry.size, expected: size };
    }
    if entry.name.eq_ignore_ascii_case(expected) {
        return ArchiveError::HostileName { name: entry.name, offset };
    }
    ArchiveError::Undeclared { name: entry.name, offset }
}

fn check_sum(block: &[u8; 512], offset: u64) -> Result<(), ArchiveError> {
    let blanked = |(at, byte): (usize, &u8)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) };
    let sum: u64 = block.iter().enumerate().map(blanked).sum();
    // Any spelling will do here: an honest header of another tar shall be called by what it is.
    if octal(block[148..156].trim_ascii_start().split(|byte| matches!(byte, 0 | b' ')).next().unwrap_or_default())
        == Some(sum)
    {
        return Ok(());
    }
    Err(damaged(offset, "there should be a tar header, and its checksum does not fit"))
}

fn check_kind(kind: u8, raw_name: &[u8], offset: u64) -> Result<(), ArchiveError> {
    let name = escape(raw_name);
    match kind {
        b'0' => Ok(()),
        b'1' | b'2' => Err(ArchiveError::Link { name, offset }),
        b'x' | b'g' | b'L' | b'K' => {
            let problem = format!("an extended header stands where none belongs, before {name:?}");
            Err(ArchiveError::Ambiguous { offset, problem })
        }
        other => Err(ArchiveError::NotAFile { name, kind: char::from(other), offset }),
    }
}

fn checked_name(raw: &[u8], offset: u64) -> Result<String, ArchiveError> {
    let hostile = || ArchiveError::HostileName { name: escape(raw), offset };
    let name = std::str::from_utf8(raw).map_err(|_| hostile())?;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
    let part_is_plain = |part: &str| !matches!(part, "" | "." | "..");
    if name.chars().all(legal) && name.split('/').all(part_is_plain) {
        return Ok(name.to_owned());
    }
    Err(hostile())
}

fn full_name(block: &[u8; 512]) -> Vec<u8> {
    let until_nul = |field: &[u8]| field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    let (prefix, name) = (until_nul(&block[345..500]), until_nul(&block[..100]));
    if prefix.is_empty() { name } else { [prefix, name].join(&b'/') }
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    if digits { u64::from_str_radix(text, 8).ok() } else { None }
}

fn escape(raw: &[u8]) -> String {
    raw.escape_ascii().to_string()
}

fn damaged(offset: u64, problem: &str) -> ArchiveError {
    ArchiveError::Damaged { offset, problem: problem.to_owned() }
}
