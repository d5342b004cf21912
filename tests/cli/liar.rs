//! A registry that allows anonymous access and answers what it was told, true or not.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};

use moorline::oci::{Digest, Sha256Digest};

use crate::support::images;

pub struct Liar {
    pub address: SocketAddr,
}

impl Liar {
    /// The demo's image in `lies/image:v1`; the bytes of its second layer are others.
    pub fn start() -> Self {
        let image = &images().0;
        let mut answers = HashMap::from([("/v2/".to_owned(), (String::new(), b"{}".to_vec()))]);
        let mut put = |path: String, kind: &str, bytes: &[u8]| {
            answers.insert(format!("/v2/lies/image/{path}"), (kind.to_owned(), bytes.to_vec()));
        };
        for name in ["v1".to_owned(), image.manifest_digest.to_string()] {
            put(format!("manifests/{name}"), image.media_type, &image.manifest);
        }
        put(
            format!("blobs/{}", Digest::of(&image.config)),
            "application/octet-stream",
            &image.config,
        );
        for (i, layer) in image.layers.iter().enumerate() {
            let mut bytes = layer.bytes.clone();
            let digest = Digest::of(&bytes);
            if i == 1 {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            put(format!("blobs/{digest}"), "application/octet-stream", &bytes);
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // it ends with the test program
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let Some(request) = lines.next() else { continue };
                // the headers are read, so that closing does not reset the connection
                lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
                let mut words = request.split(' ');
                let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
                let (status, (kind, bytes)) = match answers.get(path) {
                    Some(found) => ("200 OK", found.clone()),
                    None => ("404 Not Found", ("application/json".into(), b"{}".to_vec())),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
                     Docker-Distribution-Api-Version: registry/2.0\r\nConnection: close\r\n\r\n",
                    bytes.len()
                );
                // a client that went away has seen enough
                let _ = (&stream).write_all(head.as_bytes());
                if method != "HEAD" {
                    let _ = (&stream).write_all(&bytes);
                }
            }
        });
        Self { address }
    }
}
