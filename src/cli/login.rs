//! `moorline login` and `logout`: a registry's credential, checked before it is kept.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;

use super::context::Context;
use super::credential_args::from_stdin;
use super::output::{self, CliError, Outcome, Report};
use crate::credential::{Place, Scope};
use crate::failure::Kind;
use crate::oci::{DOCKER_HUB, Registry};
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
    #[arg(value_name = "REGISTRY[/PREFIX]", required_unless_present = "list")]
    scope: Option<Scope>,
    /// The user name; for a deploy token exactly the token's own
    #[arg(short, long, value_name = "NAME", required_unless_present = "list")]
    username: Option<String>,
    /// Read the secret from stdin
    #[arg(long)]
    password_stdin: bool,
    /// Keep it in the keyring or in a file that only you can read; default: keyring, else file
    #[arg(long, value_name = "keyring|file", value_parser = place)]
    store: Option<Place>,
    /// The server that hands out the registry's tokens: scheme, host and port
    #[arg(long, value_name = "URL")]
    realm: Option<Realm>,
    /// List what is stored, never a secret
    #[arg(long, conflicts_with_all = ["scope", "username", "password_stdin", "store", "realm"])]
    list: bool,
}

/// Forget a stored credential.
#[derive(Debug, Args)]
pub struct Logout {
    /// The registry, or the project or group of it, as it was given to login
    #[arg(value_name = "REGISTRY[/PREFIX]")]
    scope: Scope,
}

fn place(text: &str) -> Result<Place, String> {
    match text {
        "keyring" => Ok(Place::Keyring),
        "file" => Ok(Place::File),
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
    let (Some(scope), Some(username)) = (&args.scope, &args.username) else {
        return Err(CliError::usage("login needs a registry and --username").into());
    };
    let registry = scope.registry.clone();
    let client = context.client()?;
    // the registry is asked before the user: a wrong host should not cost a typed secret
    let named = context.block_on(client.realm(&registry, scope.prefix.as_ref()))??;
    let realm = confirmed(context, args, &registry, named)?;
    let password = secret(args, username)?;
    let credential = Credential { username: username.clone(), password };
    let candidate = Candidate {
        credential: credential.clone(),
        source: "this login".into(),
        realms: realm.iter().cloned().collect(),
    };
    let grant = context.block_on(client.check(&registry, scope.prefix.as_ref(), candidate))??;
    let stored = context.credentials().store(scope, &credential, realm.as_ref(), args.store)?;
    if let Some(note) = &stored.note {
        context.voice.say(note);
    }
    let opens = match &grant {
        Grant::NotAsked => {
            "the registry asks nobody for a credential; it was kept unchecked".into()
        }
        Grant::Pulls(repository) => format!("the credential is right and pulls {repository}"),
        Grant::Known => match &scope.prefix {
            Some(prefix) => format!(
                "the credential is right; {prefix} itself holds no image that it may pull (a group, \
                 a project whose images have names below it, or one that is missing or not its own)"
            ),
            None => {
                "the credential is right; which projects it opens is seen when one is asked for"
                    .into()
            }
        },
    };
    context.voice.say(opens);
    let place = match stored.place {
        Place::Keyring => "the keyring",
        Place::File => "a file that only you can read",
    };
    context
        .voice
        .say(format!("logged in to {scope} as {}; kept in {place}", output::cell(username)));
    Ok(0)
}

/// The verb `logout`.
///
/// # Errors
/// When nothing is stored under this scope, or it cannot be removed.
pub fn logout(context: &Context, args: &Logout) -> Outcome {
    let place = context.credentials().erase(&args.scope)?;
    let place = match place {
        Place::Keyring => "the keyring",
        Place::File => "the file",
    };
    context.voice.say(format!("removed {} from {place}", args.scope));
    Ok(0)
}

fn list(context: &Context) -> Outcome {
    let rows = context.credentials().list()?;
    if context.voice.json {
        output::json(&rows);
        return Ok(0);
    }
    if rows.is_empty() {
        context.voice.say("no credential is stored");
        return Ok(0);
    }
    let mut lines = vec![["REGISTRY", "USER", "REALM", "KEPT IN"].map(String::from).to_vec()];
    for row in rows {
        lines.push(vec![
            row.scope.to_string(),
            output::cell(&row.username),
            row.realm.map_or_else(|| "-".into(), |realm| realm.to_string()),
            match row.place {
                Place::Keyring => "keyring".into(),
                Place::File => "file".into(),
            },
        ]);
    }
    output::line(output::table(&lines));
    Ok(0)
}

/// The realm that the secret may be sent to: named by the user, known already, the registry's own
/// host, or confirmed on a terminal now.
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
    if is_own || hub || context.known_realms(registry).contains(&named) {
        return Ok(Some(named));
    }
    if !io::stdin().is_terminal() || args.password_stdin {
        return Err(refuse(format!(
            "{registry} sends its clients to {named} for tokens, which is not confirmed; nothing was sent"
        ))
        .into());
    }
    eprint_prompt(&format!(
        "{registry} gets its tokens from {named}. Send your secret there? [y/N] "
    ));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|e| cannot_read(&e))?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(Some(named));
    }
    Err(refuse(format!("{named} was not confirmed; nothing was sent")).into())
}

/// From stdin, or typed without echo.
fn secret(args: &Login, username: &str) -> Result<Secret, Report> {
    let text = if args.password_stdin {
        return from_stdin();
    } else if io::stdin().is_terminal() {
        rpassword::prompt_password(format!("Token or password of {}: ", output::cell(username)))
            .map_err(|e| cannot_read(&e))?
    } else {
        return Err(CliError::usage("no terminal to ask for the secret")
            .with_hint("pipe it in and add --password-stdin")
            .into());
    };
    let secret = Secret::new(text.trim_end_matches(['\n', '\r']).to_owned());
    if secret.is_empty() {
        return Err(CliError::usage("the secret is empty").into());
    }
    Ok(secret)
}

fn cannot_read(error: &io::Error) -> Report {
    CliError::usage(format!("cannot read from standard input: {error}")).into()
}

fn eprint_prompt(text: &str) {
    let mut err = io::stderr().lock();
    // a prompt that nobody sees gets no answer, and then nothing is sent
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
