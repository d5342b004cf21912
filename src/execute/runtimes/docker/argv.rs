//! The command line of `podman run` and `docker run`.
//!
//! ```text
//! podman run --name N --cidfile F --pull never --interactive --ulimit .. --log-driver none
//!     --cap-drop ALL --security-opt no-new-privileges --network host --userns keep-id
//!     --workdir /work_dir --mount .. --env NAME .. --env-file FILE [OPTIONS] --entrypoint=PROGRAM sha256:HEX ARGUMENTS
//! ```
//!
//! Source: `podman-run(1)` of 4.3 and `docker run --help` of 20.10 and 28.2. There is no `--rm`: how a container
//! ended is read from it (`state.rs`), and the leader removes it (`leader.rs`).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use super::super::foreign;
use crate::config::decides_what_runs;
use crate::execute::ExecuteError;
use crate::job::{Access, Network, WORK_DIR};
use crate::runtime::{Bind, csv_field};

/// Whose command line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Podman,
    Docker,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Docker => "docker",
        }
    }
}

/// How the program gets the caller's ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    /// The engine is root, and starts the program as somebody.
    Named { uid: u32, gid: u32, groups: Vec<u32> },
    /// Podman without root: the caller's ids are mapped to themselves.
    Kept,
    /// Docker without root: the container's root is the caller.
    Root,
}

/// What is to be run.
pub(super) struct Run<'a> {
    pub(super) kind: Kind,
    /// The container's name.
    pub(super) name: &'a str,
    /// The file for its id.
    pub(super) cid: &'a Path,
    /// As [`Process`](crate::store::Process) writes it: whose container this is.
    pub(super) process: &'a str,
    /// `sha256:HEX`.
    pub(super) image: &'a str,
    pub(super) ids: &'a Ids,
    /// All of them, the working directory too.
    pub(super) binds: &'a [Bind],
    /// Program and arguments.
    pub(super) command: &'a [String],
    pub(super) env: &'a BTreeMap<String, String>,
    /// Holds [`by_file`], where that is not empty.
    pub(super) env_file: Option<&'a Path>,
    pub(super) network: Network,
    pub(super) umask: Option<u32>,
    /// Of the worker: name, soft, hard.
    pub(super) limits: &'a [(&'static str, String, String)],
    /// Whether an init passes signals on.
    pub(super) init: bool,
    /// Whether the program has a terminal.
    pub(super) terminal: bool,
    /// Of graphics processors.
    pub(super) devices: &'a [String],
    /// The user's.
    pub(super) options: &'a [String],
}

/// The label that says whose container it is.
pub(super) const LABEL: &str = "moorline.process";

