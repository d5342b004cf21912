//! The demo's job in podman or docker, where Moorline itself cannot isolate one.
//!
//! ```text
//! demo::image --archive--> docker-archive on stdin of `load` --> `run` by image id --> `rmi`
//! ```
//!
//! The image id is the digest of the image's configuration, which names the layers by their content. Only the container
//! program says that it ran this image. Nothing is measured here, so the verdict is *Unproven*.
//!
//! ```text
//! manifest.json     [{"Config": "HEX.json", "RepoTags": null, "Layers": ["HEX.tar", ..]}]
//! HEX.json          the configuration, named by its digest
//! HEX.tar           a layer, not compressed, named by its diff_id
//! ```
//!
//! Source: docker image specification 1.2, "Combined Image JSON + Filesystem Changeset Format".

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use super::DemoError;
use super::image::OciImage;
use crate::job::JobSpec;
use crate::oci::{DiffId, Sha256Digest};
use crate::runtime::docker;

/// The container programs that the demo may use, in the order in which they are tried.
pub const PROGRAMS: [&str; 2] = ["podman", "docker"];

/// A container program that answers here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// `podman`, `docker`.
    pub name: &'static str,
    /// Where it is.
    pub program: PathBuf,
    /// Words for its `run`. The demo's job needs no network.
    pub options: Vec<String>,
}

impl Engine {
    /// The program at this path.
    #[must_use]
    pub fn new(name: &'static str, program: PathBuf) -> Self {
        Self { name, program, options: vec!["--network".into(), "none".into()] }
    }

