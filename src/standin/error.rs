//! Why the stand-in did not start.

use std::net::SocketAddr;

use crate::failure::{Failure, Kind};

/// Why the stand-in did not start.
#[derive(Debug, thiserror::Error)]
pub enum StandInError {
    /// The address is not on loopback.
    #[error("the stand-in listens on loopback only, not on {0}")]
    NotLoopback(SocketAddr),
    /// The port is taken, or may not be used.
    #[error("the stand-in cannot listen on {address}: {source}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// No signing key could be made.
    #[error("the stand-in cannot make its signing key: {0}")]
    Key(String),
}

impl Failure for StandInError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotLoopback(_) => Kind::Usage,
            Self::Listen { .. } => Kind::Network,
            Self::Key(_) => Kind::Configuration,
        }
    }
}
