//! A job file, `submit -f job.toml`: its keys equal the long flags, which win over it.
//!
//! ```toml
//! image = "group/analysis:v3"
//! command = ["/opt/analysis/run", "--events", "1000"]
//! mount = ["/data:ro:required"]
//! env = { OMP_NUM_THREADS = "4" }
//! memory = "8G"
//! ```
//!
//! The user names the file on the command line, so it may set all that flags of the same name set.

use std::path::{Path, PathBuf};

use super::read::{Item, Source};
use super::{ConfigError, Problem, keys};
use crate::job::{
    Entrypoint, EnvVar, Grade, Mount, Name, Network, Resources, RuntimeChoice, Tasks,
};
use crate::oci::Platform;
use crate::pin::Built;

/// What a job file says; `None` and empty lists where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFile {
    /// WHAT, in any spelling; not yet read.
    pub image: Option<String>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// `--mount`.
    pub mounts: Vec<Mount>,
    /// `--env`.
    pub env: Vec<EnvVar>,
    /// `--name`.
    pub name: Option<String>,
    /// `--backend`.
    pub backend: Option<String>,
    /// `--runtime`.
    pub runtime: Option<RuntimeChoice>,
    /// `--network`.
    pub network: Option<Network>,
    /// `--grace`, in seconds.
    pub grace: Option<u64>,
    /// `--krb`.
    pub krb: bool,
    /// `--proxy`.
    pub proxy: bool,
    /// `--ssh-agent`.
    pub ssh_agent: bool,
    /// `--entrypoint`.
    pub entrypoint: Option<Entrypoint>,
    /// `--scratch`, in MiB.
    pub scratch_mib: Option<u64>,
    /// `--gpu`.
    pub gpu: bool,
    /// `--require`.
    pub require: Option<Grade>,
    /// `--cpus`, `--memory`, `--time`, `--queue`, `--account`.
    pub resources: Resources,
    /// `--array`: the tasks, and how many of them run at once at most.
    pub array: Option<(Tasks, Option<u32>)>,
    /// `--workdir`; a relative path is the caller's to place.
    pub workdir: Option<PathBuf>,
    /// `--delivery`, `--exe`, `--input`, `--output`.
    pub files: JobFiles,
    /// `--platform`.
    pub platform: Option<Platform>,
    /// `--option`.
    pub options: Vec<String>,
    /// `--project`, `--ref`, ...: what CI built, in place of `image`.
    pub built: Built,
}

/// What a job file says of the image's way and of the job's files, as the flags of the same names take it. Which ways
/// there are, and which names lie below the working directory, is not checked here: a path means something only
/// where the job is submitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFiles {
    /// `--delivery`.
    pub delivery: Option<String>,
    /// `--exe`; a relative path is the caller's to place.
    pub exe: Option<PathBuf>,
    /// `--input`: `FILE[:NAME]`.
    pub input: Vec<String>,
    /// `--output`: patterns.
    pub output: Vec<String>,
}

