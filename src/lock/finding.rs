//! The differences between a lock and the project file.

use serde::Serialize;

use super::Named;

/// A difference between the lock and the project file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "finding")]
pub enum Finding {
    /// The project file has a name that is not locked.
    NotLocked {
        /// The name.
        name: String,
    },
    /// The lock has a name that the project file lacks.
    NotNamed {
        /// The name.
        name: String,
    },
    /// The name stands for another reference now.
    Changed {
        /// The name.
        name: String,
        /// What was locked.
        locked: Box<Named>,
        /// What the project file says.
        named: Box<Named>,
    },
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotLocked { name } => write!(f, "{name}: not locked"),
            Self::NotNamed { name } => {
                write!(f, "{name}: locked, but moorline.toml has no such name")
            }
            Self::Changed { name, locked, named } => {
                write!(f, "{name}: locked as {locked}, and moorline.toml says {named}")
            }
        }
    }
}
