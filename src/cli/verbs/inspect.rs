//! `moorline inspect`: what an image is: platforms, configuration, labels, layers.

use clap::Args as ClapArgs;
use serde_json::json;

use crate::acquire::{self, Asked};
use crate::cli::args::credential_args::CredentialArgs;
use crate::cli::args::from_gitlab::FromGitlab;
use crate::cli::context::Context;
use crate::cli::show::document;
use crate::cli::show::output::{self, Outcome, Report};
use crate::cli::show::plural::plural;
use crate::cli::show::shorten;
use crate::oci::{ContainerConfig, Descriptor, Document, Platform};
use crate::pin::Pin;
use crate::registry::{ImageDocuments, Wanted};

/// Show what an image is: platforms, configuration, labels, layers.
///
/// Nothing is downloaded but the image's documents.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline inspect group/project:v1
  moorline inspect --platform linux/arm64 group/project:v1
  moorline --json inspect --project group/project --ref main")]
pub struct Args {
    /// Image: group/project:tag, registry/..., or a name of moorline.toml
    #[arg(value_name = "IMAGE")]
    what: Option<String>,
    /// Platform of the image, for example linux/arm64; default: this machine's
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    #[command(flatten)]
    credential: CredentialArgs,
    #[command(flatten)]
    from: FromGitlab,
}

/// The verb.
///
/// # Errors
/// As the registry says; 2 for what is in no registry.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let asked = Asked::read(context, args.what.as_deref(), args.from.build(), false)?;
    let registry = asked.what.as_ref().and_then(|what| what.registry(context));
    args.credential.apply(context, [registry])?;
    let platform = args.platform.clone().unwrap_or_else(Platform::host);
    let pin = acquire::pin(context, &asked, &platform)?;
    let client = context.client()?;
    let documents = context.block_on(client.image(&pin))??;
    let platforms = platforms(context, &pin)?;
    if context.voice.json {
        document::print(&json!({
            "reference": pin.reference().to_string(), "pin": pin, "platforms": platforms,
            "config": documents.config, "manifest": documents.manifest,
        }));
    } else {
        let text = text(&pin, &platforms, &documents);
        let fits =
            |line: &str| context.voice.width().is_none_or(|most| shorten::width(line) <= most);
        let line = |line: &str| match line {
            line if fits(line) => line.to_owned(),
            line => shorten::digests_in(line),
        };
        output::line(text.lines().map(line).collect::<Vec<_>>().join("\n"));
    }
    Ok(0)
}

/// The platforms that the tag or index has an image for.
fn platforms(context: &Context, pin: &Pin) -> Result<Vec<Platform>, Report> {
    let Some(index) = pin.index else { return Ok(vec![pin.platform.clone()]) };
    let client = context.client()?;
    let wanted = Wanted::Digest(index);
    let found = context.block_on(client.manifest(&pin.registry, &pin.repository, &wanted))??;
    Ok(match found.document {
        Document::Index(index) => index.platforms(),
        Document::Manifest(_) => vec![pin.platform.clone()],
    })
}

fn text(pin: &Pin, platforms: &[Platform], documents: &ImageDocuments) -> String {
    let ImageDocuments { manifest, config, .. } = documents;
    let container = config.container();
    let size: u64 = manifest.layers.iter().map(|layer| layer.size).sum();
    let platforms: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    let mut rows = vec![
        ("image", pin.reference().to_string()),
        ("asked as", pin.asked.to_string()),
        ("configuration", pin.config.to_string()),
        ("platform", pin.platform.to_string()),
        ("platforms", platforms.join(", ")),
        ("created", config.created.clone().unwrap_or_else(|| "not said".into())),
        ("size", format!("{} in {}", output::size(size), plural(manifest.layers.len(), "layer"))),
    ];
    rows.extend(container_rows(&container));
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    let mut lines: Vec<String> =
        rows.iter().map(|(name, value)| format!("{name:width$}{}", output::cell(value))).collect();
    lines.extend(listed("environment", container.env.iter().map(String::as_str)));
    let labels: Vec<String> = container.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    lines.extend(listed("labels", labels.iter().map(String::as_str)));
    lines.push("layers".into());
    let steps = config.history.iter().filter(|step| !step.empty_layer);
    let mut steps = steps.map(|step| step.created_by.as_str());
    lines.extend(manifest.layers.iter().map(|layer| layer_line(layer, steps.next())));
    lines.join("\n")
}

fn container_rows(container: &ContainerConfig) -> Vec<(&'static str, String)> {
    let words = |words: &[String]| {
        shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
    };
    let rows = [
        ("entry point", words(&container.entrypoint)),
        ("command", words(&container.cmd)),
        ("directory", container.working_dir.clone()),
        ("user", container.user.clone()),
    ];
    rows.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn listed<'a>(title: &str, values: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut lines: Vec<String> = values.map(|value| format!("  {}", output::cell(value))).collect();
    if !lines.is_empty() {
        lines.insert(0, title.to_owned());
    }
    lines
}

fn layer_line(layer: &Descriptor, step: Option<&str>) -> String {
    const LONGEST: usize = 60;
    let step: String = output::cell(step.unwrap_or_default()).chars().take(LONGEST).collect();
    format!("  {} {:>9}  {step}", layer.digest, output::size(layer.size)).trim_end().to_owned()
}
