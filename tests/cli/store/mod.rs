//! The store room with the real program: many processes that want one image, `cache`, other users,
//! and a full disk.

mod cache;
mod many;
mod site;
mod space;
mod traced;
mod users;
