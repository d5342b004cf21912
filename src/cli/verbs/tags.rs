//! `moorline tags`: the tags of a repository with dates and digests.

use clap::Args as ClapArgs;
use serde_json::json;

use crate::acquire;
use crate::cli::args::credential_args::CredentialArgs;
use crate::cli::context::Context;
use crate::cli::show::document;
use crate::cli::show::output::{self, CliError, Outcome};
use crate::cli::show::table::{Column, Gives, Table};
use crate::failure::{Failure, Kind};
use crate::oci::{Platform, Reference, Tag};
use crate::pin::Resolved;
use crate::resolve::{ResolveError, resolve_many};

/// List the tags of an image with dates and digests.
///
/// The date and the digest of each tag are asked for, so a repository with thousands of tags takes
/// a while: --last limits how many are shown, and asks only about these.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline tags group/project
  moorline tags --last 500 gitlab-registry.example/group/project/image
  moorline --json tags group/project")]
pub struct Args {
    /// Image without a tag: group/project, registry/..., or a name of moorline.toml
    #[arg(value_name = "IMAGE")]
    what: String,
    /// Show at most this many: the last ones in the registry's order
    #[arg(long, value_name = "N", default_value_t = 100)]
    last: usize,
    /// Platform of the images, for example linux/arm64; default: this machine's
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    #[command(flatten)]
    credential: CredentialArgs,
}

/// The verb: prints a table. A tag that has no image for the platform is shown without one.
///
/// # Errors
/// As the registry says; with the worst code of a tag that could not be asked for, after the table.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let named = acquire::reference(context, &args.what)?;
    args.credential.apply(context, [Some(named.registry.clone())])?;
    let client = context.client()?;
    let place = format!("{}/{}", named.registry, named.repository);
    let none = |why: String| {
        let hint = "check the name: CI pushes images as registry/group/project[/image]:tag";
        CliError::new(Kind::NotFound, format!("{place} has no tags{why}")).with_hint(hint)
    };
    let mut tags = match context.block_on(client.tags(&named.registry, &named.repository))? {
        Ok(tags) if tags.is_empty() => return Err(none(String::new()).into()),
        Ok(tags) => tags,
        Err(error) if error.kind() == Kind::NotFound => {
            return Err(none(format!(": {error}")).into());
        }
        Err(error) => return Err(error.into()),
    };
    let all = tags.len();
    let shown = tags.split_off(all.saturating_sub(args.last));
    let platform = args.platform.clone().unwrap_or_else(Platform::host);
    let asked: Vec<(Reference, Platform)> = shown
        .iter()
        .map(|tag| {
            let reference = Reference { tag: Some(tag.clone()), digest: None, ..named.clone() };
            (reference, platform.clone())
        })
        .collect();
    let answers = context.block_on(resolve_many(&client, &asked))?;
    let mut rows: Vec<(Tag, Result<Resolved, ResolveError>)> =
        shown.into_iter().zip(answers).collect();
    rows.sort_by(|(a, one), (b, other)| created(other).cmp(&created(one)).then(b.cmp(a)));

    let mut worst = 0;
    for (tag, answer) in &rows {
        // a signature, or an image for other machines: nothing failed
        if let Err(error @ (ResolveError::Platform { .. } | ResolveError::NotAnImage { .. })) =
            answer
        {
            context.voice.say(output::cell(&format!("{tag}: {error}")));
        } else if let Err(error) = answer {
            worst = worst.max(crate::cli::show::exit::code(error.kind()));
            output::warn(output::cell(&format!("{tag}: {error}")));
        }
    }
    if context.voice.json {
        let values: Vec<_> = rows.iter().map(|(tag, answer)| value(tag, answer)).collect();
        document::print(&values);
    } else {
        let mut table = Table::new([
            Column::new("TAG", Gives::Whole),
            Column::new("CREATED", Gives::Time),
            Column::new("SIZE", Gives::Whole),
            Column::new("DIGEST", Gives::Digest),
        ]);
        for (tag, answer) in &rows {
            table.row(line(tag, answer));
        }
        output::painted(&table.lines(context.voice.width()));
    }
    if all > rows.len() {
        context.voice.say(format!(
            "{} of {all} tags are shown; moorline tags --last {all} {} shows all",
            rows.len(),
            args.what
        ));
    }
    Ok(worst)
}

fn created(answer: &Result<Resolved, ResolveError>) -> Option<&str> {
    answer.as_ref().ok()?.created.as_deref()
}

fn line(tag: &Tag, answer: &Result<Resolved, ResolveError>) -> Vec<String> {
    let none = || "-".to_owned();
    let Ok(found) = answer else { return vec![tag.to_string(), none(), none(), none()] };
    let created = found.created.as_deref().map_or_else(none, |date| {
        let time = date.parse::<jiff::Timestamp>();
        // what is no time is shown as it is written
        time.map_or_else(
            |_| date.to_owned(),
            |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        )
    });
    vec![tag.to_string(), created, output::size(found.size), found.pin.manifest.to_string()]
}

fn value(tag: &Tag, answer: &Result<Resolved, ResolveError>) -> serde_json::Value {
    match answer {
        Ok(found) => json!({
            "tag": tag, "created": found.created, "size": found.size,
            "digest": found.pin.manifest, "index": found.pin.index,
            "platform": found.pin.platform, "reference": found.pin.reference().to_string(),
        }),
        Err(error) => json!({ "tag": tag, "error": error.to_string() }),
    }
}
