//! A host directory or file that the job sees: `SRC[:DST][:ro|rw][:required|optional]`, or as docker
//! writes it (`spelling.rs`).
//!
//! Targets are compared by component: `//a/./b/` is `/a/b`. Each origin (a configuration file, a job file,
//! the command line) may say one mount for a target; a later origin takes the place of an earlier one.
//!
//! Paths are UTF-8, because plans and ledgers are text. A source of another kind is reached through its
//! parent or a link.
//!
//! Whether the source exists is decided on the worker. The built-in `/cvmfs` mount is silent when
//! the worker has none; one that the user asked for warns, or ends the job when it is required.

mod manner;
mod spelling;

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use manner::{Access, Need};
use spelling::Written;

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

    /// Reads a mount of a project file. In the first spelling its source may also be relative: `data:/data`,
    /// `.:/project`. Then it is below the project's directory, which the caller puts in front; until then
    /// [`Mount::source`] is relative, and `.` is that directory itself.
    ///
    /// # Errors
    /// As for any mount, and when a relative source has no target or leads upward.
    pub fn of_project(text: &str) -> Result<Self, ParseMountError> {
        let bad = |why| ParseMountError { text: text.to_owned(), why };
        if text.starts_with('/') || text.is_empty() || !text.contains(":/") {
            return text.parse();
        }
        // as if the project's directory were the root
        let mount = Self::from(spelling::parse(&format!("/{text}")).map_err(bad)?);
        let below = mount.source.trim_start_matches('/');
        let source = if below.is_empty() { "." } else { below }.to_owned();
        Ok(Self { source, ..mount })
    }

    /// Whether both are to lie at one place.
    #[must_use]
    pub fn same_target(&self, other: &Self) -> bool {
        Path::new(&self.target) == Path::new(&other.target)
    }

    /// Reads an argument.
    ///
    /// # Errors
    /// When it is no mount, or not UTF-8.
    pub fn from_argument(text: &OsStr) -> Result<Self, ParseMountError> {
        let why = "a path that is not UTF-8 is not supported; mount its parent, or a link to it that has \
                   a UTF-8 name";
        match text.to_str() {
            Some(text) => text.parse(),
            None => {
                Err(ParseMountError { text: text.to_string_lossy().into_owned(), why: why.into() })
            }
        }
    }

    /// Puts the mounts of a later origin over those of earlier ones; returns the pairs (earlier, later)
    /// of which the later takes the other's place with another source or access.
    ///
    /// # Errors
    /// When `later` says two different mounts for one target; which one is meant cannot be known.
    pub fn lay_over(
        earlier: &mut Vec<Self>,
        later: &[Self],
    ) -> Result<Vec<(Self, Self)>, MountClash> {
        for (at, one) in later.iter().enumerate() {
            if let Some(other) = later[..at].iter().find(|m| m.same_target(one) && *m != one) {
                return Err(MountClash(Box::new((other.clone(), one.clone()))));
            }
        }
        let mut replaced = Vec::new();
        for one in later {
            let gone = earlier.extract_if(.., |m| m.same_target(one));
            replaced.extend(gone.filter(|m| m != one).map(|m| (m, one.clone())));
            earlier.push(one.clone());
        }
        Ok(replaced)
    }
}

/// Two mounts for one place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two mounts have one target: {} and {}", .0.0, .0.1)]
pub struct MountClash(Box<(Mount, Mount)>);

/// A text that is no mount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a mount: {why} (write SRC[:DST][:ro|rw][:required], or \
     type=bind,source=SRC,target=DST[,readonly][,required])"
)]
pub struct ParseMountError {
    text: String,
    why: String,
}

impl From<Written> for Mount {
    fn from(written: Written) -> Self {
        let Written { source, target, access, need } = written;
        Self { source, target, access, need }
    }
}

impl FromStr for Mount {
    type Err = ParseMountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        spelling::parse(text)
            .map(Self::from)
            .map_err(|why| ParseMountError { text: text.to_owned(), why })
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", spelling::escaped(&self.source), spelling::escaped(&self.target))?;
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
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;

    fn mount(text: &str) -> Mount {
        text.parse().unwrap()
    }

