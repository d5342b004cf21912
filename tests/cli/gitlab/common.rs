//! A stand-in with a project and some pipelines, images with labels, and the program beside it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use moorline::oci::{Digest, Platform, Sha256Digest, media_type};
use moorline::secret::Secret;
use moorline::standin::{
    ApiToken, CiMergeRequest, CiPipeline, CiRelease, Config, DeployToken, GitlabFacts, JobToken,
    Project, Running, Scope, StandIn, Visibility,
};
use serde_json::json;
use tokio::runtime::Runtime;

pub const PROJECT: &str = "group/project";
pub const API_TOKEN: &str = "glpat-canary-0123456789";
pub const JOB_TOKEN: &str = "glcbt-canary-0123456789";
/// Built by pipeline 10 on `main`.
pub const OLD: &str = "aaaaaaaa00000000000000000000000000000001";
/// Built by pipeline 20 on `main`.
pub const NEW: &str = "bbbbbbbb00000000000000000000000000000002";
/// Built by pipeline 30 for merge request 7, from `feature/x`.
pub const FEATURE: &str = "cccccccc00000000000000000000000000000003";
/// Built by pipeline 40 for the tag `v1.0`.
pub const TAGGED: &str = "dddddddd00000000000000000000000000000004";

pub fn pipeline(id: u64, git_ref: &str, sha: &str, status: &str, jobs: &[&str]) -> CiPipeline {
    CiPipeline {
        project: PROJECT.into(),
        id,
        git_ref: git_ref.into(),
        tag: git_ref.starts_with('v'),
        sha: sha.into(),
        status: status.into(),
        jobs: jobs.iter().map(|job| (*job).into()).collect(),
    }
}

pub fn config() -> Config {
    let project = |path: &str| Project { path: path.into(), visibility: Visibility::Public };
    Config {
        projects: vec![project(PROJECT), project("fork/project"), project("other/project")],
        job_tokens: vec![JobToken {
            secret: Secret::new(JOB_TOKEN.into()),
            project: PROJECT.into(),
        }],
        gitlab: GitlabFacts {
            api_tokens: vec![ApiToken {
                secret: Secret::new(API_TOKEN.into()),
                projects: vec![PROJECT.into()],
                scopes: vec!["read_api".into()],
            }],
            pipelines: vec![
                pipeline(10, "main", OLD, "success", &["build", "extra"]),
                pipeline(20, "main", NEW, "success", &["build"]),
                pipeline(21, "main", FEATURE, "failed", &["build"]),
                pipeline(30, "refs/merge-requests/7/head", FEATURE, "success", &["build"]),
                pipeline(40, "v1.0", TAGGED, "success", &["build"]),
            ],
            merge_requests: vec![
                CiMergeRequest {
                    project: PROJECT.into(),
                    iid: 7,
                    source_branch: "feature/x".into(),
                    source_project: None,
                    pipeline: 30,
                },
                CiMergeRequest {
                    project: PROJECT.into(),
                    iid: 8,
                    source_branch: "main".into(),
                    source_project: Some("fork/project".into()),
                    pipeline: 30,
                },
            ],
            releases: vec![CiRelease {
                project: PROJECT.into(),
                tag: "v1.0".into(),
                sha: TAGGED.into(),
            }],
            ..GitlabFacts::default()
        },
        ..Config::default()
    }
}

