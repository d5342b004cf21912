//! From "what CI built" to a pin, and moorline.lock: the program against the stand-in for GitLab and
//! its registry. No real GitLab is asked.

mod annotations;
mod api;
mod budget;
mod ci;
mod clone;
mod common;
mod drift;
mod lock;
mod names;
mod oras;
mod report;
mod shub;
mod surroundings;
mod tokens;
