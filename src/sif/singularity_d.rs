//! What is added to an image's root file system so that Apptainer and Singularity run it.
//!
//! ```text
//! /.singularity.d/   actions/{exec,run,shell,start,test}   env/*.sh, sourced in order   libs/
//!                    labels.json  runscript  startscript  Singularity
//! /.run /.exec /.shell /.test -> .singularity.d/actions/...
//! /singularity -> .singularity.d/runscript     /environment -> .singularity.d/env/90-environment.sh
//! /dev /proc /sys /tmp /var/tmp /home /root /etc/{resolv.conf,hosts,passwd,group}
//!                    only where the image lacks them: runtimes bind over them
//! ```
//!
//! The behaviour is Apptainer's (1.4), the text our own. Its quoting is not copied: a variable here
//! may hold any byte but NUL. Which variables there are is [`ContainerConfig::variables`]: one reading of
//! `ENV` for this script and for every runtime. What the image has under the names of the last two groups
//! is kept.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::json;

use crate::oci::{ContainerConfig, ImageConfig};

/// The version of these files; part of a recipe. 4: the last of several `ENV` entries with one name counts, an
/// entry without `=` sets nothing, `ENTRYPOINT [""]` is none.
pub const TEMPLATE: u32 = 4;
/// Where the image's `ENV` stands; the path that `apptainer inspect --environment` shows.
const ENV_SCRIPT: &str = "/.singularity.d/env/10-docker2singularity.sh";

/// What an added name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// A directory.
    Directory,
    /// A file with this content.
    File(Vec<u8>),
    /// A symbolic link.
    Symlink(&'static str),
}

/// A name that is added to the root file system, owned by root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addition {
    /// Its path without a leading slash.
    pub path: &'static str,
    /// What it is.
    pub kind: Added,
    /// Its permissions.
    pub mode: u16,
    /// Whether what the image has under this name stays.
    pub yields: bool,
}

/// The generated texts of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// How the image was built, in Apptainer's words.
    pub definition: String,
    /// Sourced for the image's `ENV`.
    pub environment: String,
    /// `ENTRYPOINT` and `CMD`.
    pub runscript: String,
    /// The image's labels and ours.
    pub labels: BTreeMap<String, String>,
    /// `ENV` entries that set nothing, or that a shell cannot set, with the reason.
    pub warnings: Vec<String>,
}

impl Texts {
    /// Makes the texts of an image. `reference` is the pinned one; `provenance` are labels to add.
    #[must_use]
    pub fn new(reference: &str, config: &ImageConfig, provenance: &[(&str, String)]) -> Self {
        let container = config.container();
        let mut labels = container.labels.clone();
        let ours = [
            ("org.label-schema.schema-version", "1.0"),
            ("org.label-schema.build-arch", &config.platform.architecture),
            ("org.label-schema.build-date", config.created.as_deref().unwrap_or("unknown")),
            ("org.label-schema.usage.singularity.deffile.bootstrap", "docker"),
            ("org.label-schema.usage.singularity.deffile.from", reference),
        ];
        labels.extend(ours.map(|(name, value)| (name.to_owned(), value.to_owned())));
        labels.extend(provenance.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let (environment, warnings) = environment(&container);
        Self {
            definition: format!("bootstrap: docker\nfrom: {reference}\n\n"),
            environment,
            runscript: runscript(container.entrypoint_words(), &container.cmd),
            labels,
            warnings,
        }
    }

    /// `labels.json`.
    #[must_use]
    pub fn labels_json(&self) -> Vec<u8> {
        pretty(&json!(self.labels))
    }

    /// The SIF's object that `apptainer inspect` shows.
    #[must_use]
    pub fn inspect_json(&self) -> Vec<u8> {
        pretty(&json!({
            "data": { "attributes": {
                "labels": self.labels,
                "environment": { ENV_SCRIPT: self.environment },
                "runscript": self.runscript,
                "deffile": self.definition,
            } },
            "type": "container",
        }))
    }

    /// The names to add, parents first.
    #[must_use]
    pub fn additions(&self) -> Vec<Addition> {
        let ours = |path, kind, mode| Addition { path, kind, mode, yields: false };
        let theirs = |path, kind, mode| Addition { path, kind, mode, yields: true };
        let text = |text: &str| Added::File(text.as_bytes().to_vec());
        let dir = Added::Directory;
        let mut all = vec![
            ours(".singularity.d", dir.clone(), 0o755),
            ours(".singularity.d/Singularity", text(&self.definition), 0o644),
            ours(".singularity.d/actions", dir.clone(), 0o755),
        ];
        for (path, script) in [
            (".singularity.d/actions/exec", include_str!("singularity_d/exec.sh")),
            (".singularity.d/actions/run", include_str!("singularity_d/run.sh")),
            (".singularity.d/actions/shell", include_str!("singularity_d/shell.sh")),
            (".singularity.d/actions/start", include_str!("singularity_d/start.sh")),
            (".singularity.d/actions/test", include_str!("singularity_d/test.sh")),
        ] {
            all.push(ours(path, text(script), 0o755));
        }
        all.push(ours(".singularity.d/env", dir.clone(), 0o755));
        for (path, script) in [
            (".singularity.d/env/01-base.sh", "#!/bin/sh\n"),
            (".singularity.d/env/10-docker2singularity.sh", &*self.environment),
            (".singularity.d/env/90-environment.sh", "#!/bin/sh\n"),
            (".singularity.d/env/99-base.sh", include_str!("singularity_d/env-base.sh")),
            (
                ".singularity.d/env/99-runtimevars.sh",
                include_str!("singularity_d/env-runtimevars.sh"),
            ),
        ] {
            all.push(ours(path, text(script), 0o755));
        }
        all.extend([
            ours(".singularity.d/labels.json", Added::File(self.labels_json()), 0o644),
            ours(".singularity.d/libs", dir.clone(), 0o755),
            ours(".singularity.d/runscript", text(&self.runscript), 0o755),
            ours(
                ".singularity.d/startscript",
                text(include_str!("singularity_d/startscript.sh")),
                0o755,
            ),
        ]);
        for (path, target) in [
            (".exec", ".singularity.d/actions/exec"),
            (".run", ".singularity.d/actions/run"),
            (".shell", ".singularity.d/actions/shell"),
            (".test", ".singularity.d/actions/test"),
            ("environment", ".singularity.d/env/90-environment.sh"),
            ("singularity", ".singularity.d/runscript"),
        ] {
            all.push(theirs(path, Added::Symlink(target), 0o777));
        }
        for (path, mode) in [
            ("dev", 0o755),
            ("home", 0o755),
            ("proc", 0o555),
            ("root", 0o750),
            ("sys", 0o555),
            ("tmp", 0o1777),
            ("var/tmp", 0o1777),
        ] {
            all.push(theirs(path, dir.clone(), mode));
        }
        for path in ["etc/group", "etc/hosts", "etc/passwd", "etc/resolv.conf"] {
            all.push(theirs(path, text(""), 0o644));
        }
        all
    }
}

/// JSON as labels and the object that `apptainer inspect` shows are written.
#[must_use]
pub fn pretty(value: &serde_json::Value) -> Vec<u8> {
    let mut text = format!("{value:#}").into_bytes();
    text.push(b'\n');
    text
}

/// One shell word that means exactly these characters. A quote stands between double quotes: the
/// interpreter inside apptainer, which sources the environment, keeps the backslash of `\'`.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', r#"'"'"'"#))
}

