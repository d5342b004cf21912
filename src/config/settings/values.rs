//! Reads the kinds of values that only the configuration has, and writes some of them.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::read::Item;
use crate::config::{ConfigError, Problem, ServerUrl, variables};
use crate::job::{CallFilter, Name};
use crate::oci::{Registry, Repository};

/// A group by its name or number.
pub(super) fn group(item: &Item<'_>) -> Result<String, ConfigError> {
    let text = item.line_of_text()?;
    let good = |c: char| c.is_alphanumeric() || "._-@\\ ".contains(c);
    if !text.chars().all(good) {
        return Err(item.bad_value("write a group's name or its number"));
    }
    Ok(text)
}

/// Whether the filter is on.
pub(super) fn filter(item: &Item<'_>) -> Result<CallFilter, ConfigError> {
    let text = item.text()?;
    let known = CallFilter::ALL.iter().find(|(name, _)| *name == text);
    known
        .map(|(_, filter)| *filter)
        .ok_or_else(|| item.bad_value(format!("{text:?} is none of auto, on, off")))
}

/// A registry; a text with `@` may hold a password and is not repeated.
pub(super) fn registry(item: &Item<'_>) -> Result<Registry, ConfigError> {
    if item.text()?.contains('@') {
        return Err(item.bad_value("a registry has no user: write host or host:port"));
    }
    item.parsed()
}

/// `host/prefix`, as it stands in the names of the images there.
pub(super) fn path_prefix(item: &Item<'_>) -> Result<String, ConfigError> {
    let text = item.line_of_text()?;
    let bad = || item.bad_value("write host/prefix or host:port/prefix");
    let (host, path) = text.split_once('/').filter(|_| !text.contains('@')).ok_or_else(bad)?;
    host.parse::<Registry>().map_err(|_| bad())?;
    path.parse::<Repository>().map_err(|_| bad())?;
    Ok(text)
}

/// A variable's name, as a shell can set it.
pub(super) fn variable(item: &Item<'_>) -> Result<String, ConfigError> {
    let name = item.line_of_text()?;
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(good) {
        return Err(item.bad_value("write the variable's name, without $ and value"));
    }
    Ok(name)
}

/// The value of a variable for the program; a project file must not set one that decides what runs.
pub(super) fn for_the_program(item: &Item<'_>) -> Result<String, ConfigError> {
    let variable = item.variable(item.name)?;
    if variable.name != item.name {
        return Err(item.bad_value("a variable's name has no ="));
    }
    if item.is_of_project() && variables::decides_what_runs(&variable.name) {
        return Err(item.error(Problem::Variable { name: variable.name }));
    }
    Ok(variable.value)
}

/// A realm is scheme, host and port: nothing that could be mistaken for one place of a server.
pub(super) fn realm(item: &Item<'_>) -> Result<ServerUrl, ConfigError> {
    let realm: ServerUrl = item.parsed()?;
    if !realm.path().is_empty() {
        return Err(item.bad_value("a realm has no path: write https://host or https://host:port"));
    }
    Ok(realm)
}

#[expect(clippy::ptr_arg, reason = "a row shows what it holds")]
pub(super) fn path(path: &PathBuf) -> String {
    path.display().to_string()
}

#[expect(clippy::ptr_arg, reason = "a row shows what it holds")]
pub(super) fn names(names: &Vec<Name>) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

pub(super) fn age(age: &Duration) -> String {
    format!("{}s", age.as_secs())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "a row shows what it holds")]
pub(super) fn seconds(seconds: &u64) -> String {
    format!("{seconds}s")
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "a row shows what it holds")]
pub(super) fn mebibytes(mib: &u64) -> String {
    format!("{mib}M")
}
