//! A reverse proxy on loopback between the client and a registry with its token server; it does to
//! each answer what the schedule says.
//!
//! ```text
//!  client --http/1.1--> proxy --http/1.0--> registry            /v2/...
//!                             `-----------> stand-in for GitLab /jwt/auth
//! ```
//!
//! The realm in challenges becomes the proxy's own address, so that token requests meet faults too.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::schedule::{Class, Fault, Schedule};

/// How long one side may keep the proxy waiting, a client in a stall included.
const PATIENCE: Duration = Duration::from_secs(20);

/// A fault that was done to a request.
#[derive(Clone, Debug)]
pub struct Done {
    pub request: String,
    pub class: Class,
    pub fault: Fault,
}

/// A piece of an upload as the client announced it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its `Content-Range`.
    pub range: String,
    /// The path of its upload.
    pub upload: String,
}

/// It stops when it is dropped.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    address: SocketAddr,
    registry: SocketAddr,
    realm: SocketAddr,
    schedule: Mutex<Schedule>,
    counts: Mutex<HashMap<String, u32>>,
    done: Mutex<Vec<Done>>,
    sent: Mutex<Vec<Sent>>,
    /// The body of an earlier answer.
    earlier: Mutex<Vec<u8>>,
    over: AtomicBool,
}

impl Proxy {
    pub fn start(registry: SocketAddr, realm: SocketAddr, schedule: Schedule) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            address,
            registry,
            realm,
            schedule: Mutex::new(schedule),
            counts: Mutex::default(),
            done: Mutex::default(),
            sent: Mutex::default(),
            earlier: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let own = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if own.over.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    let own = Arc::clone(&own);
                    // an error is a side that went away, and the other one learns of it
                    std::thread::spawn(move || {
                        let _ = own.serve(stream);
                    });
                }
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// From now on.
    pub fn set(&self, schedule: Schedule) {
        *self.shared.schedule.lock().unwrap() = schedule;
    }

    /// What went wrong so far.
    pub fn done(&self) -> Vec<Done> {
        self.shared.done.lock().unwrap().clone()
    }
}

