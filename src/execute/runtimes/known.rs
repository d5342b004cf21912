//! All runtimes, and which of them runs a job.

use super::apptainer::{APPTAINER, SINGULARITY};
use super::builtin::Builtin;
use super::charliecloud::Charliecloud;
use super::docker::{DOCKER, PODMAN};
use super::runtime::{Found, Runtime};
use super::udocker::Udocker;
use crate::execute::identify::Program;
use crate::execute::probe::{Refusal, probe};
use crate::execute::{ExecuteError, Form};
use crate::failure::{Failure, Kind};
use crate::job::{AddedRuntime, Name, RuntimeChoice, Terms};
use crate::worker::Plan;

/// All runtimes, in the order in which `auto` tries them where nobody says another one.
const ALL: [&dyn Runtime; 7] =
    [&APPTAINER, &SINGULARITY, &Builtin, &PODMAN, &DOCKER, &Charliecloud, &Udocker];

/// A runtime that works here.
pub(in crate::execute) struct Chosen {
    pub(in crate::execute) runtime: &'static dyn Runtime,
    pub(in crate::execute) found: Found,
    /// Why those that come before it were not taken.
    pub(in crate::execute) passed: Vec<String>,
    /// Those that come behind it.
    behind: Vec<&'static dyn Runtime>,
}

impl Chosen {
    /// The next one that works, when this one started nothing on this machine: nothing of the job ran then. `None`
    /// where there is no other one, as where this one was named.
    pub(in crate::execute) fn next(
        &self,
        plan: &Plan,
        form: Form,
        why: &ExecuteError,
    ) -> Option<Self> {
        let why = format!("{}: {why}", self.runtime.name());
        take(plan, form, self.behind.clone(), vec![why]).ok()
    }

    /// As receipts say it: what its program says of itself, whatever its file is called.
    pub(in crate::execute) fn name(&self) -> Name {
        let kind = self.found.program.as_ref().and_then(Program::kind);
        Name::known(kind.unwrap_or(self.runtime.name()))
    }
}

/// Whether a runtime runs an image in this form.
fn runs(runtime: &dyn Runtime, form: Form) -> bool {
    runtime.wants() == form || (form == Form::Directory && runtime.takes_directory())
}

fn named(name: &str) -> Option<&'static dyn Runtime> {
    ALL.into_iter().find(|runtime| runtime.name() == name)
}

/// The runtimes that a choice stands for, in order. `order` is that of `auto`; empty means the usual one.
fn candidates(
    choice: RuntimeChoice,
    order: &[Name],
    form: Form,
) -> Result<Vec<&'static dyn Runtime>, ExecuteError> {
    let unknown =
        |name: &str| ExecuteError::NoRuntime(format!("{name}: this moorline does not know it"));
    if choice != RuntimeChoice::Auto {
        let runtime = named(choice.name()).ok_or_else(|| unknown(choice.name()))?;
        if !runs(runtime, form) {
            let (name, wants) = (runtime.name(), runtime.wants());
            return Err(ExecuteError::Form { name, wants, form });
        }
        return Ok(vec![runtime]);
    }
    let all: Vec<&'static dyn Runtime> = if order.is_empty() {
        ALL.to_vec()
    } else {
        // one that only another version knows is none here
        order.iter().filter_map(|name| named(name.as_str())).collect()
    };
    let fit: Vec<_> = all.into_iter().filter(|runtime| runs(*runtime, form)).collect();
    if fit.is_empty() {
        let first = order.iter().find_map(|name| named(name.as_str()));
        return Err(match first {
            Some(first) => ExecuteError::NoneFits {
                why: unfit(choice, order, form).join("; "),
                first: first.name(),
            },
            None => ExecuteError::NoRuntime("this moorline knows none that is configured".into()),
        });
    }
    Ok(fit)
}

