//! Runs `moorline ...` commands as a user would, in the demo's own folder, and shows them.
//!
//! Each command is this very program started anew: the demo uses the same code as the ordinary
//! verbs because it *is* the ordinary verbs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::DemoError;
use crate::secret::Secret;

/// The width of what is shown.
const COLUMNS: &str = "75";

/// Something that the demo wants shown; `cli` decides how.
#[derive(Debug)]
pub enum Scene<'a> {
    /// What will be seen.
    Opening(&'a str),
    /// A new part of the story.
    Heading(&'a str),
    /// A sentence about what comes or what was seen.
    Remark(&'a str),
    /// A command that is run now, as one could type it.
    Command(&'a str),
    /// What it printed on stdout.
    Stdout(&'a str),
    /// What it printed on stderr.
    Stderr(&'a str),
}

/// The demo's folder and the program that is shown.
pub struct Shell<'a> {
    program: PathBuf,
    dir: PathBuf,
    path: String,
    show: &'a mut dyn FnMut(Scene<'_>),
}

/// What a command answered.
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// Its stdout without the last newline.
    pub stdout: String,
}

impl<'a> Shell<'a> {
    /// Commands of `program` with all files below `dir`; `path` is the `PATH` that they see.
    pub fn new(program: &Path, dir: &Path, path: &str, show: &'a mut dyn FnMut(Scene<'_>)) -> Self {
        Self { program: program.to_owned(), dir: dir.to_owned(), path: path.to_owned(), show }
    }

    /// Shows something.
    pub fn show(&mut self, scene: Scene<'_>) {
        (self.show)(scene);
    }

    /// The variables that keep everything below the demo's folder.
    pub fn variables(dir: &Path) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("MOORLINE_CACHE", dir.join("cache")),
            ("MOORLINE_LEDGER", dir.join("ledger")),
            ("XDG_CONFIG_HOME", dir.join("config")),
            ("XDG_DATA_HOME", dir.join("data")),
            ("XDG_STATE_HOME", dir.join("state")),
        ]
    }

    /// Shows and runs a command that must succeed.
    ///
    /// # Errors
    /// When it cannot be started or does not exit with 0.
    pub fn run(&mut self, args: &[&str]) -> Result<String, DemoError> {
        self.run_with(args, None)
    }

    /// As [`Shell::run`], with a secret on stdin: it is never shown.
    ///
    /// # Errors
    /// As [`Shell::run`].
    pub fn run_with(&mut self, args: &[&str], stdin: Option<&Secret>) -> Result<String, DemoError> {
        self.step(args, stdin, 0)
    }

    /// As [`Shell::run`], for a command that must end with this exit code.
    ///
    /// # Errors
    /// When it ends with another one.
    pub fn run_to(&mut self, args: &[&str], code: i32) -> Result<String, DemoError> {
        self.step(args, None, code)
    }

    fn step(
        &mut self,
        args: &[&str],
        stdin: Option<&Secret>,
        code: i32,
    ) -> Result<String, DemoError> {
        let shown = Self::shown(args);
        let prefix = if stdin.is_some() { "printf %s \"$DEPLOY_TOKEN\" | " } else { "" };
        self.show(Scene::Command(&format!("{prefix}{shown}")));
        let answer = self.ask(args, stdin, true)?;
        if answer.code != code {
            return Err(DemoError::Step { command: shown, code: answer.code });
        }
        if code != 0 {
            self.show(Scene::Stderr(&format!("(exit code {code})")));
        }
        Ok(answer.stdout)
    }

    /// Runs a command without showing it (the demo checks its own story with these).
    ///
    /// # Errors
    /// When it cannot be started or does not exit with 0.
    pub fn check(&mut self, args: &[&str]) -> Result<String, DemoError> {
        let answer = self.ask(args, None, false)?;
        if answer.code == 0 {
            Ok(answer.stdout)
        } else {
            Err(DemoError::Step { command: Self::shown(args), code: answer.code })
        }
    }

    fn shown(args: &[&str]) -> String {
        let words = shlex::try_join(args.iter().copied()).unwrap_or_else(|_| args.join(" "));
        format!("moorline {words}")
    }

    fn ask(
        &mut self,
        args: &[&str],
        stdin: Option<&Secret>,
        aloud: bool,
    ) -> Result<Ran, DemoError> {
        let io = |source| DemoError::Io { doing: "cannot run", path: self.program.clone(), source };
        let mut child = Command::new(&self.program)
            .args(args)
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", &self.dir)
            // tables fit a window of 80 columns also behind the story's indent
            .env("COLUMNS", COLUMNS)
            .envs(Self::variables(&self.dir))
            .current_dir(&self.dir)
            .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io)?;
        if let (Some(mut pipe), Some(secret)) = (child.stdin.take(), stdin) {
            pipe.write_all(secret.expose().as_bytes()).map_err(io)?;
        }
        let output = child.wait_with_output().map_err(io)?;
        let stdout = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        if !stderr.is_empty() && (aloud || !output.status.success()) {
            self.show(Scene::Stderr(&stderr));
        }
        if !stdout.is_empty() && aloud {
            self.show(Scene::Stdout(&stdout));
        }
        Ok(Ran { code: output.status.code().unwrap_or(-1), stdout })
    }
}
