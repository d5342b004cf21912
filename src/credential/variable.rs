//! A variable of the environment that holds a credential, and the forms in which users set it.
//!
//! | value | what it means |
//! |---|---|
//! | a line end behind it | is taken off: no user name and no secret has one |
//! | `$NAME`, `${NAME}` | nobody replaced it: GitLab leaves the text where the variable is not defined for this branch. An error that says so |
//! | `/path/of/a/file` | a GitLab variable of the type *File*: the file's text counts |
//!
//! Source: GitLab's "CI/CD variables" (file type, expansion). A file is opened without following a
//! link, must be this user's or root's, and is read to a limit. Its mode does not count: GitLab's
//! executors write it under umask 0000, below the job's own directory.

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::geteuid;

use super::file::LARGEST;
use super::{CredentialError, SourceQuestion};

impl SourceQuestion<'_> {
    /// The text that a variable gives; `None` when it is not set or empty.
    ///
    /// # Errors
    /// [`CredentialError::Variable`] for a text that nobody replaced and a file that cannot be read.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<Cow<'_, str>>, CredentialError> {
        let Some(value) = self.variable(name) else { return Ok(None) };
        let bad = |reason: String| CredentialError::Variable { name, reason };
        let value = plain(value);
        if let Some(other) = unreplaced(value) {
            return Err(bad(format!(
                "it holds the text ${other}, which nobody replaced: {other} is not defined here (in \
                 GitLab a protected variable is not on an unprotected branch)"
            )));
        }
        let text = match file(value).map_err(|e| bad(format!("it names a file: {e}")))? {
            Some(text) => Cow::Owned(plain(&text).to_owned()),
            None => Cow::Borrowed(value),
        };
        Ok(Some(text).filter(|text| !text.is_empty()))
    }
}

/// Without line ends behind it.
pub(super) fn plain(value: &str) -> &str {
    value.trim_end_matches(['\n', '\r'])
}

/// The name in a value that is nothing but `$NAME` or `${NAME}`. A secret may begin with a dollar
/// sign, so only names as variables have them count.
pub(super) fn unreplaced(value: &str) -> Option<&str> {
    let rest = value.trim().strip_prefix('$')?;
    let name = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(rest);
    let is_name = name.len() > 3
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    is_name.then_some(name)
}

/// The text of the file that a value names; `None` when it names none.
fn file(value: &str) -> std::io::Result<Option<String>> {
    let path = Path::new(value);
    if !value.starts_with('/') || value.contains('\n') || !path.is_file() {
        return Ok(None);
    }
    let flags = OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || (meta.uid() != 0 && meta.uid() != geteuid().as_raw()) {
        return Err(std::io::Error::other("it is not this user's own regular file"));
    }
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text)?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_nobody_replaced() {
        assert_eq!(unreplaced("$DEPLOY_PASSWORD"), Some("DEPLOY_PASSWORD"));
        assert_eq!(unreplaced("${CI_JOB_TOKEN}\n"), Some("CI_JOB_TOKEN"));
        for secret in ["$ecret", "$", "$A1", "pa$$WORD", "$DEPLOY-1", "$DEPLOY_x", "${DEPLOY"] {
            assert_eq!(unreplaced(secret), None, "{secret}");
        }
    }
}
