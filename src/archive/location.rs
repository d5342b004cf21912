//! What a user typed: a form, a path, and which image in it.

use std::fmt;
use std::path::PathBuf;

/// The forms that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A directory in OCI layout.
    Oci,
    /// A tar of such a directory.
    OciArchive,
    /// What `docker save` writes.
    DockerArchive,
}

impl Form {
    /// All with their schemes. `oci-archive:` does not start with `oci:`.
    const ALL: [(&'static str, Self); 3] = [
        ("oci:", Self::Oci),
        ("oci-archive:", Self::OciArchive),
        ("docker-archive:", Self::DockerArchive),
    ];
}

/// What a user typed: a form, a path, and which image in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// What is expected there.
    pub form: Form,
    /// Where.
    pub path: PathBuf,
    /// Which image, where there are several.
    pub tag: Option<String>,
}

impl Location {
    /// Reads `oci:DIR[:TAG]` and the like; `None` for texts without such a scheme or path.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, form) = Form::ALL
            .iter()
            .find_map(|(scheme, form)| Some((text.strip_prefix(scheme)?, *form)))?;
        let (path, tag) = match rest.split_once(':') {
            // a digest as references write it
            Some((path, hex)) if path.len() > 7 && path.ends_with("@sha256") => {
                (&path[..path.len() - 7], Some(format!("sha256:{hex}")))
            }
            Some((path, tag)) => (path, Some(tag.to_owned()).filter(|tag| !tag.is_empty())),
            None => (rest, None),
        };
        (!path.is_empty()).then(|| Self { form, path: path.into(), tag })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = Form::ALL.iter().find(|(_, form)| *form == self.form).map_or("", |(s, _)| s);
        write!(f, "{scheme}{}", self.path.display())?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))
    }
}
