//! The same schedules against Debian's docker-registry, filled by skopeo.

use crate::common::PROJECT;
use crate::faults::pull::Fixture;
use crate::faults::run_all;
use crate::server::{available, start};

#[tokio::test(flavor = "multi_thread")]
async fn schedules_of_faults_against_docker_registry() {
    if !available("faults::schedules_of_faults_against_docker_registry") {
        return;
    }
    let server = start(300, false).await;
    let layout = tempfile::tempdir().unwrap();
    Fixture::make().write_layout(layout.path());
    server.push(layout.path(), "v1", PROJECT, "v1").await;
    run_all("docker-registry", server.address, server.stand_in.address()).await;
}
