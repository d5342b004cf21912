//! A pull that is longer than its tokens live, by the clock: over a line that is slow and breaks off.
//!
//! Three tokens of a second, under `MOORLINE_SOAK` twelve of five seconds, which takes a minute.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moorline::registry::{Client, Options};
use moorline::resolve::resolve;
use moorline::standin::StandIn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::common::*;
use crate::liar::descriptor;

/// A request for the blob: where it begins, and whether its token's time was over.
#[derive(Debug, Default)]
struct Asked {
    from: Option<usize>,
    late: bool,
}

/// The line to the registry. Of a blob it lets a part through, in as long as a token lives, and breaks
/// off; everything else passes.
struct Line {
    address: SocketAddr,
    blobs: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    async fn start(registry: SocketAddr, part: usize, time: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let blobs: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let log = Arc::clone(&blobs);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let log = Arc::clone(&log);
                // an error is a side that went away, and the other one learns of it
                tokio::spawn(async move { serve(client, registry, &log, part, time).await });
            }
        });
        Self { address, blobs, task }
    }
}

async fn serve(
    mut client: TcpStream,
    registry: SocketAddr,
    log: &Mutex<Vec<Asked>>,
    part: usize,
    time: Duration,
) -> std::io::Result<()> {
    const SLICES: usize = 50;
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut buffer).await? {
            0 => return Ok(()),
            count => head.extend_from_slice(&buffer[..count]),
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut upstream = TcpStream::connect(registry).await?;
    // the end of the answer is the end of the connection
    upstream.write_all(text.replacen("HTTP/1.1\r\n", "HTTP/1.0\r\n", 1).as_bytes()).await?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).await?;
    if !text.contains("/blobs/") || !answer.starts_with(b"HTTP/1.0 20") {
        return client.write_all(&answer).await;
    }
    log.lock().unwrap().push(Asked { from: from(&text), late: is_late(&text) });
    let body = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    client.write_all(&answer[..body]).await?;
    let piece = &answer[body..answer.len().min(body + part)];
    for slice in piece.chunks(part.div_ceil(SLICES)) {
        client.write_all(slice).await?;
        tokio::time::sleep(time / u32::try_from(SLICES).unwrap()).await;
    }
    client.shutdown().await
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn from(head: &str) -> Option<usize> {
    header(head, "range")?.strip_prefix("bytes=")?.trim_end_matches('-').parse().ok()
}

/// `exp` has whole seconds.
fn is_late(head: &str) -> bool {
    let token = header(head, "authorization").unwrap().strip_prefix("Bearer ").unwrap();
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    now > claims["exp"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "a soak's count is for docs/soak.md")]
async fn a_pull_outlives_its_tokens_by_the_clock() {
    let soak = std::env::var_os("MOORLINE_SOAK").is_some();
    let (parts, seconds) = if soak { (12, 5) } else { (3, 1) };
    let (part, life) = (64 << 10, Duration::from_secs(seconds));
    let mut known = config();
    known.token_lifetime = life;
    let server = StandIn::start(known).await.unwrap();
    let made = put(server.images(), PROJECT, "small", "linux/amd64");
    server.images().tag(PROJECT, "v1", made.manifest);
    let bytes: Vec<u8> = (0..u32::try_from(parts * part / 4).unwrap())
        .flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes())
        .collect();
    server.images().put_blob(bytes.clone());
    let blob = descriptor(&bytes);

    let line = Line::start(server.address(), part, life).await;
    let started_here = vec![registry(line.address)];
    let offered = vec![candidate(USER, SECRET, &[&server.realm()])];
    let client = Client::new(Options { started_here, ..offering(offered) }).unwrap();
    let v1 = reference(line.address, &format!("{PROJECT}:v1"));
    let pin = resolve(&client, &v1, &amd64()).await.unwrap().pin;
    assert_eq!(pin.manifest, made.manifest);
    line.blobs.lock().unwrap().clear();

    let began = Instant::now();
    let mut sink = Vec::new();
    client.blob(&pin.registry, &pin.repository, &blob, &mut sink).await.unwrap();
    let took = began.elapsed();
    assert!(sink == bytes, "other bytes");
    assert!(took >= life * u32::try_from(parts).unwrap(), "it took only {took:?}");

    let tokens = server.seen().iter().filter(|one| one.target.starts_with("/jwt/auth")).count();
    // one for each part; on a busy machine one may end while the tag is resolved
    assert!((parts..=parts + 3).contains(&tokens), "{tokens} tokens for {parts} parts");
    let asked = line.blobs.lock().unwrap();
    let begins: Vec<usize> = asked.iter().map(|one| one.from.unwrap_or(0)).collect();
    let expected: Vec<usize> = (0..parts).map(|number| number * part).collect();
    assert_eq!(begins, expected, "it began again");
    assert!(asked.iter().all(|one| !one.late), "a token was sent after its end: {asked:?}");
    println!("{tokens} tokens of {seconds} s in a pull of {took:.1?}");
}
