//! The flags that `run` and `submit` share, and the job that they describe.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::acquire::{self, Asked, Ready};
use crate::cli::args::credential_args::CredentialArgs;
use crate::cli::args::files_args::FilesArgs;
use crate::cli::args::from_gitlab::FromGitlab;
use crate::cli::args::host_path;
use crate::cli::context::Context;
use crate::cli::context::tickets;
use crate::cli::show::output::{self, CliError, Report};
use crate::config::Value;
use crate::execute::{self, Form};
use crate::failure::Kind;
use crate::job::{
    Entrypoint, EnvVar, Grade, JobId, JobSpec, Mount, Network, Resources, RuntimeChoice, Terms,
};
use crate::oci::Platform;
use crate::procstatus::ProcStatus;
use crate::stage::convert::default_recipe;
use crate::submit::Way;

/// Why a secret's variable is refused.
const KEPT: &str = "by its name this is a secret, and a job's plan and the ledger would keep it";
/// Characters of a variable's value that are shown.
const LONGEST_SHOWN: usize = 200;
/// What to do with a secret.
const INSTEAD: &str = "give the job a file that only it can read, through --mount";

/// What to run and how.
#[derive(Debug, Args, Clone)]
pub struct SpecArgs {
    #[arg(long, value_name = "RUNTIME", value_parser = runtime, help = runtimes())]
    pub runtime: Option<RuntimeChoice>,
    /// Host path for the job: SRC[:DST][:ro|rw][:required], or as docker has it:
    /// type=bind,source=SRC,target=DST[,readonly][,required]; repeatable
    #[arg(long, value_name = "MOUNT", value_parser = mount())]
    pub mount: Vec<Mount>,
    /// Those of the job file, over which the flags' win.
    #[arg(skip)]
    pub file_mounts: Vec<Mount>,
    /// Variable for the program: NAME=VALUE, or NAME to hand on your own; repeatable
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Flag for the container runtime; repeatable
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    pub option: Vec<String>,
    /// Run only with evidence of this grade or a better one: verified-on-read, measured,
    /// measured-cached
    #[arg(long, value_name = "GRADE", value_parser = Grade::required)]
    pub require: Option<Grade>,
    /// Platform of the image, for example linux/arm64
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
    /// Network of the program: host (the machine's), or none (its own, loopback only)
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    pub network: Option<Network>,
    /// How long the program may take to end after a signal, before it is killed: 90s, 5m; a bare
    /// number is minutes
    #[arg(long, value_name = "TIME", value_parser = |t: &str| Resources::parse_time(t).map_err(|e| e.to_string()))]
    pub grace: Option<u64>,
    /// Give the program a copy of your Kerberos tickets, as KRB5CCNAME
    #[arg(long)]
    pub krb: bool,
    /// Give the program a copy of your grid proxy
    #[arg(long)]
    pub proxy: bool,
    /// Let the program ask your ssh agent; only where the job runs on this machine
    #[arg(long)]
    pub ssh_agent: bool,
    /// ENTRYPOINT of the image: none (it stays out of the command's way), or image (the command is its arguments)
    #[arg(long, value_name = "WHICH", value_parser = entrypoint)]
    pub entrypoint: Option<Entrypoint>,
    /// Let the program write into the image, so much at most: 500M, 10G. What it writes goes with the job
    #[arg(long, value_name = "SIZE", value_parser = |t: &str| Resources::parse_memory(t).map_err(|e| e.to_string()))]
    pub scratch: Option<u64>,
    /// Give the program the machine's GPUs and the libraries of their driver
    #[arg(long)]
    pub gpu: bool,
    /// A name for you; free text
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// Write the job's id into this file before the job is handed over, for whoever must end it later
    #[arg(long, value_name = "FILE")]
    pub id_file: Option<PathBuf>,
    /// Run only what moorline.lock holds
    #[arg(long)]
    pub locked: bool,
    /// For the registry
    #[command(flatten)]
    pub credential: CredentialArgs,
    /// Its files
    #[command(flatten)]
    pub files: FilesArgs,
    /// The image by what CI built
    #[command(flatten)]
    pub from: FromGitlab,
}