    /// Whether it answers: docker needs its daemon, podman without root user namespaces.
    #[must_use]
    pub fn answers(&self) -> bool {
        let info = Command::new(&self.program)
            .arg("info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        info.is_ok_and(|status| status.success())
    }

    /// Loads the image, runs the job in it, and removes the image again.
    ///
    /// # Errors
    /// When the program cannot be started, or refuses the image.
    pub fn start(
        &self,
        image: &OciImage,
        spec: &JobSpec,
        work: &Path,
        (stdout, stderr): (File, File),
    ) -> Result<i32, DemoError> {
        self.load(image)?;
        let argv = self.argv(image, spec, work);
        let status = Command::new(&self.program)
            .args(&argv[1..])
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .status()
            .map_err(super::io("cannot run", &self.program));
        // the demo leaves nothing behind outside its folder; an image that stays harms nothing
        let _ = Command::new(&self.program)
            .args(["rmi", &image.config_digest.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        Ok(status?.code().unwrap_or(1))
    }

    /// The command line of `run`, program first.
    fn argv(&self, image: &OciImage, spec: &JobSpec, work: &Path) -> Vec<OsString> {
        let uid = rustix::process::geteuid().as_raw();
        let user = format!("{uid}:{}", rustix::process::getegid().as_raw());
        let spec = JobSpec { options: self.options.clone(), ..spec.clone() };
        docker::argv(self.name, &spec, &image.config_digest.to_string(), &user, &[], work)
    }

    fn load(&self, image: &OciImage) -> Result<(), DemoError> {
        let io = |source| DemoError::Io { doing: "cannot run", path: self.program.clone(), source };
        let archive = archive(image).map_err(io)?;
        let mut child = Command::new(&self.program)
            .arg("load")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io)?;
        // a program that ends early closes the pipe; its exit code and words say more than that
        let written = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(&archive));
        let output = child.wait_with_output().map_err(io)?;
        if output.status.success() {
            return written.map_err(io);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(DemoError::Container {
            program: self.name,
            said: said.trim().lines().last().unwrap_or("nothing").to_owned(),
        })
    }
}

/// The image as `podman load` and `docker load` read it.
fn archive(image: &OciImage) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut put = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes)
    };
    let mut layers = Vec::new();
    for layer in &image.layers {
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(layer.bytes.as_slice()).read_to_end(&mut plain)?;
        let name = format!("{}.tar", DiffId::of(&plain).hex());
        put(&name, &plain)?;
        layers.push(name);
    }
    let config = format!("{}.json", image.config_digest.hex());
    put(&config, &image.config)?;
    let manifest = json!([{ "Config": config, "RepoTags": null, "Layers": layers }]);
    put("manifest.json", manifest.to_string().as_bytes())?;
    tar.into_inner()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::super::{image, record};
    use super::*;
    use crate::oci::SifDigest;
    use crate::pin::Image;

    fn demo_image() -> OciImage {
        image::make(&"v1".parse().unwrap(), &[]).unwrap()
    }

    /// The part of `tests/run` that needs podman is not there, or is required.
    fn skipped(test: &str, why: &str) {
        let required = std::env::var("MOORLINE_TESTS_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|part| part == "podman"), "{test}: {why}");
        // not `eprintln!`, which only cli may use
        let line = format!("SKIPPED: {test}: {why}\n");
        io::stderr().write_all(line.as_bytes()).unwrap();
    }

    #[test]
    fn the_archive_names_everything_by_its_content() {
        let image = demo_image();
        let bytes = archive(&image).unwrap();
        let mut names = Vec::new();
        let mut listed = serde_json::Value::Null;
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            if name == "manifest.json" {
                listed = serde_json::from_slice(&content).unwrap();
            } else {
                let hex = name.split('.').next().unwrap();
                assert_eq!(DiffId::of(&content).hex(), hex, "{name}");
                names.push(name);
            }
        }
        assert_eq!(names.len(), 4);
        assert_eq!(listed[0]["Config"], names[3].as_str());
        assert_eq!(listed[0]["Layers"].as_array().unwrap().len(), 3);
        let config: crate::oci::ImageConfig = serde_json::from_slice(&image.config).unwrap();
        for (name, diff_id) in names.iter().zip(&config.rootfs.diff_ids) {
            assert_eq!(*name, format!("{}.tar", diff_id.hex()));
        }
    }

    #[test]
    fn docker_gets_the_image_by_id_and_no_network() {
        let engine = Engine::new("docker", "/usr/bin/docker".into());
        let image = demo_image();
        let spec = crate::runtime::builtin::testing::job(&[image::PROGRAM]);
        let user = format!(
            "{}:{}",
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw()
        );
        assert_eq!(
            engine.argv(&image, &spec, Path::new("/w")).join(OsStr::new(" ")).to_str().unwrap(),
            format!(
                "docker run --rm --name moorline-{} --user {user} --cap-drop ALL --security-opt \
                 no-new-privileges --mount type=bind,source=/w,target=/work_dir --workdir /work_dir \
                 --network none --entrypoint {} {}",
                spec.id,
                image::PROGRAM,
                image.config_digest
            )
        );
    }

    #[test]
    fn podman_runs_the_demo_job() {
        let test = "podman_runs_the_demo_job";
        let found = crate::execute::find_program("podman");
        let Some(program) = found.filter(|_| rustix::process::geteuid().is_root()) else {
            return skipped(test, "podman is not installed, or this is not root");
        };
        let mut engine = Engine::new("podman", program);
        // as podman runs in a container: no network of its own, and no limits to raise
        engine.options = [
            "--runtime",
            "runc",
            "--network",
            "host",
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=1024:1024",
        ]
        .map(String::from)
        .into();
        if !engine.answers() {
            return skipped(test, "podman info fails here");
        }
        let image = demo_image();
        let dir = tempfile::tempdir().unwrap();
        let recorded = Image::Sif {
            pin: None,
            manifest: None,
            digest: SifDigest::of(b"not read here"),
            recipe: None,
            tree: None,
        };
        let start = |spec: &JobSpec, work: &Path, streams: (File, File)| {
            engine.start(&image, spec, work, streams)
        };
        let job = record::first(dir.path(), (recorded, "/nowhere.sif".into()), &start).unwrap();
        let jobs = dir.path().join("state/moorline/jobs");
        let read =
            |name: &str| std::fs::read_to_string(jobs.join(job.to_string()).join(name)).unwrap();
        let (said, complained) = (read("stdout"), read("stderr"));
        assert!(said.starts_with("analysis: v1\n"), "{said}{complained}");
        let again = record::again(dir.path(), &job.to_string(), &start).unwrap();
        assert_ne!(again, job);
    }
}
