//! Whom the client asks before it sends.

use std::any::Any;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;

/// The budget of requests to a host, which is shared with whoever else asks that host, and with other
/// processes. It is handed in: the registry's client, which counts there too, is on this floor.
#[async_trait]
pub trait Turns: Send + Sync {
    /// Waits for a place among the requests to the host of a URL; it is given back when the answer's
    /// value is dropped.
    async fn enter(&self, url: &Url) -> Box<dyn Any + Send>;

    /// How long the host wants to be left alone, as it told anybody who counts here.
    fn held_off(&self, url: &Url) -> Option<Duration>;

    /// The host said `Retry-After`.
    fn hold_off(&self, url: &Url, wait: Duration);
}
