//! An access token for GitLab's API: it is asked for its scopes before it is kept.

use super::error::LoginError;
use super::sentences::kept_in;
use super::surroundings::{Surroundings, User};
use crate::config::ServerUrl;
use crate::credential::{Keeper, Stored};
use crate::failure::Report;
use crate::gitlab::{GitlabError, Token, TokenKind};
use crate::text::one_line;

/// Checks a token and keeps it.
///
/// # Errors
/// When the server refuses it, it cannot read the API, or nothing can be stored; nothing is stored then.
pub fn keep_api(
    here: &dyn Surroundings,
    server: &ServerUrl,
    store: Option<Keeper>,
    user: impl User,
) -> Result<Stored, Report> {
    let secret = user.secret(&format!("Access token for the API of {server}"))?;
    let token =
        Token { kind: TokenKind::Access, secret: secret.clone(), source: "this login".into() };
    let client = here.gitlab_at(server.clone(), token)?;
    match here.runtime()?.block_on(client.access_token()) {
        Ok(token) => {
            let scopes = one_line(&token.scopes.join(", "));
            if !token.scopes.iter().any(|s| s == "read_api" || s == "api") {
                return Err(LoginError::NoApi { server: server.clone(), scopes }.into());
            }
            here.say(&format!("the token is right; its scopes: {scopes}"));
        }
        Err(GitlabError::Answer { status: 404, .. }) => {
            here.say(&format!("{server} does not tell a token's scopes; it was not checked"));
        }
        Err(error) => return Err(error.into()),
    }
    let stored = here.credentials().store_api(server, &secret, store)?;
    for note in &stored.notes {
        here.say(note);
    }
    here.say(&format!("logged in to the API of {server}; kept in {}", kept_in(&stored)));
    Ok(stored)
}
