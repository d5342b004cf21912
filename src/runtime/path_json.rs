//! A path in JSON without loss: a string where it is UTF-8, else the list of its bytes.
//!
//! ```text
//! "/usr/bin"            /usr/bin
//! [47, 114, 255]        /r\xff
//! ```
//!
//! For `#[serde(with = "path_json")]`. serde's own form refuses the second kind, and images and
//! machines have such names.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Text(String),
    Bytes(Vec<u8>),
}

/// Writes it.
///
/// # Errors
/// Only the serializer's own.
pub fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    match path.to_str() {
        Some(text) => text.serialize(to),
        None => path.as_os_str().as_bytes().serialize(to),
    }
}

/// Reads it.
///
/// # Errors
/// For anything else.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    Ok(match Form::deserialize(from)? {
        Form::Text(text) => PathBuf::from(text),
        Form::Bytes(bytes) => PathBuf::from(OsString::from_vec(bytes)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Holder(#[serde(with = "super")] PathBuf);

    #[test]
    fn every_name_comes_back_byte_for_byte() {
        for bytes in [&b"/usr/bin"[..], b"", b"a//b/./", b"/\xff\xfe\"\\\n", "/ä".as_bytes()] {
            let path = PathBuf::from(OsString::from_vec(bytes.to_vec()));
            let text = serde_json::to_string(&Holder(path)).unwrap();
            let Holder(back) = serde_json::from_str(&text).unwrap();
            assert_eq!(back.as_os_str().as_bytes(), bytes, "{text}");
        }
        assert_eq!(serde_json::to_string(&Holder("/a".into())).unwrap(), "\"/a\"");
        assert!(serde_json::from_str::<Holder>("[256]").is_err());
    }
}