impl SpecArgs {
    /// The image that was asked for, and the credential of the command line for it.
    ///
    /// # Errors
    /// When it was named twice, or it or the credential makes no sense.
    pub fn asked(&self, context: &Context, what: &WhatArgs) -> Result<Asked, Report> {
        let asked = Asked::read(context, what.what.as_deref(), self.from.build(), self.locked)?;
        let registry = asked.what.as_ref().and_then(|what| what.registry(context));
        self.credential.apply(context, [registry])?;
        Ok(asked)
    }

    /// Refuses a flag that stands behind the image, unless it is the argument of a program that `--exe` or the image
    /// names.
    ///
    /// # Errors
    /// With what [`WhatArgs::settle`] found.
    pub fn refuse_late(&self, late: Option<CliError>) -> Result<(), Report> {
        let named = self.files.exe.is_some() || self.entrypoint == Some(Entrypoint::Image);
        late.filter(|_| !named).map_or(Ok(()), |late| Err(late.into()))
    }

    /// Whether a job can be made of the flags. Verbs ask before anything is downloaded.
    ///
    /// # Errors
    /// As [`SpecArgs::variables`], [`SpecArgs::mounts`] and [`SpecArgs::options`] say, and when what
    /// `--krb`, `--proxy` and `--ssh-agent` hand over is not there, or the runtime cannot give what was asked for.
    pub fn check(&self, context: &Context) -> Result<(), Report> {
        self.variables(context)?;
        self.mounts(context)?;
        self.options(context)?;
        self.refused(context)?;
        tickets::check(context, &self.terms(), &self.variables(context)?)
    }

    /// What the flags say of the terms, as far as a runtime and the submitter's secrets are concerned.
    fn terms(&self) -> Terms {
        Terms {
            network: self.network,
            entrypoint: self.entrypoint,
            scratch_mib: self.scratch,
            gpu: self.gpu,
            kerberos: self.krb,
            proxy: self.proxy,
            ssh_agent: self.ssh_agent,
            ..Terms::default()
        }
    }

    /// Whether the runtime that was named can give what was asked for.
    ///
    /// # Errors
    /// When it cannot, on any machine.
    fn refused(&self, context: &Context) -> Result<(), Report> {
        let Some(runtime) = self.runtime.or(context.settings().runtime) else { return Ok(()) };
        match execute::lacks(runtime, &self.terms()) {
            Some(why) => Err(CliError::usage(format!("the runtime {}: {why}", runtime.name()))
                .with_hint("take --runtime builtin, or leave it out")
                .into()),
            None => Ok(()),
        }
    }

    /// The mounts of the configuration, the job file and `--mount`, later ones in the place of earlier
    /// ones with the same target, and a sentence about each that went that way.
    ///
    /// # Errors
    /// When one of the three says two different mounts for one target, or a project file asks for one that it may
    /// not have.
    pub fn mounts(&self, context: &Context) -> Result<(Vec<Mount>, Vec<String>), Report> {
        let mut mounts = vec![Mount::cvmfs()];
        let of_flags = [self.file_mounts.as_slice(), &self.mount].concat();
        let (configured, mut notes) = context.configured_mounts(&of_flags)?;
        for (origin, kind, later) in [
            ("[submit] mounts", Kind::Configuration, &configured),
            ("the job file", Kind::Usage, &self.file_mounts),
            ("--mount", Kind::Usage, &self.mount),
        ] {
            let replaced = Mount::lay_over(&mut mounts, later).map_err(|clash| {
                CliError::new(kind, format!("{origin}: {clash}")).with_hint("leave one out")
            })?;
            notes.extend(
                replaced
                    .into_iter()
                    .filter(|(old, _)| *old != Mount::cvmfs())
                    .map(|(old, new)| format!("{origin}: {new} takes the place of {old}")),
            );
        }
        Ok((mounts, notes))
    }

    /// Whether a runtime is named that takes options.
    ///
    /// # Errors
    /// When it is one that has none, or none is named: what somebody relies on must not be ignored, or mean something else.
    pub fn options(&self, context: &Context) -> Result<(), Report> {
        let runtime = self.runtime.or(context.settings().runtime);
        let runtime = runtime.filter(|runtime| *runtime != RuntimeChoice::Auto);
        match (runtime, self.option.first()) {
            (None, Some(option)) => Err(CliError::usage(format!(
                "--option {option} is for one runtime, and auto takes the first that works"
            ))
            .with_hint("name the runtime that it is meant for: --runtime apptainer")
            .into()),
            (Some(runtime), Some(option)) if !execute::takes_options(runtime) => {
                Err(CliError::usage(format!(
                    "--option {option}: the runtime {} takes no options",
                    runtime.name()
                ))
                .with_hint(
                    "leave it out, or name the runtime that it is meant for: --runtime apptainer",
                )
                .into())
            }
            _ => Ok(()),
        }
    }

