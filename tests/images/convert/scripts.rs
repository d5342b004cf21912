//! What is added to every image, run by a real shell.

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::process::Command;

use moorline::oci::{Sha256Digest, SifDigest};
use moorline::sif::{self, DataType, SifReader};
use serde_json::{Value, json};

use crate::archive::{Image, Layer, squashfs};
use crate::oracle;

const NASTY: &str = "a b \"c\" $d `touch X` $(touch Y) 'q' \\ \n * ~ #é";

fn image(config: &Value) -> Image {
    Image::new(vec![Layer::new().dir("bin/").bytes()], config)
}

/// A file of the converted image.
fn text(image: &Image, path: &str) -> String {
    use std::io::Read;
    let (sif, _) = image.convert().unwrap();
    let reader = std::io::BufReader::new(Cursor::new(squashfs(&sif)));
    let fs = backhand::FilesystemReader::from_reader(reader).unwrap();
    let node = fs.files().find(|n| n.fullpath == Path::new("/").join(path)).unwrap();
    let backhand::InnerNode::File(file) = &node.inner else { panic!("{path} is not a file") };
    let mut data = String::new();
    fs.file(file).reader().read_to_string(&mut data).unwrap();
    data
}

/// The shells of this machine that may be an image's /bin/sh.
fn shells() -> Vec<Vec<&'static str>> {
    let all = [vec!["/bin/sh"], vec!["dash"], vec!["bash", "--posix"], vec!["busybox", "sh"]];
    let there = |shell: &Vec<&str>| {
        Command::new(shell[0]).args(&shell[1..]).args(["-c", ":"]).output().is_ok()
    };
    all.into_iter().filter(there).collect()
}

/// Runs a script in each shell in an empty directory; its output must be the same in all.
fn run(script: &str, args: &[&str], env: &[(&str, &str)]) -> String {
    let mut outputs = Vec::new();
    for shell in shells() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("script");
        fs::write(&path, script).unwrap();
        let out = Command::new(shell[0])
            .args(&shell[1..])
            .arg(&path)
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(env.iter().copied())
            .current_dir(dir.path())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
        let stdout = String::from_utf8(out.stdout).unwrap();
        if !out.status.success() {
            outputs.push(format!("failed: {}{stdout}", stderr.lines().last().unwrap_or_default()));
            continue;
        }
        assert_eq!(stderr, "", "{shell:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{shell:?} ran a word");
        outputs.push(stdout);
    }
    assert!(outputs.iter().all(|o| *o == outputs[0]), "{outputs:?}");
    outputs.swap_remove(0)
}

#[test]
fn environment_carries_any_value() {
    let config = json!({ "Env": [
        "PATH=/opt/a b:/usr/bin:/bin",
        format!("NASTY={NASTY}"),
        "EMPTY=",
        "UID=7",
        "AFTER=first",
        "SET=image",
        "odd.name=1",
        "AFTER=still here",
        "EMPTY",
        "NOTHING",
        "=x",
    ]});
    let image = image(&config);
    let (_, report) = image.convert().unwrap();
    assert_eq!(
        report.warnings,
        [
            "ENV EMPTY has no value, as in docker it sets nothing",
            "ENV NOTHING has no value, as in docker it sets nothing",
            "ENV =x has no name and sets nothing",
            "ENV odd.name cannot be set by a shell: moorline gives it to the program, apptainer alone \
             does not",
        ]
    );
    let script = text(&image, ".singularity.d/env/10-docker2singularity.sh");
    let show = "\nprintf '%s|' \"$NASTY\" \"${EMPTY-unset}\" \"$SET\" \"$AFTER\" \"$PATH\" \"${NOTHING-unset}\"";
    assert_eq!(
        run(&format!("{script}{show}"), &[], &[("SET", "caller"), ("PATH", "/usr/bin:/bin")]),
        format!("{NASTY}||caller|still here|/opt/a b:/usr/bin:/bin|unset|")
    );
    let exported = "\nenv -i true; sh -c 'printf %s \"$NASTY\"'";
    assert_eq!(run(&format!("{script}{exported}"), &[], &[]), NASTY);
}