/// Whether a shell can set a variable of this name (POSIX 3.231).
#[must_use]
pub fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b == b'_' || b.is_ascii_alphabetic())
        && bytes.all(|b| b == b'_' || b.is_ascii_alphanumeric())
}

/// `PATH` is set as the image has it; another variable only where the caller has no value for it.
fn environment(container: &ContainerConfig) -> (String, Vec<String>) {
    let mut script = String::from("#!/bin/sh\n");
    let mut warnings = Vec::new();
    let shown = |name: &str| name.escape_debug().take(80).collect::<String>();
    for entry in &container.env {
        let why = match entry.split_once('=') {
            None => "has no value, as in docker it sets nothing",
            Some(("", _)) => "has no name and sets nothing",
            Some(_) if entry.contains('\0') => "holds a NUL and sets nothing",
            Some(_) => continue,
        };
        warnings.push(format!("ENV {} {why}", shown(entry)));
    }
    for (name, value) in container.variables() {
        // writing to a String cannot fail
        let _ = if !is_name(name) {
            warnings.push(format!(
                "ENV {} cannot be set by a shell: moorline gives it to the program, apptainer alone does not",
                shown(name)
            ));
            Ok(())
        } else if name == "PATH" {
            writeln!(script, "export PATH={}", literal(value))
        } else {
            let value = literal(value);
            writeln!(script, "[ -n \"${{{name}:-}}\" ] || {name}={value}\nexport {name}")
        };
    }
    (script, warnings)
}

/// Arguments replace `CMD`. The image's words mean what they say, as with apptainer 1.4; arguments are
/// evaluated by the shell unless the caller forbids it.
fn runscript(entrypoint: &[String], cmd: &[String]) -> String {
    let join = |words: &[String]| {
        words.iter().fold(String::new(), |line, word| line + " " + &literal(word))
    };
    let mut script = String::from(
        "\
#!/bin/sh
# the OCI image's ENTRYPOINT and CMD
if [ $# -gt 0 ] && [ -z \"${SINGULARITY_NO_EVAL:-}${APPTAINER_NO_EVAL:-}\" ]; then
",
    );
    for line in include_str!("singularity_d/runscript-quote.sh").lines() {
        // writing to a String cannot fail
        let _ = writeln!(script, "    {line}");
    }
    let _ = write!(
        script,
        "    oci_words=
    for oci_word; do
        quote \"$oci_word\"
        oci_words=\"$oci_words \\\"$oci_quoted\\\"\"
    done
    eval \"set -- $oci_words\"
    unset oci_words oci_word oci_quoted oci_rest oci_head oci_mark
fi
if [ $# -eq 0 ]; then
    set --{}
fi
set --{} \"$@\"
if [ $# -eq 0 ]; then
    echo \"the image has neither ENTRYPOINT nor CMD: name a command\" >&2
    exit 1
fi
exec \"$@\"
",
        join(cmd),
        join(entrypoint)
    );
    script
}