    /// The image in the form that the runtime takes.
    ///
    /// # Errors
    /// As the steps of the line say.
    pub fn image(
        &self,
        context: &Context,
        asked: &Asked,
        platform: &Platform,
    ) -> Result<Ready, Report> {
        let runtime = self.runtime.or(context.settings().runtime).unwrap_or_default();
        if self.files.delivery == Some(Way::Cvmfs) {
            return acquire::obtain_published(context, asked, platform);
        }
        match execute::wants(runtime) {
            Form::Directory | Form::Sif => {
                acquire::obtain(context, asked, platform, &default_recipe())
            }
            Form::Oci => acquire::obtain_archive(context, asked, platform),
        }
    }

    /// The variables of the configuration and of `--env`, the later ones winning.
    ///
    /// # Errors
    /// When a variable is named that is not set or must not be handed on.
    pub fn variables(&self, context: &Context) -> Result<Vec<EnvVar>, Report> {
        let mut env = context.settings().env.clone();
        if let Some(var) = env.iter().find(|var| is_secret_name(&var.name)) {
            return Err(CliError::new(
                Kind::Configuration,
                format!("[submit.env] {}: {KEPT}", var.name),
            )
            .with_hint(format!(
                "remove it (moorline config show says which file has it); {INSTEAD}"
            ))
            .into());
        }
        for text in &self.env {
            let var = variable(context, text)?;
            env.retain(|v: &EnvVar| v.name != var.name);
            env.push(var);
        }
        Ok(env)
    }
}

