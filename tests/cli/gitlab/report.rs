//! Verdicts go into a merge request and to a commit, by a token that may write there, and an image's SBOM comes back.
//! The API is the stand-in's.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use moorline::job::{Evidence, Grade, Measured};
use moorline::ledger::Ledger;
use moorline::oci::{ConfigDigest, Digest, Platform, Sha256Digest, SifDigest, media_type};
use moorline::pin::{Image, Pin};
use moorline::secret::Secret;
use moorline::standin::{ApiToken, Config, GitlabFacts};
use serde_json::{Value, json};

use crate::gitlab::common::{API_TOKEN, JOB_TOKEN, NEW, PROJECT, World, config};
use crate::support::records;

const WRITES: &str = "glpat-canary-writes-0123456789";
const OTHER: &str = "glpat-canary-other-0123456789";

fn world() -> World {
    let token = |secret: &str| ApiToken {
        secret: Secret::new(secret.into()),
        projects: vec![PROJECT.into()],
        scopes: vec!["api".into()],
    };
    let Config { gitlab, .. } = config();
    let mut api_tokens = gitlab.api_tokens.clone();
    api_tokens.extend([token(WRITES), token(OTHER)]);
    World::with(Config { gitlab: GitlabFacts { api_tokens, ..gitlab }, ..config() })
}

/// Records a job that ended, with a receipt that measured this.
fn record(world: &World, number: u64, image: Image, measured: Option<&[u8]>) -> String {
    let dir = world.path("home/.local/share/moorline/ledger");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).unwrap();
    let ledger = Ledger::open(&dir).unwrap();
    let ids = records::entry(number);
    let entry = ledger.intend(&records::intent(&ids, "local", image)).unwrap();
    ledger.submitted(&entry, &records::key("local", number)).unwrap();
    if let Some(measured) = measured {
        let mut receipt = records::receipt(&entry);
        receipt.evidence = Evidence {
            grade: Grade::Measured,
            measured: Some(Measured::Sif(SifDigest::of(measured))),
            measured_at: Some(records::at(5)),
        };
        ledger.receipt(&entry, &receipt).unwrap();
    }
    ids.job.to_string()
}

fn sif() -> Image {
    records::sif(Some(records::pin()), SifDigest::of(b"right"))
}

