//! GitLab's server and its API: configured, CI's own, or that of the clone around this directory.

use std::sync::Arc;

use super::Context;
use crate::cli::show::output::{self, CliError, Report};
use crate::config::ServerUrl;
use crate::failure::Kind;
use crate::gitlab::{self, CiJob, Token, TokenKind};
use crate::secret::{Realm, Secret};

impl Context {
    /// The job of GitLab CI that this process runs in.
    ///
    /// # Errors
    /// When CI's own variables contradict what GitLab documents.
    pub fn ci_job(&self) -> Result<Option<CiJob>, Report> {
        CiJob::read(|name| self.env(name)).map_err(|why| {
            CliError::new(Kind::Configuration, format!("this looks like GitLab CI, but {why}"))
                .with_hint("name the image by its reference")
                .into()
        })
    }

    /// GitLab's server: configured, or CI's own.
    pub fn gitlab_server(&self) -> Option<ServerUrl> {
        let configured = self.config.gitlab.url.as_ref().map(|value| value.value.clone());
        configured.or_else(|| self.ci_server())
    }

    /// CI's own server.
    pub fn ci_server(&self) -> Option<ServerUrl> {
        self.env("CI_SERVER_URL")?.parse().ok()
    }

    /// A client for GitLab's API, when its server is known and a token for it is at hand. A job's
    /// token goes to the server that gave it only.
    ///
    /// # Errors
    /// When the token may not be sent there, or a CA file is broken.
    pub fn gitlab(&self) -> Result<Option<gitlab::Client>, Report> {
        const OWN: &str = "MOORLINE_GITLAB_TOKEN";
        const JOB: &str = "CI_JOB_TOKEN";
        let Some(server) = self.gitlab_server() else { return self.gitlab_of_remote() };
        let token = |kind, text: &str, source: &str| Token {
            kind,
            secret: Secret::new(text.to_owned()),
            source: source.to_owned(),
        };
        if let Some(text) = self.env(OWN) {
            return self.gitlab_at(server, token(TokenKind::Access, text, OWN)).map(Some);
        }
        if let Some((secret, source)) = self.credentials().api_token(&server)? {
            let token = Token { kind: TokenKind::Access, secret, source };
            return self.gitlab_at(server, token).map(Some);
        }
        let of_ci = self.ci_server().as_ref() == Some(&server);
        match self.env(JOB).filter(|_| of_ci) {
            Some(text) => self.gitlab_at(server, token(TokenKind::Job, text, JOB)).map(Some),
            None => Ok(None),
        }
    }

    /// Where nothing else names a server: that of the git remote, with a token that was kept for
    /// exactly it. Other tokens do not go where only a directory's content leads.
    fn gitlab_of_remote(&self) -> Result<Option<gitlab::Client>, Report> {
        let here = std::env::current_dir().ok();
        let writers = self.project_writers();
        // a clone that cannot be read names nothing
        let remote = here.and_then(|dir| gitlab::remote(&dir, &writers).ok().flatten());
        let Some(server) = remote.and_then(|remote| remote.server) else { return Ok(None) };
        if let Some((secret, source)) = self.credentials().api_token(&server)? {
            let token = Token { kind: TokenKind::Access, secret, source };
            return self.gitlab_at(server, token).map(Some);
        }
        if self.env("MOORLINE_GITLAB_TOKEN").is_some() {
            output::warn(format!(
                "MOORLINE_GITLAB_TOKEN is not sent to {server}, which only this directory's git \
                 remote names: write [gitlab] url in your configuration, or moorline login --api {server}"
            ));
        }
        Ok(None)
    }

    /// A client for the API of this server, with this token: one for the whole command, so that a
    /// refused token is sent once.
    ///
    /// # Errors
    /// When the token may not be sent there, or a CA file is broken.
    pub fn gitlab_at(&self, server: ServerUrl, token: Token) -> Result<gitlab::Client, Report> {
        let mut made = self.api_clients.borrow_mut();
        if let Some(client) = made.iter().find(|client| client.is_for(&server, &token)) {
            return Ok(client.clone());
        }
        let url = server.to_string().parse::<Realm>().ok();
        let insecure = url
            .is_some_and(|u| self.insecure.iter().any(|listed| listed.names(u.host(), u.port())));
        let client = gitlab::Client::new(gitlab::Options {
            server,
            token,
            ca_files: self.ca_files.clone(),
            insecure,
            proxies: self.proxies()?,
            hidden: self.hidden.clone(),
            notice: Some(Arc::new(|sentence| output::warn(sentence))),
            // a host that is both has one budget
            hosts: Some(self.hosts()),
            patience: std::time::Duration::from_secs(30),
        })?;
        made.push(client.clone());
        Ok(client)
    }
}
