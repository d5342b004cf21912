//! What no container may see. Ways that need mounts: `tests/attacks/sees_other_jobs.py`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use moorline::worker::Hides;

use crate::support::*;

#[test]
fn jobs_are_hidden_but_for_the_own_work() {
    if !squashfs_tools("jobs_are_hidden_but_for_the_own_work") {
        return;
    }
    for user in users() {
        let other = Job::sh(user, "true");
        fs::write(other.path("work/result"), "of another job\n").unwrap();
        let jobs = world().dir.path().display().to_string();
        let mut job = Job::new(user, &[]);
        job.plan.hide = vec![world().dir.path().to_owned()];
        let id = job.dir.path().file_name().unwrap().display().to_string();
        // the work of another job by name, and all jobs by the directory above them
        let above = world().dir.path().parent().unwrap().display().to_string();
        let seen = format!("/all/{}", world().dir.path().file_name().unwrap().display());
        let script =
            format!("ls {seen} {seen}/{id}; echo mine >{seen}/{id}/work/made; cat /in/result");
        job.plan.job.command = ["sh", "-c", &script].map(String::from).into();
        let job = job
            .mount(&format!("{above}:/all"))
            .mount(&format!("{}:/in:ro", other.path("work").display()));
        let done = job.run();
        let expected = format!("{seen}:\n{id}\n\n{seen}/{id}:\nwork\nof another job\n");
        assert_eq!((done.code, done.stdout.as_str()), (0, expected.as_str()), "{}", done.stderr);
        assert_eq!(fs::read_to_string(job.path("work/made")).unwrap(), "mine\n");
        assert_eq!(done.receipt.unwrap().conditions.hides, Some(Hides::Yes));

        // by name, or by a link to it
        let link = job.path("work/link");
        symlink(&jobs, &link).unwrap();
        let control = other.path("control").display().to_string();
        for source in [&jobs, &link.display().to_string(), &control] {
            let mut job = Job::sh(user, "true").mount(&format!("{source}:/x"));
            job.plan.hide = vec![world().dir.path().to_owned()];
            let done = job.run();
            assert_eq!(done.code, 214, "{source} {}", done.stderr);
            assert!(done.stderr.contains("belongs to moorline"), "{}", done.stderr);
        }
    }
}

#[test]
fn what_is_not_there_yet_is_made_before_it_is_hidden() {
    if !squashfs_tools("what_is_not_there_yet_is_made_before_it_is_hidden") {
        return;
    }
    for user in users() {
        let mut job = Job::sh(
            user,
            "ls -A /home/.config/moorline; (echo x >/home/.config/moorline/x) 2>/dev/null || echo hidden",
        );
        fs::create_dir(job.path("home")).unwrap();
        fs::create_dir(job.path("elsewhere")).unwrap();
        job.plan.hide = vec![job.path("home/.config/moorline"), job.path("elsewhere/moorline")];
        let home = job.path("home").display().to_string();
        let job = job.mount(&format!("{home}:/home"));
        let done = job.run();
        assert_eq!((done.code, done.stdout.as_str()), (0, "hidden\n"), "{}", done.stderr);
        let made = fs::metadata(job.path("home/.config/moorline")).unwrap();
        assert_eq!(made.permissions().mode() & 0o7777, 0o700);
        assert!(!job.path("elsewhere/moorline").exists(), "no bind would show it");
    }
}
