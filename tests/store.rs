//! The store room with the real program: many processes that want one image, `cache`, other users,
//! and a full disk.

#[path = "store/cache.rs"]
mod cache;
#[path = "store/many.rs"]
mod many;
#[path = "store/place.rs"]
mod place;
mod support;
