//! What `docs/runtime.md` says of terminal, session, keys, environment, covers and tickets, under a real apptainer:
//! `moorline run --runtime apptainer` inside of its tree, as root and as an ordinary user.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use super::{Answer, USER, can_run, image, inside, work};
use crate::oracle;

/// The users, by number, and a directory of theirs below `/work`.
const USERS: [(u32, &str); 2] = [(0, "of-root"), (USER, "home")];

/// apptainer's tree beside this program, `terminal.py` and an image.
fn place(test: &str) -> Option<tempfile::TempDir> {
    if !can_run(test) {
        return None;
    }
    let (dir, _) = work(&image());
    let at = |name: &str| dir.path().join(name);
    fs::copy(env!("CARGO_BIN_EXE_moorline"), at("moorline")).unwrap();
    fs::set_permissions(at("moorline"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(at("terminal.py"), include_str!("../../execute/terminal.py")).unwrap();
    for (user, name) in USERS {
        let _ = fs::create_dir(at(name));
        chown(at(name), Some(user), Some(user)).unwrap();
    }
    Some(dir)
}

/// A `run` of this script, as a shell's words.
fn run(flags: &str, script: &str) -> String {
    format!(
        "/work/moorline -q run --runtime apptainer {flags} /work/ours.sif -- sh -c {}",
        quoted(script)
    )
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Runs a command in a directory of the user's.
fn does(dir: &Path, (user, home): (u32, &str), command: &str) -> Answer {
    inside(dir, user, &format!("cd /work/{home} && export HOME=/work/{home} && {command}"))
}

/// A program and the libraries of its own package.
fn tools(to: &Path, program: &str) {
    fs::create_dir(to).unwrap();
    let copy = |from: &Path| fs::copy(from, to.join(from.file_name().unwrap())).unwrap();
    copy(Path::new(program));
    let listed = std::process::Command::new("ldd").arg(program).output().unwrap();
    for word in String::from_utf8_lossy(&listed.stdout).split_whitespace() {
        if word.starts_with('/') && word.contains("libkeyutils") {
            copy(Path::new(word));
        }
    }
}

#[test]
fn a_terminal_of_its_own() {
    let Some(dir) = place("walls::a_terminal_of_its_own") else { return };
    let waits = "echo ready; exec sleep 600";
    let reads = "echo ready; while read -r line; do echo \"got $line\"; done; exit 5";
    let tells = "r=; for h in 0 1 2; do if test -t $h; then r=\"$r $h=tty\"; else r=\"$r $h=other\"; fi; done; \
                 if (: </dev/tty) 2>/dev/null; then t=opens; else t=none; fi; echo \"${r# } tty=$t\"";
    for (case, script) in [
        (
            "code",
            "for h in 0 1 2; do test -t $h && t=\"$t $h\"; done; echo \"terminals$t\"; \
             echo \"size $(stty size)\"; echo through tty >/dev/tty; exit 7",
        ),
        ("interrupt", waits),
        ("quit", waits),
        ("stop", reads),
        ("background", reads),
        ("jobs", "PS1=$(printf 'INN%s' 'ER> '); export PS1; exec sh -i -m"),
        (
            "resize",
            "trap 'echo \"size $(stty size)\"' WINCH; echo ready; while :; do sleep 0.1; done",
        ),
        ("paste", "stty -echo; echo ready; cat >/work_dir/pasted; exec cat /work_dir/pasted"),
        ("killed", waits),
        ("told", "trap 'echo tidied; exit 3' TERM; echo ready; while :; do sleep 0.05; done"),
        ("handles", tells),
        ("less", "n=0; while [ $n -lt 200 ]; do n=$((n+1)); echo \"line $n\"; done"),
    ] {
        for user in USERS {
            let home = user.1;
            let play =
                format!("python3 /work/terminal.py {case} /work/{home} -- {}", run("", script));
            let played = does(dir.path(), user, &play);
            assert_eq!(
                played.code,
                Some(0),
                "{case} as {}: {}{}",
                user.0,
                played.stdout,
                played.stderr
            );
        }
    }
}

#[test]
fn a_session_keys_and_variables_of_its_own() {
    let Some(dir) = place("walls::a_session_keys_and_variables_of_its_own") else { return };
    let missing = (!Path::new("/usr/bin/keyctl").exists()).then_some("keyctl is not installed");
    if !oracle::part("walls::a_session_keys_and_variables_of_its_own", "apptainer", missing) {
        return;
    }
    tools(&dir.path().join("tools"), "/usr/bin/keyctl");
    for user in USERS {
        // the leader of a session, and no controlling terminal where no handle is one
        let session = run(
            "",
            "read -r p c s pp pg sid tty rest </proc/self/stat; echo \"tty $tty\"; (: </dev/tty) 2>&1",
        );
        let answer = does(dir.path(), user, &format!("{session} </dev/null | cat"));
        assert!(answer.stdout.contains("tty 0"), "{}{}", answer.stdout, answer.stderr);
        let variables =
            "CI_JOB_TOKEN=SENTINEL LD_PRELOAD= SECRET=SENTINEL MOORLINE_PASSWORD=SENTINEL";
        let answer = does(dir.path(), user, &format!("{variables} {}", run("--env MINE=1", "env")));
        let shown = answer.ok();
        assert!(!shown.contains("SENTINEL") && shown.contains("MINE=1"), "{shown}");
        // this machine's keyctl, which fits the image's library, as a login has its keys
        let tool = "--mount /work/tools:/opt/tools:ro";
        let looks = run(
            tool,
            "export LD_LIBRARY_PATH=/opt/tools; /opt/tools/keyctl search @s user attack 2>&1; \
             /opt/tools/keyctl print $KEY 2>&1; echo looked",
        );
        let login = format!(
            "keyctl session - sh -c {} 2>&1",
            quoted(&format!("keyctl add user attack GEHEIM @s; {looks}"))
        );
        let answer = does(dir.path(), user, &login);
        let shown = format!("{}{}", answer.stdout, answer.stderr);
        assert!(shown.contains("looked") && shown.contains("not available"), "{shown}");
        assert!(!shown.contains("GEHEIM"), "{shown}");
    }
}

#[test]
fn what_else_decided_is_said() {
    let Some(dir) = place("walls::what_else_decided_is_said") else { return };
    fs::write(dir.path().join("other"), "#!/bin/sh\necho other\n").unwrap();
    fs::set_permissions(dir.path().join("other"), fs::Permissions::from_mode(0o755)).unwrap();
    for user in USERS {
        let audited = |flags: &str, script: &str| {
            let command = format!("{} && /work/moorline --json audit job last", run(flags, script));
            let said = does(dir.path(), user, &command).ok();
            let json = said.find('{').map_or("", |at| &said[at..]);
            let audit: serde_json::Value = serde_json::from_str(json).expect(&said);
            assert_eq!(audit["verdict"], "match", "{audit}");
            audit
        };
        let plain = audited("", "true");
        assert_eq!(plain["qualified"], serde_json::json!(["runtime-believed"]), "{plain}");
        let covered = audited("--mount /work/other:/opt/analysis/bin/select", "select");
        let qualified = covered["qualified"].to_string();
        assert!(qualified.contains("\"mount\""), "{covered}");
        assert!(covered.to_string().contains("/opt/analysis/bin/select"), "{covered}");
        let option = audited("--option=--no-mount=hostfs", "true");
        assert!(option["qualified"].to_string().contains("\"option\""), "{option}");
        assert!(option.to_string().contains("/usr/bin/apptainer"), "{option}");
    }
}

#[test]
fn tickets_are_a_private_copy() {
    let Some(dir) = place("walls::tickets_are_a_private_copy") else { return };
    let data = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let principal = |parts: &[&str]| {
        let count = u32::try_from(parts.len()).unwrap().to_be_bytes();
        let parts: Vec<u8> = parts.iter().flat_map(|part| data(part.as_bytes())).collect();
        [&[0, 0, 0, 1], &count[..], &data(b"R"), &parts].concat()
    };
    // a cache of format 4 with one ticket that ends in 2037; a KDC is in tests/attacks/kerberos_tickets.py
    let cache = [
        &[5, 4, 0, 0][..],
        &principal(&["me"]),
        &principal(&["me"]),
        &principal(&["krbtgt", "R"]),
        &[0, 18],
        &data(b"key"),
        &[0, 0, 0, 1, 0, 0, 0, 1, 0x7f, 0, 0, 0, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0; 8],
        &data(b"TICKET-OF-THE-TEST"),
        &data(b""),
    ]
    .concat();
    for user in USERS {
        let file = dir.path().join(user.1).join("cache");
        fs::write(&file, &cache).unwrap();
        chown(&file, Some(user.0), Some(user.0)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let script = "echo $KRB5CCNAME; f=${KRB5CCNAME#FILE:}; stat -c '%a %u' $f; grep -c TICKET-OF $f; \
                      (echo x >>$f) 2>/dev/null && echo wrote";
        let command = format!(
            "KRB5CCNAME=FILE:/work/{0}/cache {1}; find .local/state/moorline/jobs -name krb5cc",
            user.1,
            run("--krb", script)
        );
        let said = does(dir.path(), user, &command).ok();
        assert_eq!(said, format!("FILE:/run/moorline/krb5cc\n600 {}\n1\n", user.0));
        let command = format!("KRB5CCNAME=KCM: {} 2>&1", run("--krb", "true"));
        let refused = does(dir.path(), user, &command);
        assert!(refused.code != Some(0) && refused.stdout.contains("KCM:"), "{}", refused.stdout);
    }
    assert!(oracle::is_root());
}

/// Who may write what in the layer is the image's owners' and modes' business under apptainer: `/run/lock` is everybody's.
#[test]
fn a_layer_an_entrypoint_and_no_graphics_processor() {
    let test = "walls::a_layer_an_entrypoint_and_no_graphics_processor";
    let Some(dir) = place(test) else { return };
    for user in USERS {
        let script = "echo new >/run/lock/new && cat /run/lock/new";
        let command = format!(
            "{} && {} && /work/moorline --json audit job last",
            run("--scratch 64M", script),
            "ls -d /tmp/moorline-job-* 2>/dev/null || true"
        );
        let said = does(dir.path(), user, &command).ok();
        let (printed, json) = said.split_at(said.find('{').expect(&said));
        assert_eq!(printed, "new\n", "{said}");
        let audit: serde_json::Value = serde_json::from_str(json).expect(json);
        assert_eq!(audit["qualified"], serde_json::json!(["writable", "runtime-believed"]));
        assert!(audit.to_string().contains("\"limit\":\"watched\""), "{audit}");
        let without = does(dir.path(), user, &run("", &format!("({script}) 2>/dev/null")));
        assert!(without.code != Some(0) && without.stdout.is_empty(), "{}", without.stdout);

        let words = "/work/moorline -q run --runtime apptainer --entrypoint image /work/ours.sif 'a b' '$HOME'";
        assert_eq!(does(dir.path(), user, words).ok(), "<a b><$HOME>");
        let none = does(dir.path(), user, &run("--gpu", "echo started"));
        assert_eq!((none.code, none.stdout.as_str()), (Some(214), ""), "{}", none.stderr);
        assert!(none.stderr.contains("no driver of NVIDIA or AMD"), "{}", none.stderr);
    }
}
