//! The operating system and processor that an image is for.
//!
//! Source: OCI image specification 1.1, `image-index.md`, "platform": `GOOS`/`GOARCH` names. Two platforms count as the
//! same when containerd says so (`platforms/database.go`, `compare.go`).
//!
//! ```text
//! asked                offered                       answer
//! linux/amd64          amd64, amd64/v1               yes, first of all
//!                      amd64/v2, /v3                 yes, when there is nothing for every processor
//! linux/amd64/v1       amd64                         yes; /v2, /v3: no
//! linux/amd64          nothing, or without an os     unknown, which is not the same as no
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{lenient, shown};

/// `os/architecture[/variant]`, for example `linux/amd64` or `linux/arm64/v8`.
///
/// In a document any part may be missing; it is empty then, and means that nobody knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, as Go names it.
    #[serde(default, deserialize_with = "lenient::text")]
    pub os: String,
    /// `amd64`, `arm64`, ... as Go names it.
    #[serde(default, deserialize_with = "lenient::text")]
    pub architecture: String,
    /// `v8` for example; absent for most.
    #[serde(
        default,
        deserialize_with = "lenient::some_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub variant: Option<String>,
}

/// A text that is no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a platform: write os/architecture, for example linux/amd64 or linux/arm64")]
pub struct ParsePlatformError(String);

/// How well an image serves who asks for a platform; the best is the smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// It runs on every processor of this kind, or is the variant that was asked for.
    Whole,
    /// It needs a younger processor, the number says how young; nobody asked for that.
    Newer(u32),
    /// It does not say what it is for, and nothing that it says is wrong.
    Unknown,
    /// It is for something else.
    No,
}

impl Platform {
    /// Linux on the processor that this program was built for.
    #[must_use]
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            other => other,
        };
        Self { os: "linux".into(), architecture: architecture.into(), variant: None }
    }

    /// Nothing is known of it.
    #[must_use]
    pub fn unknown() -> Self {
        Self { os: String::new(), architecture: String::new(), variant: None }
    }

    /// Whether operating system and processor are known.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.os.is_empty() && !self.architecture.is_empty()
    }

    /// With what `other` knows in the place of what is unknown.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let os = if self.os.is_empty() { &other.os } else { &self.os };
        let processor = if self.architecture.is_empty() { other } else { self };
        Self {
            os: os.clone(),
            architecture: processor.architecture.clone(),
            variant: self.variant.clone().or_else(|| processor.variant.clone()),
        }
    }

    /// The processor by one name of those that it is known by, and its variant, where it says one.
    fn processor(&self) -> (String, Option<String>) {
        let lower = self.architecture.to_ascii_lowercase();
        let variant = self.variant.as_deref().map(str::to_ascii_lowercase);
        let plain = |name: &str| (name.to_owned(), variant.clone());
        match lower.as_str() {
            "x86_64" | "x86-64" => plain("amd64"),
            "aarch64" => plain("arm64"),
            "i386" | "i486" | "i586" | "i686" => plain("386"),
            "armhf" => ("arm".into(), variant.or_else(|| Some("v7".into()))),
            "armel" => ("arm".into(), variant.or_else(|| Some("v6".into()))),
            other => plain(other),
        }
    }

    /// The processor as Go names it.
    #[must_use]
    pub fn go_architecture(&self) -> String {
        self.processor().0
    }

    /// How well an image for `offered` serves a target that asks for `self`.
    #[must_use]
    pub fn fit(&self, offered: &Self) -> Fit {
        let (arch, variant) = self.processor();
        let (their_arch, their_variant) = offered.processor();
        // attestations call themselves so
        let nothing = |part: &str| part.eq_ignore_ascii_case("unknown");
        if nothing(&offered.os) || nothing(&their_arch) {
            return Fit::No;
        }
        let differ = |a: &str, b: &str| !b.is_empty() && !a.eq_ignore_ascii_case(b);
        if differ(&self.os, &offered.os) || differ(&arch, &their_arch) {
            return Fit::No;
        }
        if !offered.is_known() {
            return Fit::Unknown;
        }
        // the number of `v7`, also as `7`
        let number = |variant: &str| variant.trim_start_matches('v').parse::<u32>().ok();
        let usual = match arch.as_str() {
            "amd64" => Some(1),
            "arm64" => Some(8),
            "arm" => Some(7),
            _ => None,
        };
        let of = |variant: &Option<String>| variant.as_deref().map_or(usual, number);
        match (&variant, &their_variant) {
            (None, None) => Fit::Whole,
            (None, Some(_)) => match (usual, of(&their_variant)) {
                (Some(usual), Some(theirs)) if theirs == usual => Fit::Whole,
                (Some(usual), Some(theirs)) => Fit::Newer(theirs.abs_diff(usual)),
                _ => Fit::Newer(u32::MAX),
            },
            (Some(a), Some(b)) if a == b => Fit::Whole,
            // `v8` and nothing are the same, `7` and `v7` too
            _ if of(&variant).is_some() && of(&variant) == of(&their_variant) => Fit::Whole,
            _ => Fit::No,
        }
    }

    /// Whether an image for `offered` serves a target that asks for `self`: a variant counts only
    /// when it is asked for, `arm64` equals `arm64/v8`, `amd64` equals `amd64/v1`. Nothing that is
    /// unknown is accepted.
    #[must_use]
    pub fn accepts(&self, offered: &Self) -> bool {
        self.fit(offered) < Fit::Unknown
    }

    /// Whether it can be written behind `--platform`: then it is worth telling.
    #[must_use]
    pub fn can_be_asked_for(&self) -> bool {
        self.to_string().parse::<Self>().as_ref() == Ok(self) && self.fit(self) < Fit::Unknown
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |part: &str| match part {
            "" => "?".to_owned(),
            part => part.chars().filter(|c| !c.is_control()).collect(),
        };
        write!(f, "{}/{}", shown(&self.os), shown(&self.architecture))?;
        self.variant.iter().try_for_each(|v| write!(f, "/{}", shown(v)))
    }
}

