//! SIF's two-digit names of processors.
//!
//! Source: sylabs/sif `pkg/sif/arch.go`. The code stands in the header and in the partition's
//! descriptor; apptainer refuses to run an image whose code is not its own machine's.

use super::SifError;
use crate::oci::Platform;

/// Go's name of a processor and its code. Position is not meaning: codes are as apptainer has them.
const CODES: [(&str, &[u8; 3]); 12] = [
    ("386", b"01\0"),
    ("amd64", b"02\0"),
    ("arm", b"03\0"),
    ("arm64", b"04\0"),
    ("ppc64", b"05\0"),
    ("ppc64le", b"06\0"),
    ("mips", b"07\0"),
    ("mipsle", b"08\0"),
    ("mips64", b"09\0"),
    ("mips64le", b"10\0"),
    ("s390x", b"11\0"),
    ("riscv64", b"12\0"),
];

/// A processor as SIF writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arch([u8; 3]);

impl Arch {
    /// The code of a platform's processor; the variant has no place in SIF.
    ///
    /// # Errors
    /// When SIF has no code for it.
    pub fn of(platform: &Platform) -> Result<Self, SifError> {
        let go = platform.go_architecture();
        CODES
            .iter()
            .find(|(name, _)| *name == go)
            .map(|(_, code)| Self(**code))
            .ok_or_else(|| SifError::Architecture(platform.architecture.clone()))
    }

    /// The three bytes as they stand in a file; any bytes are kept.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 3]) -> Self {
        Self(bytes)
    }

    /// The three bytes.
    #[must_use]
    pub fn bytes(self) -> [u8; 3] {
        self.0
    }

    /// Go's name of the processor; `None` for a code that is not known here.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        CODES.iter().find(|(_, code)| **code == self.0).map(|(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_apptainers() {
        for (platform, code) in
            [("linux/amd64", b"02\0"), ("linux/arm64/v8", b"04\0"), ("linux/ppc64le", b"06\0")]
        {
            let arch = Arch::of(&platform.parse().unwrap()).unwrap();
            assert_eq!(arch.bytes(), *code, "{platform}");
            assert!(platform.contains(arch.name().unwrap()));
        }
        assert!(Arch::of(&"linux/z80".parse().unwrap()).is_err());
        assert_eq!(Arch::from_bytes(*b"00\0").name(), None);
    }
}
