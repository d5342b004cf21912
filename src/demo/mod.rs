//! The demo: the whole line on this machine, told step by step.
//!
//! It makes a small image out of the machine's own files, serves it from the registry stand-in on
//! loopback, and then only runs `moorline` commands (`shell.rs`) and looks at their answers. No
//! root, no container software and no network are needed.
//!
//! Where user namespaces are refused the job cannot be isolated by Moorline itself: an installed
//! apptainer is used through the ordinary verbs, else podman or docker by the demo itself
//! (`containers.rs`), and with none of them the program is started through its own loader
//! (`unisolated.rs`), which is called *not isolated*. Nobody measures what these two run: their
//! verdict is *Unproven* (`record.rs`), and only the demo does it.

pub mod containers;
pub mod image;
mod record;
mod shell;
mod unisolated;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Kind};
use crate::pin::Image;
use crate::secret::Secret;
use crate::standin::{
    Config as StandInConfig, DeployToken, Project, Running, Scope, StandIn, Visibility,
};

pub use shell::{Scene, Shell};

/// The project that the demo's registry holds.
pub const PROJECT: &str = "physics/analysis";

/// What stopped the demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A command did not exit with 0.
    #[error("the demo stopped: `{command}` ended with exit code {code}")]
    Step {
        /// The command.
        command: String,
        /// Its exit code.
        code: i32,
    },
    /// A command answered something else than the story says.
    #[error("the demo stopped: {what}: expected {expected}, got {got}")]
    Unexpected {
        /// What was looked at.
        what: &'static str,
        /// What the story says.
        expected: String,
        /// What came.
        got: String,
    },
    /// A file or process of the demo.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was done.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The image could not be made.
    #[error(transparent)]
    Image(#[from] image::DemoImageError),
    /// The registry stand-in did not start.
    #[error("the registry stand-in did not start: {0}")]
    StandIn(String),
    /// A job that the demo starts by itself.
    #[error("the demo could not run its job: {0}")]
    OwnRun(Box<dyn Failure>),
    /// podman or docker does not take the image.
    #[error("{program} does not load the demo's image: {said}")]
    Container {
        /// Which.
        program: &'static str,
        /// The last line of what it said.
        said: String,
    },
    /// `--require-isolation`, and there is none.
    #[error("this machine does not isolate: {cause}")]
    NotIsolated {
        /// Why.
        cause: String,
        /// What mends it.
        fix: String,
    },
}

impl Failure for DemoError {
    fn kind(&self) -> Kind {
        match self {
            Self::Step { .. } | Self::Unexpected { .. } => Kind::Integrity,
            Self::Io { source, .. } => crate::failure::io_kind(source, Kind::Configuration),
            Self::Image(error) => error.kind(),
            Self::OwnRun(error) => error.kind(),
            Self::StandIn(_) => Kind::Network,
            Self::Container { .. } | Self::NotIsolated { .. } => Kind::NoRuntime,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotIsolated { fix, .. } => Some(fix.clone()),
            Self::Image(error) => error.hint(),
            _ => None,
        }
    }
}

/// How the demo is run.
pub struct Options<'a> {
    /// The program whose commands are shown.
    pub program: &'a Path,
    /// An empty directory for everything that the demo writes.
    pub dir: &'a Path,
    /// `PATH`, also searched for the tools of the image.
    pub path: &'a str,
    /// What the story can count on; see [`Isolation`].
    pub isolation: &'a Isolation,
}

/// How a job can be kept apart from the machine here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// By Moorline itself.
    Builtin,
    /// Not by Moorline, but by this installed program (`apptainer`, `singularity`).
    Installed {
        /// Its name.
        runtime: &'static str,
        /// Why not by Moorline.
        cause: String,
        /// What mends it.
        fix: String,
    },
    /// By podman or docker, which the demo runs by itself: no verb submits to them yet.
    Container {
        /// Which.
        engine: containers::Engine,
        /// Why not by Moorline.
        cause: String,
        /// What mends it.
        fix: String,
    },
    /// Not at all.
    None {
        /// Why.
        cause: String,
        /// What mends it.
        fix: String,
    },
}

/// What the demo leaves behind, for the closing words.
#[derive(Debug)]
pub struct Told {
    /// The first job.
    pub job: String,
    /// The job that repeated it.
    pub rerun: String,
    /// The verdict on both.
    pub verdict: String,
}

