//! `--id-file`: the job's id where another process finds it, before anybody else hears of the job.
//!
//! A CI job that is ended from outside must end its job, too, also while `submit` still runs: the id is written
//! before the intent. An id whose job is not in the ledger belongs to a job that no engine has heard of.

use std::path::Path;

use crate::cli::show::output::{CliError, Report};
use crate::failure::{Kind, io_kind};
use crate::files;
use crate::job::JobId;

/// Writes the id and a line end, as a whole, where a file was named.
///
/// # Errors
/// When the file cannot be written: the job is not handed over then.
pub fn write(file: Option<&Path>, id: JobId) -> Result<(), Report> {
    let Some(path) = file else { return Ok(()) };
    files::replace(path, 0o644, format!("{id}\n").as_bytes()).map_err(|error| {
        let kind = io_kind(&error, Kind::Configuration);
        let told = format!("--id-file: cannot write {}: {error}", path.display());
        CliError::new(kind, told).with_hint("name a file in a directory that you can write").into()
    })
}
