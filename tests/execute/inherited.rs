//! What a program has from who started it: the same by `run` and by `submit --backend local`.

use std::fs;

use crate::support::*;

/// What the shell of the job has; nothing of it may fork, which would show another process.
const SHOW: &str = r#"echo "umask $(umask)"; echo "cwd $PWD"
    while read -r name value; do
        case $name in SigBlk: | SigIgn: | Cpus_allowed_list: | NoNewPrivs:) echo "$name $value";; esac
    done </proc/$$/status
    read -r stat </proc/$$/stat; stat=${stat##*) }; set -- $stat; echo "nice ${17}"
    while read -r line; do echo "$line"; done </proc/$$/limits
    read -r score </proc/$$/oom_score_adj; echo "oom $score"
    read -r group </proc/$$/timerslack_ns && echo "slack $group"
    for f in /proc/$$/fd/*; do f=${f##*/}; [ $f -ge 10 ] || echo "handle $f"; done
    echo "locale ${LANG-none} ${LC_ALL-none} ${LC_CTYPE-none}""#;

#[test]
fn run_and_submit_give_the_same() {
    let test = "inherited::run_and_submit_give_the_same";
    if !squashfs_tools(test) || !have("taskset", test, in_path("taskset")) {
        return;
    }
    for user in users() {
        let job = Job::sh(user, "");
        let script = job.path("work/show");
        fs::write(&script, SHOW).unwrap();
        job.give_away();
        // a caller who has set all of it otherwise
        let line = |verb: &str| {
            format!(
                "cd {work} && umask 027 && ulimit -n 500 && ulimit -c 0 && trap '' USR2 && \
                 export LC_ALL=C LANG=de_DE.UTF-8 && exec 7<{work}/show && \
                 exec taskset -c 0 nice -n 3 {program} -q {verb} --runtime builtin {image} -- \
                 sh /work_dir/show",
                work = job.path("work").display(),
                program = world().program().display(),
                image = image().0.display(),
            )
        };
        let call = |line: &str| {
            let output = job
                .as_user("/bin/sh".as_ref())
                .args(["-c", line])
                .env("HOME", job.path("tmp"))
                .output()
                .unwrap();
            assert!(output.status.success(), "{line}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let run = call(&line("run"));
        let work = job.path("work").display().to_string();
        let id = call(&line(&format!("submit --backend local --workdir {work}")));
        let program = world().program().display().to_string();
        call(&format!("{program} -q wait {}", id.trim()));
        let submitted = call(&format!("{program} -q logs {}", id.trim()));
        assert_eq!(run, submitted, "{user:?}");
        for line in [
            "umask 0027",
            "cwd /work_dir",
            // on top of what the tests themselves run under
            &format!("nice {}", 3 + rustix::process::getpriority_process(None).unwrap()),
            "Cpus_allowed_list: 0",
            "SigBlk: 0000000000000000",
            "NoNewPrivs: 1",
            "handle 0",
            "handle 1",
            "handle 2",
            // neither has the image a language, nor is the caller's told
            "locale none none none",
        ] {
            assert!(run.lines().any(|l| l == line), "{line} is not in {run}");
        }
        let ignored = run.lines().find_map(|l| l.strip_prefix("SigIgn: ")).unwrap();
        let ignored = u64::from_str_radix(ignored, 16).unwrap();
        // of those that have names: the library keeps some of the real-time ones for itself
        assert_eq!(ignored & 0x7FFF_FFFF, 1 << 11, "USR2 alone in {ignored:x}");
        let files = run.lines().find(|l| l.starts_with("Max open files")).unwrap();
        assert!(files.contains("500"), "{files}");
        assert!(!run.contains("handle 7"), "{run}");
    }
}
