//! A credential for this one command: `--username` with `--password-stdin`, or `--credential-file`.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::PathBuf;

use clap::Args;
use zeroize::Zeroizing;

use crate::cli::context::Context;
use crate::cli::show::output::{CliError, Report};
use crate::credential::{Explicit, Scope};
use crate::oci::Registry;
use crate::secret::{LONGEST, Secret};

/// The flags; all or none.
#[derive(Args, Clone, Debug, Default)]
pub struct CredentialArgs {
    /// User name for the registry, for this command only; with --password-stdin
    #[arg(long, value_name = "NAME", requires = "password_stdin")]
    username: Option<String>,
    /// Read the secret of --username from stdin
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// Read user name and secret from a file that only you can reach: a line each
    #[arg(long, value_name = "FILE", conflicts_with = "username")]
    credential_file: Option<PathBuf>,
}

impl CredentialArgs {
    /// Whether there is one.
    pub fn is_given(&self) -> bool {
        self.username.is_some() || self.credential_file.is_some()
    }

    /// Hands the credential to the context before anything is asked of a registry. It is for the one registry
    /// of the images: `None` for one that is in no registry.
    ///
    /// # Errors
    /// When the images are of several registries or of none, or there is no secret.
    pub fn apply(
        &self,
        context: &Context,
        images: impl IntoIterator<Item = Option<Registry>>,
    ) -> Result<(), Report> {
        if !self.is_given() {
            return Ok(());
        }
        let registries: BTreeSet<Registry> = images.into_iter().flatten().collect();
        let mut registries = registries.into_iter();
        let (Some(registry), None) = (registries.next(), registries.next()) else {
            return Err(CliError::usage(
                "a credential on the command line is for images of one registry",
            )
            .with_hint("moorline login keeps one for each registry")
            .into());
        };
        let scope = Scope { registry, prefix: None };
        let explicit = match (&self.username, &self.credential_file) {
            (Some(username), _) => Explicit::typed(scope, username.clone(), from_stdin()?),
            (None, Some(path)) => Explicit::from_file(scope, path)?,
            (None, None) => return Ok(()),
        };
        context.use_credential(explicit)
    }
}

/// A secret from stdin without its line end.
///
/// # Errors
/// When stdin cannot be read or holds none.
pub fn from_stdin() -> Result<Secret, Report> {
    let mut text = Zeroizing::new(String::new());
    io::stdin().lock().take(LONGEST as u64).read_to_string(&mut text).map_err(|error| {
        CliError::usage(format!("cannot read the secret from standard input: {error}"))
    })?;
    let secret = Secret::new(text.trim_end_matches(['\n', '\r']).to_owned());
    if secret.is_empty() { Err(CliError::usage("the secret is empty").into()) } else { Ok(secret) }
}
