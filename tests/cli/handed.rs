//! Pipes that the caller hands over on the command line: `<(command)`, `-`. A named pipe that somebody left is
//! refused, in `tests/attacks/special_files.py`.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::place::Place;
use crate::support::{have, program};

/// What bash says to a line; `$M` is the program.
fn bash(place: &Place, line: &str, stdin: &[u8]) -> (i32, String, String) {
    let mut child = Command::new("bash")
        .args(["-c", line])
        .current_dir(place.path(""))
        .env_clear()
        .envs(&place.env)
        .env("PATH", "/usr/bin:/bin")
        .env("M", program())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // one that reads nothing has closed it
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_pipe_that_the_caller_hands_over_is_read() {
    let test = "handed::a_pipe_that_the_caller_hands_over_is_read";
    if !have("bash", test, std::path::Path::new("/bin/bash").exists()) {
        return;
    }
    let place = Place::new(1 << 10);
    let job = format!(
        "image = \"oci:{}\"\ncommand = [\"tool\", \"of-the-file\"]\n",
        place.path("image").display()
    );
    fs::write(place.path("job.toml"), &job).unwrap();
    for (line, stdin) in [
        ("$M submit --dry-run -f <(cat job.toml)", ""),
        ("$M submit --dry-run -f - <job.toml", ""),
        ("cat job.toml | $M submit --dry-run -f -", ""),
        ("$M submit --dry-run -f /dev/stdin", job.as_str()),
        ("$M submit --dry-run -f /dev/fd/7 7<job.toml", ""),
        ("$M submit --dry-run -f /proc/self/fd/5 5< <(sleep 0.2; cat job.toml)", ""),
    ] {
        let (code, stdout, stderr) = bash(&place, line, stdin.as_bytes());
        assert_eq!(code, 0, "{line}: {stdout}{stderr}");
        assert!(stdout.contains("plan_sha256="), "{line}: {stdout}");
    }
    for (line, words) in [
        ("$M submit --dry-run -f <(head -c 2000000 /dev/zero)", "larger than 1048576 bytes"),
        ("$M submit --dry-run -f <(printf '\\377')", "not UTF-8"),
        ("$M submit --dry-run -f /dev/fd/99", "No such file"),
        ("$M submit --dry-run -f /dev/fd/8 8</", "a directory"),
        ("mkfifo p; $M submit --dry-run -f p", "a named pipe"),
        ("$M submit --dry-run -f ./-", "No such file"),
        // whoever else could have written what stands behind a handle counts
        (
            "$M --config <(printf '[gitlab]\\nurl=\"https://127.0.0.1:1\"\\nregistry=\"127.0.0.1:1\"\\n') resolve --project a/b --digest-file <(echo nonsense)",
            "line 1 is neither a digest",
        ),
        ("$M --config <(echo 'nonsense = 1') config show", "unknown key \"nonsense\""),
        ("$M --ca-file <(echo nonsense) resolve 127.0.0.1:1/a/b:c", "certificate"),
    ] {
        let (code, stdout, stderr) = bash(&place, line, b"");
        assert_ne!(code, 0, "{line}: {stdout}");
        assert!(stderr.contains(words), "{line}: {stderr}");
    }
    // a secret from a program, without a file
    let line = "$M auth-explain --credential-file <(printf 'user\\nSECRET-OF-THE-TEST\\n') 127.0.0.1:1/a/b:c";
    let (_, stdout, stderr) = bash(&place, line, b"");
    assert!(stdout.contains("--credential-file"), "{stdout}{stderr}");
    assert!(!format!("{stdout}{stderr}").contains("SECRET-OF-THE-TEST"));
    assert!(!place.path("home/.cache/moorline/tmp").join("job").exists());
}
