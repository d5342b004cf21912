//! `moorline init`: a commented `moorline.toml` for the project in the current directory.

use std::path::Path;

use clap::Args as ClapArgs;
use serde_json::json;

use crate::acquire;
use crate::cli::context::Context;
use crate::cli::context::adapters;
use crate::cli::context::engines;
use crate::cli::show;
use crate::cli::show::document;
use crate::cli::show::output::{self, CliError, Outcome};
use crate::config::PROJECT_FILE;
use crate::failure::Kind;
use crate::oci::Registry;

/// Write a commented moorline.toml for the project in this directory.
///
/// The git remote says which project it is, and the installed engines which backend is proposed. An
/// existing file is kept.
#[derive(Debug, ClapArgs)]
#[command(after_help = format!("\
Examples:
  moorline init
  moorline init --print
  moorline init --project group/project --backend {}", engines::batch()))]
pub struct Args {
    /// The project; default: that of the git remote
    #[arg(long, value_name = "GROUP/PROJECT")]
    project: Option<String>,
    /// Engine for moorline submit; default: an installed one, else local
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// Print the file, and write nothing
    #[arg(long)]
    print: bool,
    /// Replace an existing file
    #[arg(short, long)]
    yes: bool,
}

/// The verb.
///
/// # Errors
/// When the file exists already or cannot be written.
pub fn run(context: &Context, args: &Args) -> Outcome {
    // a clone that cannot be read names no project
    let remote = acquire::remote(context).ok().flatten();
    let registry = match &remote {
        Some(remote) => acquire::registry_of_clone(context, remote).ok().flatten(),
        None => None,
    };
    let project = args.project.clone().or_else(|| remote.map(|remote| remote.project));
    let backend = match &args.backend {
        Some(name) if !engines::backends().contains(&name.as_str()) => {
            return Err(CliError::usage(format!("unknown backend {}", output::cell(name)))
                .with_hint(format!("known backends: {}", engines::backends().join(", ")))
                .into());
        }
        Some(name) => name.clone(),
        None => installed(context),
    };
    let text = text(project.as_deref(), registry.as_ref(), &backend);
    if args.print {
        if context.voice.json {
            document::print(&json!({ "file": null, "text": text }));
        } else {
            output::line(text.trim_end());
        }
        return Ok(0);
    }
    let file = Path::new(PROJECT_FILE);
    if file.symlink_metadata().is_ok() && !args.yes {
        return Err(CliError::usage(format!("{PROJECT_FILE} exists already"))
            .with_hint("--print shows the new one, --yes replaces the old one")
            .into());
    }
    show::file::replace(file, &text, Kind::Usage)?;
    context.voice.say(format!(
        "wrote {PROJECT_FILE}; take the # away from an image that there is (moorline tags lists them), then moorline \
         lock pins it; moorline doctor checks the rest"
    ));
    if context.voice.json {
        document::print(&json!({ "file": PROJECT_FILE, "text": text }));
    } else {
        output::line(PROJECT_FILE);
    }
    Ok(0)
}

/// The first engine that answers, beside this machine.
fn installed(context: &Context) -> String {
    let (here, others): (Vec<&str>, Vec<&str>) =
        engines::backends().into_iter().partition(|name| engines::is_here(name));
    let answers = |name: &&str| {
        adapters::backend(context, name).is_some_and(|backend| backend.ready().is_ok())
    };
    let found = others.into_iter().find(answers).or_else(|| here.first().copied());
    found.unwrap_or_default().to_owned()
}

fn text(project: Option<&str>, registry: Option<&Registry>, backend: &str) -> String {
    let project = project.unwrap_or("group/project");
    // the names of images are lower case, whatever the project's is
    let image = project.to_lowercase();
    let registry = match registry {
        Some(registry) => format!("registry = \"{registry}\""),
        None => "# registry = \"gitlab-registry.example\"".to_owned(),
    };
    format!(
        r#"# Moorline's settings of this project. Commit this file, and moorline.lock beside it.

# The registry of names without one: that of this project's own GitLab
{registry}

[images]
# Short names: moorline run analysis ./run.sh
# an image by its tag
# analysis = "{image}:latest"
# what CI built: ref, commit, pipeline, job, mr or release
# nightly = {{ project = "{project}", ref = "main" }}

[submit]
# The engine of moorline submit: {engines}
backend = "{backend}"
# cpus = 1
# memory = "2G"
# time = "1h"
# Directories for the job, below this one and read-only: SRC[:DST]
# mounts = ["data:/data"]

# [submit.env]
# OMP_NUM_THREADS = "1"

# [backend.{batch}]
# queue = "short"
# account = "physics"
"#,
        batch = engines::batch(),
        engines = engines::backends().join(", "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Level, Meant};

    #[test]
    fn the_file_is_one_that_moorline_reads() {
        for project in [None, Some("Group/Sub.Project")] {
            for backend in engines::backends() {
                let registry = project.map(|_| "registry.example".parse().unwrap());
                let text = text(project, registry.as_ref(), backend);
                let config = Config::parse(&text, Level::Project, Path::new(PROJECT_FILE)).unwrap();
                // nobody knows yet which images there are
                assert!(config.images.is_empty());
                assert_eq!(config.registry.map(|said| said.value), registry);
                // what is proposed in comments can be read, too
                let all: String = text
                    .lines()
                    .map(|line| match line.strip_prefix("# ") {
                        Some(rest) if rest.contains(" = ") || rest.starts_with('[') => rest,
                        _ => line,
                    })
                    .map(|line| format!("{line}\n"))
                    .collect();
                let all = Config::parse(&all, Level::Project, Path::new(PROJECT_FILE)).expect(&all);
                let images: Vec<&Meant> = all.images.values().map(|v| &v.value).collect();
                let built = images.iter().filter(|meant| matches!(meant, Meant::Built(_))).count();
                assert_eq!((images.len(), built), (2, 1));
            }
        }
    }
}
