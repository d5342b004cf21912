//! A stand-in for GitLab's `/jwt/auth` and its registry, as a program for test scripts.
//!
//! ```text
//! cargo run --example gitlab-stand-in -- --config FILE.json [--listen ADDR] [--cert-out FILE]
//!                                        [--auth-only] --ready-file FILE
//! ```
//!
//! - `--listen ADDR`: loopback address and port; `127.0.0.1:0` (any free port) when left out.
//! - `--config FILE.json`: projects and tokens, for example
//!   ```json
//!   {
//!     "service": "container_registry",
//!     "issuer": "gitlab-issuer",
//!     "token_seconds": 300,
//!     "projects": [ {"path": "group/project"}, {"path": "group/open", "visibility": "public"} ],
//!     "deploy_tokens": [
//!       {"username": "gitlab+deploy-token-1", "secret": "gldt-...",
//!        "scopes": ["read_registry"], "project": "group/project"},
//!       {"username": "pusher", "secret": "gldt-...",
//!        "scopes": ["read_registry", "write_registry"], "group": "group"}
//!     ],
//!     "job_tokens": [ {"secret": "glcbt-...", "project": "group/project"} ]
//!   }
//!   ```
//!   Every key but `projects` may be left out. Scopes: `read_registry`, `write_registry`,
//!   `read_repository`, `read_package_registry`.
//! - `--cert-out FILE`: writes the signing certificate, docker-registry's `rootcertbundle`.
//! - `--auth-only`: only `/jwt/auth`, for a docker-registry whose configuration holds
//!   ```yaml
//!   auth:
//!     token:
//!       realm: http://127.0.0.1:PORT/jwt/auth
//!       service: container_registry
//!       issuer: gitlab-issuer
//!       rootcertbundle: FILE
//!   ```
//! - `--ready-file FILE`: when it listens, writes `{"address": ..., "realm": ...}` there in one
//!   piece; scripts wait for this file.
//!
//! It runs until SIGTERM or SIGINT, prints nothing unless it fails, and never a secret. Without
//! `--auth-only` its embedded registry is empty: it is filled by Rust code only.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use moorline::standin::{Config, StandIn};
use tokio::signal::unix::{SignalKind, signal};

struct Arguments {
    listen: Option<SocketAddr>,
    config: PathBuf,
    cert_out: Option<PathBuf>,
    auth_only: bool,
    ready_file: PathBuf,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let (mut listen, mut config, mut cert_out, mut ready_file) = (None, None, None, None);
    let mut auth_only = false;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--auth-only" {
            auth_only = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--listen" => listen = Some(value.parse()?),
            "--config" => config = Some(value.into()),
            "--cert-out" => cert_out = Some(value.into()),
            "--ready-file" => ready_file = Some(value.into()),
            _ => return Err(format!("unknown option {word}").into()),
        }
    }
    Ok(Arguments {
        listen,
        config: config.ok_or("--config FILE is needed")?,
        cert_out,
        auth_only,
        ready_file: ready_file.ok_or("--ready-file FILE is needed")?,
    })
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    let text = fs::read_to_string(&arguments.config)
        .map_err(|e| format!("cannot read {}: {e}", arguments.config.display()))?;
    // the parser's own words may quote a secret
    let mut config: Config = serde_json::from_str(&text).map_err(|e| {
        let file = arguments.config.display();
        format!("{file} is malformed at line {}, column {}", e.line(), e.column())
    })?;
    config.registry = !arguments.auth_only;
    config.listen = arguments.listen.unwrap_or(config.listen);
    // before the server listens, so that no signal is lost
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let running = StandIn::start(config).await?;
    if let Some(file) = &arguments.cert_out {
        in_one_piece(file, &certificate(running.signing_key())?)?;
    }
    let ready = serde_json::json!({
        "address": running.address().to_string(),
        "realm": running.realm(),
    });
    in_one_piece(&arguments.ready_file, &format!("{ready}\n"))?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.shutdown().await;
    Ok(())
}

/// The certificate of the signing key, PEM.
fn certificate(pkcs8: &[u8]) -> Result<String, Box<dyn Error>> {
    let key = rcgen::KeyPair::try_from(pkcs8)?;
    let params = rcgen::CertificateParams::new(vec!["gitlab-stand-in".to_owned()])?;
    Ok(params.self_signed(&key)?.pem())
}

/// Who waits for a file must not read half of it.
fn in_one_piece(file: &Path, text: &str) -> Result<(), Box<dyn Error>> {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(text.as_bytes())?;
    temporary.persist(file)?;
    Ok(())
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    match runtime.block_on(run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(why: &str) -> ExitCode {
    // nobody is left to tell when stderr is closed
    let _ = writeln!(std::io::stderr(), "gitlab-stand-in: {why}");
    ExitCode::FAILURE
}
