//! On which terms a program runs in the built-in container: ENTRYPOINT, a layer to write to, what the submitter handed
//! over, graphics processors. `runtimes/` has what all runtimes do alike.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use moorline::execute::find_program;
use moorline::job::Entrypoint;
use moorline::worker::{PROXY_FILE, Qualifier, SizeLimit, TICKETS_FILE, exit};

use crate::support::*;

#[test]
fn the_entrypoint_takes_the_command_only_where_it_is_asked_for() {
    if !squashfs_tools("the_entrypoint_takes_the_command_only_where_it_is_asked_for") {
        return;
    }
    let image = Some(Entrypoint::Image);
    let said = |job: &Job| {
        let done = job.run();
        assert_eq!(done.code, 0, "{}", done.stderr);
        done.stdout
    };
    for (words, entrypoint, expected) in [
        (&["a  b", "$HOME"][..], image, "hello from a  b $HOME\n"),
        (&[], image, "hello from cmd\n"),
        (&["hello", "x"], Some(Entrypoint::None), "hello x\n"),
        (&["hello", "x"], None, "hello x\n"),
    ] {
        let mut job = Job::new(User::Me, words);
        job.plan.job.terms.entrypoint = entrypoint;
        assert_eq!(said(&job), expected, "{words:?} {entrypoint:?}");
    }
    // [""] is how an image takes its base's ENTRYPOINT back
    let path = world().dir.path().join("reset.sif");
    let config = r#"{"Env":["PATH=/bin:/opt/tools"],"Entrypoint":[""],"Cmd":["hello","cmd"]}"#;
    let digest = make_sif(tree(), Some(config), &path);
    for (words, expected) in [(&[][..], "hello cmd\n"), (&["hello", "x"], "hello x\n")] {
        let mut job = Job::new(User::Me, words);
        job.set_image(digest, path.clone());
        job.plan.job.terms.entrypoint = image;
        assert_eq!(said(&job), expected);
    }
}

