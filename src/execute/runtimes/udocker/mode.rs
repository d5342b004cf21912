//! udocker's modes: which engine starts the program, and where that comes from.
//!
//! | mode | engine | its names in an archive of engines |
//! |---|---|---|
//! | P1, P2 | proot | `proot-ARCH-4_8_0`, `proot-ARCH` |
//! | R1 | runc, crun | `runc-ARCH`, `crun-ARCH` |
//! | F1, F2 | the loader of the image, with libfakechroot | `patchelf-ARCH`, `libfakechroot-SYSTEM-ARCH.so` |
//!
//! Those of the machine come first. Source: udocker 1.3.17, `engine/proot.py`, `engine/runc.py`, `helper/elfpatcher.py`.

use std::path::PathBuf;

use crate::execute::{ExecuteError, find_program};
use crate::runtime::udocker::FAKECHROOT;

/// What an option begins with that chooses the mode; as `udocker setup` has it.
const EXECMODE: &str = "--execmode=";

/// A way to run that udocker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// proot, with a filter of system calls.
    P1,
    /// proot without.
    P2,
    /// runc or crun.
    R1,
    /// Programs find the image's files through a library of udocker's.
    F1,
    /// The same, and the image's loader is rewritten.
    F2,
}

/// The program that starts the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    /// One of the machine.
    Host(PathBuf),
    /// One that came with the job, by its name among the engines.
    Brought(String),
}

impl Mode {
    /// The one that is taken where none is named: udocker's own, where its engine is here.
    pub(super) fn usual(brings: &[String]) -> Self {
        if Self::P1.engine(brings).is_ok() { Self::P1 } else { Self::R1 }
    }

    /// Its engine; `brings` are those that came with the job.
    ///
    /// # Errors
    /// [`ExecuteError::NoRuntime`] when it is not here.
    pub(super) fn engine(self, brings: &[String]) -> Result<Engine, ExecuteError> {
        let names: &[&str] = match self {
            Self::P1 | Self::P2 => &["proot"],
            Self::R1 => &["runc", "crun"],
            Self::F1 | Self::F2 => return self.fakechroot(brings),
        };
        let of_host = names.iter().find_map(|name| find_program(name)).map(Engine::Host);
        let brought =
            || names.iter().find_map(|name| of(brings, name, machine())).map(Engine::Brought);
        of_host.or_else(brought).ok_or_else(|| {
            let why = "is not installed, and did not come with the job";
            ExecuteError::NoRuntime(format!("{} {why}", names.join(" or ")))
        })
    }

    /// `env` of the machine starts what udocker finds with engines of its own.
    fn fakechroot(self, brings: &[String]) -> Result<Engine, ExecuteError> {
        let library = brings.iter().any(|name| name.starts_with(FAKECHROOT));
        if !library || of(brings, "patchelf", machine()).is_none() {
            return Err(ExecuteError::NotStarted(format!(
                "udocker's {self:?} needs libfakechroot and patchelf of its engines: moorline runtime add udocker FILE \
                 ENGINE-TARBALL brings them; --execmode=P1 needs neither"
            )));
        }
        let missing = || ExecuteError::NoRuntime("env is not installed".into());
        find_program("env").map(Engine::Host).ok_or_else(missing)
    }

    /// What it rewrites in the image.
    pub(super) fn rewrites(self) -> Option<&'static str> {
        match self {
            Self::P1 | Self::P2 | Self::R1 => None,
            Self::F1 => Some(
                "udocker F1: absolute links lead into the unpacked tree, programs load libfakechroot",
            ),
            Self::F2 => Some(
                "udocker F2: absolute links lead into the unpacked tree, the loader is another one, programs load \
                 libfakechroot",
            ),
        }
    }

    /// What an image is before `setup` made it ready.
    pub(super) fn before_setup(self) -> Self {
        if self.rewrites().is_some() { Self::P1 } else { self }
    }

    /// Who the program is: runc's container has one user, its root, who is the caller.
    pub(super) fn ids(self) -> String {
        let uid = rustix::process::getuid();
        if self == Self::R1 || uid.is_root() {
            return "root".to_owned();
        }
        format!("{}:{}", uid.as_raw(), rustix::process::getgid().as_raw())
    }
}

/// Whether some engine is here.
pub(super) fn any_engine(brings: &[String]) -> Result<(), ExecuteError> {
    Mode::usual(brings).engine(brings).map(drop).map_err(|_| {
        ExecuteError::NoRuntime(
            "neither proot nor runc nor crun is installed, and it downloads nothing in a job"
                .into(),
        )
    })
}

