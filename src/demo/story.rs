//! The story, told step by step.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{
    DemoError, Isolation, Options, Scene, Shell, contains, image, io, record, same, unisolated,
};
use crate::pin::Image;
use crate::secret::Secret;
use crate::standin::{
    Config as StandInConfig, DeployToken, Project, Running, Scope, StandIn, Visibility,
};
use crate::worker::exit;

/// The project that the demo's registry holds.
pub const PROJECT: &str = "physics/analysis";

/// What the demo leaves behind, for the closing words.
#[derive(Debug)]
pub struct Told {
    /// The first job.
    pub job: String,
    /// The job that repeated it.
    pub rerun: String,
    /// The verdict on both.
    pub verdict: String,
    /// The job that a worker refused, since its image had been changed; `None` where nobody measures.
    pub refused: Option<String>,
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

/// What will be seen, in one sentence.
const OPENING: &str = "A job is tied to the image that a pipeline built: the tag moves and the job's digest does not, \
                       an image that somebody changes is refused, and both can be proved later.";

/// A SIF outside of the store, as a project shares one.
const SHARED: &str = "./shared.sif";

/// The exit code of an audit that found something; scripts rely on it.
const AUDIT_FOUND: i32 = 6;

struct Story<'a> {
    pub(super) registry: &'a Running,
    pub(super) options: &'a Options<'a>,
    pub(super) secret: Secret,
}

impl Story<'_> {
    fn tell(self, show: &mut dyn FnMut(Scene<'_>)) -> Result<Told, DemoError> {
        let Options { program, dir, path, isolation } = *self.options;
        let address = self.registry.address();
        write_configuration(dir, &address.to_string())?;
        let mut shell = Shell::new(program, dir, path, show);
        shell.show(Scene::Opening(OPENING));

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

        shell.show(Scene::Heading("Somebody changes the image on disk"));
        let refused = if by_hand.is_some() {
            shell.show(Scene::Remark(
                "not shown here: a worker that isolates its job measures the image first, and there is none",
            ));
            None
        } else {
            let pinned = format!("{project}@{}", first.manifest_digest);
            Some(Self::changed(&mut shell, dir, &pinned, isolation)?)
        };
        Ok(Told { job, rerun, verdict, refused })
    }

    /// A SIF that others can reach is changed between two runs of a job; the worker refuses. The job's id.
    fn changed(
        shell: &mut Shell<'_>,
        dir: &Path,
        pinned: &str,
        isolation: &Isolation,
    ) -> Result<String, DemoError> {
        shell.run(&["convert", pinned, "-o", SHARED])?;
        let mut submit = vec!["submit"];
        if let Isolation::Installed { runtime, .. } = isolation {
            submit.extend(["--runtime", runtime]);
        }
        submit.extend([SHARED, image::PROGRAM]);
        let job = shell.run(&submit)?;
        shell.run(&["wait", &job])?;
        change(&dir.join(SHARED))?;
        shell.show(Scene::Remark(&format!(
            "some bytes of {SHARED} are others now; the same job again:"
        )));
        let again = shell.run(&["rerun", &job])?;
        shell.run_to(&["wait", &again], exit::IMAGE_MISMATCH)?;
        shell.show(Scene::Remark("the worker refused it, and the ledger knows why:"));
        let said = shell.run_to(&["audit", "job", &again], AUDIT_FOUND)?;
        contains("the verdict on the changed image", "verdict: Mismatch", &said)?;
        Ok(again)
    }

    /// Converts, and reads where the SIF is and what it was made of.
    fn convert(shell: &mut Shell<'_>, tagged: &str) -> Result<(Image, PathBuf), DemoError> {
        shell.run(&["convert", tagged])?;
        let answer = shell.check(&["--json", "convert", tagged])?;
        let mut answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
        let image = serde_json::json!({
            "kind": "sif",
            "pin": answer["pin"].take(),
            "digest": answer["sif"].take(),
            "recipe": answer["recipe"].take(),
        });
        let place = answer["path"].as_str().map(PathBuf::from).unwrap_or_default();
        serde_json::from_value(image).map(|image| (image, place)).map_err(|error| {
            DemoError::Unexpected {
                what: "the answer of convert --json",
                expected: "path, sif, recipe and pin".into(),
                got: error.to_string(),
            }
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

    pub(super) fn push(&self, image: &image::OciImage, tags: &[&str]) {
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

/// The demo's user configuration: its registry is on loopback and speaks plain http.
fn write_configuration(dir: &Path, registry: &str) -> Result<(), DemoError> {
    let path = dir.join("config/moorline");
    fs::create_dir_all(&path).map_err(io("cannot make", &path))?;
    let file = path.join("config.toml");
    let text = format!(
        "# made by moorline demo: its registry stand-in speaks plain http on loopback\n\
         insecure_registries = [\"{registry}\"]\n\
         # names without a registry are of this one, and nobody else is asked for them\n\
         registry = \"{registry}\"\n"
    );
    // whatever the umask: a configuration that others can write is refused
    crate::files::replace(&file, 0o600, text.as_bytes()).map_err(io("cannot write", &file))
}

/// Changes a byte in the middle of a file. What makes it harder by accident, its mode, is taken away first.
fn change(file: &Path) -> Result<(), DemoError> {
    let mut bytes = fs::read(file).map_err(io("cannot read", file))?;
    // in every page of the middle, so that a program meets one, whatever it reads
    let (from, to) = (bytes.len() / 8, bytes.len() / 8 * 7);
    for byte in bytes[from..to].iter_mut().step_by(4096) {
        *byte ^= 1;
    }
    fs::set_permissions(file, fs::Permissions::from_mode(0o644))
        .map_err(io("cannot change", file))?;
    fs::write(file, bytes).map_err(io("cannot write", file))
}

/// A new deploy token's secret, in GitLab's form.
fn fresh_secret() -> Result<Secret, DemoError> {
    let mut random = [0_u8; 20];
    getrandom::fill(&mut random)
        .map_err(|e| DemoError::StandIn(format!("no random numbers: {e}")))?;
    let hex = random.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    Ok(Secret::new(format!("gldt-{hex}")))
}
