//! `moorline cache`: what is in the store, making room in it, and whether it is whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use crate::audit::repositories;
use crate::cli::context::Context;
use crate::cli::context::prune;
use crate::cli::show::document;
use crate::cli::show::exit;
use crate::cli::show::output::{self, Outcome};
use crate::cli::show::shorten;
use crate::cli::show::table::{Column, Gives, Table};
use crate::config;
use crate::failure::Kind;
use crate::oci::Digest;
use crate::sign::SigningKey;
use crate::store::{Inventory, Item, Store, Wanted, What};
use crate::text::plural;

/// Look after the store of images and layers.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  moorline cache ls
  moorline cache prune --older-than 30d")]
pub enum Verb {
    /// List the images and say how much room everything takes
    #[command(after_help = "\
Examples:
  moorline cache ls
  moorline cache ls --full")]
    Ls,
    /// Make room; an image that a job needs stays
    ///
    /// Without a limit only leftovers go. An image that a submitted or running job needs is never removed.
    /// Images go to the store's trash and are deleted by a later prune, when no job can be running from
    /// them any more: `trash_age` of [store] in the configuration, 7 days if it is not set. The same limits
    /// hold for what jobs left in this machine's own cache (`node_cache`, else /tmp); there an image that a
    /// job runs from stays.
    Prune(Prune),
    /// Hash everything again; what is damaged is put away, and the exit code is 6
    #[command(after_help = "\
Examples:
  moorline cache verify")]
    Verify,
    /// Make a key for `convert --site` and `--push`
    ///
    /// The secret goes into a new file, the public key is printed.
    #[command(after_help = "\
Examples:
  moorline cache key ~/moorline.key")]
    Key {
        /// The new file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Make room in the store.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline cache prune --older-than 30d --dry-run
  moorline cache prune --max-size 50G")]
pub struct Prune {
    /// Remove what was not used for this long: 12h, 30d, 8w
    #[arg(long, value_name = "AGE", value_parser = config::parse_age)]
    older_than: Option<Duration>,
    /// Remove the least recently used until this is left: 500M, 50G; powers of 1024
    #[arg(long, value_name = "SIZE", value_parser = config::parse_size)]
    max_size: Option<u64>,
    /// Delete what is in the trash now; a job that runs from it on another machine would fail
    #[arg(long)]
    empty_trash: bool,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
}

/// The verb.
///
/// # Errors
/// When the store cannot be read or written.
pub fn run(context: &Context, verb: &Verb) -> Outcome {
    if let Verb::Key { file } = verb {
        let public = SigningKey::create(file)?.public().to_string();
        if context.voice.json {
            document::print(&json!({ "file": file, "public_key": public }));
        } else {
            output::line(public);
        }
        return Ok(0);
    }
    let store = context.store()?;
    match verb {
        Verb::Ls => ls(context, &store),
        Verb::Prune(args) => prune(context, &store, args),
        Verb::Verify | Verb::Key { .. } => verify(context, &store),
    }
}

// ---- ls

fn ls(context: &Context, store: &Store) -> Outcome {
    let found = store.inventory()?;
    for problem in &found.problems {
        output::warn(problem);
    }
    let made_from = found.items.iter().flat_map(|item| &item.made_from);
    let names = repositories(context, made_from.map(|(manifest, _)| *manifest));
    if context.voice.json {
        let items: Vec<Value> = found.items.iter().map(|item| row(&found, item, &names)).collect();
        document::print(&json!({
            "store": store.root(), "items": items, "size": found.size(),
            "trash": count(found.trash), "temporary": count(found.temporary),
            "unpacked": count(found.unpacked), "runtimes": count(found.runtimes), "busy": found.busy,
        }));
        return Ok(0);
    }
    let images: Vec<&Item> =
        found.items.iter().rev().filter(|item| matches!(item.what, What::Sif(_))).collect();
    if !images.is_empty() {
        let mut table = Table::new([
            Column::new("SIF", Gives::Digest),
            Column::new("SIZE", Gives::Whole),
            Column::new("USED", Gives::Whole),
            Column::new("JOBS", Gives::Whole),
            Column::new("MADE FROM", Gives::Digest),
        ]);
        for item in images {
            table.row(line(&found, item, &names));
        }
        output::painted(&table.lines(context.voice.width()));
        output::line("");
    }
    output::painted(&totals(&found).lines(context.voice.width()));
    for holder in &found.busy {
        let (what, host) = (output::cell(&holder.what), output::cell(&holder.host));
        context.voice.say(format!("process {} on {host} works at it: {what}", holder.pid));
    }
    Ok(0)
}

fn line(found: &Inventory, item: &Item, names: &BTreeMap<Digest, String>) -> Vec<String> {
    let sif = if let What::Sif(digest) = item.what { digest.to_string() } else { String::new() };
    let from: Vec<String> = item
        .made_from
        .iter()
        .map(|(manifest, _)| match names.get(manifest) {
            Some(name) => format!("{name}@{manifest}"),
            None => manifest.to_string(),
        })
        .collect();
    vec![
        sif,
        output::size(item.size),
        ago(found.age(item)),
        item.marks.len().to_string(),
        if from.is_empty() { "-".into() } else { from.join(", ") },
    ]
}

fn totals(found: &Inventory) -> Table {
    let of = |is: fn(&What) -> bool| {
        let sizes = found.items.iter().filter(|item| is(&item.what)).map(|item| item.size);
        (sizes.clone().count(), sizes.sum::<u64>())
    };
    let rows = [
        ("images", of(|what| matches!(what, What::Sif(_)))),
        ("layers and configurations", of(|what| matches!(what, What::Blob(_)))),
        ("archives for podman and docker", of(|what| matches!(what, What::Archive(_)))),
        ("added runtimes", found.runtimes),
        ("indexes", of(|what| matches!(what, What::Index))),
        ("trash", found.trash),
        ("temporary", found.temporary),
        ("unpacked on this machine", found.unpacked),
    ];
    let mut table = Table::new(["", "FILES", "SIZE"].map(|head| Column::new(head, Gives::Whole)));
    for (name, (files, size)) in rows {
        table.row([name.to_owned(), files.to_string(), output::size(size)]);
    }
    table
}

fn row(found: &Inventory, item: &Item, names: &BTreeMap<Digest, String>) -> Value {
    let (kind, digest) = match item.what {
        What::Blob(digest) => ("blob", Some(digest.to_string())),
        What::Sif(digest) => ("sif", Some(digest.to_string())),
        What::Tree(digest) => ("unpacked", Some(digest.to_string())),
        What::Index => ("index", None),
        What::Archive(manifest) => ("archive", Some(manifest.to_string())),
    };
    let made_from: Vec<Value> = item
        .made_from
        .iter()
        .map(|(manifest, recipe)| {
            json!({"manifest": manifest, "recipe": recipe, "repository": names.get(manifest)})
        })
        .collect();
    json!({
        "kind": kind, "digest": digest, "path": item.path, "size": item.size,
        "unused_seconds": found.age(item).as_secs(), "made_from": made_from,
        "jobs": item.marks.iter().map(|mark| mark.job).collect::<Vec<_>>(),
    })
}

fn count((files, size): (usize, u64)) -> Value {
    json!({"files": files, "size": size})
}

/// An age for people.
fn ago(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..=119 => format!("{seconds} s ago"),
        120..=7199 => format!("{} min ago", seconds / 60),
        7200..=172_799 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86400),
    }
}

