//! An image that is served to its container by a process of ours: whatever somebody does to its file, the program gets
//! the bytes that were pinned, or an error.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use moorline::job::{Delivery, Grade, Measured};
use moorline::oci::{SifDigest, TreeRoot};
use moorline::pin::Image;
use moorline::sif::SifReader;
use moorline::sif::hash_tree::Builder;

use crate::support::*;

/// Files of this image that no other file shares a block with, and their length.
const FILES: usize = 12;
const LENGTH: usize = 100_000;

/// Bytes that do not compress, another for each file.
fn content(number: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ (number as u64) << 32;
    (0..LENGTH)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

struct Sealed {
    path: PathBuf,
    bytes: Vec<u8>,
    digest: SifDigest,
    root: TreeRoot,
}

/// An image with a hash tree, made once.
fn sealed() -> &'static Sealed {
    static SEALED: OnceLock<Sealed> = OnceLock::new();
    SEALED.get_or_init(|| {
        let dir = world().dir.path();
        let root = dir.join("sealed-tree");
        let copied = Command::new("cp").arg("-a").args([tree(), &root]).status().unwrap();
        assert!(copied.success());
        fs::create_dir(root.join("data")).unwrap();
        for number in 0..FILES {
            fs::write(root.join(format!("data/{number}")), content(number)).unwrap();
        }
        fs::create_dir(root.join("many")).unwrap();
        for number in 0..3000 {
            fs::write(root.join(format!("many/{number}")), format!("{number}\n")).unwrap();
        }
        fs::write(root.join("closed"), "closed\n").unwrap();
        fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o200)).unwrap();
        // 20 MB with a hole: larger than what has no marks
        let large = File::create(root.join("large")).unwrap();
        large.write_all_at(b"front", 0).unwrap();
        large.write_all_at(&content(99), 19_000_000).unwrap();
        let path = dir.join("sealed.sif");
        let config = r#"{"Env":["PATH=/usr/bin:/bin:/opt/tools"],"Entrypoint":["hello"]}"#;
        let (digest, root) = make_sealed_sif(&root, config, &path);
        let bytes = fs::read(&path).unwrap();
        Sealed { path, bytes, digest, root }
    })
}

/// The job with this file as its image, which is pinned to what it was.
fn pinned(mut job: Job, place: &Path) -> Job {
    let (digest, tree) = (sealed().digest, Some(sealed().root));
    job.plan.job.image = Image::Sif { pin: None, manifest: None, digest, recipe: None, tree };
    job.plan.job.delivery = Delivery::Shared { place: place.to_owned() };
    job
}

/// The job with a file of its own that others write to.
fn own(job: Job) -> (Job, PathBuf) {
    let path = job.path("own.sif");
    fs::write(&path, &sealed().bytes).unwrap();
    (pinned(job, &path), path)
}

pub fn can(test: &str) -> bool {
    squashfs_tools(test) && have("fuse", test, can_serve())
}

/// Gives this machine's `/dev/fuse` to everybody, in one mount namespace.
const LOOSEN: &str = "mount -t tmpfs tmpfs \"$1\" && mknod \"$1/fuse\" c 10 229 && \
    chmod 666 \"$1/fuse\" && mount --bind \"$1/fuse\" /dev/fuse && umount -l \"$1\" && shift && exec \"$@\"";

/// The worker's command. An ordinary user can open `/dev/fuse` in a mount namespace of its own only, where this machine
/// keeps it for root.
fn worker(job: &Job) -> Command {
    let worker = job.worker();
    if job.user == User::Me {
        return worker;
    }
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", LOOSEN, "sh", "/mnt"])
        .arg(worker.get_program())
        .args(worker.get_args())
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null());
    for (name, value) in worker.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

pub fn run(job: &Job) -> Done {
    job.done(&worker(job).output().unwrap())
}

