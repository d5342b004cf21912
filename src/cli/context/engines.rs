//! What is known of engines without asking one, and what help texts say of them.

use crate::backend::{self, Facts};

/// The engines that take orders, by name.
pub fn backends() -> Vec<&'static str> {
    backend::engines().filter(|facts| facts.takes_orders()).map(|facts| facts.name).collect()
}

/// The facts of an engine; `None` when there is none of that name.
pub fn facts(kind: &str) -> Option<&'static Facts> {
    backend::engines().find(|facts| facts.name == kind)
}

/// Whether an engine's jobs run on this machine.
pub fn is_here(kind: &str) -> bool {
    facts(kind).is_some_and(|facts| facts.here)
}

/// What takes a job of this kind of engine when it is repeated.
pub fn again(kind: &str) -> &str {
    facts(kind).and_then(|facts| facts.again).unwrap_or(kind)
}

/// `local, this or that`: for the help of `--backend`.
pub fn choice() -> String {
    let names = backends();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// An engine's id of a job, as `NAME:ID`: for help texts.
pub fn example() -> String {
    let with_ids = backend::engines().find(|facts| !facts.example.is_empty());
    with_ids.map_or_else(String::new, |facts| format!("{}:{}", facts.name, facts.example))
}

/// The help of an argument that names a job.
pub fn one_job() -> String {
    format!("Job id, a unique beginning of it, an engine id such as {}, or last", example())
}

/// The help of an argument that names jobs.
pub fn several_jobs() -> String {
    format!("Job ids, unique beginnings of them, engine ids such as {}, or last", example())
}

/// The name of a batch engine, for examples in help texts.
pub fn batch() -> &'static str {
    backend::engines().find(|facts| !facts.here).map_or("ENGINE", |facts| facts.name)
}
