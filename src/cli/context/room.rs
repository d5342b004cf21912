//! Warnings about the place of the store, before something is put there.

use std::path::Path;
use std::time::Duration;

use crate::backend;
use crate::cli::context::Context;
use crate::cli::show::output;
use crate::store::{Of, QuotaQuestion, Room, Store};

/// A file server that is away is waited for no longer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Says when the store lies where it does not work well; `shared`: other machines read it.
pub fn suits(context: &Context, store: &Store, shared: bool) {
    if let Some(why) = store.unsuitable(shared) {
        let root = context.cache_dir().display();
        output::warn(format!("the store {root} {why}; set MOORLINE_CACHE to another place"));
    }
}

/// Says when there is little room left for an image.
pub fn has_room(context: &Context, store: &Store) {
    for said in tight(context, store) {
        output::warn(said);
    }
}

/// A sentence about each limit that is nearly reached where the store lies.
pub fn tight(context: &Context, store: &Store) -> Vec<String> {
    let mut rooms: Vec<Room> = store.file_system().into_iter().collect();
    if let Some(QuotaQuestion { program, args }) = store.quota() {
        let environment = Context::engine_environment();
        let answer = backend::answer(&environment, (program, &args), PATIENCE);
        rooms.extend(answer.as_deref().map(QuotaQuestion::read).unwrap_or_default());
    }
    rooms
        .iter()
        .filter(|room| room.is_tight())
        .map(|room| told(room, context.cache_dir()))
        .collect()
}

fn told(room: &Room, root: &Path) -> String {
    let (percent, root) = (room.percent(), root.display());
    let what = match room.of {
        Of::FileSystem => format!("the file system of the store {root} is {percent} % used"),
        Of::Quota => format!("{percent} % of your quota are used where the store {root} lies"),
        Of::Files => format!("{percent} % of your quota of files are used where {root} lies"),
    };
    let left = match room.of {
        Of::Files => format!("{} files", room.left()),
        _ => output::size(room.left()),
    };
    format!("{what}, {left} are left; moorline cache prune --older-than 30d makes room")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_told_with_what_is_left() {
        let root = Path::new("/store");
        let room = |of| Room { of, used: 900_000, limit: 1_000_000 };
        let said = |of| told(&room(of), root);
        assert_eq!(
            said(Of::FileSystem),
            "the file system of the store /store is 90 % used, 100.0 kB are left; moorline cache prune --older-than 30d makes room"
        );
        assert!(said(Of::Quota).starts_with("90 % of your quota are used where the store /store"));
        assert!(said(Of::Files).contains("100000 files are left"));
    }
}
