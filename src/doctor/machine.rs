//! Where jobs run: this program, the runtimes, how images are mounted, the engines.

use std::fs::OpenOptions;
use std::path::Path;

use super::finding::Finding;
use super::surroundings::Surroundings;
use crate::backend;
use crate::execute::{self, Form};
use crate::failure::Report;

/// How images of Moorline's own making are mounted where `/dev/fuse` opens.
const SERVED: &str = "by moorline itself: each block is checked when it is read";

pub(super) fn program(here: &dyn Surroundings) -> Finding {
    let said = format!("moorline {} ({})", env!("CARGO_PKG_VERSION"), here.program().display());
    Finding::ok("program", said)
}

pub(super) fn runtime(here: &dyn Surroundings) -> Finding {
    let all: Vec<_> = execute::installed().collect();
    let names =
        |all: &[(&'static str, Form)]| all.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    // what `auto` may take, which stages a SIF
    let of_auto: Vec<_> = all.iter().filter(|(_, form)| *form == Form::Sif).copied().collect();
    match here.builtin_works() {
        Ok(()) if all.is_empty() => {
            Finding::ok("runtime", "builtin works: user namespaces are allowed")
        }
        Ok(()) => {
            let names = names(&all).join(", ");
            Finding::ok("runtime", format!("builtin works; installed: {names}"))
        }
        Err(Report(error)) if of_auto.is_empty() => {
            let hint = match names(&all).first() {
                Some(name) => format!("install apptainer, or write --runtime {name}"),
                None => "install apptainer".to_owned(),
            };
            Finding::problem("runtime", &*error, &hint)
        }
        Err(Report(error)) => Finding::note(
            "runtime",
            format!("{} is used; builtin does not work: {error}", names(&of_auto).join(", ")),
            "nothing: jobs run",
        ),
    }
}

/// Whether an ordinary user can mount images here, or they are unpacked for each job.
pub(super) fn mounting(here: &dyn Surroundings) -> Finding {
    let device = Path::new("/dev/fuse");
    let opened = OpenOptions::new().read(true).write(true).open(device);
    let program = ["squashfuse_ll", "squashfuse"].into_iter().find(|p| here.which(p).is_some());
    match (opened, program) {
        (Ok(_), Some(program)) => Finding::ok(
            "mounting",
            format!("{SERVED}; by {program} for a SIF file without a hash tree"),
        ),
        (Ok(_), None) => Finding::ok(
            "mounting",
            format!("{SERVED}; a SIF file without a hash tree is unpacked, for want of squashfuse"),
        ),
        (Err(error), _) => Finding::note(
            "mounting",
            format!(
                "{} cannot be opened ({error}): an image is unpacked before its first job",
                device.display()
            ),
            "ask the administrator for mode 0666 of /dev/fuse, which is the usual one",
        ),
    }
}

/// Each engine that takes orders.
pub(super) fn engines(here: &dyn Surroundings) -> Vec<Finding> {
    let names = backend::engines().filter(|facts| facts.takes_orders()).map(|facts| facts.name);
    let ask = |name: &'static str| {
        Some(match here.engine(name)?.ready() {
            Ok(said) => Finding::ok("engine", format!("{name}: {said}")),
            Err(error) => Finding::note(
                "engine",
                format!("{name}: {}", error.why()),
                &format!("nothing, unless you submit with --backend {name}"),
            ),
        })
    };
    names.filter_map(ask).collect()
}
