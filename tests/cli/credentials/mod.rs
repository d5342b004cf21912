//! Where credentials come from and where they never go: docker's files and helpers, the keyring,
//! `auth-explain`, `login` on a terminal, the published incidents, and a canary table of hostile answers.

mod api;
mod canary;
mod command;
mod common;
mod docker;
mod helpers;
mod incidents;
mod keyring;
mod proxies;
mod terminal;