#[test]
fn entrypoint_and_cmd() {
    let list = |entrypoint: &[&str], cmd: &[&str]| {
        text(&image(&json!({ "Entrypoint": entrypoint, "Cmd": cmd })), ".singularity.d/runscript")
    };
    let both = list(&["printf", "%s|", "e"], &["c 1", "c2"]);
    let entry = list(&["printf", "%s|"], &[]);
    let cmd = list(&[], &["printf", "%s|", "c"]);
    // `ENTRYPOINT [""]` is none
    assert_eq!(list(&[""], &["printf", "%s|", "c"]), cmd);
    for no_eval in [&[][..], &[("SINGULARITY_NO_EVAL", "1")], &[("APPTAINER_NO_EVAL", "1")]] {
        assert_eq!(run(&both, &[], no_eval), "e|c 1|c2|");
        assert_eq!(run(&both, &["a b", "", "\"q\" \\ '"], no_eval), "e|a b||\"q\" \\ '|");
        assert_eq!(run(&entry, &["x"], no_eval), "x|");
        assert_eq!(run(&cmd, &[], no_eval), "c|");
        assert_eq!(run(&cmd, &["printf", "<%s>", "x y"], no_eval), "<x y>");
        let none = run(&list(&[], &[]), &[], no_eval);
        assert_eq!(none, "failed: the image has neither ENTRYPOINT nor CMD: name a command");
    }
}

#[test]
fn arguments_are_evaluated_unless_forbidden_and_the_images_words_never() {
    let config =
        json!({ "Entrypoint": ["printf", "%s|", "$V", "it's", "\"$V\" \\"], "Cmd": ["`echo x`"] });
    let script = text(&image(&config), ".singularity.d/runscript");
    let env = [("V", "a b")];
    assert_eq!(run(&script, &[], &env), "$V|it's|\"$V\" \\|`echo x`|");
    assert_eq!(run(&script, &["$V"], &env), "$V|it's|\"$V\" \\|a b|");
    let env = [("V", "a b"), ("APPTAINER_NO_EVAL", "1")];
    assert_eq!(run(&script, &["$V"], &env), "$V|it's|\"$V\" \\|$V|");
    assert_eq!(run(&script, &[], &env), "$V|it's|\"$V\" \\|`echo x`|");
    // a program in the image's words sees its own parameters, whatever they hold
    let inner = json!({ "Entrypoint": ["sh", "-c", "printf '%s|' \"$0\" \"$@\"", "zero"] });
    let script = text(&image(&inner), ".singularity.d/runscript");
    assert_eq!(run(&script, &["q\"q", "b"], &[]), "zero|q\"q|b|");
    // what does not parse breaks nothing
    let script =
        text(&image(&json!({ "Cmd": ["printf", "%s", "$(` NASTY"] })), ".singularity.d/runscript");
    assert_eq!(run(&script, &[], &[]), "$(` NASTY");
    let any = text(&image(&json!({ "Cmd": ["printf", "%s", NASTY] })), ".singularity.d/runscript");
    assert_eq!(run(&any, &[], &[]), NASTY);
}

#[test]
fn the_scripts_are_these() {
    let config = json!({
        "Env": ["PATH=/usr/bin:/bin", "GREETING=it's me"],
        "Entrypoint": ["/entry.sh", "a b"],
        "Cmd": ["serve", "$PORT"],
    });
    let image = image(&config);
    snapbox::assert_data_eq!(
        text(&image, ".singularity.d/env/10-docker2singularity.sh"),
        snapbox::file!["golden/environment.sh"].raw()
    );
    snapbox::assert_data_eq!(
        text(&image, ".singularity.d/runscript"),
        snapbox::file!["golden/runscript.sh"].raw()
    );
}