/// What the stand-in answers to a request that no program of ours makes.
fn ask(world: &World, method: &str, path: &str, (header, token): (&str, &str)) -> (u16, String) {
    let mut stream = std::net::TcpStream::connect(world.host()).unwrap();
    let head = format!(
        "{method} /api/v4/{path} HTTP/1.1\r\nHost: localhost\r\n{header}: {token}\r\nConnection: close\r\n\
         Content-Length: 0\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// What GitLab has, by the token that only reads.
fn has(world: &World, path: &str) -> Vec<Value> {
    let (status, body) = ask(world, "GET", path, ("private-token", API_TOKEN));
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn one_note_is_updated_in_place_and_the_commit_is_marked() {
    let world = world();
    let good = record(&world, 1, sif(), Some(b"right"));
    let bad = record(&world, 2, sif(), Some(b"wrong"));
    let in_mr = [
        ("MOORLINE_GITLAB_TOKEN", WRITES),
        ("CI_MERGE_REQUEST_IID", "7"),
        ("CI_MERGE_REQUEST_PROJECT_PATH", PROJECT),
    ];
    let report = |job: &str, more: &[&str]| {
        let args = [&["audit", "report", "--note", "--status", job][..], more].concat();
        world.in_ci(&args, &in_mr)
    };
    let first = report(&good, &["--url", "https://gitlab.example/report.txt"]);
    assert_eq!(first.code, 0, "{}", first.err);
    first.says(&["a note was written", "the commit is marked: Match: the worker measured"]);
    let notes = || has(&world, "projects/group%2Fproject/merge_requests/7/notes");
    let statuses =
        || has(&world, &format!("projects/group%2Fproject/repository/commits/{NEW}/statuses"));
    let text = notes()[0]["body"].as_str().unwrap().to_owned();
    assert!(text.starts_with("<!-- moorline audit moorline -->\n**Match**: "), "{text}");
    assert!(
        text.contains("(`analysis`)")
            && text.contains("[report](https://gitlab.example/report.txt)")
    );
    assert_eq!(statuses()[0]["status"], "success");
    assert_eq!(statuses()[0]["pipeline_id"], "20");
    report(&good, &["--url", "https://gitlab.example/report.txt"]).says(&["the same already"]);
    // another verdict: the same note, the same status
    let second = report(&bad, &[]);
    assert_eq!(second.code, 0, "{}", second.err);
    second.says(&["the note has a new text", "marked: Mismatch"]);
    assert_eq!((notes().len(), statuses().len()), (1, 1));
    assert!(notes()[0]["body"].as_str().unwrap().contains("**Mismatch**"));
    assert_eq!(statuses()[0]["status"], "failed");
    // a second chain beside it, and somebody else's note with our mark, which is left alone
    report(&good, &["--key", "fit"]).says(&["a note was written"]);
    let other = [("MOORLINE_GITLAB_TOKEN", OTHER), in_mr[1], in_mr[2]];
    world.in_ci(&["audit", "report", "--note", &good], &other).says(&["a note was written"]);
    let bodies: Vec<Value> = notes().iter().map(|note| note["author"]["id"].clone()).collect();
    assert_eq!(bodies, [json!(3), json!(2), json!(2)], "the newest first");
    // what a branch's pipeline knows of its merge requests
    let open = [in_mr[0], ("CI_OPEN_MERGE_REQUESTS", "group/project!7,group/project!8")];
    let answer = world.in_ci(&["audit", "report", "--note", &good], &open);
    answer.says(&["group/project!7", "a note was written: group/project!8"]);
    let none = world.in_ci(&["audit", "report", "--note", &good], &in_mr[..1]);
    assert_eq!(none.code, 0, "{}", none.err);
    none.says(&["there is no merge request"]);
}

#[test]
fn who_may_not_write_is_told_what_may() {
    let world = world();
    let job = record(&world, 1, sif(), None);
    let args = ["audit", "report", "--note", "--status", &job];
    let mr = ("CI_MERGE_REQUEST_IID", "7");
    // the job's own token: nothing is even sent
    let before = world.seen().len();
    world.in_ci(&args, &[mr]).fails(4, &["a job's token writes no notes", "project access token"]);
    assert_eq!(world.seen().len(), before);
    // and GitLab would not take it
    let path = "projects/group%2Fproject/merge_requests/7/notes";
    assert_eq!(ask(&world, "POST", path, ("job-token", JOB_TOKEN)).0, 401);
    let reads = [mr, ("MOORLINE_GITLAB_TOKEN", API_TOKEN)];
    let answer = world.in_ci(&args, &reads);
    assert_eq!(answer.code, 4, "{}", answer.err);
    answer.says(&["answered 403", "with the scope api", "role"]);
    // printed, it needs no token
    let printed = world.moorline(&["audit", "report", &job], &[]);
    assert_eq!(printed.code, 0, "{}", printed.err);
    assert!(printed.out.starts_with("**Unproven**: no receipt was collected"), "{}", printed.out);
    world
        .moorline(&["audit", "report", "--note", &job], &[])
        .fails(4, &["no token for GitLab's API"]);
}

/// A job whose image is in the stand-in's registry, with `sbom` attached in one way.
fn with_sbom(attach: impl Fn(&World, &Digest)) -> (World, String) {
    let world = world();
    let manifest = world.push("", NEW, &["v1"]);
    let pin = Pin {
        registry: world.host().parse().unwrap(),
        repository: PROJECT.parse().unwrap(),
        index: None,
        manifest,
        config: ConfigDigest::of(b"config"),
        platform: "linux/amd64".parse::<Platform>().unwrap(),
        asked: format!("{}/{PROJECT}:v1", world.host()).parse().unwrap(),
        resolved_at: records::at(0),
        origin: None,
    };
    attach(&world, &manifest);
    let job = record(&world, 1, records::sif(Some(pin), SifDigest::of(b"right")), None);
    (world, job)
}

/// Puts a manifest with one layer there.
fn artifact(world: &World, layer: &[u8], kind: &str) -> Digest {
    let digest = world.images().put_blob(layer.to_vec());
    let config = world.images().put_blob(b"{}".to_vec());
    let of = |digest: Digest, kind: &str, size: usize| json!({ "mediaType": kind, "digest": digest.to_string(), "size": size });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "artifactType": kind,
        "config": of(config, "application/vnd.oci.empty.v1+json", 2),
        "layers": [of(digest, kind, layer.len())],
    });
    let bytes = serde_json::to_vec(&manifest).unwrap();
    world.images().put_manifest(PROJECT, media_type::OCI_MANIFEST, bytes)
}

#[test]
fn an_attached_sbom_is_found() {
    const KIND: &str = "application/vnd.cyclonedx+json";
    let bom = br#"{"bomFormat":"CycloneDX","specVersion":"1.5","components":[]}"#;
    let cosign = with_sbom(|world, manifest| {
        let attached = artifact(world, bom, KIND);
        world.images().tag(PROJECT, &format!("sha256-{}.sbom", manifest.hex()), attached);
    });
    let oras = with_sbom(|world, manifest| {
        let attached = artifact(world, bom, KIND);
        let index = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_INDEX,
            "manifests": [{
                "mediaType": media_type::OCI_MANIFEST, "digest": attached.to_string(), "size": 500,
                "artifactType": KIND,
            }],
        });
        let bytes = serde_json::to_vec(&index).unwrap();
        let index = world.images().put_manifest(PROJECT, media_type::OCI_INDEX, bytes);
        world.images().tag(PROJECT, &format!("sha256-{}", manifest.hex()), index);
    });
    for (world, job) in [cosign, oras] {
        let answer = world.moorline(&["audit", "sbom", &job], &[]);
        assert_eq!((answer.code, answer.out.as_bytes()), (0, &bom[..]), "{}", answer.err);
        let answer = world.moorline(&["-q", "audit", "sbom", "-o", "sbom.cdx.json", &job], &[]);
        assert_eq!((answer.code, answer.out.as_str()), (0, ""), "{}", answer.err);
        assert_eq!(world.read("project/sbom.cdx.json").as_bytes(), bom);
    }
    let (world, job) = with_sbom(|world, manifest| {
        let attached = artifact(world, b"{\"bomFormat\":\"other\"}", KIND);
        world.images().tag(PROJECT, &format!("sha256-{}.sbom", manifest.hex()), attached);
    });
    let words = ["it is no CycloneDX", "has no SBOM in CycloneDX", "cosign attest"];
    world.moorline(&["audit", "sbom", "-o", "sbom.cdx.json", &job], &[]).fails(3, &words);
    assert!(!world.path("project/sbom.cdx.json").exists());
    let none = record(&world, 2, records::sif(None, SifDigest::of(b"own")), None);
    world.moorline(&["audit", "sbom", &none], &[]).fails(3, &["came from no registry"]);
}
