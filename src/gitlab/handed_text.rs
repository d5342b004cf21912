//! The text of a digest file, as the programs of a pipeline leave it.
//!
//! | in the file | why |
//! |---|---|
//! | a byte order mark, UTF-16 | PowerShell's `>` and `Out-File` write both |
//! | several lines with one digest | kaniko writes a line for each `--destination` |
//!
//! Of several destinations the one that belongs to the project counts; all must have one digest.

use super::{Handed, HandedError};
use crate::oci::Reference;

impl Handed {
    /// Reads a digest file's bytes. Of several names for the one digest the first that `belongs`
    /// to the project is taken.
    ///
    /// # Errors
    /// As [`Handed::parse`].
    pub fn read(bytes: &[u8], belongs: impl Fn(&Reference) -> bool) -> Result<Self, HandedError> {
        let text = decoded(bytes);
        let handed = Self::parse(&text)?;
        let names = text.lines().filter_map(|line| line.trim().parse::<Reference>().ok());
        let named = names.filter(|name| name.digest == Some(handed.digest)).find(belongs);
        Ok(Self { named: named.or_else(|| handed.named.clone()), ..handed })
    }
}

/// UTF-8 or, with its byte order mark or every second byte zero, UTF-16. Other bytes become U+FFFD, which
/// is in no digest.
fn decoded(bytes: &[u8]) -> String {
    let units = |unit: fn([u8; 2]) -> u16, bytes: &[u8]| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|two| unit([two[0], two[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => units(u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => units(u16::from_be_bytes, rest),
        [_, 0, _, 0, ..] => units(u16::from_le_bytes, bytes),
        [0, _, 0, _, ..] => units(u16::from_be_bytes, bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        bytes => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    const E: &str = "sha256:1b4f0e9851971998e732078544c96b36c3d01cedf7caa332359d6f1d83567014";

    #[test]
    fn byte_order_marks_and_utf_16() {
        let little: Vec<u8> =
            format!("{D}\r\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = D.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [
            format!("\u{feff}{D}\r\n").into_bytes(),
            [&[0xff, 0xfe], little.as_slice()].concat(),
            [&[0xfe, 0xff], big.as_slice()].concat(),
            little,
            big,
        ] {
            let handed = Handed::read(&bytes, |_| true).unwrap();
            assert_eq!(handed.digest.to_string(), D);
        }
        assert!(Handed::read(b"\xff\xfe", |_| true).is_err());
        assert!(Handed::read(b"\xb1\xb2\xb3", |_| true).is_err());
    }

    /// kaniko writes a line for each destination (GoogleContainerTools/kaniko#841).
    #[test]
    fn of_several_destinations_the_projects_own() {
        let text =
            format!("mirror.example/x:v1@{D}\r\nr.example/g/p:v1@{D}\nr.example/g/p:latest@{D}\n");
        let read = |text: &str| {
            Handed::read(text.as_bytes(), |name| name.registry.as_str() == "r.example")
        };
        let handed = read(&text).unwrap();
        assert_eq!(handed.named.unwrap().repository.as_str(), "g/p");
        // none of them: the first is told
        let other = read(&format!("mirror.example/x:v1@{D}\n")).unwrap();
        assert_eq!(other.named.unwrap().registry.as_str(), "mirror.example");
        assert!(read(&format!("r.example/g/p@{D}\nr.example/g/p@{E}\nr.example/g/p@{D}")).is_err());
    }
}
