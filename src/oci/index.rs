//! An image index (docker: manifest list): one entry per platform.
//!
//! One bad entry does not spoil the others. An entry that cannot be read (a digest of another algorithm, no size) is
//! kept as unreadable, and is reported only when no other entry fits.
//!
//! Source: OCI image specification 1.1, `image-index.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Descriptor, Fit, Platform, lenient, media_type};

/// The entries of an index, in the order of the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The media type, where the document states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What it points to, as far as it can be read.
    pub manifests: Vec<IndexEntry>,
    /// What cannot be read of it.
    #[serde(skip)]
    pub odd: Vec<OddEntry>,
    /// Annotations; free text of the image's author.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A manifest in an index and the platform that it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexEntry {
    /// The manifest.
    #[serde(flatten)]
    pub descriptor: Descriptor,
    /// Absent for entries that are no image (attestations, artifacts), and where builders say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What it is, when that is not an image.
    #[serde(
        default,
        deserialize_with = "lenient::some_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub artifact_type: Option<String>,
    /// Where it stands in the document, from 0.
    #[serde(skip)]
    pub position: usize,
}

/// An entry that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OddEntry {
    /// Where it stands in the document, from 0.
    pub position: usize,
    /// What it is for, as far as that can be read.
    pub platform: Platform,
    /// Why it cannot be read.
    pub why: String,
}

impl<'de> Deserialize<'de> for Index {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Raw {
            schema_version: u32,
            #[serde(default, deserialize_with = "lenient::some_text")]
            media_type: Option<String>,
            #[serde(deserialize_with = "lenient::null_is_default")]
            manifests: Vec<Value>,
            #[serde(default, deserialize_with = "lenient::texts")]
            annotations: BTreeMap<String, String>,
        }
        let Raw { schema_version, media_type, manifests: all, annotations } = Raw::deserialize(d)?;
        let (mut manifests, mut odd) = (Vec::new(), Vec::new());
        for (position, mut entry) in all.into_iter().enumerate() {
            // what is no platform tells nothing, and is no reason not to read the rest
            let platform = entry.get_mut("platform").map(Value::take);
            let platform: Option<Platform> =
                platform.and_then(|platform| serde_json::from_value(platform).ok());
            match serde_json::from_value::<IndexEntry>(entry) {
                Ok(entry) => manifests.push(IndexEntry { platform, position, ..entry }),
                Err(why) => {
                    let platform = platform.unwrap_or_else(Platform::unknown);
                    odd.push(OddEntry { position, platform, why: why.to_string() });
                }
            }
        }
        Ok(Self { schema_version, media_type, manifests, odd, annotations })
    }
}

/// docker's builder marks what it attaches to an image.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

impl IndexEntry {
    /// How well it serves a platform, as far as the index says.
    #[must_use]
    pub fn fit(&self, platform: &Platform) -> Fit {
        let essence = media_type::essence(&self.descriptor.media_type);
        let known = media_type::MANIFESTS.contains(&essence.as_str());
        if self.artifact_type.is_some()
            || self.descriptor.annotations.contains_key(REFERENCE_TYPE)
            || (!known && essence.starts_with("application/vnd."))
        {
            return Fit::No;
        }
        self.platform.as_ref().map_or(Fit::Unknown, |offered| platform.fit(offered))
    }
}

impl Index {
    /// The entries that may serve a platform, the best first; equally good ones in the order of the
    /// document, as the specification says: earlier entries are preferred. What does not say what it
    /// is for comes before what needs a younger processor than was asked for.
    #[must_use]
    pub fn serving(&self, platform: &Platform) -> Vec<(Fit, &IndexEntry)> {
        let fits = self.manifests.iter().map(|entry| (entry.fit(platform), entry));
        let mut fits: Vec<_> = fits.filter(|(fit, _)| *fit < Fit::No).collect();
        // stable
        fits.sort_by_key(|(fit, _)| match fit {
            Fit::Whole => (0, 0),
            Fit::Unknown => (1, 0),
            Fit::Newer(by) => (2, *by),
            Fit::No => (3, 0),
        });
        fits
    }

