//! A row of the table of keys, and the macro that makes a struct and its rows of one text.
//!
//! ```text
//! /// How large the store may become, in bytes.
//! max_size: One<u64> = "store.max_size", Trusted, Item::size, u64::to_string;
//!     |        |              |             |          |           |
//!   field    what is kept    key       who may set it  read       as text      [, merge: by default `Slot::merge`]
//! ```

use super::shown::ShownValue;
use crate::config::ConfigError;
use crate::config::read::Item;

/// Who may set a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Also a project file: names, references, resources, mounts, environment.
    Anyone,
    /// Site, user, environment, flags: whom to trust, where to write, what to start.
    Trusted,
}

/// What can be said of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its whole path; `*` stands for a name that the author chooses.
    pub name: &'static str,
    /// Who may set it in a file.
    pub who: Who,
    /// The flag or variable that says the same, if there is one; it outdoes every file, or adds to a list.
    pub also: Option<&'static str>,
    /// What it is for.
    pub about: &'static str,
}

/// A key of one group of settings.
pub(in crate::config) struct Key<G> {
    pub(super) head: Head,
    /// Reads it.
    pub(super) set: fn(&mut G, &Item<'_>) -> Result<(), ConfigError>,
    /// Takes what the upper level said; nothing is left there.
    pub(super) merge: fn(&mut G, &mut G),
    /// What was said, under this name.
    pub(super) show: for<'g> fn(&'g G, &str, &mut Vec<ShownValue<'g>>),
}

/// A struct whose fields are keys.
pub(in crate::config) trait Group: Default + 'static {
    /// One for each of its keys.
    const KEYS: &'static [Key<Self>];
}

/// See the module. Behind `and` stand fields that are groups of their own: their tables are listed in `table.rs`.
macro_rules! keys {
    (
        $(#[doc = $of:literal])+
        $group:ident {
            $(
                $(#[doc = $about:literal])+
                $field:ident: $slot:ty = $name:literal, $who:ident $(or $also:literal)?,
                    $read:expr, $show:expr $(, $merge:expr)?;
            )*
        }
        $(and { $( $(#[doc = $part:literal])+ $inner:ident: $type:ty, )* })?
    ) => {
        $(#[doc = $of])+
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $group {
            $( $(#[doc = $about])+ pub $field: $slot, )*
            $($( $(#[doc = $part])+ pub $inner: $type, )*)?
        }

        impl Group for $group {
            const KEYS: &'static [Key<Self>] = &[$(
                Key {
                    head: Head {
                        name: $name,
                        who: Who::$who,
                        also: keys!(@or $($also)?),
                        about: concat!($($about),+),
                    },
                    set: |group, item| Slot::set(&mut group.$field, item, $read),
                    merge: |lower, upper| {
                        let upper = std::mem::take(&mut upper.$field);
                        keys!(@merge $($merge)?)(&mut lower.$field, upper);
                    },
                    show: |group, key, rows| Slot::show(&group.$field, key, $show, rows),
                },
            )*];
        }
    };
    (@or) => { None };
    (@or $also:literal) => { Some($also) };
    (@merge) => { Slot::merge };
    (@merge $merge:expr) => { $merge };
}

pub(super) use keys;
