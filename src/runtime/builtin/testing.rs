//! What the tests of this folder make their jobs from.

use crate::job::{Access, Delivery, IntentId, JobId, JobSpec, Nonce};
use crate::oci::{Sha256Digest, SifDigest};
use crate::pin::Image;
use crate::runtime::Bind;
use crate::worker::Plan;

pub(crate) fn job(command: &[&str]) -> JobSpec {
    let digest = SifDigest::of(b"x");
    let image = Image::Sif { pin: None, manifest: None, digest, recipe: None, tree: None };
    let delivery = Delivery::Shared { place: "/store/x.sif".into() };
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    JobSpec::plain(JobId::from_parts(1_700_000_000_000, 1), image, delivery, command)
}

pub(crate) fn plan(command: &[&str]) -> Plan {
    let ids = (IntentId::from_bytes([2; 16]), Nonce::from_bytes([3; 16]));
    Plan::plain(ids, job(command), "/jobs/1/work".into())
}

pub(crate) fn bind(source: &str, target: &str, access: Access) -> Bind {
    Bind { source: source.into(), target: target.into(), access, directory: true }
}
