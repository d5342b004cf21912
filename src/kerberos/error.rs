//! Why tickets are not copied.

use std::path::PathBuf;

use crate::failure::{Failure, Kind};
use crate::files::ForeignError;

/// A refusal.
#[derive(Debug, thiserror::Error)]
pub enum KerberosError {
    /// A kind of cache that cannot be copied.
    #[error("the Kerberos tickets in {name} cannot be copied: {why}")]
    Kind {
        /// The cache's name.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// The name of the cache cannot be understood.
    #[error("the Kerberos cache {name}: {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no cache.
    #[error("there are no Kerberos tickets: {name} does not exist")]
    None {
        /// The cache's name.
        name: String,
    },
    /// The cache's file cannot be used.
    #[error("the Kerberos cache {name}: {}: {source}", path.display())]
    File {
        /// The cache's name.
        name: String,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: ForeignError,
    },
    /// The kernel does not give the keys.
    #[error("the Kerberos cache {name}: {doing}: {why}")]
    Keys {
        /// The cache's name.
        name: String,
        /// What was done.
        doing: &'static str,
        /// The kernel's word.
        why: String,
    },
    /// The bytes are no cache.
    #[error("the Kerberos cache {name} cannot be read: {why}")]
    Malformed {
        /// The cache's name.
        name: String,
        /// Where it stops to make sense.
        why: &'static str,
    },
    /// No ticket is valid any more.
    #[error("the Kerberos tickets in {name} ended at {at}")]
    Expired {
        /// The cache's name.
        name: String,
        /// When.
        at: jiff::Timestamp,
    },
}

impl Failure for KerberosError {
    fn kind(&self) -> Kind {
        match self {
            Self::None { .. } => Kind::NotFound,
            Self::Expired { .. } => Kind::Denied,
            Self::Kind { .. } | Self::Name { .. } => Kind::Usage,
            Self::File { .. } | Self::Keys { .. } | Self::Malformed { .. } => Kind::Configuration,
        }
    }

    fn hint(&self) -> Option<String> {
        let file = "kinit -c FILE:$HOME/.krb5cc-jobs, then export KRB5CCNAME=FILE:$HOME/.krb5cc-jobs, and again";
        Some(match self {
            Self::None { .. } | Self::Expired { .. } => {
                "kinit gets new ones; klist shows them".into()
            }
            Self::Kind { .. } | Self::Name { .. } | Self::Keys { .. } | Self::Malformed { .. } => {
                file.into()
            }
            Self::File { .. } => format!("the file must be yours alone; or {file}"),
        })
    }
}