// ---- prune

fn prune(context: &Context, store: &Store, args: &Prune) -> Outcome {
    let wanted = Wanted {
        older_than: args.older_than,
        max_size: args.max_size,
        dry_run: args.dry_run,
        empty_trash: args.empty_trash,
        keep: None,
    };
    let done = prune::prune(context, store, wanted)?;
    let node = prune::node(context, wanted);
    if context.voice.json {
        let items: Vec<Value> =
            done.items.iter().map(|item| json!({"path": item.path, "size": item.size})).collect();
        document::print(&json!({
            "removed": items, "freed": done.freed, "waiting": done.waiting, "left": done.left,
            "needed": done.needed, "busy": done.busy, "dry_run": args.dry_run,
            "node": {
                "removed": node.gone.iter().map(|gone| json!({"path": gone.path, "size": gone.size}))
                    .collect::<Vec<_>>(),
                "needed": node.needed, "left": node.left,
            },
        }));
        return Ok(0);
    }
    let brief = |digest: String| {
        if context.voice.full { digest } else { shorten::brief(&digest) }
    };
    let named = |what: What, path: &Path| match what {
        What::Sif(digest) => format!("image {}", brief(digest.to_string())),
        What::Blob(digest) => format!("layer {}", brief(digest.to_string())),
        What::Tree(digest) => format!("unpacked image {}", brief(digest.to_string())),
        What::Index => format!("index {}", path.display()),
        What::Archive(manifest) => format!("archive of {}", brief(manifest.to_string())),
    };
    for item in &done.items {
        output::line(format!("{}  {}", named(item.what, &item.path), output::size(item.size)));
    }
    for gone in &node.gone {
        let what = named(gone.what, &gone.path);
        output::line(format!("on this node: {what}  {}", output::size(gone.size)));
    }
    let (would, wait) = if args.dry_run { ("would free", "would wait") } else { ("freed", "wait") };
    context.voice.say(format!(
        "{would} {}, {} left",
        output::size(done.freed),
        output::size(done.left)
    ));
    if done.waiting > 0 {
        let size = output::size(done.waiting);
        context.voice.say(format!("{size} {wait} in the trash for running jobs to end"));
    }
    if !node.gone.is_empty() || node.left > 0 {
        let size = node.gone.iter().map(|gone| gone.size).sum();
        context.voice.say(format!(
            "{would} {} in this node's cache, {} left",
            output::size(size),
            output::size(node.left)
        ));
    }
    if done.needed > 0 {
        context.voice.say(format!("images that jobs need, kept: {}", done.needed));
    }
    if done.busy > 0 {
        context.voice.say(format!("files kept because an image is converted now: {}", done.busy));
    }
    if let Some(most) = args.max_size.filter(|most| done.left > *most) {
        output::warn(format!(
            "{} are left, more than {}",
            output::size(done.left),
            output::size(most)
        ));
    }
    Ok(0)
}

