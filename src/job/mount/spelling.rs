//! How a mount is written.
//!
//! ```text
//! SRC[:DST][:ro|rw][:required|optional]                         \: is a colon in a path, \\ a backslash
//! type=bind,source=SRC[,target=DST][,readonly][,required]       as docker's --mount
//! ```
//!
//! The second is one CSV record (RFC 4180): a field with a comma or a quote stands between double
//! quotes, `"source=/a,b"`, and a quote in it is doubled. Keys and their other names are docker's;
//! `required` and `optional` are ours. A text that starts with `/` is of the first kind.

use super::manner::{Access, Need};
use crate::job::WORK_DIR;

/// A mount as it was written.
pub(super) struct Written {
    pub(super) source: String,
    pub(super) target: String,
    pub(super) access: Access,
    pub(super) need: Need,
}

/// What a text says; the error says why it is no mount.
pub(super) fn parse(text: &str) -> Result<Written, String> {
    let record = !text.starts_with('/') && text.contains('=');
    let said = if record { long(text)? } else { short(text)? };
    let source = said.source.ok_or("it has no source")?;
    let mount = Written {
        target: path(&said.target.unwrap_or_else(|| source.clone()))?,
        source: path(&source)?,
        access: said.access.unwrap_or_default(),
        need: said.need.unwrap_or_default(),
    };
    if mount.target == "/" {
        return Err("the container's root cannot be mounted over".into());
    }
    if mount.target == WORK_DIR {
        return Err("/work_dir is the working directory; use --workdir".into());
    }
    Ok(mount)
}

#[derive(Default)]
struct Said {
    source: Option<String>,
    target: Option<String>,
    access: Option<Access>,
    need: Option<Need>,
}

impl Said {
    /// `ro`, `required` and the like, or `None` for another word.
    fn word(&mut self, word: &str) -> Option<Result<(), String>> {
        Some(match word {
            "ro" | "readonly" => once(&mut self.access, Access::Ro, "ro or rw"),
            "rw" => once(&mut self.access, Access::Rw, "ro or rw"),
            "required" => once(&mut self.need, Need::Required, "required or optional"),
            "optional" => once(&mut self.need, Need::Optional, "required or optional"),
            _ => return None,
        })
    }
}

fn once<T>(place: &mut Option<T>, value: T, what: &str) -> Result<(), String> {
    if place.replace(value).is_some() {
        return Err(format!("it says {what} twice"));
    }
    Ok(())
}

fn short(text: &str) -> Result<Said, String> {
    let mut parts = split(text).into_iter().peekable();
    let mut said = Said { source: parts.next(), ..Said::default() };
    said.target = parts.next_if(|part| part.starts_with('/'));
    for word in parts {
        said.word(&word).ok_or(
            "after the paths come only ro, rw, required, optional; a colon in a path is written \\:",
        )??;
    }
    Ok(said)
}

/// The parts between colons, without the backslash before a colon or a backslash.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let escaped = letter == '\\' && letters.peek().is_some_and(|next| ":\\".contains(*next));
        if letter == ':' {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            // any other backslash is one
            part.push(if escaped { letters.next().unwrap_or(letter) } else { letter });
        }
    }
    parts
}

fn long(text: &str) -> Result<Said, String> {
    let mut said = Said::default();
    let mut kind = None;
    for field in record(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value.to_owned())),
            None => (field.to_ascii_lowercase(), None),
        };
        let given = || value.clone().ok_or_else(|| format!("{key} needs a value: {key}=..."));
        match key.as_str() {
            "type" => once(&mut kind, given()?, "type")?,
            "source" | "src" => once(&mut said.source, given()?, "source")?,
            "target" | "destination" | "dst" => once(&mut said.target, given()?, "target")?,
            "readonly" | "ro" | "rw" | "required" | "optional" => {
                let yes = match value.as_deref() {
                    None | Some("true" | "1") => true,
                    Some("false" | "0") => false,
                    Some(_) => return Err(format!("{key} is true or false")),
                };
                let word = match (key.as_str(), yes) {
                    ("readonly" | "ro", true) | ("rw", false) => "ro",
                    ("readonly" | "ro", false) | ("rw", true) => "rw",
                    ("required", true) | ("optional", false) => "required",
                    _ => "optional",
                };
                said.word(word).unwrap_or(Ok(()))?;
            }
            "" => return Err("there is an empty field".into()),
            _ => {
                return Err(format!(
                    "{key:?} is not known here; known are type, source, target, readonly, required, optional"
                ));
            }
        }
    }
    match kind.as_deref() {
        None | Some("bind") => Ok(said),
        Some(other) => Err(format!("type is bind, {other:?} is not supported")),
    }
}

/// The fields of one CSV record.
fn record(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted_field(quoted)?
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            (rest[..end].to_owned(), &rest[end..])
        };
        if !rest.starts_with('"') && field.contains('"') {
            return Err("a field with a double quote must stand between double quotes".into());
        }
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err("after a closing quote comes a comma".into()),
        }
    }
}

/// What stands before the closing quote, and what comes behind it.
fn quoted_field(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let Some((before, after)) = rest.split_once('"') else {
            return Err("a double quote is not closed".into());
        };
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None => return Ok((field, after)),
        }
    }
}

/// One spelling of each path: `//a/./b/` is `/a/b`.
fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("both paths must be absolute".into());
    }
    if text.contains(['\0', '\n']) {
        return Err(
            "a path with a newline is not supported; mount its parent, or a link to it".into()
        );
    }
    let parts: Vec<_> = text.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    if parts.contains(&"..") {
        return Err("a path must not hold ..".into());
    }
    Ok(format!("/{}", parts.join("/")))
}

/// A path of the first kind.
pub(super) fn escaped(path: &str) -> String {
    path.replace('\\', "\\\\").replace(':', "\\:")
}