    #[test]
    fn forms() {
        for (text, shown) in [
            ("/data", "/data:/data"),
            ("/data:/d:ro:required", "/data:/d:ro:required"),
            ("/data:required:rw", "/data:/data:required"),
            ("/data:ro", "/data:/data:ro"),
            ("//a/./b/:/c//d/", "/a/b:/c/d"),
            (r"/a\:b:/c\:d:ro", r"/a\:b:/c\:d:ro"),
            (r"/a\\:/c\\d", r"/a\\:/c\\d"),
            // a backslash before anything else is one
            (r"/a\b", r"/a\\b:/a\\b"),
            ("/a,b:/c d=e", "/a,b:/c d=e"),
            ("type=bind,source=/a:b,target=/c", r"/a\:b:/c"),
            ("type=bind,src=/a,dst=/c,readonly,required", "/a:/c:ro:required"),
            ("source=/a,destination=/c,ro=false,optional", "/a:/c"),
            ("Source=/a,READONLY=true", "/a:/a:ro"),
            (r#"type=bind,"source=/a,""b""",target=/c"#, r#"/a,"b":/c"#),
            ("source=/a=b,target=/c", "/a=b:/c"),
        ] {
            assert_eq!(mount(text).to_string(), shown, "{text}");
            assert_eq!(mount(shown), mount(text), "{text}");
        }
    }

    #[test]
    fn refusals_say_why() {
        for (text, why) in [
            ("", "must be absolute"),
            ("data", "must be absolute"),
            ("/a:/b:/c", r"written \:"),
            ("/a:b:/c", r"written \:"),
            ("/a:rx", "come only ro, rw"),
            ("/a:ro:rw", "ro or rw twice"),
            ("/a/../b", "must not hold .."),
            ("/a:/", "root cannot be mounted over"),
            ("/a://.", "root cannot be mounted over"),
            ("/a:/work_dir/.", "use --workdir"),
            ("/a\nb", "newline"),
            ("type=tmpfs,target=/a", "\"tmpfs\" is not supported"),
            ("type=bind,target=/a", "no source"),
            ("source=/a,src=/b", "source twice"),
            ("source=/a,volume-nocopy", "\"volume-nocopy\" is not known"),
            ("source=/a,readonly=maybe", "readonly is true or false"),
            ("source=a,target=/c", "must be absolute"),
            ("source,target=/c", "source needs a value"),
            ("source=/a,,target=/c", "an empty field"),
            (r#""source=/a,target=/c"#, "not closed"),
            (r#"source="/a",target=/c"#, "between double quotes"),
            (r#""source=/a"b,target=/c"#, "comes a comma"),
        ] {
            let error = text.parse::<Mount>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let error = Mount::from_argument(OsStr::from_bytes(b"/a\xff:/b")).unwrap_err().to_string();
        assert!(error.contains("not UTF-8"), "{error}");
    }

    #[test]
    fn a_target_has_one_mount_whatever_its_spelling() {
        let mut all = vec![Mount::cvmfs(), mount("/a:/x/y")];
        // as an older program stored it
        let old = Mount { target: "//x/./y/".into(), ..mount("/b:/z") };
        let replaced = Mount::lay_over(&mut all, std::slice::from_ref(&old)).unwrap();
        assert_eq!(replaced, [(mount("/a:/x/y"), old.clone())]);
        assert_eq!(all, [Mount::cvmfs(), old]);
        // the same once more is no clash, and nothing to tell
        let twice = [mount("/c:/d"), mount("/c:/d/")];
        assert_eq!(Mount::lay_over(&mut all, &twice).unwrap(), []);
        assert_eq!(all.len(), 3);
        for (one, other) in [("/a:/t", "/b:/t/"), ("/a:/t", "/a:/t:ro")] {
            let clash = Mount::lay_over(&mut all, &[mount(one), mount(other)]).unwrap_err();
            let said = clash.to_string();
            assert!(said.contains(&mount(one).to_string()), "{said}");
            assert!(said.contains(&mount(other).to_string()), "{said}");
        }
        // a name that begins with another is another
        assert!(!mount("/a:/scratch").same_target(&mount("/a:/scratch2")));
    }

    #[test]
    fn a_projects_source_may_be_relative() {
        let show = |t: &str| Mount::of_project(t).map(|m| m.to_string());
        assert_eq!(show("data:/data").unwrap(), "data:/data");
        assert_eq!(show("./a//b/:/d:ro").unwrap(), "a/b:/d:ro");
        assert_eq!(show(".:/project").unwrap(), ".:/project");
        assert_eq!(show("/data").unwrap(), "/data:/data");
        assert_eq!(show("type=bind,source=/a,target=/d").unwrap(), "/a:/d");
        for bad in [
            "",
            "data",
            "data:ro",
            "..:/d",
            "a/../b:/d",
            "../a:/d",
            "~:",
            "/a/../b:/d",
            "a:b",
            "a:/",
            "a:/work_dir",
        ] {
            assert!(show(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(
            source in "(/[a:,\\\\\"= '.\u{e9}]{1,4}){1,3}", target in "(/[b:,\\\\\"= '\u{fc}]{1,4}){1,3}",
            ro: bool, required: bool,
        ) {
            prop_assume!(!source.split('/').any(|p| p == "." || p == ".."));
            let mount = Mount {
                source,
                target,
                access: if ro { Access::Ro } else { Access::Rw },
                need: if required { Need::Required } else { Need::Optional },
            };
            prop_assert_eq!(mount.to_string().parse::<Mount>().unwrap(), mount);
        }
    }
}