/// The image and the command: everything behind the image is the command, as with docker, apptainer and srun.
#[derive(Debug, Args, Clone)]
pub struct WhatArgs {
    /// Image: group/project:tag, registry/..., docker://..., a .sif file, oci:DIR, oci-archive:FILE,
    /// docker-archive:FILE, or a name of moorline.toml
    #[arg(value_name = "IMAGE")]
    pub what: Option<String>,
    /// The command and its arguments; without one the image's own command runs
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

impl WhatArgs {
    /// Known flags may also stand between the two; what is not known would be the program's name.
    ///
    /// Tells the image from the command where `--` stands before both: then there is only a command, for an
    /// image that a flag, a job file or CI names. `words` are the arguments of the process.
    ///
    /// Gives what is wrong with a flag behind the image. It is nothing behind `--`, which says that the command begins
    /// there; and the caller knows whether a program comes from elsewhere, whose argument it is:
    /// [`SpecArgs::refuse_late`].
    #[must_use]
    pub fn settle(&mut self, words: &[String]) -> Option<CliError> {
        let dashes = words.iter().position(|word| word == "--");
        let behind = dashes.map(|at| words.len() - at - 1);
        if let Some(image) = self.what.take_if(|_| behind == Some(1 + self.command.len())) {
            self.command.insert(0, image);
        }
        let flag = self.command.first().filter(|flag| flag.len() > 1 && flag.starts_with('-'))?;
        if self.what.is_none() || behind == Some(self.command.len()) {
            return None;
        }
        let text =
            format!("{} stands behind the image, where the command begins", output::cell(flag));
        Some(CliError::usage(text).with_hint(
            "write flags before the image, and the command behind it; behind -- every word is the command's",
        ))
    }
}

/// Reads a mount; one that is not UTF-8 is refused by name.
fn mount() -> impl TypedValueParser<Value = Mount> {
    OsStringValueParser::new().try_map(|text| match text.to_str() {
        Some(typed) => Mount::from_argument(OsStr::new(&host_path::absolute_source(typed))),
        None => Mount::from_argument(&text),
    })
}

/// Reads a runtime's name.
pub fn runtime(text: &str) -> Result<RuntimeChoice, String> {
    RuntimeChoice::ALL.iter().find(|(name, _)| *name == text).map(|(_, v)| *v).ok_or_else(|| {
        let names: Vec<_> = RuntimeChoice::ALL.iter().map(|(name, _)| *name).collect();
        format!("known runtimes: {}", names.join(", "))
    })
}

/// What `--runtime` takes.
fn runtimes() -> String {
    let names: Vec<_> = RuntimeChoice::ALL.iter().map(|(name, _)| *name).collect();
    let (last, others) = names.split_last().expect("there are runtimes");
    format!("Runtime: {} or {last}", others.join(", "))
}

/// Reads a network's name.
fn network(text: &str) -> Result<Network, String> {
    match text {
        "host" => Ok(Network::Host),
        "none" => Ok(Network::None),
        _ => Err("known networks: host, none".to_owned()),
    }
}

/// Reads what becomes of the ENTRYPOINT.
fn entrypoint(text: &str) -> Result<Entrypoint, String> {
    match text {
        "image" => Ok(Entrypoint::Image),
        "none" => Ok(Entrypoint::None),
        _ => Err("known: none, image".to_owned()),
    }
}

/// What a job is made of, beside its image.
pub struct Parts {
    /// The command.
    pub command: Vec<String>,
    /// The shared flags.
    pub flags: SpecArgs,
    /// What to ask of the engine.
    pub resources: Resources,
    /// The host directory for `/work_dir`.
    pub workdir: Option<PathBuf>,
}

impl Parts {
    /// The job, from a pinned image only.
    ///
    /// # Errors
    /// As [`SpecArgs::check`].
    pub fn job(self, context: &Context, id: JobId, ready: Ready) -> Result<JobSpec, Report> {
        let env = self.flags.variables(context)?;
        let grace = self.flags.grace.or(context.settings().grace);
        let (mounts, notes) = self.flags.mounts(context)?;
        for note in notes {
            context.voice.say(format!("note: {}", output::cell(&note)));
        }
        self.note_project(context, &env, &mounts);
        let asked = self.flags.terms();
        Ok(JobSpec {
            id,
            name: self.flags.name,
            image: ready.image,
            delivery: ready.delivery,
            command: self.command,
            mounts,
            env,
            runtime: self.flags.runtime.or(context.settings().runtime).unwrap_or_default(),
            options: self.flags.option,
            resources: self.resources,
            workdir: self.workdir,
            rerun_of: None,
            terms: Terms {
                // the program gets the caller's wherever it runs
                umask: ProcStatus::own().umask(),
                require: self.flags.require,
                outputs: self.flags.files.output,
                grace: grace.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
                platform: context.noted_platform(),
                ..asked
            },
        })
    }