impl FromStr for Platform {
    type Err = ParsePlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = |s: &&str| {
            !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            [os, architecture, rest @ ..] if rest.len() < 2 && parts.iter().all(good) => Ok(Self {
                os: (*os).to_owned(),
                architecture: (*architecture).to_owned(),
                variant: rest.first().map(|v| (*v).to_owned()),
            }),
            _ => Err(ParsePlatformError(shown(text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn prints_what_it_parsed() {
        for text in ["linux/amd64", "linux/arm/v7"] {
            assert_eq!(platform(text).to_string(), text);
        }
        for bad in ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/am d64"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn arm64_serves_v8() {
        let plain: Platform = "linux/arm64".parse().unwrap();
        let v8: Platform = "linux/arm64/v8".parse().unwrap();
        assert!(plain.accepts(&v8) && v8.accepts(&plain));
        assert!(!platform("linux/arm/v7").accepts(&platform("linux/arm/v6")));
    }

    /// golang/go and containerd call one processor by several names, and a baseline by none.
    #[test]
    fn how_well_it_fits() {
        for (asked, offered, fit) in [
            ("linux/amd64", "linux/amd64", Fit::Whole),
            ("linux/amd64", "linux/amd64/v1", Fit::Whole),
            ("linux/amd64", "linux/amd64/v2", Fit::Newer(1)),
            ("linux/amd64", "linux/amd64/v3", Fit::Newer(2)),
            ("linux/amd64/v1", "linux/amd64", Fit::Whole),
            ("linux/amd64/v1", "linux/amd64/v2", Fit::No),
            ("linux/amd64/v3", "linux/amd64/v3", Fit::Whole),
            ("linux/amd64/v3", "linux/amd64", Fit::No),
            ("linux/amd64", "linux/x86_64", Fit::Whole),
            ("linux/x86_64", "linux/amd64", Fit::Whole),
            ("linux/amd64", "Linux/AMD64", Fit::Whole),
            ("linux/arm64", "linux/aarch64/v8", Fit::Whole),
            ("linux/arm64", "linux/arm64/v9", Fit::Newer(1)),
            ("linux/arm", "linux/arm/v7", Fit::Whole),
            ("linux/arm", "linux/arm/v5", Fit::Newer(2)),
            ("linux/arm/v7", "linux/arm", Fit::Whole),
            ("linux/arm/v7", "linux/arm/7", Fit::Whole),
            ("linux/arm/v6", "linux/arm", Fit::No),
            ("linux/amd64", "linux/arm64", Fit::No),
            ("linux/amd64", "windows/amd64", Fit::No),
            ("linux/amd64", "unknown/unknown", Fit::No),
            ("linux/ppc64le", "linux/ppc64le/power9", Fit::Newer(u32::MAX)),
        ] {
            assert_eq!(platform(asked).fit(&platform(offered)), fit, "{asked} {offered}");
        }
    }

    #[test]
    fn unknown_is_not_different() {
        let read = |text: &str| serde_json::from_str::<Platform>(text).unwrap();
        let asked = platform("linux/amd64");
        for unknown in [
            "{}",
            r#"{"os":"linux"}"#,
            r#"{"architecture":"amd64"}"#,
            r#"{"os":"","architecture":null,"variant":""}"#,
            r#"{"os":1,"architecture":[]}"#,
        ] {
            assert_eq!(asked.fit(&read(unknown)), Fit::Unknown, "{unknown}");
            assert!(!asked.accepts(&read(unknown)));
            assert!(!read(unknown).can_be_asked_for());
            assert_eq!(read(unknown).or(&asked), asked);
        }
        for other in [r#"{"architecture":"arm64"}"#, r#"{"os":"windows"}"#] {
            assert_eq!(asked.fit(&read(other)), Fit::No, "{other}");
        }
        assert_eq!(read("{}").to_string(), "?/?");
        for odd in ["unknown/unknown", "linux/unknown"] {
            assert!(!platform(odd).can_be_asked_for(), "{odd}");
        }
        assert!(!Platform { variant: Some("a b".into()), ..asked.clone() }.can_be_asked_for());
        assert!(asked.can_be_asked_for() && platform("linux/arm/v7").can_be_asked_for());
    }
}
