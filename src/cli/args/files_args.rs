//! The flags for a job's image and files: how the image gets there, what it starts, reads and leaves.

use std::path::{Component, Path, PathBuf};

use clap::Args;

use crate::cli::context::delivery::Sending;
use crate::cli::show::output::{self, CliError, Report};
use crate::config::JobFiles;
use crate::submit::{self, Source, Way};

/// What travels to the job, and back.
#[derive(Debug, Args, Clone, Default)]
pub struct FilesArgs {
    /// How the image gets to the worker: auto, shared (the store's SIF in place), file (a .sif that you name),
    /// transfer (by the engine), pull (by the worker, from the registry) or cvmfs (a tree that your site publishes)
    #[arg(long, value_name = "WAY", value_parser = way)]
    pub delivery: Option<Way>,
    /// With --delivery pull: let the engine copy a deploy token with the job's files
    #[arg(long)]
    pub send_credential: bool,
    /// With --delivery pull: no limit on how many tasks ask the registry
    #[arg(long)]
    pub force_pull: bool,
    /// Copy this program of yours into the working directory and start it; what stands behind IMAGE are its
    /// arguments
    #[arg(long, value_name = "FILE")]
    pub exe: Option<PathBuf>,
    /// Copy this file into the working directory, under another name if you like; repeatable
    #[arg(long, value_name = "FILE[:NAME]", value_parser = input)]
    pub input: Vec<Wanted>,
    /// Files of the working directory that are the job's output: * ** ? [...]; the receipt has their SHA-256;
    /// repeatable
    #[arg(long, value_name = "GLOB", value_parser = output)]
    pub output: Vec<String>,
}

/// `FILE[:NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    path: PathBuf,
    name: String,
}

/// Reads a way.
fn way(text: &str) -> Result<Way, String> {
    let names = || Way::ALL.map(|(name, _)| name).join(", ");
    let found = Way::ALL.iter().find(|(name, _)| *name == text);
    found.map(|(_, way)| *way).ok_or_else(|| format!("known: {}", names()))
}

/// Reads an input. Where the whole text is a file it is that file, colons and all.
fn input(text: &str) -> Result<Wanted, String> {
    let (path, name) = match text.rsplit_once(':') {
        Some((path, name)) if !Path::new(text).exists() => (Path::new(path), Some(name)),
        _ => (Path::new(text), None),
    };
    let own = || path.file_name().and_then(|name| name.to_str());
    let name = name.or_else(own).ok_or("it has no name: write FILE:NAME")?;
    below(name)?;
    Ok(Wanted { path: path.to_owned(), name: name.to_owned() })
}

/// Whether a name stays below the working directory.
fn below(name: &str) -> Result<(), String> {
    let plain = |part| matches!(part, Component::Normal(_));
    if !name.is_empty() && !name.ends_with('/') && Path::new(name).components().all(plain) {
        return Ok(());
    }
    Err(format!("{name:?} is not a name below the working directory"))
}