/// The first one for which `works`; why the others do not.
fn first<T>(
    candidates: Vec<&'static dyn Runtime>,
    works: impl Fn(&'static dyn Runtime) -> Result<T, ExecuteError>,
) -> Result<(&'static dyn Runtime, T, Vec<String>), ExecuteError> {
    let (mut passed, mut silent) = (Vec::new(), None);
    for runtime in candidates {
        match works(runtime) {
            Ok(found) => return Ok((runtime, found, passed)),
            Err(ExecuteError::NoRuntime(why)) => passed.push(format!("{}: {why}", runtime.name())),
            Err(error @ ExecuteError::NoDaemon { .. }) => {
                passed.push(error.to_string());
                silent = Some(error);
            }
            // no word on the runtime: the next would meet the same
            Err(error) => return Err(error),
        }
    }
    // what helps against one of several is not what helps
    Err(match (silent, passed.len()) {
        (Some(error), 1) => error,
        _ => ExecuteError::NoRuntime(passed.join("; ")),
    })
}

/// The first runtime that works; an explicit choice is not replaced by another one.
///
/// # Errors
/// [`ExecuteError::NoRuntime`] with the reason of each, [`ExecuteError::Form`] for one that does not run
/// what the job has, [`ExecuteError::Terms`] for one that cannot give what it asks for.
pub(in crate::execute) fn choose(plan: &Plan, form: Form) -> Result<Chosen, ExecuteError> {
    let (job, order) = (&plan.job, &plan.runtimes);
    let all = candidates(job.runtime, order, form)?;
    let mut passed = unfit(job.runtime, order, form);
    let (mut all, others) = able(all, &job.terms)?;
    passed.extend(others);
    if job.runtime == RuntimeChoice::Auto {
        let able = |runtime: &&'static dyn Runtime| match runtime.cannot(job) {
            None => true,
            Some(why) => {
                passed.push(format!("{}: {why}", runtime.name()));
                false
            }
        };
        all.retain(able);
    }
    take(plan, form, all, passed)
}

/// The first of them that works.
fn take(
    plan: &Plan,
    form: Form,
    all: Vec<&'static dyn Runtime>,
    mut passed: Vec<String>,
) -> Result<Chosen, ExecuteError> {
    let came = |runtime| of_kind(runtime, plan.added.iter().map(|staged| &staged.runtime));
    let (runtime, found, others) = first(all.clone(), |runtime| {
        let mut behind = all.iter().skip_while(|one| one.name() != runtime.name()).skip(1);
        match (runtime.unprobed(), came(runtime)) {
            (Some(found), _) if !behind.any(|one| look(*one, came(*one)).is_ok()) => Ok(found),
            (_, Some(added)) => runtime.probe_added(added),
            (_, None) => {
                let found = runtime.probe()?;
                runtime.starts(&found, form)?;
                Ok(found)
            }
        }
    })?;
    passed.extend(others);
    let behind = all.into_iter().skip_while(|one| one.name() != runtime.name()).skip(1).collect();
    Ok(Chosen { runtime, found, passed, behind })
}

/// Why those that the configuration names take no part in `auto`.
fn unfit(choice: RuntimeChoice, order: &[Name], form: Form) -> Vec<String> {
    if choice != RuntimeChoice::Auto {
        return Vec::new();
    }
    let named = order.iter().filter_map(|name| named(name.as_str()));
    named
        .filter(|runtime| !runs(*runtime, form))
        .map(|runtime| {
            format!("{}: it takes {}, and auto has {form}", runtime.name(), runtime.wants())
        })
        .collect()
}

/// The one of a runtime's kind among those that were added.
fn of_kind<'a>(
    runtime: &dyn Runtime,
    mut added: impl Iterator<Item = &'a AddedRuntime>,
) -> Option<&'a AddedRuntime> {
    added.find(|one| one.kind == runtime.name())
}

fn look(runtime: &dyn Runtime, added: Option<&AddedRuntime>) -> Result<(), ExecuteError> {
    added.map_or_else(|| runtime.look(), |added| runtime.look_at(added))
}

/// Those that can give what a job asks for, and why the others cannot.
fn able(
    candidates: Vec<&'static dyn Runtime>,
    terms: &Terms,
) -> Result<(Vec<&'static dyn Runtime>, Vec<String>), ExecuteError> {
    let (mut able, mut passed, mut refused) = (Vec::new(), Vec::new(), None);
    for runtime in candidates {
        match runtime.lacks(terms) {
            None => able.push(runtime),
            Some(why) => {
                passed.push(format!("{}: {why}", runtime.name()));
                let (runtime, why) = (runtime.name(), why.to_owned());
                refused.get_or_insert(ExecuteError::Terms { runtime, why });
            }
        }
    }
    match refused {
        Some(error) if able.is_empty() => Err(error),
        _ => Ok((able, passed)),
    }
}

/// No runtime is here.
#[derive(Debug)]
pub struct Absent {
    /// [`Kind::NoRuntime`], or what kept it from being found out.
    pub kind: Kind,
    /// Why, for people.
    pub why: String,
    /// What to try.
    pub hint: Option<String>,
}