impl JobFile {
    /// Reads a job file's text.
    ///
    /// # Errors
    /// Names `file`, the line and the key.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let source = Source { file, text, level: None };
        let table = source.table()?;
        let mut job = Self::default();
        for (key, value) in &table {
            let name = key.get_ref().as_ref();
            if !keys::JOB.contains(&name) {
                let problem = if keys::is_secret(name) {
                    Problem::Secret { key: name.to_owned() }
                } else {
                    let nearest = keys::nearest(&[name], keys::JOB);
                    Problem::Unknown { key: name.to_owned(), nearest }
                };
                return Err(source.error(key.span().start, problem));
            }
            job.set(name, &Item { source, key: name, name, value })?;
        }
        if let Some((one, other)) = job.built.conflict() {
            let span = table.get(one).map_or(0, |value| value.span().start);
            let why = format!("it cannot stand beside {other:?}");
            return Err(source.error(span, Problem::Value { key: one.to_owned(), why }));
        }
        Ok(job)
    }

    fn set(&mut self, name: &str, item: &Item<'_>) -> Result<(), ConfigError> {
        match name {
            "image" => self.image = Some(item.line_of_text()?),
            "command" => {
                // one text would have to be split into words, and then who quotes?
                self.command = item.list()?.iter().map(argument).collect::<Result<_, _>>()?;
            }
            "mount" => {
                let mounts = item.one_or_more()?;
                self.mounts = mounts.iter().map(Item::parsed).collect::<Result<_, _>>()?;
            }
            "env" => self.env = env(item)?,
            "name" => self.name = Some(item.line_of_text()?),
            "backend" => self.backend = Some(item.identifier()?),
            "runtime" => self.runtime = Some(runtime(item)?),
            "network" => self.network = Some(network(item)?),
            "grace" => self.grace = Some(item.time()?),
            "krb" => self.krb = item.yes_or_no()?,
            "proxy" => self.proxy = item.yes_or_no()?,
            "ssh-agent" => self.ssh_agent = item.yes_or_no()?,
            "entrypoint" => self.entrypoint = Some(entrypoint(item)?),
            "scratch" => self.scratch_mib = Some(item.memory()?),
            "gpu" => self.gpu = item.yes_or_no()?,
            "require" => {
                let grade = Grade::required(item.text()?);
                self.require = Some(grade.map_err(|why| item.bad_value(why))?);
            }
            "cpus" => self.resources.cpus = Some(item.cpus()?),
            "memory" => self.resources.memory_mib = Some(item.memory()?),
            "time" => self.resources.time_seconds = Some(item.time()?),
            "queue" => self.resources.queue = Some(item.identifier()?),
            "account" => self.resources.account = Some(item.identifier()?),
            "array" => {
                let text = item.number_or_text("a list of tasks such as \"1-400\"")?;
                let array = Tasks::parse_array(&text);
                self.array = Some(array.map_err(|why| item.bad_value(why.to_string()))?);
            }
            "workdir" => self.workdir = Some(item.line_of_text()?.into()),
            "delivery" => self.files.delivery = Some(item.line_of_text()?),
            "exe" => self.files.exe = Some(item.line_of_text()?.into()),
            "input" => self.files.input = texts(item)?,
            "output" => self.files.output = texts(item)?,
            "platform" => self.platform = Some(item.parsed()?),
            "option" => self.options = texts(item)?,
            word if Built::KEYS.contains(&word) => set_built(&mut self.built, word, item)?,
            _ => return Err(unread(item)),
        }
        Ok(())
    }
}

/// One of the words for what CI built.
pub(super) fn set_built(built: &mut Built, word: &str, item: &Item<'_>) -> Result<(), ConfigError> {
    let line = || item.line_of_text().map(Some);
    match word {
        "project" => built.project = line()?,
        "ref" => built.git_ref = line()?,
        "commit" => built.commit = line()?,
        "pipeline" => built.pipeline = Some(item.number_or_text("a number, or \"latest\"")?),
        "job" => built.job = line()?,
        "mr" => {
            let number = item.number_or_text("a number")?;
            let bad = || item.bad_value(format!("{number:?} is not a number"));
            built.mr = Some(number.parse().map_err(|_| bad())?);
        }
        "release" => built.release = line()?,
        "repository" => built.repository = line()?,
        _ => return Err(unread(item)),
    }
    Ok(())
}

/// A key of the list that no arm reads: a mistake of this program that tests find.
pub(super) fn unread(item: &Item<'_>) -> ConfigError {
    item.error(Problem::Unknown { key: item.key.to_owned(), nearest: None })
}

/// One text, or a list of them.
fn texts(item: &Item<'_>) -> Result<Vec<String>, ConfigError> {
    item.one_or_more()?.iter().map(argument).collect()
}

fn argument(item: &Item<'_>) -> Result<String, ConfigError> {
    let text = item.text()?;
    if text.contains('\0') {
        return Err(item.bad_value("an argument cannot hold a NUL byte"));
    }
    Ok(text.to_owned())
}

/// `{ NAME = "value" }`, or a list of `"NAME=value"` as the flag takes them.
fn env(item: &Item<'_>) -> Result<Vec<EnvVar>, ConfigError> {
    if !item.value.get_ref().is_table() {
        return item.one_or_more()?.iter().map(Item::parsed).collect();
    }
    let variable = |(name, value): (&'_ toml::Spanned<_>, _)| {
        let name: &std::borrow::Cow<'_, str> = name.get_ref();
        Item { value, ..*item }.variable(name)
    };
    item.table()?.iter().map(variable).collect()
}