// ---- verify

fn verify(context: &Context, store: &Store) -> Outcome {
    let done = store.verify(&mut |_| {})?;
    if context.voice.json {
        let faults: Vec<Value> = done
            .faults
            .iter()
            .map(|fault| json!({"path": fault.path, "why": fault.why, "moved": fault.moved}))
            .collect();
        document::print(&json!({
            "blobs": done.blobs, "sifs": done.sifs, "runtimes": done.runtimes, "mappings": done.mappings,
            "bytes": done.bytes, "faults": faults,
        }));
    } else {
        for fault in &done.faults {
            let now = match &fault.moved {
                Some(_) => "moved to the trash",
                None => "left where it is",
            };
            let (path, why) = (fault.path.display(), output::cell(&fault.why));
            output::line(format!("{path}: {why}; {now}"));
        }
        let runtimes = match done.runtimes {
            0 => String::new(),
            files => format!(", {} of added runtimes", plural(files, "file")),
        };
        context.voice.say(format!(
            "{}, {}, {}{runtimes}; {} hashed; {} damaged",
            plural(done.sifs, "image"),
            plural(done.blobs, "layer and configuration file"),
            plural(done.mappings, "mapping"),
            output::size(done.bytes),
            done.faults.len(),
        ));
        context.voice.say(
            "mappings were compared with the manifests in their images: that finds mix-ups, and nothing \
             that somebody made up; whose word is believed stands in the ledger",
        );
    }
    Ok(if done.faults.is_empty() { 0 } else { exit::code(Kind::Integrity) })
}
