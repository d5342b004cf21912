//! What can go wrong with an index. None of it is an error of a verb: the ledger itself is read then.

use crate::ledger::error::LedgerError;

/// Why an index did not answer.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The ledger itself cannot be read; no index helps.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// It is not the ledger's as it is now: it is thrown away and made again.
    #[error("it does not fit the ledger: {0}")]
    Unfit(String),
    /// It cannot be opened, read or written.
    #[error("{0}")]
    Store(#[from] rusqlite::Error),
    /// Its place is no good one.
    #[error("{0}")]
    Place(String),
    /// A file beside it.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl IndexError {
    /// Whether another process has it for a moment.
    pub(super) fn is_busy(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
        let Self::Store(rusqlite::Error::SqliteFailure(failure, _)) = self else { return false };
        matches!(failure.code, DatabaseBusy | DatabaseLocked)
    }

    /// Whether throwing it away and making it again helps.
    pub(super) fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode;
        match self {
            Self::Unfit(_) => true,
            Self::Store(error) => match error {
                rusqlite::Error::SqliteFailure(failure, _) => {
                    // the last: a table or column is not there
                    matches!(
                        failure.code,
                        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown
                    )
                }
                // a column that is not there, or of another type
                rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::SqlInputError { .. } => true,
                _ => false,
            },
            Self::Ledger(_) | Self::Place(_) | Self::Io(_) => false,
        }
    }
}
