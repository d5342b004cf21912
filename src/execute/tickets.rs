//! What the submitter handed over besides files of the job: Kerberos tickets (`kerberos`), a grid proxy
//! (`grid_proxy`), the way to an ssh agent.
//!
//! ```text
//! control/krb5cc, x509up, 0600   --copied-->  scratch, 0600   --bound read-only-->  /run/moorline/NAME
//! the agent's socket             -------------------------------------bound----->  /run/moorline/ssh-agent
//! ```
//!
//! Control directory and scratch are hidden from the container, so the bind is the only way to them. What lies in the
//! control directory goes when the job has ended. An attempt that was told to end may be followed by another one (a
//! requeue), so it stays until whoever asks for the job sees its end (`follow`).

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{ExecuteError, node};
use crate::files::ForeignFile;
use crate::job::{Access, JobSpec, Terms};
use crate::runtime::Bind;
use crate::worker::{PROXY_FILE, Plan, TICKETS_FILE};

/// A file of the submitter's.
struct Handed {
    wanted: fn(&Terms) -> bool,
    /// Its name in the control directory.
    file: &'static str,
    /// Where the program finds it.
    place: &'static str,
    /// The variable that names the place to it, and what stands before the path.
    variable: (&'static str, &'static str),
    /// For people, and the flag that asks for it.
    called: (&'static str, &'static str),
}

const FILES: [Handed; 2] = [
    Handed {
        wanted: |terms| terms.kerberos,
        file: TICKETS_FILE,
        place: "/run/moorline/krb5cc",
        variable: ("KRB5CCNAME", "FILE:"),
        called: ("Kerberos tickets", "--krb"),
    },
    Handed {
        wanted: |terms| terms.proxy,
        file: PROXY_FILE,
        place: "/run/moorline/x509up",
        variable: ("X509_USER_PROXY", ""),
        called: ("grid proxy", "--proxy"),
    },
];

/// Where the program finds the agent, and the variable that says so.
const AGENT: (&str, &str) = ("SSH_AUTH_SOCK", "/run/moorline/ssh-agent");
/// A cache or a proxy has some thousand bytes.
const MOST: u64 = 4 << 20;

/// The variables that name the places of what a job gets.
pub(super) fn variables(job: &JobSpec) -> Vec<(String, String)> {
    let files = FILES.iter().filter(|handed| (handed.wanted)(&job.terms));
    let files = files.map(|Handed { variable: (name, before), place, .. }| {
        ((*name).to_owned(), format!("{before}{place}"))
    });
    let agent = job.terms.ssh_agent.then(|| (AGENT.0.to_owned(), AGENT.1.to_owned()));
    files.chain(agent).collect()
}

/// Copies what a job asked for into `directory`, and says what is to be bound.
///
/// # Errors
/// When something is not there: the program would run on without it otherwise.
pub(super) fn binds(
    plan: &Plan,
    control: &Path,
    directory: &Path,
) -> Result<Vec<Bind>, ExecuteError> {
    let terms = &plan.job.terms;
    let mut binds = Vec::new();
    for handed in FILES.iter().filter(|handed| (handed.wanted)(terms)) {
        let source = copy(handed, control, directory)?;
        binds.push(Bind {
            source,
            target: handed.place.into(),
            access: Access::Ro,
            directory: false,
        });
    }
    if terms.ssh_agent {
        let source = agent(plan.agent.as_deref())?;
        // who connects to a socket writes to nothing
        let access = Access::Rw;
        binds.push(Bind { source, target: AGENT.1.into(), access, directory: false });
    }
    Ok(binds)
}

fn copy(handed: &Handed, control: &Path, directory: &Path) -> Result<PathBuf, ExecuteError> {
    let from = control.join(handed.file);
    let (what, flag) = handed.called;
    let bytes = ForeignFile::own(MOST).bytes(&from).map(Zeroizing::new);
    let bytes = bytes.map_err(|error| {
        ExecuteError::NotStarted(format!(
            "the job's {what} {}: {error}; submit it again with {flag}",
            from.display()
        ))
    })?;
    let source = directory.join(handed.file);
    write(&source, &bytes).map_err(ExecuteError::io(format!("writing {}", source.display())))?;
    Ok(source)
}