#[test]
fn the_image_is_served_and_each_block_is_counted() {
    if !can("the_image_is_served_and_each_block_is_counted") {
        return;
    }
    for user in users() {
        let script = "hello; id -u; cat /data/3 >three; ls /many | wc -l 2>/dev/null; cat /many/2999; \
            ls -d /many/* >many; stat -c '%a %u %F' /closed /tmp /data; ls -l /etc/resolv.conf >link; \
            tail -c 100000 /large 2>/dev/null >end || dd if=/large of=end bs=1 2>/dev/null; \
            cat /large >large; ls /nothing; touch /data/new; echo x >/opt/tools/hello; \
            grep -c fuse.moorline /proc/self/mounts >/dev/null 2>&1; cat /proc/self/mountinfo >mounts";
        let job = pinned(Job::sh(user, script), &sealed().path);
        let done = run(&job);
        let lines: Vec<&str> = done.stdout.lines().collect();
        let uid = if user == User::Nobody { NOBODY } else { rustix::process::getuid().as_raw() };
        assert_eq!(lines.first(), Some(&"hello "), "{} {}", done.stdout, done.stderr);
        assert!(lines.contains(&"2999") && lines.contains(&uid.to_string().as_str()), "{lines:?}");
        assert!(lines.contains(&format!("200 {uid} regular file").as_str()), "{lines:?}");
        assert!(fs::read(job.path("work/three")).unwrap() == content(3));
        assert_eq!(fs::read_to_string(job.path("work/many")).unwrap().lines().count(), 3000);
        let large = fs::read(job.path("work/large")).unwrap();
        assert!(large.len() == 19_100_000 && large.starts_with(b"front"));
        assert!(large[19_000_000..] == content(99) && large[5..19_000_000].iter().all(|b| *b == 0));
        let mounts = fs::read_to_string(job.path("work/mounts")).unwrap();
        let ours = mounts.lines().filter(|line| line.contains("fuse.moorline"));
        assert!(ours.clone().count() > 0, "{mounts}");
        for line in ours {
            for flag in ["ro", "nosuid", "nodev"] {
                assert!(line.split([' ', ',']).any(|word| word == flag), "{line}");
            }
        }
        let receipt = done.receipt.unwrap();
        assert_eq!(receipt.rootfs.as_deref(), Some("served"), "{:?}", receipt.notes);
        assert_eq!(receipt.evidence.grade, Grade::VerifiedOnRead);
        assert_eq!(receipt.evidence.measured, Some(Measured::Tree(sealed().root)));
        let served = receipt.conditions.served.clone().unwrap();
        assert!(served.read > 10 && (served.refused, served.failed) == (0, 0), "{served:?}");
        assert_eq!(served.tree, sealed().root);
        assert!(receipt.qualifiers().is_empty());
    }
}

#[test]
fn the_programs_own_code_passes_and_nothing_stays() {
    if !can("the_programs_own_code_passes_and_nothing_stays") {
        return;
    }
    // mount points need not be UTF-8
    let mounted = || {
        let mounts = fs::read("/proc/self/mountinfo").unwrap();
        String::from_utf8_lossy(&mounts).contains("fuse.moorline")
    };
    let mut job = pinned(Job::sh(User::Me, "exit 7"), &sealed().path);
    job.plan.job.terms.require = Some(Grade::VerifiedOnRead);
    let done = run(&job);
    assert_eq!(done.code, 7, "{}", done.stderr);
    assert!(!mounted());
    // killed: the kernel takes the mount away with the namespace, and the server ends with it
    let job = pinned(Job::sh(User::Me, "touch ready; sleep 1000"), &sealed().path);
    let mut child = worker(&job).spawn().unwrap();
    until(|| job.path("work/ready").exists());
    let server = server_of(child.id()).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    until(|| !Path::new(&format!("/proc/{server}")).exists());
    assert!(!mounted());
}

/// The process that serves a worker's image.
fn server_of(worker: u32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{worker}/task/{worker}/children")).ok()?;
    children.split_whitespace().find_map(|pid| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        words.split(|b| *b == 0).any(|word| word == b"image-server").then(|| pid.parse().ok())?
    })
}

