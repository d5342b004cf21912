//! The settings: read from one file, merged over the levels, listed for `config show`.
//!
//! ```text
//! rows.rs    one row for each key: field, name, who may set it, how it is read, shown, merged
//!   |        (key.rs: what a row is; slot.rs: one value, a list, a table; values.rs, images.rs, mounts.rs, limits.rs)
//! table.rs   the rows of all groups: find, read, merge, show
//!   |
//! settings.rs   a file's text, key by key
//! ```

mod images;
mod key;
mod limits;
mod mounts;
mod rows;
mod shown;
mod slot;
mod table;
#[cfg(test)]
mod tests;
mod values;

use std::path::Path;

use toml::de::DeTable;

use super::keys;
use super::read::{Item, Source};
use super::{ConfigError, Level, Problem};

pub use images::Meant;
pub use key::{Head, Who};
pub use rows::{
    BackendSettings, Config, DeliverySettings, GitlabSettings, HubSettings, PolicySettings,
    RegistrySifSettings, StoreSettings, SubmitSettings, WaitSettings,
};
pub use shown::ShownValue;
use table::Row;

/// What a path is among the keys.
enum Found {
    /// A key.
    Key(Row),
    /// A table that holds keys.
    Table,
    /// Nothing that is known.
    Nothing,
}

/// Looks a path up among the rows.
fn find(path: &[&str]) -> Found {
    let mut found = Found::Nothing;
    for row in Row::all() {
        let parts: Vec<&str> = row.head.name.split('.').collect();
        let begins = parts.len() >= path.len()
            && path.iter().zip(&parts).all(|(name, part)| *part == "*" || part == name);
        match begins {
            true if parts.len() == path.len() => return Found::Key(row),
            true => found = Found::Table,
            false => {}
        }
    }
    found
}

impl Config {
    /// Reads one file's text. `file` is for messages and origins; nothing is opened.
    ///
    /// # Errors
    /// Names the file, the line and the key; a key that `level` may not set is
    /// [`Problem::Forbidden`].
    pub fn parse(text: &str, level: Level, file: &Path) -> Result<Self, ConfigError> {
        let source = Source { file, text, level: Some(level) };
        let mut config = Self::default();
        config.walk(&source.table()?, &[], source)?;
        Ok(config)
    }

    /// Reads the keys of a table that stands at `prefix`; as deep as the list of keys, not as
    /// deep as the file.
    fn walk(
        &mut self,
        table: &DeTable<'_>,
        prefix: &[&str],
        source: Source<'_>,
    ) -> Result<(), ConfigError> {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let path = [prefix, &[name]].concat();
            let joined = path.join(".");
            let item = Item { source, key: &joined, name, value };
            let refuse = |problem| Err(source.error(key.span().start, problem));
            if let Some(scheme) = value.get_ref().as_str().and_then(keys::password_in) {
                let postgres = scheme.starts_with("postgres");
                return refuse(Problem::Password { key: joined, postgres });
            }
            match find(&path) {
                Found::Key(Row { head, .. })
                    if head.who == Who::Trusted && source.level == Some(Level::Project) =>
                {
                    return refuse(Problem::Forbidden { key: joined, also: head.also });
                }
                Found::Key(row) => row.set(self, &path, &item)?,
                Found::Table => self.walk(item.table()?, &path, source)?,
                // a policy that is not enforced is none
                Found::Nothing if prefix == ["policy"] => {
                    return refuse(Problem::Policy { key: joined });
                }
                Found::Nothing if path.iter().any(|name| keys::is_secret(name)) => {
                    return refuse(Problem::Secret { key: joined });
                }
                Found::Nothing => {
                    let nearest = keys::nearest(&path, Self::keys().map(|head| head.name));
                    return refuse(Problem::Unknown { key: joined, nearest });
                }
            }
        }
        Ok(())
    }

    /// Every key that there is.
    pub fn keys() -> impl Iterator<Item = &'static Head> {
        Row::all().map(|row| row.head)
    }

    /// One configuration of the three: single values and table entries of the later level win,
    /// lists are added up, and of mounts to one target the later level's stays.
    #[must_use]
    pub fn merge(site: Self, user: Self, project: Self) -> Self {
        site.under(user).under(project)
    }

    /// This configuration below `upper`, whose values win; for `--config FILE` over the user's.
    #[must_use]
    pub fn under(mut self, mut upper: Self) -> Self {
        table::merge(&mut self, &mut upper);
        self
    }

    /// Every value that somebody said, by key.
    #[must_use]
    pub fn entries(&self) -> Vec<ShownValue<'_>> {
        table::shown(self)
    }
}