fn write(path: &PathBuf, bytes: &[u8]) -> std::io::Result<()> {
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

/// The agent's socket, which must be this user's own.
fn agent(named: Option<&Path>) -> Result<PathBuf, ExecuteError> {
    let no = |why: String| {
        let hint = "leave --ssh-agent out, or start the job where an agent runs";
        Err(ExecuteError::NotStarted(format!("the ssh agent {why}; {hint}")))
    };
    let Some(path) = named else { return no("is not known on this machine".into()) };
    let shown = path.display();
    let found = fs::canonicalize(path).and_then(|path| Ok((fs::metadata(&path)?, path)));
    match found {
        Err(error) => no(format!("{shown}: {error}")),
        Ok((meta, _)) if !meta.file_type().is_socket() => no(format!("{shown} is not a socket")),
        Ok((meta, _)) if meta.uid() != rustix::process::geteuid().as_raw() => {
            no(format!("{shown} belongs to uid {}", meta.uid()))
        }
        Ok((_, path)) => Ok(path),
    }
}

/// Takes the files away when the job has ended.
pub fn forget(control: &Path) {
    for handed in &FILES {
        // there are none, mostly; where it fails they stay what they are, readable by their user alone
        let _ = fs::remove_file(control.join(handed.file));
    }
    // and the token of a worker that was told to end before it had pulled
    node::forget_credential(control);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::runtime::builtin::testing::plan;

    #[test]
    fn they_are_private_and_missing_ones_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut plan = plan(&["x"]);
        assert!(binds(&plan, dir.path(), dir.path()).unwrap().is_empty());
        assert!(variables(&plan.job).is_empty());
        plan.job.terms.kerberos = true;
        plan.job.terms.proxy = true;
        let control = dir.path().join("control");
        fs::create_dir(&control).unwrap();
        for (file, called, flag) in
            [(TICKETS_FILE, "Kerberos tickets", "--krb"), (PROXY_FILE, "grid proxy", "--proxy")]
        {
            let error = binds(&plan, &control, dir.path()).unwrap_err().to_string();
            assert!(error.contains(called) && error.contains(flag), "{error}");
            fs::write(control.join(file), "bytes").unwrap();
            let _ = fs::remove_file(dir.path().join(TICKETS_FILE));
        }
        let all = binds(&plan, &control, dir.path()).unwrap();
        for bind in &all {
            assert_eq!(fs::read(&bind.source).unwrap(), b"bytes");
            assert_eq!(fs::metadata(&bind.source).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(bind.access, Access::Ro);
        }
        let told = variables(&plan.job);
        assert_eq!(told[0], ("KRB5CCNAME".into(), format!("FILE:{}", all[0].target.display())));
        assert_eq!(told[1], ("X509_USER_PROXY".into(), all[1].target.display().to_string()));
        forget(&control);
        assert!(!control.join(TICKETS_FILE).exists() && !control.join(PROXY_FILE).exists());
        forget(&control);
    }

    #[test]
    fn an_agent_is_a_socket_of_this_user() {
        let dir = tempfile::tempdir().unwrap();
        let mut plan = plan(&["x"]);
        plan.job.terms.ssh_agent = true;
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "").unwrap();
        for (path, said) in [
            (None, "is not known on this machine"),
            (Some(at("none")), "No such file"),
            (Some(at("file")), "is not a socket"),
        ] {
            plan.agent = path;
            let error = binds(&plan, dir.path(), dir.path()).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("--ssh-agent"), "{error}");
        }
        let _listener = UnixListener::bind(at("agent")).unwrap();
        plan.agent = Some(at("agent"));
        let found = binds(&plan, dir.path(), dir.path()).unwrap();
        assert_eq!(found[0].target, Path::new("/run/moorline/ssh-agent"));
        let told = ("SSH_AUTH_SOCK".to_owned(), "/run/moorline/ssh-agent".to_owned());
        assert_eq!(variables(&plan.job), [told]);
    }
}