/// Reads a pattern.
fn output(text: &str) -> Result<String, String> {
    below(text)?;
    glob::Pattern::new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

impl FilesArgs {
    /// What the flags say of the way.
    pub fn sending(&self) -> Sending {
        Sending {
            way: self.delivery.unwrap_or_default(),
            credential: self.send_credential,
            force: self.force_pull,
        }
    }

    /// Fills what no flag said from a job file. Inputs and patterns of both count; of two inputs with one name
    /// the flag's does.
    ///
    /// # Errors
    /// What the flags would refuse, with the key.
    pub fn fill(&mut self, file: JobFiles, path: &Path) -> Result<(), Report> {
        let bad = |key: &str, text: &str, why: String| -> Report {
            let (path, text) = (path.display().to_string(), output::cell(text));
            let path = output::cell(&path);
            CliError::usage(format!("{path}: \"{key}\": {text}: {}", output::cell(&why))).into()
        };
        if let Some(text) = file.delivery {
            let known = way(&text).map_err(|why| bad("delivery", &text, why))?;
            self.delivery = self.delivery.or(Some(known));
        }
        self.exe = self.exe.take().or(file.exe);
        let mut inputs = Vec::new();
        for text in file.input {
            let wanted = input(&text).map_err(|why| bad("input", &text, why))?;
            if !self.input.iter().any(|flag| flag.name == wanted.name) {
                inputs.push(wanted);
            }
        }
        inputs.append(&mut self.input);
        self.input = inputs;
        let mut patterns = Vec::new();
        for text in file.output {
            patterns.push(output(&text).map_err(|why| bad("output", &text, why))?);
        }
        patterns.append(&mut self.output);
        self.output = patterns;
        Ok(())
    }

    /// The command with the program of `--exe`.
    ///
    /// # Errors
    /// When the program has no name that can be typed.
    pub fn command(&self, behind: Vec<String>) -> Result<Vec<String>, Report> {
        let Some(exe) = &self.exe else { return Ok(behind) };
        let mut command = vec![format!("./{}", file_name(exe)?)];
        command.extend(behind);
        Ok(command)
    }

    /// The files that the job starts from or reads: `./exe` of the command that exists here, `--exe` and
    /// `--input`. With `workdir` nothing is copied: what is named must lie there. What will keep a program from
    /// being started is said.
    ///
    /// # Errors
    /// When a file is not there, cannot be copied, or two have one name.
    pub fn inputs(
        &self,
        command: &[String],
        workdir: Option<&Path>,
    ) -> Result<Vec<Source>, Report> {
        let mut inputs = match &self.exe {
            Some(exe) => {
                for hint in submit::script_hints(exe) {
                    output::warn(output::cell(&hint));
                }
                vec![source("--exe", exe, file_name(exe)?, workdir)?]
            }
            None => started(command, workdir)?,
        };
        for Wanted { path, name } in &self.input {
            if inputs.iter().any(|known| known.name == *name) {
                let text = format!("--input: two files would be {}", output::cell(name));
                return Err(CliError::usage(text).with_hint("write FILE:NAME").into());
            }
            inputs.push(source("--input", path, name, workdir)?);
        }
        warn_of_missing(command, workdir, &inputs);
        Ok(inputs)
    }
}

fn file_name(path: &Path) -> Result<&str, Report> {
    path.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
        CliError::usage(format!("--exe {}: it has no name in UTF-8", path.display())).into()
    })
}

/// A file of this machine under a name of the working directory.
fn source(flag: &str, path: &Path, name: &str, workdir: Option<&Path>) -> Result<Source, Report> {
    let shown = output::cell(&path.display().to_string());
    if !path.is_file() {
        return Err(CliError::usage(format!("{flag} {shown}: there is no such file")).into());
    }
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    if let Some(dir) = workdir
        && real(&dir.join(name)) != real(path)
    {
        let text = format!(
            "{flag} {shown}: nothing is copied into {}, which is the job's working directory",
            output::cell(&dir.display().to_string())
        );
        let hint = "copy it there yourself, or bind it with --mount FILE:/work_dir/NAME:ro";
        return Err(CliError::usage(text).with_hint(hint).into());
    }
    Ok(Source {
        name: name.to_owned(),
        path: path.to_owned(),
        origin: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        copied: workdir.is_none(),
        earlier: None,
    })
}

/// `./exe` that exists here is copied into the job, or, where the user named the working directory, used there;
/// one that does not exist is in the image.
fn started(command: &[String], workdir: Option<&Path>) -> Result<Vec<Source>, Report> {
    let Some(name) = command.first().and_then(|word| word.strip_prefix("./")) else {
        return Ok(Vec::new());
    };
    let path = workdir.map_or_else(|| PathBuf::from(name), |dir| dir.join(name));
    if !path.is_file() {
        return Ok(Vec::new());
    }
    for hint in submit::script_hints(&path) {
        output::warn(output::cell(&hint));
    }
    if workdir.is_none() && Path::new(name).components().count() != 1 {
        return Err(CliError::usage(format!(
            "./{name}: only a program directly in the current directory is copied into the job"
        ))
        .with_hint(format!("write --exe {name}, or bind the directory with --workdir"))
        .into());
    }
    Ok(vec![source("the program", &path, name, workdir)?])
}