/// Tells the story; `show` gets each line of it.
///
/// # Errors
/// At the first step that does not go as the story says.
pub fn run(options: &Options<'_>, show: &mut dyn FnMut(Scene<'_>)) -> Result<Told, DemoError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(io("cannot start", Path::new("the registry stand-in")))?;
    let secret = fresh_secret()?;
    let config = StandInConfig {
        projects: vec![Project { path: PROJECT.into(), visibility: Visibility::Private }],
        deploy_tokens: vec![DeployToken {
            username: USER.into(),
            secret: secret.clone(),
            scopes: vec![Scope::ReadRegistry],
            project: Some(PROJECT.into()),
            group: None,
        }],
        ..StandInConfig::default()
    };
    let registry = runtime
        .block_on(StandIn::start(config))
        .map_err(|error| DemoError::StandIn(error.to_string()))?;
    let told = Story { registry: &registry, options, secret }.tell(show);
    runtime.block_on(registry.shutdown());
    told
}

/// The deploy token's user name.
const USER: &str = "gitlab+deploy-token-1";
/// The branch's tag: it moves with every pipeline.
const BRANCH: &str = "main";

struct Story<'a> {
    registry: &'a Running,
    options: &'a Options<'a>,
    secret: Secret,
}

impl Story<'_> {
    fn tell(self, show: &mut dyn FnMut(Scene<'_>)) -> Result<Told, DemoError> {
        let Options { program, dir, path, isolation } = *self.options;
        let address = self.registry.address();
        write_configuration(dir, &address.to_string())?;
        let mut shell = Shell::new(program, dir, path, show);

        shell.show(Scene::Heading("A pipeline has built an image"));
        let (first, second) = self.images()?;
        let layers: usize = first.layers.iter().map(|layer| layer.bytes.len()).sum();
        self.push(&first, &["v1", BRANCH]);
        shell.show(Scene::Remark(&format!(
            "made of this machine's own files: {} layers, {} kB, tags v1 and {BRANCH};\n\
             served on http://{address} by a stand-in for GitLab and its registry, which asks for a deploy token",
            first.layers.len(),
            layers / 1000
        )));

        shell.show(Scene::Heading("Log in with a deploy token, and pin what the tag means now"));
        let project = format!("{address}/{PROJECT}");
        let tagged = format!("{project}:{BRANCH}");
        shell.run_with(
            &["login", &project, "--username", USER, "--password-stdin", "--store", "file"],
            Some(&self.secret),
        )?;
        let old = shell.run(&["resolve", &tagged])?;
        same("the pin", &format!("{project}@{}", first.manifest_digest), &old)?;

        shell.show(Scene::Heading("Convert it to a SIF, without root, apptainer or mksquashfs"));
        let converted = Self::convert(&mut shell, &tagged)?;

        shell.show(Scene::Heading("Submit a job that is pinned to that digest"));
        if let Isolation::Installed { cause, fix, .. }
        | Isolation::Container { cause, fix, .. }
        | Isolation::None { cause, fix } = isolation
        {
            shell.show(Scene::Remark(&format!(
                "Moorline cannot isolate here: {cause}\nto mend it: {fix}"
            )));
        }
        let by_hand = by_hand(isolation, dir, &first);
        let job = if let Some((start, words)) = &by_hand {
            shell.show(Scene::Remark(words));
            record::first(dir, converted, start.as_ref())?.to_string()
        } else {
            let mut submit = vec!["submit"];
            if let Isolation::Installed { runtime, .. } = isolation {
                submit.extend(["--runtime", runtime]);
            }
            submit.extend([tagged.as_str(), "--", image::PROGRAM]);
            shell.run(&submit)?
        };
        shell.run(&["wait", &job])?;
        let said = shell.run(&["logs", &job])?;
        contains("the job's output", "v1", &said)?;

        shell.show(Scene::Heading("The tag moves: the next pipeline builds another image"));
        self.push(&second, &["v2", BRANCH]);
        let new = shell.run(&["resolve", &tagged])?;
        same("the new pin", &format!("{project}@{}", second.manifest_digest), &new)?;
        shell.show(Scene::Remark(
            "a fresh resolve gives the new digest; the job's own does not move:",
        ));
        let rerun = if let Some((start, _)) = &by_hand {
            shell.show(Scene::Remark("the demo starts it again, instead of `moorline rerun`"));
            record::again(dir, &job, start.as_ref())?.to_string()
        } else {
            shell.run(&["rerun", &job])?
        };
        shell.run(&["wait", &rerun])?;
        let said = shell.run(&["logs", &rerun])?;
        contains("the repeated job's output", "v1", &said)?;

        shell.show(Scene::Heading(
            "Later: which image did this job use, which jobs used this image?",
        ));
        shell.run(&["audit", "job", &rerun])?;
        shell.run(&["audit", "image", &first.manifest_digest.to_string()])?;
        shell.run(&["audit", "verify"])?;
        let verdict = Self::verdict(&mut shell, &[&job, &rerun], by_hand.is_some())?;
        Ok(Told { job, rerun, verdict })
    }

    /// Converts, and reads where the SIF is and what it was made of.
    fn convert(shell: &mut Shell<'_>, tagged: &str) -> Result<Image, DemoError> {
        shell.run(&["convert", tagged])?;
        let answer = shell.check(&["--json", "convert", tagged])?;
        let mut answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
        let image = serde_json::json!({
            "kind": "sif",
            "pin": answer["pin"].take(),
            "digest": answer["sif"].take(),
            "recipe": answer["recipe"].take(),
            "place": answer["path"].take(),
        });
        serde_json::from_value(image).map_err(|error| DemoError::Unexpected {
            what: "the answer of convert --json",
            expected: "path, sif, recipe and pin".into(),
            got: error.to_string(),
        })
    }

    fn images(&self) -> Result<(image::OciImage, image::OciImage), DemoError> {
        let search: Vec<PathBuf> = std::env::split_paths(self.options.path).collect();
        let lower = image::LowerLayers::make(&search)?;
        let tag = |text: &str| {
            text.parse().map_err(|error: crate::oci::ParseReferenceError| {
                DemoError::StandIn(error.to_string())
            })
        };
        Ok((lower.image(&tag("v1")?)?, lower.image(&tag("v2")?)?))
    }

    fn push(&self, image: &image::OciImage, tags: &[&str]) {
        let images = self.registry.images();
        images.put_blob(image.config.clone());
        for layer in &image.layers {
            images.put_blob(layer.bytes.clone());
        }
        let digest = images.put_manifest(PROJECT, image.media_type, image.manifest.clone());
        for tag in tags {
            images.tag(PROJECT, tag, digest);
        }
    }

    /// The ledger's verdict on the jobs, read by a program and not by a person.
    fn verdict(
        shell: &mut Shell<'_>,
        jobs: &[&str],
        unmeasured: bool,
    ) -> Result<String, DemoError> {
        let expected = if unmeasured { "unproven" } else { "match" };
        for job in jobs {
            let answer = shell.check(&["--json", "audit", "job", job])?;
            let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
            let verdict = answer.get("verdict").and_then(serde_json::Value::as_str);
            same("the verdict", expected, verdict.unwrap_or("no JSON"))?;
        }
        Ok(if unmeasured { "Unproven" } else { "Match" }.to_owned())
    }
}

