//! `submit -f job.toml`: fills what no flag said.

use std::path::Path;

use super::output::{CliError, Report};
use super::submit::Args;
use crate::config::JobFile;
use crate::failure::Kind;

/// Reads the file into the arguments; flags win.
///
/// # Errors
/// When the file cannot be read or is malformed.
pub fn fill(path: &Path, args: &mut Args) -> Result<(), Report> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        let kind = match e.kind() {
            std::io::ErrorKind::NotFound => Kind::NotFound,
            _ => Kind::Usage,
        };
        CliError::new(kind, format!("cannot read the job file {}: {e}", path.display()))
    })?;
    let file = JobFile::parse(&text, path)?;
    let what = &mut args.what;
    // an image is named in one way: a flag's way is instead of the file's
    if what.what.is_none() && (file.image.is_none() || args.flags.from.is_named()) {
        args.flags.from.fill(file.built);
    } else if what.what.is_none() {
        what.what = file.image;
        if !file.built.is_empty() {
            let twice = format!("{}: an image was named twice: image and project", path.display());
            return Err(CliError::usage(twice).into());
        }
    }
    if what.command.is_empty() {
        what.command = file.command;
    }
    let flags = &mut args.flags;
    flags.mount = [file.mounts, std::mem::take(&mut flags.mount)].concat();
    let env = file.env.iter().map(|var| format!("{}={}", var.name, var.value));
    flags.env = env.chain(std::mem::take(&mut flags.env)).collect();
    flags.option = [file.options, std::mem::take(&mut flags.option)].concat();
    flags.name = flags.name.take().or(file.name);
    flags.runtime = flags.runtime.or(file.runtime);
    flags.platform = flags.platform.take().or(file.platform);
    args.backend = args.backend.take().or(file.backend);
    args.workdir = args.workdir.take().or(file.workdir);
    args.cpus = args.cpus.or(file.resources.cpus);
    args.memory = args.memory.or(file.resources.memory_mib);
    args.time = args.time.or(file.resources.time_seconds);
    args.queue = args.queue.take().or(file.resources.queue);
    args.account = args.account.take().or(file.resources.account);
    Ok(())
}