/// The name of the runtime that would be taken here, found out without asking any program; `added` are those that come
/// with the job.
///
/// # Errors
/// Why there is none.
pub fn usable(
    choice: RuntimeChoice,
    order: &[Name],
    added: &[AddedRuntime],
) -> Result<&'static str, Absent> {
    let absent = |error: ExecuteError| Absent {
        kind: error.kind(),
        why: match &error {
            ExecuteError::NoRuntime(why) => why.clone(),
            error => error.to_string(),
        },
        hint: error.hint(),
    };
    let candidates = candidates(choice, order, wants(choice)).map_err(absent)?;
    let own = candidates.iter().any(|runtime| runtime.name() == Builtin.name());
    let error = match first(candidates, |runtime| look(runtime, of_kind(runtime, added.iter()))) {
        Ok((runtime, ..)) => return Ok(runtime.name()),
        Err(error) => absent(error),
    };
    // the one that needs nothing installed is what people can mend
    let ask = own && error.kind == Kind::NoRuntime;
    Err(if ask { builtin_works().err().unwrap_or(error) } else { error })
}

/// Whether the built-in runtime works here: really makes a container.
///
/// # Errors
/// Why not.
pub fn builtin_works() -> Result<(), Absent> {
    probe().map_err(|Refusal { kind, said, cause, fix }| Absent {
        kind,
        why: format!("{cause} ({said})"),
        hint: fix,
    })
}

/// Runtimes that are programs of their own and are in `PATH`.
pub fn installed() -> impl Iterator<Item = (&'static str, Form)> {
    let foreign = ALL.into_iter().filter(|runtime| runtime.name() != Builtin.name());
    let there = foreign.filter(|runtime| runtime.look().is_ok());
    there.map(|runtime| (runtime.name(), runtime.wants()))
}

/// The form in which an image is staged for a choice; `auto` stages a SIF.
#[must_use]
pub fn wants(choice: RuntimeChoice) -> Form {
    named(choice.name()).map_or(Form::Sif, Runtime::wants)
}

/// Whether a job with an image in this form may come to the runtime of a name.
#[must_use]
pub fn may_take(choice: RuntimeChoice, order: &[Name], form: Form, name: &str) -> bool {
    let all = candidates(choice, order, form).unwrap_or_default();
    all.iter().any(|runtime| runtime.name() == name)
}

/// Whether a choice runs a published tree; one of those of `auto` does.
#[must_use]
pub fn takes_directory(choice: RuntimeChoice) -> bool {
    choice == RuntimeChoice::Auto || named(choice.name()).is_some_and(Runtime::takes_directory)
}

/// The runtimes that run a published tree.
pub fn directory_runtimes() -> impl Iterator<Item = &'static str> {
    ALL.into_iter().filter(|runtime| runtime.takes_directory()).map(Runtime::name)
}

/// What a job asks for that a choice cannot give on any machine; of `auto` it is not known.
#[must_use]
pub fn lacks(choice: RuntimeChoice, terms: &Terms) -> Option<&'static str> {
    named(choice.name())?.lacks(terms)
}

