//! What the tests of the command share: a registry stand-in with the demo's image, and a home
//! directory in which the real program runs with nothing of this process's environment.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::print_stderr, reason = "what is skipped is said")]

mod open_dir;
pub mod records;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use self::open_dir::open_dir;

use moorline::demo::image::{LowerLayers, OciImage};
use moorline::oci::Digest;
use moorline::secret::Secret;
use moorline::standin::{Config, DeployToken, Project, Running, Scope, StandIn, Visibility};

/// The private project that holds the demo's image.
pub const PROJECT: &str = "physics/analysis";
/// A deploy token that reads it.
pub const USER: &str = "gitlab+deploy-token-7";
/// Its secret; the characters behind the dash change when a URL or base64 encodes them.
pub const SECRET: &str = "gldt-0a1b2c3d4e5f-Q?/+";
/// An account without rights of its own.
pub const NOBODY: u32 = 65534;

/// Whether a part of the tests can run; loud when not, and fatal when it is demanded.
pub fn have(part: &str, test: &str, there: bool) -> bool {
    if !there {
        let required = std::env::var("MOORLINE_TESTS_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|p| p == part), "{test}: {part} is required and not here");
        eprintln!("SKIPPED: {test}: {part} is not here");
    }
    there
}

pub fn am_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Looks again and again; fails when the answer does not come in time.
pub fn until<T>(what: &str, seconds: u64, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {seconds} s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A stand-in that serves in the background of this value.
pub struct Server {
    pub running: Running,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    pub fn start(config: Config) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let running = runtime.block_on(StandIn::start(config)).unwrap();
        Self { running, runtime }
    }

    /// The project with the demo's image under `v1` and `main`.
    pub fn with_image() -> Self {
        let server = Self::start(config());
        server.push(PROJECT, &images().0, &["v1", "main"]);
        server
    }

    pub fn address(&self) -> String {
        self.running.address().to_string()
    }

    /// `127.0.0.1:PORT/PROJECT` and what follows.
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{PROJECT}{rest}", self.running.address())
    }

    pub fn push(&self, project: &str, image: &OciImage, tags: &[&str]) -> Digest {
        let store = self.running.images();
        store.put_blob(image.config.clone());
        for layer in &image.layers {
            store.put_blob(layer.bytes.clone());
        }
        let digest = store.put_manifest(project, image.media_type, image.manifest.clone());
        for tag in tags {
            store.tag(project, tag, digest);
        }
        digest
    }

    /// How many token requests were answered.
    pub fn token_requests(&self) -> usize {
        self.running.seen().iter().filter(|seen| seen.target.starts_with("/jwt/auth")).count()
    }
}

pub fn config() -> Config {
    let token = |username: &str, secret: &str, scope| DeployToken {
        username: username.into(),
        secret: Secret::new(secret.into()),
        scopes: vec![scope],
        project: Some(PROJECT.into()),
        group: None,
    };
    let project = |path: &str, visibility| Project { path: path.into(), visibility };
    Config {
        projects: vec![
            project(PROJECT, Visibility::Private),
            project("physics/open", Visibility::Public),
            project("other/closed", Visibility::Private),
        ],
        deploy_tokens: vec![
            token(USER, SECRET, Scope::ReadRegistry),
            token("code-only", "gldt-code", Scope::ReadRepository),
        ],
        ..Config::default()
    }
}

/// The demo's image as `v1` and as `v2`, made once.
pub fn images() -> &'static (OciImage, OciImage) {
    static IMAGES: OnceLock<(OciImage, OciImage)> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let lower = LowerLayers::make(&[]).unwrap();
        (lower.image(&"v1".parse().unwrap()).unwrap(), lower.image(&"v2".parse().unwrap()).unwrap())
    })
}

/// The program where every user can start it: `target/` may be below a home directory.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = PROGRAM.get_or_init(|| {
        let dir = open_dir("program");
        // as they are installed: jobs get the worker that lies beside
        for (name, built) in [
            ("moorline-worker", env!("CARGO_BIN_EXE_moorline-worker")),
            ("moorline", env!("CARGO_BIN_EXE_moorline")),
        ] {
            let path = dir.path().join(name);
            // every home gets its own copy: the debugging information would be most of it
            let stripped = Command::new("strip").arg("-o").arg(&path).arg(built).status();
            if !stripped.is_ok_and(|status| status.success()) {
                fs::copy(built, &path).unwrap();
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = dir.path().join("moorline");
        (dir, path)
    });
    path
}

