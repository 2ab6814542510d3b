//! How large a volume is, and how much parity there is, as a person writes it.

use std::fmt;
use std::str::FromStr;

use super::geometry::BLOCK;

/// The size of a volume: whole blocks of 1 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VolumeSize(u64);

/// How many bytes of parity there are for a hundred bytes of data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

/// Why a text is no size or no percentage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Not a number with a unit.
    #[error("a size is written like 4G, 700M or 4GiB: G and M count in thousands, GiB and MiB in powers of two")]
    Size,
    /// Too small to be worth a file.
    #[error("a volume has at least 1 MiB")]
    TooSmall,
    /// Not a percentage.
    #[error("parity is a whole percentage from 0% to 100%, like 10%")]
    Percent,
}

impl VolumeSize {
    /// The size of `bytes`, rounded down to whole blocks.
    ///
    /// # Errors
    /// [`SizeError::TooSmall`].
    pub fn of_bytes(bytes: u64) -> Result<Self, SizeError> {
        match bytes / BLOCK {
            0 => Err(SizeError::TooSmall),
            blocks => Ok(Self(blocks * BLOCK)),
        }
    }

    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl Percent {
    /// In hundredths.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl FromStr for VolumeSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| SizeError::Size)?;
        let unit = match unit {
            "M" | "MB" => 1_000_000,
            "G" | "GB" => 1_000_000_000,
            "T" | "TB" => 1_000_000_000_000,
            "Mi" | "MiB" => 1 << 20,
            "Gi" | "GiB" => 1 << 30,
            "Ti" | "TiB" => 1_u64 << 40,
            "" | "B" => 1,
            _ => return Err(SizeError::Size),
        };
        Self::of_bytes(number.checked_mul(unit).ok_or(SizeError::Size)?)
    }
}

impl FromStr for Percent {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let number = text.strip_suffix('%').unwrap_or(text);
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
        match number.parse() {
            Ok(percent @ 0..=100) if is_plain => Ok(Self(percent)),
            _ => Err(SizeError::Percent),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_blocks_and_never_larger_than_asked_for() {
        let size = |text: &str| text.parse::<VolumeSize>().map(VolumeSize::bytes);
        assert_eq!(size("4G"), Ok(3814 << 20));
        assert!(size("4G").unwrap() < (1 << 32) - 1, "FAT keeps no larger file than that");
        assert_eq!(size("700M"), Ok(667 << 20));
        assert_eq!((size("4GiB"), size("4Gi")), (Ok(4 << 30), Ok(4 << 30)));
        assert_eq!((size("1048576"), size("1TB")), (Ok(1 << 20), Ok(953_674 << 20)));
        assert_eq!((size("1M"), size("0")), (Err(SizeError::TooSmall), Err(SizeError::TooSmall)));
        for wrong in ["", "G", "4 G", "4g", "-4G", "4.5G", "99999999999T", "4GG", "+4G"] {
            assert_eq!(size(wrong), Err(SizeError::Size), "{wrong:?}");
        }
    }

    #[test]
    fn a_percentage_is_whole_and_at_most_a_hundred() {
        let percent = |text: &str| text.parse::<Percent>().map(Percent::get);
        assert_eq!((percent("10%"), percent("0"), percent("100%")), (Ok(10), Ok(0), Ok(100)));
        for wrong in ["", "%", "101%", "-1%", "+1", "1.5%", "10%%"] {
            assert_eq!(percent(wrong), Err(SizeError::Percent), "{wrong:?}");
        }
    }
}