#[test]
fn shellcheck_is_content() {
    let there = Command::new("shellcheck").arg("--version").output().is_ok();
    let test = "shellcheck_is_content";
    if !oracle::part(test, "shellcheck", (!there).then_some("shellcheck is not installed")) {
        return;
    }
    let image = image(&json!({ "Env": ["A=b"], "Entrypoint": ["e"], "Cmd": ["c", "$d"] }));
    let dir = tempfile::tempdir().unwrap();
    let (sif, _) = image.convert().unwrap();
    let tree = oracle::backhand(&squashfs(&sif));
    let scripts = tree.iter().filter(|(path, entry)| {
        path.starts_with(b".singularity.d/") && entry.kind == '-' && entry.mode == 0o755
    });
    let mut count = 0;
    for (path, _) in scripts {
        let path = String::from_utf8(path.clone()).unwrap();
        let at = dir.path().join(path.replace('/', "_"));
        fs::write(&at, text(&image, &path)).unwrap();
        // 1091, 1090: sourced files are the image's; 2016: words are evaluated later, on purpose
        let out = Command::new("shellcheck").args(["-e", "SC1090,SC1091,SC2016"]).arg(&at).output();
        let out = out.unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
        count += 1;
    }
    assert!(count >= 11, "{count}");
}

#[test]
fn what_the_image_has_is_kept() {
    let layer = Layer::new()
        .file("etc/passwd", b"root:x:0:0::/:/bin/sh\n")
        .symlink("etc/resolv.conf", "/run/resolv.conf")
        .file("environment", b"mine")
        .file("home", b"a file")
        // a trap: our files must not follow it into /etc
        .symlink(".singularity.d", "etc");
    let (sif, _) = Image::of(vec![layer]).convert().unwrap();
    let tree = oracle::backhand(&squashfs(&sif));
    let is = |path: &str, kind: char| {
        assert_eq!(tree.get(path.as_bytes()).map(|e| e.kind), Some(kind), "{path}");
    };
    assert_eq!(tree[&b"etc/passwd"[..]].content, oracle::hash(b"root:x:0:0::/:/bin/sh\n"));
    assert_eq!(tree[&b"environment"[..]].content, oracle::hash(b"mine"));
    is("etc/resolv.conf", 'l');
    is("home", '-');
    is(".singularity.d", 'd');
    is(".singularity.d/runscript", '-');
    is(".singularity.d/actions/exec", '-');
    is("singularity", 'l');
    for path in ["dev", "proc", "sys", "tmp", "var/tmp", "root", ".singularity.d/libs"] {
        is(path, 'd');
    }
    for path in ["etc/hosts", "etc/group"] {
        assert_eq!(tree[path.as_bytes()].content, oracle::hash(b""), "{path}");
    }
    assert!(!tree.contains_key(&b"etc/runscript"[..]));
    assert_eq!(tree[&b"tmp"[..]].mode, 0o1777);
}

#[test]
fn the_sif_says_where_it_comes_from() {
    let image = image(&json!({ "Labels": { "maintainer": "x" }, "User": "1000", "Cmd": ["sh"] }));
    let (bytes, report) = image.convert().unwrap();
    let mut sif = SifReader::open(Cursor::new(&bytes)).unwrap();
    let mut read = |name| -> Value { serde_json::from_slice(&sif.object(name).unwrap()).unwrap() };
    let provenance = read(sif::PROVENANCE);
    assert_eq!(provenance["manifest"], json!(image.source.manifest));
    assert_eq!(provenance["recipe"], json!(report.recipe));
    assert_eq!(provenance["reference"], json!(image.source.reference));
    assert_eq!(read(sif::OCI_CONFIG)["User"], "1000");
    assert_eq!(read(sif::MANIFEST)["schemaVersion"], 2);
    let attributes = &read(sif::INSPECT)["data"]["attributes"];
    assert_eq!(attributes["labels"]["maintainer"], "x");
    assert_eq!(attributes["labels"]["org.label-schema.build-arch"], "amd64");
    assert_eq!(attributes["labels"]["io.moorline.manifest"], image.source.manifest.to_string());
    assert_eq!(attributes["runscript"], text(&image, ".singularity.d/runscript"));
    let definition = sif.descriptors()[0].clone();
    assert_eq!(definition.data_type, DataType::Definition);
    let from = format!("bootstrap: docker\nfrom: {}\n\n", image.source.reference);
    assert_eq!(sif.read(&definition).unwrap(), from.as_bytes());
    assert_eq!(sif.partition().unwrap().offset % 4096, 0);
    assert_eq!(sif.header().created, 1_706_933_106);
    assert_eq!(report.sif, SifDigest::of(&bytes));
}
