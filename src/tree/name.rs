//! A file's name in a directory: most are short, and an image has very many.
//!
//! ```text
//! Short   tag | length | up to 22 bytes      24 bytes, no allocation
//! Long    tag |  ...   | pointer, length     24 bytes and what the allocator takes
//! ```

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;

/// The longest name that needs no allocation.
const SHORT: usize = 22;

/// Bytes, sorted unsigned; not checked to be a name.
#[derive(Clone)]
pub struct Name(Bytes);

#[derive(Clone)]
enum Bytes {
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

impl From<&[u8]> for Name {
    fn from(bytes: &[u8]) -> Self {
        let mut short = [0; SHORT];
        match (short.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(room), Ok(length)) => {
                room.copy_from_slice(bytes);
                Self(Bytes::Short(length, short))
            }
            _ => Self(Bytes::Long(bytes.into())),
        }
    }
}

impl Deref for Name {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Short(length, bytes) => &bytes[..usize::from(*length)],
            Bytes::Long(bytes) => bytes,
        }
    }
}

/// A map of names is asked with bytes, so all of these must be those of the bytes.
impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_their_bytes_whatever_their_length() {
        assert_eq!(size_of::<Name>(), 24);
        let all: Vec<Vec<u8>> = (0..300).map(|n| vec![b'x'; n]).chain([b"\xFF\0".into()]).collect();
        for bytes in &all {
            let name = Name::from(&bytes[..]);
            assert_eq!(&*name, &bytes[..]);
            for other in &all {
                let other_name = Name::from(&other[..]);
                assert_eq!(name.cmp(&other_name), bytes.cmp(other));
                assert_eq!(name == other_name, bytes == other);
            }
        }
    }
}
