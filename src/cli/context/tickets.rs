//! `--krb`, `--proxy`, `--ssh-agent`: what of the caller's a job gets besides files. Tickets and proxy are copied when
//! the job is submitted, and looked at before an image is downloaded for it.

use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use crate::cli::context::Context;
use crate::cli::show::output::{self, CliError, Report};
use crate::grid_proxy::{self, GridProxy};
use crate::job::{EnvVar, JobSpec, Terms};
use crate::kerberos::{self, Caller, Tickets};
use crate::submit::Site;

/// The variable that names the caller's cache, and the program's in its container.
const TICKETS: &str = "KRB5CCNAME";
/// The same for a grid proxy.
const PROXY: &str = "X509_USER_PROXY";
/// The same for an ssh agent.
const AGENT: &str = "SSH_AUTH_SOCK";

/// Whether a job can get what the flags promise; says how long it will hold.
///
/// # Errors
/// When there is nothing that can be given, or another flag sets its variable.
pub fn check(context: &Context, terms: &Terms, variables: &[EnvVar]) -> Result<(), Report> {
    for (flag, variable, asked) in [
        ("--krb", TICKETS, terms.kerberos),
        ("--proxy", PROXY, terms.proxy),
        ("--ssh-agent", AGENT, terms.ssh_agent),
    ] {
        if asked && variables.iter().any(|var| var.name == variable) {
            return Err(CliError::usage(format!(
                "{flag} sets {variable}, and so does --env or the configuration"
            ))
            .with_hint("leave one of them out")
            .into());
        }
    }
    if terms.kerberos {
        let tickets = tickets(context)?;
        context.voice.say(format!(
            "the job gets the Kerberos tickets of {}; they end at {}",
            output::cell(&tickets.principal),
            tickets.until
        ));
    }
    if terms.proxy {
        let until = proxy(context)?.until;
        context.voice.say(format!("the job gets your grid proxy, which ends at {until}"));
    }
    if terms.ssh_agent {
        agent(context)?;
    }
    Ok(())
}

/// Puts into a submission what its job asks for, as it is now.
///
/// # Errors
/// When it cannot be given.
pub fn give(context: &Context, job: &JobSpec, site: &mut Site) -> Result<(), Report> {
    let terms = &job.terms;
    site.tickets = terms.kerberos.then(|| tickets(context)).transpose()?;
    site.proxy = terms.proxy.then(|| proxy(context)).transpose()?;
    site.agent = terms.ssh_agent.then(|| agent(context)).transpose()?;
    Ok(())
}

fn tickets(context: &Context) -> Result<Tickets, Report> {
    let caller = Caller {
        uid: rustix::process::geteuid().as_raw(),
        user: &context.user,
        cache: context.env(TICKETS),
        config: context.env("KRB5_CONFIG"),
    };
    Ok(kerberos::copy(caller, jiff::Timestamp::now())?)
}

fn proxy(context: &Context) -> Result<GridProxy, Report> {
    let uid = rustix::process::geteuid().as_raw();
    Ok(grid_proxy::copy(context.env(PROXY), uid, jiff::Timestamp::now())?)
}

fn agent(context: &Context) -> Result<PathBuf, Report> {
    let no = |why: String| {
        let hint = "start one (eval $(ssh-agent), ssh-add), or log in with ssh -A";
        Report::from(CliError::usage(format!("--ssh-agent: {why}")).with_hint(hint))
    };
    let path = context.env(AGENT).filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| no(format!("{AGENT} is not set here")))?;
    let meta = std::fs::metadata(path)
        .map_err(|error| no(format!("{AGENT} is {}: {error}", output::cell(path))))?;
    if !meta.file_type().is_socket() {
        return Err(no(format!("{AGENT} is {}, which is not a socket", output::cell(path))));
    }
    Ok(path.into())
}
