//! Where credentials come from and where they never go: docker's files and helpers, the keyring,
//! `auth-explain`, `login` on a terminal, the published incidents, and a canary table of hostile answers.

#[path = "credentials/api.rs"]
mod api;
#[path = "credentials/canary.rs"]
mod canary;
#[path = "credentials/command.rs"]
mod command;
#[path = "credentials/common.rs"]
mod common;
#[path = "credentials/docker.rs"]
mod docker;
#[path = "credentials/helpers.rs"]
mod helpers;
#[path = "credentials/incidents.rs"]
mod incidents;
#[path = "credentials/keyring.rs"]
mod keyring;
#[path = "credentials/proxies.rs"]
mod proxies;
#[path = "credentials/terminal.rs"]
mod terminal;
