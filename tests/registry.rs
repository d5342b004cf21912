//! The registry client against the stand-in, against Debian's docker-registry, and against a
//! registry that lies.

#[path = "registry/common.rs"]
mod common;
#[path = "registry/docker_registry.rs"]
mod docker_registry;
#[path = "registry/drift.rs"]
mod drift;
#[path = "faults/mod.rs"]
mod faults;
#[path = "faults/docker_registry.rs"]
mod faults_of_docker_registry;
#[path = "registry/field.rs"]
mod field;
#[path = "registry/head.rs"]
mod head;
#[path = "registry/liar.rs"]
mod liar;
#[path = "registry/limits.rs"]
mod limits;
#[path = "registry/long_pull.rs"]
mod long_pull;
#[path = "registry/many.rs"]
mod many;
#[path = "registry/neighbours.rs"]
mod neighbours;
#[path = "registry/one_try.rs"]
mod one_try;
#[path = "registry/processes.rs"]
mod processes;
#[path = "registry/proxy.rs"]
mod proxy;
#[path = "registry/push.rs"]
mod push;
#[path = "registry/remembered.rs"]
mod remembered;
#[path = "registry/resume.rs"]
mod resume;
#[path = "registry/server.rs"]
mod server;
#[path = "registry/stand_in.rs"]
mod stand_in;
#[path = "registry/supply.rs"]
mod supply;
#[path = "registry/tls.rs"]
mod tls;
#[path = "registry/tls_server.rs"]
mod tls_server;
