//! Docker and podman: the command line of the demo's fallback.
//!
//! Jobs take `execute/runtimes/docker.rs`; the demo has its image in memory and asks for no evidence.

use std::ffi::OsString;
use std::path::Path;

use super::bind::{Bind, csv_field};
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
) -> Vec<OsString> {
    let mut argv: Vec<OsString> = [
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
    .map(OsString::from)
    .into();
    mount(&mut argv, workdir, Path::new(WORK_DIR), Access::Rw);
    argv.extend(["--workdir", WORK_DIR].map(OsString::from));
    for b in binds {
        mount(&mut argv, &b.source, &b.target, b.access);
    }
    for v in &job.env {
        argv.extend(["--env".into(), format!("{}={}", v.name, v.value).into()]);
    }
    argv.extend(job.options.iter().map(OsString::from));
    if let Some((program, arguments)) = job.command.split_first() {
        // `exec` semantics: a given command replaces the image's entry point
        argv.extend(["--entrypoint", program, image].map(OsString::from));
        argv.extend(arguments.iter().map(OsString::from));
    } else {
        argv.push(image.into());
    }
    argv
}

fn mount(argv: &mut Vec<OsString>, source: &Path, target: &Path, access: Access) {
    let mut value = OsString::from("type=bind,");
    value.push(csv_field("source", source));
    value.push(",");
    value.push(csv_field("target", target));
    if access == Access::Ro {
        value.push(",readonly");
    }
    argv.extend(["--mount".into(), value]);
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::runtime::builtin::testing::{bind as a_bind, job};

    #[test]
    fn command_line() {
        let mut j = job(&["/bin/sh", "-c", "id"]);
        j.env.push("A=b c".parse().unwrap());
        let binds = [a_bind("/cvmfs", "/cvmfs", Access::Ro)];
        let shown = argv("podman", &j, "sha256:abc", "1000:1000", &binds, Path::new("/w"));
        assert_eq!(
            shown.join(OsStr::new(" ")),
            OsString::from(format!(
                "podman run --rm --name moorline-{} --user 1000:1000 --cap-drop ALL \
                 --security-opt no-new-privileges --mount type=bind,source=/w,target=/work_dir \
                 --workdir /work_dir --mount type=bind,source=/cvmfs,target=/cvmfs,readonly \
                 --env A=b c --entrypoint /bin/sh sha256:abc -c id",
                j.id
            ))
        );
    }
}