/// `./exe` that is nowhere: the job starts in its working directory, which has only what is copied or bound there.
fn warn_of_missing(command: &[String], workdir: Option<&Path>, inputs: &[Source]) {
    let Some(word) = command.first().filter(|word| word.starts_with("./")) else { return };
    let name = word.trim_start_matches("./");
    let there = workdir.map_or_else(|| PathBuf::from(name), |dir| dir.join(name));
    if there.exists() || inputs.iter().any(|input| input.name == name) {
        return;
    }
    let place = match workdir {
        Some(dir) => format!("in {}", dir.display()),
        None => "here, so it is not copied".to_owned(),
    };
    output::warn(output::cell(&format!(
        "there is no {word} {place}: the job starts in its working directory, not in one of the image; a program of \
         the image is named without ./"
    )));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;

    #[test]
    fn an_input_has_a_name_below_the_working_directory() {
        let read =
            |text| input(text).map(|wanted| (wanted.path.display().to_string(), wanted.name));
        let ok = |path: &str, name: &str| Ok((path.to_owned(), name.to_owned()));
        assert_eq!(read("/data/a.root"), ok("/data/a.root", "a.root"));
        assert_eq!(read("/data/a.root:in/b.root"), ok("/data/a.root", "in/b.root"));
        assert_eq!(read("a:b:c"), ok("a:b", "c"));
        for bad in ["/data/a:/etc/passwd", "a:../b", "a:", "..", "/", "a:b/", "a:./b"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("with:colon").display().to_string();
        std::fs::write(&odd, "").unwrap();
        assert_eq!(read(&odd), ok(&odd, "with:colon"));
    }

    #[test]
    fn a_job_file_fills_what_no_flag_says() {
        let text = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let file = JobFiles {
            delivery: Some("transfer".into()),
            exe: Some("file.sh".into()),
            input: text(&["/f/a:one", "/f/b:two"]),
            output: text(&["*.root"]),
        };
        let path = Path::new("job.toml");
        let mut empty = FilesArgs::default();
        empty.fill(file.clone(), path).unwrap();
        assert_eq!((empty.delivery, empty.exe), (Some(Way::Transfer), Some("file.sh".into())));
        assert_eq!(empty.input, [input("/f/a:one").unwrap(), input("/f/b:two").unwrap()]);

        let mut flags = FilesArgs {
            delivery: Some(Way::Shared),
            exe: Some("flag.sh".into()),
            input: vec![input("/flag:two").unwrap()],
            output: text(&["*.log"]),
            ..FilesArgs::default()
        };
        flags.fill(file, path).unwrap();
        assert_eq!((flags.delivery, flags.exe), (Some(Way::Shared), Some("flag.sh".into())));
        assert_eq!(flags.input, [input("/f/a:one").unwrap(), input("/flag:two").unwrap()]);
        assert_eq!(flags.output, ["*.root", "*.log"]);

        let refused = [
            JobFiles { delivery: Some("mail".into()), ..JobFiles::default() },
            JobFiles { input: text(&["a:../b"]), ..JobFiles::default() },
            JobFiles { output: text(&["/etc/*"]), ..JobFiles::default() },
        ];
        for (file, key) in refused.into_iter().zip(["delivery", "input", "output"]) {
            let report = FilesArgs::default().fill(file, path).unwrap_err();
            assert_eq!(report.0.kind(), Kind::Usage, "{key}");
            let said = report.0.to_string();
            assert!(said.starts_with(&format!("job.toml: \"{key}\": ")), "{said}");
        }
    }

    #[test]
    fn patterns_stay_below_too() {
        for good in ["*.root", "out/**/*.log", "plots/[a-c]?.png"] {
            assert_eq!(output(good).as_deref(), Ok(good));
        }
        for bad in ["/etc/*", "../*", "", "a[", "***"] {
            assert!(output(bad).is_err(), "{bad}");
        }
        assert_eq!(way("cvmfs"), Ok(Way::Cvmfs));
        assert_eq!(way("transfer"), Ok(Way::Transfer));
        assert!(way("mail").is_err());
    }
}
