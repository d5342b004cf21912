//! What the tests of this folder make their jobs from.

use crate::job::{Access, Delivery, IntentId, JobId, JobSpec, Nonce};
use crate::oci::{Sha256Digest, SifDigest};
use crate::pin::Image;
use crate::runtime::Bind;
use crate::worker::{PLAN_SCHEMA, Plan};

pub(crate) fn job(command: &[&str]) -> JobSpec {
    let digest = SifDigest::of(b"x");
    let image = Image::Sif { pin: None, manifest: None, digest, recipe: None, tree: None };
    let delivery = Delivery::Shared { place: "/store/x.sif".into() };
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    JobSpec::plain(JobId::from_parts(1_700_000_000_000, 1), image, delivery, command)
}

pub(crate) fn plan(command: &[&str]) -> Plan {
    Plan {
        schema: PLAN_SCHEMA,
        intent: IntentId::from_bytes([2; 16]),
        nonce: Nonce::from_bytes([3; 16]),
        job: job(command),
        workdir: "/jobs/1/work".into(),
        node_cache: None,
        runtimes: vec![],
        filter: None,
        site_store: None,
        limits: [].into(),
        hide: vec![],
        worker: None,
        on_record: None,
        added: vec![],
        agent: None,
        task_from: None,
        getting: crate::worker::Getting::default(),
    }
}

pub(crate) fn bind(source: &str, target: &str, access: Access) -> Bind {
    Bind { source: source.into(), target: target.into(), access, directory: true }
}
