//! One suite for all runtimes: what a job may expect, whichever of them runs it. It runs what is installed here, as
//! this user and, for root, as an ordinary one, too.
//!
//! | runtime | runs when | demanded by |
//! |---|---|---|
//! | builtin | `mksquashfs` is here | `squashfs-tools` |
//! | podman | it is in `PATH`; an ordinary user needs subordinate ids | `podman` |
//! | docker | `MOORLINE_TEST_DOCKER_HOME` is a home directory whose docker context leads to a daemon: root's, or for an ordinary user one of its own | `docker` |
//! | charliecloud | `ch-run` is in `PATH` | `charliecloud` |
//! | udocker, P1 and R1 | `MOORLINE_TEST_UDOCKER` is its directory; proot and runc are in `PATH` | `udocker` |
//! | any, in a container of apptainer (`inside.rs`) | `MOORLINE_TEST_INSIDE` is `root` or `user` | `inside` |
//!
//! `MOORLINE_TEST_RUNTIMES` names the runtimes that a run is about, where the others were tried elsewhere;
//! `MOORLINE_TEST_DOCKER_STORE` is `containerd` where docker keeps images in containerd's store.
//!
//! An image for podman and docker is an OCI archive of the same tree that the SIF has. udocker gets a SIF with a static
//! busybox: proot 5.1, which Debian 12 has, cannot load the C library of Debian 12.

mod archive;
mod auto;
mod case;
mod directories;
mod engines;
mod inside;
mod mounts;
mod same;
mod signals;
