//! How the image and files get to a job, and what it leaves: `--delivery`, `--exe`, `--input`, `--output`. The Slurm
//! is *simulated*. `htcondor_whole.rs` shows a real engine's transfer.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::simulated::{Simulated, receipt};
use crate::support::{Home, Server, read_json};

#[test]
fn files_go_to_the_job_and_what_it_leaves_is_listed() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    home.mkdir("build");
    let exe = home
        .write("build/analyse", "#!/bin/sh\ncat in/run.txt >all.out; echo \"$1\" >log; exit 7\n");
    fs::set_permissions(&exe, fs::Permissions::from_mode(0o755)).unwrap();
    home.write("here/events.txt", "1 2 3\n");
    let submit = [
        "submit",
        "--wait",
        "--exe",
        "../build/analyse",
        "--input",
        "events.txt:in/run.txt",
        "--output",
        "*.out",
        &image,
        "seven",
    ];
    let answer = home.run(&submit).exits(7);
    let job = answer.stdout.trim().to_owned();
    let receipt = receipt(&home, &job);
    assert_eq!(fs::read_to_string(home.job(&job).join("work/all.out")).unwrap(), "1 2 3\n");
    let outputs = receipt["outputs"].as_array().unwrap();
    let brief: Vec<_> = outputs.iter().map(|o| (&o["path"], &o["size"])).collect();
    assert_eq!(brief, [(&"all.out".into(), &6.into()), (&"log".into(), &6.into())], "{receipt}");
    let sum = outputs[0]["sha256"].as_str().unwrap();
    assert_eq!(home.ok(&["fetch", &job, "-o", "got"]), "got/all.out");
    assert_eq!(fs::read_to_string(home.path("here/got/all.out")).unwrap(), "1 2 3\n");
    assert_eq!(home.ok(&["fetch", &job, "--all", "-o", "got"]), "got/all.out\ngot/log");
    assert!(sum.len() == 71 && outputs[1].get("sha256").is_none(), "{receipt}");
    assert!(receipt["peak_memory"].as_u64().unwrap() > 100_000, "{receipt}");
    assert!(receipt["cpu_ms"].is_u64(), "{receipt}");
    assert_eq!(receipt["delivery"], "shared");
    // the worker that the script compared
    let plan = read_json(&home.job(&job).join("control/plan.json"));
    assert_eq!(receipt["worker"], plan["worker"]);
    assert!(receipt["worker"].as_str().unwrap().starts_with("sha256:"), "{receipt}");
    // the same from a job file
    let file = format!(
        "image = \"{image}\"\ncommand = [\"seven\"]\nexe = \"../build/analyse\"\ndelivery = \"shared\"\n\
         input = [\"events.txt:in/run.txt\"]\noutput = \"*.out\"\n"
    );
    home.write("here/job.toml", &file);
    let same = home.run(&["submit", "-f", "job.toml", "--wait"]).exits(7).stdout.trim().to_owned();
    let same = self::receipt(&home, &same);
    assert_eq!((&same["outputs"][0]["sha256"], &same["delivery"]), (&sum.into(), &"shared".into()));
    home.write("here/bad.toml", "delivery = \"mail\"\n");
    home.run(&["submit", "-f", "bad.toml", &image, "true"])
        .fails(2, &["bad.toml", "\"delivery\"", "auto, shared, file, transfer, pull, cvmfs, lfn"]);
    // it is repeated with the same files, and declares the same output
    home.write("here/events.txt", "other\n");
    let again = home.run(&["rerun", "--wait", &job]).exits(7).stdout.trim().to_owned();
    let repeated = self::receipt(&home, &again);
    assert_eq!(repeated["outputs"][0]["sha256"], sum, "{repeated}");
}

#[test]
fn run_uses_files_where_they_are_and_lists_what_is_new() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    home.write("here/old", "old");
    home.run(&["run", "--output", "old", &image, "--", "sh", "-c", "echo >new; echo x >old"])
        .exits(0);
    let job = fs::read_dir(home.jobs()).unwrap().flatten().map(|e| e.file_name());
    let job = job.filter_map(|n| n.into_string().ok()).find(|n| n.len() == 26).unwrap();
    let receipt = receipt(&home, &job);
    let names: Vec<_> = receipt["outputs"].as_array().unwrap().iter().map(|o| &o["path"]).collect();
    assert_eq!(names, ["old", "new"], "{receipt}");
    // below `run` the worker reads its own program
    assert!(receipt["worker"].as_str().unwrap().starts_with("sha256:"), "{receipt}");
    // nothing is copied into the user's own directory
    home.mkdir("build");
    home.write("build/tool", "#!/bin/sh\n");
    home.run(&["run", "--exe", "../build/tool", &image])
        .fails(2, &["--exe", "nothing is copied", "hint:"]);
    home.run(&["run", "--input", "../build/tool", &image, "true"]).fails(2, &["--input", "hint:"]);
    assert!(!home.path("here/tool").exists());
}