/// Whether a choice takes flags of the user's; `auto` may.
#[must_use]
pub fn takes_options(choice: RuntimeChoice) -> bool {
    named(choice.name()).is_none_or(Runtime::takes_options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_runtime_can_be_named() {
        let mut typed: Vec<&str> = RuntimeChoice::ALL.iter().map(|(name, _)| *name).collect();
        typed.retain(|name| *name != RuntimeChoice::Auto.name());
        assert_eq!(ALL.map(Runtime::name).to_vec(), typed);
    }

    fn names(choice: RuntimeChoice, order: &[&'static str], form: Form) -> Vec<&'static str> {
        let order: Vec<Name> = order.iter().map(|name| Name::known(name)).collect();
        let found =
            candidates(choice, &order, form).map(|found| found.iter().map(|r| r.name()).collect());
        found.unwrap_or_default()
    }

    #[test]
    fn auto_follows_the_order_and_a_choice_is_kept() {
        let auto = |order: &[&'static str]| names(RuntimeChoice::Auto, order, Form::Sif);
        assert_eq!(auto(&[]), ["apptainer", "singularity", "builtin", "charliecloud", "udocker"]);
        assert_eq!(auto(&["builtin", "apptainer"]), ["builtin", "apptainer"]);
        assert_eq!(auto(&["builtin", "of-tomorrow"]), ["builtin"]);
        assert_eq!(auto(&["of-tomorrow"]), [""; 0]);
        assert_eq!(names(RuntimeChoice::Builtin, &["apptainer"], Form::Sif), ["builtin"]);
        assert_eq!(names(RuntimeChoice::Builtin, &[], Form::Oci), [""; 0]);
        let trees = names(RuntimeChoice::Auto, &[], Form::Directory);
        assert_eq!(trees, ["apptainer", "singularity", "builtin"]);
        assert_eq!(names(RuntimeChoice::Podman, &[], Form::Directory), [""; 0]);
        let other = RuntimeChoice::Other(Name::known("of-tomorrow"));
        assert_eq!(names(other, &[], Form::Sif), [""; 0]);
    }

    #[test]
    fn one_that_cannot_give_what_is_asked_for_is_passed_over() {
        let terms = Terms { scratch_mib: Some(1), ..Terms::default() };
        let all = || candidates(RuntimeChoice::Auto, &[], Form::Sif).unwrap();
        let (found, passed) = able(all(), &terms).map_err(|error| error.to_string()).unwrap();
        let found: Vec<_> = found.into_iter().map(Runtime::name).collect();
        assert_eq!(found, ["apptainer", "singularity", "builtin", "udocker"]);
        assert!(passed[0].starts_with("charliecloud: "), "{passed:?}");
        let alone = candidates(RuntimeChoice::Charliecloud, &[], Form::Sif).unwrap();
        let error = able(alone, &terms).map(|_| ()).unwrap_err();
        assert!(matches!(error, ExecuteError::Terms { runtime: "charliecloud", .. }), "{error}");
        assert!(lacks(RuntimeChoice::Charliecloud, &terms).is_some());
        assert_eq!(lacks(RuntimeChoice::Auto, &terms), None);
    }

    #[test]
    fn those_that_take_another_form_are_named() {
        let order: Vec<Name> =
            ["podman", "builtin", "docker", "of-tomorrow"].map(Name::known).into();
        let why = unfit(RuntimeChoice::Auto, &order, Form::Sif);
        assert_eq!(
            why,
            [
                "podman: it takes an OCI archive, and auto has a SIF",
                "docker: it takes an OCI archive, and auto has a SIF"
            ]
        );
        assert!(unfit(RuntimeChoice::Builtin, &order, Form::Sif).is_empty());
        let error = usable(RuntimeChoice::Auto, &order[..1], &[]).unwrap_err();
        assert!(error.why.contains("podman: it takes an OCI archive"), "{}", error.why);
        assert!(error.hint.unwrap().contains("--runtime podman"));
    }

    #[test]
    fn the_next_one_is_another_one() {
        let plan = crate::runtime::builtin::testing::plan(&["true"]);
        let found = || Found { program: None, answer: Vec::new() };
        let error =
            ExecuteError::NotSeen { runtime: "apptainer", code: 255, works: false, maybe: false };
        let of = |behind: Vec<&'static dyn Runtime>| Chosen {
            runtime: ALL[0],
            found: found(),
            passed: vec![],
            behind,
        };
        assert!(of(vec![]).next(&plan, Form::Sif, &error).is_none());
        // the built-in one is not probed when nothing comes behind it
        let next = of(vec![&Builtin]).next(&plan, Form::Sif, &error).unwrap();
        assert_eq!((next.runtime.name(), next.behind.len()), ("builtin", 0));
        assert!(
            next.passed[0].starts_with("apptainer: apptainer ended with 255"),
            "{:?}",
            next.passed
        );
    }

    #[test]
    fn what_says_nothing_of_a_runtime_tries_no_other() {
        let io = || ExecuteError::io("x")(std::io::Error::other("y"));
        let all = || vec![ALL[0], ALL[1], ALL[2]];
        let error = first(all(), |_| Err::<(), _>(io())).map(|_| ()).unwrap_err();
        assert!(matches!(error, ExecuteError::Io { .. }), "{error}");
        let no = |runtime: &'static dyn Runtime| match runtime.name() {
            "builtin" => Ok(()),
            _ => Err(ExecuteError::NoRuntime("not installed".into())),
        };
        let (runtime, (), passed) = first(all(), no).map_err(|error| error.to_string()).unwrap();
        assert_eq!(runtime.name(), "builtin");
        assert_eq!(passed, ["apptainer: not installed", "singularity: not installed"]);
        // a daemon that does not answer is passed over like a program that is not there, and has a hint of its own
        let silent = |_| {
            Err::<(), _>(ExecuteError::NoDaemon {
                runtime: "docker",
                why: "no".into(),
                inside: false,
            })
        };
        let error = first(vec![ALL[4]], silent).map(|_| ()).unwrap_err();
        assert!(matches!(error, ExecuteError::NoDaemon { .. }), "{error}");
        assert!(error.hint().unwrap().contains("start its daemon"));
        let error = first(vec![ALL[3], ALL[4]], silent).map(|_| ()).unwrap_err();
        assert!(matches!(error, ExecuteError::NoRuntime(_)), "{error}");
    }
}