/// How the demo starts its job where `moorline submit` refuses, and what it says of that.
fn by_hand<'a>(
    isolation: &'a Isolation,
    dir: &'a Path,
    image: &'a image::OciImage,
) -> Option<(Box<record::Start<'a>>, String)> {
    match isolation {
        Isolation::Builtin | Isolation::Installed { .. } => None,
        Isolation::Container { engine, .. } => Some((
            Box::new(move |spec, work, streams| engine.start(image, spec, work, streams)),
            format!(
                "isolated by {}: instead of `moorline submit`, which cannot use it yet, the demo loads\n\
                 the image into it and runs it there; nobody measures what runs, so nothing is proved",
                engine.name
            ),
        )),
        Isolation::None { .. } => Some((
            Box::new(move |spec, work, streams| unisolated::start(dir, spec, work, streams)),
            "NOT ISOLATED: instead of `moorline submit`, which refuses here, the demo starts the\n\
             program through its own loader; no other command of moorline does this"
                .to_owned(),
        )),
    }
}

fn io<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> DemoError + 'a {
    move |source| DemoError::Io { doing, path: path.to_owned(), source }
}

fn same(what: &'static str, expected: &str, got: &str) -> Result<(), DemoError> {
    if expected == got {
        return Ok(());
    }
    Err(DemoError::Unexpected { what, expected: expected.to_owned(), got: got.to_owned() })
}

fn contains(what: &'static str, expected: &str, got: &str) -> Result<(), DemoError> {
    if got.contains(expected) {
        return Ok(());
    }
    Err(DemoError::Unexpected { what, expected: expected.to_owned(), got: got.to_owned() })
}

/// The demo's user configuration: its registry is on loopback and speaks plain http.
fn write_configuration(dir: &Path, registry: &str) -> Result<(), DemoError> {
    let path = dir.join("config/moorline");
    fs::create_dir_all(&path).map_err(io("cannot make", &path))?;
    let file = path.join("config.toml");
    let text = format!(
        "# made by moorline demo: its registry stand-in speaks plain http on loopback\n\
         insecure_registries = [\"{registry}\"]\n"
    );
    // whatever the umask: a configuration that others can write is refused
    crate::files::replace(&file, 0o600, text.as_bytes()).map_err(io("cannot write", &file))
}

/// A new deploy token's secret, in GitLab's form.
fn fresh_secret() -> Result<Secret, DemoError> {
    let mut random = [0_u8; 20];
    getrandom::fill(&mut random)
        .map_err(|e| DemoError::StandIn(format!("no random numbers: {e}")))?;
    let hex = random.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    Ok(Secret::new(format!("gldt-{hex}")))
}
