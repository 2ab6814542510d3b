//! Control files: stanzas of fields, as `Packages` and `Release` have them (Debian Policy Manual, 5.1).
//!
//! Read one stanza after the other, so that an index of any size takes little memory, and strictly: what only some readers
//! understand in the same way is refused.

use std::io::{self, BufRead, Read};

/// What is read at most.
#[derive(Clone, Copy, Debug)]
pub struct StanzaLimits {
    /// Bytes of one stanza.
    pub stanza: usize,
    /// Bytes of all of them.
    pub total: u64,
    /// Fields of one stanza.
    pub fields: usize,
}

impl StanzaLimits {
    /// For `Packages`: what whole distributions have, several times over.
    pub const INDEX: Self = Self { stanza: 1 << 20, total: 512 << 20, fields: 200 };
    /// For `Release`: one stanza, with a line for each index.
    pub const RELEASE: Self = Self { stanza: 16 << 20, total: 16 << 20, fields: 200 };
}

/// The fields of one stanza.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stanza {
    fields: Vec<(String, String)>,
}

/// Why something is no control file, or is not read.
#[derive(Debug, thiserror::Error)]
pub enum StanzaError {
    /// It could not be read, or not be unpacked.
    #[error("it cannot be read to its end")]
    Io(#[from] io::Error),
    /// It is not written as control files are.
    #[error("line {line} is not of a control file: {reason}")]
    Form {
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// It is larger than what is read.
    #[error("it has more than {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
}

impl Stanza {
    /// The value of the field `name`, whose case does not matter; further lines behind line feeds, without the blank before them.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All fields, in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The stanzas of a control file.
#[derive(Debug)]
pub struct Stanzas<R> {
    reader: R,
    limits: StanzaLimits,
    line: u64,
    bytes: u64,
    is_over: bool,
}

impl<R: BufRead> Stanzas<R> {
    /// Of what `reader` gives.
    pub fn new(reader: R, limits: StanzaLimits) -> Self {
        Self { reader, limits, line: 0, bytes: 0, is_over: false }
    }

    fn read(&mut self) -> Result<Option<Stanza>, StanzaError> {
        let mut stanza = Stanza::default();
        let mut bytes = 0;
        while let Some(line) = self.next_line()? {
            if line.trim_ascii().is_empty() {
                if stanza.fields.is_empty() { continue } else { break }
            }
            bytes += line.len();
            if bytes > self.limits.stanza {
                return Err(StanzaError::Limit { what: "bytes in one stanza", limit: self.limits.stanza as u64 });
            }
            self.add(&line, &mut stanza)?;
        }
        Ok((!stanza.fields.is_empty()).then_some(stanza))
    }

    /// The next line without its end; none behind the last.
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, StanzaError> {
        let mut line = Vec::new();
        // One byte more than is allowed shows that there are more.
        let most = self.limits.stanza as u64 + 1;
        let read = self.reader.by_ref().take(most).read_until(b'\n', &mut line)? as u64;
        self.bytes += read;
        self.line += 1;
        if read == most {
            return Err(StanzaError::Limit { what: "bytes in one stanza", limit: self.limits.stanza as u64 });
        }
        if self.bytes > self.limits.total {
            return Err(StanzaError::Limit { what: "bytes", limit: self.limits.total });
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        Ok((read > 0).then_some(line))
    }

    fn add(&self, line: &[u8], stanza: &mut Stanza) -> Result<(), StanzaError> {
        let wrong = |reason| StanzaError::Form { line: self.line, reason };
        let line = std::str::from_utf8(line).map_err(|_| wrong("it is not UTF-8"))?;
        if line.contains(|c: char| c.is_ascii_control() && c != '\t') {
            return Err(wrong("it holds a control character"));
        }
        if let Some(more) = line.strip_prefix([' ', '\t']) {
            let (_, value) = stanza.fields.last_mut().ok_or_else(|| wrong("it goes on with no field"))?;
            value.push('\n');
            value.push_str(more.trim_end());
            return Ok(());
        }
        let (name, value) = line.split_once(':').ok_or_else(|| wrong("it has no colon"))?;
        let is_first_legal = !name.starts_with(['#', '-']);
        if name.is_empty() || !is_first_legal || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("what stands before the colon is no name of a field"));
        }
        if stanza.get(name).is_some() {
            return Err(wrong("the field stands in it twice"));
        }
        if stanza.fields.len() == self.limits.fields {
            return Err(StanzaError::Limit { what: "fields in one stanza", limit: self.limits.fields as u64 });
        }
        stanza.fields.push((name.to_owned(), value.trim().to_owned()));
        Ok(())
    }
}

impl<R: BufRead> Iterator for Stanzas<R> {
    type Item = Result<Stanza, StanzaError>;

    /// Nothing comes behind an error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let read = self.read();
        self.is_over = !matches!(read, Ok(Some(_)));
        read.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Vec<Stanza>, StanzaError> {
        Stanzas::new(text, StanzaLimits { stanza: 100, total: 400, fields: 4 }).collect()
    }

    #[test]
    fn stanzas_are_read_one_after_the_other() {
        let stanzas = read(b"\n\nPackage: a\nDescription: short\n long\n .\n\n \t\nPackage:b\nX:\n").unwrap();
        assert_eq!(stanzas.len(), 2);
        assert_eq!(stanzas[0].get("description"), Some("short\nlong\n."));
        assert_eq!(stanzas[1].get("Package"), Some("b"));
        assert_eq!(stanzas[1].get("X"), Some(""));
        assert_eq!(read(b"").unwrap().len(), 0);
        assert_eq!(read(b"Package: without an end").unwrap()[0].get("package"), Some("without an end"));
    }

    #[test]
    fn what_readers_understand_differently_is_refused() {
        for text in [
            &b"Package: a\nPackage: b\n"[..],
            b"Package: a\npackage: b",
            b" x\n",
            b"no colon\n",
            b"#Package: a\n",
            b"-Package: a\n",
            b": a\n",
            b"Pack age: a\n",
            b"Package: \xff\n",
            b"Package: a\0b\n",
            b"Package: a\r\n",
            b"P\xc3\xa4: a\n",
        ] {
            assert!(matches!(read(text), Err(StanzaError::Form { .. })), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let long = format!("A: {}\n", "x".repeat(200));
        let many_lines = format!("A: x\n{}", " y\n".repeat(60));
        let many_fields = "A: 1\nB: 1\nC: 1\nD: 1\nE: 1\n".to_owned();
        let many_stanzas = format!("A: {}\n\n", "x".repeat(60)).repeat(10);
        for text in [long, many_lines, many_fields, many_stanzas] {
            assert!(matches!(read(text.as_bytes()), Err(StanzaError::Limit { .. })), "{text}");
        }
    }

    #[test]
    fn nothing_comes_behind_an_error() {
        let mut stanzas = Stanzas::new(&b"x\n\nA: b\n"[..], StanzaLimits::INDEX);
        assert!(stanzas.next().unwrap().is_err());
        assert!(stanzas.next().is_none());
    }
}