#[test]
fn a_killed_server_hangs_nobody() {
    if !can("a_killed_server_hangs_nobody") {
        return;
    }
    let script = "trap 'exit 9' TERM; touch ready; while :; do cat /data/1 >/dev/null 2>&1; sleep 0.05; done";
    let mut job = pinned(Job::sh(User::Me, script), &sealed().path);
    job.plan.job.terms.grace = Some(1);
    let child = worker(&job).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until(|| job.path("work/ready").exists());
    let server = rustix::process::Pid::from_raw(server_of(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(server, rustix::process::Signal::KILL).unwrap();
    let begun = std::time::Instant::now();
    let done = job.done(&child.wait_with_output().unwrap());
    assert!(begun.elapsed().as_secs() < 30);
    assert_ne!(done.code, 0);
    let receipt = done.receipt.unwrap();
    // what it counted went with it: nothing is claimed
    assert_eq!(receipt.evidence.grade, Grade::None);
    assert!(receipt.notes.iter().any(|note| note.contains("server was killed")), "{receipt:?}");
}

/// Where a file's bytes lie in the SIF: they are stored as they are.
fn place_of(number: usize) -> usize {
    let content = content(number);
    let at = memchr::memmem::find(&sealed().bytes, &content[..64]);
    at.expect("it is stored uncompressed")
}

/// What somebody does to a file.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Handle,
    Mapping,
    Tree,
    Cut,
    Grown,
}

impl Harm {
    /// Does it to the block that holds `at`.
    fn be_done(self, path: &Path, at: usize) {
        let file = File::options().write(true).open(path).unwrap();
        let flipped = [sealed().bytes[at] ^ 0x55];
        match self {
            Self::Handle => file.write_all_at(&flipped, at as u64).unwrap(),
            Self::Mapping => {
                let text = "import mmap, sys\n\
                    with open(sys.argv[1], 'r+b') as f:\n\
                    \x20 m = mmap.mmap(f.fileno(), 0)\n  m[int(sys.argv[2])] = int(sys.argv[3])\n";
                let done = Command::new("python3")
                    .args(["-c", text])
                    .arg(path)
                    .args([at.to_string(), flipped[0].to_string()])
                    .status()
                    .unwrap();
                assert!(done.success());
            }
            // a tree that fits the changed bytes: its root is another
            Self::Tree => {
                let mut bytes = sealed().bytes.clone();
                bytes[at] = flipped[0];
                let sif = SifReader::open(std::io::Cursor::new(&bytes)).unwrap();
                let partition = sif.partition().unwrap();
                let mut builder = Builder::new(partition.offset);
                builder
                    .update(&bytes[..usize::try_from(partition.offset + partition.size).unwrap()]);
                let built = builder.finish();
                let tree = bytes.len() - built.bytes.len();
                bytes[tree..].copy_from_slice(&built.bytes);
                file.write_all_at(&bytes, 0).unwrap();
            }
            Self::Cut => file.set_len(at as u64).unwrap(),
            Self::Grown => file.set_len(sealed().bytes.len() as u64 + 100_000).unwrap(),
        }
    }
}

/// One job reads file after file; each was changed just before, in another of its blocks. It goes on when it is told to
/// end, as far as its grace allows.
#[test]
fn a_program_that_runs_never_sees_a_changed_byte() {
    if !can("a_program_that_runs_never_sees_a_changed_byte") {
        return;
    }
    for user in users() {
        let script = format!(
            "trap '' TERM; i=0; while [ $i -lt {FILES} ]; do while ! [ -e go.$i ]; do sleep 0.02; done; \
             cat /data/$i >out.$i 2>/dev/null; echo $? >code.$i; i=$((i+1)); done; exit 3"
        );
        let (mut job, path) = own(Job::sh(user, &script));
        job.plan.job.terms.grace = Some(120);
        let child = worker(&job).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let harms = [
            Harm::Grown,
            Harm::Handle,
            Harm::Mapping,
            Harm::Handle,
            Harm::Mapping,
            Harm::Tree,
            Harm::Cut,
        ];
        // files lie one behind the other: the last is the first to be cut
        for number in 0..FILES {
            let harm = harms[number % harms.len()];
            // before any other byte of it was read, in each of its seven blocks in turn
            let at = place_of(number) + (number % 7) * 14_000 + 100;
            harm.be_done(&path, at);
            fs::write(job.path(&format!("work/go.{number}")), "").unwrap();
            until(|| {
                let code = fs::read_to_string(job.path(&format!("work/code.{number}")));
                code.is_ok_and(|code| code.ends_with('\n'))
            });
            let seen = fs::read(job.path(&format!("work/out.{number}"))).unwrap();
            let code = fs::read_to_string(job.path(&format!("work/code.{number}"))).unwrap();
            let right = content(number);
            assert!(right.starts_with(&seen), "{user:?} {harm:?}: file {number} was seen changed");
            if matches!(harm, Harm::Grown) {
                assert!(seen == right && code == "0\n", "{harm:?}: {code}");
            } else {
                assert!(seen != right && code != "0\n", "{user:?} {harm:?} {number}: {code}");
            }
            // as it was, for the next one
            let file = File::options().write(true).open(&path).unwrap();
            file.write_all_at(&sealed().bytes, 0).unwrap();
            file.set_len(sealed().bytes.len() as u64).unwrap();
        }
        let done = job.done(&child.wait_with_output().unwrap());
        assert_eq!(done.code, 211, "{}", done.stderr);
        let receipt = done.receipt.unwrap();
        assert_eq!(receipt.exit_code, 211);
        assert_eq!(receipt.evidence.grade, Grade::VerifiedOnRead);
        assert!(receipt.conditions.served.as_ref().unwrap().refused >= 10, "{receipt:?}");
        assert!(receipt.notes.iter().any(|note| note.contains("ended with 3")), "{receipt:?}");
    }
}

/// A refused block ends the job by itself, with TERM and then KILL.
#[test]
fn a_refused_block_ends_the_job() {
    if !can("a_refused_block_ends_the_job") {
        return;
    }
    let script = "trap '' TERM; touch ready; while ! [ -e go ]; do sleep 0.02; done; cat /data/5; \
        while :; do sleep 0.1; done";
    let (mut job, path) = own(Job::sh(User::Me, script));
    job.plan.job.terms.grace = Some(1);
    let child = worker(&job).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until(|| job.path("work/ready").exists());
    Harm::Handle.be_done(&path, place_of(5) + 50_000);
    fs::write(job.path("work/go"), "").unwrap();
    let done = job.done(&child.wait_with_output().unwrap());
    assert_eq!(done.code, 211, "{}", done.stderr);
    assert!(done.stderr.contains("Input/output error"), "{}", done.stderr);
}

/// Before the start: what a container is made of decides, each part of it.
#[test]
fn a_file_that_was_changed_before_does_not_start() {
    if !can("a_file_that_was_changed_before_does_not_start") {
        return;
    }
    let bytes = &sealed().bytes;
    let sif = SifReader::open(std::io::Cursor::new(bytes)).unwrap();
    let of = |n: u64| usize::try_from(n).unwrap();
    let partition = of(sif.partition().unwrap().offset);
    let end = partition + of(sif.partition().unwrap().size);
    let tree = of(sif.descriptors().last().unwrap().offset);
    for (at, what) in [
        (60, "header"),
        (4096 + 20, "descriptor"),
        (32_180, "configuration"),
        (partition + 40, "superblock"),
        (end - 5000, "tables"),
        (tree, "tree's magic"),
        (tree + 80, "tree's top"),
        (tree + 110, "tree's first hash"),
    ] {
        let (job, path) = own(Job::sh(User::Me, "echo ran; cat /opt/tools/hello"));
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        fs::write(&path, bad).unwrap();
        let done = run(&job);
        assert_eq!(done.code, 211, "{what}: {} {}", done.stdout, done.stderr);
        assert!(done.stdout.is_empty(), "{what}: {}", done.stdout);
        // the audit finds out that it was another file: by its digest, or by the blocks that were refused
        let receipt = done.receipt.unwrap();
        let refused = receipt.conditions.served.as_ref().is_some_and(|served| served.refused > 0);
        let other = receipt.evidence.sif().is_some_and(|found| found != sealed().digest);
        assert!(refused || other, "{what}: {receipt:?}");
    }
    // a byte of every page: whatever a program needs first is damaged
    let (job, path) = own(Job::sh(User::Me, "echo ran"));
    let mut bad = bytes.clone();
    bad[partition + 4096..end].iter_mut().step_by(4096).for_each(|byte| *byte ^= 1);
    fs::write(&path, bad).unwrap();
    let done = run(&job);
    assert_eq!((done.code, done.stdout.as_str()), (211, ""), "{}", done.stderr);
    // another image under the pinned root: a tree that fits its own bytes
    let (job, path) = own(Job::sh(User::Me, "echo ran"));
    Harm::Tree.be_done(&path, place_of(0));
    let done = run(&job);
    assert_eq!((done.code, done.stdout.as_str()), (211, ""), "{}", done.stderr);
    // cut in the middle
    let (job, path) = own(Job::sh(User::Me, "echo ran"));
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let done = run(&job);
    assert!(done.code != 0 && done.stdout.is_empty(), "{}", done.stderr);
}

/// Every block of the file, in turn, by what runs in the container: none of its bytes is seen changed.
#[test]
fn no_flipped_block_is_seen() {
    if !can("no_flipped_block_is_seen") {
        return;
    }
    let sif = SifReader::open(std::io::Cursor::new(&sealed().bytes)).unwrap();
    let from = usize::try_from(sif.partition().unwrap().offset).unwrap();
    let size = usize::try_from(sif.partition().unwrap().size).unwrap();
    let script = "cat /data/* /many/7 /etc/passwd 2>/dev/null >out; cat /opt/tools/hello";
    // a job takes a while: a few blocks of all at once, each time others
    let blocks: Vec<usize> = (0..size.div_ceil(16_384)).collect();
    let right: Vec<u8> = {
        let job = pinned(Job::sh(User::Me, script), &sealed().path);
        let done = run(&job);
        assert_eq!(done.code, 0, "{}", done.stderr);
        fs::read(job.path("work/out")).unwrap()
    };
    for some in (0..10).map(|round| blocks.iter().skip(round).step_by(10)) {
        let (mut job, path) = own(Job::sh(User::Me, script));
        job.plan.job.terms.grace = Some(1);
        let mut bad = sealed().bytes.clone();
        for block in some {
            bad[from + (block * 16_384 + 7 * block % 16_384).min(size - 1)] ^= 0x80;
        }
        fs::write(&path, &bad).unwrap();
        let done = run(&job);
        assert!(done.code != 0, "{}", done.stdout);
        assert!(done.stdout.is_empty() || done.stdout.starts_with("#!/bin/sh"), "{}", done.stdout);
        let seen = fs::read(job.path("work/out")).unwrap_or_default();
        // files that were cut leave gaps: whatever came is a run of right bytes
        let mut rest = &right[..];
        for piece in seen.chunks(64) {
            let at = memchr::memmem::find(rest, piece);
            let at = at.or_else(|| memchr::memmem::find(&right, piece));
            let at = at.unwrap_or_else(|| panic!("a piece of {} bytes is in no file", piece.len()));
            rest = &rest[at.min(rest.len())..];
        }
    }
}

/// `/dev/fuse` opens, and the kernel does not mount: the file is hashed, and the receipt says why.
#[test]
fn where_the_mount_is_refused_it_is_measured() {
    let test = "where_the_mount_is_refused_it_is_measured";
    if !squashfs_tools(test) || !have("root", test, am_root()) {
        return;
    }
    // simulated: another device in its place, in one mount namespace
    let refused = |job: &Job| {
        let worker = job.worker();
        let mut command = Command::new("unshare");
        let script = "mount --bind /dev/null /dev/fuse && exec \"$@\"";
        command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
        command.arg(worker.get_program()).args(worker.get_args()).env_clear().stdin(Stdio::null());
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("TMPDIR", job.path("tmp"));
        job.done(&command.output().unwrap())
    };
    for user in users() {
        let mut job = pinned(Job::sh(user, "hello; exit 3"), &sealed().path);
        let done = refused(&job);
        assert_eq!((done.code, done.stdout.as_str()), (3, "hello \n"), "{}", done.stderr);
        let receipt = done.receipt.unwrap();
        assert_eq!(receipt.evidence.grade, Grade::Measured);
        assert_eq!(receipt.evidence.sif(), Some(sealed().digest));
        assert_ne!(receipt.rootfs.as_deref(), Some("served"));
        let note = |text: &str| receipt.notes.iter().filter(|note| note.contains(text)).count();
        assert_eq!(note("not checked on read: mounting the image by FUSE"), 1, "{receipt:?}");
        assert_eq!(receipt.conditions.served, None);
        job.plan.job.terms.require = Some(Grade::Measured);
        assert_eq!(refused(&job).code, 3);
        job.plan.job.terms.require = Some(Grade::VerifiedOnRead);
        let done = refused(&job);
        assert_eq!((done.code, done.stdout.as_str()), (211, ""), "{}", done.stderr);
        assert!(done.stderr.contains("--require measured is possible here"), "{}", done.stderr);
    }
}

/// Without `/dev/fuse`, or for an image without a tree, the whole file is hashed as before.
#[test]
fn where_it_cannot_be_served_it_is_measured() {
    let test = "where_it_cannot_be_served_it_is_measured";
    if !squashfs_tools(test) || !have("root", test, am_root()) {
        return;
    }
    // nobody's /dev/fuse is root's
    let mut job = pinned(Job::sh(User::Nobody, "hello"), &sealed().path);
    job.env.push(("PATH".into(), "/nowhere".into()));
    let done = job.run();
    let receipt = done.receipt.unwrap();
    if File::open("/dev/fuse").unwrap().metadata().unwrap().permissions().mode() & 0o006 == 0 {
        assert_eq!((done.code, done.stdout.as_str()), (0, "hello \n"), "{}", done.stderr);
        assert_eq!(receipt.evidence.sif(), Some(sealed().digest));
        assert_eq!(receipt.rootfs.as_deref(), Some("unpacked"));
        assert!(receipt.notes.iter().any(|n| n.contains("/dev/fuse")), "{:?}", receipt.notes);
        job.plan.job.terms.require = Some(Grade::VerifiedOnRead);
        let done = job.run();
        assert_eq!((done.code, done.stdout.as_str()), (211, ""), "{}", done.stderr);
        for part in ["/dev/fuse cannot be opened", "--require measured is possible here"] {
            assert!(done.stderr.contains(part), "{}", done.stderr);
        }
    }
    let done = Job::sh(User::Me, "hello").run();
    assert_eq!(done.receipt.unwrap().evidence.sif(), Some(image().1));
}

/// A layer over a served image: what is read of it is still checked.
#[test]
fn a_layer_over_a_served_image() {
    if !can("a_layer_over_a_served_image") {
        return;
    }
    for user in users() {
        let script = "cat /data/3 >three; echo more >>/data/4; cat /data/4 >four; rm /data/5 && ls /data/5 2>/dev/null; \
            touch /many/new && ls /many/new; cat /closed 2>/dev/null; echo done";
        let mut job = pinned(Job::sh(user, script), &sealed().path);
        job.plan.job.terms.scratch_mib = Some(64);
        let done = run(&job);
        assert_eq!(done.code, 0, "{user:?}: {}", done.stderr);
        assert!(
            done.stdout.starts_with("/many/new\n"),
            "{user:?}: {} {}",
            done.stdout,
            done.stderr
        );
        assert!(fs::read(job.path("work/three")).unwrap() == content(3));
        let four = fs::read(job.path("work/four")).unwrap();
        assert!(four == [&content(4)[..], b"more\n"].concat(), "{} bytes", four.len());
        let receipt = done.receipt.unwrap();
        assert_eq!(receipt.evidence.grade, Grade::VerifiedOnRead);
        assert!(receipt.conditions.scratch.unwrap().used.unwrap() >= LENGTH as u64);
        assert_eq!(receipt.conditions.served.unwrap().refused, 0);
    }
}