/// What a program wrote into its image goes with the job, is counted, and qualifies a *Match*.
#[test]
fn a_layer_over_the_image_can_be_written_to() {
    if !squashfs_tools("a_layer_over_the_image_can_be_written_to") {
        return;
    }
    for user in users() {
        let script = "echo new >/opt/tools/new; echo changed >/opt/tools/hello; cat /opt/tools/*; \
            rm -r /opt/tools && ls /opt; mkdir /fresh && echo of root >/fresh/file && cat /fresh/file; \
            (echo x >/etc/hosts) 2>/dev/null || echo machine; id -un; \
            mkdir /fresh/closed && touch /fresh/closed/file; chmod 0 /fresh/closed 2>/dev/null; \
            ls -d /tmp /work_dir /proc/self /.moorline-outside 2>/dev/null; ls -l /etc/resolv.conf >link";
        let mut job = Job::sh(user, script);
        job.plan.job.terms.scratch_mib = Some(64);
        let done = job.run();
        let name = if user == User::Nobody { "nobody" } else { "root" };
        if am_root() {
            let expected =
                format!("changed\nnew\nof root\nmachine\n{name}\n/proc/self\n/tmp\n/work_dir\n");
            assert_eq!(done.stdout, expected, "{user:?}: {}", done.stderr);
        }
        assert_eq!(done.code, 0, "{user:?}: {}", done.stderr);
        let link = fs::read_to_string(job.path("work/link")).unwrap();
        assert!(link.starts_with('-'), "the machine's file took the link's place: {link}");
        let receipt = done.receipt.unwrap();
        let layer = receipt.conditions.scratch.clone().unwrap();
        assert_eq!((layer.size, layer.limit), (64 << 20, SizeLimit::Watched));
        assert!(layer.used.is_some_and(|used| (1..1 << 20).contains(&used)), "{layer:?}");
        assert_eq!(receipt.qualifiers(), [Qualifier::Writable]);
        // the next job has the image as it was, and nothing stays on the disk
        let next = Job::new(user, &["hello", "again"]).run();
        assert_eq!(next.stdout, "hello again\n", "{}", next.stderr);
        assert_eq!(next.receipt.unwrap().conditions.scratch, None);
        let left = fs::read_dir(job.path("tmp")).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("-job-")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_layer_that_grows_too_large_ends_the_job() {
    if !squashfs_tools("a_layer_that_grows_too_large_ends_the_job") {
        return;
    }
    // 1 MiB of text, three times, and then it waits until it is told to end
    let script = "s=x; i=0; while [ $i -lt 20 ]; do s=$s$s; i=$((i+1)); done; \
        for n in 1 2 3; do echo $s >/large-$n; done; echo written; exec sleep 1000";
    let mut job = Job::sh(User::Me, script);
    job.plan.job.terms.scratch_mib = Some(1);
    let done = job.run();
    assert_eq!((done.code, done.stdout.as_str()), (exit::LIMIT, "written\n"), "{}", done.stderr);
    let receipt = done.receipt.unwrap();
    let said = "wrote more than 1 MiB into its image";
    assert!(receipt.notes.iter().any(|note| note.contains(said)), "{:?}", receipt.notes);
    assert!(receipt.conditions.scratch.unwrap().used.unwrap() > 3 << 20);

    let mut job = Job::new(User::Me, &["hello"]);
    job.plan.job.terms.scratch_mib = Some(1 << 40);
    let done = job.run();
    assert_eq!((done.code, done.stdout.as_str()), (exit::NO_SPACE, ""), "{}", done.stderr);
    assert!(done.stderr.contains("--scratch"), "{}", done.stderr);
}

/// A grid proxy is a private copy that goes with the job; a socket of an agent is the agent's own.
#[test]
fn what_was_handed_over_is_seen_by_the_program_alone() {
    if !squashfs_tools("what_was_handed_over_is_seen_by_the_program_alone") {
        return;
    }
    for user in users() {
        let script = "cat $X509_USER_PROXY; stat -c '%a %F' $X509_USER_PROXY $SSH_AUTH_SOCK; \
            (echo x >$X509_USER_PROXY) 2>/dev/null || echo read-only; echo $KRB5CCNAME; \
            echo $X509_USER_PROXY $SSH_AUTH_SOCK";
        let mut job = Job::sh(user, script);
        let terms = &mut job.plan.job.terms;
        (terms.proxy, terms.ssh_agent, terms.kerberos) = (true, true, true);
        for name in [PROXY_FILE, TICKETS_FILE] {
            fs::write(job.path("control").join(name), "geheim\n").unwrap();
            let private = fs::Permissions::from_mode(0o600);
            fs::set_permissions(job.path("control").join(name), private).unwrap();
        }
        let _agent = UnixListener::bind(job.path("agent")).unwrap();
        job.plan.agent = Some(job.path("agent"));
        let done = job.run();
        let lines: Vec<&str> = done.stdout.lines().collect();
        assert_eq!(lines[..2], ["geheim", "600 regular file"], "{user:?}: {}", done.stderr);
        assert!(lines[2].ends_with(" socket"), "{lines:?}");
        let rest = [
            "read-only",
            "FILE:/run/moorline/krb5cc",
            "/run/moorline/x509up /run/moorline/ssh-agent",
        ];
        assert_eq!(lines[3..], rest);
        let control: Vec<_> = fs::read_dir(job.path("control")).unwrap().collect();
        for entry in control {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            assert!(!text.contains("geheim"), "{text}");
        }
        // another attempt finds that they are gone
        let done = job.run();
        assert_eq!(done.code, 214);
        assert!(done.stderr.contains("submit it again with --krb"), "{}", done.stderr);
    }
}

/// A worker that sees the files of NVIDIA's driver, which no machine of ours has: **simulated**, in a mount namespace of its own.
/// The nodes are `/dev/null` by other names, the library is a program.
const DRIVER: &str = r#"set -e
    d=$1; shift
    mkdir "$d/dev" "$d/driver" "$d/lib"
    mount -t tmpfs tmpfs "$d/dev"
    for n in null zero full random urandom; do cp -a /dev/$n "$d/dev/"; done
    mkdir "$d/dev/shm" "$d/dev/pts"
    for n in nvidiactl nvidia-uvm nvidia0; do mknod -m 666 "$d/dev/$n" c 1 3; done
    mkdir -p "$d/driver/nvidia/gpus/0000:01:00.0"
    echo "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat" >"$d/driver/nvidia/version"
    printf 'Model: \t NVIDIA A100\nGPU UUID: \t GPU-5ca1ab1e\nDevice Minor: \t 0\n' \
        >"$d/driver/nvidia/gpus/0000:01:00.0/information"
    cp "$MOORLINE" "$d/lib/libcuda.so.535"; ln -s libcuda.so.535 "$d/lib/libcuda.so.1"
    chmod -R go+rX "$d"
    mount --bind "$d/cache" /etc/ld.so.cache
    mount --bind "$d/driver" /proc/driver
    mount --bind "$d/dev" /dev
    exec "$@""#;

/// A cache of the loader with one library.
fn cache(name: &str, path: &str) -> Vec<u8> {
    let mut bytes = b"glibc-ld.so.cache1.1".to_vec();
    bytes.extend(1_u32.to_ne_bytes());
    bytes.resize(48 + 24, 0);
    let text = u32::try_from(bytes.len()).unwrap();
    let behind = text + u32::try_from(name.len()).unwrap() + 1;
    bytes[52..56].copy_from_slice(&text.to_ne_bytes());
    bytes[56..60].copy_from_slice(&behind.to_ne_bytes());
    for text in [name, path] {
        bytes.extend(text.bytes().chain([0]));
    }
    bytes
}

#[test]
fn simulated_graphics_processors_reach_the_program() {
    let test = "simulated_graphics_processors_reach_the_program";
    let there =
        am_root() && Path::new("/proc/driver").exists() && Path::new("/etc/ld.so.cache").exists();
    if !squashfs_tools(test) || !have("root", test, there) {
        return;
    }
    for user in users() {
        let script = "ls /dev/nvidia*; echo $LD_LIBRARY_PATH; ls /run/moorline/gpu/lib; \
            echo x >/dev/nvidia0 && echo open; (echo x >/run/moorline/gpu/lib/libcuda.so.1) 2>/dev/null || echo ro";
        let mut job = Job::sh(user, script);
        job.plan.job.terms.gpu = true;
        job.plan.job.env.push("LD_LIBRARY_PATH=/mine".parse().unwrap());
        let simulated = tempfile::Builder::new().tempdir_in(world().dir.path()).unwrap();
        let dir = simulated.path();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        let library = dir.join("lib/libcuda.so.1");
        fs::write(dir.join("cache"), cache("libcuda.so.1", library.to_str().unwrap())).unwrap();
        let worker = job.worker();
        let mut outer = Command::new(find_program("unshare").unwrap());
        outer
            .args(["--mount", "--propagation", "private", "sh", "-c", DRIVER, "sh"])
            .arg(dir)
            .arg(worker.get_program())
            .args(worker.get_args())
            .env_clear()
            .env("MOORLINE", world().program())
            .current_dir("/")
            .stdin(Stdio::null());
        for (name, value) in worker.get_envs() {
            if let Some(value) = value {
                outer.env(name, value);
            }
        }
        outer.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let done = job.done(&outer.output().unwrap());
        let expected = "/dev/nvidia-uvm\n/dev/nvidia0\n/dev/nvidiactl\n/mine:/run/moorline/gpu/lib\n\
                        libcuda.so.1\nopen\nro\n";
        assert_eq!(done.stdout, expected, "{user:?}: {}", done.stderr);
        let receipt = done.receipt.unwrap();
        let gpus = receipt.conditions.gpu.clone().unwrap();
        assert_eq!((gpus.kind.as_str(), gpus.driver.as_deref()), ("nvidia", Some("535.104.05")));
        assert_eq!(gpus.devices[0].uuid.as_deref(), Some("GPU-5ca1ab1e"));
        assert!(receipt.qualifiers().is_empty(), "{:?}", receipt.conditions.covers);
    }
}

#[test]
fn without_a_graphics_processor_nothing_starts() {
    let test = "without_a_graphics_processor_nothing_starts";
    let none = !Path::new("/proc/driver/nvidia").exists() && !Path::new("/dev/kfd").exists();
    if !squashfs_tools(test) || !have("no-gpu", test, none) {
        return;
    }
    let mut job = Job::sh(User::Me, "touch started");
    job.plan.job.terms.gpu = true;
    let done = job.run();
    assert_eq!(done.code, exit::RUNTIME_FAILED, "{}", done.stderr);
    let receipt = done.receipt.unwrap();
    let said = "the job wants a GPU, and gets none here: no driver of NVIDIA or AMD is loaded";
    assert_eq!(why(&receipt), said);
    assert!(done.stderr.contains("leave --gpu out"), "{}", done.stderr);
    assert!(!job.path("work/started").exists() && receipt.conditions.gpu.is_none());
}
