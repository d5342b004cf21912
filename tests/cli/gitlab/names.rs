//! Short names: whose they are where a registry of GitLab is configured.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::gitlab::common::World;

/// The hosts that a command wants to reach, heard by a proxy that lets nobody through.
fn reached(world: &World, what: &str) -> (Vec<String>, String) {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = proxy.local_addr().unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let ended = std::sync::Arc::clone(&stop);
    let heard = std::thread::spawn(move || {
        let mut heard = Vec::new();
        for stream in proxy.incoming() {
            if ended.load(std::sync::atomic::Ordering::SeqCst) {
                break;
            }
            let mut stream = stream.unwrap();
            let mut head = [0; 2048];
            let count = stream.read(&mut head).unwrap();
            let line = String::from_utf8_lossy(&head[..count]);
            heard.push(line.split(' ').nth(1).unwrap_or_default().to_owned());
            // the program may have hung up
            let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        }
        heard
    });
    let url = format!("http://{address}");
    let answer = world.moorline(&["resolve", what], &[("https_proxy", &url)]);
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    drop(std::net::TcpStream::connect(address).unwrap());
    let mut heard = heard.join().unwrap();
    heard.dedup();
    assert_ne!(answer.code, 0, "{}", answer.out);
    (heard, answer.err)
}

#[test]
fn the_scheme_means_docker_hub_whatever_is_configured() {
    let world = World::new();
    for name in ["docker://fedora", "docker://library/fedora:latest", "docker.io/fedora"] {
        let (heard, said) = reached(&world, name);
        assert_eq!(heard, ["registry-1.docker.io:443"], "{name}: {said}");
        assert!(said.contains("docker.io/library/fedora"), "{said}");
    }
    assert_eq!(world.seen(), []);
    // without it the name is the configured registry's, which says what else it could mean
    let (heard, said) = reached(&world, "fedora");
    assert_eq!(heard, [""; 0], "loopback goes through no proxy");
    assert!(said.contains("gitlab.example/fedora"), "{said}");
    assert!(said.contains("GROUP/PROJECT") && said.contains("docker://fedora"), "{said}");
}
