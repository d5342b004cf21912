//! Docker and podman: the command line of the demo's fallback.
//!
//! Jobs do not run on them yet: what they run cannot be measured here, only reported by them.

use std::path::Path;

use super::{Bind, csv_field};
use crate::job::{Access, JobSpec, WORK_DIR};

/// The command line, program first; `image` is an image id or a reference with its digest, `user`
/// is `uid:gid`.
///
/// The container is named after the job, so that it can be ended by name.
#[must_use]
pub fn argv(
    program: &str,
    job: &JobSpec,
    image: &str,
    user: &str,
    binds: &[Bind],
    workdir: &Path,
) -> Vec<String> {
    let mut argv: Vec<String> = [
        program,
        "run",
        "--rm",
        "--name",
        &format!("moorline-{}", job.id),
        "--user",
        user,
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
    ]
    .map(String::from)
    .into();
    mount(&mut argv, workdir, WORK_DIR, Access::Rw);
    argv.extend(["--workdir".to_owned(), WORK_DIR.to_owned()]);
    for b in binds {
        mount(&mut argv, &b.source, &b.target, b.access);
    }
    for v in &job.env {
        argv.extend(["--env".to_owned(), format!("{}={}", v.name, v.value)]);
    }
    argv.extend(job.options.iter().cloned());
    if let Some((program, arguments)) = job.command.split_first() {
        // `exec` semantics: a given command replaces the image's entry point
        argv.extend(["--entrypoint".to_owned(), program.clone(), image.to_owned()]);
        argv.extend(arguments.iter().cloned());
    } else {
        argv.push(image.to_owned());
    }
    argv
}

fn mount(argv: &mut Vec<String>, source: &Path, target: &str, access: Access) {
    let mut fields = vec![
        "type=bind".to_owned(),
        csv_field(&format!("source={}", source.to_string_lossy())),
        csv_field(&format!("target={target}")),
    ];
    if access == Access::Ro {
        fields.push("readonly".into());
    }
    argv.extend(["--mount".to_owned(), fields.join(",")]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::builtin::testing::{bind as a_bind, job};

    #[test]
    fn command_line() {
        let mut j = job(&["/bin/sh", "-c", "id"]);
        j.env.push("A=b c".parse().unwrap());
        let binds = [a_bind("/cvmfs", "/cvmfs", Access::Ro)];
        let shown = argv("podman", &j, "sha256:abc", "1000:1000", &binds, Path::new("/w"));
        assert_eq!(
            shown.join(" "),
            format!(
                "podman run --rm --name moorline-{} --user 1000:1000 --cap-drop ALL \
                 --security-opt no-new-privileges --mount type=bind,source=/w,target=/work_dir \
                 --workdir /work_dir --mount type=bind,source=/cvmfs,target=/cvmfs,readonly \
                 --env A=b c --entrypoint /bin/sh sha256:abc -c id",
                j.id
            )
        );
    }
}
