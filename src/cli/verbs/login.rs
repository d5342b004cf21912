//! `moorline login` and `logout`: a registry's credential, checked before it is kept.

use std::io::{self, IsTerminal};

use clap::Args;
use serde_json::json;

use crate::acquire::What;
use crate::cli::args::credential_args::from_stdin;
use crate::cli::context::Context;
use crate::cli::show::document;
use crate::cli::show::output::{self, CliError, Outcome, Report};
use crate::cli::show::table::{Column, Gives, Table};
use crate::cli::show::terminal::Terminal;
use crate::config::ServerUrl;
use crate::credential::{Keeper, Scope, Stored};
use crate::failure::Kind;
use crate::gitlab::{GitlabError, Token, TokenKind};
use crate::oci::{DOCKER_HUB, Registry, Repository};
use crate::registry::Grant;
use crate::secret::{Candidate, Credential, Realm, Secret};

/// Store a credential for a registry, or for a project of it.
///
/// The secret comes from stdin or a prompt, never from the command line. It is checked at once, and
/// sent only to the registry and to its token realm.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  moorline login gitlab-registry.example/group/project --username gitlab+deploy-token-1
  printf %s \"$DEPLOY_TOKEN\" | moorline login gitlab-registry.example --username NAME \\
      --password-stdin --realm https://gitlab.example
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
    if let Some(server) = &args.api {
        return login_api(context, args, server);
    }
    let (Some(scope), Some(username)) = (&args.scope, &args.username) else {
        return Err(CliError::usage("login needs a registry and --username").into());
    };
    let question = format!("Token or password of {}", output::cell(username));
    let done = keep(context, args, scope, username, || secret(args, &question))?;
    if context.voice.json {
        document::print(&done);
    }
    Ok(0)
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
    let args = Login {
        scope: Some(scope.clone()),
        username: Some(username.to_owned()),
        password_stdin: false,
        store: Some(Keeper::Keyring),
        realm: None,
        api: None,
        list: false,
    };
    keep(context, &args, scope, username, || Ok(password)).map(drop)
}

/// Asks the registry, then for the secret, and keeps it. The document for `--json`.
fn keep(
    context: &Context,
    args: &Login,
    scope: &Scope,
    username: &str,
    secret: impl FnOnce() -> Result<Secret, Report>,
) -> Result<serde_json::Value, Report> {
    let registry = scope.registry.clone();
    let client = context.client()?;
    // the registry is asked before the user: a wrong host should not cost a typed secret
    let named = context.block_on(client.realm(&registry, scope.prefix.as_ref()))??;
    let realm = confirmed(context, args, &registry, named)?;
    let credential = Credential { username: username.to_owned(), password: secret()? };
    let candidate = Candidate {
        credential: credential.clone(),
        source: "this login".into(),
        realms: realm.iter().cloned().collect(),
    };
    let asked = asked(context, scope);
    let grant = context.block_on(client.check(&registry, &asked, candidate))??;
    let stored = context.credentials().store(scope, &credential, realm.as_ref(), args.store)?;
    for note in &stored.notes {
        context.voice.say(note);
    }
    context.voice.say(opens(scope, &asked, &grant));
    let place = kept(&stored);
    context
        .voice
        .say(format!("logged in to {scope} as {}; kept in {place}", output::cell(username)));
    let open = if let Grant::Pulls(open) = &grant { Some(open) } else { None };
    Ok(json!({
        "scope": scope.to_string(), "username": username, "realm": realm,
        "checked": !matches!(grant, Grant::NotAsked), "pulls": open,
        "place": stored.place.to_string(),
        "lasts_seconds": stored.lasts.map(|lasts| lasts.as_secs()),
    }))
}

/// What the registry is asked about: the project of the login itself, and those of the images in
/// moorline.toml that it would be used for.
fn asked(context: &Context, scope: &Scope) -> Vec<Repository> {
    let mut asked: Vec<Repository> = scope.prefix.iter().cloned().collect();
    for what in context.settings().images.values() {
        // an image of another kind is of no registry, and its own verb says what is wrong with it
        if let Ok(What::Reference(found) | What::Oras(found)) = What::parse(context, what)
            && scope.covers(&found.registry, &found.repository)
            && !asked.contains(&found.repository)
        {
            asked.push(found.repository);
        }
    }
    asked
}

/// Which projects the credential opens, as far as a registry tells.
fn opens(scope: &Scope, asked: &[Repository], grant: &Grant) -> String {
    const CLOSED: &str = "it is a group, and a registry does not say which projects it has; or it is missing, \
                          or not the token's own; or the token lacks read_registry";
    let list = |all: &[&Repository]| {
        all.iter().map(|repository| repository.as_str()).collect::<Vec<_>>().join(", ")
    };
    match grant {
        Grant::NotAsked => {
            "the registry allows anonymous access, so the credential was stored without a check"
                .into()
        }
        Grant::Pulls(open) => {
            let closed: Vec<_> = asked.iter().filter(|one| !open.contains(one)).collect();
            let mut text = format!(
                "the credential is right and pulls {}",
                list(&open.iter().collect::<Vec<_>>())
            );
            if !closed.is_empty() {
                text += &format!("; not granted: {} ({CLOSED})", list(&closed));
            }
            text
        }
        Grant::Accepted => {
            "the credential is right; this registry says only with an image what it opens".into()
        }
        Grant::Known if asked.is_empty() => format!(
            "the credential is right; a registry does not say which projects it opens: \
             moorline login {scope}/GROUP/PROJECT asks for one"
        ),
        Grant::Known => format!(
            "the credential is right; not granted: {} ({CLOSED})",
            list(&asked.iter().collect::<Vec<_>>())
        ),
    }
}