/// What a command answered.
#[derive(Debug)]
pub struct Answer {
    pub args: String,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    /// stdout of a command that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        self.exits(0).stdout.trim_end().to_owned()
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// One error on stderr that holds all these words, this exit code, and no data.
    #[track_caller]
    pub fn fails(self, code: i32, words: &[&str]) -> Self {
        let answer = self.says(code, words);
        assert_eq!(answer.stdout.trim(), "", "{answer}");
        answer
    }

    /// As [`Answer::fails`], with data on stdout.
    #[track_caller]
    pub fn says(self, code: i32, words: &[&str]) -> Self {
        let answer = self.exits(code);
        let errors = answer.stderr.lines().filter(|line| line.starts_with("error:")).count();
        assert_eq!(errors, 1, "{answer}");
        for word in words {
            assert!(answer.stderr.contains(word), "{word:?} is missing: {answer}");
        }
        answer
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self}"))
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { args, code, stdout, stderr } = self;
        write!(f, "moorline {args}: {code}\n-- stdout\n{stdout}\n-- stderr\n{stderr}")
    }
}

/// A user's home directory, with a clean environment.
pub struct Home {
    dir: tempfile::TempDir,
    user: Option<u32>,
    pub env: BTreeMap<String, String>,
}

impl Home {
    /// This user's home, where plain http to `server` is allowed.
    pub fn new(server: &Server) -> Self {
        Self::of(server, None)
    }

