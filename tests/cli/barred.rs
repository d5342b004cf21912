//! Field report 12: a directory that cannot be read is called that, and what can be done without it is done.
//! `su` and `sudo` leave an ordinary user in such directories. As root: as `nobody`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

const NOBODY: u32 = 65_534;

/// What the program answers.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn fails(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in: {}", self.err);
        }
        self
    }
}

/// Directories of an ordinary user, some of which that user may not enter.
struct Place {
    dir: tempfile::TempDir,
    program: PathBuf,
}

impl Drop for Place {
    fn drop(&mut self) {
        for closed in ["closed", "parent"] {
            let open = fs::Permissions::from_mode(0o755);
            // removing is all that is left to do
            let _ = fs::set_permissions(self.at(closed), open);
        }
    }
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(dir.path(), 0o755);
        let program = dir.path().join("moorline");
        fs::copy(env!("CARGO_BIN_EXE_moorline"), &program).unwrap();
        let place = Self { dir, program };
        for name in ["home", "closed", "parent", "parent/child"] {
            fs::create_dir(place.at(name)).unwrap();
        }
        for name in ["closed/moorline.toml", "parent/child/moorline.toml"] {
            fs::write(place.at(name), "[images]\nmine = \"r.invalid/a/b:v1\"\n").unwrap();
        }
        if is_root() {
            for name in [
                "home",
                "closed",
                "parent",
                "parent/child",
                "closed/moorline.toml",
                "parent/child/moorline.toml",
            ] {
                chown(place.at(name), Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        for name in ["closed", "parent"] {
            mode(&place.at(name), 0);
        }
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the program as the ordinary user in a directory that this process enters first.
    fn run(&self, dir: &str, args: &[&str], env: &[(&str, &Path)]) -> Said {
        // the shell enters as root, or while it is open, and then becomes the user
        let (open, close) = (self.at("closed"), self.at("parent"));
        if !is_root() {
            for path in [&open, &close] {
                fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        let script = "cd \"$1\" && chmod 0 \"$2\" \"$3\" && shift 3 && exec \"$@\"";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, "sh"]).arg(self.at(dir)).arg(&open).arg(&close);
        if is_root() {
            let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
            command.args(["setpriv", &user, &group, "--clear-groups", "--"]);
        }
        command.arg(&self.program).args(args);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.at("home"));
        let out = command.envs(env.iter().copied()).output().unwrap();
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            text.replace(&self.dir.path().display().to_string(), "DIR")
        };
        Said { code: out.status.code().unwrap(), out: text(out.stdout), err: text(out.stderr) }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn the_current_directory_may_not_be_read() {
    let place = Place::new();
    for args in [&["config", "show"][..], &["jobs"], &["cache", "ls"]] {
        let said = place.run("closed", args, &[]);
        assert!(!said.err.contains("cannot read moorline.toml"), "{}", said.err);
        assert_eq!(said.code, 0, "{args:?}: {}", said.err);
    }
    let why = "moorline.toml is not looked for: the current directory DIR/closed cannot be read";
    place
        .run("closed", &["lock"], &[])
        .fails(12, &[why, "change to a directory that you can read"]);
    // as a reference it would be somebody else's image
    place.run("closed", &["resolve", "mine"], &[]).fails(
        12,
        &["mine may be a short name of moorline.toml, which is not looked for: the current directory DIR/closed"],
    );
    place.run("closed", &["resolve", "127.0.0.1:1/a/b:v1"], &[]).fails(5, &[why, "127.0.0.1:1"]);
    let clone = "cannot see whether this is a clone: ";
    place.run("closed", &["resolve"], &[]).fails(12, &[clone, "DIR/closed may not be entered"]);
    // its parent is in the way of a path, and not of the file
    let there = place.run("parent/child", &["--json", "config", "show"], &[]);
    assert!(
        there.code == 0 && there.out.contains("r.invalid/a/b:v1"),
        "{}{}",
        there.out,
        there.err
    );
    place
        .run("parent/child", &["resolve"], &[])
        .fails(12, &[clone, "DIR/parent may not be entered"]);
}

#[test]
fn a_directory_above_may_not_be_entered() {
    let place = Place::new();
    let closed = place.at("closed");
    let entered = "the directory DIR/closed may not be entered";
    let below = closed.join("below");
    let path = below.to_str().unwrap();
    for args in [
        &["--config", path, "jobs"][..],
        &["--ca-file", path, "resolve", "127.0.0.1:1/a/b:v1"],
        &["submit", "-f", path],
        &["submit", "--workdir", path, "127.0.0.1:1/a/b:v1", "--", "true"],
        &["run", &format!("{path}/x.sif"), "--", "true"],
        &["verify", &format!("{path}/x.sif")],
        &["convert", &format!("oci:{path}")],
        &["convert", &format!("oci-archive:{path}")],
        &["convert", &format!("docker-archive:{path}")],
    ] {
        let said = place.run("home", args, &[]);
        assert_ne!(said.code, 0, "{args:?}");
        assert!(said.err.contains(entered), "{args:?}: {}", said.err);
    }
    for variable in ["HOME", "XDG_CONFIG_HOME"] {
        place
            .run("home", &["jobs"], &[(variable, &closed)])
            .fails(12, &[entered, "set it to a directory of yours"]);
    }
    for variable in ["MOORLINE_LEDGER", "XDG_DATA_HOME"] {
        let said = place.run("home", &["jobs"], &[(variable, &below)]);
        assert!(said.code != 0 && said.err.contains(entered), "{variable}: {}", said.err);
    }
    // named by the caller, so it must be there
    for variable in ["DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "APPTAINER_CONFIGDIR"] {
        let said = place.run("home", &["resolve", "127.0.0.1:1/a/b:v1"], &[(variable, &below)]);
        assert!(said.err.contains(entered), "{variable}: {}", said.err);
    }
}

/// `su` keeps the other user's `XDG_RUNTIME_DIR`: nothing of the caller's can lie there.
#[test]
fn a_default_place_in_somebody_elses_directory_holds_nothing() {
    const TEST: &str = "a_default_place_in_somebody_elses_directory_holds_nothing";
    // only root can make another user's directory
    if !crate::support::have("root", TEST, is_root()) {
        return;
    }
    let place = Place::new();
    chown(place.at("closed"), Some(0), Some(0)).unwrap();
    for runtime in [place.at("closed"), place.at("closed/user/0")] {
        let said =
            place.run("home", &["resolve", "127.0.0.1:1/a/b:v1"], &[("XDG_RUNTIME_DIR", &runtime)]);
        said.fails(5, &["cannot connect to 127.0.0.1:1"]);
        assert!(!said.err.contains("entered"), "{}", said.err);
    }
}