/// `login --api URL`: the token is asked for its scopes before it is kept.
fn login_api(context: &Context, args: &Login, server: &ServerUrl) -> Outcome {
    let secret = secret(args, &format!("Access token for the API of {server}"))?;
    let token =
        Token { kind: TokenKind::Access, secret: secret.clone(), source: "this login".into() };
    let client = context.gitlab_at(server.clone(), token)?;
    match context.block_on(client.access_token())? {
        Ok(token) if token.scopes.iter().any(|s| s == "read_api" || s == "api") => {
            context.voice.say(format!(
                "the token is right; its scopes: {}",
                output::cell(&token.scopes.join(", "))
            ));
        }
        Ok(token) => {
            let scopes = output::cell(&token.scopes.join(", "));
            let message = format!(
                "{server} knows this token, but it may not read the API (scopes: {scopes})"
            );
            return Err(CliError::new(Kind::Denied, message)
                .with_hint("make a personal, project or group access token with the scope read_api")
                .into());
        }
        Err(GitlabError::Answer { status: 404, .. }) => {
            context
                .voice
                .say(format!("{server} does not tell a token's scopes; it was not checked"));
        }
        Err(error) => return Err(error.into()),
    }
    let stored = context.credentials().store_api(server, &secret, args.store)?;
    for note in &stored.notes {
        context.voice.say(note);
    }
    context.voice.say(format!("logged in to the API of {server}; kept in {}", kept(&stored)));
    if context.voice.json {
        document::print(&json!({
            "api": server.to_string(), "place": stored.place.to_string(),
            "lasts_seconds": stored.lasts.map(|lasts| lasts.as_secs()),
        }));
    }
    Ok(0)
}

/// Where a secret is, and for how long.
fn kept(stored: &Stored) -> String {
    match (stored.place, stored.lasts) {
        (Keeper::File, _) => "a file that only you can read, until moorline logout".into(),
        (place, None) => format!("{}, until moorline logout", place.described()),
        (place, Some(lasts)) => format!(
            "{} of this machine, until it restarts or nobody uses it for {}; to keep it longer, and \
             for all machines with this home directory: --store file",
            place.described(),
            duration(lasts.as_secs())
        ),
    }
}

/// `3 days`, `90 minutes`: in the largest unit that is exact.
fn duration(seconds: u64) -> String {
    let units = [(24 * 60 * 60, "day"), (60 * 60, "hour"), (60, "minute"), (1, "second")];
    let exact =
        units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    let (unit, name) = exact.unwrap_or((1, "second"));
    let count = seconds / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
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

/// The realm that the secret may be sent to: named by the user, configured, confirmed at an earlier
/// login to this registry, the registry's own host, or confirmed on a terminal now.
fn confirmed(
    context: &Context,
    args: &Login,
    registry: &Registry,
    named: Option<Realm>,
) -> Result<Option<Realm>, Report> {
    let Some(named) = named else { return Ok(args.realm.clone()) };
    let refuse = |message: String| {
        CliError::new(Kind::Denied, message)
            .with_hint(format!("if {named} is your GitLab, add --realm {named}"))
    };
    if let Some(wanted) = &args.realm {
        if *wanted != named {
            return Err(refuse(format!(
                "{registry} sends its clients to {named} for tokens, not to {wanted}; nothing was sent"
            ))
            .into());
        }
        return Ok(Some(named));
    }
    // an http realm of a registry that is not listed as insecure is refused by the client
    let is_own = [format!("https://{registry}"), format!("http://{registry}")]
        .iter()
        .any(|own| own.parse().is_ok_and(|own: Realm| own == named))
        && (named.is_https() || context.is_insecure(registry));
    let hub = registry.as_str() == DOCKER_HUB && named.to_string() == "https://auth.docker.io";
    let logins = context.credentials().list()?;
    let mut remembered = logins.iter().filter(|row| row.scope.is_of(registry));
    let confirmed = context.known_realms(registry).contains(&named)
        || remembered.any(|row| row.realm.as_ref() == Some(&named));
    if is_own || hub || confirmed {
        return Ok(Some(named));
    }
    if !io::stdin().is_terminal() || args.password_stdin {
        return Err(refuse(format!(
            "{registry} sends its clients to {named} for tokens, which is not confirmed; nothing was sent"
        ))
        .into());
    }
    let question =
        format!("{registry} gets its tokens from {named}. Send your secret there? [y/N] ");
    let answer = Terminal::open().and_then(|mut terminal| terminal.line(&question));
    let answer = answer.map_err(|e| cannot_ask(&e))?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(Some(named));
    }
    Err(refuse(format!("{named} was not confirmed; nothing was sent")).into())
}

/// From stdin, or typed without echo.
fn secret(args: &Login, question: &str) -> Result<Secret, Report> {
    if args.password_stdin {
        return from_stdin();
    }
    if !io::stdin().is_terminal() {
        return Err(CliError::usage("no terminal to ask for the secret")
            .with_hint("pipe it in and add --password-stdin")
            .into());
    }
    let typed = Terminal::open().and_then(|mut terminal| terminal.secret(&format!("{question}: ")));
    let secret = typed.map_err(|e| cannot_ask(&e))?;
    if secret.is_empty() { Err(CliError::usage("the secret is empty").into()) } else { Ok(secret) }
}

fn cannot_ask(error: &io::Error) -> Report {
    CliError::usage(format!("cannot ask on the terminal: {error}"))
        .with_hint("pipe the secret in and add --password-stdin")
        .into()
}