/// A stand-in, a home and a project directory.
pub struct World {
    running: Running,
    // the stand-in's task ends with it
    _runtime: Runtime,
    dir: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        Self::with(config())
    }

    pub fn with(config: Config) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let running = runtime.block_on(StandIn::start(config)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let world = Self { running, _runtime: runtime, dir };
        let host = world.host();
        world.write(
            "home/.config/moorline/config.toml",
            &format!("[gitlab]\nurl = \"http://{host}\"\nregistry = \"{host}\"\n"),
        );
        std::fs::create_dir_all(world.project_dir()).unwrap();
        world
    }

    /// Two images of `main`, one of a feature branch, one of a tag; each under its commit's tag.
    pub fn built() -> Self {
        let world = Self::new();
        for sha in [OLD, NEW, FEATURE, TAGGED] {
            world.push("", sha, &[&sha[..8]]);
        }
        world
    }

    pub fn host(&self) -> String {
        self.running.address().to_string()
    }

    pub fn seen(&self) -> Vec<moorline::standin::Seen> {
        self.running.seen()
    }

    pub fn images(&self) -> &moorline::standin::Images {
        self.running.images()
    }

    /// A path below the world's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn untag(&self, below: &str, tag: &str) {
        self.running.images().untag(&repository(below), tag);
    }

    pub fn project_dir(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    /// An image whose label says that it was built from `sha`, under some tags.
    pub fn push(&self, below: &str, sha: &str, tags: &[&str]) -> Digest {
        let source = format!("http://{}/{PROJECT}", self.host());
        let labels = json!({
            "org.opencontainers.image.revision": sha,
            "org.opencontainers.image.source": source,
        });
        self.push_labelled(below, sha, &labels, tags)
    }

    pub fn push_labelled(
        &self,
        below: &str,
        text: &str,
        labels: &serde_json::Value,
        tags: &[&str],
    ) -> Digest {
        let images = self.running.images();
        let platform: Platform = "linux/amd64".parse().unwrap();
        let config = serde_json::to_vec(&json!({
            "os": platform.os,
            "architecture": platform.architecture,
            "config": { "Labels": labels, "Env": [format!("TEXT={text}")] },
            "rootfs": { "type": "layers", "diff_ids": [] },
        }))
        .unwrap();
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": {
                "mediaType": media_type::OCI_CONFIG,
                "digest": Digest::of(&config).to_string(),
                "size": config.len(),
            },
            "layers": [],
        }))
        .unwrap();
        images.put_blob(config);
        let repository = repository(below);
        let digest = images.put_manifest(&repository, media_type::OCI_MANIFEST, manifest);
        for tag in tags {
            images.tag(&repository, tag, digest);
        }
        digest
    }

    /// What the program answers.
    pub fn moorline(&self, args: &[&str], env: &[(&str, &str)]) -> Answer {
        let output = self.command(args, env).output().unwrap();
        Answer::of(output, &self.host(), self.dir.path())
    }

    /// The program in the project's directory, with nothing of this process's environment.
    pub fn command(&self, args: &[&str], env: &[(&str, &str)]) -> Command {
        // the images are for one platform, whatever this machine is
        let platform = ["resolve", "lock", "run", "submit", "convert"];
        let wants = args.iter().any(|arg| platform.contains(arg))
            && !["--platform", "--check"].iter().any(|flag| args.contains(flag));
        let end = args.iter().position(|arg| *arg == "--").unwrap_or(args.len());
        let mut command = Command::new(env!("CARGO_BIN_EXE_moorline"));
        command
            .current_dir(self.project_dir())
            .env_clear()
            .env("HOME", self.dir.path().join("home"))
            .args(["--insecure-registry", &self.host()])
            .args(&args[..end]);
        if wants {
            command.args(["--platform", "linux/amd64"]);
        }
        command.args(&args[end..]);
        command.envs(env.iter().copied());
        command
    }

    /// A job with this SIF is submitted, and keeps it from being pruned while it may need it. There is
    /// no program in it; a machine where nothing runs containers refuses before (exit code 9).
    #[track_caller]
    pub fn marks_what_it_runs(&self, what: &str, sif: &str) {
        let answer = self.moorline(&["submit", what, "--", "true"], &[]);
        if answer.code == 9 {
            return;
        }
        assert_eq!(answer.code, 0, "{}", answer.err);
        let job = answer.out.trim();
        let hex = sif.trim_start_matches("sha256:");
        let cache = self.path("home/.cache/moorline");
        let mark = cache.join(format!("marks/{hex}-{job}.json"));
        assert!(mark.is_file(), "{}", answer.err);
        assert!(cache.join(format!("sifs/sha256/{hex}.sif")).is_file());
        self.moorline(&["wait", "--timeout", "60", job], &[]);
    }

    /// As [`World::moorline`], with the API's token.
    pub fn with_api(&self, args: &[&str]) -> Answer {
        self.moorline(args, &[("MOORLINE_GITLAB_TOKEN", API_TOKEN)])
    }

    /// What GitLab CI gives a job of pipeline 20.
    fn ci<'a>(host: &'a str, image: &'a str, url: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![
            ("CI", "true"),
            ("GITLAB_CI", "true"),
            ("CI_SERVER_URL", url),
            ("CI_REGISTRY", host),
            ("CI_REGISTRY_IMAGE", image),
            ("CI_PROJECT_PATH", "Group/Project"),
            ("CI_COMMIT_SHA", NEW),
            ("CI_COMMIT_REF_NAME", "main"),
            ("CI_DEFAULT_BRANCH", "main"),
            ("CI_PIPELINE_ID", "20"),
            ("CI_JOB_TOKEN", JOB_TOKEN),
        ]
    }

    /// A job's command.
    pub fn in_ci(&self, args: &[&str], more: &[(&str, &str)]) -> Answer {
        let host = self.host();
        let (image, url) = (format!("{host}/{PROJECT}"), format!("http://{host}"));
        let env = [Self::ci(&host, &image, &url), more.to_vec()].concat();
        self.moorline(args, &env)
    }
}

/// A world whose project is private, and the file with a deploy token's name and secret.
pub fn private() -> (World, String) {
    let (user, secret) = ("gitlab+deploy-token-9", "gldt-canary-9");
    let project = Project { path: PROJECT.into(), visibility: Visibility::Private };
    let token = DeployToken {
        username: user.into(),
        secret: Secret::new(secret.into()),
        scopes: vec![Scope::ReadRegistry],
        project: Some(PROJECT.into()),
        group: None,
    };
    let world =
        World::with(Config { projects: vec![project], deploy_tokens: vec![token], ..config() });
    world.write("deploy-token", &format!("{user}\n{secret}\n"));
    let file = world.path("deploy-token");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    (world, file.display().to_string())
}

fn repository(below: &str) -> String {
    if below.is_empty() { PROJECT.into() } else { format!("{PROJECT}/{below}") }
}

/// What the program said, without what differs from run to run.
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Answer {
    fn of(output: Output, host: &str, dir: &Path) -> Self {
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            for secret in [API_TOKEN, JOB_TOKEN] {
                assert!(!text.contains(secret), "a token was printed: {text}");
            }
            text.replace(host, "gitlab.example").replace(&dir.display().to_string(), "DIR")
        };
        let code = output.status.code().unwrap();
        Self { code, out: text(output.stdout), err: text(output.stderr) }
    }

    /// Success with this one image.
    #[track_caller]
    pub fn is(&self, below: &str, digest: Digest) -> &Self {
        let expected = format!("gitlab.example/{}@{digest}\n", repository(below));
        assert_eq!((self.code, self.out.as_str()), (0, expected.as_str()), "{}", self.err);
        self
    }

    /// A failure with this code, whose message holds some words.
    #[track_caller]
    pub fn fails(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self.says(words)
    }

    #[track_caller]
    pub fn says(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in: {}", self.err);
        }
        self
    }
}

/// Without the digests, which hold the stand-in's port by the images' labels.
pub fn masked(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(part.len());
        masked.push_str("sha256:<hex>");
        masked.push_str(&part[end..]);
    }
    masked
}
