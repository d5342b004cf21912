//! What the tests of this folder make their jobs from.

use crate::job::{Access, Delivery, JobId, JobSpec};
use crate::oci::{Sha256Digest, SifDigest};
use crate::pin::Image;
use crate::runtime::Bind;

pub(crate) fn job(command: &[&str]) -> JobSpec {
    let digest = SifDigest::of(b"x");
    let image = Image::Sif { pin: None, manifest: None, digest, recipe: None, tree: None };
    let delivery = Delivery::Shared { place: "/store/x.sif".into() };
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    JobSpec::plain(JobId::from_parts(1_700_000_000_000, 1), image, delivery, command)
}

pub(crate) fn bind(source: &str, target: &str, access: Access) -> Bind {
    Bind { source: source.into(), target: target.into(), access, directory: true }
}
