//! Variables that decide what runs, which a project file may not set.
//!
//! ```text
//! loader, C library   LD_*  GCONV_PATH  GLIBC_TUNABLES  LOCPATH ...   code or data before main()
//! shells              BASH_ENV  ENV  PROMPT_COMMAND  SHELLOPTS ...    a file that is run at the start
//! interpreters        PYTHONSTARTUP  PERL5OPT  NODE_OPTIONS ...       the same, or options
//! runtimes            APPTAINER*  SINGULARITY*  DOCKER_* ...          they steer a program of the host
//! ours                MOORLINE_*
//! ```
//!
//! A project brings its own programs, and it may say where they look for their parts: `PATH`, `PYTHONPATH`,
//! `CLASSPATH`, `ROOTSYS` and `HOME` are allowed, and printed before the job starts like everything that a project file
//! adds. A variable is refused when it can make a program of the image or of the host do something that the job does
//! not say. Upper and lower case count as the same, because some programs do not tell them apart.
//!
//! Sources: ld.so(8), glibc's `unsecvars.h`, bash(1), zsh(1), python(1), perlrun(1), node(1), ruby(1), java(1), R's
//! `Startup`, the manual of Apptainer. Variables that steer an engine are listed in that engine's facts. They are
//! refused in `cli/context`, where the facts are known. Not promised: variables of programs that are not named here.

/// Names that begin so.
const FAMILIES: [&str; 11] = [
    "LD_",
    "_LD_",
    "GLIBC_",
    "APPTAINER",
    "SINGULARITY",
    "MOORLINE",
    "DOCKER_",
    "PODMAN_",
    "CONTAINER",
    "BASH_",
    "LUA_INIT",
];

/// These names.
const NAMES: [&str; 48] = [
    // glibc: modules, catalogues, tables
    "GCONV_PATH",
    "GETCONF_DIR",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "LOCPATH",
    "MALLOC_TRACE",
    "NIS_PATH",
    "NLSPATH",
    "RES_OPTIONS",
    "RESOLV_HOST_CONF",
    "TZDIR",
    // shells
    "BASHOPTS",
    "ENV",
    "FPATH",
    "IFS",
    "PROMPT_COMMAND",
    "PS0",
    "PS1",
    "PS2",
    "PS4",
    "SHELL",
    "SHELLOPTS",
    "ZDOTDIR",
    // interpreters: a file or options at the start
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    "NODE_OPTIONS",
    "PERL5DB",
    "PERL5OPT",
    "PERL5SHELL",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "PYTHONBREAKPOINT",
    "PYTHONEXECUTABLE",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONPLATLIBDIR",
    "PYTHONSTARTUP",
    "PYTHONWARNINGS",
    "R_ENVIRON",
    "R_ENVIRON_USER",
    "R_PROFILE",
    "R_PROFILE_USER",
    "RUBYOPT",
    // programs that others start
    "EDITOR",
    "GIT_SSH_COMMAND",
    "PAGER",
    // where runtimes and engines keep their own
    "XDG_RUNTIME_DIR",
];

/// Whether a variable makes a loader, shell, interpreter, runtime or engine run or load something.
#[must_use]
pub fn decides_what_runs(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    FAMILIES.iter().any(|family| name.starts_with(family)) || NAMES.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_not_a_projects_to_decide() {
        for refused in [
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "LD_AUDIT",
            "GCONV_PATH",
            "GLIBC_TUNABLES",
            "BASH_ENV",
            "BASH_FUNC_ls",
            "ENV",
            "PROMPT_COMMAND",
            "APPTAINER_BIND",
            "APPTAINERENV_LD_PRELOAD",
            "SINGULARITYENV_X",
            "SINGULARITY_BINDPATH",
            "PYTHONSTARTUP",
            "PERL5OPT",
            "NODE_OPTIONS",
            "MOORLINE_LEDGER",
            "ld_preload",
        ] {
            assert!(decides_what_runs(refused), "{refused}");
        }
        for allowed in [
            "OMP_NUM_THREADS",
            "PATH",
            "PYTHONPATH",
            "PYTHONUNBUFFERED",
            "PERL5LIB",
            "HOME",
            "ROOTSYS",
            "ENVIRONMENT",
            "MY_LD_FLAGS",
            "TZ",
            "LANG",
            "LC_ALL",
            "DATA",
        ] {
            assert!(!decides_what_runs(allowed), "{allowed}");
        }
    }

    #[test]
    fn the_lists_are_in_capitals() {
        for name in FAMILIES.iter().chain(&NAMES) {
            assert_eq!(name.to_ascii_uppercase(), *name);
        }
    }
}
