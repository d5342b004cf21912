//! A host directory or file that the job sees: `SRC[:DST][:ro|rw][:required|optional]`.
//!
//! Whether the source exists is decided on the worker. The built-in `/cvmfs` mount is silent when
//! the worker has none; one that the user asked for warns, or ends the job when it is required.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whether the job may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Read only.
    Ro,
    /// As the host allows.
    #[default]
    Rw,
}

/// What a missing source means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Nothing: for built-in mounts.
    Silent,
    /// A warning on the job's stderr and a note in the receipt.
    #[default]
    Optional,
    /// The job ends with 212 before its program starts.
    Required,
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path on the worker.
    pub source: String,
    /// Absolute path in the container.
    pub target: String,
    /// Read only or not.
    pub access: Access,
    /// What a missing source means.
    pub need: Need,
}

impl Mount {
    /// The built-in `/cvmfs` mount.
    #[must_use]
    pub fn cvmfs() -> Self {
        Self {
            source: "/cvmfs".into(),
            target: "/cvmfs".into(),
            access: Access::Ro,
            need: Need::Silent,
        }
    }
}

/// A text that is no mount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a mount: {why} (write SRC[:DST][:ro|rw][:required])")]
pub struct ParseMountError {
    text: String,
    why: &'static str,
}

fn absolute(path: &str) -> bool {
    path.starts_with('/')
        && !path.split('/').any(|part| part == ".." || part == ".")
        && !path.contains(['\0', '\n'])
}

impl FromStr for Mount {
    type Err = ParseMountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |why| ParseMountError { text: text.to_owned(), why };
        let mut parts = text.split(':').peekable();
        let source = parts.next().unwrap_or_default();
        let target = parts.next_if(|p| p.starts_with('/')).unwrap_or(source);
        let mut mount = Self {
            source: source.to_owned(),
            target: target.to_owned(),
            access: Access::default(),
            need: Need::default(),
        };
        for word in parts {
            match word {
                "ro" => mount.access = Access::Ro,
                "rw" => mount.access = Access::Rw,
                "required" => mount.need = Need::Required,
                "optional" => mount.need = Need::Optional,
                _ => return Err(bad("after the paths come only ro, rw, required, optional")),
            }
        }
        if !absolute(source) || !absolute(target) {
            return Err(bad("both paths must be absolute, without . or .."));
        }
        if target.trim_end_matches('/').is_empty() {
            return Err(bad("the container's root cannot be mounted over"));
        }
        if target.trim_end_matches('/') == super::WORK_DIR {
            return Err(bad("/work_dir is the working directory; use --workdir"));
        }
        Ok(mount)
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.target)?;
        if self.access == Access::Ro {
            f.write_str(":ro")?;
        }
        if self.need == Need::Required {
            f.write_str(":required")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let show = |t: &str| t.parse::<Mount>().map(|m| m.to_string());
        assert_eq!(show("/data").unwrap(), "/data:/data");
        assert_eq!(show("/data:/d:ro:required").unwrap(), "/data:/d:ro:required");
        assert_eq!(show("/data:ro").unwrap(), "/data:/data:ro");
        for bad in ["", "data", "/a:/b:/c", "/a:rx", "/a/../b", "/a:/", "/a:/work_dir"] {
            assert!(show(bad).is_err(), "{bad}");
        }
    }
}
