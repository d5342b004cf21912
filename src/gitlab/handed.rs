//! A digest that a build job handed over in a file.
//!
//! ```text
//!  sha256:9f86...                                kaniko --digest-file, buildah/podman --digestfile
//!  registry/group/project:v1@sha256:9f86...      kaniko --image-name-tag-with-digest-file
//!  {"containerimage.digest": "sha256:9f86..."}   docker buildx build --metadata-file
//!  {"app": {"containerimage.digest": ...}}       docker buildx bake --metadata-file
//! ```
//!
//! It is a claim, like everything that comes from a file of a pipeline: the registry is asked for
//! it, and a repository in it must be the project's.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::failure::{Failure, Kind};
use crate::oci::{Digest, Reference};

/// Larger files hold something else.
const MOST_BYTES: usize = 1 << 20;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// The digest, of a manifest or of an index.
    pub digest: Digest,
    /// The repository, when the file names one.
    pub named: Option<Reference>,
}

/// Why a digest file is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandedError {
    /// Nothing in it.
    #[error("it is empty: the build job may not have pushed")]
    Empty,
    /// Too large to be one.
    #[error("it has {0} bytes, which is too much for a digest file")]
    TooLarge(usize),
    /// JSON without a digest.
    #[error("it has no \"containerimage.digest\": the build may not have pushed to a registry")]
    NoDigest,
    /// Several images.
    #[error("it holds several digests: {}", .0.join(", "))]
    Several(Vec<String>),
    /// Something else. It may be another file, with a secret in it, so nothing of it is repeated.
    #[error("line {0} is neither a digest nor a reference with one (it is not repeated here)")]
    Malformed(usize),
}

impl Failure for HandedError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hint(&self) -> Option<String> {
        Some(
            "a digest file is what kaniko --digest-file, buildah --digestfile or docker buildx \
             --metadata-file wrote: one image"
                .into(),
        )
    }
}

impl Handed {
    /// Reads a digest file's text.
    ///
    /// # Errors
    /// When it does not hold exactly one digest.
    pub fn parse(text: &str) -> Result<Self, HandedError> {
        if text.len() > MOST_BYTES {
            return Err(HandedError::TooLarge(text.len()));
        }
        let text = text.trim();
        if text.starts_with('{') {
            return Self::metadata(text);
        }
        let mut found: Vec<Self> = Vec::new();
        for (at, line) in text.lines().map(str::trim).enumerate() {
            if !line.is_empty() {
                found.push(Self::line(line).ok_or(HandedError::Malformed(at + 1))?);
            }
        }
        Self::only(found)
    }

    fn line(line: &str) -> Option<Self> {
        if let Ok(digest) = line.parse() {
            return Some(Self { digest, named: None });
        }
        let named: Reference = line.parse().ok()?;
        Some(Self { digest: named.digest?, named: Some(named) })
    }

    fn metadata(text: &str) -> Result<Self, HandedError> {
        let malformed = |line| HandedError::Malformed(line);
        let table: BTreeMap<String, Value> =
            serde_json::from_str(text).map_err(|error| malformed(error.line()))?;
        // bake writes one such table for each target
        let targets = table.values().filter_map(|value| value.get("containerimage.digest"));
        let digests = table.get("containerimage.digest").into_iter().chain(targets);
        let mut found = Vec::new();
        for digest in digests {
            let digest = digest.as_str().and_then(|text| text.parse().ok()).ok_or(malformed(1))?;
            found.push(Self { digest, named: None });
        }
        if found.is_empty() { Err(HandedError::NoDigest) } else { Self::only(found) }
    }

    /// The one digest; the same one twice (two tags of one image) is one.
    fn only(mut found: Vec<Self>) -> Result<Self, HandedError> {
        found.dedup_by_key(|handed| handed.digest);
        match found.len() {
            0 => Err(HandedError::Empty),
            1 => Ok(found.remove(0)),
            _ => Err(HandedError::Several(found.iter().map(|h| h.digest.to_string()).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const D: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    const E: &str = "sha256:1b4f0e9851971998e732078544c96b36c3d01cedf7caa332359d6f1d83567014";

    #[test]
    fn what_builders_write() {
        let digest: Digest = D.parse().unwrap();
        for text in [
            D.to_owned(),
            format!("{D}\n"),
            format!("r.example/group/project:v1@{D}\nr.example/group/project:v2@{D}\n"),
            format!(r#"{{"containerimage.config.digest":"{E}","containerimage.digest":"{D}"}}"#),
            format!(r#"{{"app":{{"containerimage.digest":"{D}","image.name":"x"}}}}"#),
        ] {
            assert_eq!(Handed::parse(&text).unwrap().digest, digest, "{text}");
        }
        let named = Handed::parse(&format!("r.example/group/project@{D}")).unwrap().named.unwrap();
        assert_eq!(named.repository.as_str(), "group/project");
    }

    #[test]
    fn what_is_no_digest_file() {
        let show = |text: &str| Handed::parse(text).unwrap_err().to_string();
        assert!(show("\n").starts_with("it is empty"));
        assert!(show(r#"{"image.name":"x"}"#).starts_with("it has no"));
        assert!(show(&format!("{D}\n{E}")).starts_with("it holds several"));
        let bake = format!(
            r#"{{"a":{{"containerimage.digest":"{D}"}},"b":{{"containerimage.digest":"{E}"}}}}"#
        );
        assert!(show(&bake).starts_with("it holds several"));
        for bad in
            ["latest", "r.example/a:v1", "{", r#"{"containerimage.digest":1}"#, "sha256:../x"]
        {
            assert!(show(bad).contains("is neither a digest"), "{bad}: {}", show(bad));
        }
        assert!(show(&"x".repeat(2 << 20)).contains("bytes"));
        assert!(show(&format!("{D}\n\nx")).starts_with("line 3 is neither a digest"));
    }

    #[test]
    fn nothing_of_another_file_is_repeated() {
        for text in [
            "glpat-hunter2",
            "registry.example/a:v1@hunter2",
            "user:hunter2@registry.example/a",
            "{\"auths\":{\"r\":{\"auth\":\"hunter2\"}}}",
            "{\"containerimage.digest\":\"hunter2\"}",
            "{hunter2",
        ] {
            let error = Handed::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(text in "(?s).{0,200}") {
            let _ = Handed::parse(&text);
        }
    }
}
