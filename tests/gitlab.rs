//! From "what CI built" to a pin, and moorline.lock: the program against the stand-in for GitLab and
//! its registry. No real GitLab is asked.

#[path = "gitlab/annotations.rs"]
mod annotations;
#[path = "gitlab/api.rs"]
mod api;
#[path = "gitlab/budget.rs"]
mod budget;
#[path = "gitlab/ci.rs"]
mod ci;
#[path = "gitlab/clone.rs"]
mod clone;
#[path = "gitlab/common.rs"]
mod common;
#[path = "gitlab/drift.rs"]
mod drift;
#[path = "gitlab/lock.rs"]
mod lock;
#[path = "gitlab/names.rs"]
mod names;
#[path = "gitlab/oras.rs"]
mod oras;
#[path = "gitlab/shub.rs"]
mod shub;
#[path = "gitlab/surroundings.rs"]
mod surroundings;
#[path = "gitlab/tokens.rs"]
mod tokens;