    /// Notes what the project file adds: it is said before the job starts, and recorded.
    fn note_project(&self, context: &Context, env: &[EnvVar], mounts: &[Mount]) {
        let submit = &context.config.submit;
        if let Some(said) = context.config.registry.as_ref().filter(|said| said.origin.is_project())
        {
            context.contributed(format!("registry {}", said.value));
        }
        for mount in mounts.iter().filter(|mount| context.is_of_project(mount)) {
            context.contributed(format!("mount {} at {}, read-only", mount.source, mount.target));
        }
        for (name, value) in &submit.env {
            let set = |var: &EnvVar| var.name == *name && var.value == value.value;
            if value.origin.is_project() && env.iter().any(set) {
                let shown: String = value.value.chars().take(LONGEST_SHOWN).collect();
                let more = if shown.len() < value.value.len() { "..." } else { "" };
                context.contributed(format!("variable {name}={shown}{more}"));
            }
        }
        let asked = &self.resources;
        let note = |of_project: bool, text: String| {
            if of_project {
                context.contributed(text);
            }
        };
        if let (Some(runtime), None) = (&submit.runtime, self.flags.runtime) {
            note(runtime.origin.is_project(), format!("runtime {}", runtime.value.name()));
        }
        let cpus = asked.cpus.unwrap_or_default();
        note(is_set(submit.cpus.as_ref(), asked.cpus.as_ref()), format!("cpus {cpus}"));
        let memory = asked.memory_mib.unwrap_or_default();
        note(
            is_set(submit.memory_mib.as_ref(), asked.memory_mib.as_ref()),
            format!("memory {memory}M"),
        );
        let time = asked.time_seconds.unwrap_or_default();
        note(
            is_set(submit.time_seconds.as_ref(), asked.time_seconds.as_ref()),
            format!("time {time}s"),
        );
        for engine in context.config.backends.values() {
            let (queue, account) = (asked.queue.as_ref(), asked.account.as_ref());
            note(
                is_set(engine.queue.as_ref(), queue),
                format!("queue {}", queue.map_or("", |q| q)),
            );
            note(
                is_set(engine.account.as_ref(), account),
                format!("account {}", account.map_or("", |a| a)),
            );
        }
    }
}

/// Whether a setting is in force, and a project file said it.
fn is_set<T: PartialEq>(set: Option<&Value<T>>, asked: Option<&T>) -> bool {
    set.is_some_and(|set| set.origin.is_project() && Some(&set.value) == asked)
}

/// `NAME=VALUE`, or `NAME` for the caller's own value. A secret's variable is refused: the job's
/// plan and the ledger would keep it.
fn variable(context: &Context, text: &str) -> Result<EnvVar, Report> {
    let full = if text.contains('=') {
        text.to_owned()
    } else {
        let value = context.env(text).ok_or_else(|| {
            CliError::usage(format!("--env {text}: the variable is not set here"))
                .with_hint(format!("write --env {text}=VALUE"))
        })?;
        format!("{text}={value}")
    };
    let var: EnvVar =
        full.parse().map_err(|why: String| CliError::usage(format!("--env: {why}")))?;
    if is_secret_name(&var.name) {
        return Err(CliError::usage(format!("--env {}: {KEPT}", var.name))
            .with_hint(INSTEAD)
            .into());
    }
    Ok(var)
}

/// Names that hold credentials of Moorline, GitLab CI or container tools.
fn is_secret_name(name: &str) -> bool {
    let ci =
        name.starts_with("CI_") && ["TOKEN", "PASSWORD", "JWT"].iter().any(|w| name.contains(w));
    let own = name.starts_with("MOORLINE_")
        && ["PASSWORD", "TOKEN", "KEY"].iter().any(|w| name.ends_with(w));
    ci || own
        || matches!(
            name,
            "DOCKER_AUTH_CONFIG" | "APPTAINER_DOCKER_PASSWORD" | "SINGULARITY_DOCKER_PASSWORD"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_begins_behind_the_image() {
        let settled = |line: &str, what: Option<&str>, command: &[&str]| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let owned = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
            let mut args = WhatArgs { what: what.map(str::to_owned), command: owned(command) };
            match args.settle(&words) {
                None => Ok((args.what, args.command.join(" "))),
                Some(late) => Err(late.to_string()),
            }
        };
        let image = |command: &str| Ok((Some("i".to_owned()), command.to_owned()));
        let none = |command: &str| Ok((None, command.to_owned()));
        assert_eq!(settled("run i ls -l", Some("i"), &["ls", "-l"]), image("ls -l"));
        assert_eq!(settled("run i -- ls -l", Some("i"), &["ls", "-l"]), image("ls -l"));
        assert_eq!(settled("run i ls -- x", Some("i"), &["ls", "--", "x"]), image("ls -- x"));
        assert_eq!(settled("run i", Some("i"), &[]), image(""));
        assert_eq!(settled("run --ref m -- ls -l", Some("ls"), &["-l"]), none("ls -l"));
        assert_eq!(settled("run -- -x", Some("-x"), &[]), none("-x"));
        assert!(settled("run i --name x -- ls", Some("i"), &["--name", "x", "--", "ls"]).is_err());
        assert!(settled("run i --n", Some("i"), &["--n"]).is_err());
        assert_eq!(settled("run i -- --n 1", Some("i"), &["--n", "1"]), image("--n 1"));
    }

    #[test]
    fn secrets_are_known_by_name() {
        for secret in
            ["CI_JOB_TOKEN", "CI_REGISTRY_PASSWORD", "CI_DEPLOY_PASSWORD", "MOORLINE_PASSWORD"]
        {
            assert!(is_secret_name(secret), "{secret}");
        }
        for plain in ["CI_COMMIT_SHA", "MOORLINE_CACHE", "TOKENIZERS_PARALLELISM"] {
            assert!(!is_secret_name(plain), "{plain}");
        }
    }
}
