//! Reading of a newer record what can be read.
//!
//! One unknown detail must not make a job vanish. A record of a known kind that does not read as a whole is
//! read piece by piece; a missing piece gets a value that says so. Only a record that does not name its
//! submission is given up.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::body::Body;
use crate::job::{Nonce, Terms};
use crate::pin::Image;

/// The name of what cannot be read.
const UNREADABLE: &str = "unreadable";

/// What can be read of a body that does not read as a whole.
pub(super) fn salvage(kind: &str, body: &Value) -> Option<Body> {
    fn piece<T: DeserializeOwned>(body: &Value, name: &str) -> Option<T> {
        serde_json::from_value(body.get(name)?.clone()).ok()
    }
    let (job, intent) = (piece(body, "job")?, piece(body, "intent")?);
    let personal = piece(body, "personal");
    if kind == "intent"
        && let Some(personal) = personal
    {
        let unreadable = || UNREADABLE.parse().ok();
        return Some(Body::Intent {
            job,
            intent,
            // with a nonce that nobody has no receipt can be taken for this submission's
            nonce: piece(body, "nonce").unwrap_or(Nonce::from_bytes([0; 16])),
            backend: piece(body, "backend").or_else(unreadable)?,
            image: Box::new(piece(body, "image").unwrap_or_else(|| image(body.get("image")))),
            runtime: piece(body, "runtime").unwrap_or_default(),
            resources: piece(body, "resources").unwrap_or_default(),
            rerun_of: piece(body, "rerun_of"),
            terms: Terms {
                tasks: piece(body, "tasks"),
                at_once: piece(body, "at_once"),
                network: piece(body, "network"),
                umask: piece(body, "umask"),
                require: piece(body, "require"),
                inputs: Vec::new(),
                outputs: Vec::new(),
                grace: piece(body, "grace"),
                platform: piece(body, "platform"),
                kerberos: piece(body, "kerberos").unwrap_or_default(),
                entrypoint: piece(body, "entrypoint"),
                scratch_mib: piece(body, "scratch_mib"),
                gpu: piece(body, "gpu").unwrap_or_default(),
                proxy: piece(body, "proxy").unwrap_or_default(),
                ssh_agent: piece(body, "ssh_agent").unwrap_or_default(),
            },
            delivery: piece(body, "delivery"),
            enclosing: piece(body, "enclosing"),
            personal,
        });
    }
    let name = kind.parse().or_else(|_| UNREADABLE.parse()).ok()?;
    Some(Body::Other { kind: name, job, intent, personal })
}

/// The names of an image of which something else cannot be read.
fn image(value: Option<&Value>) -> Image {
    let piece = |name: &str| value.and_then(|v| v.get(name)).cloned().unwrap_or_default();
    Image::Other {
        kind: piece("kind").as_str().unwrap_or(UNREADABLE).to_owned(),
        pin: serde_json::from_value(piece("pin")).ok(),
        manifest: serde_json::from_value(piece("manifest")).ok(),
        digest: serde_json::from_value(piece("digest")).ok(),
    }
}
