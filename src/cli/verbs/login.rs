//! `moorline login` and `logout`: a registry's credential, checked before it is kept.

use std::io::{self, IsTerminal};

use clap::Args;
use serde_json::json;

use crate::cli::args::credential_args::from_stdin;
use crate::cli::context::Context;
use crate::cli::show::document;
use crate::cli::show::output::{self, CliError, Outcome, Report};
use crate::cli::show::table::{Column, Gives, Table};
use crate::cli::show::terminal::Terminal;
use crate::config::ServerUrl;
use crate::credential::{Keeper, Scope};
use crate::login::{self, KeptLogin, LoginRequest, User};
use crate::oci::DOCKER_HUB;
use crate::registry::Grant;
use crate::secret::{Realm, Secret};

/// Store a credential for a registry, or for a project of it.
///
/// The secret comes from stdin or a prompt, never from the command line. It is checked at once, and
/// sent only to the registry and to its token realm.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  moorline login gitlab-registry.example/group/project \\
      --username gitlab+deploy-token-1
  printf %s \"$DEPLOY_TOKEN\" | moorline login gitlab-registry.example \\
      --username NAME --password-stdin --realm https://gitlab.example
  moorline login --list")]
pub struct Login {
    /// The registry, or a project or group of it
    #[arg(value_name = "REGISTRY[/PREFIX]", required_unless_present_any = ["list", "api"], value_parser = Scope::typed)]
    scope: Option<Scope>,
    /// The user name; for a deploy token exactly the token's own
    #[arg(short, long, value_name = "NAME", required_unless_present_any = ["list", "api"])]
    username: Option<String>,
    /// Read the secret from stdin
    #[arg(long)]
    password_stdin: bool,
    /// Keep it in a keyring (the desktop's, else the kernel's) or in a file that only you can read;
    /// default: the first of these that answers
    #[arg(long, value_name = "keyring|file", value_parser = place)]
    store: Option<Keeper>,
    /// The server that hands out the registry's tokens: scheme, host and port
    #[arg(long, value_name = "URL")]
    realm: Option<Realm>,
    /// Store an access token (scope `read_api`) for the API of this GitLab; no registry gets it
    #[arg(long, value_name = "URL", conflicts_with_all = ["scope", "username", "realm"])]
    api: Option<ServerUrl>,
    /// List what is stored, never a secret
    #[arg(long, conflicts_with_all = ["scope", "username", "password_stdin", "store", "realm", "api"])]
    list: bool,
}

/// Forget a stored credential.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  moorline logout gitlab-registry.example/group/project
  moorline logout --api https://gitlab.example")]
pub struct Logout {
    /// The registry, or the project or group of it, as it was given to login
    #[arg(value_name = "REGISTRY[/PREFIX]", required_unless_present = "api", value_parser = Scope::typed)]
    scope: Option<Scope>,
    /// Forget the access token for the API of this GitLab
    #[arg(long, value_name = "URL", conflicts_with = "scope")]
    api: Option<ServerUrl>,
}

fn place(text: &str) -> Result<Keeper, String> {
    match text {
        "keyring" => Ok(Keeper::Keyring),
        "file" => Ok(Keeper::File),
        other => Err(format!("{other:?}: keyring or file")),
    }
}

/// The verb `login`.
///
/// # Errors
/// When the credential is refused or of the wrong kind, the realm is not known, or nothing can be
/// stored; nothing is stored then.
pub fn login(context: &Context, args: &Login) -> Outcome {
    if args.list {
        return list(context);
    }
    let user = Typed { on_stdin: args.password_stdin };
    if let Some(server) = &args.api {
        let stored = login::keep_api(context, server, args.store, user)?;
        if context.voice.json {
            document::print(&json!({
                "api": server.to_string(), "place": stored.place.to_string(),
                "lasts_seconds": stored.lasts.map(|lasts| lasts.as_secs()),
            }));
        }
        return Ok(0);
    }
    let (Some(scope), Some(username)) = (args.scope.clone(), args.username.clone()) else {
        return Err(CliError::usage("login needs a registry and --username").into());
    };
    let typed = scope.registry.as_str();
    let default = context.default_registry();
    // GROUP/PROJECT, as images are named with a registry of one's own
    if scope.prefix.is_some()
        && !typed.contains(['.', ':'])
        && typed != "localhost"
        && default != DOCKER_HUB
    {
        let text = format!("{scope}: {typed} is no registry");
        let hint = format!("write moorline login {default}/{scope} --username NAME");
        return Err(CliError::usage(text).with_hint(hint).into());
    }
    let wish = LoginRequest { scope, username, realm: args.realm.clone(), store: args.store };
    let kept = login::keep(context, &wish, user)?;
    if context.voice.json {
        document::print(&value(&wish, &kept));
    }
    Ok(0)
}

