//! How well it is known which image an attempt ran.
//!
//! A receipt is the job owner's own word: worker and submitter have one uid. The grade says how
//! the image was measured; who could have forged it is said beside each verdict.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Name;
use super::name::open_names;
use crate::oci::{ConfigDigest, Digest, SifDigest, TreeRoot};

open_names! {
    /// How an image was measured, best first.
    pub enum Grade {
        /// Each block was checked against the pinned tree of hashes when the program read it.
        VerifiedOnRead = "verified-on-read",
        /// The very file that ran was hashed (private copy or one open handle).
        Measured = "measured",
        /// Hashed earlier on this node; another job of the same user could have changed it since.
        MeasuredCached = "measured-cached",
        /// The container runtime said so.
        RuntimeReported = "runtime-reported",
        /// Only a path or link was looked at.
        PathOnly = "path-only",
        /// Nothing was measured; never a match.
        None = "none",
    }
}

impl Grade {
    /// Reads a grade that a job may require.
    ///
    /// # Errors
    /// Names those that there are.
    pub fn required(text: &str) -> Result<Self, String> {
        const MAY: [Grade; 3] = [Grade::VerifiedOnRead, Grade::Measured, Grade::MeasuredCached];
        MAY.into_iter().find(|grade| grade.name() == text).ok_or_else(|| {
            let names: Vec<_> = MAY.iter().map(|grade| grade.name().to_owned()).collect();
            format!("{text:?} cannot be required: {}", names.join(", "))
        })
    }

    /// Whether evidence of this grade is at least as good as another. A grade that is not known is none.
    #[must_use]
    pub fn meets(&self, required: &Self) -> bool {
        let rank = |grade: &Self| match grade {
            Self::VerifiedOnRead => 5,
            Self::Measured => 4,
            Self::MeasuredCached => 3,
            Self::RuntimeReported => 2,
            Self::PathOnly => 1,
            Self::None | Self::Other(_) => 0,
        };
        rank(self) >= rank(required).max(1)
    }
}

/// Whose digest a worker compared: each names the image, none can be taken for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measured {
    /// The SIF that ran.
    Sif(SifDigest),
    /// The root of the hash tree by which each block of the SIF was checked when the program read it.
    Tree(TreeRoot),
    /// The image's configuration, as a container engine reports it.
    Config(ConfigDigest),
    /// The platform's manifest, as a container engine reports it.
    Manifest(Digest),
    /// A kind that only a newer program knows, with its digest's text.
    Other(Name, String),
}

/// `{"kind":"sif","digest":"sha256:..."}`.
#[derive(Serialize, Deserialize)]
struct Stored {
    kind: Name,
    digest: String,
}

impl Measured {
    /// `sif`, `tree`, `config`, `manifest`.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Sif(_) => "sif",
            Self::Tree(_) => "tree",
            Self::Config(_) => "config",
            Self::Manifest(_) => "manifest",
            Self::Other(kind, _) => kind.as_str(),
        }
    }

    /// The digest's text.
    #[must_use]
    pub fn digest(&self) -> String {
        match self {
            Self::Sif(digest) => digest.to_string(),
            Self::Tree(root) => root.to_string(),
            Self::Config(digest) => digest.to_string(),
            Self::Manifest(digest) => digest.to_string(),
            Self::Other(_, digest) => digest.clone(),
        }
    }
}

impl Serialize for Measured {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let kind = self.kind().parse().map_err(serde::ser::Error::custom)?;
        Stored { kind, digest: self.digest() }.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Measured {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let Stored { kind, digest } = Stored::deserialize(d)?;
        let bad = serde::de::Error::custom;
        Ok(match kind.as_str() {
            "sif" => Self::Sif(digest.parse().map_err(bad)?),
            "tree" => Self::Tree(digest.parse().map_err(bad)?),
            "config" => Self::Config(digest.parse().map_err(bad)?),
            "manifest" => Self::Manifest(digest.parse().map_err(bad)?),
            _ => Self::Other(kind, digest),
        })
    }
}

/// What a worker measured of the image that it ran.
///
/// Schema 1 had only SIFs, as `"sif":"sha256:..."`; that is still read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Read")]
pub struct Evidence {
    /// How.
    pub grade: Grade,
    /// What, where something was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_at: Option<jiff::Timestamp>,
}

impl Evidence {
    /// Nothing was measured.
    #[must_use]
    pub fn none() -> Self {
        Self { grade: Grade::None, measured: None, measured_at: None }
    }

    /// The root of the SIF's hash tree, when its blocks were checked by it.
    #[must_use]
    pub fn tree(&self) -> Option<TreeRoot> {
        match self.measured {
            Some(Measured::Tree(root)) => Some(root),
            _ => None,
        }
    }

    /// The digest of the SIF, when that was measured.
    #[must_use]
    pub fn sif(&self) -> Option<SifDigest> {
        match self.measured {
            Some(Measured::Sif(digest)) => Some(digest),
            _ => None,
        }
    }
}

/// Both schemas.
#[derive(Deserialize)]
struct Read {
    grade: Grade,
    measured: Option<Measured>,
    sif: Option<SifDigest>,
    measured_at: Option<jiff::Timestamp>,
}

impl From<Read> for Evidence {
    fn from(Read { grade, measured, sif, measured_at }: Read) -> Self {
        Self { grade, measured: measured.or(sif.map(Measured::Sif)), measured_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Sha256Digest;

    #[test]
    fn what_is_required_is_met_by_as_good_or_better() {
        let required = |text| Grade::required(text).unwrap();
        assert!(Grade::Measured.meets(&required("measured")));
        assert!(Grade::VerifiedOnRead.meets(&required("measured")));
        assert!(!Grade::MeasuredCached.meets(&required("measured")));
        let newer = Grade::Other(Name::known("attested"));
        for nothing in [Grade::None, newer] {
            assert!(!nothing.meets(&required("measured-cached")) && !nothing.meets(&nothing));
        }
        for bad in ["", "none", "runtime-reported", "attested"] {
            assert!(Grade::required(bad).unwrap_err().contains("measured"));
        }
    }

    #[test]
    fn both_schemas_are_read_and_the_new_one_is_written() {
        let sif = SifDigest::of(b"x");
        let tree = TreeRoot::of(b"x");
        let text = format!(
            r#"{{"grade":"verified-on-read","measured":{{"kind":"tree","digest":"{tree}"}}}}"#
        );
        let read: Evidence = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (read.grade, read.tree(), read.sif()),
            (Grade::VerifiedOnRead, Some(tree), None)
        );
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        let old = format!(r#"{{"grade":"measured","sif":"{sif}"}}"#);
        let new = format!(r#"{{"grade":"measured","measured":{{"kind":"sif","digest":"{sif}"}}}}"#);
        for text in [&old, &new] {
            let read: Evidence = serde_json::from_str(text).unwrap();
            assert_eq!(read.sif(), Some(sif));
            assert_eq!(serde_json::to_string(&read).unwrap(), new);
        }
        let newer = r#"{"grade":"attested","measured":{"kind":"verity","digest":"blake3:00"}}"#;
        let read: Evidence = serde_json::from_str(newer).unwrap();
        assert_eq!((read.grade.name(), read.sif()), ("attested", None));
        assert_eq!(serde_json::to_string(&read).unwrap(), newer);
    }
}
