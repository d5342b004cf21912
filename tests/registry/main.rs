//! The registry client against the stand-in, against Debian's docker-registry, and against a
//! registry that lies.

mod common;
mod docker_registry;
mod drift;
mod faults;
mod faults_of_docker_registry;
mod field;
mod head;
mod liar;
mod limits;
mod long_pull;
mod many;
mod neighbours;
mod one_try;
mod other_client;
mod processes;
mod proxy;
mod push;
mod remembered;
mod resume;
mod schedules;
mod server;
mod stand_in;
mod supply;
mod tls;
mod tls_server;