fn value(wish: &LoginRequest, KeptLogin { realm, grant, stored }: &KeptLogin) -> serde_json::Value {
    let open = if let Grant::Pulls(open) = grant { Some(open) } else { None };
    json!({
        "scope": wish.scope.to_string(), "username": wish.username, "realm": realm,
        "checked": !matches!(grant, Grant::NotAsked), "pulls": open,
        "place": stored.place.to_string(),
        "lasts_seconds": stored.lasts.map(|lasts| lasts.as_secs()),
    })
}

/// The verb `logout`.
///
/// # Errors
/// When nothing is stored under this scope, or it cannot be removed.
pub fn logout(context: &Context, args: &Logout) -> Outcome {
    let (what, erased) = match (&args.scope, &args.api) {
        (Some(scope), _) => (scope.to_string(), context.credentials().erase(scope)?),
        (None, Some(server)) => {
            (format!("the API token of {server}"), context.credentials().erase_api(server)?)
        }
        (None, None) => return Err(CliError::usage("logout needs a registry or --api").into()),
    };
    let place = erased.place.described();
    if erased.remains {
        output::warn(format!(
            "{what} is forgotten here, but its secret is still in {place}, which does not answer in \
             this session: remove the entry \"moorline\" there, or revoke the token"
        ));
    } else {
        context.voice.say(format!("removed {what} from {place}"));
    }
    if context.voice.json {
        let place = erased.place.to_string();
        document::print(&json!({ "removed": what, "place": place, "remains": erased.remains }));
    }
    Ok(0)
}

fn list(context: &Context) -> Outcome {
    let chain = context.credentials();
    let (rows, tokens) = (chain.list()?, chain.list_api()?);
    if context.voice.json {
        let rows = rows.iter().map(|row| json!(row));
        let tokens = tokens.iter().map(|row| json!({ "api": row.server, "place": row.place }));
        document::print(&rows.chain(tokens).collect::<Vec<_>>());
        return Ok(0);
    }
    if rows.is_empty() && tokens.is_empty() {
        context.voice.say("no credential is stored");
        return Ok(0);
    }
    let mut table = Table::new([
        Column::new("REGISTRY", Gives::Path),
        Column::new("USER", Gives::Text),
        Column::new("REALM", Gives::Text),
        Column::new("KEPT IN", Gives::Text),
    ]);
    for row in rows {
        table.row([
            row.scope.to_string(),
            row.username,
            row.realm.map_or_else(|| "-".into(), |realm| realm.to_string()),
            row.place.to_string(),
        ]);
    }
    for row in tokens {
        let dash = || "-".to_owned();
        table.row([format!("API of {}", row.server), dash(), dash(), row.place.to_string()]);
    }
    output::painted(&table.lines(context.voice.width()));
    Ok(0)
}

/// The user, who types the secret without echo or pipes it in.
struct Typed {
    on_stdin: bool,
}

impl User for Typed {
    fn secret(self, question: &str) -> Result<Secret, Report> {
        if self.on_stdin {
            return from_stdin();
        }
        if !io::stdin().is_terminal() {
            return Err(CliError::usage("no terminal to ask for the secret")
                .with_hint("pipe it in and add --password-stdin")
                .into());
        }
        let typed =
            Terminal::open().and_then(|mut terminal| terminal.secret(&format!("{question}: ")));
        let secret = typed.map_err(|e| cannot_ask(&e))?;
        if secret.is_empty() {
            return Err(CliError::usage("the secret is empty").into());
        }
        Ok(secret)
    }

    fn confirms(&self, question: &str) -> Result<Option<bool>, Report> {
        if self.on_stdin { Ok(None) } else { confirms(question) }
    }
}

/// A secret that came with something else.
struct Handed(Secret);

impl User for Handed {
    fn secret(self, _: &str) -> Result<Secret, Report> {
        Ok(self.0)
    }

    fn confirms(&self, question: &str) -> Result<Option<bool>, Report> {
        confirms(question)
    }
}

/// Keeps a credential that came with something else, in a keyring, after the same questions and checks.
///
/// # Errors
/// As [`login`].
pub fn keep_token(
    context: &Context,
    scope: &Scope,
    username: &str,
    password: Secret,
) -> Result<(), Report> {
    let (scope, username) = (scope.clone(), username.to_owned());
    let wish = LoginRequest { scope, username, realm: None, store: Some(Keeper::Keyring) };
    login::keep(context, &wish, Handed(password)).map(drop)
}

/// Asks on the terminal; `None` where there is none.
fn confirms(question: &str) -> Result<Option<bool>, Report> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    let answer = Terminal::open().and_then(|mut terminal| terminal.line(question));
    let answer = answer.map_err(|e| cannot_ask(&e))?;
    Ok(Some(matches!(answer.trim(), "y" | "Y" | "yes")))
}

fn cannot_ask(error: &io::Error) -> Report {
    CliError::usage(format!("cannot ask on the terminal: {error}"))
        .with_hint("pipe the secret in and add --password-stdin")
        .into()
}
