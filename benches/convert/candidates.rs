//! What is measured: Moorline cold, warm and incremental, other programs, and the parts of the work.

use std::path::{Path, PathBuf};

use crate::image::Image;
use crate::{BLOCK, LEVEL};

/// A way to make the output from the image.
pub struct Candidate {
    pub name: &'static str,
    /// Programs, each the first word of a command.
    pub needs: Vec<String>,
    /// Whether it needs the registry.
    pub pulls: bool,
    /// For `sh -c`, before the clock starts.
    pub before: String,
    /// For `sh -c`.
    pub script: String,
    pub output: PathBuf,
}

/// What all candidates need to know.
pub struct Plan {
    /// Options with which this program finds the same image.
    pub again: String,
    pub registry: Option<String>,
    /// Only memory is of interest: no other program, nothing incremental.
    pub limits: bool,
    pub threads: u64,
    /// apptainer, crane, umoci.
    pub programs: [String; 3],
}

/// What candidates leave beside an image; made anew by whoever needs it.
const SCRATCH: [&str; 7] = ["store", "known", "link", "tars", "flat.tar", "bundle", "path"];

/// Gives the disk back, several times the image's size.
pub fn clean(image: &Image) {
    for name in SCRATCH {
        let path = image.dir.join(name);
        // most are there or not, as some candidates were left out
        let _ = std::fs::remove_dir_all(&path);
        let _ = std::fs::remove_file(&path);
    }
}

#[allow(clippy::too_many_lines, reason = "a list")]
pub fn candidates(image: &Image, dir: &Path, plan: &Plan) -> Vec<Candidate> {
    let own = std::env::current_exe().expect("this program's path");
    let (own, moorline) = (own.display(), env!("CARGO_BIN_EXE_moorline"));
    let at = image.dir.display().to_string();
    let output = |name: &str| image.dir.join(format!("out.{}", name.replace([' ', ':', '/'], "-")));
    let candidate = |name, needs: &[&str], pulls, before: &str, script: &dyn Fn(&str) -> String| {
        let output = output(name);
        let needs = needs.iter().map(|&program| program.to_owned()).collect();
        let script = script(&output.display().to_string());
        Candidate { name, needs, pulls, before: before.to_owned(), script, output }
    };
    let threads = plan.threads;
    let host = plan.registry.clone().unwrap_or_default();
    let blobs: Vec<String> = image.blobs.iter().map(|b| b.display().to_string()).collect();
    let blobs = blobs.join(" ");
    let [apptainer, crane, umoci] = &plan.programs;
    // the SIF stays in the store; its size is looked at where the JSON says that it lies
    let convert = |how: &str, name: &str| {
        format!(
            "MOORLINE_CACHE={at}/store {moorline} -q {how} convert --threads {threads} \
             {host}/bench/{name}"
        )
    };
    let empty = format!("rm -rf {at}/store");
    // a copy: the store uses no file that has another name beside its own
    let known = format!(
        "{empty}; {} >{at}/path && cp $(cat {at}/path) {at}/known",
        convert("", "base:latest")
    );
    let pull = |name: &str| convert("--json", name);
    let mksquashfs = format!("-comp zstd -Xcompression-level {LEVEL} -b {BLOCK}");
    let tar2sqfs = format!("tar2sqfs -q -f -j 2 -c zstd -X level={LEVEL} -b {BLOCK}");
    let flat = format!("{at}/flat.tar");
    let flatten =
        format!("test -e {flat} || {crane} export --insecure {host}/bench/base:latest {flat}");
    let tars = format!("for blob in {blobs}; do gzip -dc $blob; done");
    let mut all = vec![
        candidate("moorline", &[], true, &empty, &|_| pull("base:latest")),
        candidate("moorline: blobs on disk", &[], false, "", &|out| {
            format!(
                "{own} {} --dir {} --threads {threads} --child {out}",
                plan.again,
                dir.display()
            )
        }),
    ];
    if plan.limits {
        return all;
    }
    all.extend([
        candidate("warm: by digest", &[], true, &known, &|_| {
            pull(&format!("base@{}", image.source.manifest))
        }),
        candidate("top layer changed", &[], true, &known, &|_| pull("top:latest")),
        candidate("base rebuilt", &[], true, &known, &|_| pull("rebuilt:latest")),
        // what an incremental conversion cannot be faster than: the bytes of the SIF again
        candidate("cp of the SIF", &[], true, &known, &|out| format!("cp {at}/known {out}")),
        candidate("cp and fsync of the SIF", &["sync"], true, &known, &|out| {
            format!("cp {at}/known {out} && sync {out}")
        }),
        candidate("crane+tar2sqfs", &[crane, "tar2sqfs"], true, "", &|out| {
            format!("{crane} export --insecure {host}/bench/base:latest - | {tar2sqfs} {out}")
        }),
        candidate("apptainer build zstd", &[apptainer], true, "", &|out| {
            format!(
                "APPTAINER_NOHTTPS=1 APPTAINER_DISABLE_CACHE=1 {apptainer} -q build -F \
                 --mksquashfs-args '{mksquashfs}' {out} docker://{host}/bench/base:latest"
            )
        }),
        candidate("apptainer pull", &[apptainer], true, "", &|out| {
            format!(
                "APPTAINER_NOHTTPS=1 {apptainer} -q pull -F --disable-cache {out} \
                 docker://{host}/bench/base:latest"
            )
        }),
        candidate(
            "umoci+mksquashfs",
            &[umoci, "mksquashfs"],
            false,
            &format!("rm -rf {at}/bundle"),
            &|out| {
                format!(
                    "{umoci} unpack --rootless --image {at}/oci:bench {at}/bundle >/dev/null && \
                     mksquashfs {at}/bundle/rootfs {out} -quiet -no-progress -noappend \
                     -processors 2 {mksquashfs}"
                )
            },
        ),
        // what any conversion of this image has to do, by programs that do one thing; openssl uses the
        // processor's instructions for it, not every sha256sum does
        candidate("part: sha256 of blobs", &["openssl"], false, "", &|_| {
            format!("openssl dgst -sha256 {blobs}")
        }),
        candidate(
            "part: sha256 of tars",
            &["openssl"],
            false,
            &format!("test -e {at}/tars || ({tars}) >{at}/tars"),
            &|_| format!("openssl dgst -sha256 {at}/tars"),
        ),
        candidate("part: inflate", &["libdeflate-gunzip"], false, "", &|_| {
            format!("for blob in {blobs}; do libdeflate-gunzip -c <$blob; done >/dev/null")
        }),
        candidate("part: tar2sqfs", &["tar2sqfs", crane], true, &flatten, &|out| {
            format!("{tar2sqfs} {out} <{flat}")
        }),
    ]);
    all
}
