//! What can go wrong while following jobs.

use crate::backend::BackendError;
use crate::failure::{Failure, Kind};
use crate::ledger::LedgerError;

/// What went wrong while following jobs.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The engine could not be asked.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The ledger could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Failure for FollowError {
    fn kind(&self) -> Kind {
        match self {
            Self::Backend(error) => error.kind(),
            Self::Ledger(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Backend(error) => error.hint(),
            Self::Ledger(error) => error.hint(),
        }
    }
}
