//! `--krb`: the caller's Kerberos tickets for a job. They are copied when the job is submitted, and looked at
//! before an image is downloaded for it.

use crate::cli::context::Context;
use crate::cli::show::output::{self, CliError, Report};
use crate::job::{EnvVar, JobSpec};
use crate::kerberos::{self, Caller, Tickets};

/// The variable that names the caller's cache, and the program's in its container.
const VARIABLE: &str = "KRB5CCNAME";

/// Whether a job can get what `--krb` promises.
///
/// # Errors
/// When there are no tickets that can be copied, or another flag sets their variable.
pub fn check(context: &Context, variables: &[EnvVar]) -> Result<(), Report> {
    if variables.iter().any(|var| var.name == VARIABLE) {
        return Err(CliError::usage(format!(
            "--krb sets {VARIABLE}, and so does --env or the configuration"
        ))
        .with_hint("leave one of them out")
        .into());
    }
    let tickets = copied(context)?;
    context.voice.say(format!(
        "the job gets the Kerberos tickets of {}; they end at {}",
        output::cell(&tickets.principal),
        tickets.until
    ));
    Ok(())
}

/// The tickets for a job that asks for them, as they are now.
///
/// # Errors
/// When they cannot be copied.
pub fn of(context: &Context, job: &JobSpec) -> Result<Option<Tickets>, Report> {
    job.terms.kerberos.then(|| copied(context)).transpose()
}

fn copied(context: &Context) -> Result<Tickets, Report> {
    let caller = Caller {
        uid: rustix::process::geteuid().as_raw(),
        user: &context.user,
        cache: context.env(VARIABLE),
        config: context.env("KRB5_CONFIG"),
    };
    Ok(kerberos::copy(caller, jiff::Timestamp::now())?)
}
