//! What a submitter hands over besides files: `--proxy` and `--ssh-agent`, from the command line to the program.
//! (`--krb`: `tests/attacks/kerberos_tickets.py`, with a real KDC.)

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use crate::support::{Home, Server, walk};

/// A proxy as far as it is looked at: a certificate that ends in 4096, and a private key.
fn proxy() -> String {
    let made = rcgen::generate_simple_self_signed(vec!["proxy".to_owned()]).unwrap();
    format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem())
}

#[test]
fn a_proxy_and_an_agent_reach_the_program_and_nothing_else() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    let text = proxy();
    let key = text.lines().rev().nth(1).unwrap().to_owned();
    let file = home.write("x509up", &text);
    let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o600);
    let socket = home.path("agent");
    let _agent = UnixListener::bind(&socket).unwrap();
    let home = home.with("X509_USER_PROXY", file.to_str().unwrap());
    let script = "cat $X509_USER_PROXY; [ -S \"$SSH_AUTH_SOCK\" ] && echo agent";

    home.run(&["run", "--ssh-agent", &image, "true"])
        .says(2, &["--ssh-agent", "SSH_AUTH_SOCK", "ssh-add"]);
    let home = home.with("SSH_AUTH_SOCK", socket.to_str().unwrap());
    let done =
        home.run(&["run", "--proxy", "--ssh-agent", &image, "--", "sh", "-c", script]).exits(0);
    assert_eq!(done.stdout, format!("{text}agent\n"), "{done}");
    assert!(done.stderr.contains("grid proxy, which ends at 4096"), "{done}");

    let job = home.write("job.toml", &format!(
        "image = \"{image}\"\ncommand = [\"sh\", \"-c\", '{script}']\nproxy = true\nssh-agent = true\n"
    ));
    let id = home.ok(&["submit", "--wait", "-f", job.to_str().unwrap()]);
    assert_eq!(home.ok(&["logs", &id]), format!("{text}agent").trim_end());
    let again = home.ok(&["rerun", "--wait", &id]);
    assert!(home.ok(&["logs", &again]).ends_with("agent"));

    // neither plan nor ledger nor receipt has it, and its copies are gone
    let mut seen = 0;
    for dir in [home.path("ledger"), home.jobs()] {
        walk(&dir, &mut |path, meta| {
            if meta.is_file() && !path.ends_with("stdout") {
                let bytes = fs::read(path).unwrap();
                let found = bytes.windows(key.len()).any(|part| part == key.as_bytes());
                assert!(!found, "{}", path.display());
                seen += 1;
            }
        });
    }
    assert!(seen > 10, "{seen}");
    let engines = ["submit", "--backend", "slurm", "--dry-run", "--ssh-agent", &image, "true"];
    home.run(&engines).says(2, &["--ssh-agent", "slurm", "moorline run"]);
    let twice = ["run", "--proxy", "--env", "X509_USER_PROXY=/x", &image, "true"];
    home.run(&twice).says(2, &["--proxy sets X509_USER_PROXY"]);
    mode(0o644);
    home.run(&["run", "--proxy", &image, "true"]).says(12, &["has mode 0644", "chmod 600"]);
    fs::remove_file(&file).unwrap();
    home.run(&["run", "--proxy", &image, "true"])
        .says(3, &["there is no grid proxy", "voms-proxy-init"]);
}

/// What a runtime cannot give on any machine is refused before anything is downloaded.
#[test]
fn a_layer_that_a_runtime_cannot_have_is_a_usage_error() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    let refused = ["run", "--runtime", "charliecloud", "--scratch", "1G", &image, "true"];
    home.run(&refused).says(2, &["charliecloud", "--scratch", "--runtime builtin"]);
    assert_eq!(home.ok(&["jobs"]), "");
    let script = "echo new >/new && cat /new";
    let written = ["run", "--scratch", "64M", &image, "--", "sh", "-c", script];
    assert_eq!(home.ok(&written), "new");
    let shown = home.run(&["audit", "job", "last"]).exits(0);
    for words in [
        "the program could change files of the image",
        "layer over image",
        "MiB of 64 MiB (watched)",
    ] {
        assert!(shown.stdout.contains(words), "{shown}");
    }
}
