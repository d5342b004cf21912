//! `moorline config show`: the settings in force and where each comes from.

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::show::document;
use crate::cli::show::output;
use crate::cli::show::table::{Column, Gives, Table};

/// Look at the settings.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  moorline config show")]
pub enum Verb {
    /// Show the settings in force and where each comes from
    #[command(after_help = "\
Examples:
  moorline config show
  moorline --json=key,value config show")]
    Show,
}

/// The verb: it cannot fail, the configuration was read already.
pub fn run(context: &Context, verb: &Verb) {
    match verb {
        Verb::Show => show(context),
    }
}

fn show(context: &Context) {
    let mut rows: Vec<[String; 3]> = context
        .places_said()
        .map(|(key, path, said)| [key.to_owned(), path.display().to_string(), said.to_owned()])
        .to_vec();
    rows.push(["registry".into(), context.default_registry().into(), context.registry_said()]);
    let in_force = rows.len();
    for entry in context.config.entries() {
        // those four are there already, with what is in force
        if rows[..in_force].iter().all(|[key, ..]| *key != entry.key) {
            rows.push([entry.key, entry.value, entry.origin.to_string()]);
        }
    }
    if context.voice.json {
        let values: Vec<_> = rows
            .iter()
            .map(|[key, value, origin]| {
                serde_json::json!({"key": key, "value": value, "origin": origin})
            })
            .collect();
        document::print(&values);
        return;
    }
    let mut table = Table::new([
        Column::new("KEY", Gives::Whole),
        Column::new("VALUE", Gives::Path),
        Column::new("FROM", Gives::Text),
    ]);
    for row in rows {
        table.row(row);
    }
    output::painted(&table.lines(context.voice.width()));
}