    pub fn of(server: &Server, user: Option<u32>) -> Self {
        let dir = open_dir("home");
        let home = dir.path().join("home");
        let at = |name: &str| home.join(name).display().to_string();
        let env = [
            ("PATH", std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into())),
            ("HOME", home.display().to_string()),
            ("LOGNAME", "tester".into()),
            ("XDG_CONFIG_HOME", at("config")),
            ("XDG_CACHE_HOME", at("caches")),
            ("XDG_DATA_HOME", at("data")),
            ("XDG_STATE_HOME", at("state")),
            ("MOORLINE_CACHE", at("cache")),
            ("MOORLINE_LEDGER", at("ledger")),
        ];
        let env = env.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        let made = Self { dir, user, env };
        made.mkdir("");
        made.mkdir("config");
        made.mkdir("config/moorline");
        made.mkdir("here");
        made.write(
            "config/moorline/config.toml",
            &format!("insecure_registries = [\"{}\"]\n", server.address()),
        );
        made
    }

    /// With the good deploy token in the credential file.
    pub fn logged_in(server: &Server) -> Self {
        Self::new(server).log_in(server)
    }

    pub fn log_in(self, server: &Server) -> Self {
        self.login(&server.name(""), USER, SECRET).exits(0);
        self
    }

    pub fn login(&self, scope: &str, user: &str, secret: &str) -> Answer {
        let args = ["login", scope, "--username", user, "--password-stdin", "--store", "file"];
        self.run_with(&args, secret)
    }

    /// A path below the home directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("home").join(name)
    }

    pub fn jobs(&self) -> PathBuf {
        self.path("state/moorline/jobs")
    }

    pub fn job(&self, id: &str) -> PathBuf {
        self.jobs().join(id)
    }

    fn own(&self, path: &Path) {
        if let Some(user) = self.user {
            chown(path, Some(user), Some(user)).unwrap();
        }
    }

    pub fn mkdir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.own(&path);
        path
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        self.own(&path);
        path
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// `moorline ARGS` in `here/`, ready to be started.
    pub fn command(&self, args: &[&str]) -> Command {
        let program = program();
        let mut command = if let Some(user) = self.user {
            let mut command = Command::new("/usr/bin/setpriv");
            let user = user.to_string();
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--"]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        command
            .args(args)
            .env_clear()
            .envs(&self.env)
            .current_dir(self.path("here"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }

    pub fn run(&self, args: &[&str]) -> Answer {
        self.run_with(args, "")
    }

    pub fn run_with(&self, args: &[&str], stdin: &str) -> Answer {
        finish(self.command(args), args, stdin)
    }

    /// stdout of a command that must succeed.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        self.run(args).ok()
    }

    /// Submits `sh -c SCRIPT`, waits, and says the job's id and its exit code.
    #[track_caller]
    pub fn job_of(&self, flags: &[&str], image: &str, script: &str) -> (String, i32) {
        let id = self.ok(&[&["submit"], flags, &[image, "--", "sh", "-c", script]].concat());
        let code = self.run(&["wait", "--timeout", "60", &id]).code;
        (id, code)
    }

    /// Every path below the home directory with type, size and mode; not where requests are
    /// counted (`hosts` of the store), which says what is asked now and holds nothing.
    pub fn tree(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let counted = self.path("cache/hosts");
        walk(&self.path(""), &mut |path, meta| {
            if path.starts_with(&counted) {
                return;
            }
            // a directory's size says nothing that its entries do not
            let size = if meta.is_dir() { 0 } else { meta.len() };
            found.insert(path.to_owned(), format!("{:o} {size}", meta.mode()));
        });
        found
    }
}

/// A file that holds JSON.
#[track_caller]
pub fn read_json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A job of the built-in runtime whose blocks were checked by the root in its plan, where the machine serves images.
#[track_caller]
pub fn checked_on_read(home: &Home, job: &str) {
    let control = home.job(job).join("control");
    let plan = read_json(&control.join("plan.json"));
    assert!(plan["job"]["image"]["tree"].is_string(), "{plan}");
    let names = fs::read_dir(&control).unwrap().flatten().map(|entry| entry.path());
    let is_receipt = |path: &PathBuf| path.to_string_lossy().contains("/receipt-");
    let receipt = read_json(&names.into_iter().find(is_receipt).expect("a receipt"));
    let served = !receipt["notes"].to_string().contains("not checked on read");
    if have("fuse", "checked_on_read", served) {
        assert_eq!(receipt["evidence"]["grade"], "verified-on-read", "{receipt}");
        let (root, measured) = (&plan["job"]["image"]["tree"], &receipt["evidence"]["measured"]);
        assert_eq!(&measured["digest"], root, "{receipt}");
    }
}

/// Runs a command that is ready, with this on its stdin.
pub fn finish(mut command: Command, args: &[&str], stdin: &str) -> Answer {
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // a program that does not read its stdin is no failure of the test
    let _ = pipe.write_all(stdin.as_bytes());
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    Answer {
        args: args.join(" "),
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Calls `see` for everything below a directory; what vanishes meanwhile is left out.
pub fn walk(dir: &Path, see: &mut impl FnMut(&Path, &fs::Metadata)) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        see(&path, &meta);
        if meta.is_dir() {
            walk(&path, see);
        }
    }
}

/// What the second tree has, lacks or changed.
pub fn difference(before: &BTreeMap<PathBuf, String>, after: &BTreeMap<PathBuf, String>) -> String {
    let mut text = String::new();
    for (path, is) in after {
        match before.get(path) {
            None => writeln!(text, "new {} {is}", path.display()).unwrap(),
            Some(was) if was != is => {
                writeln!(text, "changed {} {was} -> {is}", path.display()).unwrap();
            }
            Some(_) => {}
        }
    }
    for path in before.keys().filter(|path| !after.contains_key(*path)) {
        writeln!(text, "gone {}", path.display()).unwrap();
    }
    text
}

/// The processes whose command line is for `is`, zero bytes between and behind its words.
pub fn processes(is: impl Fn(&[u8]) -> bool) -> usize {
    let pids = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit));
    // what ended meanwhile has no command line
    pids.filter(|entry| is(&fs::read(entry.path().join("cmdline")).unwrap_or_default())).count()
}

/// How many processes `sleep SECONDS` there are.
pub fn sleeping(seconds: &str) -> usize {
    let line = format!("sleep\0{seconds}\0");
    processes(|found| found == line.as_bytes())
}
