//! The store room with the real program: many processes that want one image, `cache`, other users,
//! and a full disk.

#[path = "store/cache.rs"]
mod cache;
#[path = "store/many.rs"]
mod many;
#[path = "store/place.rs"]
mod place;
#[path = "store/site.rs"]
mod site;
#[path = "store/space.rs"]
mod space;
mod support;
#[path = "store/traced.rs"]
mod traced;
#[path = "store/users.rs"]
mod users;