fn network(item: &Item<'_>) -> Result<Network, ConfigError> {
    match item.text()? {
        "host" => Ok(Network::Host),
        "none" => Ok(Network::None),
        text => Err(item.bad_value(format!("{text:?} is not a network: host, none"))),
    }
}

fn entrypoint(item: &Item<'_>) -> Result<Entrypoint, ConfigError> {
    match item.text()? {
        "image" => Ok(Entrypoint::Image),
        "none" => Ok(Entrypoint::None),
        text => Err(item.bad_value(format!("{text:?} is neither image nor none"))),
    }
}

pub(super) fn runtime(item: &Item<'_>) -> Result<RuntimeChoice, ConfigError> {
    let text = item.text()?;
    let found = RuntimeChoice::ALL.iter().find(|(name, _)| *name == text);
    found.map(|(_, runtime)| *runtime).ok_or_else(|| {
        let names: Vec<&str> = RuntimeChoice::ALL.iter().map(|(name, _)| *name).collect();
        item.bad_value(format!("{text:?} is not a runtime: {}", names.join(", ")))
    })
}

/// Which runtimes `auto` tries: names of those that there are, none twice.
pub(super) fn runtimes(item: &Item<'_>) -> Result<Vec<Name>, ConfigError> {
    let mut names: Vec<Name> = Vec::new();
    for item in item.list()? {
        let choice = runtime(&item)?;
        let name = choice.name().parse().map_err(|e| item.bad_value(e))?;
        if choice == RuntimeChoice::Auto || names.contains(&name) {
            return Err(item.bad_value("write each runtime once, and not auto"));
        }
        names.push(name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::failure::{Failure, Kind};

    fn parse(text: &str) -> Result<JobFile, ConfigError> {
        JobFile::parse(text, Path::new("job.toml"))
    }

    /// A good value for each key.
    const EXAMPLES: [(&str, &str); 37] = [
        ("image", "\"group/analysis:v3\""),
        ("command", "[\"run\", \"-x\", \"\"]"),
        ("mount", "[\"/data:ro\"]"),
        ("env", "{ A = \"1\", B = \"x=y\" }"),
        ("name", "\"my job\""),
        ("backend", "\"slurm\""),
        ("runtime", "\"builtin\""),
        ("network", "\"none\""),
        ("grace", "\"30s\""),
        ("krb", "true"),
        ("proxy", "true"),
        ("ssh-agent", "true"),
        ("entrypoint", "\"image\""),
        ("scratch", "\"2G\""),
        ("gpu", "true"),
        ("require", "\"measured\""),
        ("cpus", "4"),
        ("memory", "\"4G\""),
        ("time", "90"),
        ("queue", "\"short\""),
        ("account", "\"atlas\""),
        ("array", "\"1-400%50\""),
        ("workdir", "\"here\""),
        ("delivery", "\"shared\""),
        ("exe", "\"bin/run.sh\""),
        ("input", "[\"/data/a.root:in/b.root\", \"cuts.json\"]"),
        ("output", "\"*.root\""),
        ("platform", "\"linux/amd64\""),
        ("option", "\"--nv\""),
        ("project", "\"group/project\""),
        ("ref", "\"main\""),
        ("commit", "\"1a2b3c4d\""),
        ("pipeline", "4711"),
        ("job", "\"build\""),
        ("mr", "7"),
        ("release", "\"v1.0\""),
        ("repository", "\"tool\""),
    ];

    #[test]
    fn all_keys() {
        let together = |key: &str| !["commit", "mr", "release"].contains(&key);
        let lines = EXAMPLES.iter().filter(|(key, _)| together(key));
        let lines: Vec<_> = lines.map(|(key, value)| format!("{key} = {value}")).collect();
        let job = parse(&lines.join("\n")).unwrap();
        let words =
            "--project group/project --ref main --pipeline 4711 --job build --repository tool";
        assert_eq!(job.built.to_string(), words);
        assert_eq!(job.image.as_deref(), Some("group/analysis:v3"));
        assert_eq!(job.command, ["run", "-x", ""]);
        assert_eq!(job.mounts, ["/data:ro".parse().unwrap()]);
        assert_eq!(job.env, ["A=1".parse().unwrap(), "B=x=y".parse().unwrap()]);
        assert_eq!(job.runtime, Some(RuntimeChoice::Builtin));
        assert_eq!((job.network.as_ref(), job.grace), (Some(&Network::None), Some(30)));
        assert_eq!(job.resources.cpus, Some(4));
        assert_eq!(job.resources.memory_mib, Some(4096));
        assert_eq!(job.resources.time_seconds, Some(5400));
        assert_eq!(job.options, ["--nv"]);
        assert_eq!((job.entrypoint, job.scratch_mib), (Some(Entrypoint::Image), Some(2048)));
        assert!(job.gpu && job.krb && job.proxy && job.ssh_agent);
        let files = &job.files;
        assert_eq!(files.delivery.as_deref(), Some("shared"));
        assert_eq!(files.exe.as_deref(), Some(Path::new("bin/run.sh")));
        assert_eq!(files.input, ["/data/a.root:in/b.root", "cuts.json"]);
        assert_eq!(files.output, ["*.root"]);
        assert_eq!(parse("env = [\"A=1\"]").unwrap().env, parse("env.A = '1'").unwrap().env);
        assert_eq!(parse("").unwrap(), JobFile::default());
        // each key alone is read and changes something
        assert_eq!(EXAMPLES.map(|(key, _)| key), keys::JOB);
        for (key, value) in EXAMPLES {
            assert_ne!(parse(&format!("{key} = {value}")).unwrap(), JobFile::default(), "{key}");
        }
    }

    #[test]
    fn errors_name_line_and_key() {
        let show = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(
            show("image = \"x\"\n\ncpus = 0\n"),
            "job.toml:3: \"cpus\": 0 is not a number of cores"
        );
        assert_eq!(show("command = \"a b\""), "job.toml:1: \"command\" must be a list, not a text");
        assert_eq!(
            show("mount = [\n  \"/a\",\n  \"b\",\n]"),
            "job.toml:3: \"mount\": \"b\" is not a mount: both paths must be absolute (write \
             SRC[:DST][:ro|rw][:required], or type=bind,source=SRC,target=DST[,readonly][,required])"
        );
        assert_eq!(show("a = 1"), "job.toml:1: unknown key \"a\"");
        assert!(show("image = \"x\"\nimage = \"y\"").starts_with("job.toml:2: this is not TOML"));
        assert!(show("runtime = \"dokcer\"").ends_with(
            "auto, apptainer, singularity, builtin, podman, docker, charliecloud, udocker"
        ));
        for bad in [
            "cpus = 1.5",
            "cpus = \"4\"",
            "cpus = 4294967296",
            "memory = 0",
            "memory = -1",
            "memory = true",
            "scratch = 0",
            "entrypoint = \"cmd\"",
            "gpu = \"all\"",
            "time = \"1:2\"",
            "queue = \"a b\"",
            "image = \"\"",
            "image = \"a\\nb\"",
            "command = [1]",
            "command = [\"a\\u0000\"]",
            "env = { \"A B\" = \"1\" }",
            "env = { A = 1 }",
            "env = [\"A\"]",
            "delivery = true",
            "exe = [\"a\"]",
            "exe = \"\"",
            "input = [1]",
            "output = { a = \"b\" }",
            "platform = \"linux\"",
            "pipeline = true",
            "mr = \"x\"",
            "ref = \"\"",
            "ref = \"main\"\ncommit = \"1a2b3c4d\"",
        ] {
            assert_eq!(parse(bad).expect_err(bad).kind(), Kind::Usage);
        }
    }

    #[test]
    fn hints() {
        let hint = |text: &str| parse(text).unwrap_err().hint();
        assert_eq!(hint("mounts = []").as_deref(), Some("did you mean mount?"));
        let error = parse("password = \"hunter2\"").unwrap_err();
        assert!(!format!("{error:?} {error}").contains("hunter2"));
        assert!(error.hint().unwrap().contains("moorline login"));
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(text in "(?s).{0,300}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_value_gives_an_answer(key in 0..keys::JOB.len(), value in "[-0-9a-zA-Z_x\"'{}\\[\\]=,.:/ \n]{0,60}") {
            let _ = parse(&format!("{} = {value}", keys::JOB[key]));
        }

        #[test]
        fn arguments_come_through(words in proptest::collection::vec("[^\0]{0,20}", 0..5)) {
            let list = toml::Value::from(words.clone());
            let job = parse(&format!("command = {list}")).unwrap();
            prop_assert_eq!(job.command, words);
        }
    }
}
