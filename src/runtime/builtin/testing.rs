//! What the tests of this folder make their jobs from.

use crate::job::{Access, IntentId, JobId, JobSpec, Nonce, Resources, RuntimeChoice, Terms};
use crate::oci::{Sha256Digest, SifDigest};
use crate::pin::Image;
use crate::runtime::Bind;
use crate::worker::{PLAN_SCHEMA, Plan};

pub(crate) fn job(command: &[&str]) -> JobSpec {
    JobSpec {
        id: JobId::from_parts(1_700_000_000_000, 1),
        name: None,
        image: Image::Sif {
            pin: None,
            manifest: None,
            digest: SifDigest::of(b"x"),
            recipe: None,
            tree: None,
        },
        delivery: crate::job::Delivery::Shared { place: "/store/x.sif".into() },
        command: command.iter().map(|w| (*w).to_owned()).collect(),
        mounts: vec![],
        env: vec![],
        runtime: RuntimeChoice::Auto,
        options: vec![],
        resources: Resources::default(),
        workdir: None,
        rerun_of: None,
        terms: Terms::default(),
    }
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
        agent: None,
    }
}

pub(crate) fn bind(source: &str, target: &str, access: Access) -> Bind {
    Bind { source: source.into(), target: target.into(), access, directory: true }
}