#[test]
fn what_does_not_go_together_is_a_usage_error() {
    let server = Server::with_image();
    let mut home = Home::logged_in(&server);
    let image = server.name(":v1");
    let _slurm = Simulated::new(&mut home);
    let sif = home.ok(&["convert", &image, "-o", "own.sif"]);
    drop(sif);
    let submit = |flags: &[&str], words: &[&str]| {
        home.run(&[&["submit"], flags].concat()).fails(2, words);
    };
    submit(&["--delivery", "mail", &image, "true"], &["auto, shared, file, transfer"]);
    submit(&["--delivery", "transfer", &image, "true"], &["on this machine", "hint:"]);
    submit(&["--backend", "slurm", "--delivery", "transfer", &image, "true"], &["brings no files"]);
    submit(&["--delivery", "file", &image, "true"], &["not a .sif file", "hint:"]);
    submit(&["--delivery", "shared", "./own.sif", "true"], &["file that you named", "hint:"]);
    submit(&["--exe", "lost", &image], &["--exe", "no such file"]);
    submit(&["--input", "a:../b", &image, "true"], &["below the working directory"]);
    submit(&["--output", "/etc/*", &image, "true"], &["below the working directory"]);
    home.write("here/a", "");
    submit(&["--input", "a:x", "--input", "own.sif:x", &image, "true"], &["two files would be x"]);
    let dir = home.mkdir("other").display().to_string();
    submit(
        &["--backend", "htcondor", "--delivery", "transfer", "--workdir", &dir, &image, "true"],
        &["--workdir", "hint:"],
    );
    // auto says why where it is asked for
    let dry = home.run(&["submit", "--dry-run", "--backend", "slurm", &image, "true"]).exits(0);
    assert!(dry.stderr.contains("delivery shared: workers are taken to see the store"), "{dry}");
    let dry =
        ["submit", "--dry-run", "--backend", "htcondor", "--delivery", "transfer", &image, "true"];
    let dry = home.run(&dry).exits(0);
    assert!(dry.stderr.contains("delivery transfer: htcondor brings"), "{dry}");
    assert!(dry.stdout.contains("should_transfer_files = YES"), "{dry}");
    // where the configuration says that workers see no files of this machine
    let config = home.path("config/moorline/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    let apart = "[backend.htcondor]\nshared_files = false\n[backend.slurm]\nshared_files = false\n";
    fs::write(config, text + apart).unwrap();
    let dry = home.run(&["submit", "--dry-run", "--backend", "htcondor", &image, "true"]).exits(0);
    let why = "delivery transfer: backend.htcondor.shared_files says that workers see no files";
    assert!(dry.stderr.contains(why), "{dry}");
    assert!(dry.stdout.contains("should_transfer_files = YES"), "{dry}");
    submit(&["--backend", "slurm", &image, "true"], &["backend.slurm.shared_files", "hint:"]);
}

/// A file on a disk of this machine only is copied beside the jobs, which nodes see; `/dev/shm` stands for that disk.
#[test]
fn a_file_that_nodes_do_not_see_is_shipped() {
    let server = Server::with_image();
    let mut home = Home::logged_in(&server);
    let image = server.name(":v1");
    let slurm = Simulated::new(&mut home);
    let disk = tempfile::tempdir_in("/dev/shm").unwrap();
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    assert_ne!(device(disk.path()), device(&home.path("")), "the jobs lie in memory");
    let sif: PathBuf = disk.path().join("own.sif");
    home.ok(&["convert", &image, "-o", sif.to_str().unwrap()]);
    let answer =
        home.run(&["submit", "--backend", "slurm", sif.to_str().unwrap(), "--", "true"]).exits(0);
    assert!(
        answer.stderr.contains("delivery file: your file lies on a disk of this machine"),
        "{answer}"
    );
    let job = answer.stdout.trim().to_owned();
    let receipt = receipt(&home, &job);
    slurm.says("COMPLETED", "0:0");
    assert_eq!(
        (&receipt["delivery"], &receipt["exit_code"]),
        (&"file".into(), &0.into()),
        "{receipt}"
    );
    let copy = home.job(&job).join("image.sif");
    let plan = read_json(&home.job(&job).join("control/plan.json"));
    assert_eq!(plan["job"]["delivery"]["place"], copy.to_str().unwrap());
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&sif).unwrap());
    // it lasts longer than the file that was named
    fs::remove_file(&sif).unwrap();
    home.run(&["audit", "job", &job]).exits(0);
    home.run(&["rerun", "--backend", "local", "--wait", &job]).exits(0);
}