/// This machine's processor as udocker calls it.
fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        "x86" => "x86",
        other => other,
    }
}

/// The name of an engine among those that came with the job: that for newer kernels, for the processor, for any.
fn of(brings: &[String], name: &str, machine: &str) -> Option<String> {
    let names = [format!("{name}-{machine}-4_8_0"), format!("{name}-{machine}"), name.to_owned()];
    names.into_iter().find(|name| brings.contains(name))
}

/// The mode that the options choose, and the other options.
///
/// # Errors
/// For a mode that is refused, and a word that could be taken for the container's name.
pub(super) fn mode(options: &[String]) -> Result<(Option<Mode>, Vec<String>), ExecuteError> {
    let (mut mode, mut others) = (None, Vec::new());
    let no = |why: String| Err(ExecuteError::NotStarted(why));
    for option in options {
        let Some(word) = option.strip_prefix(EXECMODE) else {
            // it is written behind the container's name, which it must not replace
            if !option.starts_with("--") || option.len() == 2 || option.ends_with('=') {
                return no(format!(
                    "--option {option:?}: write options of udocker as --name=value"
                ));
            }
            if option.starts_with("--location") {
                return no(format!("--option {option}: the image is the job's, not an option's"));
            }
            others.push(option.clone());
            continue;
        };
        mode = Some(match word {
            "P1" => Mode::P1,
            "P2" => Mode::P2,
            "R1" => Mode::R1,
            "F1" => Mode::F1,
            "F2" => Mode::F2,
            "S1" => {
                return no(
                    "udocker's S1 is apptainer or singularity: take --runtime apptainer".into()
                );
            }
            "F3" | "F4" => {
                return no(format!(
                    "udocker's {word} rewrites every program of the image, and was never tried here; take \
                     --execmode=F1, or P1, which rewrites nothing"
                ));
            }
            word => {
                return no(format!("udocker's mode {word} is not supported: P1, P2, R1, F1, F2"));
            }
        });
    }
    Ok((mode, others))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn modes_are_chosen_and_refused() {
        let chosen = |words: &[&str]| mode(&names(words)).map_err(|error| error.to_string());
        assert_eq!(chosen(&[]), Ok((None, vec![])));
        assert_eq!(chosen(&["--execmode=R1", "--dri"]), Ok((Some(Mode::R1), vec!["--dri".into()])));
        assert_eq!(chosen(&["--execmode=F1"]), Ok((Some(Mode::F1), vec![])));
        assert!(chosen(&["--execmode=S1"]).unwrap_err().contains("--runtime apptainer"));
        for f in ["F3", "F4"] {
            let why = chosen(&[&format!("--execmode={f}")]).unwrap_err();
            assert!(why.contains("rewrites") && why.contains("P1"), "{why}");
        }
        for bad in [
            "--execmode=R3",
            "--execmode=",
            "--location=/other",
            "other:image",
            "-v=/a",
            "--",
            "--env=",
        ] {
            assert!(chosen(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn engines_are_for_this_processor() {
        let all = names(&["proot-x86_64", "proot-x86_64-4_8_0", "proot-arm64", "crun-x86_64"]);
        assert_eq!(of(&all, "proot", "x86_64").as_deref(), Some("proot-x86_64-4_8_0"));
        assert_eq!(of(&all, "proot", "arm64").as_deref(), Some("proot-arm64"));
        assert_eq!(of(&all, "runc", "x86_64"), None);
        assert_eq!(of(&all, "crun", "arm64"), None);
    }

    #[test]
    fn what_rewrites_the_image_needs_engines_that_came_with_the_job() {
        let patchelf = format!("patchelf-{}", machine());
        for brings in [&[][..], &[&*patchelf], &["libfakechroot.so"]] {
            let why = Mode::F1.engine(&names(brings)).unwrap_err().to_string();
            assert!(why.contains("moorline runtime add udocker"), "{why}");
        }
        let both = names(&[&patchelf, "libfakechroot-Debian-12-x86_64.so"]);
        assert!(matches!(Mode::F2.engine(&both), Ok(Engine::Host(_))));
        let rewrites =
            [Mode::P1, Mode::P2, Mode::R1, Mode::F1, Mode::F2].map(|m| m.rewrites().is_some());
        assert_eq!(rewrites, [false, false, false, true, true]);
    }
}