/// Variables of proxies, which both would add by themselves.
const PROXIES: [&str; 10] = [
    "ALL_PROXY",
    "FTP_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "all_proxy",
    "ftp_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// The words behind the program and its own flags.
///
/// # Errors
/// For a mount that cannot be spelled.
pub(super) fn run(run: &Run<'_>) -> Result<Vec<OsString>, ExecuteError> {
    let mut argv: Vec<OsString> = Vec::new();
    let mut add = |words: &[&str]| argv.extend(words.iter().map(OsString::from));
    add(&["run", "--name", run.name, "--label", &format!("{LABEL}={}", run.process)]);
    add(&["--pull", "never", "--log-driver", "none", "--no-healthcheck", "--interactive"]);
    if run.terminal {
        add(&["--tty"]);
    }
    if run.init {
        add(&["--init"]);
    }
    match run.ids {
        Ids::Named { uid, gid, groups } => {
            add(&["--user", &format!("{uid}:{gid}")]);
            for group in groups {
                add(&["--group-add", &group.to_string()]);
            }
        }
        Ids::Kept => add(&["--userns", "keep-id"]),
        Ids::Root => add(&["--user", "0:0"]),
    }
    add(&["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]);
    let network = if run.network == Network::None { "none" } else { "host" };
    add(&["--network", network]);
    for word in run.devices {
        add(&[word]);
    }
    for (name, soft, hard) in run.limits {
        add(&["--ulimit", &format!("{name}={soft}:{hard}")]);
    }
    if run.kind == Kind::Podman {
        add(&["--http-proxy=false", "--unsetenv-all"]);
        if let Some(mask) = run.umask {
            add(&["--umask", &format!("{:04o}", mask & 0o777)]);
        }
    }
    add(&["--workdir", WORK_DIR]);
    argv.extend(["--cidfile".into(), run.cid.into()]);
    for bind in run.binds {
        argv.extend(["--mount".into(), mount(run.kind, bind)?]);
    }
    for (name, value) in run.env {
        if is_safe(name) {
            argv.extend(["--env".into(), name.into()]);
        } else if value.contains('\n') {
            return Err(ExecuteError::NotStarted(format!(
                "the variable {name} would steer {} itself, and its value has more lines than one: give it \
                 another name",
                run.kind.name()
            )));
        }
    }
    if let Some(file) = run.env_file {
        argv.extend(["--env-file".into(), file.into()]);
    }
    if run.kind == Kind::Docker {
        // a name without a value keeps what its configuration file would set
        let unset = PROXIES.iter().filter(|name| !run.env.contains_key(**name));
        argv.extend(unset.flat_map(|name| ["--env".into(), OsString::from(*name)]));
    }
    let program = run.command.first().filter(|word| !word.is_empty());
    let program = program.ok_or(ExecuteError::NothingToRun)?;
    // podman reads a list where it sees one
    let program = match serde_json::to_string(&[program]) {
        Ok(list) if run.kind == Kind::Podman && program.starts_with('[') => list,
        _ => program.clone(),
    };
    // the last word before the image is one that a dangling option may swallow
    let entrypoint = format!("--entrypoint={program}");
    argv.extend(foreign::options(run.options, run.kind.name(), &entrypoint)?);
    argv.extend([entrypoint.into(), run.image.into()]);
    argv.extend(run.command[1..].iter().map(OsString::from));
    Ok(argv)
}

/// The variables that the engine's own program needs to have, so that it hands them on: their values are then on no
/// command line, which every user of the machine can read.
pub(super) fn handed_on(env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let safe = env.iter().filter(|(name, _)| is_safe(name));
    safe.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The variables that the engine's own program must not have, as lines of a file for `--env-file`.
pub(super) fn by_file(env: &BTreeMap<String, String>) -> String {
    let unsafe_ones = env.iter().filter(|(name, _)| !is_safe(name));
    unsafe_ones.map(|(name, value)| format!("{name}={value}\n")).collect()
}

/// Whether a variable means nothing to podman and docker themselves, nor to the loader and the libraries of
/// theirs.
fn is_safe(name: &str) -> bool {
    const NAMES: [&str; 10] = [
        "BUILDAH_ISOLATION",
        "DBUS_SESSION_BUS_ADDRESS",
        "HOME",
        "LOGNAME",
        "NOTIFY_SOCKET",
        "PATH",
        "STORAGE_DRIVER",
        "STORAGE_OPTS",
        "TERM",
        "USER",
    ];
    const PREFIXES: [&str; 12] = [
        "APPTAINER",
        "CONTAINER",
        "DOCKER",
        "GO",
        "LC_",
        "LISTEN_",
        "MALLOC_",
        "OTEL",
        "PODMAN",
        "REGISTRY",
        "SSL_",
        "TMP",
    ];
    let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    plain(name)
        && !decides_what_runs(name)
        && !name.starts_with('_')
        && !name.starts_with("XDG_")
        && !NAMES.contains(&name)
        && !PROXIES.contains(&name)
        && !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The value of `--mount`, a CSV record.
fn mount(kind: Kind, bind: &Bind) -> Result<OsString, ExecuteError> {
    for path in [&bind.source, &bind.target] {
        let why = match path.to_str() {
            // its interface is JSON
            None => "it is not UTF-8",
            // the reader of CSV makes a newline of them
            Some(text) if text.contains('\r') => "it holds a carriage return",
            Some(_) => continue,
        };
        return Err(ExecuteError::Unspelled {
            path: path.clone(),
            runtime: kind.name(),
            why: why.into(),
        });
    }
    let mut value = OsString::from("type=bind,");
    value.push(csv_field("source", &bind.source));
    value.push(",");
    value.push(csv_field("target", &bind.target));
    if kind == Kind::Podman {
        // docker refuses it where the machine's mounts are private
        value.push(",bind-propagation=rslave");
    }
    if bind.access == Access::Ro {
        value.push(",readonly");
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::runtime::builtin::testing::bind;

    fn keep<T>(value: T) -> &'static T {
        Box::leak(Box::new(value))
    }

    fn line(kind: Kind, change: impl FnOnce(&mut Run<'static>)) -> Result<String, ExecuteError> {
        let env = [("A", "b c"), ("PATH", "/bin")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let mut one = Run {
            kind,
            name: "moorline-j-a",
            cid: Path::new("/c/cid"),
            process: "p",
            image: "sha256:ab",
            ids: keep(Ids::Named { uid: 1000, gid: 100, groups: vec![5, 6] }),
            binds: keep([bind("/w", WORK_DIR, Access::Rw), bind("/cvmfs", "/cvmfs", Access::Ro)]),
            command: keep(["/bin/sh", "-c", "id"].map(String::from)),
            env: keep(env.into()),
            network: Network::Host,
            umask: Some(0o27),
            limits: keep([("nofile", "1024".to_owned(), "4096".to_owned())]),
            init: true,
            terminal: false,
            devices: &[],
            options: &[],
            env_file: Some(Path::new("/c/env")),
        };
        change(&mut one);
        Ok(run(&one)?.join(OsStr::new(" ")).into_string().unwrap())
    }

    #[test]
    fn podman_without_root() {
        assert_eq!(
            line(Kind::Podman, |run| run.ids = &Ids::Kept).unwrap(),
            "run --name moorline-j-a --label moorline.process=p --pull never --log-driver none \
             --no-healthcheck --interactive --init --userns keep-id --cap-drop ALL \
             --security-opt no-new-privileges --network host --ulimit nofile=1024:4096 \
             --http-proxy=false --unsetenv-all --umask 0027 --workdir /work_dir --cidfile /c/cid \
             --mount type=bind,source=/w,target=/work_dir,bind-propagation=rslave \
             --mount type=bind,source=/cvmfs,target=/cvmfs,bind-propagation=rslave,readonly \
             --env A --env-file /c/env --entrypoint=/bin/sh sha256:ab -c id"
        );
    }

    #[test]
    fn docker_with_root() {
        let change = |run: &mut Run<'static>| {
            run.network = Network::None;
            run.devices = keep(["--device".to_owned(), "nvidia.com/gpu=all".to_owned()]);
            run.options = keep(["--gpus=all".to_owned()]);
            run.init = false;
            run.terminal = true;
        };
        assert_eq!(
            line(Kind::Docker, change).unwrap(),
            "run --name moorline-j-a --label moorline.process=p --pull never --log-driver none \
             --no-healthcheck --interactive --tty --user 1000:100 --group-add 5 --group-add 6 \
             --cap-drop ALL --security-opt no-new-privileges --network none \
             --device nvidia.com/gpu=all --ulimit nofile=1024:4096 --workdir /work_dir --cidfile /c/cid \
             --mount type=bind,source=/w,target=/work_dir \
             --mount type=bind,source=/cvmfs,target=/cvmfs,readonly \
             --env A --env-file /c/env --env ALL_PROXY --env FTP_PROXY --env HTTPS_PROXY \
             --env HTTP_PROXY --env NO_PROXY --env all_proxy --env ftp_proxy --env http_proxy \
             --env https_proxy --env no_proxy --gpus=all --entrypoint=/bin/sh --entrypoint=/bin/sh sha256:ab -c id"
        );
        let root = line(Kind::Docker, |run| run.ids = &Ids::Root).unwrap();
        assert!(root.contains(" --user 0:0 ") && !root.contains("--group-add"), "{root}");
    }

    #[test]
    fn odd_words_and_mounts() {
        let odd = keep([bind("/a,b \"c", "/d:e\nf", Access::Rw)]);
        let shown = line(Kind::Docker, |run| run.binds = odd).unwrap();
        assert!(
            shown.contains("--mount type=bind,\"source=/a,b \"\"c\",\"target=/d:e\nf\" "),
            "{shown}"
        );
        let mut none = bind("/a", "/b", Access::Rw);
        none.source = OsStr::from_bytes(b"/a\xff").into();
        for (bind, why) in
            [(none, "not UTF-8"), (bind("/a\r", "/b", Access::Rw), "carriage return")]
        {
            let error = line(Kind::Podman, |run| run.binds = keep([bind])).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
        let list = keep(["[".to_owned(), "x".to_owned()]);
        let shown = line(Kind::Podman, |run| run.command = list).unwrap();
        assert!(shown.ends_with("--entrypoint=[\"[\"] sha256:ab x"), "{shown}");
        let empty = keep([String::new()]);
        assert!(matches!(
            line(Kind::Podman, |run| run.command = empty),
            Err(ExecuteError::NothingToRun)
        ));
    }

    #[test]
    fn what_would_steer_the_engine_is_not_handed_on_by_it() {
        for name in
            ["PATH", "HOME", "DOCKER_HOST", "CONTAINERS_CONF", "LD_PRELOAD", "a.b", "NO_PROXY"]
        {
            assert!(!is_safe(name), "{name}");
        }
        let env = [("MY_VALUE", "1"), ("HOME", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(handed_on(&env.into()).into_keys().collect::<Vec<_>>(), ["MY_VALUE"]);
    }
}