    /// The platforms that the index offers, for messages: such as can be asked for.
    #[must_use]
    pub fn platforms(&self) -> Vec<Platform> {
        let offers = |entry: &IndexEntry| {
            let platform = entry.platform.clone()?;
            (platform.can_be_asked_for() && entry.fit(&platform) < Fit::Unknown).then_some(platform)
        };
        self.manifests.iter().filter_map(offers).collect()
    }

    /// Why an entry that may be meant cannot be read.
    #[must_use]
    pub fn why_not(&self, platform: &Platform) -> Option<String> {
        let odd = self.odd.iter().find(|odd| platform.fit(&odd.platform) < Fit::No)?;
        Some(format!("its entry {} for {} cannot be read: {}", odd.position, odd.platform, odd.why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn entry(rest: &str) -> String {
        format!(
            r#"{{"mediaType":"{}","digest":"sha256:{HEX}","size":1{rest}}}"#,
            media_type::OCI_MANIFEST
        )
    }

    fn index(entries: &[String]) -> Index {
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    fn positions(index: &Index, platform: &str) -> Vec<usize> {
        let serving = index.serving(&platform.parse().unwrap());
        serving.iter().map(|(_, entry)| entry.position).collect()
    }

    /// skopeo#901, podman#25045: what stands beside the image that is wanted.
    #[test]
    fn an_odd_neighbour_spoils_nothing() {
        let good = entry(r#","platform":{"os":"linux","architecture":"amd64"}"#);
        let sha512 = format!(
            r#"{{"digest":"sha512:{HEX}{HEX}","size":1,"platform":{{"os":"linux","architecture":"arm64"}}}}"#
        );
        for odd in [
            "null",
            "1",
            "{}",
            r#"{"digest":null}"#,
            &sha512,
            &entry(r#","platform":null,"annotations":null"#),
            &entry(r#","platform":"linux/s390x""#),
            &entry(r#","platform":{"os":"linux"},"annotations":{"a":null,"b":1}"#),
            &entry(r#","platform":{"os":"unknown","architecture":"unknown"}"#),
            &entry(r#","platform":{"os":"linux","architecture":"amd64"},"artifactType":"a/b""#),
            &entry(r#","annotations":{"vnd.docker.reference.type":"attestation-manifest"}"#),
            &entry("").replace(media_type::OCI_MANIFEST, "application/vnd.in-toto+json"),
        ] {
            let index = index(&[odd.to_owned(), good.clone()]);
            assert_eq!(positions(&index, "linux/amd64")[0], 1, "{odd}");
            assert_eq!(index.platforms(), ["linux/amd64".parse().unwrap()], "{odd}");
        }
        let index = index(&[sha512, good]);
        let why = index.why_not(&"linux/arm64".parse().unwrap()).unwrap();
        assert!(why.contains("entry 0 for linux/arm64") && why.contains("sha512:"), "{why}");
        assert_eq!(index.why_not(&"linux/amd64".parse().unwrap()), None);
    }

    /// Go's programs write a list that is nil as `null`.
    #[test]
    fn no_entries_are_no_error() {
        let index: Index =
            serde_json::from_str(r#"{"schemaVersion":2,"manifests":null,"annotations":null}"#)
                .unwrap();
        assert!(index.manifests.is_empty());
    }

    #[test]
    fn the_baseline_comes_first() {
        let of = |variant: &str| {
            let variant = if variant.is_empty() {
                String::new()
            } else {
                format!(r#","variant":"{variant}""#)
            };
            entry(&format!(r#","platform":{{"os":"linux","architecture":"amd64"{variant}}}"#))
        };
        let all = index(&[of("v3"), of("v2"), entry(""), of("v1"), of("")]);
        assert_eq!(positions(&all, "linux/amd64"), [3, 4, 2, 1, 0]);
        assert_eq!(positions(&all, "linux/amd64/v1"), [3, 4, 2]);
        assert_eq!(positions(&all, "linux/amd64/v3"), [0, 2]);
        assert_eq!(positions(&index(&[of("v3"), of("v2")]), "linux/amd64"), [1, 0]);
    }
}
