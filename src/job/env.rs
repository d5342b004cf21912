//! A variable for the program in the container.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `NAME=value`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// The name.
    pub name: String,
    /// The value; any text.
    pub value: String,
}

impl FromStr for EnvVar {
    type Err = String;

    /// Reads `NAME=value`; `NAME` alone (take it from the caller's environment) is the command
    /// line's business.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} has no ="))?;
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.is_empty() || name.as_bytes()[0].is_ascii_digit() || !name.bytes().all(good) {
            return Err(format!("{name:?} is not a variable name: letters, digits and _"));
        }
        if value.contains('\0') {
            return Err(format!("the value of {name} has a NUL byte"));
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}
