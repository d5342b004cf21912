//! `moorline auth-explain`: which credential is taken for an image, and why; never a secret.

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use crate::acquire::{self, Trial, Tried};
use crate::cli::args::credential_args::CredentialArgs;
use crate::cli::context::Context;
use crate::cli::show::document;
use crate::cli::show::output::{self, Outcome, Report};
use crate::credential::{Explanation, SourceReport};
use crate::oci::Reference;
use crate::secret::Realm;

/// Say which credential is taken for an image and why, never a secret.
///
/// Each credential is tried at most once. No secret is shown.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline auth-explain gitlab-registry.example/group/project:v1
  moorline --json auth-explain group/project:v1")]
pub struct Args {
    /// Image: group/project:tag, registry/..., docker://..., or a name of moorline.toml
    #[arg(value_name = "IMAGE")]
    what: String,
    #[command(flatten)]
    credential: CredentialArgs,
}

/// The answer where a broken source ended it before the registry was asked.
const NOT_ASKED: &str = "not asked";

/// All that is told of one image.
struct Story {
    reference: Reference,
    /// On the way to the registry.
    proxy: Option<String>,
    /// That the registry named.
    realm: Option<Realm>,
    explained: Explanation,
    tried: Vec<Tried>,
    /// What the registry answers in the end.
    answer: Result<String, Report>,
}

/// The verb: the exit code is that of what the registry answers.
///
/// # Errors
/// When a source is broken, after saying what is known so far; and as the registry says.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let reference = acquire::reference(context, &args.what)?;
    args.credential.apply(context, [Some(reference.registry.clone())])?;
    let explained = context.credentials().explain(&reference.registry, &reference.repository)?;
    let broken = explained.sources.iter().any(|source| source.broken.is_some());
    let trial = if broken {
        Trial { answer: Ok(NOT_ASKED.to_owned()), ..Trial::default() }
    } else {
        Trial::of(context, &reference, &explained)?
    };
    let Trial { proxy, realm, tried, answer } = trial;
    let story = Story { reference, proxy, realm, explained, tried, answer };
    if context.voice.json {
        document::print(&story.document());
    } else {
        output::line(story.text());
    }
    for source in story.explained.sources {
        if let Some(error) = source.broken {
            return Err(error.into());
        }
    }
    story.answer.map(|_| 0)
}

impl Story {
    fn text(&self) -> String {
        let Self { reference, explained, tried, answer, .. } = self;
        let proxy = self.proxy.as_deref().unwrap_or("none");
        let realm = self.realm.as_ref().map_or_else(|| "none".into(), ToString::to_string);
        let mut lines = vec![
            format!("image:        {reference}"),
            format!("proxy:        {proxy}"),
            format!("token realm:  {realm}"),
            format!("known realms: {}", realms(explained)),
            "sources, in the order in which they are asked:".to_owned(),
        ];
        for source in &explained.sources {
            lines.push(format!("  {}", source.name));
            let said = said(source, tried);
            lines.extend(said.iter().map(|line| format!("    {}", output::cell(line))));
        }
        lines.push(format!("taken:        {}", self.taken()));
        lines.push(match answer {
            Ok(found) => format!("answer:       {found}"),
            Err(report) => format!("answer:       {}", output::cell(&report.0.to_string())),
        });
        lines.join("\n")
    }

    fn taken(&self) -> String {
        match (self.tried.iter().find(|one| one.taken), &self.answer) {
            (Some(one), _) => output::cell(&format!("user {} from {}", one.username, one.from)),
            (None, Ok(found)) if found != NOT_ASKED => {
                "no credential was needed (anonymous)".into()
            }
            (None, _) => "none".into(),
        }
    }

    fn document(&self) -> Value {
        let sources: Vec<Value> =
            self.explained.sources.iter().map(|source| value(source, &self.tried)).collect();
        let one = self.tried.iter().find(|one| one.taken);
        json!({
            "reference": self.reference.to_string(),
            "registry": self.reference.registry,
            "repository": self.reference.repository,
            "proxy": self.proxy,
            "realm": self.realm,
            "known_realms": self.explained.realms,
            "sources": sources,
            "taken": one.map(|one| json!({ "username": one.username, "from": one.from })),
            "answer": self.answer.as_ref().ok(),
            "error": self.answer.as_ref().err().map(|report| report.0.to_string()),
        })
    }
}

fn realms(explained: &Explanation) -> String {
    let names: Vec<String> = explained.realms.iter().map(ToString::to_string).collect();
    if names.is_empty() { "the registry's own host only".into() } else { names.join(", ") }
}

/// What is told of a source: a line for each credential, and why it has none.
fn said(source: &SourceReport, tried: &[Tried]) -> Vec<String> {
    let mut said = Vec::new();
    for one in tried.iter().filter(|one| one.source == source.name) {
        said.push(format!("user {} from {}: {}", one.username, one.from, one.result));
    }
    if tried.is_empty() {
        said.extend(source.found.offered.iter().map(|candidate| {
            format!("user {} from {}", candidate.credential.username, candidate.source)
        }));
    }
    said.extend(source.read.iter().cloned());
    said.extend(source.found.skipped.iter().map(|why| format!("skipped: {why}")));
    said.extend(source.broken.iter().map(|error| format!("broken: {error}")));
    if source.found.offered.is_empty() && source.found.skipped.is_empty() && source.broken.is_none()
    {
        said.push("nothing for this repository".into());
    }
    said
}

fn value(source: &SourceReport, tried: &[Tried]) -> Value {
    let offered: Vec<Value> = source
        .found
        .offered
        .iter()
        .map(|candidate| {
            let (name, from) = (&candidate.credential.username, &candidate.source);
            let one = tried.iter().find(|one| one.username == *name && one.from == *from);
            json!({ "username": name, "from": from, "result": one.map(|one| &one.result) })
        })
        .collect();
    json!({
        "source": source.name,
        "offered": offered,
        "skipped": source.found.skipped,
        "read": source.read,
        "broken": source.broken.as_ref().map(ToString::to_string),
    })
}