impl Proxy {
    /// The pieces that the client began to send.
    pub fn sent(&self) -> Vec<Sent> {
        self.shared.sent.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // wakes the thread; when that fails it has ended already
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// An answer of the registry.
struct Answer {
    /// Status line and headers without those of the connection and the length.
    head: String,
    body: Vec<u8>,
}

impl Shared {
    /// Requests of one connection, one after the other.
    fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        client.set_read_timeout(Some(PATIENCE))?;
        client.set_nodelay(true)?;
        while let Some((head, mut body)) = read_head(&mut client)? {
            let mut words = head.split_ascii_whitespace();
            let method = words.next().unwrap_or_default().to_owned();
            let target = words.next().unwrap_or_default().to_owned();
            let path = target.split('?').next().unwrap_or_default();
            if let Some(range) = header(&head, "content-range") {
                let sent = Sent { range: range.to_owned(), upload: path.to_owned() };
                self.sent.lock().unwrap().push(sent);
            }
            let length = header(&head, "content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
            let fault = self.fault(&method, path);
            if let Fault::CutRequest { part, passed_on } = fault {
                read_body(&mut client, &mut body, length * usize::from(part) / 256)?;
                if passed_on {
                    // when it has answered, the registry has done what it does with a part
                    let mut upstream = self.pass_on(&head, path, &body)?;
                    upstream.shutdown(Shutdown::Write)?;
                    upstream.read_to_end(&mut Vec::new())?;
                }
                return Ok(());
            }
            read_body(&mut client, &mut body, length)?;
            if !self.answer(&mut client, (&head, &body), &method, path, fault)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn fault(&self, method: &str, path: &str) -> Fault {
        let request = format!("{method} {path}");
        let nth = {
            let mut counts = self.counts.lock().unwrap();
            let count = counts.entry(request.clone()).or_default();
            *count += 1;
            *count - 1
        };
        let schedule = *self.schedule.lock().unwrap();
        let fault = schedule.fault(method, path, nth);
        let mut done = self.done.lock().unwrap();
        if fault == Fault::None || (schedule.is_one_fault() && !done.is_empty()) {
            return Fault::None;
        }
        done.push(Done { request, class: Class::of(path), fault });
        fault
    }

    /// Whether the connection can be used again.
    fn answer(
        &self,
        client: &mut TcpStream,
        (head, body): (&str, &[u8]),
        method: &str,
        path: &str,
        fault: Fault,
    ) -> std::io::Result<bool> {
        match fault {
            Fault::CutHead => return Ok(false),
            Fault::StallHead => return self.stall(client),
            Fault::Passing(status, after) => {
                let after = after.map(|s| format!("Retry-After: {s}\r\n")).unwrap_or_default();
                return simple(client, method, status, &after, "{\"errors\":[]}");
            }
            Fault::Forbidden { json } => {
                let body = if json {
                    r#"{"errors":[{"code":"DENIED","message":"access forbidden"}]}"#
                } else {
                    "<html>banned</html>"
                };
                return simple(client, method, 403, "", body);
            }
            Fault::Unauthorized(error) => {
                let challenge = error.map(|error| {
                    let realm = self.address;
                    format!(
                        "WWW-Authenticate: Bearer realm=\"http://{realm}/jwt/auth\",\
                         service=\"container_registry\",error=\"{error}\"\r\n"
                    )
                });
                let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}"#;
                return simple(client, method, 401, &challenge.unwrap_or_default(), body);
            }
            _ => {}
        }
        let Answer { head, mut body } = self.ask(head, path, body)?;
        if method == "HEAD" {
            client.write_all(format!("{head}\r\n").as_bytes())?;
            return Ok(true);
        }
        let right = body.clone();
        let at = |part: u8| right.len() * usize::from(part) / 256;
        match fault {
            Fault::Flip(part) if !body.is_empty() => body[at(part)] ^= 1 << (part % 8),
            Fault::Short => body.truncate(body.len() - body.len().min(7)),
            Fault::Long => body.extend_from_slice(b" and more"),
            Fault::Foreign => {
                let earlier = self.earlier.lock().unwrap().clone();
                body = if earlier == right { b"another".to_vec() } else { earlier };
            }
            _ => {}
        }
        self.earlier.lock().unwrap().clone_from(&right);
        client.write_all(format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes())?;
        match fault {
            Fault::CutBody(part) => {
                client.write_all(&body[..at(part)])?;
                return Ok(false);
            }
            Fault::StallBody(part) => {
                client.write_all(&body[..at(part)])?;
                return self.stall(client);
            }
            Fault::Throttle => {
                for piece in body.chunks(body.len().div_ceil(6).max(1)) {
                    client.write_all(piece)?;
                    std::thread::sleep(Duration::from_millis(3));
                }
            }
            _ => client.write_all(&body)?,
        }
        Ok(true)
    }

    /// Sends nothing until the client goes away.
    fn stall(&self, client: &mut TcpStream) -> std::io::Result<bool> {
        client.set_read_timeout(Some(Duration::from_millis(100)))?;
        let until = Instant::now() + PATIENCE;
        let mut byte = [0];
        while Instant::now() < until && !self.over.load(Ordering::SeqCst) {
            match client.read(&mut byte) {
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                _ => break,
            }
        }
        Ok(false)
    }

    /// Asks whoever really answers. HTTP/1.0: no chunks, and the end of the answer is the end of
    /// the connection.
    fn ask(&self, head: &str, path: &str, body: &[u8]) -> std::io::Result<Answer> {
        let mut upstream = self.pass_on(head, path, body)?;
        let mut bytes = Vec::new();
        upstream.read_to_end(&mut bytes)?;
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").ok_or(ErrorKind::InvalidData)?;
        let body = bytes.split_off(end + 4);
        let text = String::from_utf8_lossy(&bytes);
        let is_head = head.starts_with("HEAD ");
        let mut kept = String::new();
        for (number, line) in text.lines().enumerate() {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            if number == 0 {
                kept += &line.replacen("HTTP/1.0", "HTTP/1.1", 1);
            } else if line.is_empty()
                || name == "connection"
                || (name == "content-length" && !is_head)
            {
                continue;
            } else if name == "www-authenticate" {
                kept += &line.replace(&self.realm.to_string(), &self.address.to_string());
            } else {
                kept += line;
            }
            kept += "\r\n";
        }
        Ok(Answer { head: kept, body })
    }

    /// Sends a request to whoever really answers.
    fn pass_on(&self, head: &str, path: &str, body: &[u8]) -> std::io::Result<TcpStream> {
        let server = if path.starts_with("/jwt/auth") { self.realm } else { self.registry };
        let mut upstream = TcpStream::connect(server)?;
        upstream.set_read_timeout(Some(PATIENCE))?;
        let request = head.replacen("HTTP/1.1\r\n", "HTTP/1.0\r\n", 1);
        upstream.write_all(request.as_bytes())?;
        upstream.write_all(body)?;
        Ok(upstream)
    }
}

/// A request's head and what came behind it; `None` when no further one comes.
fn read_head(client: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = head.windows(4).position(|w| w == b"\r\n\r\n") {
            let body = head.split_off(end + 4);
            return Ok(Some((String::from_utf8_lossy(&head).into_owned(), body)));
        }
        match client.read(&mut buffer)? {
            0 => return Ok(None),
            n => head.extend_from_slice(&buffer[..n]),
        }
    }
}

/// A header's value.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Reads a body until it has so many bytes.
fn read_body(client: &mut TcpStream, body: &mut Vec<u8>, length: usize) -> std::io::Result<()> {
    let have = body.len().min(length);
    body.resize(length, 0);
    client.read_exact(&mut body[have..])
}

fn simple(
    client: &mut TcpStream,
    method: &str,
    status: u16,
    headers: &str,
    body: &str,
) -> std::io::Result<bool> {
    let length = body.len();
    let shown = if method == "HEAD" { "" } else { body };
    let text = format!(
        "HTTP/1.1 {status} Scheduled\r\n{headers}Content-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{shown}"
    );
    client.write_all(text.as_bytes())?;
    Ok(true)
}
